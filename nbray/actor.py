"""Actors, under the name where Ray has them."""

from __future__ import annotations

from nbray.api.actor import ActorClass, ActorHandle, ActorMethod, exit_actor

__all__ = ["ActorClass", "ActorHandle", "ActorMethod", "exit_actor"]
