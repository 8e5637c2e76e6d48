"""Show what tasks print and display under the cell that submitted them.

Every task carries an *origin*, the id of the message that ran its cell; nested tasks
inherit it. The router remembers the header of that message and sends straight to the
front end with it, because ipykernel itself only knows the cell that runs now. Text is
coalesced for 50 ms; what waits is sent in order. A cell that floods the front end is
held to the limits of ``output_flow``: text beyond them goes to a file, displays wait, and
of several updates of one display only the last is sent.

Without a kernel (IPython in a terminal) everything goes to ``sys.stdout`` and to the
shell's display publisher. So does the output of the present cell while something else
than the kernel's own streams is installed, as ``%%capture`` does.

Threads: ``sink`` is called from any thread; ``_lock`` guards the buffers and the order
of sending. One thread flushes late output; it lives while the extension is loaded.
"""

from __future__ import annotations

import base64
import sys
import threading
import time
from collections import OrderedDict, deque
from typing import Any

from . import comm_relay, logging_relays
from .late_output import LateOutput
from .output_flow import MESSAGES_PER_S, Flow
from .output_overflow import Overflow
from .runtime import runs_for
from .unheard import heard

COALESCE_S = 0.05
PENDING_CHARS = 1 << 18  # of text that waits; then it is dealt with at once
PENDING_MESSAGES = 300  # displays, and texts between them, that wait; the oldest beyond them go to the file
PENDING_BYTES = 1 << 24  # of displays that wait; the same
MANY_MESSAGES = 20  # that wait; what was printed to both streams in turn is then told as two texts
MAX_ORIGINS = 5_000  # cells remembered; the output of older ones goes to the present cell
MAX_ENDED = 256  # ends of cells that nobody asked for
TOO_MUCH, TOO_MANY = "more than 1 MB/s of output", f"more than {MESSAGES_PER_S:.0f} displays a second"
DISPLAY_KINDS = ("display_data", "execute_result", "update_display_data")


class _Cell:
    """What the router knows of one cell."""

    __slots__ = (
        "cell_id",
        "flow",
        "number",
        "overflow",
        "parent",
        "pending",
        "pending_bytes",
        "pending_chars",
        "sent_at",
        "told",
    )

    def __init__(self, parent: Any, number: int, now: float, cell_id: str = "") -> None:
        self.parent = parent
        self.number = number
        self.cell_id = cell_id
        self.flow = Flow(now)
        self.pending: deque[list[Any]] = deque()  # [kind, content], text as ["stream", name, [pieces]]
        self.pending_chars = 0
        self.pending_bytes = 0  # of displays
        self.sent_at = 0.0
        self.overflow: Overflow | None = None
        self.told = False  # where the rest of its output is


