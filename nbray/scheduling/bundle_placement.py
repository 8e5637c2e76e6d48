"""Choose nodes for the bundles of a placement group.

Pure. PACK takes few nodes, SPREAD many; the STRICT ones take one node, or one each, or
none at all. Within that the largest bundles choose first, and take the node that they
fill best (PACK) or least (SPREAD), so that few are left without room.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nbray import placement
from nbray.resources import GPU, UNITS, ResourceSet, add, covers, describe, subtract
from nbray.scheduling.cluster_view import NodeView
from nbray.scheduling.infeasible import WAIT_HINT, explain

PACK, SPREAD, STRICT_PACK, STRICT_SPREAD = "PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD"

MAX_BUNDLES = 4000  # of a group, so that it fits into a message

Bundles = Sequence[ResourceSet]
Selectors = Sequence[placement.Rules]


def place(
    bundles: Bundles, strategy: str, nodes: Sequence[NodeView], selectors: Selectors = (), *, idle: bool = False
) -> dict[int, str] | None:
    """Return bundle index -> node id, or None when they do not fit.

    Parameters
    ----------
    bundles : sequence of ResourceSet
    strategy : {"PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD"}
    nodes : sequence of NodeView
        Those that are alive.
    selectors : sequence of rules, optional
        For each bundle the labels of its node.
    idle : bool
        As if nothing of the nodes were in use: whether it can ever fit.
    """
    chosen, missing = _place(bundles, strategy, nodes, selectors, idle)
    return None if missing is not None else chosen


def explain_impossible(
    name: str, bundles: Bundles, strategy: str, nodes: Sequence[NodeView], selectors: Selectors = ()
) -> str:
    """Say in one sentence which bundle of a group no node can ever have, and why."""
    what = f"the placement group {name!r}" if name else "the placement group"
    for index, bundle in enumerate(bundles):
        able = [node for node in nodes if _selected(node, index, selectors)]
        if not able:
            rules = placement.describe_rules(selectors[index])
            return f"Bundle {index} of {what} wants a node with the labels {rules}, and there is none. {WAIT_HINT}"
        if not any(_feasible(node.totals, bundle) for node in able):
            return explain(f"Bundle {index} of {what}", bundle, [(node.node_id, node.totals) for node in able])
    chosen, missing = _place(bundles, strategy, nodes, selectors, True)
    index = missing if missing is not None else 0
    count = len(nodes)
    if strategy == STRICT_SPREAD:
        why = f"STRICT_SPREAD wants a node for each of its {len(bundles)} bundles, and there {_are(count)}"
    else:
        left = {node.node_id: dict(node.totals) for node in nodes}
        for other, node_id in chosen.items():
            subtract(left[node_id], bundles[other])
        best = max(
            left, key=lambda node_id: (sum(covers(left[node_id], {n: u}) for n, u in bundles[index].items()), node_id)
        )
        beside = "the one node that STRICT_PACK allows" if strategy == STRICT_PACK else f"node {best[:8]}"
        needed = {name: left[best].get(name, 0) for name in bundles[index]}
        why = f"beside the other bundles {beside} has only {describe(needed)} left"
    return f"Bundle {index} of {what} asks for {describe(bundles[index])}, but {why}. {WAIT_HINT}"


def _are(count: int) -> str:
    return "is one node" if count == 1 else f"are {count} nodes"


def _place(
    bundles: Bundles, strategy: str, nodes: Sequence[NodeView], selectors: Selectors, idle: bool
) -> tuple[dict[int, str], int | None]:
    """Return what could be placed, and the first bundle that could not."""
    left = {node.node_id: dict(node.totals if idle else node.free) for node in nodes}
    by_id = {node.node_id: node for node in nodes}
    order = list(range(len(bundles)))
    if len(nodes) > 1:  # large bundles choose first
        order.sort(key=lambda index: (-_size(bundles[index], nodes), index))
    if strategy == STRICT_PACK:
        return _on_one(bundles, order, left, by_id, selectors)
    chosen: dict[int, str] = {}
    used: dict[str, int] = {}
    for index in order:
        able = [
            node_id
            for node_id, free in left.items()
            if _feasible(free, bundles[index])
            and _selected(by_id[node_id], index, selectors)
            and not (strategy == STRICT_SPREAD and node_id in used)
        ]
        if not able:
            return chosen, index
        if len(able) == 1:
            pass
        elif strategy == PACK:
            able.sort(key=lambda node_id: (node_id not in used, _rest(left[node_id], by_id[node_id]), node_id))
        else:
            able.sort(key=lambda node_id: (used.get(node_id, 0), -_rest(left[node_id], by_id[node_id]), node_id))
        chosen[index] = able[0]
        used[able[0]] = used.get(able[0], 0) + 1
        subtract(left[able[0]], bundles[index])
    return chosen, None


def _on_one(
    bundles: Bundles, order: list[int], left: dict[str, ResourceSet], by_id: Mapping[str, NodeView],
    selectors: Selectors,
) -> tuple[dict[int, str], int | None]:  # fmt: skip
    farthest: tuple[dict[int, str], int | None] = ({}, order[0])
    for node_id in sorted(left, key=lambda node_id: (_rest(left[node_id], by_id[node_id]), node_id)):
        free = dict(left[node_id])
        chosen: dict[int, str] = {}
        for index in order:
            if not _feasible(free, bundles[index]) or not _selected(by_id[node_id], index, selectors):
                if len(chosen) >= len(farthest[0]):
                    farthest = (chosen, index)
                break
            subtract(free, bundles[index])
            chosen[index] = node_id
        else:
            return chosen, None
    return farthest


def _feasible(free: Mapping[str, int], need: Mapping[str, int]) -> bool:
    gpu = need.get(GPU, 0)
    return covers(free, need) and (gpu <= UNITS or gpu % UNITS == 0)


def _selected(node: NodeView, index: int, selectors: Selectors) -> bool:
    return not selectors or placement.allows(selectors[index], node.labels)


def _size(need: Mapping[str, int], nodes: Sequence[NodeView]) -> float:
    """The largest part of any resource of the largest node that a bundle takes."""
    parts = [0.0]
    for name, units in need.items():
        best = max((node.totals.get(name, 0) for node in nodes), default=0)
        parts.append(units / best if best else 1.0)
    return max(parts)


def _rest(free: Mapping[str, int], node: NodeView) -> float:
    """How much of the node is left: the mean over its resources."""
    parts = [free.get(name, 0) / total for name, total in node.totals.items() if total]
    return sum(parts) / len(parts) if parts else 0.0


def total_of(bundles: Bundles) -> ResourceSet:
    """Return the sum of bundles."""
    total: ResourceSet = {}
    for bundle in bundles:
        add(total, bundle)
    return total
