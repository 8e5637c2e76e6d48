"""Say what to do when a driver ends because it took a ref for its value, or wrote to an array of the object store.

The words of Python ("'ObjectRef' object is not iterable") and NumPy ("assignment destination is read-only") do not tell
that. They cannot be changed where the error is raised; a line is added where it is shown. In a notebook the cell's hint
does that (``notebook/tracebacks.py``).
"""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any

from nbray.serialization.error_value import hint_of

_ours: Any = None  # our hook
_before: Any = None  # the one that it stands in front of


def install() -> None:
    """Stand in front of the interpreter's hook for errors that nobody caught."""
    global _ours, _before
    before = sys.excepthook
    if before is _ours:
        return

    def show(kind: type[BaseException], error: BaseException, tb: TracebackType | None) -> None:
        before(kind, error, tb)
        hint = hint_of(error)
        if hint:
            print(hint, file=sys.stderr)

    _before = before
    sys.excepthook = _ours = show


def remove() -> None:
    """Put the former hook back, unless somebody else has stood in front since."""
    if _ours is not None and sys.excepthook is _ours:
        sys.excepthook = _before
