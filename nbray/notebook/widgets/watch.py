"""What the cluster does, gathered for the widgets of one kernel.

Looks cost nothing while nothing shows: one thread asks, and only while there is a widget.
While the exact counters in shared memory stand still nobody asks the daemon, either.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

from nbray._cstore import ffi, lib
from nbray.core import current, live
from nbray.core.task_feed import TaskFeed
from nbray.events import task_groups
from nbray.events.task_groups import NO_GROUP, TaskGroups
from nbray.serialization import error_value

from .cell_marks import CellMarks
from .facts import Edge, Facts, Gpu, Group, Problem, Usage, from_codes

LOOK_S = 0.2  # between two looks at the tasks
USAGE_S = 0.5  # between two questions how the machine is used
IDLE_S = 3.0  # without a change for so long ...
IDLE_USAGE_S = 5.0  # ... it is asked less often
MAX_TASKS = 100_000
HISTORY = 60  # samples that a curve shows
MAX_FAILURES = 50  # of the newest
UPSTREAM = 6  # groups of other cells whose values go into a cell's own
DAEMON_S = 1.0  # for its answers
AT_ONCE_S = 0.1  # the same for somebody whose prompt waits
END_S = 5.0  # the same at the end of the cluster, which is seen no more


class Watch:
    """Follows the cluster that this process has, whichever that is at the time.

    Parameters
    ----------
    marks : CellMarks
    cell_number : callable
        Tells the number of a cell by its origin; 0: not known.

    Attributes
    ----------
    version : int
        Moves when something has changed.
    """

    def __init__(self, marks: CellMarks, cell_number: Callable[[str], int]) -> None:
        self.marks = marks
        self.version = 0
        self._cell_number = cell_number
        self._lock = threading.RLock()
        self._busy = False
        self._core: Any = None
        self._feed: TaskFeed | None = None
        self._groups: TaskGroups | None = None
        self._samples: deque[dict[str, Any]] = deque(maxlen=HISTORY)
        self._last_sample = 0
        self._looked_at = self._asked_usage_at = self._changed_at = 0.0
        self._signature: tuple[int, ...] = ()
        self._headlines: dict[int, str] = {}  # of failures, by their place
        self._settled = False  # the last look came after the counters had stopped
        self._answered = True  # the daemon, at the last look

    @property
    def core(self) -> Any:
        """The runtime whose cluster is shown; None: there is none."""
        core = current.core
        return core if core is not None and core.session.attached else None

    def moved(self) -> bool:
        """Tell whether there may be something new since the last look."""
        core = self.core
        return core is not self._core or not self._settled or (core is not None and _signature(core) != self._signature)

    def look(self, at_once: bool = False, patience_s: float = AT_ONCE_S) -> bool:
        """Take over what is new; ``at_once``: also when that was just done, if anybody has looked before.

        Somebody else who looks meanwhile is not waited for, except with ``at_once`` for ``patience_s``, as is the daemon.

        Returns
        -------
        bool
            False: something that has happened may be missing, and will be there at a later look.
        """
        if not self._lock.acquire(timeout=patience_s if at_once else 0.0):
            return False
        try:
            if self._busy:  # the daemon's answer brought a result, whose callback wants to look
                return False
            self._busy = True
            try:
                self._look(at_once, patience_s)
            except Exception:  # the cluster ends while it is looked at, or the daemon is slow: what was seen last stays
                self._signature, self._answered = (), self.core is None
            finally:
                self._busy = False
            return self._answered
        finally:
            self._lock.release()

    def _look(self, at_once: bool, patience_s: float) -> None:
        core, now = self.core, time.monotonic()
        if core is None or (core is not self._core if at_once else now - self._looked_at < LOOK_S):
            self._answered = (
                self._answered or core is not self._core
            )  # of a cluster that is gone nothing more will come
            return
        self._looked_at = now
        if core is not self._core:
            self._begin(core)
        assert self._feed is not None and self._groups is not None
        signature = _signature(core)
        if signature != self._signature or not self._settled or at_once:
            self._settled = signature == self._signature
            self._signature = signature
            self._feed.poll(patience_s if at_once else DAEMON_S)
            self._answered = True
            if self._groups.update():
                self._changed_at = now
                self.version += 1
        idle = now - self._changed_at > IDLE_S
        if not at_once and now - self._asked_usage_at > (IDLE_USAGE_S if idle else USAGE_S):
            self._asked_usage_at = now
            samples = live.usage(self._last_sample, DAEMON_S)
            if samples:
                self._last_sample = samples[-1]["number"]
                self._samples.extend(samples)
                self.version += 1

    def _begin(self, core: Any) -> None:
        self._core = core
        self._feed = TaskFeed(core, MAX_TASKS)
        self._groups = TaskGroups(self._feed.table, lambda owner, number: self.marks.scope_of(core, owner, number))
        self._samples.clear()
        self._headlines.clear()
        self._last_sample = 0
        self._signature, self._settled = (), False
        self._changed_at = time.monotonic()
        self.version += 1

    # ----------------------------------------------------------------------- facts

    def cell(self, origin: str) -> Facts:
        """Return the tasks of a cell, those they start, and what goes into them; ``lead`` is the caller's."""
        with self._lock:
            if self._groups is None or self._core is not self.core:
                return Facts()
            scope = self.marks.scope(origin)
            own = [group.index for group in self._groups.groups if group.scope == scope and group.total]
            return self._facts(own, self._upstream(own))

    def name_of(self, owner: int, number: int) -> str:
        """Return the name of a task, as far as widgets have asked for it; "" when it is not known."""
        if self._groups is None or not self._lock.acquire(blocking=False):
            return ""
        try:
            table = self._groups.table
            task = table.find(owner, number)
            function = table.function[task] if task is not None else task_groups.NO_FUNCTION
            return table.functions[function]["name"] if function != task_groups.NO_FUNCTION else ""
        finally:
            self._lock.release()

    def open_scopes(self) -> set[int]:
        """Return the scopes of this process with tasks that are not done."""
        with self._lock:
            if self._groups is None:
                return set()
            return {g.scope for g in self._groups.groups if g.scope >= 0 and g.ended < g.total}

    def scopes(self, scopes: set[int]) -> Facts:
        """Return the tasks of several cells."""
        with self._lock:
            if self._groups is None or self._core is not self.core:
                return Facts()
            own = [group.index for group in self._groups.groups if group.scope in scopes and group.total]
            return self._facts(own, self._upstream(own))

    def whole(self) -> Facts:
        """Return the cluster."""
        with self._lock:
            core = self._core
            if self._groups is None or core is None:
                return Facts()
            facts = self._facts([group.index for group in self._groups.groups if group.total], [])
            if core.session.attached:
                now = live.snapshot()
                if now is not None:
                    amounts = [
                        ("CPU", now["cpus_used"], now["cpus_total"]),
                        ("GPU", now["gpus_used"], now["gpus_total"]),
                    ]
                    facts.resources = tuple((name, max(used, 0.0), total) for name, used, total in amounts if total)
            return facts

    def _upstream(self, own: list[int]) -> list[int]:
        """Return the groups of other cells whose values go into these."""
        assert self._groups is not None
        chosen: list[int] = []
        near = set(own)
        for _ in range(2):
            found = {source for source, target in self._groups.edges if target in near} - set(own) - set(chosen)
            chosen += sorted(found)
            near = found
        return sorted(chosen[:UPSTREAM])

    def _facts(self, own: list[int], others: list[int]) -> Facts:
        """Make facts of groups; those of one function with one starter are one, whatever cell they are of."""
        groups = self._groups
        assert groups is not None
        now = time.monotonic_ns()
        merged: dict[tuple[int, int, bool], int] = {}
        place_of: dict[int, int] = {}
        parts: list[list[task_groups.Group]] = []
        keys: list[tuple[int, int, bool]] = []
        for index in (*others, *own):
            group = groups.groups[index]
            if self._kind(group) == "unrecorded":
                continue
            key = (group.function, place_of.get(group.parent, NO_GROUP), index in others if others else False)
            place = merged.get(key)
            if place is None:
                place = merged[key] = len(parts)
                parts.append([])
                keys.append(key)
            parts[place].append(group)
            place_of[index] = place
        facts = Facts(groups=[self._group(part, not key[2], now) for part, key in zip(parts, keys, strict=True)])
        edges: Counter[tuple[int, int, bool]] = Counter()
        for (source, target), count in groups.edges.items():
            if source in place_of and target in place_of and place_of[source] != place_of[target]:
                edges[place_of[source], place_of[target], False] += count
        for place, key in enumerate(keys):
            if key[1] != NO_GROUP:
                edges[key[1], place, True] = facts.groups[place].total
        facts.edges = [Edge(source, target, count, starts) for (source, target, starts), count in sorted(edges.items())]
        facts.problems = self._problems(place_of, facts.groups)
        facts.usage = self.usage()
        return facts

    def _kind(self, group: task_groups.Group) -> str:
        assert self._groups is not None
        functions = self._groups.table.functions
        return functions[group.function]["kind"] if group.function >= 0 else "task"

    def _group(self, parts: list[task_groups.Group], own: bool, now: int) -> Group:
        assert self._groups is not None
        first = parts[0]
        function = self._groups.table.functions[first.function] if first.function >= 0 else {}
        counts = [sum(column) for column in zip(*(part.counts for part in parts), strict=True)]
        origin = self.marks.origins[first.scope] if len(parts) == 1 and first.scope > 0 else function.get("origin", "")
        n_ran = sum(part.n_ran for part in parts)
        begun = min((part.first_ns for part in parts if part.first_ns), default=now)
        return Group(
            function.get("name", "other functions"), from_codes(counts), self._cell_number(origin),
            sum(part.ran_ns for part in parts) / n_ran / 1e9 if n_ran else None, max(now - begun, 0) / 1e9, own,
        )  # fmt: skip

    def _problems(self, places: dict[int, int], groups: list[Group]) -> list[Problem]:
        """Return the newest errors of groups, each once; ``places``: where a group of the table is among them."""
        core = self._core
        if core is None or self._groups is None:
            return []
        with core.lock:
            failures = core.failed.since(core.failed.count - MAX_FAILURES)
        found: dict[tuple[int, str], int] = {}
        for failure in reversed(failures):
            task = self._groups.table.find(core.peer, failure.number)
            place = None if task is None else places.get(self._groups.group_of(task))
            if place is not None and groups[place].own and not failure.cancelled:
                key = (place, self._headline(failure))
                found[key] = found.get(key, 0) + 1
        return [Problem(groups[place].name, text, groups[place].cell, count) for (place, text), count in found.items()]

    def _headline(self, failure: Any) -> str:
        text = self._headlines.get(failure.place)
        if text is None:
            try:
                text = error_value.headline(failure.blob)
            except Exception:  # it was too long ago, or is an exception of the runtime that needs more than its text
                text = "failed"
            if len(self._headlines) > 10 * MAX_FAILURES:
                self._headlines.clear()
            self._headlines[failure.place] = text
        return text

    def usage(self) -> Usage | None:
        """Return how the machine is used; None: not known yet."""
        samples, core = list(self._samples), self._core
        return usage(samples, _capacity(core)) if samples and core is not None else None


