"""Write down an exception in the worker so that the notebook can show it as its own.

What crosses: for the exception and every one it is chained to or grouped with, its
pickled form (or, where pickling fails, its name and text), its notes, and its frames as
(file, function, lines, columns). The notebook makes tracebacks of them again, see
``tracebacks``. Frames of nbray itself are left out.
"""

from __future__ import annotations

import builtins
import copy
import os
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from types import CodeType, FrameType, TracebackType
from typing import Any

PACKAGE_DIR = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
# (Python 3.10 has no groups.)
GROUP_TYPES: tuple[Any, ...] = tuple(filter(None, [getattr(builtins, "BaseExceptionGroup", None)]))
_MAGICS = os.path.join(os.sep, "IPython", "core", "magics", "")
MAX_FRAMES = 200  # of one exception: the first and the last half are kept
MAX_EXCEPTIONS = 100


@dataclass(slots=True)
class FrameRecord:
    """One line of a traceback."""

    filename: str
    function: str
    line: int
    first_line: int = 0  # of the function; 0: not known
    signature: str = ""  # names of the arguments, as in a def
    end_line: int | None = None
    column: int | None = None
    end_column: int | None = None
    qualified: str = ""  # name of the function with the classes and functions around it; "": not known
    module: str = ""  # that it is of; "": not known
    variables: dict[str, bytes | str] = field(default_factory=dict)  # see frame_variables


@dataclass(slots=True)
class ExceptionRecord:
    """One exception; the others of its chain are numbers into the same list."""

    type_name: str
    text: str
    pickled: bytes | None
    frames: list[FrameRecord] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    cause: int | None = None
    context: int | None = None
    suppress_context: bool = False
    members: list[int] = field(default_factory=list)  # of an exception group


def capture(
    error: BaseException,
    dump: Callable[[Any], bytes],
    note: Callable[[BaseException], str] = lambda exc: "",
    variables: Callable[[FrameType], dict[str, bytes | str]] | None = None,
) -> list[ExceptionRecord]:
    """Record an exception and all that hang on it; the first one is the exception.

    Parameters
    ----------
    error
        As caught, with its traceback.
    dump
        Pickles an object and reads it again: classes whose ``__init__`` wants other
        arguments fail only then. May raise anything.
    note
        Returns what to add to an exception, or "".
    variables
        Returns those of a frame, as they are to travel.
    """
    records: list[ExceptionRecord] = []
    numbers: dict[int, int] = {}

    def number(exc: BaseException | None) -> int | None:
        if exc is None or len(records) >= MAX_EXCEPTIONS:
            return None
        if id(exc) in numbers:
            return numbers[id(exc)]
        shown, frames = _original(exc, variables)
        record = ExceptionRecord(type(shown).__name__, _text(shown), pickle_exception(shown, dump), frames)
        record.notes = [str(note) for note in getattr(exc, "__notes__", ())]
        record.notes += filter(None, [note(exc)])
        numbers[id(exc)] = at = len(records)
        records.append(record)
        record.suppress_context = exc.__suppress_context__
        record.cause = number(exc.__cause__)
        record.context = number(exc.__context__)
        if isinstance(exc, GROUP_TYPES):
            members = [number(member) for member in exc.exceptions]
            record.members = [member for member in members if member is not None]
        return at

    number(error)
    return records


def _original(
    exc: BaseException, variables: Callable[[FrameType], dict[str, bytes | str]] | None
) -> tuple[BaseException, list[FrameRecord]]:
    """Return what the user raised: a task's error becomes the exception inside it."""
    frames = frames_of(exc.__traceback__, variables)
    cause, remote = getattr(exc, "cause", None), getattr(exc, "frames", None)
    if hasattr(exc, "traceback_str") and isinstance(cause, BaseException):
        for filename, line, function in remote or ():
            if not filename.startswith(PACKAGE_DIR):
                frames.append(FrameRecord(filename, function, line))
        return cause, frames
    return exc, frames


def _text(exc: BaseException) -> str:
    try:
        return str(exc)
    except Exception:
        return "<the exception has no text: its __str__ raised>"


