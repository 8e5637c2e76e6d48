"""The pages of ``%nbray``: what the cluster of this kernel is and does."""

from __future__ import annotations

import collections
import itertools
import time
from typing import Any

from nbray.api import state as api_state
from nbray.core import current, live
from nbray.exceptions import RayError
from nbray.util import state
from nbray.util.state import api
from nbray.util.state.exception import RayStateApiException
from nbray.util.state.tables import size

from .page import NotFound, Page, Table
from .runtime import ActorHandle, ObjectRef
from .widgets import amounts, picture
from .widgets.watch import Watch, usage

MAX_ROWS = 20
MAX_LOG_LINES = 200
MAX_ITEMS = 10_000  # of a list, that are looked through
ID_CHARS = 24  # of an id: those of one owner begin alike for 16
NO_CLUSTER = "No cluster runs: it starts with the first %%remote, the first .remote() or nbray.init()."
#: What is worth looking at first.
_ORDER = ("FAILED", "RUNNING", "PENDING")


def status(shell: Any) -> Page:
    """The cluster in figures."""
    facts = live.snapshot(asked=True)
    core = current.core
    if facts is None or core is None:
        return Page("", notes=[NO_CLUSTER])
    total, free = api_state.cluster_resources(), api_state.available_resources()
    tasks = {name.lower().replace("_", " "): count for name, count in facts["tasks"].items() if count}
    page = Page("nbray cluster")
    for name, amount in total.items():
        if name in ("CPU", "GPU") or not (name.startswith("node:") or "memory" in name):
            page.facts.append((name, f"{amount - free.get(name, 0):g} of {amount:g} in use"))
    page.facts += [
        ("object store", f"{size(facts['store_used'])} of {size(facts['store_capacity'])} in use"),
        ("workers", str(facts["workers"])),
        ("actors", str(facts["actors"])),
        ("tasks", ", ".join(f"{count} {name}" for name, count in tasks.items()) or "none yet"),
    ]
    return page


def cluster(shell: Any) -> Page:
    """The nodes, and where the session is."""
    core = require_cluster()
    rows = []
    for node in api_state.nodes():
        resources = ", ".join(
            f"{value:g} {name}" for name, value in node["Resources"].items() if name in ("CPU", "GPU")
        )
        pid = node.get("pid") or node.get("NodeManagerPid")
        host = node.get("NodeManagerHostname") or node.get("hostname") or node.get("NodeManagerAddress")
        rows.append([str(node["NodeID"])[:12], "alive" if node.get("Alive", True) else "dead", host, pid, resources])
    facts = [("session", str(getattr(core, "session_dir", ""))), ("namespace", str(core.namespace))]
    return Page("nbray cluster", facts, [Table(["node", "state", "host", "pid", "resources"], rows)])


def tasks(shell: Any, only: str = "") -> Page:
    """Tasks by function, and the ones to look at first."""
    require_cluster()
    listed, silent = api.find("tasks", limit=10_000, detail=True)
    rows = list({row.task_id: row for row in sorted(listed, key=lambda row: row.attempt_number)}.values())  # last runs
    if only:
        rows = [row for row in rows if only.upper() in row.state or only in row.name]
    by_name: dict[str, collections.Counter[str]] = {}
    for row in rows:
        by_name.setdefault(row.name, collections.Counter())[_kind(row.state)] += 1
    kinds = ["FAILED", "RUNNING", "PENDING", "FINISHED"]
    groups: list[list[Any]] = [[name, *(counts.get(kind, 0) for kind in kinds)] for name, counts in by_name.items()]
    groups.sort(key=lambda group: (-group[1], -group[2], -group[3], -sum(group[1:])))
    rows.sort(key=lambda row: (_rank(row.state), -(row.start_time_ms or row.creation_time_ms or 0)))
    shown = [
        [
            row.task_id[:ID_CHARS],
            row.name,
            row.state.lower(),
            _took(row),
            row.worker_pid,
            _last_line(row.error_message) or row.error_type,
        ]
        for row in rows[:MAX_ROWS]
    ]
    page = Page("", tables=[Table(["function", *(kind.lower() for kind in kinds)], groups[:MAX_ROWS], "by function")])
    page.tables.append(Table(["task", "name", "state", "took", "pid", "error"], shown, "errors and what runs first"))
    page.notes += _lacking("tasks", silent)
    if len(rows) > MAX_ROWS:
        page.notes.append(f"{len(rows) - MAX_ROWS} more; %nbray tasks NAME or %nbray tasks failed shows fewer.")
    if not only:
        watch = _watch(shell)
        watch.look()
        page.picture = picture.graph(watch.whole())
    if rows:
        return page
    return Page("", notes=["No tasks yet." if not only else f"No task is like {only!r}.", *_lacking("tasks", silent)])


