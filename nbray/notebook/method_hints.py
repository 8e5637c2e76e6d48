"""What a cell says of large inputs that a method or function may have changed: whether that came back, once per name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .cell_job import SMALL_BYTES, CellJob
from .outlines import MAX_OBJECTS

_READ_ONLY_TYPES = ("ndarray", "DataFrame", "Series", "Index", "Tensor")  # in a cell that does not store into them
_hinted: set[str] = set()


def hints(job: CellJob, before: dict[str, Any], changed: set[str], noticed: set[str]) -> list[str]:
    """Return sentences for the user.

    Parameters
    ----------
    job
        The cell.
    before
        Its inputs, by name.
    changed
        Names of those that come back.
    noticed
        Those of them that are large, and come back because they refer to other objects than before.
    """
    found = []
    for entry in job.names:
        name, method = entry.name, job.method_calls.get(entry.name)
        if method is None or not entry.large or name in _hinted:
            continue
        size = f"{name} is larger than {SMALL_BYTES >> 20} MB"
        if name in noticed:
            text = (
                f"{size}: as {name}.{method}() changed it, all of it came back, which takes its time in each such cell."
            )
        elif name in changed or type(before.get(name)).__name__ in _READ_ONLY_TYPES:
            continue  # it comes back in any case; or is read-only there: the change would have failed
        else:
            text = (
                f"{size}: what {name}.{method}() changed in it stayed on the worker."
                f" Assign it to bring it back: {name} = {name}.copy()"
            )
        _hinted.add(name)
        found.append(text)
    return found


def of_cut_outlines(names: Iterable[str]) -> list[str]:
    """Return sentences on inputs of so many objects that not all of them were compared."""
    new = [name for name in names if name not in _hinted]
    _hinted.update(new)
    return [
        f"{name} holds more than {MAX_OBJECTS:,} objects, of which only so many are compared: what functions and methods"
        f" change in the others stays on the worker. Assign it to bring it back: {name} = {name}.copy()"
        for name in new
    ]
