"""Tensors of PyTorch and variables of TensorFlow among the inputs of cells: whether a cell changed one, and how one here takes new contents.

A worker gets them as memory of its own that may be written (``serialization/torch_storages.py``), so that a function which
trains a model can do so; what it has written is found out afterwards.
"""

from __future__ import annotations

import ctypes
import sys
import zlib
from typing import Any

from nbray.serialization import torch_storages
from nbray.store import private_memory

from .page_watch import PageWatch

_memcmp = ctypes.CDLL(None).memcmp
_memcmp.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
_pages = PageWatch()


def is_tensor(value: Any) -> bool:
    """Tell whether a value is a tensor of PyTorch, of whatever class."""
    kind = getattr(sys.modules.get("torch"), "Tensor", None)
    return isinstance(kind, type) and isinstance(value, kind)


def is_variable(value: Any) -> bool:
    """Tell whether a value is a variable of TensorFlow (those of Keras hold one)."""
    return type(value).__name__ == "ResourceVariable" and type(value).__module__.startswith("tensorflow.")


class VariableValue:
    """What a variable of TensorFlow holds: on its way to the notebook's own, as it is no copy of itself."""

    def __init__(self, variable: Any) -> None:
        self.array = variable.numpy()


def take_variable(old: Any, new: VariableValue) -> bool:
    """Give a variable of the notebook a value; False: it cannot have it."""
    try:
        old.assign(new.array)
    except (TypeError, ValueError, RuntimeError):
        return False
    return True


class VariableState:
    """What a variable of TensorFlow holds when this is made."""

    def __init__(self, variable: Any) -> None:
        self._variable = variable
        self._sum = self._checksum()

    def differs(self) -> bool:
        """Tell whether it holds something else now."""
        return self._checksum() != self._sum

    def _checksum(self) -> int:
        array = self._variable.numpy()
        return 0 if array.dtype.hasobject else zlib.crc32(array.tobytes())


class StorageContents:
    """The bytes behind tensors, on their way to the notebook's own."""

    def __init__(self, buffer: Any) -> None:
        self.buffer = buffer

    def __reduce__(self) -> Any:
        return StorageContents, (self.buffer,)


def take_storage(old: Any, new: StorageContents) -> bool:
    """Give the memory behind tensors of the notebook other bytes; False: it cannot have them."""
    made = torch_storages.untyped_storage(new.buffer)
    try:
        if old.nbytes() != made.nbytes():
            old.resize_(made.nbytes())
        old.copy_(made)
    except RuntimeError:  # of a size that cannot be another
        return False
    return True


class TensorState:
    """How a tensor is when this is made."""

    def __init__(self, tensor: Any) -> None:
        self.tensor = tensor
        self._facts = _facts(tensor)
        self._address, self._n_bytes = _memory(tensor)
        self._sum = self._checksum()
        self._differs: bool | None = None

    def differs(self) -> bool:
        """Tell, when the cell has ended, whether it is another now, or its memory was written, in whatever way."""
        if self._differs is None:
            self._differs = self._is_another()
        return self._differs

    def _is_another(self) -> bool:
        if _facts(self.tensor) != self._facts or _memory(self.tensor) != (self._address, self._n_bytes):
            return True
        stored = private_memory.stored_address(self._address)
        if stored == self._address:
            return self._checksum() != self._sum
        if _pages.none_of_its_own(self._address, self._n_bytes):
            return False
        return bool(_memcmp(self._address, stored, self._n_bytes))

    @property
    def sees_all(self) -> bool:
        """Whether it would notice whatever is done: of memory elsewhere, as that of a GPU, it knows what PyTorch counts."""
        return self._n_bytes > 0

    def storage(self) -> Any:
        """Return what the tensor has its memory from; None: nothing that travels on its own."""
        return self.tensor.untyped_storage() if self._n_bytes else None

    def _checksum(self) -> int:
        if not self._n_bytes or private_memory.stored_address(self._address) != self._address:
            return 0
        return zlib.crc32((ctypes.c_char * self._n_bytes).from_address(self._address))


def take_tensor(old: Any, new: Any) -> bool:
    """Give a tensor of the notebook the contents of another, so that its views and an optimizer see them; False: it cannot.

    One that shows its memory as this one does has them already: the bytes came on their own.
    """
    torch: Any = sys.modules["torch"]
    try:
        with torch.no_grad():
            if _kind(old) == _kind(new) and old.layout == torch.strided:
                if not _show_the_same(old, new):
                    old.copy_(new)
                elif old.numel():
                    _count_write(old)
            else:
                old.data = new.data
        if old.is_leaf and old.requires_grad != new.requires_grad:
            old.requires_grad_(new.requires_grad)
    except RuntimeError:  # of kinds that do not change into each other
        return False
    return True


def _show_the_same(one: Any, other: Any) -> bool:
    place = [(tensor.data_ptr(), tensor.storage_offset(), tensor.stride()) for tensor in (one, other)]
    return place[0] == place[1] and _memory(one) == _memory(other) != (0, 0)


def _count_write(tensor: Any) -> None:
    """Let PyTorch know that a tensor was written, without which a gradient might be computed from what it no longer holds."""
    increment = getattr(sys.modules["torch"].autograd.graph, "increment_version", None)
    if increment is None or tensor.is_inference():  # older than 2.1; or it counts nothing of these
        return
    increment(tensor)


def _kind(tensor: Any) -> tuple[Any, ...]:
    return tensor.shape, tensor.dtype, tensor.device, tensor.layout


def _facts(tensor: Any) -> tuple[Any, ...]:
    """Return what tells of most changes: PyTorch counts what is written by operations, but not by way of ``.data`` or NumPy."""
    try:
        version = tensor._version
    except RuntimeError:  # made in inference mode
        version = 0
    strides = tensor.stride() if tensor.layout is sys.modules["torch"].strided else ()
    return *_kind(tensor), strides, tensor.requires_grad, version


def _memory(tensor: Any) -> tuple[int, int]:
    """Return address and bytes of what is behind a tensor; zeros where it is not in memory that the CPU reads."""
    try:
        storage = tensor.untyped_storage()
        return (storage.data_ptr(), storage.nbytes()) if storage.device.type == "cpu" else (0, 0)
    except (RuntimeError, NotImplementedError):  # sparse and its like
        return 0, 0
