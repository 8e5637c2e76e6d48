"""The facts of the lines under cells: of one shell, from one watch that they share."""

from __future__ import annotations

import threading
from collections.abc import Callable

from .cell_marks import CellMarks
from .facts import Facts
from .watch import Watch


class CellLines:
    """Makes the facts of lines.

    Parameters
    ----------
    cell_number : callable
        Tells the number of a cell by its origin.
    """

    def __init__(self, cell_number: Callable[[str], int]) -> None:
        self.marks = CellMarks()
        self.watch = Watch(self.marks, cell_number)

    def facts(self, origin: str) -> Facts:
        """Return the tasks of a cell as they are now; what is said first is the caller's."""
        if threading.current_thread() is not threading.main_thread():  # whose prompt waits does not ask
            self.watch.look()
        return self.watch.cell(origin)

    def of_scopes(self, scopes: set[int], at_once: bool = False) -> Facts:
        """Return the tasks of several cells."""
        late = not self.watch.look(at_once)
        facts = self.watch.scopes(scopes)
        facts.late = late
        return facts

    def last(self, origin: str, state: int, lead: str, phrases: list[str] | None = None) -> Facts:
        """Return how a cell ended."""
        late = not self.watch.look(at_once=True)
        facts = self.watch.cell(origin)
        facts.late = late
        facts.lead, facts.phrases, facts.state = lead, phrases or [], state
        facts.problems, facts.usage = [], None
        return facts
