"""Comms of cells that run on workers, in the kernel: the front end talks to the kernel alone.

A comm that a worker opens gets a stand-in among the kernel's own. While the cell runs, the stand-in hands what the front end
sends to the worker (``worker_comms``). It remembers the state of a widget as it passes by, so that the widget goes on to show it
when the cell is over or its worker dead, and when a page is loaded anew. A widget that comes back under a name, or inside of what
does, takes over its comm and is as live as one made here. A widget of the kernel's that a cell uses keeps its comm; what the
front end sends is then heard in both places.

Each message is handled once: the worker says which ones it has handled, and the others are handled here when the cell is over.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import threading
from base64 import standard_b64encode
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

from . import ipywidgets_travel
from .comm_link import Link
from .comm_routes import forget_subshell, keep_subshell
from .worker_comms import COMM_ATTACH, COMM_DONE

KINDS = ("comm_open", "comm_msg", "comm_close", COMM_ATTACH, COMM_DONE)
WIDGET_TARGET = "jupyter.widget"
MAX_PARENTS = 1_000  # headers of the front end's messages that answers may be to
_BINARY = (memoryview, bytearray, bytes)

Send = Callable[[str, str, dict[str, Any], dict[str, Any]], None]  # origin, kind, content, extra


class Relayed:
    """A comm that a worker has opened, as the kernel's comm manager sees it; or one of the kernel's that a worker uses, too."""

    primary = True
    target_module = None

    def __init__(self, relay: CommRelay, origin: str, comm_id: str, link: Link | None) -> None:
        self._relay = relay
        self.origin = origin
        self.comm_id = comm_id
        self.target_name = WIDGET_TARGET
        self.link = link  # None: the cell is over
        self.kept = False  # by an actor: it does not end with the cell
        self.state: dict[str, Any] | None = None  # of a widget that only the worker has
        self.own: Any = None  # the kernel's comm, where there is a widget here
        self.own_callback: Any = None
        self.left: OrderedDict[str, Any] = OrderedDict()  # messages that the worker has not handled yet
        self._closed = False

    def handle_msg(self, msg: dict[str, Any]) -> None:
        """Take a message of the front end: for the worker, or to be answered here when there is none."""
        if not self.hand_on(msg) and self.own is None:
            self.answer(msg)

    def hand_on(self, msg: dict[str, Any]) -> bool:
        link = self.link
        if link is None:
            return False
        header, content = msg["header"], msg["content"]
        self._relay.remember(header)
        self.left[header["msg_id"]] = msg
        buffers = [bytes(buffer) for buffer in msg.get("buffers", ())]
        if link.send((self.comm_id, header["msg_id"], content["data"], buffers)):
            return True
        self.link = None
        self.left.pop(header["msg_id"], None)
        return False

    def heard_here(self, msg: dict[str, Any]) -> None:
        """A message for a widget that is here and in a worker."""
        if self.own_callback is not None:
            self.own_callback(msg)
        self.hand_on(msg)

    def handle_close(self, msg: dict[str, Any]) -> None:
        """The front end has closed it."""
        self._relay.forget(self)

    # ------------------------------------------------------------- without a worker

    def answer(self, msg: dict[str, Any]) -> None:
        """Do for the front end what a widget does that nobody listens to."""
        data = msg["content"]["data"]
        if self.state is None or not isinstance(data, dict):
            return
        parent = msg["header"]
        if data.get("method") == "request_state":
            self._tell(parent, "update", self.state)
        elif data.get("method") == "update":
            new = data.get("state", {})
            with contextlib.suppress(LookupError, TypeError):
                _put_buffers(new, data.get("buffer_paths", ()), msg.get("buffers", ()))
            self.state.update(new)
            if os.environ.get("JUPYTER_WIDGETS_ECHO", "1").lower() not in ("0", "false", "no", "off"):
                self._tell(parent, "echo_update", new)

    def _tell(self, parent: Any, method: str, state: dict[str, Any]) -> None:
        self._relay.remember(parent)
        paths: list[list[Any]] = []
        buffers: list[Any] = []
        state = _without_buffers(state, [], paths, buffers)
        content = {"comm_id": self.comm_id, "data": {"method": method, "state": state, "buffer_paths": paths}}
        self._relay.send(self.origin, "comm_msg", content, {"buffers": buffers, "parent": parent.get("msg_id", "")})

    def saw(self, data: Any, buffers: Any) -> None:
        """Remember what the worker has told the front end."""
        if self.state is None or not isinstance(data, dict) or data.get("method") not in ("update", "echo_update"):
            return
        state = _copied(data.get("state", {}))
        with contextlib.suppress(LookupError, TypeError):
            _put_buffers(state, data.get("buffer_paths", ()), buffers)
        self.state.update(state)

    def end(self) -> None:
        """The worker's part is over."""
        self.link = None
        if self.own is None and self.state is not None and self.state.get("msg_id"):
            # An Output that still takes what the cell shows: nobody would tell it to stop.
            self.state["msg_id"] = ""
            self._tell({}, "update", {"msg_id": ""})
        if self.own is not None and self.own._msg_callback == self.heard_here:
            self.own.on_msg(self.own_callback)
            forget_subshell(self.own)

    def answer_the_rest(self) -> None:
        """Handle what the worker did not get to."""
        while self.left and self.link is None:
            _, msg = self.left.popitem(last=False)
            if self.own is None:
                self.answer(msg)
            elif self.own_callback is not None:
                self.own_callback(msg)


