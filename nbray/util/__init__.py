"""Helpers that mirror ``ray.util``; what is heavy or rare is loaded when it is asked for."""

from __future__ import annotations

import importlib
from typing import Any

from nbray import ray_alias
from nbray.serialization.serializer import deregister_serializer, register_serializer

# Not late: it is a function here and a module of the same name.
from nbray.util.placement_group import (
    get_current_placement_group,
    get_placement_group,
    placement_group,
    placement_group_table,
    remove_placement_group,
)

# Name here -> module that has it. Modules of this package stand for themselves.
_LATE = {
    "ActorPool": "nbray.util.actor_pool",
    "as_completed": "nbray.util.helpers",
    "disable_log_once_globally": "nbray.util.debug",
    "enable_periodic_logging": "nbray.util.debug",
    "get_node_ip_address": "nbray.util.node_address",
    "inspect_serializability": "nbray.util.check_serialize",
    "list_named_actors": "nbray.util.named_actors",
    "log_once": "nbray.util.debug",
    "map_unordered": "nbray.util.helpers",
}

_OTHERWISE = {"pdb": "rpdb"}  # a name here for a module of another

__all__ = [
    "ActorPool",
    "as_completed",
    "deregister_serializer",
    "disable_log_once_globally",
    "enable_periodic_logging",
    "get_current_placement_group",
    "get_node_ip_address",
    "get_placement_group",
    "inspect_serializability",
    "list_named_actors",
    "log_once",
    "map_unordered",
    "placement_group",
    "placement_group_table",
    "register_serializer",
    "remove_placement_group",
]


def __getattr__(name: str) -> Any:
    if name in _LATE:
        value = getattr(importlib.import_module(_LATE[name]), name)
    else:
        if (missing := ray_alias.left_out(f"util.{name}")) is not None:
            raise AttributeError(str(missing))
        try:
            value = importlib.import_module(f"nbray.util.{_OTHERWISE.get(name, name)}")
        except ModuleNotFoundError as error:
            if error.name != f"nbray.util.{name}":
                raise
            raise AttributeError(f"module 'nbray.util' has no attribute {name!r}") from None
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
