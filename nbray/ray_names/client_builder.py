"""``ray.client``: an older way to say ``init``. nbray's drivers join a cluster directly, there is no server between."""

from __future__ import annotations

import warnings
from typing import Any

from nbray.api import runtime
from nbray.api.context import RayContext


class ClientBuilder:
    """Gathers arguments of ``init``.

    Parameters
    ----------
    address : str, optional
        As for ``init``.
    """

    def __init__(self, address: str | None) -> None:
        self.address = address
        self._arguments: dict[str, Any] = {}

    def env(self, env: dict[str, Any]) -> ClientBuilder:
        """Set the runtime environment."""
        self._arguments["runtime_env"] = env
        return self

    def namespace(self, namespace: str) -> ClientBuilder:
        """Set the namespace."""
        self._arguments["namespace"] = namespace
        return self

    def connect(self) -> RayContext:
        """Start or join the cluster."""
        warnings.warn("client(...).connect() is deprecated; use init(...).", DeprecationWarning, stacklevel=2)
        return runtime.init(self.address, **self._arguments)


def client(address: str | None = None) -> ClientBuilder:
    """Return what gathers the arguments of ``init``."""
    return ClientBuilder(address)
