"""Where programs written for earlier versions of Ray find ``free``."""

from __future__ import annotations

from nbray.ray_names.internal import free

__all__ = ["free"]
