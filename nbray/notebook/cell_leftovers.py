"""What cells have under their names that does not pickle, and of which nothing is lost when it is made anew.

Closed files, matches, the streams of progress bars; the shell itself, which each side has; calls of mocks; context managers
that were not entered yet, or are done.
"""

from __future__ import annotations

import inspect
import io
import re
import types
from typing import Any

BINARY_FILES = (io.BufferedReader, io.BufferedWriter, io.BufferedRandom)


class _Nothing(io.BytesIO):
    """Stands below a closed file, and knows its name."""

    def __init__(self, name: Any) -> None:
        super().__init__()
        self.name = name


def closed_file(kind: type, name: Any, mode: str = "", encoding: str | None = None) -> Any:
    """Return a closed file, of which only its name and mode are left."""
    if kind is io.TextIOWrapper:
        file: Any = io.TextIOWrapper(_Nothing(name), encoding=encoding)
        file.mode = mode
    else:
        file = kind(_Nothing(name))
    file.close()
    return file


def is_closed_temporary_file(obj: Any) -> bool:
    """Whether this is what ``tempfile.NamedTemporaryFile`` returned, and closed since."""
    kind = type(obj)
    return kind.__module__ == "tempfile" and kind.__name__ == "_TemporaryFileWrapper" and bool(obj.closed)


def closed_temporary_file(kind: Any, file: Any, name: str) -> Any:
    """Return such a file, of which only its name is left."""
    return kind(file, name, delete=False)


class _NoBar:
    """Whom the stream of a bar would tell that nobody reads it."""


def stream_of_bar(kind: Any, stream: Any) -> Any:
    """Return what ``tqdm`` writes to, anew: it wraps functions of its own, and cannot be read back from a pickle."""
    return kind(stream, _NoBar())


def is_shell(obj: Any) -> bool:
    """Whether this is what ``get_ipython()`` returns."""
    return type(obj).__name__.endswith("InteractiveShell") and obj is getattr(type(obj), "_instance", None)


def shell_here() -> Any:
    """Return the shell of this side; a worker loads IPython only for cells that use it."""
    from IPython.core.getipython import get_ipython  # noqa: PLC0415

    return get_ipython()


def is_script_stream(obj: Any) -> bool:
    """Whether this is what ``%%script --bg --out`` binds."""
    return type(obj).__name__ == "_AsyncIOProxy"


def reduce_call(call: Any) -> Any:
    """Write a call that ``unittest.mock`` has noted: it asks itself for attributes before it has any."""
    return _new_call, (type(call), tuple(call)), vars(call), None, None, _fill_call


def _new_call(kind: type[tuple[Any, ...]], parts: tuple[Any, ...]) -> Any:
    return tuple.__new__(kind, parts)


def _fill_call(call: Any, attributes: dict[str, Any]) -> None:
    vars(call).update(attributes)


def found_again(pattern: re.Pattern[Any], text: Any, pos: int, endpos: int, start: int) -> Any:
    """Return the match that begins at ``start``: the first one, or one further on (``finditer``)."""
    match = pattern.search(text, pos, endpos)
    if match is None or match.start() != start:
        match = pattern.match(text, start, endpos)
    return match


def is_found_again(match: re.Match[Any]) -> bool:
    """Whether ``found_again`` finds the same groups."""
    other = found_again(match.re, match.string, match.pos, match.endpos, match.start())
    return other is not None and other.regs == match.regs


def reduce_context_manager(manager: Any) -> Any:
    """Write what a function under ``contextlib.contextmanager`` returned, as a call of it; None: its ``with`` is under way."""
    generator = manager.gen
    if isinstance(generator, types.AsyncGeneratorType):
        if generator.ag_frame is None:
            return _ended_manager, (type(manager),)
        state = getattr(inspect, "getasyncgenstate", lambda _: "")(generator)  # Python 3.12
        begun = state != "AGEN_CREATED"
    elif isinstance(generator, types.GeneratorType):
        if generator.gi_frame is None:
            return _ended_manager, (type(manager),)
        begun = inspect.getgeneratorstate(generator) != inspect.GEN_CREATED
    else:
        return None
    return None if begun else (type(manager), (manager.func, manager.args, manager.kwds))


def _ended_manager(kind: Any) -> Any:
    made = kind.__new__(kind)
    made.gen = iter(())
    return made
