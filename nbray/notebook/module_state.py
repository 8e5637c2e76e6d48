"""What functions of the user's own modules keep in these: ``global SEED``, ``CONFIG.update(...)``, ``Settings.level += 1``.

A worker loads its own ``config``. So what ``config.set_seed(3)`` has left in the kernel's goes along with each cell, and what it
leaves in the worker's comes back; afterwards the worker's module is as before. Which names of a module its functions change is
read in its source. All containers stay the objects that they are, on both sides, since other modules may hold them.

A module's state goes whole or not at all: a connection cannot go along, and a flag that says that there is one must not then.
Libraries have states of this kind in plenty, so only modules that are not installed are looked at.
"""

from __future__ import annotations

import ast
import contextvars
import pickle
import sys
import threading
import types
from collections import deque
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from . import module_reload, module_values
from .after_import import AfterImport
from .context_values import set_value, value_of
from .in_place import update_in_place
from .module_values import ABSENT, Key

REFUSED = "-"  # in the place of an attribute: there is more in this module than can go over; its value names that
MAX_BYTES = 1 << 16  # of one value
_VALUE, _ATTRIBUTES, _CONTEXT = b"v", b"a", b"c"  # what the bytes of a value begin with
_MUTABLE = (list, dict, set, deque)
_PER_THREAD = (threading.local, contextvars.ContextVar)
_CODE = (type, types.FunctionType, types.BuiltinFunctionType, types.ModuleType)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


class _Stores(ast.NodeVisitor):
    """Finds what the functions of a module rebind and change of it."""

    def __init__(self) -> None:
        self.rebound: set[str] = set()
        self.changed: set[str] = set()  # CONFIG["a"] = 1, CONFIG.update(...)
        self.attributes: set[tuple[str, str]] = set()  # Settings.level = 1
        self._depth = 0

    def visit(self, node: ast.AST) -> None:
        inside = isinstance(node, _FUNCTIONS)
        self._depth += inside
        super().visit(node)
        self._depth -= inside

    def visit_Global(self, node: ast.Global) -> None:
        self.rebound.update(node.names)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if self._depth and not isinstance(node.ctx, ast.Load):
            self._stored_into(node)
        self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if self._depth and not isinstance(node.ctx, ast.Load):
            self._stored_into(node)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        if self._depth and isinstance(node.func, ast.Attribute):
            self._stored_into(node.func)
        self.generic_visit(node)

    def _stored_into(self, node: ast.expr) -> None:
        attribute = ""
        while isinstance(node, ast.Attribute | ast.Subscript):
            attribute = node.attr if isinstance(node, ast.Attribute) else ""
            node = node.value
        if isinstance(node, ast.Name):
            self.changed.add(node.id)
            if attribute:
                self.attributes.add((node.id, attribute))


_known: dict[str, tuple[int, _Stores]] = {}  # module -> time of its file, what its functions store
_NOTHING = _Stores()


def _stores(name: str, module: types.ModuleType) -> _Stores:
    changed = module_reload.changed_at(name, module)
    if changed is None:
        return _NOTHING
    known = _known.get(name)
    if known is None or known[0] != changed:
        found = _Stores()
        try:
            with open(module_reload.source_file(name, module), "rb") as file:
                found.visit(ast.parse(file.read()))
        except (OSError, SyntaxError, ValueError, RecursionError):
            found = _NOTHING
        known = _known[name] = changed, found
    return known[1]


def _is_the_users(value: Any) -> bool:
    """Whether it is an object of a class in one of the user's modules, with nothing to it but its attributes."""
    kind = type(value)
    module = sys.modules.get(kind.__module__)
    return (
        type(getattr(value, "__dict__", None)) is dict
        and getattr(kind, "__reduce_ex__", None) is object.__reduce_ex__
        and isinstance(module, types.ModuleType)
        and bool(module_reload.source_file(kind.__module__, module))
    )


def _encode(value: Any) -> bytes | None:
    """Return a value as bytes; None: it cannot go over."""
    try:
        if module_values.is_plain(value):
            data = _VALUE + pickle.dumps(value, 5)
        elif isinstance(value, contextvars.ContextVar) and module_values.is_plain(value_of(value)):
            data = _CONTEXT + pickle.dumps(value_of(value), 5)
        elif _has_attributes(value) and module_values.is_plain(vars(value)):
            data = _ATTRIBUTES + pickle.dumps(vars(value), 5)
        else:
            return None
    except (RecursionError, RuntimeError, pickle.PicklingError, TypeError, AttributeError):
        return None  # it holds itself, or is being changed
    return data if len(data) <= MAX_BYTES else None


def _has_attributes(value: Any) -> bool:
    return isinstance(value, threading.local) or _is_the_users(value)


def _is_register(value: Any) -> bool:
    """Whether it is a list or table of code, which each side fills for itself."""
    if not isinstance(value, _MUTABLE):
        return False
    values = list(value.values() if isinstance(value, dict) else value)
    return any(isinstance(each, _CODE) or module_values.is_of_notebook(each) for each in values) and all(
        isinstance(each, _CODE) or module_values.is_plain(each) or module_values.is_of_notebook(each) for each in values
    )


