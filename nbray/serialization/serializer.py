"""Values to bytes and back: pickle protocol 5, large buffers out of band.

Most values become one plain pickle. Values with buffers (arrays, frames), or with refs
inside, become a ``Serialized``: the pickle, the buffers and the refs. Such a value is laid
out, in the store or (small ones) as bytes, as::

    "NBV1" | n_buffers u32 | pickle_len u64 | (offset u64, length u64) * n_buffers | pickle
    | buffer 0 | buffer 1 ...                          (each buffer at a multiple of 64)

so that buffers come back as read-only views of it, without a copy. A plain pickle begins
with 0x80 and a laid-out value with "N": bytes tell what they are.

Code goes by value with cloudpickle when it cannot be imported by name in a worker:
everything of ``__main__`` (hence of a notebook), lambdas, closures, modules made by hand.
"""

from __future__ import annotations

import functools
import io
import pickle
import struct
import sys
import threading
import types
import typing
from collections.abc import Callable, Sequence
from typing import Any

import cloudpickle
from cloudpickle.cloudpickle import _code_reduce

from nbray.exceptions import SerializationError
from nbray.serialization import array_layouts, library_types, torch_storages  # noqa: F401  the second has only effects
from nbray.serialization.annotations import annotations_of, with_annotations
from nbray.serialization.bounded import BoundedStream, CountingStream, TooManyBytes
from nbray.serialization.cell_source import with_text
from nbray.serialization.class_making import made_here, make_class
from nbray.serialization.unpicklable import StrictPickler, find_offender, refuses

PROTOCOL = 5
PACK_MAX_BYTES = 16 * 1024  # values with buffers up to this size are laid out as bytes
PICKLE_OPCODE = 0x80  # first byte of every pickle of protocol 2 and later
ALIGNMENT = 64

#: Types whose plain pickle is always right, whatever they hold.
SIMPLE_TYPES = frozenset({int, float, complex, str, bytes, bool, type(None)})

_HEAD = struct.Struct("<4sIQ")
_SPAN = struct.Struct("<QQ")
_MAGIC = b"NBV1"
_plain_dumps = pickle.dumps
_plain_loads = pickle.loads
_rebuild_array = array_layouts.rebuild


class Serialized:
    """A value that is more than one plain pickle.

    Attributes
    ----------
    pickled : bytes
    buffers : list of memoryview
        Flat byte views, borrowed from the value: keep the value alive until written.
    refs : list of ObjectRef
        Refs found inside the value.
    """

    __slots__ = ("buffers", "pickled", "refs", "size", "spans")

    def __init__(self, pickled: bytes, buffers: Sequence[memoryview], refs: list[Any]) -> None:
        self.pickled, self.buffers, self.refs = pickled, buffers, refs
        offset = _HEAD.size + _SPAN.size * len(buffers) + len(pickled)
        self.spans = []
        for buffer in buffers:
            offset = -(-offset // ALIGNMENT) * ALIGNMENT
            self.spans.append((offset, buffer.nbytes))
            offset += buffer.nbytes
        self.size = offset  # bytes in the store

    def head(self) -> bytes:
        """Return everything that stands before the buffers."""
        parts = [_HEAD.pack(_MAGIC, len(self.buffers), len(self.pickled))]
        parts += [_SPAN.pack(*span) for span in self.spans]
        parts.append(self.pickled)
        return b"".join(parts)

    def pack(self) -> bytes:
        """Return the whole value as bytes, laid out as in the store."""
        packed = bytearray(self.size)
        head = self.head()
        packed[: len(head)] = head
        for (offset, length), buffer in zip(self.spans, self.buffers, strict=True):
            packed[offset : offset + length] = buffer
        return bytes(packed)


class _LaidOut(Serialized):
    """A value that is laid out already."""

    def __init__(self, packed: bytes) -> None:
        self.pickled, self.buffers, self.refs, self.spans = packed, (), [], []
        self.size = len(packed)

    def head(self) -> bytes:
        return self.pickled


class _ByValue(Exception):
    """Raised inside the quick pickler: this value needs cloudpickle."""


_found = threading.local()  # .refs: list that collects refs while this thread serializes


def note_ref(ref: Any) -> bool:
    """Record that ``ref`` is inside the value being serialized; False when none is."""
    refs = getattr(_found, "refs", None)
    if refs is None:
        return False
    refs.append(ref)
    return True


def _by_hand(module: types.ModuleType) -> bool:
    """Tell whether a module was made in a cell, and not found anywhere."""
    return (
        getattr(module, "__spec__", None) is None
        and getattr(module, "__file__", None) is None
        and module.__name__ != "__main__"
        and sys.modules.get(module.__name__) is module
    )


def _importable(obj: Any) -> bool:
    """Tell whether a worker finds this class or function under its name."""
    name = getattr(obj, "__module__", None)
    if name is None or name == "__main__" or name == "__mp_main__":
        return False
    module = sys.modules.get(name)
    if module is None or name in _by_value_modules():
        return False
    if _by_hand(module):
        return False
    found: Any = module
    for part in obj.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is obj


def goes_by_name(function: Any) -> bool:
    """Tell whether a worker imports this callable, so that its pickle is a mere name."""
    if isinstance(function, functools.partial):
        parts = (function.func, *function.args, *function.keywords.values())
        return all(goes_by_name(part) for part in parts if callable(part))
    return not isinstance(function, (type, types.FunctionType)) or _importable(function)


def _by_value_modules() -> Any:
    return cloudpickle.list_registry_pickle_by_value()


class _QuickPickler(pickle.Pickler):
    """The C pickler, which gives up where code would have to go by value."""

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, (type, types.FunctionType)) and not _importable(obj):
            if obj.__module__ == "builtins" and isinstance(obj, type):
                return NotImplemented  # type(None) and its like
            raise _ByValue
        reducer = _custom_reducers.get(type(obj)) if _custom_reducers else None
        if reducer is not None:
            return reducer(obj)
        return NotImplemented


