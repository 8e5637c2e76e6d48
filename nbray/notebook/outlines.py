"""Which inputs a cell changed that are too large to be compared whole: what refers to what is compared.

A list that has grown, a column that was added, an attribute of a model. The numbers in large buffers need no comparison: they
are read-only in a worker, unless the cell is known to store into them. Those in tensors of PyTorch are not, and are compared.
"""

from __future__ import annotations

import collections
import operator
import types
from typing import Any

from .pandas_columns import is_frame
from .tensors import TensorState, VariableState, is_tensor, is_variable

_SEQUENCES = (list, set, collections.deque)
_ATOMS = (str, bytes, int, float, complex, bool, type(None), tuple, frozenset, range, type, types.FunctionType, types.ModuleType)  # fmt: skip
MAX_OBJECTS = 20_000  # that are looked into: each costs a microsecond or two
MAX_FOLLOWED = 5_000  # parts of one object, of which each is looked into as well


class Outline:
    """What the objects of a large value refer to, when it was made."""

    def __init__(self, value: Any) -> None:
        self._before: list[tuple[Any, list[Any]]] = []
        self._tensors: list[TensorState | VariableState] = []
        seen: set[int] = set()
        waiting = [value]
        while waiting and len(seen) < MAX_OBJECTS:
            obj = waiting.pop()
            if type(obj) in _ATOMS or id(obj) in seen:
                continue
            if is_tensor(obj):
                self._tensors.append(TensorState(obj))
            elif is_variable(obj):
                self._tensors.append(VariableState(obj))
                continue
            parts = _parts(obj)
            if parts is not None:
                seen.add(id(obj))
                self._before.append((obj, parts))
                if len(parts) <= MAX_FOLLOWED and not is_frame(obj):
                    waiting += parts

    def differs(self) -> bool:
        """Whether any of the objects refers to something else now, or a tensor has other contents."""
        for obj, before in self._before:
            now = _parts(obj)
            if now is None or len(now) != len(before) or not all(map(operator.is_, now, before)):
                return True
        return any(tensor.differs() for tensor in self._tensors)


def _parts(obj: Any) -> list[Any] | None:
    """Return what an object refers to; None: it is none whose parts can be told."""
    if isinstance(obj, _SEQUENCES):
        parts: list[Any] = list(obj)
    elif isinstance(obj, dict):
        parts = [*obj, *obj.values()]
    elif is_frame(obj):
        manager = obj._mgr
        parts = [manager, *manager.axes, getattr(obj, "_name", None)]
        for axis in manager.axes:
            parts += axis.names
        for block in manager.blocks:
            parts += [block.values, getattr(block.values, "_pa_array", None)]
        return parts
    else:
        attributes = getattr(obj, "__dict__", None)
        return [*attributes, *attributes.values()] if type(attributes) is dict else None
    attributes = getattr(obj, "__dict__", None)  # of a subclass
    return [*parts, *attributes, *attributes.values()] if type(attributes) is dict else parts
