"""Say which name it was, and what to do, when something stores into memory that is read-only because others share it, or changes its size."""

from __future__ import annotations

import dis
import itertools
import sys
from collections.abc import Iterable, Iterator, MutableMapping, MutableSequence
from types import CodeType, FrameType
from typing import Any

from nbray.core.call_site import cell_number

GENERAL = (
    "Large arrays reach a cell as read-only memory that is shared with others:"
    " copy() before changing one inside a function, or change it in the cell itself."
)


MAX_CONTAINERS, MAX_ITEMS = 100, 1_000  # that are looked into for the name of a value


def is_refused_store(error: BaseException) -> bool:
    """Whether NumPy (or pandas) raised it because memory is read-only."""
    if not isinstance(error, ValueError):
        return False
    try:
        return "read-only" in str(error)
    except Exception:
        return False


def is_refused_resize(error: BaseException) -> bool:
    """Whether NumPy raised it because an array lies in memory that is not its own."""
    if not isinstance(error, ValueError):
        return False
    try:
        return "does not own its data" in str(error)
    except Exception:
        return False


def of_resize(error: BaseException) -> str:
    """Return what to tell when an array that came from elsewhere was to get another size; "" if it was not that."""
    found = ""
    steps = _steps(error)
    for frame, line in steps:
        for name in _names_of_line(frame.f_code, line):
            value = frame.f_locals.get(name, frame.f_globals.get(name))
            if getattr(getattr(value, "flags", None), "owndata", True) is False:
                found = name
    if not found:
        return ""
    return f"{found} lies in memory that is not its own, and so cannot change its size{_place(steps)}: `{found} = {found}.copy()` first makes it yours."


def in_cell(error: BaseException, named: Iterable[tuple[str, Any]], namespace: dict[str, Any]) -> str:
    """Return what to tell when a cell on the cluster stored into one of its inputs.

    Parameters
    ----------
    named
        Names of the inputs, each with an array or a buffer that it holds.
    """
    name, place = _found(error, named)
    if not name:
        return GENERAL
    return (
        f"{name} is shared with others here, and so read-only{place}. Put `{_copying(name, namespace)}` before that line, or"
        f" store into {name} in the cell itself; what is changed then comes back."
    )


def in_notebook(error: BaseException, namespace: dict[str, Any]) -> str:
    """Return what to tell when a cell that runs here stored into what came back from the cluster; "" if it was not that."""
    named = [(name, array) for name, value in list(namespace.items()) for array in _arrays(value)]
    name, place = _found(error, named)
    if not name:
        return ""
    return f"{name} lies in the object store, where others may use it, and so is read-only{place}: `{_copying(name, namespace)}` makes it yours."


def _copying(name: str, namespace: dict[str, Any]) -> str:
    # The copy of a container holds the same arrays.
    if hasattr(namespace.get(name), "copy") and not isinstance(namespace[name], MutableSequence | MutableMapping):
        return f"{name} = {name}.copy()"
    return f"import copy; {name} = copy.deepcopy({name})"


def _found(error: BaseException, named: Iterable[tuple[str, Any]]) -> tuple[str, str]:
    """Return the name whose memory one of the frames had in hand, the innermost first, and where the cell was."""
    steps = _steps(error)
    place = _place(steps)
    spans = [(start, end, name) for name, held in named for start, end in _span(held)]
    for frame, line in reversed(steps):
        names = _names_of_line(frame.f_code, line)
        for value in [frame.f_locals.get(name, frame.f_globals.get(name)) for name in names]:
            for array in _arrays(value):
                for start, end in _span(array):
                    for first, last, name in spans:
                        if first <= start and end <= last:
                            return name, place
    return "", place


def _steps(error: BaseException) -> list[tuple[FrameType, int]]:
    """The frames of an error, outermost first, each with its line."""
    steps, tb = [], error.__traceback__
    while tb is not None:
        steps.append((tb.tb_frame, tb.tb_lineno))
        tb = tb.tb_next
    return steps


def _place(steps: list[tuple[FrameType, int]]) -> str:
    """Where the cell that runs was; those that it calls into come later."""
    for frame, line in steps:
        number = cell_number(frame.f_code.co_filename)
        if number is not None:
            return f" (cell {number}, line {line})"
    return ""


def _names_of_line(code: CodeType, line: int) -> list[str]:
    """The names that the code of one line reads."""
    found: dict[str, None] = {}
    at: int | None = code.co_firstlineno
    for instruction in dis.get_instructions(code):
        positions = getattr(instruction, "positions", None)  # Python 3.11
        at = positions.lineno if positions is not None else instruction.starts_line or at
        if (
            at == line
            and instruction.opname.startswith("LOAD_")
            and instruction.opname not in ("LOAD_ATTR", "LOAD_CONST")
        ):
            names = instruction.argval if isinstance(instruction.argval, tuple) else (instruction.argval,)
            found.update(dict.fromkeys(name for name in names if isinstance(name, str)))
    return list(found)


def _arrays(value: Any) -> Iterator[Any]:
    """The read-only arrays that a value is or holds, in its attributes or items or (of pandas) in its blocks."""
    parts = [value, *getattr(value, "__dict__", {}).values()] if not isinstance(value, type(sys)) else []
    parts += [block.values for block in getattr(getattr(value, "_mgr", None), "blocks", ())]
    seen: set[int] = set()
    inside = isinstance(value, list | tuple | dict)  # of other objects one would come to all that there is
    for part in parts:  # which grows meanwhile
        if inside and isinstance(part, list | tuple | dict) and id(part) not in seen and len(seen) < MAX_CONTAINERS:
            seen.add(id(part))
            parts += itertools.islice(part.values() if isinstance(part, dict) else part, MAX_ITEMS)
        holds_memory = isinstance(getattr(part, "__array_interface__", None), dict) and hasattr(part, "__setitem__")
        if holds_memory and not part.flags.writeable:  # a scalar of numpy has no memory of its own
            yield part


def _span(held: Any) -> Iterator[tuple[int, int]]:
    """The addresses of an array or a buffer."""
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return
    try:
        bounds = getattr(numpy.lib, "array_utils", numpy).byte_bounds  # before NumPy 2 it was numpy.byte_bounds
        start, end = bounds(numpy.asarray(held))
    except (AttributeError, TypeError, ValueError):
        return
    if end > start:
        yield start, end
