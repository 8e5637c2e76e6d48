"""Pickle the names of a notebook so that they mean the same in another namespace.

Used in both directions. What differs from plain cloudpickle:

- functions of the notebook do not carry a copy of their globals: theirs become the
  *namespace of the receiver* (of the cell on the worker, of the notebook here), so
  rebinding a name there changes what they see;
- all names of one cell go through one pickler, so an object that two of them share
  stays one object;
- refs and actor handles are set aside (``carried``) for the runtime to pickle, which
  must know of every ref that travels;
- on the way back, an object that came as an input is sent as "your object of that
  name", or of that number (``shared_objects``), and not as a copy.

Large buffers are kept out of the stream, in ``buffers``.
"""

from __future__ import annotations

import argparse
import builtins
import functools
import io
import itertools
import operator
import pickle
import sys
import threading
import types
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import cloudpickle
from cloudpickle.cloudpickle import _extract_code_globals, _function_getstate, _make_function

from nbray.serialization.annotations import AnnotationPickler, readable
from nbray.serialization.cell_source import remember, texts_of
from nbray.serialization.serializer import keep_slots

from . import array_views, made_modules
from .c_data import is_made_array, reduce_array_class
from .cell_text import QUERY_METHODS, is_formula
from .common_memory import CommonMemory
from .error_rebuild import rebuild
from .error_record import MAX_EXCEPTIONS, FrameRecord, bare_exception, capture, frames_of
from .ipywidgets_travel import comm_type, connection, reduce_observed
from .odd_objects import reduce_odd
from .stand_in_frames import make_traceback
from .weak_references import reduce_weak

PROTOCOL = 5
PROTO = pickle.PROTO + bytes([PROTOCOL])
NOTHING = pickle.NONE + pickle.STOP  # the end of a pickled None
#: What each process has, and what is to be the same there, although no pickler asks how to write it: the dict that each one holds in
#: which code has run, as ``exec`` and ``eval`` do; the text by which argparse knows what it is not to keep.
EVERYWHERE = (vars(builtins), argparse.SUPPRESS)
_KNOWN_EVERYWHERE = {id(obj): (number, obj) for number, obj in enumerate(EVERYWHERE)}

LOOKS_UP = frozenset({"eval", "exec", "globals"})  # what finds names by text, which no analysis of code tells

_DISPATCHER: types.CodeType = vars(functools)["singledispatch"](len).__code__
_receiving = threading.local()  # .namespace, .carried, .inputs, .kept: of the stream being read


class TooLarge(Exception):
    """Raised when a stream would grow above the limit that its writer was given."""


def into(buffers: list[pickle.PickleBuffer]) -> Callable[[pickle.PickleBuffer], bool]:
    """Return a ``keep_buffers`` that collects the buffers; one that is not contiguous stays in the stream."""

    def keep(buffer: pickle.PickleBuffer) -> bool:
        try:
            buffer.raw()
        except BufferError:
            return True
        buffers.append(buffer)
        return False

    return keep


class MemoryWriter(io.BytesIO):
    """A stream in memory that an interrupt gets at: what a pickler writes comes here every 64 KB, to code of Python's.

    Millions of small objects take seconds, in which the pickler itself never looks for a signal.
    """

    def write(self, data: Any) -> int:
        return super().write(data)


class LimitedWriter(io.BytesIO):
    """A stream in memory that refuses to grow above ``limit`` bytes."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = limit

    def write(self, data: Any) -> int:
        if self.tell() + len(data) > self.limit:
            raise TooLarge
        return super().write(data)


class _Namespace:
    """Stands in a stream for the globals of the receiver."""

    def __reduce__(self) -> Any:
        return _namespace, ()


def _namespace() -> dict[str, Any]:
    namespace: dict[str, Any] = _receiving.namespace
    return namespace


def _carried(index: int) -> Any:
    return _receiving.carried[index]


def input_object(name: str) -> Any:
    return _receiving.inputs[name]


def _restore_function(function: types.FunctionType, state: tuple[dict, dict]) -> None:
    """Give a function its attributes and the globals that it needs."""
    attributes, slots = state
    function.__dict__.update(attributes)
    slots = dict(slots)
    slots.pop("_cloudpickle_submodules", None)  # imported by being unpickled
    namespace = function.__globals__
    kept = _receiving.kept
    for name, value in slots.pop("__globals__").items():
        if name not in kept:
            namespace[name] = value
    for name, value in slots.items():
        setattr(function, name, value)


def _dispatcher(registry: dict[type, Callable[..., Any]]) -> Any:
    """Make a ``functools.singledispatch`` function of its implementations."""
    made = functools.singledispatch(registry[object])
    for kind, function in registry.items():
        made.register(kind, function)
    return made


def _is_ordinary(kind: type) -> bool:
    """Whether a class and all that it inherits from are the notebook's: its objects are none of those that need more than pickle."""
    *classes, last = kind.__mro__
    if kind in (type(sys.stdout), type(sys.stderr)):  # each side has its own
        return False
    return last is object and all(each.__module__ == "__main__" for each in classes)


