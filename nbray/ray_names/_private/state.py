"""The cluster's state, under the name of Ray's inner module."""

from __future__ import annotations

from typing import Any

from nbray.api.state import available_resources, cluster_resources, nodes, timeline
from nbray.util.state import get_actor, list_actors, list_jobs

_ALL = 10_000  # the most that a list has


def actors(
    actor_id: str | None = None, job_id: Any = None, actor_state_name: str | None = None
) -> dict[str, dict[str, Any]] | dict[str, Any]:
    """Return what is known of actors, in Ray's old shape.

    Parameters
    ----------
    actor_id : str, optional
        As hex digits: the facts of that one alone; empty where there is none.
    job_id : JobID, optional
        Of that job alone.
    actor_state_name : str, optional
        In that state alone ("ALIVE", "DEAD", ...).

    Returns
    -------
    dict
        Actor id -> facts, or the facts.
    """
    addresses = {node["NodeID"]: node["NodeManagerAddress"] for node in nodes()}
    if actor_id is not None:
        one = get_actor(actor_id)
        return _facts(one, addresses) if one is not None else {}
    filters = [("job_id", "=", job_id.hex())] if job_id is not None else []
    if actor_state_name is not None:
        filters.append(("state", "=", actor_state_name))
    found = list_actors(filters=filters, detail=True, limit=_ALL, raise_on_missing_output=False)
    return {actor.actor_id: _facts(actor, addresses) for actor in found}


def _facts(actor: Any, addresses: dict[str, str]) -> dict[str, Any]:
    address = {"IPAddress": addresses.get(actor.node_id, ""), "Port": 0, "NodeID": actor.node_id or ""}
    return {
        "ActorID": actor.actor_id,
        "ActorClassName": actor.class_name,
        "IsDetached": bool(actor.is_detached),
        "Name": actor.name or "",
        "JobID": actor.job_id,
        "Address": address,
        "OwnerAddress": dict(address),
        "State": actor.state,
        "NumRestarts": actor.num_restarts,
        "DeathCause": actor.death_cause,
        "Pid": actor.pid,
    }


def jobs() -> list[dict[str, Any]]:
    """Return what is known of the jobs, in Ray's old shape; times in ms since 1970, 0 where there is none."""
    found = []
    for job in list_jobs(detail=True, limit=_ALL, raise_on_missing_output=False):
        driver = job.driver_info
        found.append(
            {
                "JobID": job.job_id,
                "DriverIPAddress": driver.node_ip_address if driver is not None else "",
                "DriverPid": int(driver.pid) if driver is not None else 0,
                "StartTime": job.start_time or 0,
                "EndTime": job.end_time or 0,
                "Timestamp": job.end_time or job.start_time or 0,
                "IsDead": bool(job.end_time),
                "Entrypoint": job.entrypoint,
            }
        )
    return found


def node_ids() -> list[str]:
    """Return the names under which the nodes are resources (``node:127.0.0.1``)."""
    return [f"node:{node['NodeManagerAddress']}" for node in nodes() if node["Alive"]]


def current_node_id() -> str:
    """Return the name under which this node is a resource."""
    return node_ids()[0]


def total_resources_per_node() -> dict[str, dict[str, float]]:
    """Return the resources of each node, by its id."""
    return {node["NodeID"]: dict(node["Resources"]) for node in nodes()}


def available_resources_per_node() -> dict[str, dict[str, float]]:
    """Return what of them is free now."""
    return {node["NodeID"]: dict(node["Available"]) for node in nodes()}


__all__ = [
    "actors",
    "available_resources",
    "available_resources_per_node",
    "cluster_resources",
    "current_node_id",
    "jobs",
    "node_ids",
    "nodes",
    "timeline",
    "total_resources_per_node",
]