class OutputRouter:
    """Sends the output of tasks to the cell they belong to.

    Parameters
    ----------
    shell
        The IPython shell; its ``kernel``, if it has one, is used to send.
    ended_kind
        Kind of the message by which a cell's runner reports its end; kept for the magic.
    """

    def __init__(self, shell: Any, ended_kind: str) -> None:
        self.shell = shell
        self.kernel: Any = getattr(shell, "kernel", None)
        self._ended_kind = ended_kind
        self._lock = threading.RLock()
        self._cells: OrderedDict[str, _Cell] = OrderedDict()  # by origin
        self._later: list[tuple[str, dict[str, Any]]] = []  # (origin, display) for the end of the cell
        self._waiting: dict[str, _Cell] = {}  # those with something pending
        self._ended: OrderedDict[str, Any] = OrderedDict()  # key of a cell -> its end
        self._own_streams = (sys.stdout, sys.stderr)
        self._own_publisher = shell.display_pub
        self._wake = threading.Event()
        self._flusher: threading.Thread | None = None
        self._closed = False
        self.origin = ""
        self.late = LateOutput(self._send_now)
        self.comms = comm_relay.CommRelay(self.kernel, self._show_comm) if self.kernel is not None else None

    # --------------------------------------------------------------------- origins

    def enter_cell(self) -> str:
        """A cell begins: its tasks belong to it. Returns the origin."""
        parent = self._parent_now()
        header = parent.get("header", {}) if parent else {}
        self.origin = header.get("msg_id") or f"cell-{self.shell.execution_count}"
        with self._lock:
            known = self._cells.get(self.origin)
            if known is None:
                # IPython 9 counts a cell before it tells that one begins, IPython 8 afterwards.
                number = len(self.shell.history_manager.input_hist_parsed)
                cell_id = (parent.get("metadata") or {}).get("cellId") if parent else None
                cell_id = cell_id if isinstance(cell_id, str) else ""  # only notebooks tell of it
                self._cells[self.origin] = _Cell({"header": header}, number, time.monotonic(), cell_id)
            self._cells.move_to_end(self.origin)
            while len(self._cells) > MAX_ORIGINS:
                self._cells.popitem(last=False)
            if self.kernel is not None:
                self.late.cell_begins(parent or {})
        return self.origin

    def leave_cell(self) -> None:
        """The present cell ends: its last messages."""
        if self.kernel is not None:
            with self._lock:
                self.late.cell_ends(self.origin, runs_for(self.origin))

    def _parent_now(self) -> Any:
        if self.kernel is None:
            return {}
        try:
            return self.kernel.get_parent("shell")
        except TypeError:  # ipykernel < 6
            return self.kernel.get_parent()

    def cell_number(self, origin: str) -> int:
        """Return the number of the cell behind an origin; 0 when it is not known."""
        cell = self._cells.get(origin)
        return cell.number if cell is not None else 0

    def cell_of(self, origin: str) -> tuple[int, str] | None:
        """Return number and id of the notebook's cell behind an origin; None when they are not known. From any thread."""
        cell = self._cells.get(origin)
        return (cell.number, cell.cell_id) if cell is not None and cell.cell_id else None

    def _cell(self, origin: str) -> _Cell:
        cell = self._cells.get(origin)
        if cell is None:
            cell = self._cells[origin] = _Cell(self._parent_now(), 0, time.monotonic())
        return cell

    # ------------------------------------------------------------------------ sink

    def sink(self, origin: str, kind: str, content: Any, meta: dict[str, Any]) -> None:
        """Take one piece of output from the runtime."""
        if kind == self._ended_kind:
            key, data = content
            with self._lock:
                self._ended[key] = data
                while len(self._ended) > MAX_ENDED:
                    self._ended.popitem(last=False)
            return
        if kind == logging_relays.LOG_RECORD:
            logging_relays.handle(*content)
            return
        with self._lock:
            if kind in comm_relay.KINDS and (self.comms is None or not self.comms.received(origin, kind, content)):
                return
            cell = self._cell(origin)
            if kind == "stream":
                self._add_text(cell, *content)
                now = time.monotonic()
                if now - cell.sent_at < COALESCE_S and cell.pending_chars < PENDING_CHARS:
                    self._flush_later(origin, cell)
                    return
            else:
                self._add_message(cell, kind, content)
            self._flush(origin, cell)

    def _add_text(self, cell: _Cell, name: str, text: str) -> None:
        last = cell.pending[-1] if cell.pending else None
        if last is not None and last[0] == "stream" and last[1] == name:
            last[2].append(text)
        else:
            cell.pending.append(["stream", name, [text]])
        cell.pending_chars += len(text)

    def _add_message(self, cell: _Cell, kind: str, content: Any) -> None:
        pending = cell.pending
        if kind == "clear_output" and pending:
            # What waits would be gone as soon as it was seen; only updates may be of other cells.
            begin = max(
                (n for n, entry in enumerate(pending) if _turns(entry)), default=-1
            )  # what is before is elsewhere
            kept = [
                entry
                for n, entry in enumerate(pending)
                if n <= begin or entry[0] == "update_display_data" or entry[0] in comm_relay.KINDS
            ]
            pending.clear()
            pending.extend(kept)
            cell.pending_chars = sum(sum(map(len, entry[2])) for entry in kept if entry[0] == "stream")
            cell.pending_bytes = sum(map(_display_size, kept))
        elif kind == "update_display_data":
            name = content.get("transient", {}).get("display_id")
            for entry in pending:
                if entry[0] == kind and entry[1].get("transient", {}).get("display_id") == name:
                    pending.remove(entry)
                    cell.pending_bytes -= _display_size(entry)
                    break
        elif kind == "comm_msg":
            content = _with_earlier(pending, content)
        pending.append([kind, content])
        cell.pending_bytes += _display_size(pending[-1])

    def take_end(self, key: str) -> Any:
        """Return (once) what the runner reported when the cell ``key`` ended, or None."""
        with self._lock:
            return self._ended.pop(key, None)

    # -------------------------------------------------------------------- flushing

    def show_later(self, displays: list[dict[str, Any]]) -> None:
        """Display these at the end of the present cell, below its value."""
        self._later += [(self.origin, content) for content in displays]

    def flush(self) -> None:
        """Send all that waits, as at the end of a cell."""
        if self._later:
            later, self._later = self._later, []
            for origin, content in later:
                self.show(origin, "display_data", content)
        if not self._waiting:
            return
        with self._lock:
            for origin, cell in list(self._waiting.items()):
                self._flush(origin, cell, final=True)

    def finish(self, origin: str) -> None:
        """The cell is over: send what waits, and tell how much is in the file."""
        with self._lock:
            cell = self._cells.get(origin)
            if cell is None:
                return
            self._flush(origin, cell, final=True)
            if self.comms is not None:
                self.comms.ended(origin)
            overflow = cell.overflow
            if overflow is None:
                return
            cell.overflow = None
            overflow.close()
            self._notice(origin, f"{overflow.size / 1e6:,.1f} MB of this cell's output are in {overflow.path}")
            tail = overflow.last_lines()
            if tail:
                self._notice(origin, "its last lines:")
                self._send(origin, "stream", {"name": overflow.tail_name, "text": tail})

    def _flush(self, origin: str, cell: _Cell, final: bool = False) -> None:
        if len(cell.pending) > MANY_MESSAGES:
            _join_streams(cell.pending)
        pending, now = cell.pending, time.monotonic()
        while pending:
            entry = pending[0]
            too_many = len(pending) > PENDING_MESSAGES or cell.pending_bytes > PENDING_BYTES
            full = cell.pending_chars >= PENDING_CHARS or too_many
            may_send = final or cell.flow.may_send(now)
            if not (may_send or full):
                self._flush_later(origin, cell)
                return
            pending.popleft()
            if entry[0] == "stream":
                text = "".join(entry[2])
                cell.pending_chars -= len(text)
                if may_send or not too_many:
                    self._send_text(origin, cell, entry[1], text, now)
                else:
                    self._keep(origin, cell, entry[1], text, TOO_MANY)
                continue
            cell.pending_bytes -= _display_size(entry)
            if not may_send and entry[0] in DISPLAY_KINDS:
                plain = entry[1].get("data", {}).get("text/plain", "")
                self._keep(origin, cell, "stdout", f"{plain}\n", TOO_MANY)
            else:
                self._send(origin, entry[0], entry[1])
                cell.flow.sent()
                if cell.overflow is not None and entry[0] in DISPLAY_KINDS:
                    cell.overflow.tail = ""  # what came last is shown
        self._waiting.pop(origin, None)
        cell.sent_at = now

    def _send_text(self, origin: str, cell: _Cell, name: str, text: str, now: float) -> None:
        shown = text
        data = b"" if text.isascii() else text.encode("utf-8", "replace")  # what counts is bytes
        n_bytes = len(data) or len(text)
        share = cell.flow.share(n_bytes, now)
        if share < n_bytes:
            size = len(data[:share].decode("utf-8", "ignore")) if data else share
            shown = text[: text.rfind("\n", 0, size) + 1]  # whole lines
        if shown:
            self._send(origin, "stream", {"name": name, "text": shown})
            cell.flow.sent()
        if len(shown) < len(text):
            self._keep(origin, cell, name, text[len(shown) :], TOO_MUCH)
        elif cell.overflow is not None:
            cell.overflow.tail = ""  # what came last is shown

    def _keep(self, origin: str, cell: _Cell, name: str, text: str, why: str) -> None:
        """Write to the cell's file what is too much for the front end."""
        if cell.overflow is None:
            try:
                cell.overflow = Overflow(f"cell-{cell.number}-{abs(hash(origin)) % 0xFFFF:04x}")
            except OSError as error:
                if not cell.told:
                    cell.told = True
                    self._notice(origin, f"the cell writes too much to show, and no file takes it ({error})")
                return
            if not cell.told:
                cell.told = True
                self._notice(origin, f"{why}: the rest goes to {cell.overflow.path}")
        cell.overflow.write(name, text)

    def _notice(self, origin: str, text: str) -> None:
        self._send(origin, "stream", {"name": "stderr", "text": f"nbray: {text}\n"})

    def _flush_later(self, origin: str, cell: _Cell) -> None:
        self._waiting[origin] = cell
        if self._flusher is None:
            self._flusher = threading.Thread(target=self._flush_loop, name="nbray-output-router", daemon=True)
            self._flusher.start()
        self._wake.set()

    def _flush_loop(self) -> None:
        while not self._closed:
            self._wake.wait()
            self._wake.clear()
            time.sleep(COALESCE_S)
            with self._lock:
                for origin, cell in list(self._waiting.items()):
                    self._flush(origin, cell)

    def close(self) -> None:
        """Send what waits and end the thread."""
        self.flush()
        if self.comms is not None:
            self.comms.close()
        self._closed = True
        self._wake.set()

    # --------------------------------------------------------------------- sending

    def show(self, origin: str, kind: str, content: Any) -> None:
        """Send something of nbray's own under a cell, behind what waits there.

        An update finds its display by id, whatever cell it comes with; clients without a
        front end (nbclient) only listen to the cell that runs.
        """
        with self._lock:
            if kind == "update_display_data":
                origin = self.origin
            elif origin in self._cells:
                self._flush(origin, self._cells[origin])
            self._send(origin, kind, content)

    def _show_comm(self, origin: str, kind: str, content: Any, extra: dict[str, Any]) -> None:
        with self._lock:
            self._send(origin, kind, (content, extra))

    def _send(self, origin: str, kind: str, content: Any) -> None:
        if kind in DISPLAY_KINDS:
            content = _without_bytes(content)
        try:
            if kind in comm_relay.KINDS:
                self._send_comm(origin, kind, *content)
            elif self.kernel is None or (origin == self.origin and self._redirected()):
                self._send_local(kind, content)
            else:
                self._send_to_front_end(origin, kind, content)
        except Exception as error:  # output must never break the work
            print(f"nbray: output was lost: {type(error).__name__}: {error}", file=sys.__stderr__)

    def _redirected(self) -> bool:
        return (heard(sys.stdout), heard(sys.stderr)) != self._own_streams or (
            self.shell.display_pub is not self._own_publisher
        )

    def _send_to_front_end(self, origin: str, kind: str, content: Any) -> None:
        if origin == self.origin:
            # What the cell itself printed before comes first.
            for stream in self._own_streams:
                stream.flush()
        if not self.late.take(origin, self.origin, kind, content):
            self._answer(origin, kind, content)

    def _send_now(self, kind: str, content: dict[str, Any]) -> None:
        self._answer(self.origin, kind, content)

    def _answer(self, origin: str, kind: str, content: Any) -> None:
        cell = self._cells.get(origin)
        parent = cell.parent if cell is not None and cell.parent else self._parent_now()
        kernel = self.kernel
        kernel.session.send(kernel.iopub_socket, kind, content, parent=parent, ident=kernel._topic(kind))

    def _send_comm(self, origin: str, kind: str, content: Any, extra: dict[str, Any]) -> None:
        kernel = self.kernel
        if kind != "comm_open" and self.origin in self._cells:
            origin = self.origin  # a comm is found by its id; see ``show``
        cell = self._cells.get(origin)
        answered = self.comms.parent(extra.get("parent", "")) if self.comms is not None else None
        parent = cell.parent if cell is not None and cell.parent else self._parent_now()
        if answered is not None:
            parent = {"header": answered}
        kernel.session.send(
            kernel.iopub_socket,
            kind,
            content,
            metadata=extra.get("metadata"),
            parent=parent,
            ident=f"comm-{content['comm_id']}".encode(),
            buffers=extra.get("buffers"),
        )

    def _send_local(self, kind: str, content: Any) -> None:
        if kind == "stream":
            stream = heard(sys.stdout if content["name"] == "stdout" else sys.stderr)
            stream.write(content["text"])
            stream.flush()
        elif kind in DISPLAY_KINDS:
            self.shell.display_pub.publish(
                content["data"],
                content.get("metadata"),
                transient=content.get("transient"),
                update=kind == "update_display_data",
            )
        elif kind == "clear_output":
            self.shell.display_pub.clear_output(content.get("wait", False))
        elif kind == "error":
            print("\n".join(content["traceback"]), file=heard(sys.stderr))

    def show_error(self, origin: str, error: BaseException, text: list[str]) -> None:
        """Show an error under a cell that has ended (``--async``)."""
        with self._lock:
            cell = self._cells.get(origin)
            if cell is not None:
                self._flush(origin, cell, final=True)
            if self.kernel is None:
                self._send(origin, "stream", {"name": "stderr", "text": "\n".join(text) + "\n"})
            else:
                content = {"ename": type(error).__name__, "evalue": str(error), "traceback": text}
                self._send(origin, "error", content)


