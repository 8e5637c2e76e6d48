"""The runtime as the notebook uses it, in one place."""

from __future__ import annotations

from typing import Any

from nbray.api.actor_class import ActorClass
from nbray.api.actor_handle import ActorHandle, find_actor, rebuild_handle
from nbray.api.objects import cancel, get, kill, put, wait
from nbray.api.remote_function import RemoteFunction
from nbray.core import current
from nbray.core.interrupts import uninterrupted
from nbray.core.output import emit, set_origin, set_sink
from nbray.object_ref import ObjectRef

#: Classes that only the runtime may pickle, because it counts who holds them.
CARRIED_TYPES: tuple[type, ...] = (ObjectRef, ActorHandle)
KILL_TAKES_S = 10.0


def when_done(ref: ObjectRef, callback: Any) -> None:
    """Call ``callback(value or exception)`` when ``ref`` is known, from some thread."""
    ref._on_completed(callback)


def next_number() -> int:
    """Return a number below those of all tasks and calls that this process submits from now on; see ``submitted_since``."""
    core = current.core
    return next(core.numbers) if core is not None else 0


def submitted_since(number: int, name: str) -> list[ObjectRef]:
    """Return refs of the tasks and calls of that name that were submitted since ``next_number`` and are not done."""
    core = current.core
    return core.submitted_since(number, name) if core is not None else []


def runs_for(origin: str) -> bool:
    """Tell whether a task or call of this process that was submitted for ``origin`` is not done."""
    core = current.core
    return core is not None and core.runs_for(origin)


def actor_state(handle: ActorHandle) -> str:
    """Return the state of an actor as this process knows it: ALIVE, DEAD ...; after its kill() that which it led to."""
    calls = handle._ray_calls
    if calls.core is not current.core:
        return "DEAD"
    if calls.paused:
        calls.core.wait_until(lambda: not calls.paused or calls.state == "DEAD", KILL_TAKES_S)
    return str(calls.state)


def actor_death(handle: ActorHandle) -> str:
    """Return why a dead actor died; "" when that is not known."""
    notice = handle._ray_calls.notice
    return str(notice.cause) if notice is not None else ""


__all__ = [
    "CARRIED_TYPES",
    "ActorClass",
    "ActorHandle",
    "ObjectRef",
    "RemoteFunction",
    "actor_death",
    "actor_state",
    "cancel",
    "emit",
    "get",
    "find_actor",
    "kill",
    "next_number",
    "put",
    "rebuild_handle",
    "runs_for",
    "set_origin",
    "set_sink",
    "submitted_since",
    "uninterrupted",
    "wait",
    "when_done",
]
