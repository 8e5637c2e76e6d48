"""Numbers, arrays and structures of ctypes."""

from __future__ import annotations

import operator
import sys
from typing import Any


def is_made_array(kind: type) -> bool:
    """Whether this is a class such as ``c_int * 4``, which has a name but is found under none."""
    ctypes: Any = sys.modules.get("ctypes")
    return ctypes is not None and issubclass(kind, ctypes.Array) and kind.__name__.endswith(f"_Array_{kind._length_}")  # type: ignore[attr-defined]


def reduce_array_class(kind: Any) -> Any:
    """Write such a class as what it is made of."""
    return operator.mul, (kind._type_, kind._length_)


def is_c_data(value: Any) -> bool:
    """Whether this is such an object. (Those with pointers inside do not pickle.)"""
    ctypes: Any = sys.modules.get("ctypes")
    return ctypes is not None and isinstance(
        value, ctypes._SimpleCData | ctypes.Array | ctypes.Structure | ctypes.Union
    )


def take_bytes(old: Any, new: Any) -> bool:
    """Give an object the contents of another of its class."""
    ctypes: Any = sys.modules["ctypes"]
    ctypes.memmove(ctypes.addressof(old), ctypes.addressof(new), ctypes.sizeof(old))
    return True
