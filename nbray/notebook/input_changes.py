"""What a cell changed in place of its inputs: noticed by comparing pickles from before and after.

All inputs go through one pickler, so that which objects they share belongs to what is compared.
"""

from __future__ import annotations

import types
from collections.abc import Iterable
from typing import Any

from . import free_locks
from .cell_job import SMALL_BYTES, is_immutable, is_larger
from .cell_pickle import CellPickler, LimitedWriter
from .runtime import CARRIED_TYPES


class InputChanges:
    """Compares inputs of a cell.

    Parameters
    ----------
    namespace
        The cell's names.
    aliases
        Names of the objects that the notebook has, by id.
    """

    def __init__(self, namespace: dict[str, Any], aliases: dict[int, str]) -> None:
        self._namespace = namespace
        self._aliases = aliases
        self._values: dict[str, Any] = {}
        self._before: dict[str, bytes] = {}

    def watch(self, values: Iterable[tuple[str, Any]]) -> None:
        """Note how these are now; what is too large, or cannot be pickled, is not watched."""
        self._values = {
            name: value for name, value in values if not (is_immutable(value) or isinstance(value, types.ModuleType))
        }
        if self._values:
            self._before = {name: data for name, data in self._pickled().items() if data is not None}
            self._values = {name: self._values[name] for name in self._before}

    @property
    def watched(self) -> set[str]:
        """Names whose changes are noticed."""
        return set(self._before)

    def changed(self) -> set[str]:
        """Return the names whose objects are not as they were."""
        if not self._values:
            return set()
        return {name for name, data in self._pickled().items() if data != self._before[name]}

    def digest(self, value: Any) -> bytes | None:
        """Return the pickle of a small value; None when it is not small, or none at all."""
        if is_larger(value, SMALL_BYTES):
            return None
        file = LimitedWriter(SMALL_BYTES)
        others = {key: name for key, name in self._aliases.items() if key != id(value)}
        try:
            CellPickler(file, self._namespace, CARRIED_TYPES, False, others).dump(value)
        except Exception:
            return None
        return file.getvalue()

    def _pickled(self) -> dict[str, bytes | None]:
        found: dict[str, bytes | None] = {}
        # Those that are watched are told by what is in them, the others by their names.
        own = {id(value) for value in self._values.values()}
        others = {key: name for key, name in self._aliases.items() if key not in own}
        pickler: CellPickler | None = None
        for name, value in self._values.items():
            if is_larger(value, SMALL_BYTES):
                found[name] = None
                continue
            if pickler is None:
                file = LimitedWriter(0)
                pickler = CellPickler(file, self._namespace, CARRIED_TYPES, False, others)
            begin = file.tell()
            file.limit = begin + SMALL_BYTES
            try:
                pickler.dump(value)
            except Exception:
                pickler = None  # it remembers objects that it did not write
                if free_locks.find(value):  # those that were made here for others
                    return self._pickled()
                found[name] = None
                continue
            with file.getbuffer() as written:
                found[name] = bytes(written[begin:])
        return found
