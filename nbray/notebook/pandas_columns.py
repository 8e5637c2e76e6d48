"""Columns of pandas, which copies one before it writes where another object shows the same memory.

In a pickle two columns would share an array for good: what is stored into the one would be seen in the other. Before pandas 3 it
is, where the option ``mode.copy_on_write`` is off: there they are to share it.
"""

from __future__ import annotations

import sys
from typing import Any

_as_there: bool | None = None


def is_column(obj: Any) -> bool:
    """Whether this is an array of pandas' own."""
    extensions: Any = sys.modules.get("pandas.api.extensions")  # there when pandas is there whole
    return extensions is not None and issubclass(type(obj), extensions.ExtensionArray)


def is_frame(obj: Any) -> bool:
    """Whether this is a DataFrame or a Series, maybe of a subclass."""
    generic: Any = sys.modules.get("pandas.core.generic")
    return generic is not None and issubclass(type(obj), generic.NDFrame)


def do_as(shares: bool | None) -> None:
    """In a worker: let ``shares_memory`` answer as in the notebook, also while its options are not in force here; None: by itself."""
    global _as_there
    _as_there = shares


def shares_memory() -> bool | None:
    """Whether a column and what was taken from it show the same memory for good: pandas is older than 3, and copies nothing by itself.

    None: pandas is not loaded.
    """
    pandas: Any = sys.modules.get("pandas")
    if pandas is None or _as_there is not None:
        return _as_there
    version = getattr(pandas, "__version__", "3")
    if not version.startswith(("0.", "1.", "2.")):
        return False
    mode = getattr(getattr(pandas, "options", None), "mode", None)
    return getattr(mode, "copy_on_write", False) is not True


def reduce_column(array: Any) -> Any:
    """Return how to make such an array, with memory that no other has; None: as it says itself."""
    if shares_memory():
        return None
    reduced = array.__reduce_ex__(5)
    if not isinstance(reduced, tuple) or len(reduced) < 3:
        return None
    state = reduced[2]
    if type(state) is dict:
        state = {name: _apart(value) for name, value in state.items()}
    elif type(state) is tuple:
        state = tuple([_apart(value) for value in state])
    return (*reduced[:2], state, *reduced[3:])


def is_block(obj: Any) -> bool:
    """Whether this is what a frame holds columns in."""
    return type(obj).__module__ == "pandas.core.internals.blocks" and hasattr(obj, "mgr_locs")


def reduce_block(block: Any) -> Any:
    """Return how to make a block of a frame, whose columns no other has; None: as it says itself."""
    if shares_memory():
        return None
    reduced = block.__reduce_ex__(5)
    if not isinstance(reduced, tuple) or not reduced[1] or reduced[1][0] is not block.values:
        return None
    return (reduced[0], (block.values.view(), *reduced[1][1:]), *reduced[2:])


def _apart(value: Any) -> Any:
    return value.view() if type(value).__name__ == "ndarray" else value
