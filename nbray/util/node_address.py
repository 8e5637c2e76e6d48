"""``get_node_ip_address``."""

from __future__ import annotations

from typing import Any

from nbray.api.runtime import is_initialized
from nbray.api.runtime_context import get_runtime_context
from nbray.api.state import nodes

LOOPBACK = "127.0.0.1"  # a node of one machine listens nowhere else


def get_node_ip_address(address: Any = None) -> str:
    """Return the address of the node on which this runs, as ``nodes()`` tells it.

    Parameters
    ----------
    address : str, optional
        Taken for Ray's sake; has no effect.
    """
    if not is_initialized():
        return LOOPBACK
    here = get_runtime_context().get_node_id()
    return next((n["NodeManagerAddress"] for n in nodes() if n["NodeID"] == here), LOOPBACK)
