"""Actors, under the name where Ray has them."""

from __future__ import annotations

from nbray.api.actor_class import ActorClass
from nbray.api.actor_handle import ActorHandle, exit_actor
from nbray.api.actor_method import ActorMethod, method
from nbray.exceptions import ActorClassInheritanceException

#: What annotations call a handle: ``counter: ActorProxy[Counter]``.
ActorProxy = ActorHandle

__all__ = [
    "ActorClass",
    "ActorClassInheritanceException",
    "ActorHandle",
    "ActorMethod",
    "ActorProxy",
    "exit_actor",
    "method",
]
