"""Catch what tasks print in this worker and send it to the task's owner.

Python's streams are replaced; text is coalesced for up to 50 ms and always sent before the
task's result. The same text goes to the worker's log file: its last lines are told when the
worker dies. What C code and child processes write to descriptors 1 and 2 is looked for now and
then (``look``), and before the result of a task that was not very short (``send_words``).
"""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import pickle
import threading
import time
from collections.abc import Callable
from typing import Any

from nbray.core.log_index import LogIndex

from .foreign_output import ForeignOutput

COALESCE_S = 0.05
FLUSH_BYTES = 16 * 1024
FULL_RING_PATIENCE_S = 5.0
FOREIGN_PERIOD_S = 0.1  # between two looks at what others than Python's streams write
FOREIGN_LINGER_S = 2.0  # the looks go on after a cell, and after something was found
LOOK_BYTES = 1024 * 1024  # read at one look; others have their turn then
RESULT_BYTES = (
    256 * 1024 * 1024
)  # the same before a result, of what is there just then: a child that goes on writing is not waited for
LOG_MAX_BYTES = 16 * 1024 * 1024  # of what tasks print; then the log begins anew


class TaskStream(io.TextIOBase):
    """``sys.stdout`` or ``sys.stderr`` of a worker."""

    def __init__(self, capture: OutputCapture, name: str, descriptor: int) -> None:
        self._capture = capture
        self._name = name
        self._descriptor = descriptor
        self._bytes: _ByteStream | None = None

    @property
    def name(self) -> str:
        return f"<{self._name}>"

    encoding = "utf-8"
    errors = "backslashreplace"

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self._name in self._capture.terminals

    def fileno(self) -> int:
        return self._descriptor

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if text:
            self._capture.write(self._name, text)
        return len(text)

    @property
    def buffer(self) -> _ByteStream:
        """The same stream for bytes, which are taken for UTF-8."""
        if self._bytes is None:
            self._bytes = _ByteStream(self)
        return self._bytes

    def reconfigure(self, **options: Any) -> None:
        """Do nothing: text is sent soon in any case, and its encoding is settled."""

    def flush(self) -> None:
        self._capture.flush()


class _ByteStream(io.BufferedIOBase):
    """``sys.stdout.buffer``: a character may be written in pieces, and what is none is shown as an escape."""

    def __init__(self, text: TaskStream) -> None:
        self._text = text
        self._decoder = codecs.getincrementaldecoder(text.encoding)(text.errors)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._text.fileno()

    def write(self, data: Any) -> int:
        with memoryview(data) as view:
            self._text.write(self._decoder.decode(view.tobytes()))
            return view.nbytes

    def flush(self) -> None:
        self._text.flush()


