"""What packages ask Ray's inner objects: ``global_worker.node`` and the client of the control store."""

from __future__ import annotations

import os
from typing import Any

from nbray import ids
from nbray.api import runtime
from nbray.api.state import nodes
from nbray.experimental import internal_kv


class Node:
    """Facts about the node on which this process runs."""

    head = True

    @property
    def session_name(self) -> str:
        """Name of the cluster's session."""
        return os.path.basename(self.get_session_dir_path())

    @property
    def address(self) -> str:
        """What ``init`` takes to join this cluster."""
        return self.get_session_dir_path()

    gcs_address = address

    @property
    def node_id(self) -> str:
        """Id of the node, as hex digits."""
        return str(runtime.require_core().node_id)

    unique_id = node_id

    @property
    def node_ip_address(self) -> str:
        """Address of the node, as ``nodes()`` tells it."""
        return next(str(row["NodeManagerAddress"]) for row in nodes() if row["NodeID"] == self.node_id)

    @property
    def webui_url(self) -> str:
        """Empty: nbray's panel is in JupyterLab."""
        return ""

    @property
    def address_info(self) -> dict[str, Any]:
        """The same facts by name."""
        names = ("address", "gcs_address", "node_id", "node_ip_address", "webui_url")
        return {"session_dir": self.get_session_dir_path(), **{name: getattr(self, name) for name in names}}

    def is_head(self) -> bool:
        """Tell whether it is the cluster's first node; there is one."""
        return self.head

    def get_session_dir_path(self) -> str:
        """Return the folder of the cluster's session."""
        return str(runtime.require_core().session_dir).rstrip("/")

    def get_logs_dir_path(self) -> str:
        """Return the folder of its logs."""
        return os.path.join(self.get_session_dir_path(), "logs")

    def get_temp_dir_path(self) -> str:
        """Return the folder that sessions lie in."""
        return os.path.dirname(self.get_session_dir_path())


class GcsClient:
    """The table of keys and values by methods (see ``experimental.internal_kv``), as Ray's client of its control store.

    Parameters
    ----------
    address : str, optional
        Of this process's cluster.
    cluster_id
        Without effect.

    Raises
    ------
    ConnectionError
        When ``address`` is that of another cluster: a process asks the one that it has joined.
    """

    def __init__(self, address: str | None = None, cluster_id: Any = None) -> None:
        self._address = str(runtime.require_core().session_dir).rstrip("/")
        if address is not None and address.rstrip("/") != self._address:
            raise ConnectionError(
                f"GcsClient({address!r}): this process has joined {self._address}, and asks no other."
            )

    @property
    def address(self) -> str:
        """What ``init`` takes to join the cluster."""
        return self._address

    @staticmethod
    def internal_kv_get(key: bytes, namespace: bytes | None = None, timeout: float | None = None) -> bytes | None:
        """Return the value of a key; None when there is none. (``timeout``, here and below, has no effect.)"""
        return internal_kv._internal_kv_get(key, namespace=namespace)

    @staticmethod
    def internal_kv_multi_get(
        keys: list[bytes], namespace: bytes | None = None, timeout: float | None = None
    ) -> dict[bytes, bytes]:
        """Return the values of those keys that have one."""
        values = {key: internal_kv._internal_kv_get(key, namespace=namespace) for key in keys}
        return {key: value for key, value in values.items() if value is not None}

    @staticmethod
    def internal_kv_put(
        key: bytes, value: bytes, overwrite: bool = False, namespace: bytes | None = None, timeout: float | None = None
    ) -> int:
        """Set the value of a key, unless it has one and ``overwrite`` is False; returns 1 when it had none."""
        return int(not internal_kv._internal_kv_put(key, value, overwrite, namespace=namespace))

    @staticmethod
    def internal_kv_del(
        key: bytes, del_by_prefix: bool = False, namespace: bytes | None = None, timeout: float | None = None
    ) -> int:
        """Remove a key, or all that begin with it; returns how many there were."""
        return internal_kv._internal_kv_del(key, del_by_prefix=del_by_prefix, namespace=namespace)

    @staticmethod
    def internal_kv_exists(key: bytes, namespace: bytes | None = None, timeout: float | None = None) -> bool:
        """Return whether a key has a value."""
        return internal_kv._internal_kv_exists(key, namespace=namespace)

    @staticmethod
    def internal_kv_keys(prefix: bytes, namespace: bytes | None = None, timeout: float | None = None) -> list[bytes]:
        """Return the keys that begin with ``prefix``."""
        return internal_kv._internal_kv_list(prefix, namespace=namespace)

    @staticmethod
    def check_alive(node_ids: list[ids.NodeID], timeout: float | None = None) -> list[bool]:
        """Tell of each node whether it is alive."""
        alive = {row["NodeID"] for row in nodes() if row["Alive"]}
        return [node_id.hex() in alive for node_id in node_ids]
