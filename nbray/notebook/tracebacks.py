"""Show an exception of the worker as if it had been raised here.

An ``ExceptionRecord`` becomes an exception again, with tracebacks over stand-in frames:
code objects that carry the file name, function and line of the real ones. IPython then
finds the cells' text in its own caches and draws its native traceback. ``install`` puts a
filter before the shell's ``showtraceback`` that shows only the rebuilt part, so that
neither the magic's frames nor IPython's stand above it; ``%tb`` and ``%debug`` see the
same.
"""

from __future__ import annotations

import functools
import linecache
import os
import pickle
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

import cloudpickle

from nbray.exceptions import GetTimeoutError, RayError
from nbray.notes import tell_nothing_of_tasks
from nbray.serialization.error_value import hint_of

from . import error_rebuild, old_ipython, read_only
from .cell_pickle import StreamReader, receiving
from .cell_result import TOLD
from .error_record import GROUP_TYPES, PACKAGE_DIR, ExceptionRecord, FrameRecord
from .frame_variables import Scopes
from .own_classes import own_classes
from .stand_in_frames import make_traceback

WAITS_IN = os.path.join(PACKAGE_DIR, "api", "objects.py")
_OUR_DIRS = (PACKAGE_DIR, os.path.dirname(cloudpickle.__file__) + os.sep)
#: Where what a user gives is looked at.
_REFUSE = tuple(os.path.join(PACKAGE_DIR, name) for name in ("api" + os.sep, "options.py", "wrong_input.py"))
MARK = "_nbray_traceback"  # attribute of exceptions that are shown by the filter


# ------------------------------------------------------------------- records to exceptions


def rebuild(records: list[ExceptionRecord], namespace: dict[str, Any]) -> BaseException:
    """Make the exception that ``capture`` wrote down, with its chain and tracebacks."""

    @contextmanager
    def at_hand() -> Iterator[None]:
        with receiving(namespace, (), namespace), own_classes(namespace):
            yield

    def read(data: bytes) -> Any:
        with at_hand():
            return StreamReader(data, ()).read()

    return mark(error_rebuild.rebuild(records, read, Scopes(namespace, at_hand)))


def mark(exc: BaseException) -> BaseException:
    """Have only the traceback that ``exc`` has now shown, whatever raises it later."""
    setattr(exc, MARK, _Mark(exc.__traceback__))
    return exc


class _Mark:
    """Holds the traceback to show; it does not go along when the exception travels, which would be refused for it."""

    def __init__(self, tb: TracebackType | None) -> None:
        self.tb = tb

    def __reduce__(self) -> Any:
        return type(None), ()


def _mark_of(exc: BaseException) -> _Mark | None:
    return getattr(exc, "__dict__", {}).get(MARK)


def timed_out(what: str, timeout_s: float, records: list[ExceptionRecord] | None = None) -> BaseException:
    """Return the error of ``--timeout``, with the frames where the cell was stopped."""
    exc = GetTimeoutError(f"{what} did not end within {timeout_s:g} s (--timeout).")
    if records is None:
        return exc
    exc.__traceback__ = make_traceback(records[0].frames)
    return mark(exc)


def at_cell_line(exc: BaseException, filename: str, line: int) -> BaseException:
    """Give an error that the magic found itself the traceback of a line of the cell."""
    if line > 0:
        exc.__traceback__ = make_traceback([FrameRecord(filename, "<module>", line)])
    return mark(exc)


def raised_by_nobody(exc: BaseException, filename: str, line: int) -> BaseException:
    """Return what to show of an error that nobody raises here: as if a line of the cell had, with what a task tells of it."""
    if _mark_of(exc) is not None:
        return exc
    exc.__traceback__ = make_traceback([FrameRecord(filename, "<module>", line)])
    return _shown(exc) or mark(exc)


# --------------------------------------------------------------------------- the cell's text


