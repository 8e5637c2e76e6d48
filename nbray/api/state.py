"""What the cluster is and does: nodes, resources, the timeline of tasks."""

from __future__ import annotations

import json
import os
from typing import Any

from nbray.core import current
from nbray.core.timeline import chrome_trace
from nbray.exceptions import RaySystemError
from nbray.options import UNIT
from nbray.session_layout import CONTROL_SOCKET, SEGMENT_SOCKET
from nbray.wire import messages as m


def _core() -> Any:
    core = current.core
    if core is None:
        raise RaySystemError("nbray has not been started yet: call nbray.init() first (or any .remote()).")
    core.check_usable()
    return core


def _state() -> m.StateReply:
    core = _core()
    core.drain()
    return core.request(m.StateRequest(request_id=core.control.next_id()))[0]


def _plain(amounts: dict[str, int]) -> dict[str, float]:
    return {name: value / UNIT for name, value in amounts.items() if value}


class NodeList(list):
    """The list of nodes; a notebook shows it as a table (``nbray.notebook.reprs``)."""


# That Ray's nodes listen at; nbray has none of them.
_PORTS = ("NodeManagerPort", "ObjectManagerPort", "MetricsAgentPort", "DashboardAgentListenPort", "RuntimeEnvAgentPort")


def nodes() -> list[dict[str, Any]]:
    """Return one dict per node: NodeID, Alive, Resources and more."""
    core, found = _core(), NodeList()
    for node in _state().nodes:
        entry = dict(node)
        entry.setdefault("alive", entry.get("Alive", True))
        entry.setdefault("NodeManagerAddress", "127.0.0.1")
        entry.setdefault("NodeManagerHostname", entry.get("hostname", ""))
        entry.setdefault("ObjectStoreSocketName", os.path.join(core.session_dir, SEGMENT_SOCKET))
        entry.setdefault("RayletSocketName", os.path.join(core.session_dir, CONTROL_SOCKET))
        entry.setdefault("MetricsExportPort", core.registered.metrics_port if core.registered is not None else 0)
        for port in _PORTS:
            entry.setdefault(port, 0)
        entry.setdefault("DeathReason", 0)
        entry.setdefault("DeathReasonMessage", "")
        found.append(entry)
    return found


def cluster_resources() -> dict[str, float]:
    """Return the sum of the resources of all nodes."""
    return _plain(_state().total)


def available_resources() -> dict[str, float]:
    """Return what of the cluster's resources is free now; what is all in use is left out."""
    return _plain(_state().available)


def timeline(filename: str | os.PathLike[str] | None = None) -> list[dict[str, Any]] | None:
    """Return the tasks so far as a Chrome trace (for chrome://tracing or Perfetto).

    Parameters
    ----------
    filename : str or path, optional
        Write the trace to this file instead of returning it.

    Returns
    -------
    list of dict or None
        Events with ``ts`` and ``dur`` in microseconds.

    Raises
    ------
    TypeError
        When ``filename`` is no path.
    OSError
        When the file cannot be written.
    """
    core = _core()
    if filename is not None and not isinstance(filename, (str, os.PathLike)):
        raise TypeError(f"filename must be a path or None, got {type(filename).__name__}.")
    core.drain()
    replies = core.request(
        m.EventsRequest(request_id=core.control.next_id()), complete=lambda r: bool(r) and r[-1].last, timeout_s=30.0
    )
    trace = chrome_trace(replies, lambda peer: core.peer_name(peer))
    if filename is None:
        return trace
    with open(filename, "w", encoding="utf-8") as file:
        json.dump(trace, file)
    return None
