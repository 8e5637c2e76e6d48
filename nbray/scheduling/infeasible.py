"""Say in one sentence why no node can ever give what was asked for.

Pure. The sentence names what was asked, what the largest node has, and, for a custom
resource that nobody has, the names that come nearest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nbray.placement import Target, allows, describe_rules
from nbray.resources import CPU, GPU, MEMORY, OBJECT_STORE_MEMORY, UNITS, describe, from_units
from nbray.scheduling.cluster_view import NodeView

WAIT_HINT = "Ask for less, or pass wait_for_resources=True to wait for such a node."

_KNOWN = (CPU, GPU, MEMORY, OBJECT_STORE_MEMORY)


def explain(what: str, need: Mapping[str, int], nodes: Sequence[tuple[str, Mapping[str, int]]]) -> str:
    """Return the sentence.

    Parameters
    ----------
    what : str
        Name of the task or actor.
    need : mapping
        What it asks for, in units.
    nodes : sequence of (node id, totals)
    """
    asked = f"{what or 'The task'} asks for {describe(need)}"
    if not nodes:
        return f"{asked}, and there is no node."
    parts = []
    for name, units in sorted(need.items()):
        best_node, best = max(((node, totals.get(name, 0)) for node, totals in nodes), key=lambda pair: pair[1])
        if best >= units:
            continue
        if best == 0 and name not in _KNOWN:
            parts.append(f"no node has a resource {name!r}{_nearest(name, nodes)}")
        else:
            parts.append(
                f"the largest node ({best_node[:8]}) has {_amount(name, best)} {name}, {_amount(name, units)} are needed"
            )
    gpu = need.get(GPU, 0)
    if gpu > UNITS and gpu % UNITS:
        parts.append("more than one GPU must be a whole number")
    if not parts:
        listed = "; ".join(f"{node[:8]} {describe(totals)}" for node, totals in nodes[:5])
        parts.append(f"no single node has all of it: {listed}")
    return f"{asked}, but {', and '.join(parts)}. {WAIT_HINT}"


def explain_target(what: str, target: Target, need: Mapping[str, int], nodes: Sequence[NodeView]) -> str:
    """Say why no node that ``target`` allows can ever give what was asked for."""
    name = what or "The task"
    if target.node_id:
        found = [(node.node_id, node.totals) for node in nodes if node.node_id == target.node_id]
        if not found:
            return (
                f"{name} is to run on node {target.node_id} and nowhere else (soft=False), and that node is not part "
                f"of the cluster. There are: {', '.join(node.node_id for node in nodes)}."
            )
        return explain(name, need, found)
    if target.rules:
        able = [
            node for node in nodes if any(allows(rules, node.labels) for rules in (target.rules, *target.fallbacks))
        ]
        if not able:
            wanted = " or ".join(describe_rules(rules) for rules in (target.rules, *target.fallbacks))
            has = "; ".join(f"{node.node_id[:8]} {dict(sorted(node.labels.items()))}" for node in nodes[:5])
            return f"{name} wants a node with the labels {wanted}, and there is none. The nodes: {has}. {WAIT_HINT}"
        return explain(name, need, [(node.node_id, node.totals) for node in able])
    return explain(name, need, [(node.node_id, node.totals) for node in nodes])


def _amount(name: str, units: int) -> str:
    text = describe({name: units})
    return text[text.index(": ") + 2 : -1] if units else f"{from_units(units):.0f}"


def _nearest(name: str, nodes: Sequence[tuple[str, Mapping[str, int]]]) -> str:
    import difflib  # noqa: PLC0415 - `import nbray` comes by here, and a name is mistyped seldom

    names = sorted({other for _, totals in nodes for other in totals if other not in _KNOWN and ":" not in other})
    folded = {other.lower(): other for other in names}
    near = [folded[match] for match in difflib.get_close_matches(name.lower(), list(folded), n=3, cutoff=0.5)]
    if near:
        return f" (did you mean {' or '.join(repr(other) for other in near)}?)"
    return f" (there are: {', '.join(names)})" if names else " (there are no custom resources)"