class CellSource:
    """The text of the cell that runs, and where its body lies in it.

    Attributes
    ----------
    filename : str
        What the cell's code is compiled as; IPython's caches know the text by it.
    offset : int
        Lines of the cell before its body: that of the magic, and what stands above.
    empty_lines : int
        Empty lines at the start of the body.
    """

    def __init__(self, shell: Any, raw: str, body: str) -> None:
        if not raw.rstrip("\n").endswith(body.rstrip("\n")):
            raw = "%%remote\n" + body
        at = raw.rstrip("\n").rfind(body.rstrip("\n"))
        self.raw = raw
        self.offset = raw[:at].count("\n") if body.strip() else 1
        # IPython's transformation drops empty lines at the start.
        self.empty_lines = len(body[: len(body) - len(body.lstrip())].split("\n")) - 1
        compiler = shell.compile
        known = old_ipython.cell_numbers(compiler)
        # (IPython 9 counts the cell before it runs, and the terminal's names of cells are not those of the raw text.)
        self.number = _number_of_running_cell(known) or shell.execution_count
        name = compiler.get_code_name(raw, raw, self.number)
        # As `compiler.cache` does, which would take the hash of the text once more.
        self.filename = name
        known[name] = self.number
        linecache.cache[name] = len(raw), None, [line + "\n" for line in raw.splitlines()], name
        old_ipython.keep_text(name)

    def cached(self) -> bool:
        return self.filename in linecache.cache


def _number_of_running_cell(known: dict[str, int]) -> int:
    """Return the number of the cell whose code has called us; 0: it is none that IPython knows."""
    number = 0
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        number = known.get(frame.f_code.co_filename, number)
        frame = frame.f_back
    return number


# ------------------------------------------------------------------------------ the filter


def install(shell: Any) -> Callable[[], None]:
    """Put the filter before ``shell.showtraceback``; returns what takes it away again."""
    original = shell.showtraceback

    @functools.wraps(original)
    def showtraceback(exc_tuple: Any = None, *args: Any, **kwargs: Any) -> None:
        value = _current(exc_tuple)
        try:
            show(value, exc_tuple, *args, **kwargs)
        finally:
            let_go(value)

    def show(value: BaseException | None, exc_tuple: Any, *args: Any, **kwargs: Any) -> None:
        shown = _shown(value)
        if shown is None:
            if value is not None and (tb := _of_the_user(value)) is not None:
                kwargs.update(tb_offset=0, running_compiled_code=True)
                exc_tuple = type(value), value, tb
            hint = _hint(value, shell.user_ns)
            if hint and isinstance(value, KeyboardInterrupt):
                tell_nothing_of_tasks(value)
            original(exc_tuple, *args, **kwargs)
            if hint:
                print(f"nbray: {hint}", file=sys.stderr)
            return None
        own = _mark_of(shown)
        shown.__traceback__ = tb = own.tb if own is not None else None
        # Of a SyntaxError the frames are shown too, unless it is that of the cell itself.
        kwargs.update(tb_offset=0, running_compiled_code=tb is not None)
        given = (type(shown), shown, tb)
        if sys.version_info < (3, 11) and isinstance(shown, SyntaxError):
            # IPython takes its frames from sys.exc_info(), which has those of before there.
            shell._get_exc_info = lambda exc_tuple=None: exc_tuple or given
            try:
                return original(given, **kwargs)
            finally:
                del shell._get_exc_info
        original(given, **kwargs)
        return old_ipython.tell_notes(shown)

    shell.showtraceback = showtraceback

    def remove() -> None:
        if shell.__dict__.get("showtraceback") is showtraceback:
            shell.showtraceback = original

    return remove


def let_go(error: BaseException | None) -> None:
    """Empty the frames of nbray, and of cloudpickle, in the tracebacks of an error and of those that led to it.

    IPython keeps an error in a cycle with its frames. What nbray had in hand when it was interrupted, views of memory and
    pickle buffers upon these, must not wait there for the garbage collector: CPython clears such a view although it is in
    use, and crashes when it is let go (3.11: ``gc.collect()`` of a cycle with ``PickleBuffer(memoryview(b""))`` in it).
    """
    seen: set[int] = set()
    errors = [error]
    while errors:
        one = errors.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        errors += [one.__cause__, one.__context__]
        tb = one.__traceback__
        while tb is not None:
            if tb.tb_frame.f_code.co_filename.startswith(_OUR_DIRS):
                try:
                    tb.tb_frame.clear()
                    _ = tb.tb_frame.f_locals  # Python 3.10 has a copy in there, which now follows
                except RuntimeError:
                    pass  # it still runs
            tb = tb.tb_next


