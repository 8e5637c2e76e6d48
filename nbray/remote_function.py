"""Remote functions, under the name where Ray has them."""

from __future__ import annotations

from nbray.api.remote_function import RemoteFunction

__all__ = ["RemoteFunction"]