class RestingWidget:
    """A widget whose Python object has gone with its worker, among those of ipywidgets here: a page that is loaded anew asks these."""

    def __init__(self, relayed: Relayed) -> None:
        self._relayed = relayed
        self.model_id = relayed.comm_id
        self.comm = None

    def __getattr__(self, name: str) -> Any:
        state = self._relayed.state or {}
        if name in ("_model_name", "_model_module", "_model_module_version"):
            return state.get(name, "")
        raise AttributeError(name)

    def get_state(self, key: Any = None, drop_defaults: bool = False) -> dict[str, Any]:
        return dict(self._relayed.state or {})

    def _get_embed_state(self, drop_defaults: bool = False) -> dict[str, Any]:
        paths: list[list[Any]] = []
        buffers: list[Any] = []
        state = _without_buffers(self._relayed.state or {}, [], paths, buffers)
        embedded = {name.removeprefix("_"): getattr(self, name) for name in ("_model_name", "_model_module")}
        embedded.update(model_module_version=self._model_module_version, state=state)
        if buffers:
            embedded["buffers"] = [
                {"encoding": "base64", "path": path, "data": standard_b64encode(data).decode()}
                for path, data in zip(paths, buffers, strict=True)
            ]
        return embedded

    def close(self) -> None:
        self._relayed._relay.close_comm(self._relayed)


