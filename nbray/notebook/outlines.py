"""Which inputs a cell changed that are too large to be compared whole: what refers to what is compared.

A list that has grown, a column that was added, an attribute of a model. The numbers in large buffers need no comparison: they
are read-only in a worker, unless the cell is known to store into them. Those in tensors of PyTorch are not, and are compared.
"""

from __future__ import annotations

import collections
import copyreg
import operator
import struct
import sys
import types
from typing import Any

from .gradients import gradient_of
from .pandas_columns import is_frame
from .tensors import TensorState, VariableState, is_tensor, is_variable

_SEQUENCES = (list, set, collections.deque)
_ATOMS = frozenset((
    str, bytes, int, float, complex, bool, type(None), frozenset, range, type, types.FunctionType, types.ModuleType,
))  # fmt: skip
_POINTER_BYTES = struct.calcsize("P")
# Which have nothing beside their parts.
_PLAIN = frozenset((
    list, set, dict, collections.deque, collections.OrderedDict, collections.defaultdict, collections.Counter,
))  # fmt: skip
MAX_OBJECTS = 1_000_000  # that are looked into: each costs a microsecond, less than to send it


class Outline:
    """What the objects of a large value refer to, when it was made.

    Parameters
    ----------
    tensors
        Whether to note what is in tensors as well.
    """

    def __init__(self, value: Any, tensors: bool = True) -> None:
        self._before: list[tuple[Any, list[Any]]] = []
        self._tensors: list[TensorState | VariableState] = []
        self._slots: dict[type, list[str]] = {}  # of ordinary classes, whose objects have attributes and nothing else
        seen: set[int] = set()
        waiting = [value]
        while waiting and len(seen) < MAX_OBJECTS:
            obj = waiting.pop()
            if id(obj) in seen:
                continue
            kind = type(obj)
            if kind is tuple:  # which stays what it is, but not what is in it
                seen.add(id(obj))
                waiting += [part for part in obj if type(part) not in _ATOMS]
                continue
            if kind not in self._slots and not self._is_ordinary(obj):
                if not tensors:
                    pass
                elif is_tensor(obj):
                    self._tensors.append(TensorState(obj))
                elif is_variable(obj):
                    self._tensors.append(VariableState(obj))
                    continue
            parts = self._parts(obj)
            if parts is not None:
                seen.add(id(obj))
                self._before.append((obj, parts))
                if not _ATOMS.issuperset(map(type, parts)) and not is_frame(obj):
                    waiting += [part for part in parts if type(part) not in _ATOMS]
        self.whole = not waiting

    def differs(self) -> bool:
        """Whether any of the objects refers to something else now, or a tensor has other contents."""
        for obj, before in self._before:
            if not _are_same(self._parts(obj), before):
                return True
        return any(tensor.differs() for tensor in self._tensors)

    def unchanged(self) -> set[int]:
        """Return the ids of the objects that are as they were: they are all that they refer to, and that is the same."""
        plain = _PLAIN.union(kind for kind, slots in self._slots.items() if _has_no_more_than(kind, slots))
        return {id(obj) for obj, before in self._before if type(obj) in plain and _are_same(self._parts(obj), before)}

    def unwritten_tensors(self) -> dict[int, bool]:
        """Return the tensors of PyTorch that hold what they held, by id: whether they have the same gradient and attributes, too."""
        parts = {id(obj): before for obj, before in self._before}
        same = [state.tensor for state in self._unwritten()]
        return {id(tensor): _are_same(_parts(tensor), parts[id(tensor)]) for tensor in same}

    def unwritten_storages(self) -> set[int]:
        """Return the ids of what these tensors have their memory from."""
        return {id(storage) for state in self._unwritten() if (storage := state.storage()) is not None}

    def _unwritten(self) -> list[TensorState]:
        states = [state for state in self._tensors if isinstance(state, TensorState) and state.sees_all]
        return [state for state in states if not state.differs()]

    def _is_ordinary(self, obj: Any) -> bool:
        kind = type(obj)
        if isinstance(obj, (*_SEQUENCES, dict)) or is_frame(obj) or is_tensor(obj) or is_variable(obj):
            return False
        # Objects of Python's own classes keep there what they have found out about themselves.
        own = kind.__module__.partition(".")[0] in sys.stdlib_module_names
        self._slots[kind] = [] if own else copyreg._slotnames(kind)  # type: ignore[attr-defined]
        return True

    def _parts(self, obj: Any) -> list[Any] | None:
        """Return what an object refers to; None: it is none whose parts can be told."""
        slots = self._slots.get(type(obj))
        if slots is None:
            return _parts(obj)
        attributes = getattr(obj, "__dict__", None)
        if type(attributes) is not dict:
            return [getattr(obj, name, None) for name in slots] if slots else None
        parts = [*attributes, *attributes.values()]
        return [*parts, *(getattr(obj, name, None) for name in slots)] if slots else parts


def _has_no_more_than(kind: type, slots: list[str]) -> bool:
    """Whether the objects of a class are their attributes: there is no room for anything else in them."""
    own = len(slots) + 2  # the __dict__, and whether there are weak references
    return not kind.__itemsize__ and kind.__basicsize__ <= object.__basicsize__ + own * _POINTER_BYTES


def _are_same(now: list[Any] | None, before: list[Any]) -> bool:
    return now is not None and len(now) == len(before) and all(map(operator.is_, now, before))


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
        if type(attributes) is not dict:
            return None
        parts = [*attributes, *attributes.values()]
        return [gradient_of(obj), *parts] if is_tensor(obj) else parts
    attributes = getattr(obj, "__dict__", None)  # of a subclass
    return [*parts, *attributes, *attributes.values()] if type(attributes) is dict else parts
