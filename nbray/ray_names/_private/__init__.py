"""What packages take from Ray's inner modules."""

from __future__ import annotations

import importlib
from typing import Any


def __getattr__(name: str) -> Any:
    """Load ``services``, which Ray loads with itself, when it is asked for."""
    if name == "services":
        return importlib.import_module("nbray.ray_names._private.services")
    raise AttributeError(f"module 'nbray.ray_names._private' has no attribute {name!r}")
