"""Arrays of NumPy and tensors of PyTorch that show the same memory go on to share it, there and back; so do columns of pandas before 3.

Neither knows of the other: only their addresses tell. So what a stream holds of both is noted while it is written, and where they
overlap it is written once more, with all of them as parts of what owns the memory: of one storage, or on the way back of an array
or a storage that both sides know. It costs nothing as long as nobody has imported PyTorch.
"""

from __future__ import annotations

import ctypes
import importlib
import pickle
import sys
import warnings
import weakref
from collections.abc import Iterable
from typing import Any

from nbray.serialization import torch_storages

from .pandas_columns import shares_memory

# Storages whose arrays are read-only, as large inputs are on a worker.
_guarded: weakref.WeakSet[Any] = weakref.WeakSet()


class CommonMemory:
    """What one stream holds of the memory of arrays and tensors.

    Parameters
    ----------
    known
        Objects that the reader has, whether they are in the stream or not.
    all_arrays
        Whether arrays are to share memory among themselves, wherever they lie.
    """

    def __init__(self, known: Iterable[Any] = (), all_arrays: bool = False) -> None:
        self._all_arrays = all_arrays
        self._numpy: Any = sys.modules["numpy"]
        known = [obj for obj in known if type(obj) is self._numpy.ndarray or torch_storages.is_storage(obj)]
        self._known = {id(obj): obj for obj in known}
        self._noted: dict[int, Any] = {}  # all stay, so that no id becomes another's
        self._owners: dict[
            int, tuple[Any, int]
        ] = {}  # by the id of a part: what it is a part of, and where that begins
        self._settled = False

    def reduce(self, obj: Any) -> Any:
        """Return how to write an array or a storage as a part of what owns its memory; None: it is none, or has memory of its own."""
        is_array = type(obj) is self._numpy.ndarray
        if not is_array and not torch_storages.is_storage(obj):
            return None
        self._noted[id(obj)] = obj
        owner, start = self._owners.get(id(obj), (None, 0))
        if owner is None:
            return None
        if owner is obj:
            return None if is_array else (storage, (torch_storages.buffer_of(obj),))
        low, high = self._span(obj)
        if is_array:
            # What is read-only because its owner is, as large inputs are on a worker, is as its owner there.
            writable = bool(obj.flags.writeable) or _is_read_only(owner)
            return array_in, (owner, obj.shape, obj.dtype, low - start, obj.strides, writable)
        return storage_in, (owner, low - start, high - low)

    def settle(self) -> bool:
        """Find out, when the stream has been written, what overlaps; True: it has to be written once more."""
        if self._settled:
            return False
        self._settled = True
        spans = []
        for obj in {**self._known, **self._noted}.values():
            low, high = self._span(obj)
            if low < high:
                spans.append((low, high, obj))
        spans.sort(key=lambda span: span[:2])
        group: list[tuple[int, int, Any]] = []
        end = 0
        for span in spans:
            if group and span[0] >= end:
                self._join(group)
                group = []
            end = max(end, span[1]) if group else span[1]
            group.append(span)
        if group:
            self._join(group)
        return any(key in self._noted for key in self._owners)

    def _join(self, group: list[tuple[int, int, Any]]) -> None:
        """Make all that overlap parts of one."""
        if len(group) < 2:
            return
        is_torch = any(torch_storages.is_storage(obj) for _, _, obj in group)
        if not is_torch and not self._all_arrays:
            return
        low, high = group[0][0], max(end for _, end, _ in group)
        whole = [obj for start, end, obj in group if (start, end) == (low, high) and self._is_whole(obj)]
        owner = next((obj for obj in whole if id(obj) in self._known), None)
        if owner is None:
            # An array that owns its memory before one that shows it.
            arrays = sorted((obj for obj in whole if not is_torch), key=lambda obj: not obj.flags.owndata)
            owner = next((obj for obj in whole if torch_storages.is_storage(obj)), *arrays[:1] or [None])
        if owner is None:
            roots = [_root(obj) for _, _, obj in group if type(obj) is self._numpy.ndarray]
            roots = [root for root in roots if self._is_whole(root) and self._covers(root, low, high)]
            if is_torch:
                owner = _Block(roots[0]) if roots else _Block.between(low, high, [obj for _, _, obj in group])
                low, _ = self._span(owner.array)
            elif roots:
                owner = roots[0]
                low, _ = self._span(owner)
            else:
                return
        for _, _, obj in group:
            self._owners[id(obj)] = owner, low

    def _covers(self, array: Any, low: int, high: int) -> bool:
        start, end = self._span(array)
        return start <= low and high <= end

    def _is_whole(self, obj: Any) -> bool:
        """Whether this has all of the memory between its first and its last byte."""
        return torch_storages.is_storage(obj) or bool(
            type(obj) is self._numpy.ndarray and (obj.flags.c_contiguous or obj.flags.f_contiguous)
        )

    def _span(self, obj: Any) -> tuple[int, int]:
        """Return where the memory of an array or a storage begins and ends; the same twice where there is none that could be shared."""
        if type(obj) is self._numpy.ndarray:
            if obj.dtype.hasobject or not obj.size:
                return 0, 0
            first = last = int(obj.__array_interface__["data"][0])
            for n, stride in zip(obj.shape, obj.strides, strict=True):
                first += min(0, (n - 1) * stride)
                last += max(0, (n - 1) * stride)
            return first, last + int(obj.itemsize)
        if obj.device.type != "cpu":
            return 0, 0
        start = int(obj.data_ptr())
        return start, start + int(obj.nbytes())


