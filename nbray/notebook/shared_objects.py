"""Objects that several names and containers share stay one object, there and back.

Pickle numbers the objects of a stream, alike where it is written and where it is read. So an object in the worker and the one
in the notebook that it was made from are known to each other by their number among the inputs. What comes back goes on from
there: the worker's pickler knows the inputs, the notebook's reader has them, and a reference to one is a reference to the
notebook's own object. What the cell changed goes as the number of an object and its new contents, in which the others are
again references.

Only objects whose changes would be noticed are referred to so. What a cell gets out of a large input (``large.pop()``) comes
back as a copy with whatever was changed in it. So does what is in classes and in functions that keep something.
"""

from __future__ import annotations

import asyncio
import enum
import gc
import itertools
import pickle
import sys
import types
import weakref
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from nbray.serialization import torch_storages

from . import free_locks
from .cell_pickle import PROTOCOL, CellPickler, StreamReader
from .code_state import kept_by
from .in_place import CONTAINERS, is_updated_surely
from .ipywidgets_travel import comm_type, state_of
from .logging_relays import Relay
from .pandas_columns import is_column, is_frame, shares_memory
from .runtime import CARRIED_TYPES
from .subclass_values import has_attributes

# Their contents never change; those of code are seen to by ``code_state``.
_CONSTANT: tuple[type, ...] = (
    str, bytes, int, float, complex, type(None), type(Ellipsis), tuple, frozenset, range, slice, enum.Enum, type,
    types.FunctionType, types.BuiltinFunctionType, types.MethodType, types.CodeType, types.ModuleType, types.CellType,
    property, classmethod, staticmethod, memoryview, weakref.ref, asyncio.Future, *free_locks.LOCKS, *CARRIED_TYPES,
)  # fmt: skip
# Not told by number. A proxy answers for its object, if that is still there. Iterators of `itertools.tee` read as far in what they
# share as they are told, whether it has come so far or not: beyond, there is no object but whatever memory holds.
_ATOMS = frozenset((
    str, bytes, int, float, complex, type(None), weakref.ProxyType, weakref.CallableProxyType,
    getattr(itertools, "_tee_dataobject", type(None)),
))  # fmt: skip
_CODE: tuple[type, ...] = (type, types.FunctionType, types.CellType)
_EMPTY_LIST = pickle.dumps([], PROTOCOL)
_Pickler = TypeVar("_Pickler", bound=CellPickler)


class _Nowhere:
    """A file that keeps nothing."""

    def write(self, data: Any) -> int:
        return len(data)


@dataclass(slots=True)
class Record:
    """An input object that goes back with its contents."""

    number: int  # among the objects that both sides know
    value: Any
    name: str  # under which it came
    sure: bool  # whether its contents can be changed in the notebook, whatever is there


@dataclass(slots=True)
class Known:
    """What both sides know when a cell's names go back."""

    numbers: list[int] = field(default_factory=list)  # among the objects of the inputs, in increasing order
    objects: list[Any] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)


