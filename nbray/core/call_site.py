"""Where in the user's program a call of ours comes from."""

from __future__ import annotations

import os
import sys
import warnings
from types import FrameType
from typing import Any

_OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_IPYTHON = f"{os.sep}IPython{os.sep}"
_cells: dict[str, int] = {}  # in a worker: what the code of cells is compiled as, and their numbers


def label() -> bytes:
    """Return the line of user code that called, as ``file.py:12``, or ``In[3]:2`` in a notebook."""
    frame = sys._getframe(1)
    while frame.f_code.co_filename.startswith(_OURS):
        if frame.f_back is None:
            return b""
        frame = frame.f_back
    path = frame.f_code.co_filename
    above: FrameType | None = frame
    while above is not None and _IPYTHON in above.f_code.co_filename:  # a magic of ours: the cell is above IPython
        above = above.f_back
        if above is not None and cell_number(above.f_code.co_filename) is not None:
            frame, path = above, above.f_code.co_filename
    return f"{cell_of(path) or os.path.basename(path)[-30:]}:{frame.f_lineno}".encode("utf-8", "replace")


def cell_of(path: str) -> str:
    """Return ``In[3]`` when ``path`` is what IPython calls the code of a cell."""
    number = cell_number(path)
    return f"In[{number}]" if number is not None else ""


def cell_number(path: str) -> int | None:
    """Return the number of the cell whose code is compiled as ``path``; None: it is none that is known."""
    if path in _cells:
        return _cells[path]
    ipython = sys.modules.get("IPython")
    if ipython is None:
        return None
    number: int | None = getattr(getattr(ipython.get_ipython(), "compile", None), "_filename_map", {}).get(path)
    return number


def know_cells(numbers: dict[str, int]) -> None:
    """Learn the numbers of a notebook's cells, in a worker that has its functions."""
    _cells.update(numbers)


def named(path: str, line: int) -> str:
    """Return ``cell 3, line 2`` for code of a notebook, ``line 2 of file.py`` for other code."""
    cell = cell_number(path)
    return f"cell {cell}, line {line}" if cell is not None else f"line {line} of {path}"


def warn(text: str, category: type[Warning] = RuntimeWarning) -> None:
    """Warn, as from the line of the user's code that called."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_OURS):
        frame = frame.f_back
    registry = frame.f_globals.setdefault("__warningregistry__", {})
    warn_at(
        frame.f_code.co_filename,
        frame.f_lineno,
        text,
        category,
        frame.f_globals.get("__name__") or "__main__",
        registry,
    )


def warn_at(
    path: str,
    line: int,
    text: str,
    category: type[Warning],
    module: str = "__main__",
    registry: dict[Any, Any] | None = None,
) -> None:
    """Warn, as from a line of the user's code; a cell is called by its number and not by the file that it never was.

    Parameters
    ----------
    module, registry
        As for ``warnings.warn_explicit``: what filters compare, and what remembers that it was said.
    """
    cell = cell_number(path)
    warnings.warn_explicit(text, category, path if cell is None else f"cell {cell}", line, module, registry)
