"""What has been added to pandas' classes: accessors of the notebook's, ``tqdm.pandas()``, methods of libraries that extend it.

A function adds them, so nothing in a cell shows it. They are told by where they come from, which is not pandas.
"""

from __future__ import annotations

import sys
from typing import Any

from . import module_values
from .cell_pickle import pickles
from .module_values import Key

_CLASSES = (
    "pandas.DataFrame",
    "pandas.Series",
    "pandas.Index",
    "pandas.core.generic.NDFrame",
    "pandas.core.groupby.GroupBy",
    "pandas.core.groupby.DataFrameGroupBy",
    "pandas.core.groupby.SeriesGroupBy",
    "pandas.core.window.rolling.Rolling",
    "pandas.core.window.expanding.Expanding",
)
_NOT_ADDED = ("pandas", "numpy", "builtins", "functools", "typing")
_sizes: tuple[int, ...] = ()  # of the classes, when they were looked at
_found: dict[Key, Any] = {}


def additions() -> dict[Key, Any]:
    """Return what was added, as far as it can go over."""
    global _sizes, _found
    kinds = _kinds()
    sizes = tuple(len(vars(kind)) for kind in kinds)
    if sizes != _sizes or any(module_values.value_at(key) is not value for key, value in _found.items()):
        _sizes, _found = sizes, {}
        for kind in kinds:
            owner = kind.__module__, kind.__qualname__
            for name, value in list(vars(kind).items()):
                if (
                    _is_added(value)
                    and module_values.value_at((owner[0], f"{owner[1]}.{name}")) is value
                    and pickles(value)
                ):
                    _found[owner[0], f"{owner[1]}.{name}"] = value
    return _found


def added_since(before: dict[Key, Any], known: dict[Key, Any]) -> dict[Key, Any]:
    """Return what a cell has added; ``known`` came along with it."""
    return {key: value for key, value in additions().items() if key not in before and key not in known}


def _kinds() -> list[type]:
    kinds = []
    for path in _CLASSES if "pandas" in sys.modules else ():
        module, _, name = path.rpartition(".")
        kind = getattr(sys.modules.get(module), name, None)
        if isinstance(kind, type):
            kinds.append(kind)
    return kinds


def _is_added(value: Any) -> bool:
    if isinstance(value, property):
        value = value.fget
    made_by = getattr(getattr(value, "_accessor", value), "__module__", None)
    return (
        isinstance(made_by, str)
        and made_by.partition(".")[0] not in _NOT_ADDED
        and callable(getattr(value, "_accessor", value))
    )
