"""The runtime of this process, if there is one."""

from __future__ import annotations

from typing import Any

core: Any = None  # CoreWorker


def set_core(value: Any) -> None:
    """Make ``value`` the runtime of this process (None: there is none any more)."""
    global core
    core = value
