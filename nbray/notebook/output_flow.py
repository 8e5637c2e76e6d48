"""How much of a cell's output the front end gets. Pure: the time comes from the caller.

A front end that is sent everything freezes. So each cell has two buckets: bytes of text
and messages, which fill up with time. Text that finds too few bytes goes to a file until
the flood is over, that is until the bucket would be half full again. Messages that find
the bucket empty wait.
"""

from __future__ import annotations

BYTES_PER_S = 1_000_000.0
BURST_BYTES = 1_000_000.0  # what a cell may print at once
MESSAGES_PER_S = 20.0
BURST_MESSAGES = 40.0


class Flow:
    """The buckets of one cell."""

    __slots__ = ("_bytes", "_messages", "_then", "flooded")

    def __init__(self, now: float) -> None:
        self._bytes, self._messages, self._then = BURST_BYTES, BURST_MESSAGES, now
        self.flooded = False  # text goes to the file

    def _fill(self, now: float) -> None:
        passed, self._then = max(0.0, now - self._then), now
        self._bytes = min(BURST_BYTES, self._bytes + passed * BYTES_PER_S)
        self._messages = min(BURST_MESSAGES, self._messages + passed * MESSAGES_PER_S)

    def may_send(self, now: float) -> bool:
        """Tell whether a message may go now."""
        self._fill(now)
        return self._messages >= 1.0

    def sent(self) -> None:
        """Count a message."""
        self._messages = max(0.0, self._messages - 1.0)

    def share(self, size: int, now: float) -> int:
        """Return how many of ``size`` bytes of text are shown; the rest goes to the file."""
        self._fill(now)
        if self.flooded and self._bytes - size >= BURST_BYTES / 2:
            self.flooded = False
        # What is not shown counts as well: the flood ends when it ebbs, not at once.
        shown = 0 if self.flooded else int(min(size, self._bytes))
        self._bytes = max(0.0, self._bytes - size)
        self.flooded = self.flooded or shown < size
        return shown
