"""Handlers of signals: those of the notebook are in force while a cell runs, those that the cell sets come back.

The worker's own, by which a cell is interrupted, a cell may replace, which ends with it. A timer ends with the cell as well:
what it would interrupt later is none of the notebook's.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # the C module below `signal`, which makes an enumeration's member of each number
import signal
import threading
import types
from collections.abc import Callable
from typing import Any

from nbray._cstore import lib
from nbray.core.interrupts_later import InterruptsLater

NAME = "_nbray_signal_handlers"  # private: under which they go to the worker
_OURS = ("nbray.worker.executor", "nbray.core.interrupts")
_SIGNALS = (signal.SIGINT, signal.SIGUSR1)  # by which a cell is interrupted
_OTHERS = (
    signal.SIGALRM, signal.SIGUSR2, signal.SIGHUP, signal.SIGVTALRM, signal.SIGPROF, signal.SIGWINCH, signal.SIGCHLD, signal.SIGPIPE,
)  # fmt: skip

Handlers = dict[int, Any]
getsignal: Callable[[int], Any] = _signal.getsignal


def of_the_notebook() -> Handlers:
    """Return the handlers in force that are functions of the notebook; in a worker, of its cell."""
    found = {int(signo): getsignal(signo) for signo in _OTHERS}
    return {signo: handler for signo, handler in found.items() if getattr(handler, "__module__", None) == "__main__"}


def put(handlers: Handlers) -> None:
    """Put handlers into force; only the main thread may."""
    if threading.current_thread() is threading.main_thread():
        for signo, handler in handlers.items():
            signal.signal(signo, handler)


class Kept:
    """The handlers in force when a cell begins.

    Parameters
    ----------
    own_process
        The cell is an actor's: what it sets stays in force there.
    """

    def __init__(self, own_process: bool = False) -> None:
        self._before: dict[int, Any] = {}
        self._sent: Handlers = {}
        self._own_process = own_process
        if threading.current_thread() is threading.main_thread():
            self._before = {signo: getsignal(signo) for signo in (*_SIGNALS, *_OTHERS)}
            lib.nbs_interrupted_itself()  # it may stand behind a handler of Python's that is new

    def take(self, handlers: Handlers) -> None:
        """Put those of the notebook into force."""
        if self._before:
            self._sent = handlers
            put(handlers)

    def changes(self) -> Handlers:
        """Return what the cell has changed: functions of its own, and numbers for what Python does by itself."""
        if not self._before:
            return {}
        now = of_the_notebook()
        changed: Handlers = {signo: handler for signo, handler in now.items() if self._sent.get(signo) is not handler}
        for signo in self._sent.keys() - now.keys():
            handler = getsignal(signo)
            if isinstance(handler, int):
                changed[signo] = handler
        return changed

    def give_back(self) -> None:
        """Put them into force again."""
        if self._before and not self._own_process:
            signal.setitimer(signal.ITIMER_REAL, 0)
        for signo, handler in self._before.items():
            mine = signo in _SIGNALS
            if (mine or not self._own_process) and getsignal(signo) is not handler and handler is not None:
                signal.signal(signo, handler)
        if self._before:
            lib.nbs_interrupted_itself()


def _handler_here() -> Any:
    handler = signal.getsignal(signal.SIGINT)
    later = getattr(handler, "__self__", None)
    return later.previous if isinstance(later, InterruptsLater) else handler


def reduce_handler(method: types.MethodType) -> Any:
    """Write the handler of SIGINT of a notebook or a worker as that of the receiver; None: it is another method."""
    if type(method.__self__).__module__ in _OURS:
        return _handler_here, ()
    return None
