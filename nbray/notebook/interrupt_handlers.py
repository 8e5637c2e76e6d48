"""The worker's own handlers of signals: a cell may replace them, which ends with it, and bring one back."""

from __future__ import annotations

import signal
import threading
import types
from typing import Any

from nbray._cstore import lib

_OURS = ("nbray.worker.executor", "nbray.core.interrupts")
_SIGNALS = (signal.SIGINT, signal.SIGUSR1)  # by which a cell is interrupted


class Kept:
    """The handlers in force when a cell begins."""

    def __init__(self) -> None:
        self._before: list[Any] = []
        if threading.current_thread() is threading.main_thread():
            self._before = [signal.getsignal(signo) for signo in _SIGNALS]
            lib.nbs_interrupted_itself()  # it may stand behind a handler of Python's that is new

    def give_back(self) -> None:
        """Put them into force again."""
        for signo, handler in zip(_SIGNALS, self._before, strict=False):
            if signal.getsignal(signo) is not handler and callable(handler):
                signal.signal(signo, handler)
        if self._before:
            lib.nbs_interrupted_itself()


def reduce_handler(method: types.MethodType) -> Any:
    """Write the handler of SIGINT of a notebook or a worker as that of the receiver; None: it is another method."""
    if type(method.__self__).__module__ in _OURS:
        return signal.getsignal, (int(signal.SIGINT),)
    return None
