"""Helpers that mirror ``ray.util``."""

from __future__ import annotations

from nbray.serialization.serializer import deregister_serializer, register_serializer

__all__ = ["deregister_serializer", "register_serializer"]
