"""Back the object store with memory ahead of demand, in a background thread.

The first touch of a page costs many times what copying into it does. The thread sleeps
until it is poked, so that an idle node does not wake up for it.
"""

from __future__ import annotations

import threading
import time

from nbray.config import Limits
from nbray.node.segment import Segment

_REST = 4  # times as long as a step took
_REST_MAX_S = 0.1
_THREADS_FIRST = 2  # until the memory is there for the first time: then the processors have little else to do


class Warmer:
    """The one background thread of the daemon."""

    def __init__(self, segment: Segment, limits: Limits) -> None:
        self._segment = segment
        self._ahead = limits.warm_ahead_bytes
        self._step = max(1, limits.warm_step_bytes)
        self._wanted = threading.Event()
        self._ended = False
        self._thread: threading.Thread | None = None

    def poke(self) -> None:
        """Look again whether memory is missing; starts the thread the first time."""
        if not self._ahead:
            return
        self._wanted.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="nbray-warmer", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End the thread after the step that it is in."""
        self._ended = True
        self._wanted.set()
        if self._thread is not None:
            self._thread.join(1.0)

    def _run(self) -> None:
        # The first large put comes soon after the start, so what is done before it is as
        # important as anything; from then on it yields to everybody, first of all to that put.
        # All in one call, which ends when somebody takes memory: another would not know of it.
        self._segment.warm(self._ahead, self._ahead, _THREADS_FIRST)
        # By resting, not by a low priority: a thread that hardly ever runs keeps what it holds (the store's lock, this
        # process's memory map) from those that do not yield.
        while not self._ended:
            begun = time.monotonic()
            while not self._ended and self._segment.warm(self._ahead, self._step) > 0:
                time.sleep(min(_REST * (time.monotonic() - begun), _REST_MAX_S))
                begun = time.monotonic()
            self._wanted.wait()
            self._wanted.clear()
