"""Values that a task returns under several refs, and that share objects.

Each ref has a value of its own, and each ``get`` rebuilds it anew. But what one ``get`` of several refs returns, and the arguments
of one task, share the objects that the values shared where they were made. For that, the value of each of these refs holds all
of them, and says which it is.
"""

from __future__ import annotations

import threading
from typing import Any

_get_ident = threading.get_ident


class Parts:
    """What is being read at the moment.

    Attributes
    ----------
    reader : int
        The thread that reads several values now; 0: none. With several at a time, some read each value on its own.
    sets : dict
        Those that it has read, by thread and key.
    """

    def __init__(self) -> None:
        self.reader = 0
        self.sets: dict[tuple[int, str], list[Any]] = {}


parts = Parts()


class Separate(list[Any]):
    """The values that a task returns when one that cannot be sent is not to cost those after it: who gets that one gets the error.

    Parameters
    ----------
    names
        What errors call them.
    """

    def __init__(self, values: list[Any], names: list[str]) -> None:
        super().__init__(values)
        self.names = names


class Part:
    """A value among others that it shares objects with.

    Parameters
    ----------
    key
        Names the set of values.
    index
        Which of them it is.
    """

    def __init__(self, key: str, index: int, values: list[Any]) -> None:
        self._part = key, index, values

    def __reduce__(self) -> Any:
        return take_part, self._part


def take_part(key: str, index: int, values: list[Any]) -> Any:
    """Return a value of those that were just read, or of the same ones if they were read a moment ago."""
    reader = _get_ident()
    if parts.reader == reader:
        values = parts.sets.setdefault((reader, key), values)
    return values[index]
