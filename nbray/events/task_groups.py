"""Tasks by function, and what flows between the functions; kept up to date from a TaskTable. Pure.

A *group* is the tasks of one function that the tasks of one other group started. A function that
starts itself, directly or through others, is one group. A *scope* tells apart what belongs
together otherwise: the cell that submitted the first task of a chain.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable

from nbray.events.task_table import CANCELLED, DONE, FAILED, N_STATES, TaskTable

NO_GROUP = -1
NO_FUNCTION = 0xFFFFFFFF
MAX_GROUPS = 5_000  # more functions than anybody looks at: the rest are one group per scope
MAX_FAILED = 100  # of the newest failed tasks, by index
MAX_OPEN = 10_000  # edges whose ends are not known yet; of tasks from before the log they never will be
MAX_CHAIN = 10_000  # of starters: records may be damaged, and none is longer

ScopeOf = Callable[[int, int], int]


class Group:
    """The tasks of one function with one starter.

    Attributes
    ----------
    function : int
        Index in the table's ``functions``; -1: of several.
    parent : int
        Group of the tasks that started these; NO_GROUP: a driver did.
    scope : int
    counts : list of int
        Tasks by state code, also those that the table has forgotten.
    ran_ns, n_ran : int
        How long those that ended ran, together, and how many of them.
    first_ns : int
        When the first of them began to run; 0: none has.
    """

    __slots__ = ("counts", "first_ns", "function", "index", "n_ran", "parent", "ran_ns", "scope")

    def __init__(self, index: int, function: int, parent: int, scope: int) -> None:
        self.index = index
        self.function = function
        self.parent = parent
        self.scope = scope
        self.counts = [0] * N_STATES
        self.ran_ns = 0
        self.n_ran = 0
        self.first_ns = 0

    @property
    def total(self) -> int:
        """Tasks in it."""
        return sum(self.counts)

    @property
    def ended(self) -> int:
        """Tasks in it that are over, however they ended."""
        return self.counts[DONE] + self.counts[FAILED] + self.counts[CANCELLED]


class TaskGroups:
    """The groups of a table, of which it is the only reader.

    Parameters
    ----------
    table : TaskTable
    scope_of : callable
        ``scope_of(owner, number)`` returns the scope of a task that no task started.

    Attributes
    ----------
    groups : list of Group
    edges : dict
        (from, to) -> how many values went from the tasks of one group to those of another.
    failed : deque of int
        The newest tasks that failed, by index in the table.
    """

    def __init__(self, table: TaskTable, scope_of: ScopeOf = lambda owner, number: 0) -> None:
        self.table = table
        self._scope_of = scope_of
        table.forgetting = self._let_go
        self.groups: list[Group] = []
        self.edges: dict[tuple[int, int], int] = {}
        self.failed: deque[int] = deque(maxlen=MAX_FAILED)
        self._by_key: dict[tuple[int, int, int], int] = {}
        self._group = array("i")  # of each task
        self._state = bytearray()  # in which it is counted
        self._timed = bytearray()  # whether its time is counted
        self._edges_read = 0
        self._edges_open: list[tuple[int, int]] = []  # whose ends have no group yet
        # Of tasks that were forgotten before they were over: they come again.
        self._to_come: dict[tuple[int, int], tuple[int, int, int]] = {}  # owner, number -> group, state, timed

    def group_of(self, task: int) -> int:
        """Return the group of a task by its index; NO_GROUP while its function is not known."""
        return self._group[task] if task < len(self._group) else NO_GROUP

    def update(self) -> bool:
        """Take over what changed in the table; tells whether something had."""
        table = self.table
        changed = table.changes()
        first = len(self._group)
        missing = len(table) - first
        if missing:
            self._group.extend(array("i", [NO_GROUP]) * missing)
            self._state.extend(bytes(missing))
            self._timed.extend(bytes(missing))
        if self._to_come:
            self._recognize(first)
        moved = False
        for task in changed:
            for one in self._with_starters(task):
                moved |= self._count(one)
        if moved:  # a task's starter was heard of later than the task
            self.edges.clear()
            self._edges_open.clear()
            self._edges_read = 0
        return self._read_edges() or bool(changed)

    def _recognize(self, first: int) -> None:
        """Rows from ``first`` on are new: some are of tasks that had one before."""
        for task in range(first, len(self._group)):
            before = self._to_come.pop(self.table.key(task), None)
            if before is not None:
                self._group[task], self._state[task], self._timed[task] = before

    def _let_go(self, cut: int, kept: list[int]) -> None:
        """Rows of the table go; what was counted of them stays so."""
        self.update()
        table, group = self.table, self._group
        over = bytearray(table.state[:cut])
        left = set(kept)
        for task in range(cut):
            if over[task] < DONE and task not in left and group[task] != NO_GROUP:
                self._to_come[table.key(task)] = group[task], self._state[task], self._timed[task]
        new_index = {index: place for place, index in enumerate(kept)}

        def moved(index: int) -> int:
            return index - cut + len(kept) if index >= cut else new_index.get(index, NO_GROUP)

        for name in ("_group", "_state", "_timed"):
            column = getattr(self, name)
            first = column[:0]
            first.extend(column[index] for index in kept)
            setattr(self, name, first + column[cut:])
        ends = iter(table.edges[: self._edges_read])
        self._edges_read = 2 * sum(moved(one) >= 0 and moved(other) >= 0 for one, other in zip(ends, ends, strict=True))
        pairs = ((moved(one), moved(other)) for one, other in self._edges_open)
        self._edges_open = [pair for pair in pairs if min(pair) >= 0]
        self.failed = deque((index for index in map(moved, self.failed) if index >= 0), MAX_FAILED)

    def _with_starters(self, task: int) -> list[int]:
        """Return a task after those that started it and have no group yet: their rows may come after its own."""
        parents, chain = self.table.parent, [task]
        while (parent := parents[chain[-1]]) >= 0 and self._group[parent] == NO_GROUP and len(chain) < MAX_CHAIN:
            chain.append(parent)
        return chain[::-1]

    def _count(self, task: int) -> bool:
        """Count a task where it belongs now; tells whether it left another group."""
        table = self.table
        before = self._group[task]
        # Who started it may be forgotten.
        now = before if before != NO_GROUP and table.parent[task] < 0 else self._find_group(task)
        if now == NO_GROUP:
            return False
        state = table.state[task]
        if before != now:
            if before != NO_GROUP:
                self.groups[before].counts[self._state[task]] -= 1
            self._group[task] = now
            self.groups[now].counts[state] += 1
        elif self._state[task] != state:
            counts = self.groups[now].counts
            counts[self._state[task]] -= 1
            counts[state] += 1
        if state == FAILED and (before != now or self._state[task] != state):
            self.failed.append(task)
        self._state[task] = state
        start, end = table.start[task], table.end[task]
        if start:
            group = self.groups[now]
            if not group.first_ns or start < group.first_ns:
                group.first_ns = start
            if state >= DONE and end >= start and not self._timed[task]:
                self._timed[task] = 1
                group.ran_ns += end - start
                group.n_ran += 1
        return before not in (now, NO_GROUP)

    def _find_group(self, task: int) -> int:
        table = self.table
        function, parent = table.function[task], table.parent[task]
        if function == NO_FUNCTION:
            return NO_GROUP
        above = self._group[parent] if parent >= 0 else NO_GROUP
        if above == NO_GROUP:
            scope = self._scope_of(*table.key(task)) if parent < 0 else self._scope_of(*table.key(self._root(task)))
        else:
            scope = self.groups[above].scope
        ancestor = above
        while ancestor != NO_GROUP:
            group = self.groups[ancestor]
            if group.function == function:
                return ancestor
            ancestor = group.parent
        key = (function, above, scope)
        found = self._by_key.get(key)
        if found is None and len(self.groups) >= MAX_GROUPS:
            key = (NO_GROUP, NO_GROUP, scope)
            found = self._by_key.get(key)
        if found is None:
            found = self._by_key[key] = len(self.groups)
            self.groups.append(Group(found, *key))
        return found

    def _root(self, task: int) -> int:
        """Return the task at the beginning of a chain of starters."""
        parents = self.table.parent
        for _ in range(MAX_CHAIN):
            if parents[task] < 0:
                break
            task = parents[task]
        return task

    def _read_edges(self) -> bool:
        pairs = self.table.edges
        if self._edges_read == len(pairs) and not self._edges_open:
            return False
        new = list(zip(pairs[self._edges_read :: 2], pairs[self._edges_read + 1 :: 2], strict=True))
        self._edges_read = len(pairs)
        open_before, self._edges_open = self._edges_open, []
        group, edges = self._group, self.edges
        for source, target in (*open_before, *new):
            ends = (group[source], group[target])
            if NO_GROUP in ends:
                self._edges_open.append((source, target))
            elif ends[0] != ends[1]:
                edges[ends] = edges.get(ends, 0) + 1
        del self._edges_open[:-MAX_OPEN]
        return bool(new)
