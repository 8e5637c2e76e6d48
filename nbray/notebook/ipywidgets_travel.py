"""ipywidgets that go to a cell and come back: their connection to the front end stays in the kernel.

In the worker a widget is its state: what sets ``slider.value`` there does so here when the cell ends. One that is made there
gets its connection here; what was told to observe it in the worker is not there any more.
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
    """What a widget shows, by trait: its new contents when it comes back."""


def state_of(value: Any) -> WidgetState | None:
    """Return the state of a widget; None: it is no widget."""
    widgets = sys.modules.get("ipywidgets")
    if widgets is None or not isinstance(value, widgets.Widget):
        return None
    return WidgetState({name: getattr(value, name) for name in value.keys if not name.startswith("_")})


def set_state(widget: Any, state: WidgetState) -> None:
    """Set what differs, as the cell has done: observers here and the front end hear of it."""
    with widget.hold_trait_notifications():
        for name, value in state.items():
            if name in widget.keys and getattr(widget, name) is not value:
                widget.set_trait(name, value) if widget.traits()[name].read_only else setattr(widget, name, value)


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
