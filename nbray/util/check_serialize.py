"""``inspect_serializability``: which parts of a value cannot be sent to another process."""

from __future__ import annotations

import sys
from typing import Any

from nbray.serialization.unpicklable import find_offenders


class FailureTuple:
    """A part that cannot be pickled.

    Attributes
    ----------
    obj : object
    path : tuple of str
        Names that lead to it, from the value that was inspected.
    parent : object
        What holds it.
    """

    def __init__(self, obj: Any, path: tuple[str, ...], parent: Any) -> None:
        self.obj = obj
        self.path = path
        self.parent = parent

    def __repr__(self) -> str:
        return f"FailTuple({self.path[-1]} [path={' -> '.join(self.path)}, obj={self.obj!r}, parent={self.parent!r}])"


def inspect_serializability(
    base_obj: Any, name: str | None = None, depth: int = 3, print_file: Any = None
) -> tuple[bool, set[FailureTuple]]:
    """Tell whether a value can be pickled, and print which parts of it cannot.

    Parameters
    ----------
    base_obj : object
    name : str, optional
        What to call it in the report.
    depth : int
        How many levels of closures and attributes to look into.
    print_file : file, optional
        Where the report goes; standard output by default.

    Returns
    -------
    serializable : bool
    failures : set of FailureTuple
        The innermost parts found that cannot be pickled; empty when all can.
    """
    out = print_file if print_file is not None else sys.stdout
    title = name or getattr(base_obj, "__qualname__", None) or repr(base_obj)
    found = find_offenders(base_obj, title, depth)
    if not found:
        print(f"{title} can be serialized.", file=out)
        return True, set()
    failures = {FailureTuple(offender, path, parent) for path, offender, parent in found}
    print(f"{title} cannot be serialized, because of:", file=out)
    for path, offender, _ in found:
        print(f"  {' -> '.join(path)}: {type(offender).__name__} ({offender!r:.200})", file=out)
    print("Make it inside the task, or pass what it is made from (a path, a name, plain data) instead.", file=out)
    return False, failures
