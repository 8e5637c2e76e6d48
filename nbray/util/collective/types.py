"""The types of ``ray.util.collective.types``."""

from __future__ import annotations

from nbray.collective import Backend, ReduceOp

__all__ = ["Backend", "ReduceOp"]
