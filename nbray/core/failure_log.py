"""The last tasks of this owner that ended in an error: for lists and pictures, when no ref of them is left.

Only how a task ended, never a value. Bounded in number and bytes; a task that succeeds never comes here.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from typing import Any, NamedTuple

from nbray.serialization import error_value

MAX_ENTRIES = 10_000
MAX_BYTES = 16 * 1024 * 1024  # of errors and lineages that are kept whole
SHORT_BYTES = 1024  # about, of the error of each other
MAX_ATTEMPTS = 1000  # that failed and were followed by another


class Failure(NamedTuple):
    """How one task ended."""

    place: int  # of all failures, from 1
    number: int  # of the task
    name: str
    function: str
    function_number: int  # at its owner
    actor_id: str  # of the actor that was called; empty: it was no call of one
    cancelled: bool
    t_ns: int  # CLOCK_MONOTONIC
    blob: bytes  # as of an ErrorValue
    lineage: Any  # Lineage, by which it can run again; None: it cannot
    process: int  # peer of the worker that died with it; 0: none did
    began: bool  # whether that may have begun it


class Attempt(NamedTuple):
    """A run that failed, of a task that ran again."""

    number: int  # of the task
    attempt: int  # of the run, from 0
    process: int  # peer of the worker
    t_ns: int
    blob: bytes


class FailureLog:
    """What failed, newest last; methods are called with the core worker's lock held.

    Attributes
    ----------
    attempts : deque of Attempt
        Runs that failed and were followed by another.
    """

    def __init__(self) -> None:
        self.count = 0
        self.attempts: deque[Attempt] = deque(maxlen=MAX_ATTEMPTS)
        self._entries: OrderedDict[int, Failure] = OrderedDict()  # by number of the task
        self._whole: OrderedDict[int, int] = OrderedDict()  # those that are kept whole: number -> bytes
        self._bytes = 0

    def add(
        self, number: int, name: str, function: str, function_number: int, actor_id: str, cancelled: bool, blob: bytes,
        lineage: Any = None, process: int = 0, began: bool = True,
    ) -> None:  # fmt: skip
        """Note that a task ended in an error."""
        self.count += 1
        n_bytes = len(blob) + (lineage.n_bytes if lineage is not None else 0)
        if number in self._whole:
            self._bytes -= self._whole.pop(number)
        self._entries.pop(number, None)
        self._entries[number] = Failure(
            self.count, number, name, function, function_number, actor_id, cancelled, time.monotonic_ns(), blob, lineage,
            process, began,
        )  # fmt: skip
        self._whole[number] = n_bytes
        self._bytes += n_bytes
        while self._bytes > MAX_BYTES:
            oldest, freed = self._whole.popitem(last=False)
            self._bytes -= freed
            entry = self._entries[oldest]
            self._entries[oldest] = entry._replace(blob=error_value.shorten(entry.blob, SHORT_BYTES), lineage=None)
        if len(self._entries) > MAX_ENTRIES:
            gone, _ = self._entries.popitem(last=False)
            self._bytes -= self._whole.pop(gone, 0)

    def add_attempt(self, number: int, process: int, blob: bytes) -> None:
        """Note that a run of a task failed, and that it runs again."""
        before = max((one.attempt for one in self.attempts if one.number == number), default=-1)
        blob = error_value.shorten(blob, SHORT_BYTES)
        self.attempts.append(Attempt(number, before + 1, process, time.monotonic_ns(), blob))

    def attempts_of(self, number: int) -> list[Attempt]:
        """Return the runs of a task before its last, as far as they are known."""
        return [one for one in self.attempts if one.number == number]

    def of(self, number: int) -> Failure | None:
        """Return how a task ended; None when it did not fail, or too long ago."""
        return self._entries.get(number)

    def since(self, count: int) -> list[Failure]:
        """Return those after the ``count``-th, oldest first."""
        found = []
        for failure in reversed(self._entries.values()):
            if failure.place <= count:
                break
            found.append(failure)
        return found[::-1]
