"""What packages take from Ray's inner modules."""

from __future__ import annotations

import importlib
from typing import Any

_MODULES = frozenset({"client_mode_hook", "internal_api", "ray_constants", "services", "state", "utils", "worker"})


def __getattr__(name: str) -> Any:
    """Load a module, which Ray loads with itself, when it is asked for."""
    if name in _MODULES:
        return importlib.import_module(f"nbray.ray_names._private.{name}")
    raise AttributeError(f"module 'nbray.ray_names._private' has no attribute {name!r}")
