"""Which row of a table a task of an owner has. Pure."""

from __future__ import annotations

from array import array
from bisect import bisect_left

MAX_GAP = 1 << 20  # numbers that an owner may leave out before its tasks are counted as another owner's
NONE = -1


class TaskNumbers:
    """Task number -> index, of one owner; the numbers of an owner have few gaps."""

    __slots__ = ("_base", "_dense", "_sparse")

    def __init__(self) -> None:
        self._base = 0
        self._dense = array("i")
        self._sparse: dict[int, int] = {}

    def get(self, seq: int) -> int:
        place = seq - self._base
        if 0 <= place < len(self._dense):
            index = self._dense[place]
            if index >= 0:
                return index
        return self._sparse.get(seq, NONE) if self._sparse else NONE

    @property
    def dense(self) -> tuple[int, array[int]] | None:
        """The first number and the index of each from there on, but for some that came out of order; None: none yet."""
        return (self._base, self._dense) if self._dense else None

    def make_room(self, low: int, high: int) -> bool:
        """Have ``dense`` cover these numbers; False: they are too far from the others, or before them."""
        if not self._dense:
            self._base = low
        missing = high + 1 - self._base - len(self._dense)
        if low < self._base or missing > MAX_GAP:
            return False
        if missing > 0:
            self._dense.extend(array("i", [NONE]) * missing)
        return True

    def put_all(self, numbers: array[int], index: int) -> None:
        """Note numbers: they have the indexes from ``index`` on."""
        if not self._dense:
            self._base = numbers[0]
        end = self._base + len(self._dense)
        # Those at the end come last in most cases, and in their order; before them those that fill gaps.
        tail = bisect_left(numbers, end) if numbers[0] < end else 0
        for number in numbers[:tail]:
            self.put(number, index)
            index += 1
        rest = numbers[tail:]
        if rest and rest[0] == end and rest == array("Q", range(end, end + len(rest))):
            self._dense.extend(array("i", range(index, index + len(rest))))
            return
        for number in rest:
            self.put(number, index)
            index += 1

    def put(self, seq: int, index: int) -> None:
        if not self._dense:
            self._base = seq
        place = seq - self._base
        missing = place - len(self._dense)
        if place < 0 or missing > MAX_GAP:
            self._sparse[seq] = index
            return
        if missing > 0:
            self._dense.extend(array("i", [NONE]) * missing)
        if missing >= 0:
            self._dense.append(index)
        else:
            self._dense[place] = index
