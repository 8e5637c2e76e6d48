"""``set_trace``: a debugger in tasks and actors, which waits for a person at ``nbray debug``."""

from __future__ import annotations

import pdb
import sys
from typing import Any

from nbray.core import current

__all__ = ["set_trace"]


def set_trace(breakpoint_uuid: Any = None) -> None:
    """Stop here and wait for a person: in a task for one who says ``nbray debug``, in a driver for one at its terminal.

    Parameters
    ----------
    breakpoint_uuid
        As in Ray; without effect.
    """
    frame = sys._getframe(1)
    if getattr(current.core, "executor", None) is None:
        pdb.Pdb().set_trace(frame)
        return
    from nbray.worker import debugger  # noqa: PLC0415 - loaded when needed

    debugger.stop_at(frame)
