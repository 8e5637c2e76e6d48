"""Which objects the pickle of a cell writes in ways of their own, whatever cell they are in.

Pickle would refuse them, or make something else of them: a copy of an open file's text, a second shell, a name that the receiver
does not have. What depends on the cell (its functions, inputs, refs) is written by ``cell_pickle``.
"""

from __future__ import annotations

import array
import asyncio
import contextvars
import functools
import io
import logging
import re
import sys
import threading
import types
from collections.abc import Callable
from typing import Any

from cloudpickle.cloudpickle import _make_empty_cell

from nbray._cstore import ffi
from nbray.serialization import torch_storages
from nbray.serialization.serializer import reduce_code

from . import array_views, ended_objects, logging_relays
from .cell_leftovers import (
    BINARY_FILES,
    closed_file,
    closed_temporary_file,
    found_again,
    is_closed_temporary_file,
    is_found_again,
    is_script_stream,
    is_shell,
    reduce_call,
    reduce_context_manager,
    shell_here,
    stream_of_bar,
)
from .cell_loop import reduce_future
from .context_values import reduce_variable
from .free_locks import is_found, reduce_lock, reduce_thread
from .gradients import reduce_tensor
from .interrupt_handlers import reduce_handler
from .module_values import is_plain
from .pandas_columns import is_block, is_column, reduce_block, reduce_column
from .subclass_values import reduce_subclass

MAX_SHARED_BYTES = 1 << 20  # of memory that goes along whole with a view of a part of it


def reduce_odd(obj: Any) -> Any:
    """Return how to write the object, as a reducer does; None: as pickle and cloudpickle write it.

    Raises
    ------
    TypeError
        When it cannot be written: an open file, a future that has not ended.
    """
    for stream in ("stdout", "stderr"):
        if obj is getattr(sys, stream):
            return getattr, (sys, stream)
    kind = type(obj)
    reduce = _BY_KIND.get(kind) or _BY_NAME.get((kind.__module__, kind.__name__))
    if reduce is not None:
        return reduce(obj)
    for look in _BY_LOOK:
        reduced = look(obj)
        if reduced is not None:
            return reduced
    return None


def _reduce_method(method: types.MethodType) -> Any:
    """Write a method of a stream that is shown as that of the receiver's stream, whose class is another."""
    if method.__self__ is sys.stdout or method.__self__ is sys.stderr:
        return getattr, (method.__self__, method.__name__)
    return reduce_handler(method)


def _reduce_cell(cell: types.CellType) -> Any:
    """Write a variable of a closure, which may hold the very function that it belongs to."""
    try:
        contents = cell.cell_contents
    except ValueError:  # not bound yet
        return _make_empty_cell, ()
    return _make_empty_cell, (), (contents,), None, None, _fill_cell


def _fill_cell(cell: types.CellType, state: tuple[Any]) -> None:
    cell.cell_contents = state[0]


def _reduce_cached(function: Any) -> Any:
    if function.__module__ != "__main__":
        return None
    # Pickle would only write its name, which the receiver does not have.
    return _cached, (function.__wrapped__, function.cache_parameters())


def _cached(function: Callable[..., Any], parameters: dict[str, Any]) -> Any:
    return functools.lru_cache(**parameters)(function)


def _reduce_view(view: memoryview) -> Any:
    """Write a view of memory with what it shows; cloudpickle makes bytes of it, into which nobody can store."""
    owner: Any = view.obj
    whole = memoryview(owner).nbytes
    if view.c_contiguous and whole == view.nbytes:
        return _view, (owner, view.format, view.shape, view.readonly)
    if (
        view.c_contiguous
        and view.nbytes
        and type(owner) in (bytes, bytearray, array.array)
        and whole <= MAX_SHARED_BYTES
    ):
        return _view, (owner, view.format, view.shape, view.readonly, _address(view) - _address(owner), view.nbytes)
    alone = bytes(view) if view.readonly else bytearray(view.tobytes())  # it has that for itself there
    return _view, (alone, view.format, view.shape, view.readonly)


def _address(memory: Any) -> int:
    return int(ffi.cast("uintptr_t", ffi.from_buffer(memory)))


