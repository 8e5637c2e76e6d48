"""Keep KeyboardInterrupt out of the middle of things.

Python raises KeyboardInterrupt between any two bytecodes of the main thread: also between
"taken from the queue" and "sent". So while the main thread holds one of the runtime's locks,
or gives a hold back in a ``__del__`` (where an exception would be swallowed), the interrupt
is put off, for microseconds: the service thread sends it again once the lock is free.

This takes a handler around the one in force. Jupyter sets its own for each cell, so the
handler is looked at whenever the process waits, and with every 32nd task submitted.
"""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType
from typing import Any

from nbray._cstore import lib
from nbray.core.records import StoreHold

_NEVER_INSIDE = frozenset({StoreHold.__del__.__code__, StoreHold.release.__code__})


class InterruptShield:
    """Decides whether an interrupt may strike now.

    Parameters
    ----------
    core : CoreWorker
    locks : tuple of RLock
        While the main thread holds one of them, no interrupt strikes.
    """

    def __init__(self, core: Any, locks: tuple[Any, ...]) -> None:
        self.core = core
        self.pending = False  # an interrupt was put off
        self._locks = locks
        self._handler = self._on_signal  # one object, so that it can be recognised
        self._previous: Any = None
        self._main = threading.main_thread().ident

    def install(self) -> None:
        """Take the handler of SIGINT, unless we have it, or there is none that raises."""
        if threading.get_ident() != self._main:
            return
        handler = signal.getsignal(signal.SIGINT)
        if handler is not self._handler and callable(handler):
            self._previous = handler
            signal.signal(signal.SIGINT, self._handler)

    def remove(self) -> None:
        """Give it back."""
        if threading.get_ident() == self._main and signal.getsignal(signal.SIGINT) is self._handler:
            signal.signal(signal.SIGINT, self._previous)

    def must_wait(self, frame: FrameType | None) -> bool:
        """Tell, in a signal handler, whether an exception must not be raised now; it is then put off."""
        if not any(lock._is_owned() for lock in self._locks):
            while frame is not None and frame.f_code not in _NEVER_INSIDE:
                frame = frame.f_back
            if frame is None:
                return False
        self.pending = True
        core = self.core
        if core.session.attached:
            lib.nbs_ring(core.seg, core.peer)
        return True

    def deliver(self) -> None:
        """In the service thread: send an interrupt that was put off, now that the lock is free."""
        with self.core.lock:
            self.pending = False
        signal.pthread_kill(self._main, signal.SIGINT)

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        __tracebackhide__ = True
        if os.getpid() == self.core.pid and self.must_wait(frame):
            return
        self._previous(signum, frame)
