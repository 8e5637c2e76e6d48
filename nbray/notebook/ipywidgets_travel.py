"""ipywidgets that go to a cell and come back: their connection to the front end stays in the kernel.

In the worker a widget is its state: what sets ``slider.value`` there does so here when the cell ends. One that is made there
gets its connection here. Those that were told to observe a widget come back with it; the notebook's own stay here meanwhile, so
that a change is heard of once, when it is made here.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any


def comm_type() -> type | None:
    """Return the class of connections, if it is loaded."""
    return getattr(sys.modules.get("comm.base_comm"), "BaseComm", None)


def no_connection() -> Any:
    """Stand for a connection in another process."""
    from comm import DummyComm  # noqa: PLC0415 - only where there are widgets

    return DummyComm()


class WidgetState(dict):
    """What a widget shows, by trait: its new contents when it comes back. And who was told to observe it, if anybody."""


OBSERVERS, CALLBACKS = "_observers", "_callbacks"  # no names of traits that are shown


def state_of(value: Any) -> WidgetState | None:
    """Return the state of a widget; None: it is no widget."""
    widgets = sys.modules.get("ipywidgets")
    if widgets is None or not isinstance(value, widgets.Widget):
        return None
    state = WidgetState({name: getattr(value, name) for name in value.keys if not name.startswith("_")})
    if observers := _observers(value):
        state[OBSERVERS] = observers
    if callbacks := {name: list(dispatcher.callbacks) for name, dispatcher in _dispatchers(value)}:
        state[CALLBACKS] = callbacks
    return state


def _observers(widget: Any) -> dict[Any, dict[str, list[Any]]]:
    """Return whom ``observe`` and the like have told, by trait and kind of event; what the class brings along is there anyway."""
    handler = sys.modules["traitlets"].EventHandler
    found: dict[Any, dict[str, list[Any]]] = {}
    for name, by_kind in widget._trait_notifiers.items():
        for kind, told in by_kind.items():
            if own := [one for one in told if not isinstance(one, handler)]:
                found.setdefault(name, {})[kind] = own
    return found


def _dispatchers(widget: Any) -> list[tuple[str, Any]]:
    """Return what keeps the callbacks of a widget: ``on_click`` and the like."""
    kind = sys.modules["ipywidgets"].CallbackDispatcher
    return [(name, value) for name, value in widget.__dict__.items() if isinstance(value, kind)]


def reduce_observed(obj: Any) -> Any:
    """Pickle a widget with its observers, which it leaves out itself; None: it has none, or is no widget."""
    traitlets, widgets = sys.modules["traitlets"], sys.modules.get("ipywidgets")
    if obj is traitlets.All:  # a key among the observers: those of all traits
        return getattr, (traitlets, "All")
    if widgets is None or not isinstance(obj, widgets.Widget):
        return None
    observers = _observers(obj)
    reduced = obj.__reduce_ex__(5)
    if not observers or not isinstance(reduced[2], dict):
        return None
    return *reduced[:2], {**reduced[2], "_trait_notifiers": observers}, *reduced[3:]


def set_state(widget: Any, state: WidgetState) -> None:
    """Set what differs, as the cell has done: observers here and the front end hear of it."""
    observers, callbacks = state.pop(OBSERVERS, {}), state.pop(CALLBACKS, {})
    with widget.hold_trait_notifications():
        for name, value in state.items():
            if name in widget.keys and getattr(widget, name) is not value:
                widget.set_trait(name, value) if widget.traits()[name].read_only else setattr(widget, name, value)
    for name, by_kind in observers.items():  # new ones: the widget went there without any
        for kind, told in by_kind.items():
            for one in told:
                widget.observe(one, name, kind)
    for name, dispatcher in _dispatchers(widget):
        for one in callbacks.get(name, ())[len(dispatcher.callbacks) :]:
            dispatcher.register_callback(one)


def connect(made: Iterable[Any]) -> None:
    """In the kernel: give new widgets a connection."""
    widgets = sys.modules.get("ipywidgets")
    if widgets is None or comm_type() is None:
        return
    seen: set[int] = set()
    for value in made:
        if isinstance(value, widgets.Widget):
            _open(value, widgets.Widget, seen)


def _open(widget: Any, kind: type, seen: set[int]) -> None:
    if id(widget) in seen:
        return
    seen.add(id(widget))
    for part in _parts(widget, kind):
        _open(part, kind, seen)
    if type(widget.comm).__name__ == "DummyComm":
        widget.comm = None
        widget.open()


def _parts(widget: Any, kind: type) -> Iterator[Any]:
    for value in list(widget._trait_values.values()):
        for part in value if isinstance(value, (list, tuple)) else (value,):
            if isinstance(part, kind):
                yield part
