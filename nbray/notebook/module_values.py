"""What cells have set on modules and their classes: ``config.K = 10``, ``config.TABLE["a"] = 1``, ``Model.fit = faster``.

A worker loads its own ``config``. So the attributes that some cell of the notebook stores into go along with each cell, and what
a cell changes of them comes back; before and after, the worker's module is as it was loaded. Which attributes these are is read
in the cells. Plain values are pickled here; code of the notebook, and what else a cell sets, goes with the names of the cell. What
the functions of a module change in it themselves: ``module_state``.
"""

from __future__ import annotations

import ast
import copy
import functools
import pickle
import re
import sys
import types
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Collection, Iterable, Mapping
from datetime import date, datetime, timedelta
from pathlib import PurePath
from typing import Any

from .after_import import AfterImport
from .cell_analysis import CellAnalysis, analyse
from .in_place import update_in_place

NAME = "_nbray_module_objects"  # private: under which they go to the worker
Key = tuple[str, str]  # module, and the attribute: of a class, behind its name ("Model.fit")
Chain = tuple[str, ...]
MAX_BYTES = 1 << 16  # of one value
SCALARS = (type(None), bool, int, float, complex, str, bytes, date, datetime, timedelta, range)
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
    """Return which of ``a.b.c`` are attributes of modules that are loaded here, or of their classes.

    Parameters
    ----------
    aliases
        Modules, and what is taken from them, by the names under which the cell imports them.
    """
    found = set()
    for root, *attributes in chains:
        owner: Any = namespace.get(root)
        if not isinstance(owner, types.ModuleType | type):
            owner = imported(aliases.get(root, ""))
        for number, attribute in enumerate(attributes, 1):
            if not _is_found_by_name(owner):
                break
            value = vars(owner).get(attribute)
            inside = isinstance(value, type) and number < len(attributes)
            if not inside and not isinstance(value, types.ModuleType):
                is_class = isinstance(owner, type)
                found.add(
                    (owner.__module__, f"{owner.__qualname__}.{attribute}") if is_class else (owner.__name__, attribute)
                )
                break
            owner = value
    return found - _OTHERS


def imported(dotted: str) -> Any:
    """Return what an import binds, as far as its module is loaded: the module, or what is under that name in one; None: it is not."""
    module, _, name = dotted.rpartition(".")
    return sys.modules.get(dotted) or getattr(sys.modules.get(module), name or "-", None)


def _place(key: Key) -> tuple[Any, str]:
    """Return the module or class that has an attribute, if it is there, and the attribute's own name."""
    owner: Any = sys.modules.get(key[0])
    *classes, attribute = key[1].split(".")
    for name in classes:
        owner = vars(owner).get(name) if owner is not None else None
        owner = owner if isinstance(owner, type) else None
    return owner, attribute


def value_at(key: Key, default: Any = None) -> Any:
    """Return an attribute of a module that is loaded, or of a class in it."""
    owner, attribute = _place(key)
    return vars(owner).get(attribute, default) if owner is not None else default


def put_at(key: Key, value: Any) -> None:
    """Set it; ``ABSENT`` removes it."""
    owner, attribute = _place(key)
    try:
        if owner is None:
            return
        if value is ABSENT:
            if attribute in vars(owner):
                delattr(owner, attribute)
        else:
            setattr(owner, attribute, value)
    except (AttributeError, TypeError):  # a class in C, or one that forbids it
        return


def _is_found_by_name(owner: Any) -> bool:
    """Whether it is a module that other processes can import, or a class in one."""
    if isinstance(owner, type):
        module, found = owner.__module__, _place((owner.__module__, f"{owner.__qualname__}."))[0]
        return found is owner and _is_found_by_name(sys.modules.get(module))
    return (
        isinstance(owner, types.ModuleType)
        and sys.modules.get(owner.__name__) is owner
        and getattr(owner, "__spec__", None) is not None
        and owner.__name__.partition(".")[0] not in ("nbray", "__main__")
    )


def is_plain(value: Any) -> bool:
    """Whether it is data that means the same everywhere."""
    kind = type(value)
    if kind in _CONTAINERS:
        return all(map(is_plain, value))
    if kind in _MAPPINGS:
        factory = getattr(value, "default_factory", None)
        return isinstance(factory, type | None) and all(is_plain(k) and is_plain(v) for k, v in value.items())
    return kind in SCALARS or isinstance(value, PurePath)


def _is_container(value: Any) -> bool:
    return type(value) in (*_CONTAINERS, *_MAPPINGS)


def read(keys: Iterable[Key]) -> dict[Key, bytes]:
    """Return the values of attributes of the modules that are loaded, pickled, as far as they are plain."""
    found = {}
    for key in keys:
        owner, attribute = _place(key)
        if owner is None:
            continue
        data = _pickled(vars(owner)[attribute]) if attribute in vars(owner) else ABSENT
        if data is not None:
            found[key] = data
    return found


