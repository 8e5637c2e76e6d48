"""A TaskTable whose records are taken, and whose rows are made, by the C core.

The thread that feeds the panel shares the interpreter with the cell that submits the tasks: what a loop in Python did per
record cost that cell a fifth of its rate. C takes the many records that say "sent" or "ended" of tasks, functions and
workers that are known, and leaves the interpreter to the cell meanwhile; the rest is done as in the table itself.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

from nbray._cstore import ffi, lib
from nbray.events.task_table import N_STATES, NO_FUNCTION, RECORD, ROW, WAITS_FOR_INPUT, WAITS_FOR_PLACE, TaskTable

LEAST = 64  # records or rows for which it is worth it
MAX_OWNERS = 64  # for each of which C looks at all rows
MAX_FUNCTIONS = 65_536  # of an owner, by number; those beyond are taken one by one
_COLUMNS = {
    "state": "uint8_t[]", "function": "uint32_t[]", "parent": "int32_t[]", "worker": "int32_t[]", "attempt": "uint16_t[]",
    "submitted": "int64_t[]", "start": "int64_t[]", "end": "int64_t[]", "made": "int64_t[]",
}  # fmt: skip


class _Views:
    """Memory of arrays, lent to C until the end of a ``with``: they cannot grow meanwhile."""

    def __enter__(self) -> _Views:
        self._lent: list[Any] = []
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._lent:
            ffi.release(one)

    def of(self, kind: str, values: Any) -> Any:
        """Lend one."""
        view = ffi.from_buffer(kind, values)
        self._lent.append(view)
        return view


class ColumnTable(TaskTable):
    """As its base in all but speed."""

    def _apply(self, block: bytes, wait: bool = True) -> None:
        many = len(block) // RECORD.size
        if many < LEAST:
            super()._apply(block, wait)
            return
        at = turns = 0
        added: set[int] = set()
        others: list[int] = []
        owners = memoryview(block).cast("Q")[2::8]
        while at < many:
            turns += 1
            if turns > 16 + many // 16:  # owners or kinds take turns: then it is no faster
                super()._apply(block[at * RECORD.size :], wait)
                break
            owner = owners[at]
            if owner not in added:
                added.add(owner)
                self._add(block, at, owner)
            at += self._take(block, at, owner, others)
            if at < many:
                generation = self.generation
                super()._apply(block[at * RECORD.size : (at + 1) * RECORD.size], wait)
                if generation != self.generation:
                    added.clear()  # some were forgotten: there is room again
                at += 1
        for place in others:
            super()._apply(block[place * RECORD.size : (place + 1) * RECORD.size], wait)

    def _add(self, block: bytes, at: int, owner: int) -> None:
        """Make rows for an owner's tasks that are new in a block, as far as there is room."""
        known = self._owners.get(owner)
        dense = known.dense if known is not None else None
        if known is None or dense is None:
            return
        left = len(block) // RECORD.size - at
        numbers = array("Q", bytes(8 * left))
        with _Views() as views:
            table = self._struct(views)
            table.owner, table.base = owner, dense[0]
            table.dense, table.n_dense = views.of("int32_t[]", dense[1]), len(dense[1])
            records = views.of("nbs_event[]", block) + at
            found = lib.nbs_tasks_unknown(table, records, left, views.of("uint64_t[]", numbers))
        if self.max_tasks // 4 >= found > self.max_tasks - len(self.state):
            self._forget()  # no number changes by that
        del numbers[max(0, min(found, self.max_tasks - len(self.state))) :]
        if numbers:
            self._append(owner, numbers, bytes((WAITS_FOR_PLACE,)) * len(numbers))

    def waiting_all(self, owner: int, tasks: Sequence[tuple[int, int, int]], now_ns: int = 0) -> None:
        if self.max_tasks // 4 >= len(tasks) > self.max_tasks - len(self.state):
            self._forget()
        known = self._owners.get(owner)
        dense = known.dense if known is not None else None
        end = dense[0] + len(dense[1]) if dense is not None else 0
        old = bisect_left(tasks, end, key=lambda task: task[0])
        known_ones, new = tasks[:old], tasks[old:]
        if dense is not None and len(known_ones) >= LEAST:  # most have been sent since they were seen in a queue
            base, rows = dense
            at = [rows[task[0] - base] if task[0] >= base else -1 for task in known_ones]
            submitted = self.submitted
            known_ones = [task for task, row in zip(known_ones, at, strict=True) if row < 0 or not submitted[row]]
        numbers = array("Q", [task[0] for task in new])
        if (
            dense is None
            or len(new) < LEAST
            or len(new) > self.max_tasks - len(self.state)
            or len(set(numbers)) < len(new)
        ):
            super().waiting_all(owner, [*known_ones, *new], now_ns)
            return
        super().waiting_all(owner, known_ones, now_ns)
        which = {number: self._function(owner, number) for number in {task[1] for task in new}}
        codes = bytes([WAITS_FOR_PLACE if task[2] else WAITS_FOR_INPUT for task in new])
        first = self._append(owner, numbers, codes)
        self.function[first:] = array("I", [which[task[1]] for task in new])
        self.made[first:] = array("q", (now_ns,)) * len(new)

    def _append(self, owner: int, numbers: array[int], codes: bytes) -> int:
        """Make rows for tasks that are new; returns the first."""
        first, many = len(self.state), len(numbers)
        self.state.frombytes(codes)
        self.function.extend(array("I", (NO_FUNCTION,)) * many)
        for column in (self.parent, self.worker):
            column.extend(array("i", (-1,)) * many)
        self.attempt.frombytes(bytes(2 * many))
        for times in (self.submitted, self.start, self.end, self.made):
            times.frombytes(bytes(8 * many))
        self.owner.extend(array("Q", (owner,)) * many)
        self.number.extend(numbers)
        for code in (WAITS_FOR_INPUT, WAITS_FOR_PLACE):
            self.counts[code] += codes.count(code)
        self._is_changed.extend(bytes((1,)) * many)
        self._changed.extend(array("I", range(first, first + many)))
        if not self._number(owner, first):
            self._owners[owner].put_all(numbers, first)
        return first

    def _number_all(self) -> None:
        if len(self._owners) > MAX_OWNERS or not all(self._number(owner, 0) for owner in self._owners):
            super()._number_all()

    def _number(self, owner: int, first: int) -> bool:
        """Note which rows the tasks of an owner from ``first`` on have; False: their numbers are too far apart."""
        many, ends = len(self.owner) - first, array("Q", (0, 0))
        with _Views() as views:
            rows = views.of("uint64_t[]", self.owner) + first, views.of("uint64_t[]", self.number) + first, many, owner
            low = views.of("uint64_t[]", ends)
            found = lib.nbs_tasks_span(*rows, low, low + 1)
        known = self._owners[owner]
        if found and not known.make_room(*ends):
            return False
        dense = known.dense
        if found and dense is not None:
            with _Views() as views:
                rows = (
                    views.of("uint64_t[]", self.owner) + first, views.of("uint64_t[]", self.number) + first, many, owner,
                )  # fmt: skip
                lib.nbs_tasks_number(*rows, first, dense[0], views.of("int32_t[]", dense[1]))
        return True

    def _take(self, block: bytes, at: int, owner: int, others: list[int]) -> int:
        """Have C take records from ``at`` on; returns how many it took, those of other kinds are noted."""
        known = self._owners.get(owner)
        dense = known.dense if known is not None else None
        if dense is None:
            return 0
        left = len(block) // RECORD.size - at
        functions = self._functions_of(owner)
        changed, kept = array("I", bytes(4 * left)), array("I", bytes(4 * left))
        moved = ffi.new("int64_t[]", N_STATES)
        with _Views() as views:
            table = self._struct(views)
            table.is_changed = views.of("uint8_t[]", self._is_changed)
            table.changed, table.left = views.of("uint32_t[]", changed), views.of("uint32_t[]", kept)
            table.moved, table.owner, table.first = moved, owner, at
            table.base, table.dense, table.n_dense = dense[0], views.of("int32_t[]", dense[1]), len(dense[1])
            table.functions, table.n_functions = views.of("int32_t[]", functions), len(functions)
            table.peers, table.n_peers = views.of("uint64_t[]", array("Q", self.workers)), len(self.workers)
            taken = int(lib.nbs_tasks_take(table, views.of("nbs_event[]", block) + at, left))
            n_changed, n_left = table.n_changed, table.n_left
        self._changed.extend(changed[:n_changed])
        others.extend(kept[:n_left])
        for code in range(N_STATES):
            self.counts[code] += moved[code]
        return taken

    def _functions_of(self, owner: int) -> array[int]:
        """Return which function of the table each number of an owner is."""
        found = array("i")
        for (whose, number), index in self._function_index.items():
            if whose == owner and number < MAX_FUNCTIONS:
                if number >= len(found):
                    found.extend(array("i", (-1,)) * (number + 1 - len(found)))
                found[number] = index
        return found

    def _rows(self, chosen: Sequence[int]) -> bytes:
        if len(chosen) < LEAST:
            return super()._rows(chosen)
        out = bytearray(len(chosen) * ROW.size)
        with _Views() as views:
            which = views.of("uint32_t[]", chosen if isinstance(chosen, array) else array("I", chosen))
            table = self._struct(views)
            table.is_changed = views.of("uint8_t[]", self._is_changed)
            lib.nbs_tasks_rows(table, which, len(chosen), views.of("uint8_t[]", out))
        return bytes(out)

    def _struct(self, views: _Views) -> Any:
        table = ffi.new("nbs_task_table *")
        for name, kind in _COLUMNS.items():
            setattr(table, name, views.of(kind, getattr(self, name)))
        return table
