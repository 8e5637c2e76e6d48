"""Find which part of a value cannot be pickled, and say how to reach it."""

from __future__ import annotations

import collections
import functools
import io
import itertools
import pickle
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

from nbray.serialization.annotations import AnnotationPickler

MAX_DEPTH = 12
MAX_CHILDREN = 1000


class StrictPickler(AnnotationPickler):
    """cloudpickle, but for files open for reading, which it would turn into copies of their text without a word."""

    def reducer_override(self, obj: Any) -> Any:
        if type(obj) is io.TextIOWrapper and obj is not sys.stdout and obj is not sys.stderr:
            raise TypeError("cannot pickle '_io.TextIOWrapper' object")
        return super().reducer_override(obj)


def find_offender(value: Any, path: str, pickles: Callable[[Any], bool] | None = None) -> tuple[str, Any]:
    """Return the path to, and the innermost part of ``value`` that cannot be pickled.

    Parameters
    ----------
    value : object
        Something whose pickling failed.
    path : str
        How the user calls it, for instance ``args[1]``.
    pickles : callable, optional
        Tells of a part whether it can be pickled, where that is more than what cloudpickle refuses.

    Returns
    -------
    path : str
        For instance ``args[1].model['lock']``.
    offender : object
    """
    pickles = pickles or _pickles
    seen: set[int] = set()
    for _ in range(MAX_DEPTH):
        for step, child in parts_of(value):
            if id(child) in seen or pickles(child):
                continue
            seen.add(id(child))
            path, value = path + step, child
            break
        else:
            return path, value
    return path, value


def find_offenders(value: Any, name: str, depth: int) -> list[tuple[tuple[str, ...], Any, Any]]:
    """Return all innermost parts of ``value`` that cannot be pickled; none when it can be.

    Parameters
    ----------
    value : object
    name : str
        How the user calls it.
    depth : int
        Levels to look into.

    Returns
    -------
    list of (path, offender, parent)
        The path is a tuple of names, from the value's own on.
    """
    if _pickles(value):
        return []
    return _innermost(value, (name,), None, depth, set())


def _innermost(
    value: Any, path: tuple[str, ...], parent: Any, depth: int, seen: set[int]
) -> list[tuple[tuple[str, ...], Any, Any]]:
    found: list[tuple[tuple[str, ...], Any, Any]] = []
    inner = False
    for step, child in parts_of(value) if depth > 0 else ():
        if _pickles(child):
            continue
        inner = True
        if id(child) not in seen:
            seen.add(id(child))
            found += _innermost(child, (*path, step.strip(". ")), value, depth - 1, seen)
    return found if inner else [(path, value, parent)]


def _pickles(value: Any) -> bool:
    try:
        StrictPickler(io.BytesIO(), 5, buffer_callback=lambda b: False).dump(value)
    except Exception:
        return False
    return True


def parts_of(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield what a value is made of, each with the step to it: ``.model``, ``['lock']``."""
    if isinstance(value, dict):
        for key in list(value)[:MAX_CHILDREN]:
            yield f"[{key!r}]", value[key]
            yield f" key {key!r}", key
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value[:MAX_CHILDREN]):
            yield f"[{index}]", item
    elif isinstance(value, (set, frozenset)):
        for item in list(value)[:MAX_CHILDREN]:
            yield f" item {item!r}", item
    elif isinstance(value, collections.deque):
        for index, item in enumerate(itertools.islice(value, MAX_CHILDREN)):
            yield f"[{index}]", item
    elif isinstance(value, functools.partial):
        yield ".func", value.func
        yield ".args", value.args
        yield ".keywords", value.keywords
    elif isinstance(value, types.FunctionType):
        names = value.__code__.co_freevars
        for name, cell in zip(names, value.__closure__ or (), strict=True):
            try:
                yield f".{name}", cell.cell_contents
            except ValueError:  # empty cell
                continue
        wanted = _global_names(value.__code__)
        for name in sorted(wanted):
            if name in value.__globals__ and value.__globals__[name] is not value:
                yield f".{name}", value.__globals__[name]
        for index, item in enumerate(value.__defaults__ or ()):
            yield f" default {index}", item
    elif isinstance(value, types.MethodType):
        yield ".__self__", value.__self__
    elif isinstance(value, type):
        for name, item in list(vars(value).items())[:MAX_CHILDREN]:
            if not (name.startswith("__") and name.endswith("__")) or name == "__init__":
                yield f".{name}", item
    elif str(type(value).__module__).partition(".")[0] in ("numpy", "pandas"):
        yield from _cells(value)
    elif not refuses(value):
        attributes = _state(value)
        if attributes is None:
            attributes = getattr(value, "__dict__", None)
        if isinstance(attributes, dict):
            for name in list(attributes)[:MAX_CHILDREN]:
                yield f".{name}", attributes[name]
        for cls in type(value).__mro__:
            slots = cls.__dict__.get("__slots__", ())
            for name in (slots,) if isinstance(slots, str) else slots:
                if hasattr(value, name):
                    yield f".{name}", getattr(value, name)


def refuses(value: Any) -> bool:
    """Tell whether it is the class's own code that says that an object cannot be pickled: then no part of it is to blame."""
    own = [name for name in ("__reduce_ex__", "__reduce__") if _is_own(value, name)]
    try:
        if own:
            value.__reduce_ex__(pickle.HIGHEST_PROTOCOL)
        elif _is_own(value, "__getstate__"):
            value.__getstate__()
    except Exception as error:  # whatever the user's code raises
        return not str(error).startswith("cannot pickle ")  # that is pickle's word on a part
    return False


def _is_own(value: Any, name: str) -> bool:
    return isinstance(getattr(type(value), name, None), types.FunctionType)


def _state(value: Any) -> dict[Any, Any] | None:
    """Return what an object that writes its state itself writes, when it names its parts."""
    write = getattr(type(value), "__getstate__", None)
    if write is None or write is getattr(object, "__getstate__", None):
        return None
    try:
        state = write(value)
    except Exception:  # whatever the user's code raises
        return None
    return state if isinstance(state, dict) else None


def _cells(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the objects in an array, a series or a frame, without loading what has not been loaded."""
    name = type(value).__name__
    if name == "ndarray" and value.dtype.hasobject:
        for index, item in zip(
            itertools.islice(itertools.product(*map(range, value.shape)), MAX_CHILDREN), value.flat, strict=False
        ):
            yield "[" + ", ".join(map(str, index)) + "]", item
    elif name in ("Series", "Index") and value.dtype == object:
        step = ".iloc" if name == "Series" else ""
        for place, item in enumerate(value.array[:MAX_CHILDREN]):
            yield f"{step}[{place}]", item
    elif name == "DataFrame":
        for column in value.columns[:MAX_CHILDREN]:
            if getattr(value.dtypes[column], "hasobject", False):
                yield f"[{column!r}]", value[column]


def _global_names(code: types.CodeType) -> set[str]:
    found = set(code.co_names)
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            found |= _global_names(const)
    return found
