"""The runtime context, under Ray's name of its module."""

from __future__ import annotations

from nbray.api.runtime_context import RuntimeContext, get_runtime_context

__all__ = ["RuntimeContext", "get_runtime_context"]
