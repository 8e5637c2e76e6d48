"""Choose the node for a request: the global scheduler's policy.

Pure. DEFAULT packs: the asking node while it has room and is less than half full, then
the best-filled of the others, so that large requests keep finding room. SPREAD takes the
emptiest. When no node has room now, the one that could with the shortest queue.
"""

from __future__ import annotations

from collections.abc import Mapping

from nbray.placement import Target, allows
from nbray.resources import CPU, GPU, UNITS, covers
from nbray.scheduling.cluster_view import ClusterView, NodeView

ANYWHERE = Target()
SPREAD_THRESHOLD = 0.5  # of use; below it a node takes what is asked of it


class GlobalScheduler:
    """Places requests over a view of the cluster. Stateless but for the view."""

    def __init__(self, view: ClusterView) -> None:
        self.view = view

    def place(
        self, need: Mapping[str, int], strategy: str = "DEFAULT", local: str = "", target: Target = ANYWHERE
    ) -> str | None:
        """Return the node that should run it, or None when none ever can.

        Parameters
        ----------
        need : mapping
            Units of each resource.
        strategy : {"DEFAULT", "SPREAD"}
        local : str
            The node that asks.
        target : Target
            Where it may go; a placement group's bundles are found by their table, not here.
        """
        able = [node for node in self._allowed(target, need) if _feasible(node, need)]
        if not able:
            return None
        if target.preferred:
            able = [node for node in able if allows(target.preferred, node.labels)] or able
        # A node with GPUs is kept for those who need them, as long as there is another.
        if not need.get(GPU):
            able = [node for node in able if not node.totals.get(GPU)] or able
        roomy = [node for node in able if covers(node.free, need)]
        if not roomy:
            return min(able, key=lambda node: (node.waiting, node.node_id != local, node.node_id)).node_id
        if strategy == "SPREAD":
            return min(roomy, key=lambda node: (_use(node, need), node.waiting, node.node_id)).node_id
        for node in roomy:
            if node.node_id == local and _use(node, need) <= SPREAD_THRESHOLD:
                return local
        below = [node for node in roomy if _use(node, need) <= SPREAD_THRESHOLD]
        if below:
            return max(below, key=lambda node: (_use(node, need), node.node_id == local)).node_id
        return min(roomy, key=lambda node: (_use(node, need), node.node_id != local, node.node_id)).node_id

    def _allowed(self, target: Target, need: Mapping[str, int]) -> list[NodeView]:
        """Return the nodes that the target names, or falls back to."""
        nodes = list(self.view)
        if target.node_id:
            found = [node for node in nodes if node.node_id == target.node_id]
            if not target.soft or any(_feasible(node, need) for node in found):
                return found
        for rules in (target.rules, *target.fallbacks):
            found = [node for node in nodes if allows(rules, node.labels)]
            if any(_feasible(node, need) for node in found):
                return found
        return []

    def spillback(self, need: Mapping[str, int], local: str) -> str | None:
        """Return a node that has room now when ``local`` has none, else None."""
        others = [node for node in self.view if node.node_id != local and _feasible(node, need)]
        roomy = [node for node in others if covers(node.free, need)]
        if not roomy:
            return None
        return min(roomy, key=lambda node: (_use(node, need), node.waiting, node.node_id)).node_id


def _feasible(node: NodeView, need: Mapping[str, int]) -> bool:
    gpu = need.get(GPU, 0)
    return covers(node.totals, need) and (gpu <= UNITS or gpu % UNITS == 0)


def _use(node: NodeView, need: Mapping[str, int]) -> float:
    """The highest use of any resource after ``need`` is taken."""
    names = {CPU, *need}
    return max(
        ((total - node.free.get(name, 0) + need.get(name, 0)) / total if (total := node.totals.get(name, 0)) else 0.0)
        for name in sorted(names)
    )
