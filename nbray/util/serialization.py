"""Custom serializers, under Ray's name of their module."""

from __future__ import annotations

from nbray.serialization.serializer import deregister_serializer, register_serializer

__all__ = ["deregister_serializer", "register_serializer"]
