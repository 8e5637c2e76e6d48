"""Keep KeyboardInterrupt out of the middle of things.

Python raises KeyboardInterrupt between any two bytecodes of the main thread: also between
"taken from the queue" and "sent". So while the main thread holds one of the runtime's locks,
or runs a function marked ``uninterrupted`` (a write into the store) or a ``__del__`` of ours,
where an exception would be swallowed, the interrupt is put off until it is through with that.
What users call in loops looks at ``pending`` after that; the service thread sees to the rest.

This takes a handler around the one in force. Jupyter sets its own for each cell, so the
handler is looked at whenever the process waits, and with every 32nd task submitted.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # the C module below `signal`
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any, TypeVar

from nbray._cstore import lib

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep

Function = TypeVar("Function", bound=Callable[..., Any])

# That of the module `signal` looks each handler up in an enumeration first: 4 us, and `get` asks each time.
_getsignal: Callable[[int], Any] = _signal.getsignal
_SIGINT = int(signal.SIGINT)
_uninterrupted: set[CodeType] = set()


def uninterrupted(function: Function) -> Function:
    """Mark a short function of ours, which calls nothing of the user's: no interrupt strikes in it."""
    _uninterrupted.add(function.__code__)
    return function


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
        self.pending = 0  # the signal that was put off
        self._locks = locks
        self._handler = self._on_signal  # one object, so that it can be recognised
        self._previous: Any = None
        self._main = threading.main_thread().ident or 0

    def install(self) -> None:
        """Take the handler of SIGINT, unless we have it, or there is none that raises."""
        if threading.get_ident() != self._main or self.core.role != "driver":
            return  # a worker's handler asks must_wait itself
        handler = _getsignal(_SIGINT)
        if handler is not self._handler and callable(handler):
            self._previous = _unshielded(handler)
            signal.signal(signal.SIGINT, self._handler)

    def remove(self) -> None:
        """Give it back."""
        if threading.get_ident() == self._main and signal.getsignal(signal.SIGINT) is self._handler:
            signal.signal(signal.SIGINT, self._previous)

    def must_wait(self, signum: int, frame: FrameType | None) -> bool:
        """Tell, in a signal handler, whether it must not raise now; the signal is then sent again, soon."""
        if not any(lock._is_owned() for lock in self._locks) and not _is_uninterrupted(frame):
            return False
        self.pending = signum
        core = self.core
        if core.session.attached:
            lib.nbs_ring(core.seg, core.peer)
        return True

    def strike(self) -> None:
        """Where nothing is half done: let an interrupt that was put off happen now."""
        if threading.get_ident() == self._main:
            signum, self.pending = self.pending, 0
            if signum:
                signal.raise_signal(signum)

    def deliver(self) -> None:
        """In the service thread: send a signal that was put off, now that the lock is free.

        It stays put off while the main thread is where none may strike: there the handler would put it off again, and a
        signal could reach each handler within the one before.
        """
        with self.core.lock:
            if _is_uninterrupted(sys._current_frames().get(self._main)):
                return
            signum, self.pending = self.pending, 0
        if signum:
            signal.pthread_kill(self._main, signum)

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        __tracebackhide__ = True
        if os.getpid() == self.core.pid and self.must_wait(signum, frame):
            return
        self._previous(signum, frame)


def _is_uninterrupted(frame: FrameType | None) -> bool:
    """Tell whether a function is marked, or a ``__del__`` of ours, of those that have been called and not returned."""
    while frame is not None:
        code = frame.f_code
        if code in _uninterrupted or (code.co_name == "__del__" and code.co_filename.startswith(_PACKAGE)):
            return True
        frame = frame.f_back
    return False


def _unshielded(handler: Any) -> Any:
    """Return the handler below all shields: one of an earlier cluster may still be in place.

    Kept, they would call each other in a circle when either installs itself anew.
    """
    seen = []
    while isinstance(shield := getattr(handler, "__self__", None), InterruptShield):
        if shield in seen:
            return signal.default_int_handler
        seen.append(shield)
        handler = shield._previous
    return handler if callable(handler) else signal.default_int_handler
