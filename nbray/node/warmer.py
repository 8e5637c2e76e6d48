"""Back the object store with memory ahead of demand, in a background thread.

The first touch of a page costs many times what copying into it does. The thread sleeps
until it is poked, so that an idle node does not wake up for it.
"""

from __future__ import annotations

import contextlib
import os
import threading

from nbray.config import Limits
from nbray.node.segment import Segment

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
        with contextlib.suppress(OSError):
            # Not by being nice: beside such a thread a processor is busy, and the second thread of that put stays
            # with its first on the other one. Beside this one it counts as idle.
            os.sched_setscheduler(threading.get_native_id(), os.SCHED_IDLE, os.sched_param(0))
        while not self._ended:
            while not self._ended and self._segment.warm(self._ahead, self._step) > 0:
                pass
            self._wanted.wait()
            self._wanted.clear()