def frames_of(
    tb: TracebackType | None, variables: Callable[[FrameType], dict[str, bytes | str]] | None = None
) -> list[FrameRecord]:
    """Return the frames of a traceback, outermost first, without nbray's own and those of magics, which are not shown here either."""
    found: list[tuple[TracebackType, CodeType]] = []
    while tb is not None:
        code = tb.tb_frame.f_code
        if not code.co_filename.startswith(PACKAGE_DIR) and _MAGICS not in code.co_filename:
            found.append((tb, code))
        tb = tb.tb_next
    if len(found) > MAX_FRAMES:
        found = found[: MAX_FRAMES // 2] + found[-MAX_FRAMES // 2 :]
    frames = [_frame(tb, code) for tb, code in found]
    if variables is not None:  # what is nearest to the error matters most
        for (tb, _), frame in zip(reversed(found), reversed(frames), strict=True):
            frame.variables = variables(tb.tb_frame)
    return frames


def _frame(tb: TracebackType, code: CodeType) -> FrameRecord:
    first = 1 if code.co_name == "<module>" else code.co_firstlineno
    # An interrupt may strike between lines, where Python knows of none.
    frame = FrameRecord(code.co_filename, code.co_name, tb.tb_lineno or first, first, signature_of(code))
    frame.qualified = getattr(code, "co_qualname", "")  # Python 3.11
    module = tb.tb_frame.f_globals.get("__name__")
    frame.module = module if isinstance(module, str) else ""
    if tb.tb_lasti >= 0 and hasattr(code, "co_positions"):  # Python 3.11
        for index, position in enumerate(code.co_positions()):
            if index == tb.tb_lasti // 2:
                _, frame.end_line, frame.column, frame.end_column = position
                break
    return frame


def signature_of(code: CodeType) -> str:
    """Return the argument names of a function's code, as they stand in its def."""
    if code.co_name.startswith("<") and code.co_name != "<lambda>":
        return ""
    names = list(code.co_varnames)
    plain, named = code.co_argcount, code.co_kwonlyargcount
    parts = names[:plain]
    at = plain + named
    if code.co_flags & 0x04:  # *args
        parts.append("*" + names[at])
        at += 1
    elif named:
        parts.append("*")
    parts += names[plain : plain + named]
    if code.co_flags & 0x08:
        parts.append("**" + names[at])
    if not all(part.lstrip("*").isidentifier() or part == "*" for part in parts):
        return ""  # `.0` of a comprehension
    return ", ".join(parts)


# ------------------------------------------------------------------ the exception itself


def bare_exception(cls: type, args: tuple[Any, ...], state: dict[str, Any]) -> BaseException:
    """Make an exception without calling its ``__init__``, whose arguments are unknown."""
    exc: BaseException = BaseException.__new__(cls, *args)
    exc.args = args
    exc.__dict__.update(state)
    return exc


def another_exception(exc: BaseException) -> BaseException:
    """Return an exception like this one, raised where and from what it was."""
    try:
        made = copy.copy(exc)
    except Exception:  # its class wants other arguments
        made = exc
    if made is exc or type(made) is not type(exc):
        made = bare_exception(type(exc), exc.args, vars(exc))
    made.__traceback__, made.__cause__, made.__context__ = exc.__traceback__, exc.__cause__, exc.__context__
    made.__suppress_context__ = exc.__suppress_context__
    return made


class _Bare:
    def __init__(self, *parts: Any) -> None:
        self.parts = parts

    def __reduce__(self) -> Any:
        return bare_exception, self.parts


def pickle_exception(exc: BaseException, dump: Callable[[Any], bytes]) -> bytes | None:
    """Pickle an exception, in its own way or without its ``__init__``; None: neither works."""
    attributes = {
        key: value
        for key, value in getattr(exc, "__dict__", {}).items()
        if not key.startswith("__") and not key.startswith("_nbray_")
    }
    ways: list[Callable[[], Any]] = [lambda: exc, lambda: _Bare(type(exc), exc.args, attributes)]
    texts = tuple(a if isinstance(a, str | int | float | None) else repr(a) for a in exc.args)
    ways.append(lambda: _Bare(type(exc), texts, {}))
    for way in ways:
        try:
            return dump(way())
        except BaseException:
            continue
    return None


def format_text(error: BaseException) -> str:
    """Return the traceback as plain text, for places that show no more."""
    return "".join(traceback.format_exception(error))
