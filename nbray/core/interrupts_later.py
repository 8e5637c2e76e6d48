"""Put off a Ctrl-C until something is done that is of no use by half."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType
from typing import Any, Literal

Strikes = Literal["at once", "when repeated", "later"]
PATIENCE_S = 1.0  # whoever interrupts again after so long seems to wait for something that does not end


class InterruptsLater:
    """Have an interrupt strike after the block. Where the main thread does not run it there is none to put off.

    Attributes
    ----------
    strikes : {"at once", "when repeated", "later"}
        What one does within the block: repeated is one that comes ``PATIENCE_S`` after another.
    previous : callable
        What handles interrupts otherwise; None: nothing does here.
    """

    def __init__(self, strikes: Strikes = "later") -> None:
        self.strikes = strikes
        self.previous: Any = None
        self._came: tuple[int, FrameType | None] | None = None
        self._came_at = 0.0

    def __enter__(self) -> InterruptsLater:
        if threading.current_thread() is threading.main_thread():
            previous = signal.getsignal(signal.SIGINT)
            if callable(previous):
                self.previous = previous
                signal.signal(signal.SIGINT, self._on_signal)
        return self

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        __tracebackhide__ = True
        repeated = self._came is not None and time.monotonic() - self._came_at >= PATIENCE_S
        if self.strikes == "at once" or (self.strikes == "when repeated" and repeated):
            self._came = None
            self.previous(signum, frame)
        elif self._came is None:
            self._came, self._came_at = (signum, frame), time.monotonic()

    def __exit__(self, *about: Any) -> None:
        __tracebackhide__ = True
        if self.previous is None:
            return
        signal.signal(signal.SIGINT, self.previous)
        if self._came is not None:
            self.previous(*self._came)
