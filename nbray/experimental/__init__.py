"""Mirrors ``ray.experimental``: what there is of it."""

from __future__ import annotations

import importlib
from typing import Any

_LOCATIONS = ("get_local_object_locations", "get_object_locations")


def __getattr__(name: str) -> Any:
    """Load the modules that Ray loads with itself when they are asked for."""
    if name in _LOCATIONS:
        return getattr(importlib.import_module("nbray.experimental.locations"), name)
    if name in ("internal_kv", "tqdm_ray"):
        return importlib.import_module(f"nbray.experimental.{name}")
    raise AttributeError(f"module 'nbray.experimental' has no attribute {name!r}")
