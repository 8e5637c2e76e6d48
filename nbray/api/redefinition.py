"""A class that is defined anew, as when its cell is run again, while actors of the old one live.

An actor keeps the code it was made with. Who calls it after the class has changed is told so,
once per actor.
"""

from __future__ import annotations

import types
import weakref
from typing import Any

_handles: dict[tuple[str, str], weakref.WeakSet[Any]] = {}  # module and name of a class -> handles made here
MAX_CLASSES = 10_000


def note_actor(cls: type, handle: Any) -> None:
    """An actor of ``cls`` has been made."""
    key = (cls.__module__, cls.__qualname__)
    if key not in _handles and len(_handles) >= MAX_CLASSES:
        _handles.pop(next(iter(_handles)))
    _handles.setdefault(key, weakref.WeakSet()).add(handle)


def note_class(cls: type) -> None:
    """An actor class has been defined: mark the actors of this name that run other code."""
    known = _handles.get((cls.__module__, cls.__qualname__))
    if not known:
        return
    code = _code_of(cls)
    for handle in list(known):
        if _code_of(handle._ray_made_of) != code:
            handle._ray_outdated()


def _code_of(cls: type) -> dict[str, Any]:
    return {name: _plain(value) for name, value in vars(cls).items() if not name.startswith("__") or callable(value)}


def _plain(value: Any) -> Any:
    """Return what makes two values of a class body the same code."""
    if isinstance(value, (staticmethod, classmethod)):
        value = value.__func__
    if isinstance(value, types.FunctionType):
        return _code(value.__code__), repr(value.__defaults__), repr(value.__kwdefaults__)
    return value if isinstance(value, (int, float, str, bytes, bool, type(None))) else type(value)


def _code(code: types.CodeType) -> tuple[Any, ...]:
    consts = tuple(_code(const) if isinstance(const, types.CodeType) else repr(const) for const in code.co_consts)
    return code.co_code, code.co_names, code.co_varnames, consts
