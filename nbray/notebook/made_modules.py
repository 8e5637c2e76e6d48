"""Modules that the notebook made by hand, with ``types.ModuleType``: they go to the worker with what is in them."""

from __future__ import annotations

import sys
import types
import weakref
from collections.abc import Iterable
from typing import Any

_PREFIX = "_nbray_module_"  # private names go to the worker, and do not come back
_came: weakref.WeakSet[types.ModuleType] = weakref.WeakSet()  # from the other side


class Globals:
    """Stands in a stream for the globals of the functions of such a module."""

    def __init__(self, module: types.ModuleType) -> None:
        self._module = module

    def __reduce__(self) -> Any:
        return vars, (self._module,)


def by_hand(obj: Any) -> bool:
    """Tell whether this is a module that no worker would find."""
    return (
        type(obj) is types.ModuleType
        and getattr(obj, "__spec__", None) is None
        and getattr(obj, "__file__", None) is None
        and obj.__name__ not in ("__main__", *sys.builtin_module_names)
        and sys.modules.get(obj.__name__, obj) is obj
    )


def module_of(code: Any) -> types.ModuleType | None:
    """Return the module made by hand that a class or function is of."""
    module = sys.modules.get(getattr(code, "__module__", None) or "")
    return module if by_hand(module) else None


def imported(names: Iterable[str]) -> dict[str, types.ModuleType]:
    """Return those that a cell imports, under the private names by which they go there."""
    return {
        _PREFIX + name.replace(".", "_"): module
        for name in names
        if by_hand(module := sys.modules.get(name)) and module
    }


def reduce_module(module: types.ModuleType, back: bool) -> Any:
    """Write a module with its contents; functions among them find it again while it is filled.

    Parameters
    ----------
    back
        It goes to the notebook, which knows those that came from there.
    """
    name = module.__name__
    if back and module in _came and sys.modules.get(name) is module:
        return _of_name, (name,)
    contents = {key: value for key, value in vars(module).items() if key != "__builtins__"}
    return _received, (name, name in sys.modules), contents, None, None, _fill


def _of_name(name: str) -> types.ModuleType:
    return sys.modules[name]


def _received(name: str, found_by_name: bool) -> types.ModuleType:
    module = types.ModuleType(name)
    _came.add(module)
    if found_by_name:
        sys.modules[name] = module
    return module


def _fill(module: types.ModuleType, contents: dict[str, Any]) -> None:
    vars(module).update(contents)
