"""The runtime as the notebook uses it, in one place."""

from __future__ import annotations

from typing import Any

from nbray.api.actor import ActorHandle
from nbray.api.objects import cancel, get, wait
from nbray.api.remote_function import RemoteFunction
from nbray.core.output import emit, set_origin, set_sink
from nbray.object_ref import ObjectRef

#: Classes that only the runtime may pickle, because it counts who holds them.
CARRIED_TYPES: tuple[type, ...] = (ObjectRef, ActorHandle)


def when_done(ref: ObjectRef, callback: Any) -> None:
    """Call ``callback(value or exception)`` when ``ref`` is known, from some thread."""
    ref._on_completed(callback)


__all__ = [
    "CARRIED_TYPES",
    "ObjectRef",
    "RemoteFunction",
    "cancel",
    "emit",
    "get",
    "set_origin",
    "set_sink",
    "wait",
    "when_done",
]
