"""Catch what tasks print in this worker and send it to the task's owner.

Python's streams are replaced; text is coalesced for up to 50 ms and always sent before the
task's result. The same text goes to the worker's log file, as does what C code and child
processes write to descriptors 1 and 2: its last lines are told when the worker dies.
"""

from __future__ import annotations

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

    def write(self, stream: str, text: str) -> None:
        with self._lock:
            call = self.call_now() if self.call_now is not None else None
            if call is not None and (call.owner, call.number) != self._task:
                self.flush()
                self.name, self.origin = call.name, call.origin
                self._task = (call.owner, call.number)
            if stream != self._stream and self._parts:
                self.flush()
            self._log(text)  # at once: a worker that dies now is asked for its last words
            self._stream = stream
            self._parts.append(text)
            self._size += len(text)
            if self._size >= FLUSH_BYTES:
                self.flush()
                return
            if not self.pending:
                self.pending = True
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="nbray-output", daemon=True)
                    self._thread.start()
                self._wake.set()

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
        try:
            if self._logged > LOG_MAX_BYTES:
                os.ftruncate(1, 0)  # opened for appending, so the next line is the first
                self._logged = len(data)
            os.write(1, data)
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
            self._wake.wait()
            self._wake.clear()
            time.sleep(COALESCE_S)
            self.flush()