def reduce_code(code: types.CodeType) -> Any:
    """Reduce a code object as cloudpickle does, but with its file name, and the text of its cell.

    cloudpickle 3.1.3 writes "<dynamic-code>" instead, so that equal functions have equal
    pickles; no traceback could then say where a function of a notebook stands.
    """
    make, arguments = _code_reduce(code)
    # By type first: Python warns of bytes that are compared with a string when it is asked to (-b).
    arguments = tuple(
        [code.co_filename if type(part) is str and part == "<dynamic-code>" else part for part in arguments]
    )
    return with_text(make, arguments, code.co_filename)


_TYPED_DICT_FACTS = ("__module__", "__qualname__", "__doc__", "__total__", "__required_keys__", "__optional_keys__")


def _typed_dict(name: str, annotations: dict[str, Any], facts: dict[str, Any]) -> Any:
    made = typing.TypedDict(name, annotations)  # type: ignore[misc]
    for attribute, value in facts.items():
        setattr(made, attribute, value)
    return made


def keep_slots(cls: type, reduced: Any) -> Any:
    """Complete what cloudpickle makes of a class: one with ``__slots__`` must be made with them, one in another knows it.

    cloudpickle 3.1.3 makes the class without and sets the attribute afterwards, so that there its instances have a
    ``__dict__``, and what is sent back does not fit the class here. Of ``Outer.Inner`` it keeps the last part alone.
    A TypedDict is made by its own maker, as it can be by no other. Nor does the class tell its makers' hooks of itself again.
    """
    if isinstance(reduced, tuple):
        reduced = made_here(cls, reduced)
        reduced = with_annotations(cls, reduced) if reduced[0] is make_class else reduced
    if typing.is_typeddict(cls) and isinstance(reduced, tuple):
        facts = {name: getattr(cls, name, None) for name in _TYPED_DICT_FACTS}
        return _typed_dict, (cls.__name__, annotations_of(cls), facts)
    if cls.__qualname__ != cls.__name__ and isinstance(reduced, tuple) and len(reduced) > 2:
        state = reduced[2]
        if isinstance(state, tuple) and isinstance(state[0], dict):
            attributes = {**state[0], "__qualname__": cls.__qualname__}
            reduced = (*reduced[:2], (attributes, *state[1:]), *reduced[3:])
    if "_fields_" in cls.__dict__ and isinstance(reduced, tuple) and type(cls).__module__ == "_ctypes":
        return _with_fields(cls, reduced)
    slots = cls.__dict__.get("__slots__")
    if typing.NamedTuple in cls.__dict__.get("__orig_bases__", ()):
        return reduced  # its own maker sees to them
    if slots is None or not isinstance(reduced, tuple) or len(reduced[1]) < 4 or not isinstance(reduced[1][3], dict):
        return reduced
    arguments = list(reduced[1])
    arguments[3] = {**arguments[3], "__slots__": slots}
    return (reduced[0], tuple(arguments), *reduced[2:])