def _of_the_user(error: BaseException) -> TracebackType | None:
    """Return the traceback of an error that nbray raised on purpose, or of an interrupt, without nbray's frames; None: it is none."""
    mine: list[TracebackType] = []
    shells: list[TracebackType] = []
    tb, filename = error.__traceback__, ""
    while tb is not None:
        filename = tb.tb_frame.f_code.co_filename
        if not filename.startswith(_OUR_DIRS):
            (shells if _is_ipython(filename) else mine).append(tb)
        tb = tb.tb_next
    refused = isinstance(error, (ValueError, TypeError)) and filename.startswith(_REFUSE)
    if not (refused or isinstance(error, RayError | KeyboardInterrupt) or hasattr(error, TOLD)):
        return None
    return joined(mine or shells)  # an interrupt may strike before the cell's first line


def joined(parts: list[TracebackType], last: TracebackType | None = None) -> TracebackType | None:
    """Return a traceback of the frames of these parts, and then of those of ``last``."""
    for tb in reversed(parts):
        last = TracebackType(last, tb.tb_frame, tb.tb_lasti, tb.tb_lineno)
    return last


def of_here(tb: TracebackType | None) -> list[TracebackType]:
    """Return the parts of a traceback that are neither nbray's nor IPython's."""
    found = []
    while tb is not None:
        filename = tb.tb_frame.f_code.co_filename
        if not (filename.startswith(_OUR_DIRS) or _is_ipython(filename)):
            found.append(tb)
        tb = tb.tb_next
    return found


def _hint(value: BaseException | None, namespace: dict[str, Any]) -> str:
    """Return what to tell when a local cell was interrupted while it waited for tasks, or stored into shared memory."""
    if value is not None and read_only.is_refused_store(value):
        try:
            return read_only.in_notebook(value, namespace)
        except Exception:  # odd objects in some frame
            return ""
    if value is not None and read_only.is_refused_resize(value):
        return read_only.of_resize(value)
    if not isinstance(value, KeyboardInterrupt):
        return hint_of(value) if value is not None else ""
    tb = value.__traceback__
    while tb is not None:
        code = tb.tb_frame.f_code
        if code.co_filename == WAITS_IN and code.co_name in ("get", "wait"):
            refs = tb.tb_frame.f_locals.get(code.co_varnames[0])  # what it waits for
            name = next((n for n, bound in list(namespace.items()) if bound is refs and not n.startswith("_")), "ref")
            if isinstance(refs, list):
                return f"only the wait has ended, the tasks go on; nbray.cancel(ref) for ref in {name} stops them."
            return f"only the wait has ended, the task goes on; nbray.cancel({name}) stops it."
        tb = tb.tb_next
    return ""


def _current(exc_tuple: Any) -> BaseException | None:
    if exc_tuple is not None:
        value = exc_tuple[1]
        return value if isinstance(value, BaseException) else None
    return sys.exc_info()[1] or getattr(sys, "last_value", None)


def _shown(value: BaseException | None) -> BaseException | None:
    """Return the exception to show in the place of ``value``; None: it is not ours."""
    if value is None:
        return None
    if _mark_of(value) is not None:
        return value
    cause, remote = getattr(value, "cause", None), getattr(value, "frames", None)
    if hasattr(value, "traceback_str") and isinstance(cause, BaseException) and remote is not None:
        return task_error(value, cause, remote)
    return None


def task_error(error: BaseException, cause: BaseException, remote: Any) -> BaseException:
    """Return the user's exception inside a task's error, with one traceback through both."""
    frames = [FrameRecord(filename, function, line) for filename, line, function in remote]
    there = make_traceback([frame for frame in frames if not frame.filename.startswith(PACKAGE_DIR)])
    try:
        shown: BaseException = pickle.loads(pickle.dumps(cause))
    except Exception:
        shown = cause
    shown.__cause__ = shown.__context__ = None
    shown.__traceback__ = joined(of_here(error.__traceback__), there)
    return mark(shown)


def _is_ipython(filename: str) -> bool:
    return "/IPython/core/" in filename or "/ipykernel/" in filename


def render(shell: Any, error: BaseException) -> list[str]:
    """Return the lines of IPython's traceback for an error that nobody raises here."""
    own = _mark_of(error)
    tb = own.tb if own is not None else error.__traceback__
    if isinstance(error, GROUP_TYPES):
        return ["".join(traceback.format_exception(type(error), error, tb))]
    text: list[str] = shell.InteractiveTB.structured_traceback(type(error), error, tb, tb_offset=0)
    return text