def common_memory(known: Iterable[Any] = ()) -> CommonMemory | None:
    """Return what notes the memory of a stream; None: there is nothing to note, neither PyTorch nor a pandas whose columns share memory."""
    if "numpy" not in sys.modules:
        return None
    all_arrays = "pandas" in sys.modules and bool(shares_memory())
    if not all_arrays and ("torch" not in sys.modules or not torch_storages.reducers()):
        return None
    return CommonMemory(known, all_arrays)


class _Block:
    """Memory that arrays and tensors are parts of, and that none of them has as a whole: the reader gets a storage."""

    def __init__(self, array: Any, holders: Any = None) -> None:
        self.array = array
        self._holders = holders

    @classmethod
    def between(cls, low: int, high: int, holders: list[Any]) -> _Block:
        """Return the memory from one address to another, which these objects overlap and hold."""
        numpy: Any = sys.modules["numpy"]
        return cls(numpy.frombuffer((ctypes.c_char * (high - low)).from_address(low), numpy.uint8), holders)

    def __reduce__(self) -> Any:
        return storage, (pickle.PickleBuffer(_bytes_of(self.array)),)


def _is_read_only(owner: Any) -> bool:
    if torch_storages.is_storage(owner):
        return owner in _guarded
    return not (owner.array if isinstance(owner, _Block) else owner).flags.writeable


def storage(buffer: Any) -> Any:
    """Return a storage with these bytes; its arrays may be written where the bytes may."""
    made = torch_storages.untyped_storage(buffer)
    if memoryview(buffer).readonly:
        _guarded.add(made)
    return made


def array_in(owner: Any, shape: tuple[int, ...], dtype: Any, offset: int, strides: Any, writable: bool) -> Any:
    """Return an array that is a part of an array, a storage or a block."""
    numpy: Any = sys.modules["numpy"]
    # NumPy looks whether the memory reaches far enough from the first element on, and with strides below zero back from there.
    array = numpy.ndarray(shape, dtype, _bytes_of(owner), offset + _before(shape, strides), strides)
    if not writable or (torch_storages.is_storage(owner) and owner in _guarded):
        array.flags.writeable = False
    return array


def storage_in(owner: Any, offset: int, n_bytes: int) -> Any:
    """Return a storage that is a part of one, of an array or of a block."""
    torch: Any = importlib.import_module("torch")  # the cell may have been the first to need it
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # that PyTorch cannot make a tensor read-only: it was told where this one was made
        return torch.from_numpy(_bytes_of(owner)[offset : offset + n_bytes]).untyped_storage()


def is_guarded(array: Any) -> bool:
    """Whether an array is read-only because it came from outside, in memory that is a tensor's as well."""
    tensor = getattr(_root(array), "base", None)
    show = getattr(tensor, "untyped_storage", None)
    return show is not None and show() in _guarded


def _before(shape: tuple[int, ...], strides: Any) -> int:
    """Return how far behind the first byte of its memory an array has its first element."""
    return -sum(min(0, (n - 1) * stride) for n, stride in zip(shape, strides, strict=True))


def _bytes_of(owner: Any) -> Any:
    """Return the memory of a storage, a block or an array without gaps, as bytes."""
    if torch_storages.is_storage(owner):
        torch: Any = sys.modules["torch"]
        return torch.empty(0, dtype=torch.uint8).set_(owner).numpy()
    array = owner.array if isinstance(owner, _Block) else owner
    if not (array.flags.c_contiguous or array.flags.f_contiguous):  # here; there it is a copy without gaps
        array = array.copy()
    return (array if array.flags.c_contiguous else array.T).reshape(-1).view(sys.modules["numpy"].uint8)


def _root(array: Any) -> Any:
    kind = type(array)
    while type(array.base) is kind:
        array = array.base
    return array