def _lacking(resource: str, silent: set[int]) -> list[str]:
    return [text] if (text := api.incomplete(resource, silent)) else []


def actors(shell: Any) -> Page:
    """The actors, those that are alive first."""
    require_cluster()
    rows = sorted(state.list_actors(limit=1000, detail=True), key=lambda row: (row.state == "DEAD", row.class_name))
    names = _variables(shell, ActorHandle)
    by_id = {handle._ray_id: name for name, handle in names}
    shown = [
        [
            row.actor_id[:ID_CHARS],
            row.class_name,
            row.name or None,
            row.state.lower(),
            row.pid,
            by_id.get(row.actor_id),
            _death(row),
        ]
        for row in rows[:MAX_ROWS]
    ]
    columns = ["actor", "class", "name", "state", "pid", "variable", "cause of death"]
    notes = [f"{len(rows) - MAX_ROWS} more"] if len(rows) > MAX_ROWS else []
    return Page("", [], [Table(columns, shown)], notes) if rows else Page("", notes=["No actors yet."])


def objects(shell: Any) -> Page:
    """The largest objects, and the variables that hold them."""
    core = require_cluster()
    found, silent = api.find("objects", limit=10_000)
    rows = sorted(found, key=lambda row: -row.object_size)
    held = _in_containers(shell) | {ref.hex(): name for name, ref in _variables(shell, ObjectRef)}
    seen: dict[str, list[Any]] = {}
    for row in rows:
        if row.object_id not in seen:
            made = None if row.call_site == "disabled" else row.call_site or None
            seen[row.object_id] = [
                row.object_id[:ID_CHARS], size(row.object_size), held.get(row.object_id), row.pid or None, made,
            ]  # fmt: skip
    stats = core.store.stats()
    facts = [("object store", f"{size(stats.used)} of {size(stats.capacity)} in use")]
    shown = list(seen.values())
    notes = _lacking("objects", silent)
    if len(shown) > MAX_ROWS:
        notes.append(f"{len(shown) - MAX_ROWS} more")
    columns = ["object", "size", "variable", "held by pid", "made at"]
    if all(row[-1] is None for row in shown):  # it is not written down
        columns, shown = columns[:-1], [row[:-1] for row in shown]
    tables = [Table(columns, shown[:MAX_ROWS])] if shown else []
    return Page("", facts, tables, notes)


def gpu(shell: Any) -> Page:
    """What the GPUs do, and for whom."""
    require_cluster()
    samples = live.usage()
    if not samples:  # the node samples only while somebody looks
        time.sleep(0.4)
        samples = live.usage()
    gpus = samples[-1]["gpus"] if samples else []
    if not gpus:
        return Page("", notes=["This node has no GPU that NVIDIA's library (NVML) tells of."])
    rows = [
        [one["index"], one["name"], _share(one["utilization"]), amounts.size_of(one["used"], one["total"])]
        for one in gpus
    ]
    users = [
        [
            one["index"],
            process["pid"],
            process.get("name") or None,
            amounts.size(process["used"]) if process["used"] >= 0 else None,
        ]
        for one in gpus
        for process in one.get("processes", ())
    ]
    page = Page("", tables=[Table(["gpu", "name", "busy", "memory"], rows)])
    page.picture = picture.gpus(usage(samples, 0))
    if users:
        page.tables.append(Table(["gpu", "pid", "runs", "memory"], users, "who uses them"))
    return page


