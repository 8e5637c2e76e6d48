"""What classes and functions of the notebook keep in themselves: attributes, the variables of closures, what is registered.

Their code never changes in a cell, but ``Registry.items.append(x)``, ``f.calls += 1`` and a counter in a closure do change
what a later cell sees. What is kept is noted before the cell runs and compared afterwards; only the difference goes back.
"""

from __future__ import annotations

import abc
import enum
import types
from collections.abc import Callable
from typing import Any

from .cell_pickle import is_dispatcher
from .made_modules import by_hand

Kept = dict[Any, Any]
Digest = Callable[[Any], "bytes | None"]

_CONSTANT = (type(None), bool, int, float, complex, str, bytes, range, type, types.FunctionType, types.ModuleType)
_METHODS = (types.FunctionType, staticmethod, classmethod, property)
_DEFAULTS = ("__defaults__", "__kwdefaults__")  # of arguments: what is kept in a list there is kept
_WHAT_IT_IS = ("__name__", "__qualname__", "__doc__", *_DEFAULTS)  # of a function, also where nothing in it can change
_PARTS = {
    staticmethod: ("__func__",),
    classmethod: ("__func__",),
    property: ("fget", "fset", "fdel"),
}  # where code is in them
_DESCRIBES = (staticmethod, classmethod, property, types.GetSetDescriptorType, types.MemberDescriptorType)


class CodeState:
    """The state of the classes and functions that a cell got.

    Parameters
    ----------
    namespace
        Names of the cell.
    names
        Those among them that the notebook sent.
    digest
        Returns bytes that differ when a value differs; None: it cannot be said. Not kept: it is the
        cell's, which with all its inputs would go only when the garbage collector comes by.
    """

    def __init__(self, namespace: dict[str, Any], names: set[str], digest: Digest) -> None:
        self._before: dict[str, tuple[Any, Kept, dict[Any, bytes | None]]] = {}
        self._inner: dict[str, dict[Within, tuple[Any, Kept, dict[Any, bytes | None]]]] = {}
        noted = {id(namespace[name]) for name in names}
        for name in names:
            code = namespace[name]
            kept = _all_kept_by(code)
            if kept is not None:
                self._before[name] = code, kept, {key: _marked(value, digest) for key, value in kept.items()}
                self._note_inner(name, Within(), code, kept, digest, noted)

    def _note_inner(self, name: str, path: Within, code: Any, kept: Kept, digest: Digest, noted: set[int]) -> None:
        """Note the code that other code keeps or inherits from, and that has no name of its own: methods, what a decorator is around, bases."""
        within = [(Base(place), "", base) for place, base in enumerate(code.__mro__)] if isinstance(code, type) else []
        for key, value in kept.items():
            parts = _PARTS.get(type(value), ()) if isinstance(key, str) else ()
            within += [(key, part, getattr(value, part)) for part in parts] or [(key, "", value)]
        for key, part, each in within:
            if id(each) in noted or not isinstance(each, type | types.FunctionType):
                continue
            inner = _all_kept_by(each)
            if inner is not None:
                noted.add(id(each))
                way = Within((*path, (key, part)))
                marks = {at: _marked(held, digest) for at, held in inner.items()}
                self._inner.setdefault(name, {})[way] = each, inner, marks
                self._note_inner(name, way, each, inner, digest, noted)

    def changes(self, digest: Digest) -> dict[str, tuple[Kept, list[Any]]]:
        """Return, by name, what is new or different now, and the attributes that are gone."""
        found = _differences(self._before, digest)
        for name, inner in self._inner.items():
            changed = _differences(inner, digest)
            if changed:
                own, gone = found.get(name, ({}, []))
                found[name] = {**changed, **own}, gone  # those within first, while the way to them is as it was
        return found


