"""Hear of event rings that fill up between two drains.

The daemon drains by the clock, seldom while nothing happens; a burst of tasks fills a ring
sooner. Writers call on a futex word, which a poll of descriptors cannot wait for: so a
thread does, which sleeps until then.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from nbray.node.segment import Segment

_SLICE_S = 10.0  # longest sleep: only in case a call is lost


class RingWatch:
    """A background thread of the daemon.

    Parameters
    ----------
    segment
        Whose rings are watched.
    call
        Called in the thread when a ring is over half full.
    """

    def __init__(self, segment: Segment, call: Callable[[], None]) -> None:
        self._segment = segment
        self._call = call
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="nbray-rings", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._ended = True
        if self._thread.ident is not None:
            self._segment.call_drainer()
            self._thread.join(1.0)

    def _run(self) -> None:
        seen = 0
        while not self._ended:
            generation = self._segment.wait_for_events(seen, _SLICE_S)
            if generation < 0:
                return
            if generation != seen and not self._ended:
                seen = generation
                self._call()