def log(shell: Any, wanted: str) -> str:
    """Return the last lines of the log of a worker: of a task, an actor, a pid or a variable."""
    require_cluster()
    if not wanted:
        raise NotFound("say whose log: a task's or an actor's id, a pid, or a variable that holds a ref or a handle.")
    try:
        return "".join(state.get_log(tail=MAX_LOG_LINES, filter_ansi_code=True, **_which(shell, wanted)))
    except (RayError, RayStateApiException, ValueError, OSError) as error:
        raise NotFound(str(error)) from None


def _which(shell: Any, wanted: str) -> dict[str, Any]:
    value = shell.user_ns.get(wanted)
    if isinstance(value, ActorHandle):
        return {"actor_id": value._ray_id}
    if isinstance(value, ObjectRef):
        return {"task_id": value.task_id().hex()}
    if wanted.isdigit() and len(wanted) < 12:
        return {"pid": int(wanted)}
    found: list[dict[str, Any]] = [
        {"actor_id": row.actor_id} for row in state.list_actors(limit=10_000) if row.actor_id.startswith(wanted)
    ]
    if len(found) == 1:
        return found[0]  # its constructor's id begins alike
    tasks = {row.task_id for row in state.list_tasks(limit=10_000) if row.task_id.startswith(wanted)}
    found += [{"task_id": task} for task in tasks]
    if len(found) != 1:
        raise NotFound(
            f"{wanted!r} is {'no' if not found else 'more than one'} task, actor, pid or variable of that kind."
        )
    return found[0]


def _watch(shell: Any) -> Watch:
    watch: Watch = shell._nbray_extension.magics.cells.lines_of.watch
    return watch


def require_cluster() -> Any:
    """Return the runtime, or raise what says that there is no cluster: to look starts none."""
    if current.core is None:
        raise NotFound(NO_CLUSTER)
    return current.core


def _variables(shell: Any, kind: type) -> list[tuple[str, Any]]:
    found = [(name, value) for name, value in list(shell.user_ns.items()) if isinstance(value, kind)]
    return sorted(found, key=lambda pair: pair[0].startswith("_"), reverse=True)  # a real name is the last, and wins


def _in_containers(shell: Any) -> dict[str, str]:
    """Return by its id what leads to a ref in a list, tuple or dict of the user's: ``refs[3]``."""
    found: dict[str, str] = {}
    for name, value in list(shell.user_ns.items()):
        if name.startswith("_") or name in ("In", "Out") or not isinstance(value, list | tuple | dict):
            continue
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for key, one in itertools.islice(list(pairs), MAX_ITEMS):
            if isinstance(one, ObjectRef) and isinstance(key, int | str):
                found.setdefault(one.hex(), f"{name}[{key!r}]")
    return found


def _kind(text: str) -> str:
    return "PENDING" if text not in ("FAILED", "RUNNING", "FINISHED") else text


def _rank(text: str) -> int:
    kind = _kind(text)
    return _ORDER.index(kind) if kind in _ORDER else len(_ORDER)


def _took(row: Any) -> str | None:
    if not row.start_time_ms:
        return None
    end = row.end_time_ms or time.time() * 1000
    return f"{max(0.0, end - row.start_time_ms) / 1000:.3g} s"


def _last_line(text: str | None) -> str:
    """Return what a traceback says at its end."""
    return next((line for line in reversed((text or "").splitlines()) if line.strip()), "")


def _death(row: Any) -> str | None:
    cause = row.death_cause
    if not cause:
        return None
    if isinstance(cause, dict):
        for value in cause.values():
            return str(value.get("error_message", value) if isinstance(value, dict) else value)
    return str(cause)


def _share(value: float | None) -> str | None:
    return None if value is None else f"{100 * value:.0f} %"