def _view(
    owner: Any, layout: str, shape: tuple[int, ...], readonly: bool, start: int = 0, n_bytes: int | None = None
) -> memoryview:
    made: memoryview = memoryview(owner)
    if n_bytes is not None:
        made = made.cast("B")[start : start + n_bytes]
    if (made.format, made.shape) != (layout, shape):
        made = made.cast("B").cast(layout, shape)  # type: ignore[call-overload]
    return made.toreadonly() if readonly else made


def _reduce_text_file(file: Any) -> Any:
    if file.closed:
        return closed_file, (type(file), getattr(file, "name", ""), getattr(file, "mode", "r"), file.encoding)
    # cloudpickle would turn an open file into a copy of its text
    raise TypeError("cannot pickle '_io.TextIOWrapper' object")


def _reduce_binary_file(file: Any) -> Any:
    return (closed_file, (type(file), getattr(file, "name", ""))) if file.closed else None


def _reduce_temporary_file(obj: Any) -> Any:
    return (closed_temporary_file, (type(obj), obj.file, obj.name)) if is_closed_temporary_file(obj) else None


def _reduce_match(match: re.Match[Any]) -> Any:
    if not is_found_again(match):
        return None
    return found_again, (match.re, match.string, match.pos, match.endpos, match.start())


def _reduce_of_shell(obj: Any) -> Any:
    if is_script_stream(obj):
        raise TypeError("the stream of a script in the background is read where the script runs")
    return (shell_here, ()) if is_shell(obj) else None


def _reduce_running(obj: Any) -> Any:
    if isinstance(obj, threading.Thread):
        return reduce_thread(obj)
    return reduce_future(obj) if isinstance(obj, asyncio.Future) else None


def _reduce_manager(obj: Any) -> Any:
    return reduce_context_manager(obj) if type(obj).__module__ == "contextlib" and hasattr(obj, "gen") else None


def _reduce_of_libraries(obj: Any) -> Any:
    if is_block(obj):
        return reduce_block(obj)
    if is_column(obj):
        return reduce_column(obj)
    if type(obj).__name__ == "memmap":
        return array_views.reduce_mapped(obj)
    return array_views.reduce_with_attributes(obj)


_OF_LOGGERS = frozenset(vars(logging.Logger("any")))  # each side has its own of these; see logging_state


def given_to(logger: logging.Logger) -> dict[str, Any]:
    """Return the attributes that a program has given to a logger, as far as they are plain."""
    return {key: value for key, value in vars(logger).items() if key not in _OF_LOGGERS and is_plain(value)}


def _reduce_logger(obj: Any) -> Any:
    given = given_to(obj) if isinstance(obj, logging.Logger) else None
    reduced = obj.__reduce__() if given else None
    return (*reduced[:2], given) if isinstance(reduced, tuple) else None


def _reduce_log_handler(obj: Any) -> Any:
    return logging_relays.reduce_handler(obj) if isinstance(obj, logging.Handler) else None


def _reduce_free_lock(obj: Any) -> Any:
    return reduce_lock(obj) if is_found(obj) else None


_BY_KIND: dict[type, Callable[[Any], Any]] = {
    types.CodeType: reduce_code,
    types.CellType: _reduce_cell,
    memoryview: _reduce_view,
    types.MethodType: _reduce_method,
    type(functools.lru_cache(len)): _reduce_cached,
    io.TextIOWrapper: _reduce_text_file,
    **dict.fromkeys(BINARY_FILES, _reduce_binary_file),
    re.Match: _reduce_match,
    contextvars.ContextVar: reduce_variable,
    **ended_objects.BY_KIND,
}

#: Of modules that need not be loaded.
_BY_NAME: dict[tuple[str, str], Callable[[Any], Any]] = {
    ("unittest.mock", "_Call"): reduce_call,
    ("torch.storage", "TypedStorage"): torch_storages.reduce_typed,
    ("torch.storage", "UntypedStorage"): torch_storages.reduce_untyped,
    ("tqdm.utils", "DisableOnWriteError"): lambda stream: (stream_of_bar, (type(stream), stream._wrapped)),
    **ended_objects.BY_NAME,
}

#: Each says None of what is not of its kind.
_BY_LOOK: tuple[Callable[[Any], Any], ...] = (
    _reduce_temporary_file,
    _reduce_running,
    _reduce_of_shell,
    _reduce_manager,
    _reduce_of_libraries,
    _reduce_free_lock,
    _reduce_logger,
    _reduce_log_handler,
    reduce_tensor,
    reduce_subclass,
)
