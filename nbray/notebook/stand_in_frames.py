"""Tracebacks over frames that say they are where the real ones were: in another process."""

from __future__ import annotations

import ast
import functools
import linecache
import sys
import textwrap
import threading
from types import CodeType, FrameType, FunctionType, TracebackType
from typing import Any, Protocol

from .error_record import FrameRecord

MAX_HEADER_LINES = 20  # of a function

_given = threading.local()  # .values: of the variables of the frame that this thread makes


class Scopes(Protocol):
    """What the frames see."""

    def variables(self, sent: dict[str, bytes | str]) -> dict[str, Any]: ...

    def globals_of(self, module: str) -> dict[str, Any] | None: ...


@functools.lru_cache(maxsize=256)
def _stub(signature: str, distance: int = 0, names: tuple[str, ...] = ()) -> CodeType:
    """Compile a function that binds these names, to what ``_given`` has for them, and returns its own frame.

    This stands ``distance`` lines below its def. The code of all frames of one line is equal: those of a recursion are shown once.
    """
    namespace: dict[str, Any] = {}
    binding = f"({','.join(names)},) = __import__('sys').modules[{__name__!r}]._given.values; " if names else ""
    body = "\n" * distance + f" {binding}return __import__('sys')._getframe()"
    exec(compile(f"def stub({signature}):{body}", "<nbray>", "exec"), namespace)
    code: CodeType = namespace["stub"].__code__
    return code


def _frame(record: FrameRecord, scopes: Scopes | None = None) -> FrameType:
    """Make a frame that says it is where the record says, to whoever asks it.

    IPython takes the line from the frame and not from the traceback when the file does
    not exist, and the lines around it from the start of the function: both must be right.
    """
    line = max(record.line, 1)
    first = min(record.first_line or _first_line(record), line)
    signature = record.signature or ("" if record.first_line else _signature_at(record.filename, first))
    changes: dict[str, Any] = {"co_filename": record.filename, "co_firstlineno": first}
    changes["co_name"] = record.function
    variables = scopes.variables(record.variables) if scopes is not None else {}
    tables = sys.version_info >= (3, 11)
    distance = 0 if tables else line - first
    try:
        code = _stub(signature, distance, tuple(variables))
    except SyntaxError:
        code = _stub("", distance)
    if tables:
        changes["co_qualname"] = record.qualified or record.function
        changes["co_linetable"] = _line_table(len(code.co_code) // 2, line - first, record)
    code = code.replace(**changes)
    seen = scopes.globals_of(record.module) if scopes is not None else None
    function = FunctionType(code, {"__name__": record.module or "__main__"} if seen is None else seen)
    names = code.co_varnames
    count = code.co_argcount
    keywords = names[count : count + code.co_kwonlyargcount]
    _given.values = variables.values()
    try:
        frame: FrameType = function(*[None] * count, **dict.fromkeys(keywords))
    finally:
        _given.values = ()
    return frame


def _line_table(units: int, delta: int, record: FrameRecord) -> bytes:
    """Encode that every instruction stands on one line (Objects/locations.md of CPython)."""
    columns = record.column is not None and record.end_column is not None
    table = bytearray()
    while units > 0:
        length = min(units, 8)
        table.append(0x80 | ((14 if columns else 13) << 3) | (length - 1))
        table += _varint(delta << 1 if delta >= 0 else (-delta << 1) | 1)
        if columns:
            table += _varint(max((record.end_line or record.line) - record.line, 0))
            table += _varint((record.column or 0) + 1)
            table += _varint((record.end_column or 0) + 1)
        delta = 0
        units -= length
    return bytes(table)


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value >= 64:
        parts.append(64 | (value & 63))
        value >>= 6
    parts.append(value)
    return bytes(parts)


def _first_line(record: FrameRecord) -> int:
    """Find where the function of a frame begins, going up from its line."""
    if record.function.startswith("<"):
        return 1
    lines = linecache.getlines(record.filename)
    for number in range(min(record.line, len(lines)), 0, -1):
        if lines[number - 1].lstrip().startswith((f"def {record.function}", f"async def {record.function}")):
            return number
    return record.line


def _signature_at(filename: str, line: int) -> str:
    """Return the argument names of the function whose ``def`` is in that line, as far as its text is known."""
    lines = linecache.getlines(filename)[line - 1 : line - 1 + MAX_HEADER_LINES]
    if not lines or not lines[0].lstrip().startswith(("def ", "async def ")):
        return ""
    for count in range(1, len(lines) + 1):
        header = textwrap.dedent("".join(lines[:count])).rstrip("\n")
        for text in (header, header + "\n    pass"):
            try:
                (definition,) = ast.parse(text).body
            except (SyntaxError, ValueError):
                continue
            if isinstance(definition, ast.FunctionDef | ast.AsyncFunctionDef):
                return _names_of(definition.args)
    return ""


def _names_of(args: ast.arguments) -> str:
    parts = [arg.arg for arg in (*args.posonlyargs, *args.args)]
    if args.vararg is not None:
        parts.append("*" + args.vararg.arg)
    elif args.kwonlyargs:
        parts.append("*")
    parts += [arg.arg for arg in args.kwonlyargs]
    if args.kwarg is not None:
        parts.append("**" + args.kwarg.arg)
    return ", ".join(parts)


def make_traceback(frames: list[FrameRecord], scopes: Scopes | None = None) -> TracebackType | None:
    """Return a traceback over stand-ins for ``frames``, outermost first."""
    tb: TracebackType | None = None
    for record in reversed(frames):
        frame = _frame(record, scopes)
        tb = TracebackType(tb, frame, frame.f_lasti, max(record.line, 1))
    return tb
