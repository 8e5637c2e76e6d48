"""How much of a cell's output the front end gets. Pure: the time comes from the caller.

A front end that is sent everything freezes. So in no second does a cell send it more than
so many messages and so many bytes. Text for which there is no room goes to a file until the
flood is over; displays wait for their turn. A display that is larger than what a second
takes cannot be sent in parts: it goes when nothing else has gone, and takes as many seconds
as it is large. A little room is kept from displays, so that the line printed between two of
them is not held back by them.
"""

from __future__ import annotations

from collections import deque

WINDOW_S = 1.0
MESSAGES_PER_S = 20
BYTES_PER_S = 1_000_000
TEXT_BYTES_PER_S = 16_000  # of these, for text alone


class Flow:
    """What one cell has sent in the last second, and what has come of text.

    Parameters
    ----------
    to_terminal
        What is shown are lines, which nothing has to draw: only bytes of text count.
    """

    __slots__ = (
        "_came",
        "_came_bytes",
        "_display_bytes",
        "_owed_until",
        "_sent",
        "_text_bytes",
        "_to_terminal",
        "flooded",
    )

    def __init__(self, to_terminal: bool = False) -> None:
        self._to_terminal = to_terminal
        self._sent: deque[tuple[float, int, int]] = deque()  # (when, bytes of text, bytes of displays)
        self._text_bytes = self._display_bytes = 0  # of ``_sent``
        self._owed_until = 0.0  # a display larger than a second's share takes all until then
        self._came: deque[tuple[float, int]] = deque()  # (when, bytes) of text, shown or not
        self._came_bytes = 0
        self.flooded = False  # text goes to the file

    def _look(self, now: float) -> None:
        """Forget what is older than a second."""
        sent, came, then = self._sent, self._came, now - WINDOW_S
        while sent and sent[0][0] <= then:
            _, text, display = sent.popleft()
            self._text_bytes -= text
            self._display_bytes -= display
        while came and came[0][0] <= then:
            self._came_bytes -= came.popleft()[1]

    def _taken_by_displays(self, now: float) -> int:
        return self._display_bytes if now >= self._owed_until else BYTES_PER_S - TEXT_BYTES_PER_S

    def may_send(self, now: float, size: int = 0) -> bool:
        """Tell whether a message may go now, with a display of ``size`` bytes."""
        if self._to_terminal:
            return True
        self._look(now)
        if len(self._sent) >= MESSAGES_PER_S:
            return False
        if not size:
            return True
        taken = self._taken_by_displays(now) + self._text_bytes
        return taken + size <= BYTES_PER_S - TEXT_BYTES_PER_S or taken <= TEXT_BYTES_PER_S

    def sent(self, now: float, text: int = 0, display: int = 0) -> None:
        """Count a message, with so many bytes of text or of a display."""
        share = BYTES_PER_S - TEXT_BYTES_PER_S
        if self._to_terminal:
            display = 0
        if display > share:
            self._owed_until = now + display / share
            display = 0
        self._sent.append((now, text, display))
        self._text_bytes += text
        self._display_bytes += display

    def waits_for_displays(self, size: int, now: float) -> bool:
        """Tell whether ``size`` bytes of text would be shown but for the displays of the last second."""
        self._look(now)
        left = BYTES_PER_S - self._text_bytes
        return not self.flooded and left - self._taken_by_displays(now) < size <= left

    def share(self, size: int, now: float) -> int:
        """Return how many of ``size`` bytes of text are shown; the rest goes to the file."""
        self._look(now)
        # What is not shown counts as well: the flood ends when it ebbs, not at once.
        if self.flooded and self._came_bytes + size <= BYTES_PER_S / 2:
            self.flooded = False
        room = BYTES_PER_S - self._text_bytes - self._taken_by_displays(now)
        shown = 0 if self.flooded else max(0, min(size, room))
        self._came.append((now, size))
        self._came_bytes += size
        self.flooded = self.flooded or shown < size
        return shown
