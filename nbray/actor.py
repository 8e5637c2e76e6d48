"""Actors, under the name where Ray has them."""

from __future__ import annotations

from nbray.api.actor import ActorClass, ActorHandle, ActorMethod, exit_actor, method
from nbray.exceptions import ActorClassInheritanceException

__all__ = ["ActorClass", "ActorClassInheritanceException", "ActorHandle", "ActorMethod", "exit_actor", "method"]