class SharedObjects:
    """The objects of a cell's inputs, in the worker.

    Parameters
    ----------
    objects
        All of the stream, by number.
    marks
        What was read behind each name, by name.
    namespace
        The cell's names.
    unheld
        What ``unheld`` returned before the cell ran.
    """

    def __init__(self, objects: list[Any], marks: dict[str, Any], namespace: dict[str, Any], unheld: set[int]) -> None:
        self._objects = objects
        self._unheld = unheld
        self._namespace = namespace
        self._ids = set(map(id, objects))
        self._marks = numbers = {id(mark): name for name, mark in marks.items()}
        self._names: list[str] = []  # of each object: the name under which it came
        pending = 0
        for number, obj in enumerate(objects):
            name = numbers.get(id(obj))
            if name is not None:
                self._names += [name] * (number + 1 - pending)
                pending = number + 1
        self._inputs = set(self._names)

    def known(
        self,
        changed: Iterable[Any],
        may_refer: Callable[[str], bool],
        same: Collection[int] = (),
        unchanged: Collection[int] = (),
        of_changed: Collection[str] = (),
    ) -> Known:
        """Choose what goes back as a reference, and what with its contents.

        Parameters
        ----------
        changed
            Inputs that the cell changed, with all that is in them.
        may_refer
            Tells of a name whether all changes to what came under it are noticed.
        same
            Objects, by id, that are as they came.
        unchanged
            Those that refer to the same objects as before, and hold nothing else.
        of_changed
            Names of the inputs that the cell changed.
        """
        changed = list(changed)
        reached, code = self._reached(changed)
        reached |= self._dropped(reached, {name for name in of_changed if name in self._inputs and may_refer(name)})
        # What classes and closures keep goes with them, unless it is also found without them.
        by_value = self._kept_by(code) - reached | self._of_frames() | self._unheld
        chosen: dict[int, int] = {}  # id -> number among the inputs
        allowed = {name: may_refer(name) for name in self._inputs}
        for number, (name, obj) in enumerate(zip(self._names, self._objects, strict=False)):
            key = id(obj)
            if type(obj) in _ATOMS or key in by_value:
                continue
            if key in reached:
                if isinstance(obj, _CODE) and not _keeps_nothing(obj):
                    continue
            elif not allowed[name] and not (key in same and torch_storages.is_storage(obj)):
                continue
            chosen.setdefault(key, number)
        constant: tuple[type, ...] = (*_CONSTANT, *_library_constants())
        changes: dict[type, bool] = {}
        changing = []
        for key, number in chosen.items():
            if key in reached and key not in same:
                obj = self._objects[number]
                kind = type(obj)
                if kind not in changes:
                    changes[kind] = not isinstance(obj, constant) or has_attributes(obj)
                if changes[kind]:
                    changing.append(key)
        sure = {key: is_updated_surely(self._objects[chosen[key]]) for key in changing}
        if all(each for key, each in sure.items() if key not in unchanged):
            sure = {key: each for key, each in sure.items() if key not in unchanged}
        else:  # what one refers to may be another in the notebook
            # A tuple around one that may be replaced in the notebook has to be made anew.
            unsure = {key for key, each in sure.items() if not each}
            chosen = {
                key: number
                for key, number in chosen.items()
                if not (key in reached and _is_tuple_around(self._objects[number], unsure))
            }
        known = Known(list(chosen.values()), [self._objects[number] for number in chosen.values()])
        for position, (key, number) in enumerate(chosen.items()):
            if key in sure:
                known.records.append(Record(position, self._objects[number], self._names[number], sure[key]))
        # Frames after series: pandas 2 writes what a series gets into the frame that it was taken from.
        known.records.sort(key=lambda record: (record.sure, is_frame(record.value) and record.value.ndim > 1))
        return known

    def holds_others(self, value: Any) -> bool:
        """Whether there are containers in an input that are not those that came, although they look the same."""
        pickler = self._gone_through(_Data, value)
        return any(type(obj) in CONTAINERS and id(obj) not in self._ids for obj in pickler.objects())

    def _reached(self, values: list[Any]) -> tuple[set[int], list[Any]]:
        """Return the ids of all objects that came and are in these values, and the code that was not gone into."""
        reached: set[int] = set()
        code: list[Any] = []
        for value in values:
            if id(value) not in reached:
                pickler = self._gone_through(_Data, value)
                # What was only made to be pickled has the id of none that came.
                reached |= self._ids.intersection(pickler.memo.copy())
                code += pickler.passed_over
        return reached, code

    def _dropped(self, reached: set[int], names: Collection[str]) -> set[int]:
        """Return the ids of the objects that came in these inputs and are no longer there: the cell may have changed them before it took them out.

        Others may hold them in the notebook. Only those that take their contents whatever these are: most are as they were.
        """
        if not names:
            return set()
        numpy = sys.modules.get("numpy")
        # One that was a frame's may be another frame's in the notebook, which copies before it writes.
        of_frames = not shares_memory() and any(map(is_frame, self._objects))
        array = None if numpy is None or of_frames else numpy.ndarray
        constant: tuple[type, ...] = (*_CONSTANT, *_library_constants())
        # What a handler of the notebook's collects, it collects there: its relay holds what was in it at first.
        relays = [obj for obj in self._objects if issubclass(type(obj), Relay)]  # a proxy may refer to nothing
        collected, _ = self._reached([value for relay in relays for value in vars(relay).values()])
        dropped = [
            obj
            for name, obj in zip(self._names, self._objects, strict=False)
            if name in names
            and id(obj) not in reached
            and id(obj) not in collected
            and id(obj) not in self._unheld
            and id(obj) not in self._marks
            and type(obj) not in _ATOMS
            and not isinstance(obj, constant)
            and (is_updated_surely(obj) or type(obj) is array)
        ]
        try:
            self._pickler(_Data).dump(dropped)
        except Exception:  # one that cannot go back
            return set()
        return set(map(id, dropped))

    def _kept_by(self, code: list[Any]) -> set[int]:
        """Return the ids of all objects that came and are in code."""
        reached: set[int] = set()
        for value in code:
            if id(value) not in reached:
                reached |= self._ids.intersection(self._gone_through(CellPickler, value).memo.copy())
        return reached

    def _of_frames(self) -> set[int]:
        """Return the ids of the arrays that are in pandas' objects: other frames may have the same memory, and copy before they write."""
        numpy = sys.modules.get("numpy")
        if numpy is None or "pandas" not in sys.modules or shares_memory():
            return set()
        found: set[int] = set()
        for obj in self._objects:
            if is_frame(obj):
                inside = self._gone_through(_Data, obj).objects()
                found.update(id(each) for each in inside if isinstance(each, numpy.ndarray) or is_column(each))
        return found

    def _gone_through(self, kind: type[_Pickler], value: Any) -> _Pickler:
        pickler = self._pickler(kind)
        try:
            pickler.dump(value)
        except Exception:  # as far as it goes
            pass
        return pickler

    def _pickler(self, kind: type[_Pickler]) -> _Pickler:
        return kind(_Nowhere(), self._namespace, CARRIED_TYPES, False, keep_buffers=lambda _: False)


