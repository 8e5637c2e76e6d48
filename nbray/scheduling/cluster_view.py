"""What is known of every node: totals, free resources, how many requests wait.

Pure. The daemon's own row is exact; rows of other nodes are as old as their last report.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from nbray.resources import ResourceSet


class NodeView:
    """One node as last reported."""

    __slots__ = ("alive", "free", "labels", "node_id", "totals", "waiting")

    def __init__(
        self, node_id: str, totals: Mapping[str, int], free: Mapping[str, int], waiting: int,
        labels: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        self.node_id = node_id
        self.totals: ResourceSet = dict(totals)
        self.free: ResourceSet = dict(free)
        self.waiting = waiting  # lease requests in its queue
        self.labels: dict[str, str] = dict(labels or {})
        self.alive = True


class ClusterView:
    """All nodes, in order of their id, so that decisions do not depend on arrival."""

    def __init__(self) -> None:
        self._nodes: dict[str, NodeView] = {}

    def update(
        self, node_id: str, totals: Mapping[str, int], free: Mapping[str, int], waiting: int = 0,
        labels: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        """Note a report of a node; ``labels`` None: as they were."""
        if labels is None and node_id in self._nodes:
            labels = self._nodes[node_id].labels
        self._nodes[node_id] = NodeView(node_id, totals, free, waiting, labels)

    def remove(self, node_id: str) -> None:
        """Note that a node is dead."""
        if node_id in self._nodes:
            self._nodes[node_id].alive = False

    def __contains__(self, node_id: object) -> bool:
        return node_id in self._nodes and self._nodes[str(node_id)].alive

    def __iter__(self) -> Iterator[NodeView]:
        return (self._nodes[node_id] for node_id in sorted(self._nodes) if self._nodes[node_id].alive)

    def totals(self) -> list[tuple[str, ResourceSet]]:
        """Return (node id, totals) of all live nodes."""
        return [(node.node_id, node.totals) for node in self]