_LAYOUT = ("_fields_", "_pack_", "_anonymous_", "_align_", "_layout_")


def _with_fields(cls: type, reduced: Any) -> Any:
    """Have a structure of ctypes made with its fields, which make attributes of their own and cannot be set twice."""
    make, arguments, (attributes, *rest), *others = reduced
    layout = {name: attributes[name] for name in _LAYOUT if name in attributes}
    kept = {
        name: value for name, value in attributes.items() if name not in layout and type(value).__name__ != "CField"
    }
    # Their metaclass is found under no name: it is that of the bases.
    arguments = (type, *arguments[1:3], {**arguments[3], **layout}, *arguments[4:])
    return (make, arguments, (kept, *rest), *others)


class _CodePickler(StrictPickler):
    """cloudpickle, which also sends modules made by hand in a cell by value."""

    def reducer_override(self, obj: Any) -> Any:
        if type(obj) is types.CodeType:
            return reduce_code(obj)
        if isinstance(obj, (type, types.FunctionType)):
            name = getattr(obj, "__module__", None)
            module = sys.modules.get(name) if name else None
            if module is not None and name not in ("__main__", "builtins"):
                if _by_hand(module):
                    cloudpickle.register_pickle_by_value(module)
        if type(obj) is types.ModuleType and _by_hand(obj):
            cloudpickle.register_pickle_by_value(obj)
        reducer = _custom_reducers.get(type(obj)) if _custom_reducers else None
        if reducer is not None:
            return reducer(obj)
        reduced = super().reducer_override(obj)
        return keep_slots(obj, reduced) if isinstance(obj, type) else reduced


_custom_reducers: dict[type, Callable[[Any], Any]] = {}
_torch_reducers: dict[type, Callable[[Any], Any]] = {}  # once it is loaded


def _learn_torch() -> None:
    for cls, reduce in torch_storages.reducers().items():
        _torch_reducers[cls] = functools.partial(_or_plainly, reduce)
        _custom_reducers.setdefault(cls, _torch_reducers[cls])


def _or_plainly(reduce: Callable[[Any], Any], obj: Any) -> Any:
    return reduce(obj) or NotImplemented


def register_serializer(cls: type, *, serializer: Callable[[Any], Any], deserializer: Callable[[Any], Any]) -> None:
    """Serialize instances of ``cls`` by these two functions from now on, in this process."""
    _custom_reducers[cls] = lambda obj: (deserializer, (serializer(obj),))


def deregister_serializer(cls: type) -> None:
    """Forget what ``register_serializer`` was told about ``cls``."""
    _custom_reducers.pop(cls, None)


def dumps(value: Any, what: str = "value") -> bytes | Serialized:
    """Serialize ``value``.

    Parameters
    ----------
    value : object
    what : str
        What it is, for the message of an error ("args[1]", "the return value of f()").

    Returns
    -------
    bytes or Serialized
        Bytes (for ``loads``) when it is small or one plain pickle, and has no refs inside.

    Raises
    ------
    SerializationError
        (also a TypeError) names the path to what cannot be pickled.
    """
    if type(value) in SIMPLE_TYPES:
        return _plain_dumps(value, PROTOCOL)
    if "torch" in sys.modules and not _torch_reducers:
        _learn_torch()
    buffers: list[memoryview] = []

    def keep_out(buffer: pickle.PickleBuffer) -> bool:
        try:
            raw = buffer.raw()
        except BufferError:  # not contiguous: in band
            return True
        buffers.append(raw)
        return False

    outer = getattr(_found, "refs", None)
    refs: list[Any] = []
    _found.refs = refs
    try:
        stream = io.BytesIO()
        try:
            _QuickPickler(stream, PROTOCOL, buffer_callback=keep_out).dump(value)
        except Exception:
            # Whatever the quick pickler cannot do is cloudpickle's to try; only its
            # verdict counts.
            stream = io.BytesIO()
            buffers.clear()
            refs.clear()
            try:
                _CodePickler(stream, PROTOCOL, buffer_callback=keep_out).dump(value)
            except RecursionError:
                raise
            except Exception as error:
                raise _explain(value, what, error) from None
        pickled = stream.getvalue()
    finally:
        _found.refs = outer
    if not refs:
        if not buffers:
            return pickled
        laid_out = Serialized(pickled, buffers, refs)
        return laid_out.pack() if laid_out.size <= PACK_MAX_BYTES else laid_out
    return Serialized(pickled, buffers, refs)