def _read(name: str) -> dict[Key, bytes]:
    """Return the state of a module, if its functions keep any."""
    module = sys.modules.get(name)
    if not isinstance(module, types.ModuleType) or name == "__main__" or getattr(module, "__spec__", None) is None:
        return {}
    stores, names = _stores(name, module), vars(module)
    found: dict[Key, bytes | None] = {}
    for attribute in stores.rebound:
        found[name, attribute] = _encode(names[attribute]) if attribute in names else ABSENT
    for attribute in stores.changed - stores.rebound:
        value = names.get(attribute)
        if _is_register(value):
            continue
        if isinstance(value, (*_MUTABLE, *_PER_THREAD)) or (
            value is not None and not isinstance(value, type) and _is_the_users(value)
        ):
            found[name, attribute] = _encode(value)
    for owner, attribute in stores.attributes:
        kind = names.get(owner)
        if isinstance(kind, type) and kind.__module__ == name and kind.__qualname__ == owner:
            if attribute not in vars(kind):
                found[name, f"{owner}.{attribute}"] = ABSENT
                continue
            value = vars(kind)[attribute]
            if not isinstance(value, types.FunctionType | classmethod | staticmethod) and not _is_register(value):
                found[name, f"{owner}.{attribute}"] = _encode(value)
    for key, data in found.items():
        if data is None:
            return {(name, REFUSED): key[1].encode()}
    return {key: data for key, data in found.items() if data is not None}


def write(state: Mapping[Key, bytes]) -> None:
    """Give modules that are loaded the state that they have on the other side."""
    for key, data in state.items():
        present = module_values.value_at(key, ABSENT)
        if key[1] == REFUSED or isinstance(present, types.ModuleType):
            continue
        if data == ABSENT:
            module_values.put_at(key, ABSENT)
        elif present is ABSENT or _encode(present) != data:
            value = pickle.loads(memoryview(data)[1:])
            if data[:1] == _CONTEXT:
                if isinstance(present, contextvars.ContextVar):
                    set_value(present, value)
            elif data[:1] == _ATTRIBUTES:
                if _has_attributes(present):
                    vars(present).clear()
                    vars(present).update(value)
            elif not (isinstance(present, _MUTABLE) and update_in_place(present, value)):
                module_values.put_at(key, value)


class Sender:
    """In the kernel: knows the user's modules that are loaded."""

    def __init__(self) -> None:
        self._n_modules = 0
        self._names: list[str] = []

    def names(self) -> list[str]:
        """Return their names."""
        if len(sys.modules) != self._n_modules:
            self._n_modules = len(sys.modules)
            self._names = module_reload.of_the_user()
        return self._names

    def state(self) -> dict[Key, bytes]:
        """Return the state of all of them."""
        found: dict[Key, bytes] = {}
        for name in self.names():
            found.update(_read(name))
        return found


def held(state: Iterable[Key]) -> dict[int, Key]:
    """Return by id the objects that modules keep their state in: a name of the notebook may be bound to one of them."""
    found = {key: module_values.value_at(key) for key in state}
    return {
        id(value): key
        for key, value in found.items()
        if isinstance(value, (*_MUTABLE, *_PER_THREAD)) or _is_the_users(value)
    }


class InForce:
    """In a worker: the state of the notebook's modules, while its cell runs."""

    def __init__(self, given: dict[Key, bytes]) -> None:
        self._given = given
        self._own: dict[Key, bytes] = {}  # what was there
        self._before = list(sys.modules)  # a set of them takes ten times as long
        names = {name for name, _ in given}
        absent = {name for name in names if name not in sys.modules}
        for name in names - absent:
            self._begin(name)
        self._late = AfterImport(absent, lambda module: self._begin(module.__name__))
        if absent:
            self._late.install()

    def _begin(self, name: str) -> None:
        self._own.update(_read(name))
        write({key: data for key, data in self._given.items() if key[0] == name})

    def end(self, hints: list[str], reloaded: Collection[str] = ()) -> dict[Key, bytes]:
        """Return what the cell has changed; ``hints`` tell of what cannot go over. What was ``reloaded`` is not restored."""
        self._late.remove()
        self._own = {key: data for key, data in self._own.items() if key[0] not in reloaded}
        names = {name for name, _ in self._given}
        changed: dict[Key, bytes] = {}
        # As many as before: none is new. To look at each takes as long as a cell of `pass`.
        new = module_reload.of_the_user({*self._before}) if len(sys.modules) != len(self._before) else ()
        for name in names.union(new).intersection(sys.modules):
            now = _read(name)
            refused = now.get((name, REFUSED))
            if refused is not None and name in names and (name, REFUSED) not in self._given:
                what = f"{name}.{refused.decode()}"
                kind = type(module_values.value_at((name, refused.decode()))).__name__
                hints.append(f"what functions of {name} changed in it stays on the worker: {what} is a {kind}.")
            if (name, REFUSED) not in {*now, *self._given}:
                changed.update((key, data) for key, data in now.items() if self._given.get(key) != data)
        return changed

    def restore(self) -> None:
        """Give the worker's modules the state that they had."""
        write(self._own)
