"""Actors, objects, nodes, workers and placement groups as rows for the panel's tables. Plain data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nbray import ids
from nbray._cstore import lib
from nbray.core import cluster_view, inspection
from nbray.notebook.panel_answers.holders import Holders, running_now
from nbray.notebook.panel_answers.store_list import StoreList
from nbray.resources import describe, unpack
from nbray.wire import messages as m

MAX_OBJECTS = 2_000  # the largest
MAX_ROWS = 5_000  # of any other table; the newest
MAX_TEXT = 500  # characters of a sentence in a row


def actors(core: Any) -> dict[str, Any]:
    """Return the actors of the cluster, the newest last."""
    rows = []
    with core.lock:
        pending = {actor_id: len(calls.open_records()) for actor_id, calls in core.actors.items()}
    for row in cluster_view.table(core, "actors")[-MAX_ROWS:]:
        rows.append(
            {
                "id": row["actor_id"], "class": row["class_name"], "title": row["title"],
                "name": row["name"] or "", "state": row["state"],
                "pid": row["pid"] or 0, "peer": str(row["peer"]), "restarts": row["restarts"],
                "max_restarts": row["max_restarts"], "made": row["made_at"], "mine": row["actor_id"] in pending,
                "pending": pending.get(row["actor_id"], 0), "cause": row["cause"][:MAX_TEXT],
                "resources": row["resources"], "detached": row["detached"],
            }
        )  # fmt: skip
    return {"actors": rows}


def objects(core: Any, names: Mapping[str, Any], find_task: Any, takers: Any) -> dict[str, Any]:
    """Return the largest objects, and who holds each.

    Parameters
    ----------
    core : CoreWorker
    names : mapping
        The notebook's variables.
    find_task : callable
        (owner, number) -> index in the panel's table, or None.
    takers : callable
        (owner, number) -> indexes of tasks that took a value which was put.
    """
    held = Holders(core, names)
    store = StoreList(core.seg)
    own = {ref.binary() for ref in inspection.all_refs(core)}
    rows = []
    for entry in store.largest(MAX_OBJECTS):
        owner, number, _, _ = ids.split_object_id(entry.id)
        rows.append(
            {
                "id": entry.id.hex(), "size": entry.size, "where": entry.where, "kind": entry.kind, "made": entry.made,
                "task": find_task(owner, number), "names": held.names_of(entry.id, entry.obj)[:8],
                "by": held.of(entry), "views": entry.n_pinned, "holders": entry.n_holders,
                "takers": takers(owner, number),
                "no_free": _no_free(entry.kind, entry.id in own),
            }
        )  # fmt: skip
    stored = {row["id"] for row in rows}
    for object_id, ref in held.refs.items():  # small values live in this process
        if object_id.hex() not in stored and type(ref._data) is bytes:
            owner, number, _, _ = ids.split_object_id(object_id)
            rows.append(
                {
                    "id": object_id.hex(), "size": len(ref._data), "where": "this process", "kind": "value", "made": "",
                    "task": find_task(owner, number), "names": held.names_of(object_id)[:8], "by": held.here(object_id),
                    "views": 0, "holders": 1, "no_free": "", "takers": takers(owner, number),
                }
            )  # fmt: skip
            if len(rows) >= 2 * MAX_OBJECTS:
                break
    stats = cluster_view.store_stats(core)
    return {
        "objects": rows, "total": len(store), "used": stats["used"], "capacity": stats["capacity"],
        "spilled": stats["spilled_bytes"],
    }  # fmt: skip


def _no_free(kind: str, owned: bool) -> str:
    if kind != "value":
        return "it belongs to the runtime, and goes with its task or actor"
    return "" if owned else "no ref of it is in this notebook"


def free(core: Any, object_id: bytes) -> str:
    """Free an object of which this process has a ref; returns why not, or nothing."""
    refs = [ref for ref in inspection.all_refs(core) if ref.binary() == object_id]
    if not refs:
        return "no ref of it is in this notebook"
    core.free(refs)
    return "" if lib.nbs_contains(core.seg, object_id) == 0 else "others use it still: it goes when they let go of it"


def nodes(core: Any, find_task: Any) -> dict[str, Any]:
    """Return nodes, living workers and placement groups."""
    state = core.request(m.StateRequest(request_id=core.control.next_id()))[0]
    available = unpack(state.available)
    found = [
        {
            "id": row["NodeID"], "name": row.get("NodeName") or row["NodeManagerAddress"],
            "state": "alive" if row["Alive"] else "dead", "total": _visible(row["Resources"]),
            "free": {name: available.get(name, 0.0) for name in _visible(row["Resources"])},
        }
        for row in cluster_view.table(core, "nodes")
    ]  # fmt: skip
    processes = [row for row in cluster_view.table(core, "processes") if not row["ended_at"]]
    running = running_now(core)
    titles = {row["actor_id"]: row["title"] for row in cluster_view.table(core, "actors")}
    workers = [
        {
            "peer": str(row["peer"]), "pid": row["pid"], "role": row["role"], "state": row["state"].lower(),
            "actor": titles.get(row["actor_id"], ""), "resources": row["resources"],
            "task": find_task(*running[row["peer"]]) if row["peer"] in running else None,
            "waits": row["waits_for"][:MAX_TEXT], "started": row["started_at"],
        }
        for row in processes[-MAX_ROWS:]
    ]  # fmt: skip
    groups = [
        {
            "id": row["placement_group_id"], "name": row["name"], "state": row["state"], "strategy": row.get("strategy", ""),
            "bundles": [describe(bundle) for bundle in row["bundles"]],
            "placed": sum(1 for node in row["nodes"] if node),
        }
        for row in cluster_view.table(core, "placement_groups")[-MAX_ROWS:]
    ]  # fmt: skip
    return {"nodes": found, "workers": workers, "groups": groups}


def _visible(resources: Mapping[str, float]) -> dict[str, float]:
    return {name: amount for name, amount in resources.items() if not name.startswith("node:")}
