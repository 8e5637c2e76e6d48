"""Small helpers that packages take from Ray's inner modules, also those that earlier versions of Ray had here."""

from __future__ import annotations

import getpass
import os
import re
import signal
import threading
from collections.abc import Callable
from typing import Any

import psutil

from nbray._cstore import ffi, lib
from nbray.ids import TaskID
from nbray.node import machine
from nbray.object_ref import ObjectRef
from nbray.ray_alias import RAY_VERSION
from nbray.ray_names._common.utils import (
    binary_to_hex,
    decode,
    env_bool,
    env_float,
    env_integer,
    get_or_create_event_loop,
    get_system_memory,
    hex_to_binary,
    import_attr,
    load_class,
    run_background_task,
    try_to_create_directory,
)
from nbray.ray_names._common.utils import get_default_ray_temp_dir as get_ray_temp_dir

_STATES = ("DEPENDENCIES_UNREADY", "PENDING_CREATION", "ALIVE", "RESTARTING", "DEAD")
_OF_A_GROUP = re.compile(r"^(.+)_group_(\d+_)?[0-9a-f]+$")


def get_num_cpus(override_docker_cpu_warning: bool = False, truncate: bool = True) -> int:
    """Return how many processors this process may use."""
    return machine.count_cpus()


def estimate_available_memory() -> int:
    """Return how many bytes of memory are free for use."""
    available = ffi.new("uint64_t *")
    lib.nbs_memory_limit(available)
    return int(available[0])


def get_used_memory() -> int:
    """Return how many bytes of memory are in use."""
    return get_system_memory() - estimate_available_memory()


def get_shared_memory_bytes() -> int:
    """Return the size of /dev/shm."""
    return int(psutil.disk_usage("/dev/shm").total)


def get_directory_size_bytes(path: str = ".") -> int:
    """Return how many bytes the files below a folder have."""
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            file = os.path.join(folder, name)
            if not os.path.islink(file):
                total += os.path.getsize(file)
    return total


def get_user() -> str:
    """Return this user's name."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""


def get_ray_doc_version() -> str:
    """Return the version of Ray's documentation that applies."""
    return f"releases-{RAY_VERSION}"


def is_main_thread() -> bool:
    """Tell whether this is the process's main thread."""
    return threading.current_thread() is threading.main_thread()


def ensure_str(s: str | bytes, encoding: str = "utf-8", errors: str = "strict") -> str:
    """Return text as it is, and bytes as text."""
    return s if isinstance(s, str) else s.decode(encoding, errors)


def split_address(address: str) -> tuple[str, str]:
    """Return the scheme of an address, and what comes behind it.

    Raises
    ------
    ValueError
        Where it has none.
    """
    scheme, sign, inner = address.partition("://")
    if not sign:
        raise ValueError("Address must contain '://'")
    return scheme, inner


def validate_namespace(namespace: Any) -> None:
    """Raise where something cannot be the name of a namespace.

    Raises
    ------
    TypeError
    ValueError
    """
    if namespace is not None and not isinstance(namespace, str):
        raise TypeError("namespace must be None or a string.")
    if namespace == "":
        raise ValueError('"" is not a valid namespace. Pass None to not specify a namespace.')


def validate_actor_state_name(actor_state_name: str | None) -> None:
    """Raise ValueError where something is no state of an actor."""
    if actor_state_name is not None and actor_state_name not in _STATES:
        known = ", ".join(f'"{state}"' for state in _STATES[:-1])
        raise ValueError(
            f'"{actor_state_name}" is not a valid actor state name, it must be one of the following: {known}, or "{_STATES[-1]}"'
        )


def format_error_message(exception_message: str, task_exception: bool = False) -> str:
    """Return the text of a traceback; with ``task_exception`` without the lines of what called the task."""
    lines = exception_message.split("\n")
    return "\n".join(lines[:1] + lines[3:] if task_exception else lines)


def parse_pg_formatted_resources_to_original(pg_formatted_resources: dict[str, float]) -> dict[str, float]:
    """Return resources of bundles of placement groups under the names that they have outside."""
    found: dict[str, float] = {}
    for name, amount in pg_formatted_resources.items():
        inside = _OF_A_GROUP.match(name)
        if inside is None:
            found[name] = amount
        elif inside[1] != "bundle":
            found[inside[1]] = amount
    return found


def set_sigterm_handler(sigterm_handler: Callable[..., Any]) -> None:
    """Have a function called at SIGTERM."""
    signal.signal(signal.SIGTERM, sigterm_handler)


def binary_to_object_ref(binary_object_ref: bytes) -> ObjectRef:
    """Return the ref of an object by its id."""
    return ObjectRef.from_binary(binary_object_ref)


def binary_to_task_id(binary_task_id: bytes) -> TaskID:
    """Return the id of a task."""
    return TaskID(binary_task_id)


__all__ = [
    "binary_to_hex",
    "binary_to_object_ref",
    "binary_to_task_id",
    "decode",
    "ensure_str",
    "env_bool",
    "env_float",
    "env_integer",
    "estimate_available_memory",
    "format_error_message",
    "get_directory_size_bytes",
    "get_num_cpus",
    "get_or_create_event_loop",
    "get_ray_doc_version",
    "get_ray_temp_dir",
    "get_shared_memory_bytes",
    "get_system_memory",
    "get_used_memory",
    "get_user",
    "hex_to_binary",
    "import_attr",
    "is_main_thread",
    "load_class",
    "parse_pg_formatted_resources_to_original",
    "run_background_task",
    "set_sigterm_handler",
    "split_address",
    "try_to_create_directory",
    "validate_actor_state_name",
    "validate_namespace",
]
