"""Arrays out of the store without unpickling: most values that are large are one plain array.

The pickle of an array whose data went out of band says only type, shape and order. So equal
pickles mean equal layouts: the first one is unpickled, the next ones are made by one call of
the array's type. It is the pickle that decides, never its length or a guess.
"""

from __future__ import annotations

from typing import Any

MAX_PICKLE_BYTES = 512  # a plain array's has about 140
MAX_LAYOUTS = 512

# pickle -> (the type ndarray, shape, dtype, order)
_layouts: dict[bytes, tuple[Any, tuple[int, ...], Any, str]] = {}


def rebuild(pickled: bytes, buffer: memoryview) -> Any:
    """Return the array over ``buffer``, or None when this pickle is not known to be one."""
    layout = _layouts.get(pickled)
    if layout is None:
        return None
    array_type, shape, dtype, order = layout
    return array_type(shape, dtype, buffer, 0, None, order)


def remember(pickled: bytes, value: Any, buffer: memoryview) -> None:
    """Learn from a value that was unpickled over ``buffer``, if it is a plain array that shares all of it."""
    kind = type(value)
    if kind.__name__ != "ndarray" or kind.__module__ != "numpy":  # subclasses are not plain
        return
    # Arrays may share a dtype that cannot be changed; a structured one has names that can.
    if not value.size or value.dtype.names is not None or value.dtype.hasobject or value.flags.writeable:
        return
    order = "C" if value.flags.c_contiguous else "F"
    if value.nbytes != buffer.nbytes or not value.flags.forc:
        return
    same = kind(value.shape, value.dtype, buffer, 0, None, order)
    if same.__array_interface__ != value.__array_interface__:  # elsewhere, or in other steps
        return
    if len(_layouts) >= MAX_LAYOUTS:
        _layouts.clear()
    _layouts[pickled] = (kind, value.shape, value.dtype, order)
