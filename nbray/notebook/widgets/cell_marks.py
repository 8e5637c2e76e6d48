"""Which cell a task comes from, by its number: a process counts its tasks, and a cell begins at a number."""

from __future__ import annotations

from bisect import bisect_right
from typing import Any

OTHERS = -1  # the scope of tasks that other processes submitted


class CellMarks:
    """The numbers at which the cells of one shell began. A *scope* is the place of a cell in their order."""

    def __init__(self) -> None:
        self.origins: list[str] = [""]  # by scope; the first is for what comes before all cells
        self._core: Any = None
        self._numbers = [0]  # of this cluster, where scopes begin
        self._scopes = [0]

    def enter(self, core: Any, origin: str) -> None:
        """A cell begins: what is submitted from now on is its own."""
        self._follow(core)
        if self.origins[-1] != origin:
            self.origins.append(origin)
        if core is not None:
            self._numbers.append(next(core.numbers))
            self._scopes.append(len(self.origins) - 1)

    def scope_of(self, core: Any, owner: int, number: int) -> int:
        """Return the scope of a task that no task started."""
        self._follow(core)
        if owner != core.peer:
            return OTHERS
        return self._scopes[bisect_right(self._numbers, number) - 1]

    def scope(self, origin: str) -> int:
        """Return the newest scope of a cell."""
        for scope in range(len(self.origins) - 1, 0, -1):
            if self.origins[scope] == origin:
                return scope
        return 0

    def _follow(self, core: Any) -> None:
        """A cluster that is new counts anew; it came in the newest cell."""
        if core is not self._core and core is not None:
            self._core = core
            self._numbers, self._scopes = [0], [len(self.origins) - 1]