def _display_size(entry: list[Any]) -> int:
    """Return about how many bytes a display holds; 0 for other messages."""
    if entry[0] not in DISPLAY_KINDS:
        return 0
    return sum(len(value) for value in entry[1].get("data", {}).values() if isinstance(value, str | bytes))


def _join_streams(pending: deque[list[Any]]) -> None:
    """Make one text of each stream of those that follow each other: as many messages as changes of the stream would be too many."""
    joined: list[list[Any]] = []
    texts: dict[str, list[Any]] = {}
    for entry in pending:
        if entry[0] != "stream":
            texts = {}
        elif entry[1] in texts:
            texts[entry[1]][2].extend(entry[2])
            continue
        else:
            texts[entry[1]] = entry
        joined.append(entry)
    pending.clear()
    pending.extend(joined)


def _update_of(entry: list[Any]) -> dict[str, Any] | None:
    """Return the state that a message of a widget sets, if that is all that it does."""
    data = entry[1][0].get("data")
    if not isinstance(data, dict) or data.get("method") != "update" or "msg_id" in data.get("state", {"msg_id": 0}):
        return None
    state: dict[str, Any] = data["state"]
    return state


def _turns(entry: list[Any]) -> bool:
    """Whether output goes elsewhere from this message on: into an ``ipywidgets.Output``, or out of it."""
    if entry[0] != "comm_msg":
        return False
    data = entry[1][0].get("data")
    return isinstance(data, dict) and isinstance(data.get("state"), dict) and "msg_id" in data["state"]


