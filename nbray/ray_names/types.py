"""``ray.types.ObjectRef``, for annotations."""

from __future__ import annotations

from nbray.object_ref import ObjectRef

__all__ = ["ObjectRef"]
