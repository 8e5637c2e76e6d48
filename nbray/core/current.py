"""The runtime of this process, if there is one."""

from __future__ import annotations

import os
from typing import Any

core: Any = None  # CoreWorker

_abandoned: list[Any] = []  # runtimes of the parent, kept in a forked child so that nothing finalizes them


def set_core(value: Any) -> None:
    """Make ``value`` the runtime of this process (None: there is none any more)."""
    global core
    core = value


class ForkedCore:
    """Stands for the parent's runtime in a forked child: every use is refused."""

    def __init__(self, parent: Any) -> None:
        self._parent = parent

    def __getattr__(self, name: str) -> Any:
        self._parent.check_usable()
        return getattr(self._parent, name)


def _in_child() -> None:
    """Runs in a forked child: the parent's threads, sockets and slot are not its own."""
    global core
    if core is not None and not isinstance(core, ForkedCore):
        _abandoned.append(core)
        core.session.attached = False  # holds belong to the parent: nothing is given back here
        core = ForkedCore(core)


os.register_at_fork(after_in_child=_in_child)
