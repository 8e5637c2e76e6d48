"""The commands that look at a cluster: status, list, get, summary, memory, logs, timeline."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
from typing import Any

from nbray import ids
from nbray._cstore import ffi, lib
from nbray.core import cluster_view
from nbray.core.timeline import chrome_trace
from nbray.options import UNIT
from nbray.util.state import api, collect, logs, memory
from nbray.util.state.tables import as_json, rule, size, table
from nbray.wire import messages as m

# What a list shows without --detail, when all columns would not fit on a screen.
_BRIEF = {
    "tasks": ("task_id", "name", "state", "type", "job_id", "worker_pid", "error_type"),
    "actors": ("actor_id", "class_name", "state", "job_id", "name", "ray_namespace", "pid"),
    "objects": ("object_id", "object_size", "task_status", "reference_type", "call_site", "type", "pid"),
    "nodes": ("node_id", "node_ip", "state", "node_name", "resources_total"),
    "jobs": ("job_id", "type", "status", "entrypoint", "start_time", "end_time", "namespace"),
    "workers": ("worker_id", "worker_type", "is_alive", "pid", "exit_type"),
}
_COUNTERS = (
    ("finished", lib.NBS_CTR_FINISHED), ("failed", lib.NBS_CTR_FAILED), ("cancelled", lib.NBS_CTR_CANCELLED),
)  # fmt: skip


def show_status(given: argparse.Namespace) -> int:
    """Show the cluster in figures."""
    with collect.source(given.address) as where:
        state = where.request(m.StateRequest(request_id=where.control.next_id()))[0]
        jobs = [job for job in cluster_view.table(where, "jobs") if job["state"] == "RUNNING"]
        stats = cluster_view.store_stats(where)
        counters = ffi.new("int64_t[]", lib.NBS_N_COUNTERS)
        lib.nbs_counters(where.seg, counters)
        folder = where.session_dir
    workers: dict[str, int] = {}
    for worker in state.workers:
        workers[worker["state"]] = workers.get(worker["state"], 0) + 1
    tasks = {"running": max(0, int(counters[lib.NBS_CTR_TAKEN] - counters[lib.NBS_CTR_REPLIED]))}
    tasks.update({name: int(counters[number]) for name, number in _COUNTERS})
    used = {
        name: {"used": (total - state.available.get(name, 0)) / UNIT, "total": total / UNIT}
        for name, total in state.total.items()
        if not name.startswith("node:") and name != "object_store_memory"
    }
    facts = {
        "session": folder, "nodes": len(state.nodes), "resources": used,
        "object_store": {"used": stats["used"], "capacity": stats["capacity"], "objects": stats["n_objects"]},
        "workers": workers, "actors_alive": state.actors_alive, "tasks": tasks, "waiting": state.waiting,
        "jobs": [{"job_id": _job(job), "pid": job["pid"], "entrypoint": job["entrypoint"]} for job in jobs],
    }  # fmt: skip
    if given.format == "json":
        print(as_json(facts))
        return 0
    print(rule("cluster"))
    print(f"session        {folder}")
    print(f"nodes          {len(state.nodes)} alive")
    reserved = _reserved(used)
    for name, amounts in used.items():
        if _RESERVED.search(name):
            continue
        if name == "memory":
            print(f"memory         {size(amounts['used'])} of {size(amounts['total'])} asked for")
        else:
            print(f"{name:<14} {amounts['used']:g} of {amounts['total']:g} in use{reserved.get(name, '')}")
    print(f"object store   {size(stats['used'])} of {size(stats['capacity'])} in {stats['n_objects']} objects")
    print(f"workers        {', '.join(f'{count} {name.lower()}' for name, count in sorted(workers.items())) or 'none'}")
    print(f"actors         {state.actors_alive} alive")
    print(f"tasks          {', '.join(f'{count} {name}' for name, count in tasks.items())}")
    print(rule("jobs"))
    print(table(["job_id", "pid", "entrypoint"], [list(job.values()) for job in facts["jobs"]]) if jobs else "none")
    if state.waiting:
        print(rule("waiting for resources"))
        rows = [[row["count"], row["name"], row["resources"], round(row["seconds"], 1)] for row in state.waiting]
        print(table(["count", "name", "needs", "seconds"], rows))
    return 0


_RESERVED = re.compile(r"_group_(\d+_)?[0-9a-f]{36}$")  # what placement groups make of resources: of one bundle, of all


def _reserved(used: dict[str, dict[str, float]]) -> dict[str, str]:
    """Return what to say of the resources that placement groups hold, by name."""
    sums: dict[str, list[float]] = {}
    for name, amounts in used.items():
        found = _RESERVED.search(name)
        if found is not None and not found[1]:
            sum_of = sums.setdefault(name[: found.start()], [0.0, 0.0])
            sum_of[0] += amounts["used"]
            sum_of[1] += amounts["total"]
    return {
        name: f" ({inside:g} used of {all_:g} reserved in placement groups)" for name, (inside, all_) in sums.items()
    }


def _job(row: dict[str, Any]) -> str:
    return ids.JobID.from_int(row["job_id"]).hex()


def show_list(given: argparse.Namespace) -> int:
    """List rows of a resource."""
    rows, silent = api.find(
        given.resource, given.address, _filters(given.filter), given.limit, given.timeout, given.detail
    )
    _say_what_lacks(given.resource, silent)
    columns = collect.row_class(given.resource).columns(given.detail)
    if given.format == "json":
        print(as_json([{name: row[name] for name in columns} for row in rows]))
        return 0
    if not given.detail:
        columns = list(_BRIEF.get(given.resource, columns))
    if not rows:
        print(f"no {given.resource}")
        return 0
    print(table(columns, [[row[name] for name in columns] for row in rows]))
    if len(rows) == given.limit:
        print(f"(the first {given.limit}; --limit shows more)", file=sys.stderr)
    return 0


def _say_what_lacks(resource: str, silent: set[int]) -> None:
    if text := api.incomplete(resource, silent):
        print(text, file=sys.stderr)  # also beside JSON


def _filters(given: list[str]) -> list[tuple[str, str, str]]:
    filters = []
    for text in given:
        name, sign, value = text.partition("!=")
        predicate = "!="
        if not sign:
            name, sign, value = text.partition("=")
            predicate = "="
        if not sign:
            raise ValueError(f"--filter {text!r} is neither column=value nor column!=value.")
        filters.append((name.strip(), predicate, value.strip().strip("\"'")))
    return filters


def show_get(given: argparse.Namespace) -> int:
    """Show one row with all its columns."""
    found, silent = api.find_one(given.resource, given.id, given.address, given.timeout)
    _say_what_lacks(given.resource, silent)
    if not found:
        raise LookupError(
            f"there is no {given.resource[:-1].replace('-', ' ')} {given.id!r}; `nbray list {given.resource}` shows them."
        )
    rows = found if isinstance(found, list) else [found]
    if given.format == "json":
        print(as_json([row.asdict() for row in rows] if isinstance(found, list) else found.asdict()))
        return 0
    for row in rows:
        for name, value in row.asdict().items():
            if value is not None:
                print(f"{name:<24} {value}")
    return 0


def show_summary(given: argparse.Namespace) -> int:
    """Count by kind and state."""
    counts, silent = api.sum_up(given.resource, given.address, given.timeout)
    _say_what_lacks(given.resource, silent)
    summary = counts["cluster"]
    if given.format == "json":
        print(as_json(summary))
        return 0
    entries = summary.pop("summary")
    print(", ".join(f"{name.replace('_', ' ')}: {value}" for name, value in summary.items()))
    if given.resource == "objects":
        rows = [
            [
                site,
                entry["total_objects"],
                round(entry["total_size_mb"], 2),
                entry["total_num_workers"],
                entry["ref_type_counts"],
            ]
            for site, entry in entries.items()
        ]
        print(table(["made at", "objects", "MiB", "processes", "references"], rows) if rows else "no objects")
        return 0
    rows = [[name, entry.get("type", "ACTOR"), entry["state_counts"]] for name, entry in sorted(entries.items())]
    print(table(["name", "type", "states"], rows) if rows else f"no {given.resource}")
    return 0


def show_memory(given: argparse.Namespace) -> int:
    """Show the objects and who holds them."""
    with collect.source(given.address) as where:
        found = memory.holders(where)
    found.sort_by(given.sort_by, given.limit)
    if given.format == "json":
        print(as_json({"store": found.store, "objects": found.objects, "silent_pids": found.silent_pids}))
    elif given.stats_only:
        print(found.figures())
    else:
        print(found.text())
    return 0


def show_logs(given: argparse.Namespace) -> int:
    """List the logs, or show one."""
    _in_rays_words(given)
    if not (given.filename or given.actor_id or given.task_id or given.pid) or _is_pattern(given.filename):
        found = logs.list_logs(given.address, glob_filter=given.filename)
        if given.format == "json":
            print(as_json(found))
        else:
            for kind, names in found.items():
                print(f"{kind:<8} {'  '.join(names)}")
        return 0
    pieces = logs.get_log(
        given.address, filename=given.filename, actor_id=given.actor_id, task_id=given.task_id, pid=given.pid,
        follow=given.follow, tail=given.tail, errors="replace",
    )  # fmt: skip
    for piece in pieces:
        sys.stdout.write(piece)
        sys.stdout.flush()
    return 0


def _in_rays_words(given: argparse.Namespace) -> None:
    """Take ``logs cluster PATTERN``, ``logs actor --id ID``, ``logs task --id ID`` and ``logs worker --pid PID`` for what they are."""
    kind = given.filename
    if kind in ("cluster", "actor", "task", "worker"):
        given.filename = given.pattern
        if given.id is not None and kind in ("actor", "task"):
            setattr(given, f"{kind}_id", given.id)
    elif given.pattern is not None or given.id is not None:
        raise ValueError("logs takes one name of a log; --actor-id, --task-id and --pid say whose log it is.")


def _is_pattern(name: str | None) -> bool:
    return name is not None and any(sign in name for sign in "*?[")


def show_timeline(given: argparse.Namespace) -> int:
    """Write the trace of the tasks."""
    with collect.source(given.address) as where:
        trace = chrome_trace(cluster_view.event_replies(where), where.peer_name)
    path = given.output or time.strftime("nbray-timeline-%Y-%m-%d_%H-%M-%S.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(trace, file)
    print(f"{len(trace)} events are in {os.path.abspath(path)}; open it in https://ui.perfetto.dev or chrome://tracing")
    return 0
