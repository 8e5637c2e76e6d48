"""Small helpers that packages take from Ray's common inner modules."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import os
import random
import string
import tempfile
from collections.abc import Callable, Coroutine
from typing import Any

from nbray._cstore import ffi, lib
from nbray.node import session_dir

_background: set[Any] = set()  # tasks of event loops are kept alive by nobody else


def binary_to_hex(identifier: bytes) -> str:
    """Return an id as hex digits."""
    return identifier.hex()


def hex_to_binary(hex_identifier: str) -> bytes:
    """Return an id of hex digits as bytes."""
    return bytes.fromhex(hex_identifier)


def decode(byte_str: bytes | None, allow_none: bool = False, encode_type: str = "utf-8") -> str:
    """Return bytes as text; None as the empty text, where that is allowed.

    Raises
    ------
    ValueError
        For anything else.
    """
    if byte_str is None and allow_none:
        return ""
    if not isinstance(byte_str, bytes):
        raise ValueError(f"The argument {byte_str} must be a bytes object.")
    return byte_str.decode(encode_type)


def env_bool(key: str, default: bool) -> bool:
    """Return an environment variable as a truth value: ``1`` and ``true`` are true."""
    given = os.environ.get(key)
    return default if given is None else given.lower() in ("1", "true")


def env_integer(key: str, default: int) -> int:
    """Return an environment variable as a whole number; the default where it is none."""
    return int(_number(key, default, int))


def env_float(key: str, default: float) -> float:
    """Return an environment variable as a number; the default where it is none."""
    return float(_number(key, default, float))


def _number(key: str, default: Any, kind: Callable[[str], Any]) -> Any:
    try:
        return kind(os.environ[key])
    except (KeyError, ValueError):
        return default


def get_system_memory(*files: str) -> int:
    """Return how many bytes of memory this machine has, or its container may have; ``files`` are without effect."""
    return int(lib.nbs_memory_limit(ffi.new("uint64_t *")))


def get_or_create_event_loop() -> asyncio.AbstractEventLoop:
    """Return the running event loop; else this thread's, made where it has none."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        pass
    policy = asyncio.get_event_loop_policy()
    try:
        return policy.get_event_loop()
    except RuntimeError:
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        return loop


def run_background_task(coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    """Begin a coroutine in the running event loop and keep its task until it is over."""
    task = get_or_create_event_loop().create_task(coroutine)
    _background.add(task)
    task.add_done_callback(_background.discard)
    return task


def import_attr(full_path: str, *, reload_module: bool = False) -> Any:
    """Return what ``module.attribute`` or ``module:attribute`` names.

    Raises
    ------
    ValueError
        Where it has neither form.
    """
    return import_module_and_attr(full_path, reload_module=reload_module)[1]


def import_module_and_attr(full_path: str, *, reload_module: bool = False) -> tuple[Any, Any]:
    """Return the module too."""
    if not isinstance(full_path, str):
        raise TypeError(f"The path of what is to be imported is a str, not {type(full_path).__name__}.")
    name, sign, attribute = full_path.partition(":")
    if not sign:
        name, sign, attribute = full_path.rpartition(".")
    if not (name and attribute) or ":" in attribute:
        raise ValueError(f"Got an invalid import path {full_path!r}: give module.attribute or module:attribute.")
    module = importlib.import_module(name)
    if reload_module:
        module = importlib.reload(module)
    found: Any = module
    for part in attribute.split("."):
        found = getattr(found, part)
    return module, found


def load_class(path: str) -> Any:
    """Return what ``module.attribute`` names.

    Raises
    ------
    ValueError
        Where it has no dot.
    """
    if "." not in path:
        raise ValueError("You need to pass a valid path like mymodule.provider_class")
    return import_attr(path)


def get_function_args(callable: Callable[..., Any]) -> list[str]:
    """Return the names of a function's parameters."""
    return list(inspect.signature(callable).parameters)


def get_random_alphanumeric_string(length: int) -> str:
    """Return letters and digits at random."""
    return "".join(random.choices(string.ascii_letters + string.digits, k=length))


def try_to_create_directory(directory_path: str) -> None:
    """Make a folder, with those above it, unless it is there."""
    os.makedirs(os.path.expanduser(directory_path), exist_ok=True)


def get_default_system_temp_dir() -> str:
    """Return the folder of the system for temporary files."""
    return tempfile.gettempdir()


def get_default_ray_temp_dir() -> str:
    """Return the folder in which this user's sessions lie."""
    return session_dir.user_dir(session_dir.base_dir())
