"""Facts about this node that packages ask Ray's inner modules for."""

from __future__ import annotations

from nbray.util.node_address import get_node_ip_address

__all__ = ["get_node_ip_address"]
