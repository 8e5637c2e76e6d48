"""``--node NODE``: find the node that is meant; and what to do where no node has what a cell asks for."""

from __future__ import annotations

import math
from typing import Any

from IPython.core.error import UsageError

from nbray.api import state
from nbray.api.runtime import require_core
from nbray.scheduling.infeasible import WAIT_HINT
from nbray.util.scheduling_strategies import NodeAffinitySchedulingStrategy


def strategy(text: str) -> Any:
    """Return the scheduling strategy for the node that ``text`` names.

    Parameters
    ----------
    text
        The beginning of the node's id, its name, its host's name or its address.

    Raises
    ------
    UsageError
        When no node, or more than one, is meant.
    """
    require_core()
    nodes = [node for node in state.nodes() if node.get("Alive", True)]
    found = [node for node in nodes if _is_meant(node, text)]
    ids = sorted({str(node["NodeID"]) for node in found})
    if len(ids) != 1:
        known = ", ".join(sorted(f"{str(node['NodeID'])[:8]} ({_host(node)})" for node in nodes))
        problem = "names more than one node" if ids else "names no node"
        raise UsageError(f"%%remote: --node {text} {problem}; there are {known}.")
    return NodeAffinitySchedulingStrategy(node_id=ids[0], soft=False)


def for_a_cell(text: str, task: dict[str, Any]) -> str:
    """Return the sentence that refuses a task with what the user of a cell can do, instead of what a program can.

    Parameters
    ----------
    text
        What the runtime says.
    task
        Options of the cell's task.
    """
    cpus = task.get("num_cpus", 1)
    if cpus > state.cluster_resources().get("CPU", 0):
        way = f"offer more CPUs: %nbray scale {math.ceil(cpus)}"
    else:
        way = "begin a cluster that has it: nbray.shutdown(), then nbray.init(...) with num_gpus, resources or labels"
    return text.replace(WAIT_HINT, f"Ask for less in the line of %%remote, or {way}.")


def _is_meant(node: dict[str, Any], text: str) -> bool:
    names = [node.get(key) for key in ("NodeName", "NodeManagerHostname", "NodeManagerAddress", "hostname", "Name")]
    return text in names or (len(text) >= 4 and str(node["NodeID"]).startswith(text))


def _host(node: dict[str, Any]) -> str:
    return str(node.get("NodeName") or node.get("NodeManagerHostname") or node.get("hostname") or "?")
