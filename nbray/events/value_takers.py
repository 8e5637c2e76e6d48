"""Which tasks took the values that were put: the edges whose beginning is no task. Pure."""

from __future__ import annotations

from collections.abc import Sequence

MAX_VALUES = 10_000  # values of which is known who takes them
MAX_TAKERS = 32  # functions of one value

Value = tuple[int, int]  # owner, number


class ValueTakers:
    """Value -> tasks that took it, one of each function."""

    __slots__ = ("_by_value", "_unsettled")

    def __init__(self) -> None:
        self._by_value: dict[Value, dict[int, int]] = {}  # value -> function -> one of its tasks
        self._unsettled: list[tuple[Value, int]] = []  # whose functions have not been looked at

    def note(self, value: Value, task: int) -> None:
        """A task took this value; which function it is of may not be known yet."""
        self._unsettled.append((value, task))

    def settle(self, function_of: Sequence[int], unknown: int) -> None:
        """Take up what was noted; a task whose function is ``unknown`` has to wait."""
        if not self._unsettled:
            return
        noted, self._unsettled = self._unsettled, []
        for value, task in noted:
            function = function_of[task]
            if function == unknown:
                self._unsettled.append((value, task))
            elif value in self._by_value or len(self._by_value) < MAX_VALUES:
                takers = self._by_value.setdefault(value, {})
                if len(takers) < MAX_TAKERS:
                    takers.setdefault(function, task)
        del self._unsettled[:-MAX_VALUES]

    def of(self, value: Value) -> list[int]:
        """Return tasks that took a value, one of each function; from any thread."""
        return list(self._by_value.get(value, {}).values())

    def renumber(self, new_index: Sequence[int]) -> None:
        """Tasks have other indexes now; a negative one is gone."""
        before, self._by_value = self._by_value, {}
        for value, tasks in before.items():
            there = {function: new_index[task] for function, task in tasks.items() if new_index[task] >= 0}
            if there:
                self._by_value[value] = there
        self._unsettled = [(value, new_index[task]) for value, task in self._unsettled if new_index[task] >= 0]
