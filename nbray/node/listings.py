"""The rows of the daemon's tables, for those who list them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from nbray.control.actor_table import ActorRecord
from nbray.node import report
from nbray.node.node_state import NodeState
from nbray.placement import selector_of
from nbray.resources import unpack
from nbray.wire import codec
from nbray.wire.messages import ListReply

MAX_BYTES = 256 * 1024  # of rows in one message; a single row is far smaller
_MAX_TEXT = 2000  # characters of a sentence in a row


def replies(node: NodeState, request_id: int, kind: str) -> Iterator[ListReply]:
    """Yield the rows of a table in messages that fit; raises ValueError for one that there is not."""
    if kind not in _TABLES:
        raise ValueError(f"there is no table {kind!r}; there are {', '.join(_TABLES)}")
    some: list[msgspec.Raw] = []
    size = 0
    for row in _TABLES[kind](node):
        encoded = codec.encode_any(row)
        if some and size + len(encoded) > MAX_BYTES:
            yield ListReply(request_id, codec.encode_any(some))
            some, size = [], 0
        some.append(msgspec.Raw(encoded))
        size += len(encoded)
    yield ListReply(request_id, codec.encode_any(some), last=True)


def _nodes(node: NodeState) -> list[dict[str, Any]]:
    return report.state(node, 0).nodes


def _jobs(node: NodeState) -> list[dict[str, Any]]:
    return [{name: getattr(job, name) for name in job.__slots__} for job in node.jobs.jobs.values()]


def _processes(node: NodeState) -> list[dict[str, Any]]:
    rows = []
    for peer, record in node.processes_seen.processes.items():
        client = node.clients.by_peer.get(peer)
        if client is not None and client.job_id:
            record.job_id = client.job_id
        worker = node.scheduler.pool.workers.get(peer)
        lease = node.scheduler.lease_of(peer)
        row = record.describe()
        row["state"] = worker.state if worker is not None else ("" if record.ended_at else "RUNNING")
        row["blocked"] = bool(worker is not None and worker.blocked)
        row["waits_for"] = client.waits_for if client is not None else ""
        row["waits_to_begin"] = client is not None and client.waits_to_begin
        row["waits_on"] = client.waits_on if client is not None else []
        row["running"] = lease.name if lease is not None else ""
        row["resources"] = unpack(lease.allocation.amounts) if lease is not None else {}
        rows.append(row)
    return rows


def _actor(actor: ActorRecord) -> dict[str, Any]:
    request = actor.request
    return {
        "actor_id": request.actor_id,
        "class_name": request.class_name,
        "qualname": request.qualname[:_MAX_TEXT] or request.class_name,
        "title": actor.title[:_MAX_TEXT],
        "repr_name": actor.repr_name[:_MAX_TEXT],
        "made_at": request.made_at[:_MAX_TEXT],
        "recorded": request.recorded,
        "state": actor.state,
        "placing": actor.placing,
        "job_id": request.job_id,
        "name": request.name,
        "namespace": request.namespace,
        "detached": request.detached,
        "peer": actor.worker,
        "pid": actor.pid,
        "owner": actor.owner,
        "resources": unpack(request.running_resources),  # while it lives
        "placing_resources": unpack(request.resources),
        "env_key": request.env_key,
        "group_id": request.target.group,
        "label_selector": selector_of(request.target.rules),
        "created_at": actor.created_at,
        "placed_at": actor.placed_at,
        "ready_at": actor.ready_at,
        "restarts": actor.restarts,
        "max_restarts": request.max_restarts,
        "failed_in_init": bool(actor.error),
        "cause": actor.cause[:_MAX_TEXT],
        "died_at": actor.died_at,
    }


def _actors(node: NodeState) -> list[dict[str, Any]]:
    return [_actor(actor) for actor in node.actors]


def _environments(node: NodeState) -> list[dict[str, Any]]:
    """The runtime environments that were asked for, and how many workers serve each now."""
    used = Counter(worker.binding[1] for worker in node.scheduler.pool.workers.values() if worker.binding)
    return [
        {
            "key": environment.key,
            "runtime_env": environment.text,
            "success": not node.environments.error_of(environment.key),
            "creation_time_ms": environment.defined_at * 1e3,
            "node_id": node.config.node_id,
            "ref_cnt": used[environment.key],
            "error": node.environments.error_of(environment.key)[-_MAX_TEXT:],
        }
        for environment in node.environments.environments.values()
    ]


_TABLES: dict[str, Callable[[NodeState], list[dict[str, Any]]]] = {
    "nodes": _nodes,
    "jobs": _jobs,
    "actors": _actors,
    "processes": _processes,
    "placement_groups": lambda node: node.groups.describe(),
    "runtime_envs": _environments,
}
