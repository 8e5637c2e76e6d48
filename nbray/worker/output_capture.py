"""Catch what tasks print in this worker and send it to the task's owner.

Python's streams are replaced; text is coalesced for up to 50 ms and always sent before the
task's result. The same text goes to the worker's log file, as does what C code and child
processes write to descriptors 1 and 2: its last lines are told when the worker dies.
"""

from __future__ import annotations

import codecs
import io
import os
import pickle
import threading
import time
from collections.abc import Callable
from typing import Any

COALESCE_S = 0.05
FLUSH_BYTES = 16 * 1024
FULL_RING_PATIENCE_S = 5.0
FOREIGN_PERIOD_S = 0.1  # between two looks at what others than Python's streams write
FOREIGN_LINGER_S = 2.0  # the looks go on after a cell: to wake the thread for each costs every short cell
LOG_MAX_BYTES = 16 * 1024 * 1024  # of what tasks print; then the log begins anew


class TaskStream(io.TextIOBase):
    """``sys.stdout`` or ``sys.stderr`` of a worker."""

    def __init__(self, capture: OutputCapture, name: str, descriptor: int) -> None:
        self._capture = capture
        self._name = name
        self._descriptor = descriptor

    @property
    def name(self) -> str:
        return f"<{self._name}>"

    encoding = "utf-8"
    errors = "backslashreplace"

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return False

    def fileno(self) -> int:
        return self._descriptor

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if text:
            self._capture.write(self._name, text)
        return len(text)

    def flush(self) -> None:
        self._capture.flush()


class ForeignOutput:
    """What others than Python's streams append to this worker's log, which descriptors 1 and 2 are, from now on.

    The log stays what it is, so that the last words of a process that dies are in it. What this process logs of its own goes
    there by a descriptor with a position of its own, which tells where it came to lie, and is left out.
    """

    def __init__(self) -> None:
        self._log = os.open("/proc/self/fd/1", os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        self._pid = os.getpid()
        self._seen = os.fstat(self._log).st_size
        self._own: list[tuple[int, int]] = []  # (begin, end) of what is ours beyond what was seen
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def write_own(self, data: bytes) -> None:
        """Append to the log what is sent in another way."""
        if os.getpid() != self._pid:  # a child that was forked has the same position
            os.write(1, data)
            return
        written = os.write(self._log, data)
        end = os.lseek(self._log, 0, os.SEEK_CUR)
        self._own.append((end - written, end))

    def read(self) -> str:
        """Return a part of what others have written since the last time; "" when that was all."""
        while True:
            end = os.fstat(self._log).st_size
            if end < self._seen:  # the log began anew
                self._seen, self._own = 0, []
            if self._own and self._own[0][0] <= self._seen:
                self._seen = max(self._seen, self._own.pop(0)[1])
                continue
            end = min(end, self._own[0][0] if self._own else end, self._seen + FLUSH_BYTES)
            if end <= self._seen:
                return ""
            data = os.pread(self._log, end - self._seen, self._seen)
            self._seen += len(data)
            if text := self._decoder.decode(data, final=not data):
                return text

    def close(self) -> None:
        """Look no longer."""
        os.close(self._log)


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
        self.pending = False  # whether something is buffered
        self.origin = ""
        self.call_now: Any = None  # where calls run beside each other: tells which one this thread or coroutine runs
        self.name = ""  # of the running task
        self.actor = ""  # class, or own representation, of the actor that this worker is
        self.dropped = 0  # messages lost because the owner did not read
        self._logged = 0  # bytes in the log since it began
        self._foreign: ForeignOutput | None = None  # in the cell of a notebook
        self._watched_at = float("-inf")  # when a cell last began or ended
        self._looks = False  # the thread looks now and then, and need not be woken when a cell begins

    def write(self, stream: str, text: str) -> None:
        with self._lock:
            call = self.call_now() if self.call_now is not None else None
            if call is not None and (call.owner, call.number) != self._task:
                self.flush()
                self.name, self.origin = call.name, call.origin
                self._task = (call.owner, call.number)
            self._log(text)  # at once: a worker that dies now is asked for its last words
            self._add(stream, text)

    def _add(self, stream: str, text: str) -> None:
        if stream != self._stream and self._parts:
            self.flush()
        self._stream = stream
        self._parts.append(text)
        self._size += len(text)
        if self._size >= FLUSH_BYTES:
            self.flush()
            return
        if not self.pending:
            self.pending = True
            self._start_thread()
            self._wake.set()

    def _start_thread(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="nbray-output", daemon=True)
            self._thread.start()

    def watch_descriptors(self, on: bool) -> None:
        """Send also what C code and child processes write to descriptors 1 and 2, from now on, or no longer."""
        with self._lock:
            self._watched_at = time.monotonic()
            if on:
                self._foreign = ForeignOutput()
                self._start_thread()
                if not self._looks:
                    self._wake.set()
            elif self._foreign is not None:
                self._take_foreign()
                self._foreign.close()
                self._foreign = None

    def _take_foreign(self) -> None:
        foreign = self._foreign
        while foreign is not None and (text := foreign.read()):
            self._add("stdout", text)

    def flush(self) -> None:
        """Send what is buffered."""
        with self._lock:
            if not self._parts:
                return
            text, self._parts, self._size = "".join(self._parts), [], 0
            self.pending = False
            for start in range(0, len(text), FLUSH_BYTES):
                more = start + FLUSH_BYTES < len(text)
                self._post("stream", (self._stream, text[start : start + FLUSH_BYTES]), more)

    def _log(self, text: str) -> None:
        data = text.encode("utf-8", "backslashreplace")
        self._logged += len(data)
        foreign = self._foreign
        try:
            if self._logged > LOG_MAX_BYTES:
                self._take_foreign()
                os.ftruncate(1, 0)  # opened for appending, so the next line is the first
                self._logged = len(data)
            if foreign is None:
                os.write(1, data)
            else:
                self._take_foreign()
                foreign.write_own(data)
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
        if more:  # a long text was cut: the rest of its last line follows
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
        while True:
            with self._lock:
                self._looks = self._foreign is not None or time.monotonic() - self._watched_at < FOREIGN_LINGER_S
            woken = self._wake.wait(FOREIGN_PERIOD_S if self._looks else None)
            if woken:
                self._wake.clear()
                time.sleep(COALESCE_S)
            if self._foreign is not None:
                with self._lock:
                    self._take_foreign()
            if woken:  # else it would cut the line that is being printed
                self.flush()
