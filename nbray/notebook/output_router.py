"""Show what tasks print and display under the cell that submitted them.

Every task carries an *origin*, the id of the message that ran its cell; nested tasks
inherit it. The router remembers the header of that message and sends straight to the
front end with it, because ipykernel itself only knows the cell that runs now. Text is
coalesced for 50 ms; what waits is sent in order (``output_queue``). A cell that floods the
front end is held to the limits of ``output_flow``: text beyond them goes to a file, displays
wait, and of several updates of one display only the last is sent. A cell that ends while
displays wait ends when they are shown, after ``SHOW_S`` at the latest; one that runs in the
background does not wait for them.

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
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

from . import comm_relay, logging_relays
from .late_output import LateOutput
from .output_flow import MESSAGES_PER_S
from .output_overflow import Overflow
from .output_queue import DISPLAY_KINDS, FILE, NOTICE, PAGE, PENDING_CHARS, PENDING_OUTPUTS, OutputQueue, Verdict
from .runtime import runs_for
from .unheard import heard

COALESCE_S = 0.05
SHOW_S = 1.0 + PENDING_OUTPUTS / MESSAGES_PER_S  # in which a cell that has ended shows what waits
QUIET_S = 1.0  # after a cell's end: with nothing more for its file, what has come late is told
MAX_ORIGINS = 5_000  # cells remembered; the output of older ones goes to the present cell
MAX_ENDED = 256  # ends of cells that nobody asked for
WHY = {
    FILE: "more than 1 MB/s of output",
    PAGE: f"more than {MESSAGES_PER_S} displays or 1 MB a second",
}


class _Cell:
    """What the router knows of one cell."""

    __slots__ = ("cell_id", "kept_at", "number", "over", "overflow", "parent", "queue", "sent_at", "told", "told_end")

    def __init__(self, parent: Any, number: int, to_terminal: bool, cell_id: str = "") -> None:
        self.parent = parent
        self.number = number
        self.cell_id = cell_id
        self.queue = OutputQueue(to_terminal)
        self.sent_at = 0.0
        self.over = False  # it has ended: when nothing waits any more, what is in the file is told
        self.overflow: Overflow | None = None
        self.kept_at = 0.0  # when something was last written to its file
        self.told: set[str] = set()  # where the rest of its output goes
        self.told_end = False  # how much of it is there


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
                self._cells[self.origin] = _Cell({"header": header}, number, self.kernel is None, cell_id)
            self._cells.move_to_end(self.origin)
            while len(self._cells) > MAX_ORIGINS:
                self._cells.popitem(last=False)
            if self.kernel is not None:
                self.late.cell_begins(parent or {})
        return self.origin

    def leave_cell(self) -> None:
        """The present cell ends: its last messages."""
        if self.kernel is None or not self.late.needed:
            return
        # Not with our lock held: who brings output has the library's, and wants ours.
        leaves_work = runs_for(self.origin)
        with self._lock:
            for origin, cell in list(self._waiting.items()):  # nobody listens when the turn of what waits has come
                self._emit(origin, cell, cell.queue.all())
                self._emptied(origin, cell)
            self.late.cell_ends(self.origin, leaves_work)

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
            cell = self._cells[origin] = _Cell(self._parent_now(), 0, self.kernel is None)
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
                cell.queue.add_text(*content)
                now = time.monotonic()
                if now - cell.sent_at < COALESCE_S and cell.queue.chars < PENDING_CHARS:
                    self._flush_later(origin, cell)
                    return
            else:
                cell.queue.add(kind, content)
            self._flush(origin, cell)

    def take_end(self, key: str) -> Any:
        """Return (once) what the runner reported when the cell ``key`` ended, or None."""
        with self._lock:
            return self._ended.pop(key, None)

    # -------------------------------------------------------------------- flushing

    def show_later(self, displays: list[dict[str, Any]]) -> None:
        """Display these at the end of the present cell, below its value."""
        self._later += [(self.origin, content) for content in displays]

    def flush(self) -> None:
        """Send what waits, at the end of a cell."""
        if not (self._later or self._waiting):
            return
        with self._lock:
            later, self._later = self._later, []
            for origin, content in later:
                cell = self._cell(origin)
                cell.queue.add("display_data", content)
                self._waiting[origin] = cell
            for origin, cell in list(self._waiting.items()):
                self._flush(origin, cell)
        if self.origin in self._waiting:
            self._show_waiting(self.origin, self._waiting[self.origin])

    def finish(self, origin: str, patient: bool = True) -> bool:
        """The cell is over: show what waits, then tell how much is in the file.

        Parameters
        ----------
        patient
            Wait for displays to be shown, for ``SHOW_S`` at most. Else all that cannot be
            shown at once goes to the file.

        Returns
        -------
        bool
            Whether nobody interrupted that.
        """
        cell = self._end(origin)
        return cell is None or not cell.queue or self._show_waiting(origin, cell, SHOW_S if patient else 0.0)

    def finish_behind(self, origin: str) -> None:
        """The same for a cell that runs in the background: what waits is shown when its turn comes."""
        self._end(origin)

    def _end(self, origin: str) -> _Cell | None:
        with self._lock:
            cell = self._cells.get(origin)
            if cell is None:
                return None
            cell.over = True
            self._flush(origin, cell)
            if self.comms is not None:
                self.comms.ended(origin)
            return cell

    def _show_waiting(self, origin: str, cell: _Cell, patience_s: float = SHOW_S) -> bool:
        """Wait until the flusher has shown what waits; after a while, or at an interrupt, it goes to the file.

        What comes meanwhile, of tasks that go on, is not waited for. Returns whether there was no interrupt.
        """
        interrupted = False
        deadline = time.monotonic() + patience_s
        added = cell.queue.added
        try:
            while self._waits(cell, added) and time.monotonic() < deadline:
                time.sleep(COALESCE_S / 2)
        except KeyboardInterrupt:
            interrupted = True
        with self._lock:
            if cell.queue.waits(added):
                self._emit(origin, cell, cell.queue.rest(time.monotonic()))
                self._emptied(origin, cell)
        return not interrupted

    def _waits(self, cell: _Cell, added: int) -> bool:
        with self._lock:
            return cell.queue.waits(added)

    def _flush(self, origin: str, cell: _Cell) -> None:
        self._emit(origin, cell, cell.queue.due(time.monotonic))
        if cell.queue:
            self._flush_later(origin, cell)
        else:
            self._emptied(origin, cell)

    def _emptied(self, origin: str, cell: _Cell) -> None:
        self._waiting.pop(origin, None)
        now = cell.sent_at = time.monotonic()
        overflow = cell.overflow
        if not cell.over or overflow is None:
            return
        if cell.told_end and now - cell.kept_at < QUIET_S and not self._closed:
            self._flush_later(origin, cell)  # what it left running writes on: that is told once, behind it
            return
        cell.overflow, cell.told_end = None, True
        overflow.close()
        tail = overflow.last_lines()
        if where := " and ".join(overflow.paths()):
            last = "; its last lines:" if tail else ""
            said = f"nbray: {overflow.size / 1e6:,.1f} MB of this cell's output are in {where}{last}\n"
            cell.queue.tell("stderr", said)
        if tail:
            cell.queue.tell(overflow.tail_name, tail)
        self._flush(origin, cell)

    def _emit(self, origin: str, cell: _Cell, verdicts: Iterable[Verdict]) -> None:
        """Send, or write to the cell's file, what has left the queue."""
        for where, kind, content in verdicts:
            if where in (FILE, PAGE):
                self._keep(origin, cell, where, kind, content)
                continue
            if kind in ("stream", NOTICE):
                kind, content = "stream", dict(zip(("name", "text"), content, strict=True))
            self._send(origin, kind, content)
            if cell.overflow is not None and kind in ("stream", *DISPLAY_KINDS):
                cell.overflow.tail = ""  # what came last is shown

    def _keep(self, origin: str, cell: _Cell, where: str, kind: str, content: Any) -> None:
        """Write to the cell's file or page what is too much for the front end."""
        cell.kept_at = time.monotonic()
        if cell.overflow is None:
            cell.overflow = Overflow(f"cell-{cell.number}-{abs(hash(origin)) % 0xFFFF:04x}")
        overflow = cell.overflow
        if where == FILE:
            overflow.write(*content)
        elif kind == "stream":
            overflow.write_on_page(*content)
        else:
            overflow.show_on_page(_without_bytes(content))
        if where not in cell.told:
            cell.told.add(where)
            path = overflow.path if where == FILE else overflow.page
            said = (
                f"the rest goes to {path}" if overflow.error is None else f"no file takes the rest ({overflow.error})"
            )
            self._notice(origin, f"{WHY[where]}: {said}")
            cell.queue.flow.sent(time.monotonic())

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
        """Send what may be sent, write the rest to its file, and end the thread."""
        with self._lock:
            self._closed = True
            for origin, cell in list(self._waiting.items()):
                cell.over = True
                self._flush(origin, cell)
                self._emit(origin, cell, cell.queue.rest(time.monotonic()))
                self._emptied(origin, cell)
        if self.comms is not None:
            self.comms.close()
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
            if origin in self._cells:
                self._cells[origin].queue.flow.sent(time.monotonic())

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
        """Show an error under a cell that has ended (``--async``), behind what waits there."""
        content = {"ename": type(error).__name__, "evalue": str(error), "traceback": text}
        with self._lock:
            cell = self._cell(origin)
            cell.queue.add("error", content)
            self._flush(origin, cell)


def _without_bytes(content: dict[str, Any]) -> dict[str, Any]:
    """Return display content that JSON can hold: pictures as base64 text."""
    data = {
        mime: base64.b64encode(value).decode() if isinstance(value, bytes) else value
        for mime, value in content.get("data", {}).items()
    }
    return {**content, "data": data}
