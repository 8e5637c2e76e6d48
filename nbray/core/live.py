"""What the cluster does right now, in figures: for the panel and the status bar.

Reads the segment's exact counters; asks the daemon in the background, at most twice a
second, and never waits or starts anything.
"""

from __future__ import annotations

import time
from typing import Any

from nbray._cstore import ffi, lib
from nbray.core import current
from nbray.core.records import TASK_METHOD
from nbray.options import UNIT
from nbray.wire import messages as m

ASK_EVERY_S = 0.5

_asked_at = 0.0


def snapshot(*, asked: bool = False) -> dict[str, Any] | None:
    """Return the figures, or None when this process has no cluster.

    Parameters
    ----------
    asked : bool
        Wait for what the daemon says now; else what it said last counts, up to half a second ago.

    Returns
    -------
    dict
        ``state`` (``running``, or ``ended`` when its daemon is gone), ``cpus_total``, ``cpus_used``, ``gpus_total``, ``gpus_used``, ``store_used`` and
        ``store_capacity`` (bytes), ``workers``, ``nodes``, ``actors``, and ``tasks``: counts by state.
    """
    global _asked_at
    core = current.core
    if core is None or not core.session.attached:
        return None
    now = time.monotonic()
    if asked:
        core.latest_state = core.request(m.StateRequest(request_id=core.control.next_id()))[0]
    elif now - _asked_at > ASK_EVERY_S:
        _asked_at = now
        core.control.send(m.StateRequest(request_id=core.control.next_id()))
    waiting = sum(len(pool.queue) for pool in list(core.pools.values()))
    for lane in list(core.lanes.values()):
        waiting += max(0, len(lane.tasks) - 1)
    waiting += _waiting_calls(core)
    view = figures(core.seg, core.latest_state, core.totals, waiting)
    if core._failure is not None:
        view["state"] = "ended"  # what it did is still known
    return view


def _waiting_calls(core: Any) -> int:
    """Return how many calls of actors wait for a place. What an actor that runs several at a time has, counts as running."""
    calls = list(core.actors.values())
    unsent = sum(len(one.queue) + len(one.late) for one in calls)
    if unsent:  # among them are those that wait for input
        unsent -= sum(bool(record.flags & TASK_METHOD) for record in list(core.waiting_args.values()))
    return max(0, unsent) + sum(max(0, len(one.tasks) - 1) for one in calls if not one.side_by_side)


def figures(seg: Any, state: m.StateReply | None, totals: dict[str, int], waiting: int) -> dict[str, Any]:
    """Return the figures of a cluster, as ``snapshot``.

    Parameters
    ----------
    seg : cdata
        The segment of its node.
    state : StateReply or None
        What the daemon said last.
    totals : dict
        The cluster's resources, where the daemon has said nothing yet.
    waiting : int
        Tasks that wait for a place.
    """
    counters = ffi.new("int64_t[]", lib.NBS_N_COUNTERS)
    lib.nbs_counters(seg, counters)
    stats = ffi.new("nbs_stats *")
    lib.nbs_get_stats(seg, stats)
    total = state.total if state is not None else totals
    available = state.available if state is not None else totals
    running = max(0, counters[lib.NBS_CTR_TAKEN] - counters[lib.NBS_CTR_REPLIED])
    workers = state.workers if state is not None else []
    return {
        "state": "running",
        "cpus_total": total.get("CPU", 0) / UNIT,
        "cpus_used": (total.get("CPU", 0) - available.get("CPU", 0)) / UNIT,
        "gpus_total": total.get("GPU", 0) / UNIT,
        "gpus_used": (total.get("GPU", 0) - available.get("GPU", 0)) / UNIT,
        "store_used": int(stats.used),
        "store_capacity": int(stats.capacity),
        "workers": len(workers),
        "nodes": len(state.nodes) if state is not None else 1,
        "actors": state.actors_alive if state is not None else 0,
        "tasks": {
            "PENDING_ARGS_AVAIL": max(0, int(counters[lib.NBS_CTR_WAIT_ARGS])),
            "PENDING_NODE_ASSIGNMENT": waiting,
            "RUNNING": int(running),
            "FINISHED": int(counters[lib.NBS_CTR_FINISHED]),
            "FAILED": int(counters[lib.NBS_CTR_FAILED]),
            "CANCELLED": int(counters[lib.NBS_CTR_CANCELLED]),
        },
    }


def usage(since: int = 0, timeout_s: float = 2.0, source: Any = None) -> list[dict[str, Any]]:
    """Return how the node was used: a sample every 250 ms while somebody asks.

    Parameters
    ----------
    since : int
        ``number`` of the last sample that the caller has.
    timeout_s : float
        For the daemon's answer.
    source : Observer, optional
        Whom to ask; default: this process's own cluster.

    Returns
    -------
    list of dict
        Oldest first, the newest 200, of those before (10 minutes in all) one in four: ``number``, ``t_ns`` (CLOCK_MONOTONIC), ``cpu`` (share, 0 to 1), ``memory_used``,
        ``memory_total``, ``store_used`` (bytes), and ``gpus``: dicts of ``index``, ``name``, ``used``, ``total``
        (bytes), ``utilization`` (0 to 1, or None), ``processes`` (``pid``, ``used``, ``name`` of what runs there,
        ``peer`` of the worker).
    """
    if source is None:
        source = current.core
        if source is None or not source.session.attached:
            return []
    request = m.UsageRequest(request_id=source.control.next_id(), since=since)
    samples: list[dict[str, Any]] = source.request(request, timeout_s=timeout_s)[0].samples
    return samples
