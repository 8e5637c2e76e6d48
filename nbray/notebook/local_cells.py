"""The line under a cell that runs here and waits for the cluster: in ``get``, ``wait`` and the like.

One thread looks at a cell once it is two seconds old; between cells it sleeps, so a short cell
costs one wake-up of it.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from nbray.core import current

from .live_line import LiveLine, seconds
from .widgets import amounts
from .widgets.facts import DONE, FAILED, PLACE, RUNNING, Facts, time_left

SHOW_AFTER_S = 2.0
LOOK_S = 0.5


class LocalCells:
    """Watches the cells of one shell."""

    def __init__(self, cells: Any) -> None:
        self._cells = cells
        self._cell: _Cell | None = None
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._closed = False

    def enter(self, origin: str) -> None:
        """A cell begins."""
        if current.core is None or self._cells.router.kernel is None:
            return
        self._cell = _Cell(self._cells, origin)
        self._wake.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="nbray-local-cells", daemon=True)
            self._thread.start()

    def leave_alone(self) -> None:
        """The cell that runs shows its work itself."""
        self._cell = None

    def leave(self) -> None:
        """The cell has ended."""
        cell, self._cell = self._cell, None
        if cell is not None and cell.line is not None:
            cell.finish(cell.line)

    def close(self) -> None:
        """End the thread."""
        self._cell, self._closed = None, True
        self._wake.set()

    def _run(self) -> None:
        while not self._closed:
            cell = self._cell
            if cell is None or cell.line is not None:
                self._wake.wait()
                self._wake.clear()
                continue
            due_s = SHOW_AFTER_S - cell.age_s
            if due_s > 0:
                time.sleep(due_s)
            elif cell.waits():
                line = self._cells.lines.add(cell.origin, cell.describe)
                cell.line = line
                if self._cell is not cell:  # it ended meanwhile
                    cell.finish(line)
            else:
                time.sleep(LOOK_S)


class _Cell:
    """One cell."""

    def __init__(self, cells: Any, origin: str) -> None:
        self._cells = cells
        self.origin = origin
        self.line: LiveLine | None = None
        self._begun = time.monotonic()
        self._scopes: set[int] = set()
        self._done_before: int | None = None

    @property
    def age_s(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self._begun

    def waits(self) -> bool:
        """Tell whether a thread of this process waits for the cluster."""
        core = current.core
        return core is not None and len(core.waiters) > 0

    def describe(self) -> Facts | None:
        """Return the tasks it may wait for: its own, and those of earlier cells that were not done."""
        if self.line is None:
            return None  # were it shown now and the cell over, nobody would say how that ended
        lines_of = self._cells.lines_of
        if not self._scopes:
            if not lines_of.watch.look():
                return None  # which cells have open tasks is asked once, and has to be known
            self._scopes = {lines_of.marks.scope(self.origin), *lines_of.watch.open_scopes()}
        facts: Facts = lines_of.of_scopes(self._scopes)
        counts = facts.counts()
        total, done = self._progress(facts)
        if not total:
            return None
        if self._done_before is None:
            self._done_before = done
        facts.phrases = [amounts.duration(int(self.age_s))]
        left_s = time_left(total - self._done_before, done - self._done_before, self.age_s)
        if left_s is not None:
            facts.phrases.append(f"{amounts.rough(left_s)} left")
        facts.lead = f"{amounts.count(done)} of {amounts.noun(total, 'task')}"
        facts.state = RUNNING if counts[RUNNING] else PLACE
        facts.progress = counts
        return facts

    def finish(self, line: LiveLine) -> None:
        """The cell has ended."""
        taken = seconds(self.age_s)
        line.finish(lambda: self.summary(taken))

    def summary(self, taken: str) -> Facts:
        """Return how it ended."""
        facts: Facts = self._cells.lines_of.of_scopes(self._scopes, at_once=True)
        total, done = self._progress(facts)
        facts.lead = f"{amounts.count(done)} of {amounts.noun(total, 'task')} in {taken}"
        facts.state = FAILED if facts.counts()[FAILED] else DONE if done == total else PLACE
        facts.problems, facts.usage = [], None
        return facts

    def _progress(self, facts: Facts) -> tuple[int, int]:
        own = [group for group in facts.groups if group.own]
        return sum(group.total for group in own), sum(group.over for group in own)