class CommRelay:
    """All comms of the cells of one kernel.

    Parameters
    ----------
    kernel
        The ipykernel.
    send
        ``send(origin, kind, content, extra)`` sends a message with the header of the cell ``origin``, or of the message of the
        front end that ``extra["parent"]`` names.
    """

    def __init__(self, kernel: Any, send: Send) -> None:
        self._kernel, self._manager = kernel, kernel.comm_manager
        self.send = send
        self._lock = threading.RLock()
        self._links: dict[str, Link] = {}
        self._relayed: dict[str, Relayed] = {}
        self._running: dict[str, list[Relayed]] = {}  # by origin: what a worker is connected to
        self._ended: list[Relayed] = []  # since the last look
        self._parents: OrderedDict[str, Any] = OrderedDict()  # headers by id
        ipywidgets_travel.adopt = self.adopt

    def remember(self, header: Any) -> None:
        """Keep the header of a message of the front end, to which a worker may answer."""
        if header.get("msg_id"):
            with self._lock:
                self._parents[header["msg_id"]] = header
                while len(self._parents) > MAX_PARENTS:
                    self._parents.popitem(last=False)

    def parent(self, msg_id: str) -> Any:
        """Return the header of that message, or None."""
        return self._parents.get(msg_id)

    # ----------------------------------------------------------------- from a worker

    def received(self, origin: str, kind: str, content: Any) -> bool:
        """Take note of a message; returns whether the front end gets it.

        Called from any thread, in the order in which the worker has sent.
        """
        with self._lock:
            if kind == COMM_ATTACH:
                self._attach(origin, *content)
                return False
            if kind == COMM_DONE:
                comm_id, msg_id = content
                relayed = self._relayed.get(comm_id)
                if relayed is not None:
                    relayed.left.pop(msg_id, None)
                return False
            body, extra = content
            comm_id = body["comm_id"]
            if kind == "comm_open":
                self._open(origin, body, extra)
                return True
            relayed = self._relayed.get(comm_id)
            if relayed is None or relayed.link is None:
                return False  # it was closed here, or its cell has ended
            if kind == "comm_close":
                self.forget(relayed)
            else:
                relayed.saw(body["data"], extra["buffers"])
            return True

    def _link(self, address: str) -> Link:
        link = self._links.get(address)
        if link is None or link.broken:
            link = self._links[address] = Link(address)
        return link

    def _open(self, origin: str, body: dict[str, Any], extra: dict[str, Any]) -> None:
        relayed = Relayed(self, origin, body["comm_id"], self._link(extra.pop("link")))
        relayed.kept = extra.pop("kept")
        relayed.target_name = body.get("target_name", "comm")
        if relayed.target_name == WIDGET_TARGET:
            relayed.state = {}
            relayed.saw({"method": "update", **body["data"]}, extra["buffers"])
        self._relayed[relayed.comm_id] = relayed
        self._running.setdefault(origin, []).append(relayed)
        self._manager.register_comm(relayed)

    def _attach(self, origin: str, ids: list[str], address: str) -> None:
        link = self._link(address)
        for comm_id in ids:
            own = self._manager.comms.get(comm_id)
            if own is None or isinstance(own, Relayed):
                continue
            relayed = Relayed(self, origin, comm_id, link)
            self._listen_too(relayed, own)
            self._relayed[comm_id] = relayed
            self._running.setdefault(origin, []).append(relayed)

    def _listen_too(self, relayed: Relayed, own: Any) -> None:
        """Have what the front end sends to a comm of the kernel go to the worker as well."""
        before = own._msg_callback
        previous = getattr(before, "__self__", None)
        if isinstance(previous, Relayed):  # another cell that runs
            before = previous.own_callback
        relayed.own, relayed.own_callback = own, before
        own.on_msg(relayed.heard_here)
        keep_subshell(own)

    # ------------------------------------------------------------------ ends of cells

    def ended(self, origin: str) -> None:
        """A cell is over: its widgets rest, unless an actor keeps them."""
        if not self._links and not self._running:  # nobody has opened a comm
            return
        with self._lock:
            running = self._running.pop(origin, ())
            for relayed in running:
                if not relayed.kept:
                    relayed.end()
                    if relayed.own is not None and self._relayed.get(relayed.comm_id) is relayed:
                        del self._relayed[relayed.comm_id]
            self._ended += running
            used = {relayed.link.address for relayed in self._relayed.values() if relayed.link is not None}
            for address in self._links.keys() - used:
                self._links.pop(address).close()

    def settle(self, origin: str) -> None:
        """What came back has taken over its widgets: see to the others.

        Called by the main thread at the end of each cell, here of ``origin``.
        """
        if not self._ended:
            return
        with self._lock:
            ended, self._ended = self._ended, []
        for relayed in ended:
            relayed.answer_the_rest()
        resting = [
            relayed for relayed in ended if relayed.own is None and relayed.state is not None and not relayed._closed
        ]
        if not resting:
            return
        for relayed in resting:
            if relayed.origin != origin and relayed.state:
                # It ended in the background, unseen by clients that only follow the cell that runs (nbclient).
                relayed._tell({}, "update", relayed.state)
        try:
            importlib.import_module("ipywidgets")  # as a cell that runs here has done with its first widget
        except ImportError:
            return
        instances = getattr(sys.modules.get("ipywidgets.widgets.widget"), "_instances", {})
        for relayed in resting:
            instances.setdefault(relayed.comm_id, RestingWidget(relayed))

    def adopt(self, widget: Any) -> bool:
        """Give a widget that came back its comm; False: the front end does not know it."""
        with self._lock:
            relayed = self._relayed.get(widget.comm.comm_id)
            if relayed is None or relayed._closed:
                return False
            comm = importlib.import_module("comm").create_comm(
                comm_id=relayed.comm_id, primary=False, target_name=WIDGET_TARGET
            )
            if getattr(comm, "kernel", comm) is None:  # which ipykernel sets when the comm is opened
                comm.kernel = self._kernel
            if relayed.own is not None:
                relayed.own._closed = True  # a widget that an earlier cell of the actor has brought
            self._manager.register_comm(comm)
            placeholder = widget.comm
            placeholder._closed = True
            widget.comm = comm
            relayed.own, relayed.own_callback, relayed.state = comm, comm._msg_callback, None
            if relayed.link is not None:
                comm.on_msg(relayed.heard_here)
                keep_subshell(comm)
            else:
                del self._relayed[relayed.comm_id]
        relayed.answer_the_rest()
        return True

    def forget(self, relayed: Relayed) -> None:
        """A comm is closed."""
        with self._lock:
            relayed._closed = True
            self._relayed.pop(relayed.comm_id, None)
            if self._manager.comms.get(relayed.comm_id) is relayed:
                del self._manager.comms[relayed.comm_id]
            instances = getattr(sys.modules.get("ipywidgets.widgets.widget"), "_instances", {})
            if isinstance(instances.get(relayed.comm_id), RestingWidget):
                del instances[relayed.comm_id]

    def close_comm(self, relayed: Relayed) -> None:
        """Close a comm whose worker has ended."""
        if not relayed._closed:
            self.forget(relayed)
            self.send(relayed.origin, "comm_close", {"comm_id": relayed.comm_id, "data": {}}, {})

    def close(self) -> None:
        """The extension is unloaded."""
        with self._lock:
            for origin in list(self._running):
                self.ended(origin)
            for link in self._links.values():
                link.close()
            self._links.clear()
        ipywidgets_travel.adopt = None


# ------------------------------------------------------- buffers in the state of a widget


def _put_buffers(state: Any, paths: Any, buffers: Any) -> None:
    for path, buffer in zip(paths, buffers, strict=False):
        place = state
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = buffer


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(part) for key, part in value.items()}
    return [_copied(part) for part in value] if isinstance(value, (list, tuple)) else value


def _without_buffers(value: Any, path: list[Any], paths: list[list[Any]], buffers: list[Any]) -> Any:
    """Return a state without its buffers; these, and where they were, go into the lists."""
    if not isinstance(value, (dict, list, tuple)):
        return value
    found = list(_parts(value))
    kept: Any = {} if isinstance(value, dict) else [None] * len(found)
    for key, part in found:
        if isinstance(part, _BINARY):
            paths.append([*path, key])
            buffers.append(part)
        else:
            kept[key] = _without_buffers(part, [*path, key], paths, buffers)
    return kept


def _parts(value: Any) -> Iterator[tuple[Any, Any]]:
    return iter(value.items()) if isinstance(value, dict) else iter(enumerate(value))