def _differences(
    before: dict[Any, tuple[Any, Kept, dict[Any, bytes | None]]], digest: Digest
) -> dict[Any, tuple[Kept, list[Any]]]:
    found = {}
    for name, (code, kept, marks) in before.items():
        now = _all_kept_by(code) or {}
        changed = {
            key: value
            for key, value in now.items()
            if key not in kept or kept[key] is not value or _marked(value, digest) != marks[key]
        }
        gone = [key for key in kept if key not in now]
        if changed or gone:
            found[name] = changed, gone
    return found


class Within(tuple[Any, ...]):
    """Key of a change to code that the code keeps: keys of what is kept, each with the part of a descriptor, one within the other."""

    __slots__ = ()


class Base(int):
    """Key of a class that a class inherits from: its place in the order of these."""

    __slots__ = ()


class Registered(tuple[type]):
    """Key of what is registered for a class: by ``singledispatch``, or with an abstract class."""

    __slots__ = ()


def _marked(value: Any, digest: Digest) -> bytes | None:
    return None if isinstance(value, (*_CONSTANT, *_DESCRIBES)) else digest(value)


def kept_by(code: Any) -> Kept | None:
    """Return what a class or function of the notebook keeps, by attribute (closures: by position), or a module made by hand; None: it is neither.

    What is registered for classes is found by ``Registered``.
    """
    if by_hand(code):
        return {key: value for key, value in vars(code).items() if not key.startswith("__")}
    if getattr(code, "__module__", None) != "__main__":
        return None
    if isinstance(code, type):
        members: Any = code.__members__ if isinstance(code, enum.EnumMeta) else {}  # which stay what they are
        kept: Kept = {
            key: value
            for key, value in vars(code).items()
            if key not in members and not _is_of_the_language(key, value)
        }
        if isinstance(code, abc.ABCMeta):
            registered = [ref() for ref in abc._get_dump(code)[0]]  # type: ignore[attr-defined]
            kept.update({Registered((kind,)): kind for kind in registered if kind is not None})
        return kept
    if isinstance(code, types.FunctionType):
        if is_dispatcher(code):
            return {Registered((kind,)): function for kind, function in code.registry.items()}  # type: ignore[attr-defined]
        kept = {key: value for key, value in vars(code).items() if key != "__wrapped__"}
        kept.update({key: value for key in _DEFAULTS if (value := getattr(code, key)) and not _is_constant(value)})
        for position, cell in enumerate(code.__closure__ or ()):
            try:
                kept[position] = cell.cell_contents
            except ValueError:  # not bound yet
                continue
        return kept
    return None


def _all_kept_by(code: Any) -> Kept | None:
    """Return what it keeps, and what a function is called and takes."""
    kept = kept_by(code)
    if kept is not None and isinstance(code, types.FunctionType) and not is_dispatcher(code):
        kept.update({key: getattr(code, key) for key in _WHAT_IT_IS})
    return kept


def _is_of_the_language(key: str, value: Any) -> bool:
    """Whether an attribute of a class is none that a program gives it; special methods are."""
    return key.startswith("_abc_") or (key.startswith("__") and not isinstance(value, _METHODS))


def _is_constant(defaults: Any) -> bool:
    values = defaults.values() if isinstance(defaults, dict) else defaults
    return all(isinstance(value, _CONSTANT) for value in values)


def apply(code: Any, change: tuple[Kept, list[Any]]) -> None:
    """Make a change that ``CodeState.changes`` found to the class or function here."""
    changed, gone = change
    for key, value in changed.items():
        if isinstance(key, int):
            code.__closure__[key].cell_contents = value
        elif isinstance(key, Within):
            apply(_found_within(code, key), value)
        elif isinstance(key, Registered):
            register = code.register
            register(value) if isinstance(code, abc.ABCMeta) else register(key[0], value)
        else:
            setattr(code, key, value)
    for key in gone:
        if isinstance(key, str) and key in vars(code):
            delattr(code, key)


def _found_within(code: Any, path: Within) -> Any:
    for key, part in path:
        code = code.__mro__[key] if isinstance(key, Base) else (kept_by(code) or {})[key]
        code = getattr(code, part) if part else code
    return code
