"""Where in the user's program a call of ours comes from."""

from __future__ import annotations

import os
import sys
import warnings

_OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


def label() -> bytes:
    """Return the line of user code that called, as ``file.py:12``, or ``In[3]:2`` in a notebook."""
    frame = sys._getframe(1)
    while frame.f_code.co_filename.startswith(_OURS):
        if frame.f_back is None:
            return b""
        frame = frame.f_back
    path = frame.f_code.co_filename
    return f"{cell_of(path) or os.path.basename(path)[-30:]}:{frame.f_lineno}".encode("utf-8", "replace")


def cell_of(path: str) -> str:
    """Return ``In[3]`` when ``path`` is what IPython calls the code of a cell."""
    ipython = sys.modules.get("IPython")
    if ipython is None:
        return ""
    shell = ipython.get_ipython()
    number = getattr(getattr(shell, "compile", None), "_filename_map", {}).get(path)
    return f"In[{number}]" if number is not None else ""


def warn(text: str, category: type[Warning] = RuntimeWarning) -> None:
    """Warn, as from the line of the user's code that called."""
    level, frame = 1, sys._getframe(0)
    while frame is not None and frame.f_code.co_filename.startswith(_OURS):
        frame = frame.f_back  # type: ignore[assignment]
        level += 1
    warnings.warn(text, category, stacklevel=level)