def _with_earlier(pending: deque[list[Any]], content: Any) -> Any:
    """Take the last update of a widget, if it still waits, into the one that comes now."""
    new = _update_of(["comm_msg", content])
    if new is None:
        return content
    body, extra = content
    for entry in reversed(pending):
        if entry[0] not in comm_relay.KINDS or entry[1][0]["comm_id"] != body["comm_id"]:
            continue
        old = _update_of(entry) if entry[0] == "comm_msg" else None
        if old is None or entry[1][1]["parent"] != extra["parent"]:
            return content
        before, both = entry[1][0]["data"], body["data"]
        set_again = {*new, *(path[0] for path in both.get("buffer_paths", ()))}
        kept = [
            (path, buffer)
            for path, buffer in zip(before.get("buffer_paths", ()), entry[1][1]["buffers"], strict=False)
            if path[0] not in set_again
        ]
        data = {
            **both,
            "state": {**{name: value for name, value in old.items() if name not in set_again}, **new},
            "buffer_paths": [path for path, _ in kept] + list(both.get("buffer_paths", ())),
        }
        pending.remove(entry)
        buffers = [buffer for _, buffer in kept] + list(extra["buffers"])
        return {**body, "data": data}, {**extra, "buffers": buffers}
    return content


def _without_bytes(content: dict[str, Any]) -> dict[str, Any]:
    """Return display content that JSON can hold: pictures as base64 text."""
    data = {
        mime: base64.b64encode(value).decode() if isinstance(value, bytes) else value
        for mime, value in content.get("data", {}).items()
    }
    return {**content, "data": data}
