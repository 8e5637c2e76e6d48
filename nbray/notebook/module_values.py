"""What cells have set on modules: ``config.K = 10``, ``config.TABLE["a"] = 1``.

A worker loads its own ``config``. So plain values of the attributes that some cell of the notebook stores into go along with each
cell, and what a cell changes of them comes back; before and after, the worker's module is as it was loaded. Which attributes these
are is read in the cells. What the functions of a module change in it themselves is not seen, nor what is no plain data.
"""

from __future__ import annotations

import ast
import copy
import pickle
import re
import sys
import types
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from pathlib import PurePath
from typing import Any

from .after_import import AfterImport
from .cell_analysis import CellAnalysis, analyse
from .in_place import update_in_place

Key = tuple[str, str]  # module, attribute
Chain = tuple[str, ...]
MAX_BYTES = 1 << 16  # of one value
_SCALARS = (type(None), bool, int, float, complex, str, bytes, date, datetime, timedelta, range)
_CONTAINERS = (tuple, list, set, frozenset, deque)
_MAPPINGS = (dict, OrderedDict, defaultdict, Counter)
# Of an attribute an assignment is near: each is looked at, and to the end of its line would take the square of a long line.
_MAY_STORE = re.compile(r"\.\s*[^\W\d]\w*[^=!<>\n]{0,300}=|\.\s*\w+\s*\.\s*\w+\s*\(|\bsetattr\b|\bdel\b")
_CELL_MAGIC = re.compile(r"get_ipython\(\)\.run_cell_magic\((.*)\)\s*\Z", re.DOTALL)
_RUN_HERE = ("time", "timeit", "capture", "prun")
# These are seen to elsewhere.
_OTHERS = frozenset({("sys", "path"), ("sys", "argv"), ("sys", "modules"), ("os", "environ"), ("warnings", "filters")})
ABSENT = b""  # in the place of a value: there is no such attribute


def resolve(chains: Iterable[Chain], aliases: Mapping[str, str], namespace: Mapping[str, Any]) -> set[Key]:
    """Return which of ``a.b.c`` are attributes of modules that are loaded here.

    Parameters
    ----------
    aliases
        Modules by the names under which the cell imports them.
    """
    found = set()
    for root, *attributes in chains:
        module = namespace.get(root)
        if not isinstance(module, types.ModuleType):
            module = sys.modules.get(aliases.get(root, ""))
        for attribute in attributes:
            if module is None or not _is_found_by_name(module):
                break
            value = vars(module).get(attribute)
            if not isinstance(value, types.ModuleType):
                found.add((module.__name__, attribute))
                break
            module = value
    return found - _OTHERS


def _is_found_by_name(module: Any) -> bool:
    return (
        isinstance(module, types.ModuleType)
        and sys.modules.get(module.__name__) is module
        and getattr(module, "__spec__", None) is not None
        and module.__name__.partition(".")[0] not in ("nbray", "__main__")
    )


def _is_plain(value: Any) -> bool:
    kind = type(value)
    if kind in _CONTAINERS:
        return all(map(_is_plain, value))
    if kind in _MAPPINGS:
        factory = getattr(value, "default_factory", None)
        return isinstance(factory, type | None) and all(_is_plain(k) and _is_plain(v) for k, v in value.items())
    return kind in _SCALARS or isinstance(value, PurePath)


def _is_container(value: Any) -> bool:
    return type(value) in (*_CONTAINERS, *_MAPPINGS)


def read(keys: Iterable[Key]) -> dict[Key, bytes]:
    """Return the values of attributes of the modules that are loaded, pickled, as far as they are plain."""
    found = {}
    for key in keys:
        module = sys.modules.get(key[0])
        if module is None:
            continue
        data = _pickled(vars(module)[key[1]]) if key[1] in vars(module) else ABSENT
        if data is not None:
            found[key] = data
    return found


def _pickled(value: Any) -> bytes | None:
    try:
        data = pickle.dumps(value, 5) if _is_plain(value) else b""
    except (
        RecursionError,
        RuntimeError,
        pickle.PicklingError,
        TypeError,
        AttributeError,
    ):  # it holds itself, or is being changed
        return None
    return data if 0 < len(data) <= MAX_BYTES else None