def usage(samples: list[dict[str, Any]], capacity: int) -> Usage:
    """Make facts of samples as ``live.usage`` returns them; ``capacity``: of the object store."""
    last = samples[-1]
    gpus = []
    for place, one in enumerate(last["gpus"]):
        history = tuple(s["gpus"][place]["utilization"] or 0.0 for s in samples if place < len(s["gpus"]))
        users = tuple((user.get("name", ""), user["used"]) for user in one["processes"])
        gpus.append(Gpu(one["index"], one["used"], one["total"], one["utilization"], history, users))
    memory = max(last["memory_total"], 1)
    return Usage(
        last["cpu"], os.cpu_count() or 1, tuple(s["cpu"] for s in samples),
        last["memory_used"], memory, tuple(s["memory_used"] / memory for s in samples),
        last["store_used"], capacity, tuple(s["store_used"] / max(capacity, 1) for s in samples), tuple(gpus),
    )  # fmt: skip


def _capacity(core: Any) -> int:
    return int(core.store.stats().capacity) if core.session.attached else 0


def _signature(core: Any) -> tuple[int, ...]:
    """Return numbers that move whenever a task of the node moves."""
    counters = ffi.new("int64_t[]", lib.NBS_N_COUNTERS)
    lib.nbs_counters(core.seg, counters)
    queued = sum(len(pool.queue) for pool in list(core.pools.values()))
    return (*counters, queued, len(core.waiting_args), sum(len(calls.queue) for calls in list(core.actors.values())))