def is_of_notebook(value: Any) -> bool:
    """Whether it is code of the notebook, or an object of it: what stands there in the place of what a library has."""
    if isinstance(value, staticmethod | classmethod):
        value = value.__func__
    elif isinstance(value, property):
        value = value.fget
    elif isinstance(value, functools.partial):
        value = value.func
    kind = value if isinstance(value, type | types.FunctionType) else type(value)
    return getattr(kind, "__module__", None) == "__main__"


def _pickled(value: Any) -> bytes | None:
    try:
        data = pickle.dumps(value, 5) if is_plain(value) else b""
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
    for key, data in values.items():
        present = value_at(key, ABSENT)
        if isinstance(present, types.ModuleType):
            continue  # which has been loaded on this side alone
        if data == ABSENT:
            put_at(key, ABSENT)
        elif present is ABSENT or _pickled(present) != data:
            value = pickle.loads(data)
            if not (in_place and _is_container(present) and update_in_place(present, value)):
                put_at(key, value)


def put(objects: Mapping[Key, Any]) -> None:
    """Set attributes to objects that came with the names of a cell."""
    for key, value in objects.items():
        put_at(key, value)


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
        self._keys.update(key for key in keys if value_at(key, self) is not self)

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

    def came_back(self, keys: Iterable[Key]) -> None:
        """These attributes were set by a cell on a worker."""
        self._keys.update(keys)

    def objects(self) -> dict[Key, Any]:
        """Return what of the notebook has been set on modules and goes along with each cell."""
        return {key: value for key in self._keys if is_of_notebook(value := value_at(key))}


class InForce:
    """In a worker: what the notebook has set on modules, while its cell runs.

    Parameters
    ----------
    given, objects
        By attribute.
    chains, aliases
        What the cell stores into, see ``resolve``.
    namespace
        The cell's names.
    """

    def __init__(
        self,
        given: dict[Key, bytes],
        objects: dict[Key, Any],
        chains: list[Chain],
        aliases: dict[str, str],
        namespace: dict[str, Any],
    ) -> None:
        self._given, self._objects = given, objects
        self._chains, self._aliases, self._namespace = chains, aliases, namespace
        self._own: dict[Key, Any] = {}  # what was there
        self._late: AfterImport | None = None
        self._begin({*given, *objects, *resolve(chains, aliases, namespace)})
        waiting = {name for name, _ in (*given, *objects) if name not in sys.modules}
        if waiting:
            self._late = AfterImport(waiting, self._loaded)
            self._late.install()

    def _loaded(self, module: Any) -> None:
        self._begin([key for key in (*self._given, *self._objects) if key[0] == module.__name__])

    def _begin(self, keys: Iterable[Key]) -> None:
        for key in keys:
            if _place(key)[0] is not None:
                self._own[key] = value = value_at(key, ABSENT)
                if _is_container(value) and is_plain(value):  # the cell changes one of its own
                    put_at(key, copy.deepcopy(value))
        write({key: data for key, data in self._given.items() if key in self._own}, in_place=False)
        put({key: value for key, value in self._objects.items() if key in self._own})

    def end(self, restore: bool, reloaded: Collection[str] = ()) -> tuple[dict[Key, bytes], dict[Key, Any]]:
        """Return what the cell has changed: plain values, and other objects; ``restore`` what the worker had before.

        Of modules that the cell has reloaded, that is what is in them now.
        """
        if self._late is not None:
            self._late.remove()
        stored = resolve(self._chains, self._aliases, self._namespace)
        now = read({*self._given, *self._objects, *stored, *self._own})
        changed = {key: data for key, data in now.items() if data != self._given.get(key, ABSENT)}
        gone = [key for key, data in now.items() if data == ABSENT and self._own.get(key, ABSENT) is not ABSENT]
        changed.update(dict.fromkeys([*gone, *(key for key in self._objects if now.get(key) == ABSENT)], ABSENT))
        objects = {}
        for key in sorted(stored - now.keys()):
            value = value_at(key)
            if value is not self._own.get(key, self) and value is not self._objects.get(key, self):
                objects[key] = value
        for key, value in self._own.items() if restore else ():
            present = value_at(key, value)
            if present is not value and not isinstance(present, types.ModuleType) and key[0] not in reloaded:
                put_at(key, value)
        return changed, objects


def may_be_of_modules(analysis: CellAnalysis, namespace: Mapping[str, Any]) -> list[Chain]:
    """Return the stores of a cell whose names are modules here, or what it imports."""
    return [
        chain
        for chain in sorted(analysis.attribute_stores)
        if chain[0] in analysis.import_aliases or _may_be(namespace.get(chain[0]))
    ]


def _may_be(value: Any) -> bool:
    return isinstance(value, types.ModuleType) or (isinstance(value, type) and value.__module__ != "__main__")
