"""The nodes of the cluster.

Pure. A node is ALIVE until it is removed; it never comes back under the same id.
"""

from __future__ import annotations

from typing import Any

from nbray.resources import ResourceSet, unpack


class NodeRecord:
    """One node."""

    __slots__ = ("alive", "hostname", "ip", "labels", "name", "node_id", "pid", "started_at", "totals")

    def __init__(
        self, node_id: str, pid: int, hostname: str, totals: ResourceSet, started_at: float, ip: str = "127.0.0.1",
        name: str = "", labels: dict[str, str] | None = None,
    ) -> None:  # fmt: skip
        self.node_id = node_id
        self.pid = pid  # of its daemon
        self.hostname = hostname
        self.ip = ip
        self.name = name or ip
        self.labels = labels or {}
        self.totals = totals
        self.started_at = started_at  # seconds since the epoch
        self.alive = True


class NodeTable:
    """Node id -> record."""

    def __init__(self) -> None:
        self.nodes: dict[str, NodeRecord] = {}

    def add(self, node: NodeRecord) -> None:
        """Note a new node; an id is used once."""
        if node.node_id in self.nodes:
            raise ValueError(f"node {node.node_id} has been there already")
        self.nodes[node.node_id] = node

    def remove(self, node_id: str) -> None:
        """Note that a node is dead."""
        self.nodes[node_id].alive = False

    def totals(self) -> ResourceSet:
        """Return the sum of what all live nodes have."""
        total: ResourceSet = {}
        for node in self.nodes.values():
            for name, units in node.totals.items() if node.alive else ():
                total[name] = total.get(name, 0) + units
        return total

    def describe(self, free: dict[str, ResourceSet]) -> list[dict[str, Any]]:
        """Return the rows of a StateReply; ``free`` is what each node has left."""
        return [
            {
                "NodeID": node.node_id,
                "Alive": node.alive,
                "NodeManagerAddress": node.ip,
                "hostname": node.hostname,
                "NodeName": node.name,
                "Labels": node.labels,
                "pid": node.pid,
                "Resources": unpack(node.totals),
                "Available": unpack(free.get(node.node_id, {})),
                "started_at": node.started_at,
            }
            for node in self.nodes.values()
        ]

    def validate(self) -> None:
        """Raise AssertionError unless each row is under its own id."""
        assert all(node_id == node.node_id for node_id, node in self.nodes.items())