class OutputCapture:
    """Buffers text per stream and sends it in order.

    Parameters
    ----------
    send : callable
        ``send(payload)`` puts a KIND_OUTPUT message into the channel of the running task;
        False when there is no room just now.
    running : callable
        Returns (owner, number) of the task that runs.
    """

    def __init__(self, send: Any, running: Callable[[], tuple[int, int]] = lambda: (0, 0)) -> None:
        self._send = send
        self._running = running
        self._task = (0, 0)  # that printed what is buffered, where calls run beside each other
        self._lock = threading.RLock()
        self._parts: list[str] = []
        self._stream = ""
        self._size = 0
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        # A child that the user's function forks and that prints finds the lock free, also when the thread had it just then.
        os.register_at_fork(
            before=self._lock.acquire, after_in_parent=self._lock.release, after_in_child=self._in_child
        )
        self._is_child = False  # of the worker: forked by the user's code
        self.pending = False  # whether something is buffered
        self.origin = ""
        self.call_now: Any = None  # where calls run beside each other: tells which one this thread or coroutine runs
        self.name = ""  # of the running task
        self.actor = ""  # class, or own representation, of the actor that this worker is
        self.dropped = 0  # messages lost because the owner did not read
        self.index: LogIndex | None = None  # which task wrote what of the log
        self._logged = 0  # bytes in the log since it began
        self._foreign: ForeignOutput | None = None
        self._in_cell = False
        self.terminals: frozenset[str] = frozenset()  # streams that say that they are terminals
        self._watched_at = float("-inf")  # when a cell last began or ended, or others had written something
        self._looks = False  # the thread looks often, and need not be woken for it
        self.any_call: Callable[[], Any] = lambda: None  # where calls run beside each other: one of them

    def _in_child(self) -> None:
        self._lock, self._wake = threading.RLock(), threading.Event()
        self._is_child, self._parts, self._size = True, [], 0

    def write(self, stream: str, text: str) -> None:
        with self._lock:
            if self._is_child:
                self._write_as_child(stream, text)
                return
            if self.call_now is not None:
                self._change_task(self.call_now())
            if self.index is not None:
                self.index.note(self._task if self.call_now is not None else self._running())
            self._log(stream, text)  # at once: a worker that dies now is asked for its last words
            self._add(stream, text)

    def _write_as_child(self, stream: str, text: str) -> None:
        """Leave it to the worker to find this; a child has no thread of ours, which would keep it from ending with its code."""
        with contextlib.suppress(OSError):
            own = 1 if stream == "stdout" and self._foreign is not None else 2
            os.write(own, text.encode("utf-8", "backslashreplace"))

    def _change_task(self, call: Any) -> None:
        """What comes next is of ``call``, where calls run beside each other; None: it cannot be told."""
        if call is not None and (call.owner, call.number) != self._task:
            self.flush()
            self.name, self.origin = call.name, call.origin
            self._task = (call.owner, call.number)

    def _add(self, stream: str, text: str) -> None:
        if stream != self._stream and self._parts:
            self.flush()
        self._stream = stream
        self._parts.append(text)
        self._size += len(text)
        if self._size >= FLUSH_BYTES:
            self._flush_lines()
            if not self._parts:
                return
            self._wake.set()  # the thread may have been there before the rest was
        if not self.pending:
            self.pending = True
            self._start_thread()
            self._wake.set()

    def _start_thread(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="nbray-output", daemon=True)
            self._thread.start()

    def watch_others(self, segment: Any) -> None:
        """From now on send also what C code and child processes write to descriptors 1 and 2."""
        with contextlib.suppress(OSError, ValueError):  # they are not the worker's files: its disk is full
            self._foreign = ForeignOutput()
            self._foreign.before_results(segment)

    def watch_descriptors(self, on: bool) -> None:
        """Look often from now on, as a cell begins, or no longer. What others wrote before it is in the log alone."""
        with self._lock:
            self._watched_at = time.monotonic()
            self._in_cell = on
            if self._foreign is None:
                return
            if on:
                if self.index is not None:
                    self.index.note(self._running())  # if it dies, the words of the cells before are not its own
                self._foreign.begin()
                self._start_thread()
                if not self._looks:
                    self._wake.set()
            else:
                self._take_foreign(RESULT_BYTES)

    def look(self) -> None:
        """Have what others have written sent soon, if there is something; called now and then, by any thread."""
        if self._foreign is not None and not self._looks and self._foreign.grew() and os.getpid() == self._foreign.pid:
            self._watched_at = time.monotonic()
            self._start_thread()
            self._wake.set()

    def send_words(self) -> None:
        """Send what others have written, and what is buffered."""
        with self._lock:
            self._take_foreign(RESULT_BYTES)
            self.flush()

    def _take_foreign(self, most: int) -> None:
        foreign = self._foreign
        if foreign is None or self._is_child or not foreign.grew():
            return
        self._watched_at = time.monotonic()
        if self.call_now is not None:
            self._change_task(self.call_now() or self.any_call())
        if self.index is not None:
            task = self._task if self.call_now is not None else self._running()
            self.index.note(task, foreign.begin_of_log())
        for stream, text in foreign.read(most):
            self._add(stream, text)

    def flush(self) -> None:
        """Send what is buffered."""
        with self._lock:
            if self._parts:
                self._send_text("".join(self._parts), "")

    def _flush_lines(self) -> str:
        """Send the lines that have ended; return the last one if it has not, which is kept, of a long one its end.

        ``print`` writes a text and the end of its line one after the other: sent apart, they would be shown as two lines.
        """
        with self._lock:
            text = "".join(self._parts)
            end = text.rfind("\n") + 1
            while len(text) - end > FLUSH_BYTES:
                end += FLUSH_BYTES
            rest = text[end:]
            self._send_text(text[:end], rest)
            return rest

    def _send_text(self, text: str, rest: str) -> None:
        """Send ``text``, and keep ``rest`` of what is buffered."""
        self._parts, self._size = [rest] if rest else [], len(rest)
        self.pending = bool(rest)
        cut = bool(rest) and not text.endswith("\n")
        for start in range(0, len(text), FLUSH_BYTES):
            more = cut or start + FLUSH_BYTES < len(text)
            self._post("stream", (self._stream, text[start : start + FLUSH_BYTES]), more)

    def _flush_soon(self, waited: str) -> str:
        """Send what has been printed for a while; return a line that has not ended, and waits for its end one time."""
        with self._lock:
            if waited and self._parts and self._parts[0] is waited and not any("\n" in part for part in self._parts):
                self.flush()
                return ""
            return self._flush_lines()

    def _log(self, stream: str, text: str) -> None:
        data = text.encode("utf-8", "backslashreplace")
        self._logged += len(data)
        try:
            if self._logged > LOG_MAX_BYTES:
                self._take_foreign(LOOK_BYTES)
                os.ftruncate(2, 0)  # opened for appending, so the next line is the first
                if self.index is not None:
                    self.index.log_began_anew()
                    self.index.note(self._task if self.call_now is not None else self._running())
                if self._foreign is not None:
                    self._foreign.log_began_anew()
                self._logged = len(data)
            if self._foreign is not None:
                if self._foreign.waits():
                    self._take_foreign(LOOK_BYTES)
                self._foreign.write_own(stream, data)
                if self._foreign.left:
                    self._take_foreign(LOOK_BYTES)
            else:
                os.write(2, data)
        except OSError:  # the disk is full, or the user closed the descriptor
            return

    def emit(self, kind: str, content: Any) -> None:
        """Send a piece that is not text, after the text before it."""
        with self._lock:
            self.flush()
            self._post(kind, content)

    def _post(self, kind: str, content: Any, more: bool = False) -> None:
        task = self._task if self.call_now is not None else self._running()
        meta: dict[str, Any] = {"name": self.actor or self.name, "pid": os.getpid(), "task": task}
        if more:  # a long text was cut: the rest follows
            meta["more"] = True
        self.forward(pickle.dumps((self.origin, kind, content, meta), 5))

    def forward(self, payload: bytes) -> None:
        """Send a message as it is; waits a little for room in the ring, then drops it."""
        deadline = 0.0
        while not self._send(payload, self.origin):
            now = time.monotonic()
            deadline = deadline or now + FULL_RING_PATIENCE_S
            if now > deadline:
                self.dropped += 1
                return
            time.sleep(0.002)

    def _run(self) -> None:
        unfinished = ""
        while True:
            with self._lock:
                self._looks = self._in_cell or time.monotonic() - self._watched_at < FOREIGN_LINGER_S
            woken = self._wake.wait(FOREIGN_PERIOD_S if self._looks else None)
            if woken:
                self._wake.clear()
                time.sleep(COALESCE_S)
            if self._foreign is not None:
                with self._lock:
                    self._take_foreign(LOOK_BYTES)
            if woken:
                unfinished = self._flush_soon(unfinished)
                if unfinished:
                    self._wake.set()
