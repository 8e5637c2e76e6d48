"""The line of a cell that the notebook waits for: what it waits for itself, and what it has its tasks do."""

from __future__ import annotations

import time
from typing import Any

from nbray.serialization.error_value import ErrorValue

from .live_line import LiveLine, seconds
from .runtime import ObjectRef
from .wait_reason import waiting_reason
from .widgets import amounts
from .widgets.facts import CANCELLED, DONE, FAILED, PLACE, RUNNING, Facts

SHOW_AFTER_S = 2.0  # of work


class WaitingCell:
    """Describes one cell, from its first second on.

    Attributes
    ----------
    waited_s : float
        For how long it waited to begin, as far as that was looked at.
    stopped : bool
        It was interrupted, or the time of ``--timeout`` is over.
    """

    def __init__(self, cells: Any, title: str, ref: ObjectRef, begun: float) -> None:
        self._cells = cells
        self._title = title
        self._ref = ref
        self._begun = begun
        self._origin = cells.router.origin
        self._reason = ""
        self._worked = False  # whether it was shown at work
        self.waited_s = 0.0
        self.stopped = False

    def finish(self, line: LiveLine) -> None:
        """The cell has ended."""
        taken = seconds(time.monotonic() - self._begun)
        line.finish(lambda: self.summary(taken))

    def describe(self) -> Facts | None:
        """Return the facts of the line; None while there is nothing to say."""
        reason = waiting_reason(self._ref, self._cells.router.cell_number)
        taken_s = time.monotonic() - self._begun
        if reason:
            self._reason, self.waited_s = reason, taken_s
            return Facts(reason, [amounts.duration(int(taken_s))] if taken_s >= 2 else [], state=PLACE)
        if self._ref._data is not None or taken_s - self.waited_s < SHOW_AFTER_S:
            return None
        self._worked = True
        facts = self._cells.lines_of.facts(self._origin)
        facts.lead = f"{self._title} runs"
        facts.phrases = [amounts.duration(int(taken_s))]
        facts.state = RUNNING
        return facts

    def summary(self, taken: str) -> Facts:
        """Return how it ended."""
        waited = has_waited(self._reason, self.waited_s)
        if self.stopped:
            state, lead = CANCELLED, f"{self._title} was stopped after {taken}"
        elif isinstance(self._ref._data, ErrorValue):
            state, lead = FAILED, f"{self._title} failed after {taken}"
        else:
            state, lead = DONE, f"{self._title} is done, {taken}"
        if not self._worked and state != CANCELLED:
            return Facts(waited, state=state)
        return self._cells.lines_of.last(self._origin, state, lead, [waited] if self._reason else [])


def has_waited(reason: str, waited_s: float) -> str:
    """Return in a few words for what something has waited before it began: ``waited 7.5 s (for 1 CPU)``."""
    return f"waited {seconds(waited_s)} ({reason.removeprefix('waiting ').partition(':')[0]})"
