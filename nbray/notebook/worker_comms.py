"""Comms that a cell opens in the worker: ipywidgets, and whatever else talks to the front end.

What a comm sends is emitted like other output, and the kernel passes it on (``comm_relay``). What the front end sends comes back
over a ``comm_link`` and is handled on a thread of its own while the cell runs, as a kernel does on a subshell. Nothing is loaded
for it before somebody imports ``comm``.

When the cell's code has ended no more messages are handled, since its names are on their way back; what came too late is
handled in the kernel. The comms of an actor stay open from cell to cell.
"""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

from nbray.core.output import current_origin

from . import ipywidgets_travel
from .after_import import AfterImport
from .comm_link import Listener, Message

COMM_MODULE = "comm"
COMM_ATTACH, COMM_DONE = "comm_attach", "comm_done"  # kinds of output, beside those of the Jupyter protocol
PATIENCE_S = 1.0  # that the end of a cell waits for a callback of a widget


class _KernelOfCell:
    """What ``comm.kernel`` is asked for: the message that runs the cell (``ipywidgets.Output`` takes what belongs to it)."""

    def get_parent(self, channel: str = "shell") -> dict[str, Any]:
        return {"header": {"msg_id": current_origin()}}


class CellComms:
    """The comms of the cells of one worker.

    Parameters
    ----------
    emit
        Sends one output message of the running task to the notebook.
    """

    def __init__(self, emit: Callable[[str, Any], None]) -> None:
        self._emit = emit
        self._finder = AfterImport([COMM_MODULE], self._hook)
        self._class: Any = None  # of comms that are relayed
        self._on = False  # a cell runs that has a front end
        self._kept = False  # in an actor
        self._open: dict[str, Any] = {}
        self._shown: dict[str, None] = {}  # those of widgets that the cell has displayed
        self._handling = threading.RLock()
        self._going_on = threading.Event()  # messages may be handled
        self._listener: Listener | None = None
        self._parent = threading.local()  # .msg_id: of the message that this thread handles

    # ----------------------------------------------------------------------- cells

    def prepare(self) -> None:
        """Have comms made by this from now on; idempotent."""
        if self._class is not None:
            return
        ipywidgets_travel.make_connection = self._attach
        if COMM_MODULE in sys.modules:
            self._hook(sys.modules[COMM_MODULE])
        elif self._finder not in sys.meta_path:
            self._finder.install()

    def enter(self, front_end: bool, kept: bool) -> None:
        """A cell begins.

        Parameters
        ----------
        front_end
            Whether there is a kernel to which a front end may be connected.
        kept
            Whether what it makes outlives it, in an actor.
        """
        self._on, self._kept = front_end, kept
        self._shown.clear()
        self._going_on.set()

    def pause(self) -> None:
        """The code has ended: what has not been handled by now is left to the kernel."""
        if self._listener is None:
            return
        self._going_on.clear()
        if self._handling.acquire(timeout=PATIENCE_S):
            self._handling.release()

    def leave(self) -> None:
        """The cell is over, its names are packed."""
        self._on = False
        if self._open and not self._kept:
            self._forget()
        self._going_on.set()

    def _forget(self) -> None:
        ids, self._open = list(self._open), {}
        instances = _instances()
        manager = sys.modules[COMM_MODULE].get_comm_manager()
        for comm_id in ids:
            comm = manager.comms.pop(comm_id, None)
            if comm is not None:
                comm._closed = True  # who lets go of it has nothing to tell anybody
            instances.pop(comm_id, None)

    def show(self, comm_id: Any) -> bool:
        """A widget is displayed; returns whether the front end knows its comm."""
        if comm_id not in self._open:
            return False
        self._shown[comm_id] = None
        return True

    def shown(self) -> list[Any]:
        """Return the widgets that the cell has made and displayed, and that code listens to: it lives on in the kernel."""
        made = [comm_id for comm_id in self._shown if comm_id in self._open and self._open[comm_id].primary]
        widgets = [widget for widget in map(_instances().get, made) if widget is not None]
        return [widget for widget in widgets if ipywidgets_travel.is_listened_to(widget)]

    # ----------------------------------------------------------------------- comms

    def _hook(self, module: ModuleType) -> None:
        owner = self
        base: Any = module.BaseComm

        class RelayedComm(base):
            kernel = _KernelOfCell()

            def publish_msg(
                self, msg_type: str, data: Any = None, metadata: Any = None, buffers: Any = None, **keys: Any
            ) -> None:
                owner._publish(self, msg_type, data or {}, metadata or {}, buffers or (), keys)

            def __reduce__(self) -> Any:
                return ipywidgets_travel.connection, (self.comm_id,)

        self._class = RelayedComm
        dummy: Any = module.DummyComm

        def create_comm(*args: Any, **options: Any) -> Any:
            return (RelayedComm if owner._on else dummy)(*args, **options)

        module.create_comm = create_comm  # type: ignore[attr-defined]

    def _publish(self, comm: Any, kind: str, data: Any, metadata: Any, buffers: Iterable[Any], keys: Any) -> None:
        if kind == "comm_open":
            self._open[comm.comm_id] = comm
        elif comm.comm_id not in self._open:
            return  # its cell is over
        elif kind == "comm_close":
            del self._open[comm.comm_id]
        elif not comm.primary and data.get("method") == "echo_update":
            return  # the kernel has the widget, too, and tells the front end
        extra = {
            "metadata": metadata,
            "buffers": [bytes(buffer) for buffer in buffers],
            "parent": getattr(self._parent, "msg_id", ""),
        }
        if kind == "comm_open":
            extra["link"], extra["kept"] = self._address(), self._kept
        self._emit(kind, ({"comm_id": comm.comm_id, "data": data, **keys}, extra))

    def _attach(self, comm_id: str) -> Any:
        """Make the comm of a widget that the kernel has, for a cell that got it."""
        if not self._on or self._class is None:
            return None
        return self._class(comm_id=comm_id, primary=False, target_name="jupyter.widget")

    def connect(self, objects: Callable[[], Iterable[Any]]) -> None:
        """Connect the widgets among the inputs of a cell to the front end."""
        widgets = ipywidgets_travel.loaded()
        if not self._on or widgets is None or self._class is None:
            return
        manager, ids = sys.modules[COMM_MODULE].get_comm_manager(), []
        for value in objects():
            if issubclass(type(value), widgets.Widget) and type(value.comm) is self._class:
                comm = value.comm
                manager.register_comm(comm)
                comm.on_msg(value._handle_msg)
                _instances()[comm.comm_id] = value
                self._open[comm.comm_id] = comm
                ids.append(comm.comm_id)
        if ids:
            self._emit(COMM_ATTACH, (ids, self._address()))

    # -------------------------------------------------------------------- messages

    def _address(self) -> str:
        if self._listener is None:
            self._listener = Listener(self._handle)
        return self._listener.address

    def _handle(self, message: Message) -> None:
        comm_id, msg_id, data, buffers = message
        while True:
            self._going_on.wait()
            with self._handling:
                if not self._going_on.is_set():
                    continue
                comm = self._open.get(comm_id)
                if comm is None:
                    return
                self._parent.msg_id = msg_id
                try:
                    content = {"comm_id": comm_id, "data": data}
                    views = [memoryview(buffer) for buffer in buffers]
                    comm.handle_msg(
                        {"header": {"msg_id": msg_id}, "content": content, "metadata": {}, "buffers": views}
                    )
                except Exception:
                    traceback.print_exc()
                finally:
                    self._parent.msg_id = ""
                    self._emit(COMM_DONE, (comm_id, msg_id))
                return


def _instances() -> dict[str, Any]:
    """Return all widgets of this process, by the ids of their comms."""
    found: dict[str, Any] = getattr(sys.modules.get("ipywidgets.widgets.widget"), "_instances", {})
    return found
