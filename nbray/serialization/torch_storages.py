"""The memory behind PyTorch's tensors on the CPU, out of band.

PyTorch writes a tensor's storage into a file in memory, and that file into the pickle: four copies there and back. Here
the storage goes as a buffer, and comes back as memory that may be written, as PyTorch's tensors may: large ones are the
pages of the store, copied when they are written (``store/private_memory.py``), small ones are copied at once, and so are
all when a process keeps a quarter of the store that way: a program may have more tensors than fit into it. Tensors that
share a storage go on to share it: PyTorch (2.1 and later) keeps the object that stands for a storage, so that pickle writes it once.

To learn how costs nothing as long as nobody has imported PyTorch.
"""

from __future__ import annotations

import importlib
import pickle
import sys
from collections.abc import Callable
from typing import Any

from nbray.store import private_memory

MAP_FROM_BYTES = 256 * 1024  # a mapping costs two system calls, and there are 65,530 of them per process


def reducers() -> dict[type, Callable[[Any], Any]]:
    """Return what reduces storages, by type, or answers None; nothing as long as PyTorch is not loaded, or is older than 2.0."""
    storage = getattr(sys.modules.get("torch"), "storage", None)
    untyped, typed = (getattr(storage, name, None) for name in ("UntypedStorage", "TypedStorage"))
    if not isinstance(untyped, type) or not isinstance(typed, type):
        return {}
    return {untyped: reduce_untyped, typed: reduce_typed}


def reduce_untyped(storage: Any) -> Any:
    """Return how to write an ``UntypedStorage``; None: as PyTorch does."""
    buffer = buffer_of(storage)
    return None if buffer is None else (untyped_storage, (buffer,))


def reduce_typed(storage: Any) -> Any:
    """Return how to write a ``TypedStorage``; None: as PyTorch does."""
    untyped = storage._untyped_storage
    return None if buffer_of(untyped) is None else (typed_storage, (untyped, storage.dtype))


def owner_of(array: Any) -> Any:
    """Return the storage that an array of NumPy shows; None: it is no tensor's."""
    show = getattr(getattr(array, "base", None), "untyped_storage", None)
    return None if show is None else show()


def buffer_of(storage: Any) -> pickle.PickleBuffer | None:
    """Return the bytes of a storage; None where they are not in memory that the CPU reads."""
    torch: Any = sys.modules["torch"]
    if type(storage) is not torch.UntypedStorage or storage.device.type != "cpu" or not storage.nbytes():
        return None
    try:
        array = torch.empty(0, dtype=torch.uint8).set_(storage).numpy()
    except RuntimeError:  # PyTorch without NumPy
        return None
    return pickle.PickleBuffer(array)


def untyped_storage(buffer: Any) -> Any:
    """Return a storage with these bytes, which may be written."""
    torch: Any = importlib.import_module("torch")  # only whoever gets one needs it
    return torch.frombuffer(_own(buffer), dtype=torch.uint8).untyped_storage()


def typed_storage(untyped: Any, dtype: Any) -> Any:
    """Return a storage as one of this type of element."""
    torch: Any = importlib.import_module("torch")
    return torch.storage.TypedStorage(wrap_storage=untyped, dtype=dtype, _internal=True)


def is_storage(value: Any) -> bool:
    """Tell whether a value is the memory behind tensors."""
    kind = getattr(sys.modules.get("torch"), "UntypedStorage", None)
    return isinstance(kind, type) and type(value) is kind


def _own(buffer: Any) -> Any:
    view = memoryview(buffer)
    if not view.readonly:
        return view  # of a pickle that nobody else has
    mine = private_memory.own(view, sparing=True) if view.nbytes >= MAP_FROM_BYTES else None
    return bytearray(view) if mine is None else mine
