"""The last tasks of this owner that ended in an error: for those who look at what failed, when no ref of it is left.

Only how a task ended, never a value. Bounded in number and bytes; a task that succeeds never comes here.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import Any, NamedTuple

MAX_ENTRIES = 10_000
MAX_BYTES = 16 * 1024 * 1024  # of errors and lineages that are kept whole


class Failure(NamedTuple):
    """How one task ended."""

    place: int  # of all failures, from 1
    number: int  # of the task
    cancelled: bool
    t_ns: int  # CLOCK_MONOTONIC
    blob: bytes | None  # as of an ErrorValue
    lineage: Any  # Lineage, by which it can run again; None: it cannot
    n_bytes: int


class FailureLog:
    """What failed, newest last; methods are called with the core worker's lock held."""

    def __init__(self) -> None:
        self.count = 0
        self._entries: OrderedDict[int, Failure] = OrderedDict()  # by number of the task
        self._whole: OrderedDict[int, int] = OrderedDict()  # those with blob or lineage: number -> bytes
        self._bytes = 0

    def add(self, number: int, cancelled: bool, blob: bytes, lineage: Any = None) -> None:
        """Note that a task ended in an error."""
        self.count += 1
        n_bytes = len(blob) + (lineage.n_bytes if lineage is not None else 0)
        if number in self._whole:
            self._bytes -= self._whole.pop(number)
        self._entries.pop(number, None)
        self._entries[number] = Failure(
            self.count, number, cancelled, time.monotonic_ns(), blob, lineage, n_bytes
        )  # fmt: skip
        self._whole[number] = n_bytes
        self._bytes += n_bytes
        while self._bytes > MAX_BYTES:
            oldest, freed = self._whole.popitem(last=False)
            self._bytes -= freed
            self._entries[oldest] = self._entries[oldest]._replace(blob=None, lineage=None)
        if len(self._entries) > MAX_ENTRIES:
            gone, _ = self._entries.popitem(last=False)
            self._bytes -= self._whole.pop(gone, 0)

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
