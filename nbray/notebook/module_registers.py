"""Code of the notebook in registers of the user's modules: ``@plugins.register``, ``__init_subclass__``, ``@bus.on("saved")``.

A worker loads its own ``plugins``, in whose registers there is nothing of the notebook's. So what of the notebook's code and objects
is in them goes along with the names of a cell, and what the cell registers comes back; afterwards there is nothing of it in the
worker's. The rest of a register each side has filled for itself. Registers are containers of a module, of its classes, and of
objects of the user's classes in it; they stay the objects that they are, since decorators hold them.
"""

from __future__ import annotations

import sys
import types
from collections import OrderedDict, defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from . import module_reload
from .after_import import AfterImport
from .module_values import is_of_notebook

NAME = "_nbray_module_registers"  # private: under which they go to the worker
Place = tuple[str, str]  # module, and where in it: "REGISTER", "Base.kinds", "bus.handlers"
_DICTS = (dict, OrderedDict, defaultdict)
_KINDS = (*_DICTS, list, set, deque)
_DEPTH = 2  # of containers within containers
_MAX_ENTRIES = 10_000  # of a register; more are data
_NO_CODE = frozenset({type(None), bool, int, float, complex, str, bytes, types.BuiltinFunctionType, types.ModuleType})
_NO_CODE_ITSELF = _NO_CODE.union(_KINDS)
_NO_REGISTER = _NO_CODE | {types.FunctionType, tuple, frozenset}  # of what modules and classes have


class Nested(NamedTuple):
    """What is the notebook's of a container within a register."""

    kind: type
    entries: Any


class Registers(NamedTuple):
    """What goes along with a cell."""

    modules: list[str]  # of the user, that are loaded in the notebook
    entries: dict[Place, Any]


def read(names: Iterable[str]) -> dict[Place, Any]:
    """Return what is the notebook's in the registers of these modules."""
    names = set(names)
    found = {}
    for name in names:
        for path, container in _containers(name, names):
            entries = _entries(container)
            if entries:
                found[name, path] = entries
    return found


def write(registers: Mapping[Place, Any]) -> None:
    """Make this what is the notebook's in registers of modules that are loaded."""
    for (name, path), entries in registers.items():
        container = _at(name, path)
        if type(container) in _KINDS:
            _set_entries(container, entries)


def _containers(name: str, modules: set[str]) -> Iterator[tuple[str, Any]]:
    # Each cell goes through this for all that the user's modules have: first what most of it is.
    module = sys.modules.get(name)
    for attribute, value in list(vars(module).items()) if isinstance(module, types.ModuleType) else ():
        kind = type(value)
        if kind in _NO_REGISTER or attribute.startswith("__"):
            continue
        if kind in _KINDS:
            yield attribute, value
            continue
        if isinstance(value, type):
            inside = vars(value) if value.__module__ == name else None
        else:
            inside = getattr(value, "__dict__", None) if kind.__module__ in modules else None
        for inner, container in list(inside.items()) if isinstance(inside, dict | types.MappingProxyType) else ():
            if type(container) in _KINDS and not inner.startswith("__"):
                yield f"{attribute}.{inner}", container


def _at(name: str, path: str) -> Any:
    value: Any = sys.modules.get(name)
    for attribute in path.split("."):
        value = getattr(value, "__dict__", {}).get(attribute)
    return value


def _is_the_notebooks(value: Any) -> bool:
    if isinstance(value, tuple):
        return any(map(_is_the_notebooks, value))
    if isinstance(value, types.MethodType):
        value = value.__self__
    if is_of_notebook(value):
        return True
    if isinstance(value, types.FunctionType) and value.__closure__:  # around a function of the notebook
        return any(is_of_notebook(contents) for cell in value.__closure__ for contents in _contents(cell))
    return False


def _contents(cell: types.CellType) -> tuple[Any, ...]:
    try:
        return (cell.cell_contents,)
    except ValueError:  # not bound yet
        return ()


def _entries(container: Any, depth: int = _DEPTH) -> Any:
    """Return what is the notebook's in a container: a dict or a list."""
    if not isinstance(container, _DICTS):
        # Nearly all are without code, which to see takes no call for each.
        if len(container) > _MAX_ENTRIES or _NO_CODE_ITSELF.issuperset(map(type, list(container))):
            return []
        return [value for value in list(container) if _is_the_notebooks(value)]
    found: dict[Any, Any] = {}
    if len(container) > _MAX_ENTRIES:
        return found
    kinds = set(map(type, list(container.values())))
    plain_keys = _NO_CODE.issuperset(map(type, list(container)))
    if plain_keys and _NO_CODE_ITSELF.issuperset(kinds):
        if not depth or _NO_CODE.issuperset(kinds):
            return found
        for key, value in list(container.items()):
            if type(value) in _KINDS and (inner := _entries(value, depth - 1)):
                found[key] = Nested(type(value), inner)
        return found
    for key, value in list(container.items()):
        if _is_the_notebooks(value) or _is_the_notebooks(key):
            found[key] = value
        elif depth and type(value) in _KINDS and (inner := _entries(value, depth - 1)):
            found[key] = Nested(type(value), inner)
    return found


def _set_entries(container: Any, entries: Any) -> None:
    present = _entries(container)
    if isinstance(container, _DICTS):
        for key in present.keys() - entries.keys():
            if isinstance(present[key], Nested):
                _set_entries(container[key], type(present[key].entries)())
            if not isinstance(present[key], Nested) or not container[key]:
                del container[key]
        for key, value in entries.items():
            if not isinstance(value, Nested):
                container[key] = value
                continue
            if type(container.get(key)) is not value.kind:
                container[key] = value.kind()
            _set_entries(container[key], value.entries)
    elif isinstance(container, set):
        container.difference_update(present)
        container.update(entries)
    elif _is_same(present, entries[: len(present)]):
        container.extend(entries[len(present) :])
    else:
        mine = set(map(id, present))
        rest = [value for value in container if id(value) not in mine]
        container.clear()
        container.extend([*rest, *entries])


def _is_same(one: Any, other: Any) -> bool:
    """Whether the very same objects are in both."""
    if isinstance(one, Nested) and isinstance(other, Nested):
        return _is_same(one.entries, other.entries)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_is_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(a is b for a, b in zip(one, other, strict=True))
    return one is other


class InForce:
    """In a worker: what the notebook has registered, while its cell runs."""

    def __init__(self, given: Registers) -> None:
        self._modules, self._given = set(given.modules), given.entries
        self._before = set(sys.modules)
        write(self._given)
        waiting = {name for name, _ in self._given} - self._before
        self._late = AfterImport(waiting, self._loaded)
        if waiting:
            self._late.install()

    def _loaded(self, module: Any) -> None:
        write({place: entries for place, entries in self._given.items() if place[0] == module.__name__})

    def end(self, restore: bool) -> dict[Place, Any]:
        """Return what is registered otherwise now; ``restore`` registers without anything of a notebook's.

        What is in them may have come before this began: classes call ``__init_subclass__`` of a library when they are made here.
        """
        self._late.remove()
        if len(sys.modules) != len(self._before):
            self._modules.update(module_reload.of_the_user(self._before))
        now = read(self._modules)
        changed = {place: entries for place, entries in now.items() if not _is_same(entries, self._given.get(place))}
        gone = [place for place in self._given if place not in now and place[0] in sys.modules]
        changed.update({place: type(self._given[place])() for place in gone})
        if restore:
            write({place: type(entries)() for place, entries in now.items()})
        return changed
