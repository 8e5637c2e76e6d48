"""Helpers that mirror ``ray.util``; what is heavy or rare is loaded when it is asked for."""

from __future__ import annotations

import importlib
from typing import Any

from nbray.serialization.serializer import deregister_serializer, register_serializer

# Name here -> module that has it. Modules of this package stand for themselves.
_LATE = {
    "ActorPool": "nbray.util.actor_pool",
    "disable_log_once_globally": "nbray.util.debug",
    "enable_periodic_logging": "nbray.util.debug",
    "get_node_ip_address": "nbray.util.node_address",
    "inspect_serializability": "nbray.util.check_serialize",
    "list_named_actors": "nbray.util.named_actors",
    "log_once": "nbray.util.debug",
}

__all__ = [
    "ActorPool",
    "deregister_serializer",
    "disable_log_once_globally",
    "enable_periodic_logging",
    "get_node_ip_address",
    "inspect_serializability",
    "list_named_actors",
    "log_once",
    "register_serializer",
]


def __getattr__(name: str) -> Any:
    if name in _LATE:
        value = getattr(importlib.import_module(_LATE[name]), name)
    else:
        try:
            value = importlib.import_module(f"nbray.util.{name}")
        except ModuleNotFoundError as error:
            if error.name != f"nbray.util.{name}":
                raise
            raise AttributeError(f"module 'nbray.util' has no attribute {name!r}") from None
    globals()[name] = value
    return value
