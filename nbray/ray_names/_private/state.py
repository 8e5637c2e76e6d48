"""The cluster's state, under the name of Ray's inner module."""

from __future__ import annotations

from nbray.api.state import available_resources, cluster_resources, nodes, timeline

__all__ = ["available_resources", "cluster_resources", "nodes", "timeline"]