def write(values: Mapping[Key, bytes], in_place: bool = True) -> None:
    """Set attributes of modules that are loaded; ``in_place``: containers stay the same objects, which others may have."""
    for (name, attribute), data in values.items():
        module = sys.modules.get(name)
        if module is None:
            continue
        present = vars(module).get(attribute, ABSENT)
        if isinstance(present, types.ModuleType):
            continue  # which has been loaded on this side alone
        if data == ABSENT:
            vars(module).pop(attribute, None)
        elif present is ABSENT or _pickled(present) != data:
            value = pickle.loads(data)
            if not (in_place and _is_container(present) and update_in_place(present, value)):
                setattr(module, attribute, value)


class Sender:
    """Knows the attributes that the cells of one notebook store into."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._seen = 0  # cells
        self._keys: set[Key] = set()
        self.look()

    def look(self) -> None:
        """A cell has ended: note what it stores into."""
        cells = self._shell.history_manager.input_hist_parsed
        begin, self._seen = (self._seen if self._seen <= len(cells) else 0), len(cells)  # %reset forgets them
        for text in cells[begin:]:
            for source in self._sources(text) if _MAY_STORE.search(text) else ():
                try:
                    found = analyse(source)
                except SyntaxError:
                    continue
                self._add(found)

    def _add(self, analysis: CellAnalysis) -> None:
        keys = resolve(analysis.attribute_stores, analysis.import_aliases, self._shell.user_ns)
        # What is not there may be a part of a package that is not loaded yet.
        self._keys.update((name, attribute) for name, attribute in keys if attribute in vars(sys.modules[name]))

    def _sources(self, text: str) -> list[str]:
        """Return a cell, or what is below the magic that it begins with."""
        match = _CELL_MAGIC.match(text)
        if match is None:
            return [text]
        name, body = ast.literal_eval(f"({match.group(1)})")[::2]
        return [self._shell.transform_cell(body)] if name in _RUN_HERE else []

    def values(self, analysis: CellAnalysis) -> dict[Key, bytes]:
        """Return what a cell takes along."""
        if analysis.attribute_stores:
            self._add(analysis)
        return read(self._keys) if self._keys else {}


class InForce:
    """In a worker: what the notebook has set on modules, while its cell runs.

    Parameters
    ----------
    given
        By attribute.
    chains, aliases
        What the cell stores into, see ``resolve``.
    namespace
        The cell's names.
    """

    def __init__(
        self, given: dict[Key, bytes], chains: list[Chain], aliases: dict[str, str], namespace: dict[str, Any]
    ) -> None:
        self._given, self._chains, self._aliases, self._namespace = given, chains, aliases, namespace
        self._own: dict[Key, Any] = {}  # what was there
        self._late: AfterImport | None = None
        self._begin({*given, *resolve(chains, aliases, namespace)})
        waiting = {name for name, _ in given if name not in sys.modules}
        if waiting:
            self._late = AfterImport(
                waiting, lambda module: self._begin([key for key in given if key[0] == module.__name__])
            )
            self._late.install()

    def _begin(self, keys: Iterable[Key]) -> None:
        for name, attribute in keys:
            module = sys.modules.get(name)
            if module is not None:
                self._own[name, attribute] = value = vars(module).get(attribute, ABSENT)
                if _is_container(value) and _is_plain(value):  # the cell changes one of its own
                    setattr(module, attribute, copy.deepcopy(value))
        write({key: data for key, data in self._given.items() if key in self._own}, in_place=False)

    def end(self, restore: bool) -> tuple[dict[Key, bytes], list[str]]:
        """Return what the cell has changed, and which attributes cannot be told; ``restore`` what the worker had before."""
        if self._late is not None:
            self._late.remove()
        stored = resolve(self._chains, self._aliases, self._namespace)
        now = read({*self._given, *stored, *self._own})
        changed = {key: data for key, data in now.items() if self._given.get(key, ABSENT) != data}
        untold = [
            f"{name}.{attribute}"
            for name, attribute in sorted(stored & self._own.keys() - now.keys())
            if vars(sys.modules[name]).get(attribute) is not self._own[name, attribute]
        ]
        for (name, attribute), value in self._own.items() if restore else ():
            module = sys.modules.get(name)
            present = vars(module).get(attribute, ABSENT) if module is not None else value
            if present is value or isinstance(present, types.ModuleType):
                continue
            if value is ABSENT:
                del vars(module)[attribute]
            else:
                setattr(module, attribute, value)
        return changed, untold


def may_be_of_modules(analysis: CellAnalysis, namespace: Mapping[str, Any]) -> list[Chain]:
    """Return the stores of a cell whose names are modules here, or what it imports."""
    return [
        chain
        for chain in sorted(analysis.attribute_stores)
        if chain[0] in analysis.import_aliases or isinstance(namespace.get(chain[0]), types.ModuleType)
    ]
