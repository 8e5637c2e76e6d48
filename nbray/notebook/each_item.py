"""One item of ``--each`` on its way to the worker."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Item:
    """One item: pickled like the inputs, or a ref's value."""

    number: int  # from 0
    targets: list[str]  # names to bind; several: it is unpacked
    stream: bytes = b""  # empty: the item is a ref, whose value is the last argument
    buffers: list[pickle.PickleBuffer] = field(default_factory=list)
    carried: list[Any] = field(default_factory=list)

    def parts(self, value: Any) -> list[Any]:
        """Return what each of the targets gets.

        Raises
        ------
        TypeError, ValueError
            The item has no parts, or another number of them.
        """
        if len(self.targets) == 1:
            return [value]
        names = ", ".join(self.targets)
        try:
            parts = list(value)
        except TypeError:
            kind = type(value).__name__
            raise TypeError(f"item {self.number} of --each has no parts for {names}: {kind} {value!r:.200}") from None
        if len(parts) != len(self.targets):
            many = f"{len(parts)} parts, not {len(self.targets)} for {names}"
            raise ValueError(f"item {self.number} of --each has {many}: {value!r:.200}")
        return parts
