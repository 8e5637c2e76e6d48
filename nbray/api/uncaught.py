"""Say what to do when a driver ends because it wrote to an array of the object store.

NumPy's own words ("assignment destination is read-only") do not tell why. They cannot be changed where the error is
raised; a note is added where it is shown. In a notebook the cell's hint does that (``notebook/read_only.py``).
"""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any

from nbray.serialization.error_value import READ_ONLY_HINT

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
        if issubclass(kind, ValueError) and "read-only" in str(error) and READ_ONLY_HINT not in str(error):
            print(READ_ONLY_HINT, file=sys.stderr)

    _before = before
    sys.excepthook = _ours = show


def remove() -> None:
    """Put the former hook back, unless somebody else has stood in front since."""
    if _ours is not None and sys.excepthook is _ours:
        sys.excepthook = _before