def _texts_in(constant: Any) -> Iterator[str]:
    if isinstance(constant, str):
        yield constant
    elif isinstance(constant, types.CodeType | tuple | frozenset):
        for part in constant.co_consts if isinstance(constant, types.CodeType) else constant:
            yield from _texts_in(part)


def _queries_in(code: types.CodeType) -> Iterator[str]:
    """Yield the texts in a function whose names a library may look up."""
    asks = not QUERY_METHODS.isdisjoint(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _queries_in(constant)
        elif isinstance(constant, str) and (asks or is_formula(constant)):
            yield constant


def is_dispatcher(function: types.FunctionType) -> bool:
    """Whether this is a ``functools.singledispatch`` function of the notebook."""
    return function.__code__ is _DISPATCHER and function.__module__ == "__main__"


def _is_made_of_other_arguments(kind: type[BaseException]) -> bool:
    """Whether pickle would call an ``__init__`` that may want others than what ``args`` holds."""
    return kind.__reduce__ is BaseException.__reduce__ and isinstance(kind.__init__, types.FunctionType)


def _restore_error(error: BaseException, state: tuple[Any, tuple[Any, ...]]) -> None:
    """Give an exception its attributes, where it was raised, and what it was raised from."""
    attributes, (frames, cause, context, same, suppress, texts) = state
    for filename, text in texts.items():
        remember(filename, text)
    if attributes is not None:
        error.__setstate__(attributes)
    error.__traceback__ = make_traceback(frames)
    error.__cause__ = rebuild(cause, _read_apart) if isinstance(cause, list) else cause
    error.__context__ = (
        error.__cause__ if same else rebuild(context, _read_apart) if isinstance(context, list) else context
    )
    error.__suppress_context__ = suppress


def _frames_apart(records: Any) -> Iterator[FrameRecord]:
    for record in records if isinstance(records, list) else ():
        yield from record.frames


def _chain_length(error: BaseException | None) -> int:
    length = 0
    while error is not None and length < MAX_EXCEPTIONS:
        error, length = error.__cause__ or error.__context__, length + 1
    return length


def _read_apart(data: bytes) -> Any:
    return StreamReader(data, ()).read()


class CellPickler(AnnotationPickler):
    """cloudpickle with the four differences that the module names.

    Parameters
    ----------
    file
        Binary file to write to.
    namespace
        Globals of the notebook (or of the cell): functions over them are special.
    carried_types
        Types of refs and handles, which the runtime pickles.
    send_globals
        Whether notebook functions take along the globals they use.
    inputs
        Objects (by id) that the receiver has, and under which name.
    keep_buffers
        Called with each out-of-band ``PickleBuffer``; None keeps all in the stream.
    """

    def __init__(
        self,
        file: Any,
        namespace: dict[str, Any],
        carried_types: tuple[type, ...] = (),
        send_globals: bool = True,
        inputs: dict[int, str] | None = None,
        keep_buffers: Callable[[pickle.PickleBuffer], bool] | None = None,
    ) -> None:
        super().__init__(file, protocol=PROTOCOL, buffer_callback=keep_buffers)
        self.namespace = namespace
        self.carried_types = carried_types
        self.carried: list[Any] = []
        self.send_globals = send_globals
        self.inputs = inputs or {}
        self.owners: dict[int, Any] = {}  # see array_views
        self.common: CommonMemory | None = None
        self.tells_story = True  # of exceptions: where they were raised, and what they were raised from
        self.sources: dict[str, None] = {}  # file names of the functions seen
        self.looked_up: list[str] | None = None  # texts in functions that look up names by text, if there are any
        self.queries: list[str] = []  # texts in functions that give them to libraries, which look up the names in them
        self.ordinary: set[type] = set()  # classes of which no object is written in a way of its own
        self.globals_ref[id(namespace)] = _Namespace()
        self.memo = _KNOWN_EVERYWHERE

    def know(self, objects: Sequence[Any]) -> None:
        """Refer to these objects, all different, by number: the reader has them."""
        self.memo = {id(obj): (number, obj) for number, obj in enumerate((*EVERYWHERE, *objects))}

    def objects(self) -> list[Any]:
        """Return all objects that were written and may be referred to again, by number."""
        every = [obj for _, obj in sorted(self.memo.copy().values(), key=operator.itemgetter(0))]
        return every[len(EVERYWHERE) :]

    def reducer_override(self, obj: Any) -> Any:
        kind = type(obj)
        if self.inputs:
            name = self.inputs.get(id(obj))
            if name is not None:
                return input_object, (name,)
        if kind in self.ordinary:
            return NotImplemented
        if kind is types.FunctionType:
            special = self._reduce_function(obj)
        elif issubclass(kind, type):
            special = self._reduce_class(obj)
        else:
            special = self._reduce_object(obj)
        if special is not None:
            return special
        if _is_ordinary(kind):
            self.ordinary.add(kind)
        reduced = super().reducer_override(obj)
        return keep_slots(obj, reduced) if issubclass(kind, type) else reduced

    def _reduce_function(self, function: types.FunctionType) -> Any:
        if (made := made_modules.module_of(function)) is not None:
            self._know_module(made)
        if is_dispatcher(function):  # with a cache that does not pickle
            return _dispatcher, (dict(function.registry),)  # type: ignore[attr-defined]
        return self._reduce_notebook_function(function) if function.__globals__ is self.namespace else None

    def _reduce_class(self, cls: type) -> Any:
        if is_made_array(cls):
            return reduce_array_class(cls)
        if (made := made_modules.module_of(cls)) is not None:
            self._know_module(made)
        return None

    def _reduce_object(self, obj: Any) -> Any:
        kind = type(obj)
        # First: whoever asks a proxy for its class asks what it refers to, which may be gone.
        if kind.__module__ == "weakref" and (weak := reduce_weak(obj)) is not None:
            return weak
        if kind in self.carried_types:
            self.carried.append(obj)
            return _carried, (len(self.carried) - 1,)
        if kind is types.ModuleType and made_modules.by_hand(obj):
            self._know_module(obj)
            return made_modules.reduce_module(obj, back=not self.send_globals)
        comm = comm_type()
        if comm is not None:
            if isinstance(obj, comm):
                return connection, (obj.comm_id,)
            if not self.send_globals and (observed := reduce_observed(obj)) is not None:
                return observed
        if isinstance(obj, BaseException) and (error := self._reduce_error(obj)) is not None:
            return error
        if self.common is not None and (part := self.common.reduce(obj)) is not None:
            return part
        if self.owners and (view := array_views.reduce_view(obj, self.owners)) is not None:
            return view
        return reduce_odd(obj)

    def _reduce_error(self, error: BaseException) -> Any:
        """Write an exception with where it was raised, and what it was raised from; None: pickle does all that there is to do."""
        kind = type(error)
        story = error.__traceback__, error.__cause__, error.__context__
        told = self.tells_story and story != (None, None, None)
        if _is_made_of_other_arguments(kind):
            reduced: Any = bare_exception, (kind, error.args, error.__dict__)
        elif told:
            reduced = error.__reduce_ex__(PROTOCOL)
        else:
            return None
        if not told or isinstance(reduced, str) or any(part is not None for part in reduced[3:]):
            return reduced
        # What it was raised from is not to keep it from travelling, and is written down as the chain of an error is.
        cause, context = self._apart(story[1]), None if story[2] is story[1] else self._apart(story[2])
        state = reduced[2] if len(reduced) > 2 else None
        frames = frames_of(story[0])
        shown = [*frames, *(frame for each in (cause, context) for frame in _frames_apart(each))]
        # The notebook has the texts of its cells.
        texts = texts_of(frame.filename for frame in shown) if self.send_globals else {}
        story_told = frames, cause, context, story[2] is story[1], error.__suppress_context__, texts
        return *reduced[:2], (state, story_told), None, None, _restore_error

    def _apart(self, error: BaseException | None) -> Any:
        if error is None or id(error) in self.inputs:
            return error
        try:
            with receiving(self.namespace, (), {}):
                _read_apart(self._dump_apart(error))
        except Exception:
            return capture(error, self._dump_apart)
        return error if _chain_length(error) < MAX_EXCEPTIONS else capture(error, self._dump_apart)

    def _dump_apart(self, obj: Any) -> bytes:
        file = MemoryWriter()
        pickler = CellPickler(file, self.namespace, self.carried_types, self.send_globals)
        pickler.tells_story = False
        pickler.dump(obj)
        if pickler.carried:
            raise TypeError("refs do not travel inside exceptions")
        return file.getvalue()

    def _know_module(self, module: types.ModuleType) -> None:
        """Write what is of a module made by hand by value, over the receiver's module."""
        if id(vars(module)) not in self.globals_ref:
            if module.__name__ in sys.modules:
                cloudpickle.register_pickle_by_value(module)
            self.globals_ref[id(vars(module))] = made_modules.Globals(module)

    def _reduce_notebook_function(self, function: types.FunctionType) -> Any:
        self.sources[function.__code__.co_filename] = None
        function = readable(function)
        # Its own cells: functions that were made together share them, and are to do so there.
        arguments = (*self._function_getnewargs(function)[:-1], function.__closure__)
        attributes, slots = _function_getstate(function)
        del slots["__closure__"]
        if not self.send_globals:
            slots["__globals__"] = {}
        elif not LOOKS_UP.isdisjoint(_extract_code_globals(function.__code__)):
            self.looked_up = [*(self.looked_up or ()), *_texts_in(function.__code__)]
        else:
            self.queries += _queries_in(function.__code__)
        return _make_function, arguments, (attributes, slots), None, None, _restore_function


def pickles(value: Any) -> bool:
    """Whether a value could be sent; what cloudpickle does with open files is not done here."""
    try:
        CellPickler(io.BytesIO(), {}, keep_buffers=lambda _: False).dump(value)
    except Exception:
        return False
    return True


@contextmanager
def receiving(
    namespace: dict[str, Any],
    carried: Sequence[Any],
    inputs: dict[str, Any],
    kept: Collection[str] = (),
) -> Iterator[None]:
    """Say where the streams that this thread reads meanwhile belong to.

    ``kept`` are names of the namespace that the globals of functions do not replace.
    """
    before = dict(_receiving.__dict__)
    _receiving.namespace, _receiving.carried, _receiving.inputs = namespace, carried, inputs
    _receiving.kept = kept
    try:
        yield
    finally:
        _receiving.__dict__.clear()
        _receiving.__dict__.update(before)


class StreamReader:
    """Reads the objects of one stream in the order in which they were written.

    Parameters
    ----------
    known
        Objects that the stream refers to by number: those of ``CellPickler.know``, as they are here.
    """

    def __init__(self, data: bytes, buffers: Iterable[Any], known: Sequence[Any] = ()) -> None:
        data, buffers = after_known(data, buffers, known)
        self._unpickler = pickle.Unpickler(io.BytesIO(data), buffers=buffers)
        self._unpickler.load()

    def read(self) -> Any:
        return self._unpickler.load()

    def objects(self) -> list[Any]:
        """Return all objects that were read and may be referred to again, by number."""
        return list(self._unpickler.memo.copy().values())[len(EVERYWHERE) :]


def after_known(data: bytes, buffers: Iterable[Any], known: Sequence[Any]) -> tuple[bytes, Iterator[Any]]:
    """Return a stream and its buffers behind a first value, with which an unpickler gets to know these objects, and those of ``EVERYWHERE``.

    As if they had been read: each is taken for a buffer, remembered, and dropped. (An Unpickler's memo cannot be set.)
    """
    known = (*EVERYWHERE, *known)
    first = PROTO + (pickle.NEXT_BUFFER + pickle.MEMOIZE + pickle.POP) * len(known) + NOTHING
    return first + data, itertools.chain(known, buffers)