def _explain(value: Any, what: str, error: Exception) -> SerializationError:
    path, offender = find_offender(value, what)
    captured = ""
    if isinstance(value, types.FunctionType) and path != what:
        captured = " It is captured by the function."
    if refuses(offender):  # and says what to do instead, or nobody knows
        why = str(error) if isinstance(error, TypeError) else f"{type(error).__name__}: {error}"
        return SerializationError(f"Could not serialize {path} ({type(offender).__name__}): {why}{captured}")
    return SerializationError(
        f"Could not serialize {path}: {type(offender).__name__} cannot be pickled ({type(error).__name__}: {error})."
        f"{captured} Pass a path or plain data instead, or make the object inside the task."
    )


def loads(data: Any) -> Any:
    """Rebuild a value from bytes that ``dumps`` returned."""
    if data[0] == PICKLE_OPCODE:
        return _plain_loads(data)
    return from_store(memoryview(data))[0]


def plain(data: bytes) -> Serialized:
    """Return bytes of ``dumps``, or any other bytes, as a Serialized, for the store."""
    if data[:4] == _MAGIC:
        return _LaidOut(data)
    return Serialized(data, (), [])


def from_store(view: memoryview) -> tuple[Any, bool]:
    """Rebuild a value from its bytes in the store.

    Parameters
    ----------
    view : memoryview
        Read-only bytes of the object; buffers of the value keep it alive.

    Returns
    -------
    value : object
    shares : bool
        Whether the value may share memory with ``view``.
    """
    magic, n_buffers, pickle_len = _HEAD.unpack_from(view, 0)
    if magic != _MAGIC:
        raise ValueError("This object of the store does not hold a value.")
    start = _HEAD.size + _SPAN.size * n_buffers
    pickled = view[start : start + pickle_len]
    if n_buffers == 1 and pickle_len <= array_layouts.MAX_PICKLE_BYTES:
        at, length = _SPAN.unpack_from(view, _HEAD.size)
        buffer = view[at : at + length]
        text = pickled.tobytes()
        value = _rebuild_array(text, buffer)
        if value is None:
            value = _plain_loads(text, buffers=[buffer])
            array_layouts.remember(text, value, buffer)
        return value, True
    if not n_buffers:
        return _plain_loads(pickled), False
    spans = [_SPAN.unpack_from(view, _HEAD.size + _SPAN.size * i) for i in range(n_buffers)]
    return _plain_loads(pickled, buffers=[view[at : at + length] for at, length in spans]), True


def pickle_of_store(view: memoryview) -> memoryview:
    """Return the pickle inside a stored value that has no buffers (errors, promoted values)."""
    _, n_buffers, pickle_len = _HEAD.unpack_from(view, 0)
    start = _HEAD.size + _SPAN.size * n_buffers
    return view[start : start + pickle_len]


def dumps_code(function: Any, what: str, max_bytes: int = 0) -> bytes:
    """Serialize a function or class for workers; by value unless it can be imported.

    Raises
    ------
    TooManyBytes
        It takes more than ``max_bytes``, if that is not 0.
    """
    outer = getattr(_found, "refs", None)
    refs: list[Any] = []
    _found.refs = refs
    try:
        stream = BoundedStream(max_bytes) if max_bytes else io.BytesIO()
        try:
            _CodePickler(stream, PROTOCOL).dump(function)
        except (RecursionError, TooManyBytes):
            raise
        except Exception as error:
            path, offender = find_offender(function, what)
            raise SerializationError(
                f"Could not serialize {what}: it captures {path} ({type(offender).__name__}), which cannot be "
                f"pickled ({type(error).__name__}: {error}). Make it inside the function, or pass it as an argument."
            ) from None
    finally:
        _found.refs = outer
    for ref in refs:
        ref._cluster.keep_forever(ref)  # code is kept as long as the job
    return stream.getvalue()


def count_code(value: Any, seconds: float) -> tuple[int, bool]:
    """Return how many bytes a function, or what one captures, takes when it is serialized, and whether that is all.

    Parameters
    ----------
    value : object
    seconds : float
        It is not counted for longer.
    """
    outer = getattr(_found, "refs", None)
    _found.refs = []  # they go nowhere
    stream = CountingStream(seconds)
    try:
        _CodePickler(stream, PROTOCOL, stream.buffer).dump(value)
    except TooManyBytes:
        return stream.size, False
    finally:
        _found.refs = outer
    return stream.size, True
