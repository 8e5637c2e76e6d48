"""ipywidgets that go to a cell and come back.

Their connection to the front end is relayed while the cell runs (``worker_comms``, ``comm_relay``). What sets ``slider.value``
there is seen at once, and holds for the object here when the cell ends. One that is made there is taken over here, with the
connection that it has. Those that were told to observe a widget come back with it; the notebook's own stay here meanwhile, so
that a change is heard of once, when it is made here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any


def comm_type() -> Any:
    """Return the class of connections, if it is loaded."""
    return getattr(sys.modules.get("comm.base_comm"), "BaseComm", None)


def loaded() -> Any:
    """Return ipywidgets, if it is loaded.

    While another thread loads it (the line under a cell does) there are no widgets yet, and maybe not their classes either.
    """
    module = sys.modules.get("ipywidgets")
    return module if hasattr(module, "Widget") and hasattr(module, "CallbackDispatcher") else None


make_connection: Callable[[str], Any] | None = (
    None  # in a worker: connects to what the kernel has; see ``worker_comms``
)
adopt: Callable[[Any], bool] | None = None  # in a kernel: gives a widget the connection that it had; see ``comm_relay``


def connection(comm_id: str) -> Any:
    """Make the connection of a widget that came from another process; what has none here gets a dumb one."""
    made = make_connection(comm_id) if make_connection is not None else None
    if made is not None:
        return made
    from comm import DummyComm  # noqa: PLC0415 - only where there are widgets

    return DummyComm(comm_id=comm_id, primary=False)


class WidgetState(dict):
    """What a widget shows, by trait: its new contents when it comes back. And who was told to observe it, if anybody."""


OBSERVERS, CALLBACKS = "_observers", "_callbacks"  # no names of traits that are shown


def state_of(value: Any) -> WidgetState | None:
    """Return the state of a widget; None: it is no widget."""
    widgets = loaded()
    if widgets is None or not issubclass(type(value), widgets.Widget):
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
    return [(name, value) for name, value in widget.__dict__.items() if issubclass(type(value), kind)]


def is_listened_to(widget: Any) -> bool:
    """Whether something would happen here if a person used a widget, or one in it."""
    seen: set[int] = set()
    todo = [widget]
    while todo:
        one = todo.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if type(one).__module__ == "__main__" or _observers(one) or any(d.callbacks for _, d in _dispatchers(one)):
            return True
        todo += _parts(one, sys.modules["ipywidgets"].Widget)
    return False


def reduce_observed(obj: Any) -> Any:
    """Pickle a widget with its observers, which it leaves out itself; None: it has none, or is no widget."""
    traitlets, widgets = sys.modules["traitlets"], loaded()
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


def unconnected(objects: Iterable[Any]) -> list[Any]:
    """Return the widgets among these objects that came without a connection."""
    widgets = loaded()
    if widgets is None:
        return []
    # By their type: a proxy whose object is gone answers no other question.
    found = [value for value in objects if issubclass(type(value), widgets.Widget)]
    return [widget for widget in found if type(widget.comm).__name__ == "DummyComm"]


def connect(made: Iterable[Any]) -> None:
    """In the kernel: give new widgets a connection."""
    widgets = loaded()
    if widgets is None or comm_type() is None:
        return
    seen: set[int] = set()
    for value in made:
        if issubclass(type(value), widgets.Widget):
            _open(value, widgets.Widget, seen)


def _open(widget: Any, kind: type, seen: set[int]) -> None:
    if id(widget) in seen:
        return
    seen.add(id(widget))
    for part in _parts(widget, kind):
        _open(part, kind, seen)
    if type(widget.comm).__name__ == "DummyComm" and not (adopt is not None and adopt(widget)):
        widget.comm = widget._model_id = None
        widget.open()


def _parts(widget: Any, kind: type) -> Iterator[Any]:
    for value in list(widget._trait_values.values()):
        for part in value if isinstance(value, (list, tuple)) else (value,):
            if issubclass(type(part), kind):
                yield part
