"""The items of ``--each x=ITER``: the expression is evaluated in the notebook, and what has no items is told in words."""

from __future__ import annotations

from collections.abc import Iterator, Sized
from typing import Any

from . import tracebacks
from .error_record import FrameRecord
from .magic_options import Each
from .runtime import ObjectRef, get
from .stand_in_frames import make_traceback

MOST_WITHOUT_LENGTH = 1_000_000  # items of what does not say how many it has: it may have no end


def items_of(each: Each, shell: Any, raw: str) -> tuple[list[Any], list[str]]:
    """Evaluate the iterable in the notebook; returns the items, and hints.

    Parameters
    ----------
    raw
        The whole cell as the user sees it.
    """
    __tracebackhide__ = True
    source = tracebacks.CellSource(shell, raw, raw)
    line = next((number for number, text in enumerate(raw.splitlines(), 1) if "--each" in text), 1)
    try:
        # Empty lines stand for what is above.
        text = "\n" * (line - 1) + each.expression
        value = eval(compile(text, source.filename, "eval", shell.compile.flags, dont_inherit=True), shell.user_ns)
        if isinstance(value, ObjectRef):
            value = get(value)
        return list(_items(each, value)), _hints(each, value)
    except Exception as error:
        # Code of the user's that raised it, a generator for example, is shown below the line.
        parts = tracebacks.of_here(error.__traceback__)
        if not parts or parts[0].tb_frame.f_code.co_filename != source.filename:
            at_line = make_traceback([FrameRecord(source.filename, "<module>", line)])
            parts = [at_line, *parts] if at_line is not None else parts
        error.__traceback__ = tracebacks.joined(parts)
        raise tracebacks.mark(error) from None


def _items(each: Each, value: Any) -> Iterator[Any]:
    """Yield the items, by code of Python's: an interrupt would not get at a loop in C, which may have no end."""
    try:
        items = iter(value)
    except TypeError as error:
        raise TypeError(f"{each.text}: {_why_not(each, value, error)}") from None
    most = None if isinstance(value, Sized) else MOST_WITHOUT_LENGTH
    for number, item in enumerate(items):
        if number == most:
            raise ValueError(
                f"{each.text}: more than {most:,} items came of a {type(value).__name__}, which does not say how many it has"
                f" and may have no end. Take as many as there are to be: itertools.islice({each.expression}, 1000), or a list."
            )
        yield item


def _why_not(each: Each, value: Any, error: TypeError) -> str:
    """Return why a value has no items, and what to give instead."""
    if value is None:
        return "the value is None, which has no items. Give a list, for example, or what the function was to return."
    if isinstance(value, int):
        return f"an int has no items. Give what has, such as range({each.expression})."
    if hasattr(value, "__aiter__"):
        return f"the items of an {type(value).__name__} are to be awaited. Make a list of it: [x async for x in ...]."
    if callable(value):
        return (
            f"{getattr(value, '__name__', 'it')} itself has no items. Call it, if it returns them: {each.expression}()."
        )
    return f"{error}. Give what has items: a list, a range, the rows of a frame (df.itertuples())."


def _hints(each: Each, value: Any) -> list[str]:
    if isinstance(value, str | bytes) and len(value) > 1:
        what = "letters" if isinstance(value, str) else "bytes"
        return [f"{each.text}: a {type(value).__name__}, so {each.targets[0]} is each of its {len(value)} {what}."]
    return []
