"""``sys.last_value`` and its like, in a cell that speaks of them: the error that was shown last in the notebook."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .cell_pickle import pickles
from .error_rebuild import rebuild
from .error_record import capture

NAME = "_nbray_last_error"  # under which it goes to the worker
_NAMES = ("last_type", "last_value", "last_traceback", "last_exc")
_MENTIONED = re.compile(r"\b(last_(type|value|traceback|exc)|print_last|pm)\b")


def is_mentioned(source: str) -> bool:
    """Whether the text of a cell speaks of the last error."""
    return _MENTIONED.search(source) is not None


def to_send() -> BaseException | None:
    """Return the last error of the notebook, or one like it if that cannot travel; None: there is none."""
    error = getattr(sys, "last_value", None)
    if error is None or pickles(error):
        return error

    def dump(obj: Any) -> bytes:
        raise TypeError("only its text travels")

    return rebuild(capture(error, dump), dump)


@contextmanager
def as_in_notebook(namespace: dict[str, Any]) -> Iterator[None]:
    """Meanwhile, the last error of this process is the one among the names of a cell, and not that of a cell before."""
    before = _take()
    error = namespace.get(NAME)
    if error is not None:
        sys.last_type, sys.last_value, sys.last_traceback = type(error), error, error.__traceback__
        if sys.version_info >= (3, 12):
            sys.last_exc = error
    try:
        yield
    finally:
        _take()
        namespace.pop(NAME, None)  # an actor's cells go on with these names
        for name, value in before.items():
            setattr(sys, name, value)


def _take() -> dict[str, Any]:
    found = {name: getattr(sys, name) for name in _NAMES if hasattr(sys, name)}
    for name in found:
        delattr(sys, name)
    return found
