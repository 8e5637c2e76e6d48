"""What Ray moved here of its constants."""

from __future__ import annotations

from nbray.ray_names._private.ray_constants import DEFAULT_MAX_CONCURRENCY_ASYNC

__all__ = ["DEFAULT_MAX_CONCURRENCY_ASYNC"]
