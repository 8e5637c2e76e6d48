"""What the daemon says about itself: the state reply, and the dump on SIGUSR1."""

from __future__ import annotations

import json
import os
import time
from typing import Any

from nbray.control.actor_table import ALIVE
from nbray.node.node_state import NodeState
from nbray.resources import UNITS, ResourceSet, add, unpack
from nbray.scheduling.placement_groups import COMMITTED
from nbray.wire.messages import StateReply

MAX_ROWS = 2000
BUNDLE_MARKS = 1000  # what Ray shows each bundle to have of the resource ``bundle``


def state(node: NodeState, request_id: int) -> StateReply:
    """Return the answer to a StateRequest."""
    scheduler = node.scheduler
    free = _free(node)
    return StateReply(
        request_id,
        nodes=node.nodes.describe({node.config.node_id: free}),
        total={**node.nodes.totals(), **group_resources(node, total=True)},
        available=free,
        workers=_workers(node),
        leases_waiting=sum(entry.count for entry in scheduler.queue),
        waiting=_waiting(node),
        actors_alive=sum(actor.state == ALIVE for actor in node.actors),
    )


def _free(node: NodeState) -> dict[str, int]:
    """What can be had now; CPUs that are lent twice do not count below zero."""
    free = {name: max(0, units) for name, units in node.scheduler.ledger.free.items()}
    for name, units in node.config.totals.items():
        if name not in node.scheduler.ledger.totals:
            add(free, {name: units})
    return {**free, **group_resources(node, total=False)}


def group_resources(node: NodeState, *, total: bool) -> dict[str, int]:
    """Return the resources of placement groups under Ray's names.

    Each bundle i of group G shows as ``CPU_group_i_G``, all bundles of G together as
    ``CPU_group_G``; and 1000 of ``bundle_group_i_G``.
    """
    shown: ResourceSet = {}
    for bundle in node.scheduler.groups:
        if bundle.state != COMMITTED:
            continue
        amounts = dict(bundle.ledger.totals if total else bundle.ledger.free)
        amounts["bundle"] = BUNDLE_MARKS * UNITS
        for name, units in amounts.items():
            for shown_name in (f"{name}_group_{bundle.index}_{bundle.group}", f"{name}_group_{bundle.group}"):
                shown[shown_name] = shown.get(shown_name, 0) + max(0, units)
    return shown


def running(node: NodeState) -> dict[int, tuple[int, str]]:
    """Return what the processes of this node do: pid -> peer, and function or actor that a worker was lent for."""
    found = {client.pid: (client.peer, "driver") for client in node.clients.drivers()}
    for peer, worker in node.scheduler.pool.workers.items():
        lease = node.scheduler.lease_of(peer)
        actor = node.actors.actors.get(node.actors.by_worker.get(peer, ""))
        name = "idle worker" if lease is None else lease.name if actor is None else actor.title
        found[worker.pid] = (peer, name)
    return found


def _workers(node: NodeState) -> list[dict[str, Any]]:
    rows = []
    for peer, worker in list(node.scheduler.pool.workers.items())[:MAX_ROWS]:
        lease = node.scheduler.lease_of(peer)
        rows.append(
            {
                "peer": peer,
                "pid": worker.pid,
                "state": worker.state,
                "blocked": worker.blocked,
                "lease_id": worker.lease_id,
                "actor_id": node.actors.by_worker.get(peer, ""),
                "name": lease.name if lease is not None else "",
                "job_id": worker.binding[0] if worker.binding else 0,
            }
        )
    return rows


def _waiting(node: NodeState) -> list[dict[str, Any]]:
    now = time.monotonic()
    return [
        {
            "name": entry.name,
            "resources": unpack(entry.need),
            "seconds": now - entry.since,
            "count": entry.count,
            "owner": entry.owner,
            "actor_id": entry.actor_id,
        }
        for entry in list(node.scheduler.queue)[:MAX_ROWS]
    ]


def dump_state(node: NodeState) -> str:
    """Write all that the daemon knows into its logs; return the path."""
    scheduler = node.scheduler
    node.events.drain()
    reply = state(node, 0)
    dump = {
        "time": time.time(),
        "pid": os.getpid(),
        "nodes": reply.nodes,
        "free": unpack(scheduler.ledger.free),
        "workers": reply.workers,
        "starting": sorted(scheduler.pool.starting),
        "waiting": reply.waiting,
        "leases": [
            {"lease_id": lease.lease_id, "owner": lease.owner, "worker": lease.worker, "revoked": lease.revoked}
            for lease in scheduler.leases.values()
        ],
        "actors": [
            {"actor_id": actor.request.actor_id, "class": actor.request.class_name, "state": actor.state,
             "worker": actor.worker, "restarts": actor.restarts, "cause": actor.cause}
            for actor in node.actors
        ],
        "jobs": [{"job_id": job.job_id, "pid": job.pid, "state": job.state} for job in node.jobs.jobs.values()],
        "clients": [{"peer": peer, "role": client.role, "pid": client.pid} for peer, client in node.clients.by_peer.items()],
        "messages": dict(node.router.counts),
        "refused": node.refused,
        "events": node.events.summary(),
        "store": node.segment.stats(),
        "counters": node.segment.counters(),
        "invariants": _invariants(node),
    }  # fmt: skip
    path = os.path.join(node.config.session_dir, "logs", "daemon-state.json")
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        json.dump(dump, file, indent=1)
    return path


def _invariants(node: NodeState) -> str:
    """Return what does not hold, an empty string when all does."""
    try:
        for table in (
            node.scheduler,
            node.actors,
            node.groups,
            node.jobs,
            node.nodes,
            node.processes_seen,
            node.key_values,
        ):
            table.validate()
    except AssertionError as error:
        return f"{type(error).__name__}: {error}"
    return node.segment.check()
