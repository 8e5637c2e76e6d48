"""The runtime of this process, if there is one."""

from __future__ import annotations

import os
from typing import Any

from nbray.exceptions import ForeignObjectError

core: Any = None  # CoreWorker


class Scope:
    """What a remote function or actor class resolves its options against, besides what they say.

    Compared by identity: what was resolved in one scope is used again as long as it is the present one.
    """

    __slots__ = ("core", "group")

    def __init__(self, core: Any, group: str = "") -> None:
        self.core = core
        self.group = group  # placement group that captures what is submitted here; empty: none


scope: Scope | None = None
_scopes: dict[str, Scope] = {}  # of the present runtime, by group
_MAX_SCOPES = 1000

_abandoned: list[Any] = []  # runtimes of the parent, kept in a forked child so that nothing finalizes them


def set_core(value: Any) -> None:
    """Make ``value`` the runtime of this process (None: there is none any more)."""
    global core, scope
    core = value
    _scopes.clear()
    scope = None if value is None else Scope(value)
    if scope is not None:
        _scopes[""] = scope


def capture(group: str) -> None:
    """From now on what this worker's task submits runs in ``group``, unless told otherwise; empty: in none."""
    global scope
    if scope is None or scope.group == group:
        return
    found = _scopes.get(group)
    if found is None:
        if len(_scopes) >= _MAX_SCOPES:
            _scopes.clear()
        found = _scopes[group] = Scope(core, group)
    scope = found


def foreign(ref: Any) -> ForeignObjectError:
    """Return the error of a ref that belongs to no cluster or to another one than this process's.

    Raises
    ------
    ForkedProcessError
        Instead, when this process is a fork of the one that has the cluster.
    """
    if isinstance(core, ForkedCore):
        core._parent.check_usable()
    if ref.is_nil():
        return ForeignObjectError(ref.hex(), message="ObjectRef.nil() names no value.")
    its = f"{ref._cluster.cluster_id:08x}"
    where = (
        f"a cluster that has ended ({its}"
        if core is None
        else f"another cluster ({its}; this one is {core.cluster_id:08x}"
    )
    text = f"ObjectRef({ref.hex()}) belongs to {where}). Refs die with their cluster: make the value again."
    return ForeignObjectError(ref.hex(), message=text)


class ForkedCore:
    """Stands for the parent's runtime in a forked child: every use is refused."""

    def __init__(self, parent: Any) -> None:
        self._parent = parent

    def __getattr__(self, name: str) -> Any:
        self._parent.check_usable()
        return getattr(self._parent, name)


def _in_child() -> None:
    """Runs in a forked child: the parent's threads, sockets and slot are not its own."""
    global core, scope
    if core is not None and not isinstance(core, ForkedCore):
        _abandoned.append(core)
        core.session.attached = False  # holds belong to the parent: nothing is given back here
        core = ForkedCore(core)
        scope = Scope(core)


os.register_at_fork(after_in_child=_in_child)
