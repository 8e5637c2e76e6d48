"""Read a pickle to show what is in it, without running any of it: no name in it is looked up.

Whatever is not plain data (an array, a frame, an object of the user) becomes an `Unresolved`, which knows
the name of its class and what it would have been made of.
"""

from __future__ import annotations

import io
import itertools
import pickle
from typing import Any

MAX_TEXT = 120  # characters of a value that is shown
MAX_ITEMS = 6  # of a container that are shown


class Unresolved:
    """Stands for an object whose class was not looked up; its own class has the name of that one."""

    made_of: tuple[Any, ...]
    state: Any

    def __new__(cls, *args: Any, **kwargs: Any) -> Unresolved:
        self = object.__new__(cls)
        self.made_of, self.state = args, None
        return self

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def append(self, value: Any) -> None:
        """Part of what a pickle may do with an object: ignored."""

    def extend(self, values: Any) -> None:
        """As ``append``."""

    def add(self, value: Any) -> None:
        """As ``append``."""

    def update(self, values: Any) -> None:
        """As ``append``."""


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        return type(name.rpartition(".")[2] or "object", (Unresolved,), {})

    def persistent_load(self, pid: Any) -> Any:
        return _Reader.find_class(self, "", "object")()


def read(data: bytes) -> Any:
    """Return what a pickle holds: plain data as it is, everything else as `Unresolved`.

    Raises
    ------
    ValueError
        When it cannot be read in this way.
    """
    try:
        return _Reader(io.BytesIO(data), buffers=itertools.repeat(b"")).load()
    except Exception as error:  # a pickle may fail in any way
        raise ValueError(f"cannot be shown: {type(error).__name__}") from None


def show(value: Any, limit: int = MAX_TEXT) -> str:
    """Return a short text for a value that ``read`` returned."""
    text = _text(value, 3)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _text(value: Any, depth: int) -> str:
    kind = type(value)
    if isinstance(value, Unresolved):
        return _object_text(value)
    if kind is type:
        return value.__name__
    if kind in (str, bytes, bytearray) and len(value) > MAX_TEXT:
        return repr(value[:MAX_TEXT])[:-1] + "…"
    if kind in (int, float, complex, bool, type(None), str, bytes, bytearray):
        return repr(value) if kind is not int or value.bit_length() < 4096 else "a large int"
    if kind in (tuple, list, set, frozenset, dict):
        return _items_text(value, depth)
    return kind.__name__


def _items_text(value: Any, depth: int) -> str:
    kind = type(value)
    if depth == 0:
        return f"{kind.__name__} of {len(value)}"
    first = itertools.islice(value.items() if kind is dict else value, MAX_ITEMS)
    if kind is dict:
        parts = [f"{_text(key, depth - 1)}: {_text(item, depth - 1)}" for key, item in first]
    else:
        parts = [_text(item, depth - 1) for item in first]
    if len(value) > MAX_ITEMS:
        parts.append(f"… {len(value)} in all")
    left, right = "()" if kind is tuple else "[]" if kind is list else "{}"
    comma = "," if kind is tuple and len(value) == 1 else ""
    return f"{left}{', '.join(parts)}{comma}{right}"


def _object_text(value: Unresolved) -> str:
    name = type(value).__name__
    if name == "_restore":
        return "ObjectRef"
    shape: Any = None
    if name in ("_reconstruct", "_frombuffer"):  # how NumPy pickles an array
        if name == "_frombuffer" and len(value.made_of) > 2:
            shape = value.made_of[2]
        elif isinstance(value.state, tuple) and len(value.state) > 1:
            shape = value.state[1]
        name = "ndarray"
    if isinstance(shape, tuple) and all(type(n) is int for n in shape):
        return f"{name} {' x '.join(map(str, shape))}"
    return name