def that_share(values: list[Any], namespace: dict[str, Any]) -> list[list[int]]:
    """Return groups of these values, by position, that have objects in common which can change."""
    constant: tuple[type, ...] = (*_CONSTANT, *_library_constants())
    groups: list[tuple[set[int], list[int]]] = []
    kept = []  # with all that was made to be pickled: no id is that of another object
    candidates = [(position, value) for position, value in enumerate(values) if type(value) not in _ATOMS]
    for position, value in candidates if len(candidates) > 1 else ():
        pickler = _Data(_Nowhere(), namespace, CARRIED_TYPES, False, keep_buffers=lambda _: False)
        kept.append(pickler)
        try:
            pickler.dump(value)
        except Exception:  # as far as it goes
            pass
        ids, positions = {id(obj) for obj in pickler.objects() if not isinstance(obj, constant)}, [position]
        for group in [group for group in groups if not ids.isdisjoint(group[0])]:
            groups.remove(group)
            ids |= group[0]
            positions = group[1] + positions
        groups.append((ids, positions))
    return [positions for _, positions in groups if len(positions) > 1]


def _is_tuple_around(obj: Any, keys: Collection[int]) -> bool:
    """Whether this is a tuple that has one of these objects in it, by id, also within tuples."""
    return isinstance(obj, tuple) and any(id(part) in keys or _is_tuple_around(part, keys) for part in tuple(obj))


def _keeps_nothing(code: Any) -> bool:
    """Whether this is a function of the notebook without anything in it that might change."""
    return isinstance(code, types.FunctionType) and kept_by(code) == {}


def unheld(objects: list[Any]) -> set[int]:
    """Return the ids of those that nobody holds but who has read them, and each other: what only others were filled from."""
    probe = StreamReader(_EMPTY_LIST, ())
    probe.read()
    (alone,) = map(sys.getrefcount, probe.objects())
    counts = list(map(sys.getrefcount, objects))  # before anything else holds one
    # Tensors hold their storages without being counted.
    found = {
        id(obj): obj
        for obj, count in zip(objects, counts, strict=True)
        if count <= alone and not torch_storages.is_storage(obj)
    }
    if found:  # the arguments of a call are held by the tuple of these alone
        held = {id(obj): count for obj, count in zip(objects, counts, strict=True) if count > alone}
        waiting = list(found.values())
        while waiting:
            for part in gc.get_referents(waiting.pop()):
                key = id(part)
                if key in held:
                    held[key] -= 1
                    if held[key] == alone and not torch_storages.is_storage(part):
                        found[key] = part
                        waiting.append(part)
    return set(found)


class _Data(CellPickler):
    """Goes through values, but not into code."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.passed_over: list[Any] = []

    def reducer_override(self, obj: Any) -> Any:
        if type(obj) in self.ordinary:
            return NotImplemented
        if isinstance(obj, (type, types.FunctionType)):
            self.passed_over.append(obj)
            return len, ((),)  # anything that has nothing in it
        state = state_of(obj)
        if state is not None:
            self.passed_over.append(obj)
            return dict, (dict(state),)
        return super().reducer_override(obj)


def _library_constants() -> tuple[type, ...]:
    numpy, comm = sys.modules.get("numpy"), comm_type()
    return (*((numpy.generic, numpy.dtype) if numpy is not None else ()), *((comm,) if comm is not None else ()))
