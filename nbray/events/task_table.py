"""All tasks of a cluster in columns, made from event records. Pure.

What a picture of the task graph needs, at a few dozen bytes a task: state, function, parent,
worker, times, and the edges between tasks. A task has a dense *index* in the order in which it
was first heard of. What has changed since a reader last asked is kept per task, not per event,
so a reader that sleeps costs nothing and is never behind by more than one frame.
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

from nbray.events.task_numbers import NONE, TaskNumbers
from nbray.events.value_takers import ValueTakers

RECORD = struct.Struct("<QQQQQQIHHQ")  # nbs_event
SUBMIT, RESULT, INPUT, PARENT, LOST = 1, 2, 17, 18, 19  # NBS_EV_...
ERROR, CANCELLED_FLAG = 1, 2  # flags of a RESULT, and of a LOST

# States of a task, as codes of a column; in the order of a task's life.
WAITS_FOR_INPUT, WAITS_FOR_PLACE, SENT, RUNNING, DONE, FAILED, CANCELLED = range(7)
N_STATES = 7
STATE_NAMES = (
    "PENDING_ARGS_AVAIL", "PENDING_NODE_ASSIGNMENT", "SUBMITTED_TO_WORKER", "RUNNING", "FINISHED", "FAILED", "CANCELLED",
)  # fmt: skip

# index, function, parent, worker (-1: none), state, 0, attempt; submitted, start, end, made (ms, CLOCK_MONOTONIC;
# 0: not yet, or not known)
ROW = struct.Struct("<IIiiBBHdddd")
NO_FUNCTION = 0xFFFFFFFF  # of a task of which only others have told
_IS_OVER = bytes(int(code >= 4) for code in range(256))  # DONE and what comes after it
MAX_KEPT = 2_000  # tasks between the forgotten ones, of which a reader is told; with more it has to start anew


class TaskTable:
    """The tasks, and what changed since the last frame.

    Parameters
    ----------
    max_tasks : int
        Tasks that are kept; beyond that the oldest that are done are forgotten.

    Attributes
    ----------
    functions : list of dict
        ``name``, ``kind``, ``origin`` by function index.
    workers : list of int
        Peers by worker index.
    actors : dict
        Id of the actor that a worker became, and what a person calls it, by its peer.
    generation : int
        Moves when indexes change their meaning. The next ``delta`` says how, if ``goes_on``; who reads no deltas has
        to start anew.
    forgotten : int
        Tasks that were let go.
    gone : dict
        The same by function and state, of those that were over.
    counts : list of int
        Tasks by state, with those that were forgotten when they were over; the others count again when they are.
    forgetting : callable
        ``forgetting(cut, kept)`` is called before rows go: those before ``cut``, but for some that come first then.
    """

    def __init__(self, max_tasks: int = 200_000) -> None:
        self.max_tasks = max_tasks
        self.functions: list[dict[str, str]] = []
        self.workers: list[int] = []
        self.actors: dict[int, tuple[str, str]] = {}
        self.generation = 0
        self.forgotten = 0
        self.gone: dict[int, list[int]] = {}
        self.counts = [0] * N_STATES
        self.forgetting: Callable[[int, list[int]], None] = lambda cut, kept: None
        self._function_index: dict[tuple[int, int], int] = {}  # (owner, number) -> function
        self._named: dict[tuple[str, str, str], int] = {}
        self._worker_index: dict[int, int] = {}
        self._owner_of_slot: dict[int, int] = {}  # the latest process in a slot
        self._owners: dict[int, TaskNumbers] = {}
        self._early: list[bytes] = []  # records of tasks that were not known yet
        self._clear()

    def _clear(self) -> None:
        self.state = array("B")
        self.function = array("I")
        self.parent = array("i")
        self.worker = array("i")
        self.attempt = array("H")
        self.submitted = array("q")  # ns, CLOCK_MONOTONIC; 0: not yet
        self.start = array("q")
        self.end = array("q")
        self.made = array("q")  # when its owner made it, as far as anybody knows
        self.owner = array("Q")
        self.number = array("Q")
        self.edges = array("I")  # from, to, from, to ...
        self._takers = ValueTakers()
        self._is_changed = bytearray()
        self._changed = array("I")
        self._edges_told = 0
        self._functions_told = 0
        self._workers_told = 0
        # What was forgotten since the last frame: rows before the first number, but for those that follow it.
        self._forgets: list[list[int]] | None = []

    def __len__(self) -> int:
        return len(self.state)

    # ---------------------------------------------------------------------- input

    def define(self, owner: int, number: int, name: str, kind: str, origin: str) -> None:
        """Name an owner's function; those with the same name, kind and origin are one."""
        known = self._function_index.get((owner, number))
        key = (name, kind, origin)
        same = self._named.get(key)
        if known is not None and not self.functions[known]["name"]:  # tasks came before the name
            self.functions[known] = {"name": name, "kind": kind, "origin": origin}
            self._named.setdefault(key, known)
            self._functions_told = min(self._functions_told, known)
            return
        if same is None:
            same = self._named[key] = len(self.functions)
            self.functions.append({"name": name, "kind": kind, "origin": origin})
        self._function_index[owner, number] = same

    def name_actor(self, peer: int, actor_id: str, title: str) -> None:
        """A worker becomes an actor; it may have run tasks before."""
        if self.actors.get(peer) != (actor_id, title):
            self.actors[peer] = actor_id, title
            worker = self._worker_index.get(peer)
            if worker is not None:
                self._workers_told = min(self._workers_told, worker)

    def apply_block(self, block: bytes) -> int:
        """Take records as the C core writes them; returns how many.

        Each process has a ring of its own, so what a worker tells of a task may be read before the record that
        it was sent. Such a record waits for the next block, so that indexes follow the numbers of an owner.
        """
        before, self._early = self._early, []
        self._apply(block)
        early, self._early = self._early, []
        self._apply(b"".join(before), wait=False)
        self._apply(b"".join(early))
        self._takers.settle(self.function, NO_FUNCTION)
        return len(block) // RECORD.size

    def _apply(self, block: bytes, wait: bool = True) -> None:
        """Take records one by one; those of tasks that are not known wait."""
        index_of = self._index
        many = len(block) // RECORD.size
        if 1 < many <= self.max_tasks - len(self.state):  # with less room, tasks that are done have to go in between
            self._make_rows_of_block(block)
        for place, (t_ns, seq, owner, process, dur_ns, b, a, kind, flags, _) in enumerate(RECORD.iter_unpack(block)):
            if wait and kind != SUBMIT and not self._is_known(kind, owner, seq, a, b, flags):
                self._early.append(block[place * RECORD.size : (place + 1) * RECORD.size])
            elif kind == SUBMIT:
                index = index_of(owner, seq)
                state, start, end = self.state, self.start, self.end  # forgetting makes new ones
                self.function[index] = self._function(owner, a)
                self.made[index] = self.made[index] or self.submitted[index]  # it was there when it was sent before
                self.submitted[index] = t_ns
                if state[index] < DONE:
                    self._move(index, SENT)
                elif t_ns > end[index]:  # it is run again
                    self.attempt[index] += 1
                    start[index] = end[index] = 0
                    self._move(index, SENT)
                else:  # each process has a ring of its own: the end may be read before the beginning
                    self._touch(index)
            elif kind == RESULT:
                index = index_of(owner, seq)
                state, start, end = self.state, self.start, self.end
                if t_ns < max(self.submitted[index], self.start[index]):  # of an earlier run: workers have rings, too
                    self.attempt[index] += 1
                    self._touch(index)
                else:
                    if (
                        state[index] >= DONE and 0 < end[index] <= t_ns - dur_ns
                    ):  # when it was sent again is not read yet
                        self.attempt[index] += 1
                    start[index], end[index] = t_ns - dur_ns, t_ns
                    self.worker[index] = self._worker(process)
                    self._move(index, CANCELLED if flags & CANCELLED_FLAG else FAILED if flags & ERROR else DONE)
            elif kind == LOST:
                self._lost(index_of(owner, seq), a, b, flags, t_ns)
            elif kind == INPUT:
                self._edge(self._in_slot(a, owner), b, owner, seq, bool(flags))
                self._was_made(index_of(owner, seq), t_ns)
            elif kind == PARENT:
                parent = self._find(self._in_slot(a, owner), b)
                index = index_of(owner, seq)
                self._was_made(index, t_ns)
                if parent is not None and parent != index:
                    self.parent[index] = parent
                    self._touch(index)

    def _make_rows_of_block(self, block: bytes) -> None:
        """Give new tasks their indexes: in the order of an owner's numbers, and who starts a task before it."""
        sent = [
            (t, owner, seq) for t, seq, owner, _, _, _, _, kind, _, _ in RECORD.iter_unpack(block) if kind == SUBMIT
        ]
        numbers: dict[int, list[int]] = {}
        for _, owner, seq in sent:
            numbers.setdefault(owner, []).append(seq)
        ascending = {owner: iter(sorted(numbers[owner])) for owner in numbers}
        sent.sort(key=itemgetter(0))
        for _, owner, _ in sent:
            self._index(owner, next(ascending[owner]))

    def _is_known(self, kind: int, owner: int, seq: int, slot: int, number: int, flags: int) -> bool:
        """Tell whether the tasks that a record speaks of have rows."""
        if self._find(owner, seq) is None:
            return False
        if kind == PARENT or (kind == INPUT and flags):
            other = self._in_slot(slot, owner)
            return self._find(other, number) is not None
        return True

    def make_rows(self, owner: int, numbers: Iterable[int]) -> None:
        """Give tasks that an owner has their indexes, in ascending order, before anything is told of them."""
        for seq in sorted(numbers):
            self._index(owner, seq)

    def waiting(self, owner: int, seq: int, function: int, for_input: bool, now_ns: int = 0) -> None:
        """An owner has this task, and has not sent it to a worker; ``now_ns``: had none when it was asked before."""
        index = self._index(owner, seq)
        if self.function[index] == NO_FUNCTION and not self.made[index]:
            self.made[index] = now_ns
        if self.state[index] < SENT or not self.submitted[index]:
            self.function[index] = self._function(owner, function)
            self._move(index, WAITS_FOR_INPUT if for_input else WAITS_FOR_PLACE)

    def waiting_all(self, owner: int, tasks: Sequence[tuple[int, int, int]], now_ns: int = 0) -> None:
        """As ``waiting`` for many: number, function, and 0 (for input) or 1 (for a place), in ascending order."""
        for number, function, place in tasks:
            self.waiting(owner, number, function, not place, now_ns)

    def runs(self, owner: int, seq: int, worker: int, start_ns: int) -> None:
        """This task runs since ``start_ns``."""
        index = self._index(owner, seq)
        if self.state[index] < DONE and (self.state[index] != RUNNING or self.start[index] != start_ns):
            self.start[index] = start_ns
            self.worker[index] = self._worker(worker)
            self._move(index, RUNNING)

    def ended(self, owner: int, seq: int, state: int, end_ns: int) -> None:
        """Its owner says that a task is over, of which no record told."""
        index = self._find(owner, seq)
        # One that was sent after that, or is to be, runs again.
        if index is not None and self.state[index] < DONE and max(self.submitted[index], self.end[index]) <= end_ns:
            self.end[index] = end_ns
            self._move(index, state)

    def _lost(self, index: int, function: int, worker: int, flags: int, end_ns: int) -> None:
        """Its owner says that a run is over, of which no worker left a record; without flags: the task runs again."""
        owner, seq = self.key(index)
        self.function[index] = self._function(owner, function)
        if flags:
            is_new = self.state[index] < DONE
            self.ended(owner, seq, CANCELLED if flags & CANCELLED_FLAG else FAILED, end_ns)
            if worker and is_new and self.state[index] >= DONE:
                self.worker[index] = self._worker(worker)
        else:
            self.attempt[index] += 1
            if self.state[index] < DONE and self.start[index] <= end_ns:  # of the next run nothing has been read yet
                self.start[index] = 0
                self._move(index, SENT if self.submitted[index] > end_ns else WAITS_FOR_PLACE)
        self._touch(index)

    # --------------------------------------------------------------------- output

    def snapshot(self) -> dict[str, Any]:
        """Return a frame with everything; the next ``delta`` goes on from here."""
        self._changed = array("I")
        self._is_changed = bytearray(len(self.state))
        self._forgets = []
        self._edges_told, self._functions_told, self._workers_told = (
            len(self.edges),
            len(self.functions),
            len(self.workers),
        )
        return {
            "functions": [[index, f["name"], f["kind"], f["origin"]] for index, f in enumerate(self.functions)],
            "workers": self._worker_rows(0),
            "rows": self._rows(range(len(self.state))),
            "edges": self.edges.tobytes(),
        }

    @property
    def goes_on(self) -> bool:
        """Whether a delta can tell what became of the indexes; else a reader has to start anew."""
        return self._forgets is not None

    def delta(self, max_rows: int = 20_000) -> dict[str, Any] | None:
        """Return what changed since the last frame, at most ``max_rows`` tasks at once; None: nothing did.

        ``forget`` comes first: each entry says that all rows before its first number are gone but those that follow it
        there, which come before what is left.
        """
        n = len(self._changed)
        nothing_new = self._functions_told == len(self.functions) and self._workers_told == len(self.workers)
        if not n and nothing_new and self._edges_told == len(self.edges) and not self._forgets:
            return None
        chosen, self._changed = self._changed[:max_rows], self._changed[max_rows:]
        frame = {
            "forget": self._forgets or [],
            "functions": [
                [index, f["name"], f["kind"], f["origin"]]
                for index, f in enumerate(self.functions[self._functions_told :], self._functions_told)
            ],
            "workers": self._worker_rows(self._workers_told),
            "rows": self._rows(chosen),
            # An edge is told once both its ends are.
            "edges": b"" if self._changed else self.edges[self._edges_told :].tobytes(),
        }
        self._functions_told, self._workers_told = len(self.functions), len(self.workers)
        self._forgets = []
        if not self._changed:
            self._edges_told = len(self.edges)
        return frame

    def changes(self) -> list[int]:
        """Return the tasks that changed since the last call, for a reader that wants no frames."""
        chosen, self._changed = self._changed, array("I")
        for index in chosen:
            self._is_changed[index] = 0
        return chosen.tolist()

    @property
    def pending(self) -> bool:
        """Whether the last delta left something for the next."""
        return bool(self._changed)

    def key(self, index: int) -> tuple[int, int]:
        """Return (owner, number) of a task."""
        return self.owner[index], self.number[index]

    def find(self, owner: int, seq: int) -> int | None:
        """Return a task's index."""
        return self._find(owner, seq)

    def takers(self, owner: int, seq: int) -> list[int]:
        """Return tasks that took a value which was put, one of each function; from any thread."""
        return self._takers.of((owner, seq))

    # -------------------------------------------------------------------- inside

    def _rows(self, chosen: Sequence[int]) -> bytes:
        """Return the rows of some tasks, which are told by that.

        They are made in place: a list of two hundred thousand pieces takes more than they do.
        """
        rows = bytearray(len(chosen) * ROW.size)
        function, parent, worker, state, attempt = self.function, self.parent, self.worker, self.state, self.attempt
        submitted, start, end, made = self.submitted, self.start, self.end, self.made
        at, pack_into, size, is_changed = 0, ROW.pack_into, ROW.size, self._is_changed
        for i in chosen:
            pack_into(
                rows, at, i, function[i], parent[i], worker[i], state[i], 0, attempt[i],
                submitted[i] / 1e6, start[i] / 1e6, end[i] / 1e6, made[i] / 1e6,
            )  # fmt: skip
            at += size
            is_changed[i] = 0
        return bytes(rows)

    def _worker_rows(self, first: int) -> list[list[Any]]:
        workers = enumerate(self.workers[first:], first)
        return [[index, str(peer), *self.actors.get(peer, ())] for index, peer in workers]

    def _touch(self, index: int) -> None:
        if not self._is_changed[index]:
            self._is_changed[index] = 1
            self._changed.append(index)

    def _was_made(self, index: int, t_ns: int) -> None:
        """Its owner tells of the inputs and the starter of a task when it makes it; once more when it is run again."""
        if not 0 < self.made[index] <= t_ns:
            self.made[index] = t_ns
            self._touch(index)

    def _move(self, index: int, state: int) -> None:
        before = self.state[index]
        if before != state:
            self.counts[before] -= 1
            self.counts[state] += 1
            self.state[index] = state
        if not self._is_changed[index]:
            self._is_changed[index] = 1
            self._changed.append(index)

    def _index(self, owner: int, seq: int) -> int:
        """Return the index of a task, made if it is new."""
        numbers = self._owners.get(owner)
        if numbers is None:
            numbers = self._owners[owner] = TaskNumbers()
            self._owner_of_slot[owner & 0xFFFFFFFF] = owner
        index = numbers.get(seq)
        if index >= 0:
            return index
        if len(self.state) >= self.max_tasks:
            self._forget()
            numbers = self._owners[owner]
        index = len(self.state)
        numbers.put(seq, index)
        self.state.append(WAITS_FOR_PLACE)
        self.function.append(NO_FUNCTION)
        self.parent.append(NONE)
        self.worker.append(NONE)
        self.attempt.append(0)
        self.submitted.append(0)
        self.start.append(0)
        self.end.append(0)
        self.made.append(0)
        self.owner.append(owner)
        self.number.append(seq)
        self.counts[WAITS_FOR_PLACE] += 1
        self._is_changed.append(1)
        self._changed.append(index)
        return index

    def _find(self, owner: int, seq: int) -> int | None:
        numbers = self._owners.get(owner)
        index = numbers.get(seq) if numbers is not None else NONE
        return index if index >= 0 else None

    def _function(self, owner: int, number: int) -> int:
        found = self._function_index.get((owner, number))
        if found is None:
            found = self._function_index[owner, number] = len(self.functions)
            self.functions.append({"name": "", "kind": "task", "origin": ""})
        return found

    def _worker(self, peer: int) -> int:
        found = self._worker_index.get(peer)
        if found is None:
            found = self._worker_index[peer] = len(self.workers)
            self.workers.append(peer)
        return found

    def _in_slot(self, slot: int, owner: int) -> int:
        """Return the process in a slot of the segment: the one who tells, or the last one known there."""
        return owner if owner & 0xFFFFFFFF == slot else self._owner_of_slot.get(slot, 0)

    def _edge(self, source_owner: int, source_seq: int, owner: int, seq: int, is_task: bool) -> None:
        if is_task and source_owner:
            self._index(source_owner, source_seq)  # it may not have been heard of yet
        target = self._index(owner, seq)
        source = self._find(source_owner, source_seq)  # none: a value that was put, or of a task long ago
        if source is not None and source != target:
            self.edges.append(source)
            self.edges.append(target)
        elif source is None and not is_task:
            self._takers.note((source_owner, source_seq), target)

    def _forget(self) -> None:
        """Let the oldest quarter go, of those that are done; all indexes change."""
        n = len(self.state)
        many = n // 4 or 1
        over = self.state.tobytes().translate(_IS_OVER)
        # Up to here there are so many.
        cut = bisect_left(range(n), many, key=lambda place: over.count(1, 0, place)) if over.count(1) > many else n
        kept = [place for place in range(cut) if not over[place]] if over.count(0, 0, cut) else []
        if len(kept) == cut:  # nothing is done: the oldest go all the same, and are not shown any more
            cut, kept = many, []
            for state in self.state[:cut]:
                self.counts[state] -= 1
        self.forgetting(cut, kept)
        self.forgotten += cut - len(kept)
        for (function, state), count in Counter(zip(self.function[:cut], self.state[:cut], strict=True)).items():
            if state >= DONE and function != NO_FUNCTION:
                self.gone.setdefault(function, [0] * N_STATES)[state] += count
        self.generation += 1
        if self._forgets is not None:
            self._forgets.append([cut, *kept])
            if sum(map(len, self._forgets)) > MAX_KEPT:
                self._forgets = None
        new_index = array("i", (NONE,)) * cut + array("i", range(len(kept), len(kept) + n - cut))
        for place, index in enumerate(kept):
            new_index[index] = place
        for name in _COLUMNS:
            column = getattr(self, name)  # one after the other: both are there for a moment
            left = array(column.typecode, (column[index] for index in kept))
            left.extend(column[cut:])
            setattr(self, name, left)
        if self.parent.count(NONE) < len(self.parent):
            self.parent = array("i", (new_index[parent] if parent >= 0 else NONE for parent in self.parent))
        self._takers.renumber(new_index)
        told = _moved_edges(self.edges[: self._edges_told], new_index)
        self.edges = told + _moved_edges(self.edges[self._edges_told :], new_index)
        self._edges_told = len(told)
        self._changed = array("I", (new_index[index] for index in self._changed if new_index[index] >= 0))
        self._is_changed = bytearray(len(self.state))
        for index in self._changed:
            self._is_changed[index] = 1
        self._owners = {owner: TaskNumbers() for owner in self._owners}
        self._number_all()

    def _number_all(self) -> None:
        """Note which rows the tasks have, where nothing is known of that."""
        first = 0
        for owner, same in groupby(self.owner):
            end = first + len(list(same))
            self._owners[owner].put_all(self.number[first:end], first)
            first = end

    def validate(self) -> None:
        """Raise AssertionError unless all columns agree."""
        n = len(self.state)
        assert all(len(getattr(self, name)) == n for name in _COLUMNS)
        assert len(self._is_changed) == n and sum(self._is_changed) == len(self._changed)
        assert all(0 <= index < n for index in self.edges)
        assert all(self._find(*self.key(index)) == index for index in range(n))


def _moved_edges(edges: array[int], new_index: array[int]) -> array[int]:
    """Return edges between rows that have other indexes now, but for those of rows that are gone."""
    left = array("I")
    moved = (new_index[index] for index in edges)
    for source, target in zip(moved, moved, strict=True):
        if source >= 0 and target >= 0:
            left.append(source)
            left.append(target)
    return left


_COLUMNS = ("state", "function", "parent", "worker", "attempt", "submitted", "start", "end", "made", "owner", "number")


def numbers_sent(block: bytes, owner: int) -> list[int]:
    """Return the numbers of an owner's tasks that records say were sent, in their order."""
    words = memoryview(block).cast("Q")
    kinds = words.cast("B").cast("H")[26 :: RECORD.size // 2]
    told = zip(
        kinds.tolist(), words[2 :: RECORD.size // 8].tolist(), words[1 :: RECORD.size // 8].tolist(), strict=True
    )
    return [number for kind, whose, number in told if kind == SUBMIT and whose == owner]


def names_of(definitions: Iterable[Any]) -> list[tuple[int, int, str, str, str]]:
    """Return DefineNotice messages as arguments of ``define``."""
    return [(d.owner, d.number, d.name, d.kind, d.origin) for d in definitions]
