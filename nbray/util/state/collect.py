"""From what a cluster says to the rows of the state API."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from nbray import ids
from nbray.core import cluster_view, current
from nbray.core.observer import Observer
from nbray.events.reducer import View
from nbray.job_submission import JobStatus
from nbray.node import discovery
from nbray.options import UNIT
from nbray.placement import Target, selector_of
from nbray.resources import unpack
from nbray.runtime_env.runtime_env import DEFAULT_SETUP_TIMEOUT_S
from nbray.util.state.common import (
    ActorState,
    ClusterEventState,
    DriverInfo,
    JobState,
    NodeState,
    ObjectState,
    PlacementGroupState,
    Row,
    RuntimeEnvState,
    TaskState,
    WorkerState,
)
from nbray.util.state.exception import RayStateApiException

_ACTOR_TASK_STATES = {
    "ALIVE": "FINISHED", "DEAD": "FINISHED", "RESTARTING": "RUNNING", "DEPENDENCIES_UNREADY": "PENDING_ARGS_AVAIL",
}  # fmt: skip
_ANYWHERE = Target()
_AGAIN_S = 0.5  # for the next questions, when one process did not answer: the others just have
_ENDED_ITSELF = "INTENDED_USER_EXIT"
_INTENDED = (_ENDED_ITSELF, "INTENDED_SYSTEM_EXIT")


@contextlib.contextmanager
def source(address: str | None = None) -> Iterator[Any]:
    """Yield what can be asked: this process's runtime, or a connection to the cluster at ``address``.

    Raises
    ------
    ConnectionError
        When there is no such cluster.
    """
    core = current.core
    if core is not None and not isinstance(core, current.ForkedCore) and address in (None, "auto", core.session_dir):
        core.drain()
        yield core
        return
    session = discovery.resolve(address or "auto", looking=True)
    if session is None:
        raise ConnectionError(f"address={address!r} names no cluster that runs.")
    observer = Observer(session.segment_socket, session.control_endpoint)
    try:
        yield observer
    finally:
        observer.close()


def rows(where: Any, resource: str, timeout_s: float, silent: set[int] | None = None) -> list[Any]:
    """Return all rows of a resource: tasks, actors, objects, nodes, jobs, workers ...

    Pids of processes that did not answer in time, so that what they own may be missing, are added to ``silent``.
    """
    return _RESOURCES[resource](where, timeout_s, set() if silent is None else silent)


def resources() -> list[str]:
    """Return what can be listed."""
    return list(_RESOURCES)


def row_class(resource: str) -> type[Row]:
    """Return the class of a resource's rows."""
    return _CLASSES[resource]


def _job_hex(number: int) -> str:
    return ids.JobID.from_int(number).hex()


def _ms(seconds: float) -> int | None:
    return int(seconds * 1000) if seconds else None


class _Asked:
    """What tasks and actors asked for, in the forms that Ray gives it."""

    def __init__(self, where: Any) -> None:
        self._environments = {row["key"]: row["runtime_env"] for row in cluster_view.table(where, "runtime_envs")}

    def serialized_runtime_env(self, key: str) -> str:
        """Return an environment as JSON."""
        return self._environments.get(key, "{}")

    def runtime_env_info(self, key: str) -> dict[str, Any]:
        """Return the same as tasks have it."""
        text = self.serialized_runtime_env(key)
        environment = _environment(text)
        given = environment.get("config") if isinstance(environment, dict) else None
        config = {
            "setup_timeout_seconds": DEFAULT_SETUP_TIMEOUT_S,
            "eager_install": True,
            "log_files": [],
            **(given or {}),
        }
        return {"serialized_runtime_env": text, "runtime_env_config": config}

    @staticmethod
    def by_calls(actor: dict[str, Any]) -> dict[str, float]:
        """Return what calls of an actor ask for: as Ray says it, a CPU where the actor holds nothing of its own."""
        return {} if actor["resources"] == actor["placing_resources"] else {"CPU": 1.0}


_AT_ITS_ACTOR = "PENDING_ACTOR_TASK_ORDERING_OR_CONCURRENCY"  # which runs calls side by side, but no more at a time
_BEFORE_IT_RUNS = ("PENDING_ARGS_AVAIL", "PENDING_NODE_ASSIGNMENT", "SUBMITTED_TO_WORKER")


def _events(state: str, submitted: int | None, start: int | None, end: int | None) -> list[dict[str, Any]]:
    """Return the states that a task went through. When it left its owner is one moment: it waits there for all at once."""
    went = [(one, submitted) for one in _BEFORE_IT_RUNS]
    if state == _AT_ITS_ACTOR:
        went.append((state, submitted))
    went += [("RUNNING", start), (state, end)]
    return [{"state": state, "created_ms": float(at)} for state, at in went if at]


def _profile(worker_id: str | None, start_ns: int, end_ns: int, offset_ns: int) -> dict[str, Any] | None:
    """Return what is known of how long the parts of a run took, in the form that Ray gives it: the whole, once it is over."""
    if not start_ns or not end_ns:
        return None
    ran = {
        "event_name": "task:execute", "start_time": (start_ns + offset_ns) / 1e6, "end_time": (end_ns + offset_ns) / 1e6,
        "extra_data": {},
    }  # fmt: skip
    return {"component_type": "worker", "component_id": worker_id, "node_ip_address": "127.0.0.1", "events": [ran]}


def _tasks(where: Any, timeout_s: float, silent: set[int]) -> list[Any]:
    snapshot = cluster_view.tasks(where, timeout_s)
    silent.update(snapshot.silent)
    if silent:
        timeout_s = min(timeout_s, _AGAIN_S)
    view = snapshot.view
    asked = _Asked(where)
    actors = view.tables["actor"]
    actor_of_peer = {row["peer"]: row["actor_id"] for row in view.processes.values() if row.get("actor_id")}

    jobs_over = {}
    for row in view.processes.values():
        if row.get("role") == "driver" and row.get("ended_at"):
            who = f"Job finishes ({_job_hex(row['job_id'])}): its driver (pid {row['pid']})"
            jobs_over[row["job_id"]] = f"{who} has ended, and what had not ended before has failed."

    def task(owner: int, seq: int) -> str:
        return ids.task_id(owner, seq, where.cluster_id).hex()

    def ms(t_ns: int) -> int | None:
        return (t_ns + snapshot.offset_ns) // 1_000_000 if t_ns else None

    def root(owner: int) -> str | None:
        """Return the id that Ray gives a driver as the parent of its tasks."""
        process = view.processes.get(owner, {})
        return "f" * 40 + _job_hex(process["job_id"]) if process.get("role") == "driver" else None

    found = []
    for row in view.tasks.values():
        process = view.processes.get(row["process"], {})
        parent = view.parent_of(row["owner"], row["seq"])
        owner = view.processes.get(row["owner"], {})
        actor_id = row["actor_id"] or (actor_of_peer.get(row["process"]) if row["kind"] == "ACTOR_TASK" else None)
        resources = {name: units / UNIT for name, units in row["resources"].items()}
        if actor_id in actors:
            resources = asked.by_calls(actors[actor_id])
        name, function = row["name"], row["function"] or row["name"]
        if actor_id in actors and name == function and (by_repr := actors[actor_id]["repr_name"]):
            name = f"{by_repr}.{function.rpartition('.')[2]}"
        target = row.get("target") or _ANYWHERE
        submitted, start, end = ms(row["submitted"]), ms(row["start"]), ms(row["end"])
        state = row["state"]
        if state == "SUBMITTED_TO_WORKER" and row["process"] in snapshot.side_by_side:
            state = _AT_ITS_ACTOR
        worker_id = ids.worker_id(row["process"]) if row["process"] else None
        message = None
        if row["error_type"] == "WORKER_DIED" and owner.get("ended_at"):
            end = end or _ms(owner["ended_at"])
            message = jobs_over.get(owner["job_id"]) or f"The process that owned it (pid {owner['pid']}) has ended."
        found.append(
            TaskState(
                task_id=task(row["owner"], row["seq"]), attempt_number=row["attempt"], name=name, state=state,
                job_id=_job_hex(owner.get("job_id", 0) or process.get("job_id", 0)), actor_id=actor_id or None,
                type=row["kind"], func_or_class_name=function,
                parent_task_id=task(*parent) if parent else root(row["owner"]),
                node_id=where.node_id if row["process"] else None,
                worker_id=worker_id, worker_pid=process.get("pid"), error_type=row["error_type"] or None, language="PYTHON",
                required_resources=resources, runtime_env_info=asked.runtime_env_info(row.get("env_key", "")),
                placement_group_id=target.group or None, label_selector=selector_of(target.rules),
                creation_time_ms=submitted, start_time_ms=start, end_time_ms=end,
                events=_events(state, submitted, start, end), call_site=row["origin"] or None,
                error_message=message, profiling_data=_profile(worker_id, row["start"], row["end"], snapshot.offset_ns),
            )
        )  # fmt: skip
    _add_errors(found, where, timeout_s, view, ms, silent)
    found += _failed_attempts(found, where, timeout_s, view, ms, silent)
    found += [_creation(actor, where, asked, root) for actor in actors.values() if actor["recorded"]]
    return found


def _add_errors(
    found: list[TaskState], where: Any, timeout_s: float, view: View, ms: Callable[[int], int | None], silent: set[int]
) -> None:
    """Say of the tasks that failed what they raised; those that never got to a worker are only known to their owners."""
    errors, no_answer = cluster_view.inspect(where, "errors", timeout_s=timeout_s)
    silent.update(no_answer)
    jobs = {row["peer"]: row["job_id"] for row in cluster_view.table(where, "processes")} if errors else {}
    known = {row.task_id: row for row in found}
    for owner, rows in errors.items():
        for error in rows:
            task_id = ids.task_id(owner, error["seq"], where.cluster_id).hex()
            row = known.get(task_id)
            if row is None:
                row = known[task_id] = TaskState(
                    task_id=task_id, attempt_number=0, name=error["name"], state="FAILED",
                    job_id=_job_hex(jobs.get(owner, 0)), actor_id=error["actor_id"] or None, type=error["kind"], language="PYTHON",
                    func_or_class_name=error["function"], parent_task_id=None, node_id=None, worker_id=None,
                    worker_pid=None, error_type=None, end_time_ms=ms(error["end"]),
                )  # fmt: skip
                found.append(row)
            if row.state == "FAILED":
                row.actor_id = row.actor_id or error["actor_id"] or None
                row.error_type, row.error_message = error["error_type"], error["error_message"]
                if error["process"]:
                    ended_itself = view.processes.get(error["process"], {}).get("exit_type") == _ENDED_ITSELF
                    if ended_itself and error["began"] and error["error_type"] == "ACTOR_DIED":
                        row.state, row.error_type, row.error_message = "FINISHED", None, None  # it called exit_actor()
                    _add_dead_worker(row, error["process"], where, view, ms(error["end"]))


def _add_dead_worker(row: TaskState, peer: int, where: Any, view: View, end_ms: int | None) -> None:
    """Say of a task that failed which worker died with it: that has told of no end."""
    row.node_id, row.worker_id = where.node_id, ids.worker_id(peer)
    row.worker_pid = view.processes.get(peer, {}).get("pid")
    if row.end_time_ms is None:
        row.end_time_ms = end_ms
        row.events = _events(row.state, row.creation_time_ms, row.start_time_ms, end_ms)


def _failed_attempts(
    found: list[TaskState], where: Any, timeout_s: float, view: View, ms: Callable[[int], int | None], silent: set[int]
) -> list[TaskState]:
    """Return a row for each run that failed and was followed by another, and count the runs before in the last one's."""
    attempts, no_answer = cluster_view.inspect(where, "attempts", timeout_s=timeout_s)
    silent.update(no_answer)
    known = {row.task_id: row for row in found} if view.runs or any(attempts.values()) else {}
    earlier = []
    told = {(owner, one["seq"]) for owner, rows in attempts.items() for one in rows}
    for key in view.runs.keys() - told:  # their owners have ended, or have forgotten how
        attempts.setdefault(key[0], []).extend(_from_records(key, view))
    for owner, rows in attempts.items():
        for one in rows:
            last = known.get(ids.task_id(owner, one["seq"], where.cluster_id).hex())
            if last is None:
                continue  # too long ago
            last.attempt_number = max(last.attempt_number, one["attempt"] + 1)
            runs = view.runs.get((owner, one["seq"]), ())
            start = max(
                (begun for process, begun, _, _ in runs if process == one["process"] and begun < one["end"]), default=0
            )
            process = view.processes.get(one["process"], {})
            start_ms, end_ms = ms(start), ms(one["end"])
            earlier.append(
                replace(
                    last, attempt_number=one["attempt"], state="FAILED", error_type=one["error_type"] or None,
                    error_message=one["error_message"], node_id=where.node_id if process else None,
                    worker_id=ids.worker_id(one["process"]) if process else None, worker_pid=process.get("pid"),
                    start_time_ms=start_ms, end_time_ms=end_ms,
                    events=_events("FAILED", last.creation_time_ms, start_ms, end_ms), profiling_data=None,
                )
            )  # fmt: skip
    return earlier


def _from_records(key: tuple[int, int], view: View) -> Iterator[dict[str, Any]]:
    """Yield the runs of a task before its last that failed, in the form in which its owner tells of them."""
    runs = sorted(view.runs[key], key=lambda run: run[2])
    first = view.tasks[key]["attempt"] - len(runs) if key in view.tasks else 0
    for attempt, (process, _, end, error_type) in enumerate(runs, first):
        if error_type:
            detail = view.processes.get(process, {}).get("detail") if error_type == "WORKER_DIED" else None
            yield {
                "seq": key[1], "attempt": attempt, "process": process, "end": end, "error_type": error_type,
                "error_message": detail or None,
            }  # fmt: skip


def drivers(where: Any) -> list[TaskState]:
    """Return a row for each driver, which Ray counts among the tasks."""
    return [
        TaskState(
            task_id="f" * 40 + _job_hex(row["job_id"]), attempt_number=0, name="", job_id=_job_hex(row["job_id"]),
            state={"RUNNING": "RUNNING", "FAILED": "FAILED"}.get(row["state"], "FINISHED"), actor_id=None, type="DRIVER_TASK",
            func_or_class_name="", parent_task_id="f" * 48, node_id=None, worker_id=None, worker_pid=None, error_type=None,
            language="PYTHON", required_resources={}, start_time_ms=_ms(row["started_at"]), end_time_ms=_ms(row["ended_at"]),
            label_selector={},
        )
        for row in cluster_view.table(where, "jobs")
    ]  # fmt: skip


def _creation(actor: dict[str, Any], where: Any, asked: _Asked, root: Callable[[int], str | None]) -> TaskState:
    """Return the task that made an actor, as Ray lists it."""
    state = _ACTOR_TASK_STATES.get(actor["state"]) or ("PENDING_NODE_ASSIGNMENT" if actor["placing"] else "RUNNING")
    if actor["failed_in_init"] or (actor["state"] == "DEAD" and not actor["ready_at"]):
        state = "FAILED"
    error_type = "TASK_EXECUTION_EXCEPTION" if actor["failed_in_init"] else "ACTOR_DIED"
    owner, number = ids.split_actor_id(bytes.fromhex(actor["actor_id"]))
    function = f"{actor['class_name']}.__init__"
    end = _ms(actor["ready_at"]) if state == "FINISHED" else _ms(actor["died_at"])
    events = _events(state, _ms(actor["created_at"]), _ms(actor["placed_at"]), end)
    events = [event for event in events if event["state"] != "SUBMITTED_TO_WORKER"]  # the daemon places it itself
    return TaskState(
        task_id=ids.task_id(owner, number, where.cluster_id).hex(), attempt_number=actor["restarts"],
        name=f"{actor['name']}:{function}" if actor["name"] else function,
        state=state, job_id=_job_hex(actor["job_id"]), actor_id=actor["actor_id"], type="ACTOR_CREATION_TASK",
        func_or_class_name=function, parent_task_id=root(owner), node_id=where.node_id if actor["peer"] else None,
        worker_id=ids.worker_id(actor["peer"]) if actor["peer"] else None, worker_pid=actor["pid"] or None,
        error_type=error_type if state == "FAILED" else None, language="PYTHON",
        required_resources=actor["resources"], error_message=actor["cause"] if state == "FAILED" else None,
        runtime_env_info=asked.runtime_env_info(actor["env_key"]), placement_group_id=actor["group_id"] or None,
        creation_time_ms=_ms(actor["created_at"]), start_time_ms=_ms(actor["placed_at"]), end_time_ms=end,
        events=events, label_selector=actor["label_selector"],
    )  # fmt: skip


def _actors(where: Any, timeout_s: float, silent: set[int]) -> list[Any]:
    asked = _Asked(where)
    return [
        ActorState(
            actor_id=row["actor_id"], class_name=row["qualname"], state=row["state"], job_id=_job_hex(row["job_id"]),
            name=row["name"], node_id=where.node_id if row["pid"] else None, pid=row["pid"],
            ray_namespace=row["namespace"], required_resources=row["resources"],
            death_cause=_death_cause(row) if row["state"] == "DEAD" else None, is_detached=row["detached"],
            num_restarts=row["restarts"], num_restarts_due_to_lineage_reconstruction=0, num_restarts_due_to_node_preemption=0,
            repr_name=row["repr_name"], serialized_runtime_env=asked.serialized_runtime_env(row["env_key"]),
            placement_group_id=row["group_id"] or None, call_site=row["made_at"] or None,
            label_selector=row["label_selector"],
        )
        for row in cluster_view.table(where, "actors")
    ]  # fmt: skip


def _death_cause(actor: dict[str, Any]) -> dict[str, Any]:
    """Return why an actor is dead, in the form that Ray gives it."""
    said = {
        "error_message": actor["cause"], "died_at_ms": _ms(actor["died_at"]), "class_name": actor["qualname"],
        "name": actor["name"], "ray_namespace": actor["namespace"], "actor_id": actor["actor_id"], "pid": actor["pid"],
    }  # fmt: skip
    if actor["failed_in_init"]:
        return {
            "creation_task_failure_context": {
                **said,
                "formatted_exception_string": actor["cause"],
                "language": "PYTHON",
            }
        }
    return {"actor_died_error_context": said}


def _nodes(where: Any, timeout_s: float, silent: set[int]) -> list[Any]:
    return [
        NodeState(
            node_id=row["NodeID"], node_ip=row["NodeManagerAddress"], is_head_node="node:__internal_head__" in row["Resources"],
            state="ALIVE" if row["Alive"] else "DEAD", state_message=None, node_name=row.get("NodeName", ""),
            resources_total=row["Resources"], labels=row.get("Labels", {}), start_time_ms=_ms(row["started_at"]),
        )
        for row in cluster_view.table(where, "nodes")
    ]  # fmt: skip


_JOB_STATES = {"RUNNING": JobStatus.RUNNING, "FINISHED": JobStatus.SUCCEEDED, "FAILED": JobStatus.FAILED}


def _jobs(where: Any, timeout_s: float, silent: set[int]) -> list[Any]:
    return [
        JobState(
            job_id=_job_hex(row["job_id"]), submission_id=row["metadata"].get("job_submission_id"),
            type="SUBMISSION" if row["metadata"].get("job_submission_id") else "DRIVER",
            status=_JOB_STATES[row["state"]], entrypoint=row["entrypoint"],
            message=None if row["state"] != "FAILED" else "The driver died.", error_type=None, start_time=_ms(row["started_at"]),
            end_time=_ms(row["ended_at"]), metadata=row["metadata"], runtime_env=_environment(row["runtime_env"] or "{}"),
            driver_info=DriverInfo(_job_hex(row["job_id"]), "127.0.0.1", str(row["pid"])),
            namespace=row["namespace"],
        )
        for row in cluster_view.table(where, "jobs")
    ]  # fmt: skip


def _workers(where: Any, timeout_s: float, silent: set[int]) -> list[Any]:
    return [
        WorkerState(
            worker_id=ids.worker_id(row["peer"]), is_alive=not row["ended_at"], worker_type=row["role"].upper(),
            exit_type=row["exit_type"] or None, node_id=where.node_id, ip="127.0.0.1", pid=row["pid"],
            exit_detail=row["detail"] or None, start_time_ms=_ms(row["started_at"]), end_time_ms=_ms(row["ended_at"]),
            num_paused_threads=0, job_id=_job_hex(row["job_id"]), log_file=row["log"] or None,
        )
        for row in cluster_view.table(where, "processes")
    ]  # fmt: skip


def _objects(where: Any, timeout_s: float, silent: set[int]) -> list[Any]:
    processes = cluster_view.table(where, "processes")
    pids = {row["peer"]: row["pid"] for row in processes}
    roles = {row["peer"]: row["role"].upper() for row in processes}
    refs, no_answer = cluster_view.inspect(where, "refs", timeout_s=timeout_s)
    silent.update(no_answer)
    stored = {row["object_id"]: row for row in cluster_view.store_objects(where)}
    found, named = [], set()
    for peer, references in refs.items():
        for row in references:
            entry = stored.get(row["object_id"])
            named.add(row["object_id"])
            made = (entry["made"] if entry else "") or row["origin"] or row["made_by"]
            found.append(
                ObjectState(
                    object_id=row["object_id"], object_size=entry["size"] if entry else row["size"],
                    task_status=row["task_status"], reference_type=row["reference_type"], call_site=made or "disabled",
                    type=roles.get(peer, "WORKER"), pid=pids.get(peer, 0), ip="127.0.0.1", attempt_number=1,
                )
            )  # fmt: skip
    for object_id, entry in stored.items():  # held, but by no ref: views, actors' specifications, what is in transit
        if object_id not in named:
            for peer in entry["holders"] or [entry["owner"]]:
                found.append(
                    ObjectState(
                        object_id=object_id, object_size=entry["size"], task_status=entry["state"],
                        reference_type="PINNED_IN_MEMORY", call_site=entry["made"] or "disabled", type=roles.get(peer, "WORKER"),
                        pid=pids.get(peer, 0), ip="127.0.0.1", attempt_number=1,
                    )
                )  # fmt: skip
    return found


def _placement_groups(where: Any, timeout_s: float, silent: set[int]) -> list[Any]:
    return [
        PlacementGroupState(
            placement_group_id=row["placement_group_id"], name=row["name"], creator_job_id=_job_hex(row["job_id"]),
            state=row["state"], bundles=[
                {"bundle_id": str(index), "node_id": node or None, "unit_resources": unpack(bundle)}
                for index, (bundle, node) in enumerate(zip(row["bundles"], row["nodes"], strict=True))
            ],
            is_detached=row["detached"], stats={
                name: row[name] for name in ("scheduling_state", "scheduling_attempt", "highest_retry_delay_ms")
            },
        )
        for row in cluster_view.table(where, "placement_groups")
    ]  # fmt: skip


def _runtime_envs(where: Any, timeout_s: float, silent: set[int]) -> list[Any]:
    return [
        RuntimeEnvState(
            runtime_env=_environment(row["runtime_env"]), success=row["success"],
            creation_time_ms=row["creation_time_ms"], node_id=row["node_id"], ref_cnt=row["ref_cnt"],
            error=row["error"] or None,
        )
        for row in cluster_view.table(where, "runtime_envs")
    ]  # fmt: skip


def _environment(text: str) -> Any:
    """Return an environment as its owner told it; one that was too long to be told whole as text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _cluster_events(where: Any, timeout_s: float, silent: set[int]) -> list[Any]:
    """Deaths that nobody intended: what Ray's list of events is looked at for."""
    found = []
    for row in cluster_view.table(where, "processes"):
        if row["ended_at"] and row["exit_type"] not in _INTENDED:
            found.append(
                ClusterEventState(
                    severity="WARNING", time=str(_ms(row["ended_at"])), source_type="RAYLET", message=row["detail"],
                    event_id=ids.worker_id(row["peer"]), custom_fields={"pid": row["pid"], "job_id": _job_hex(row["job_id"])},
                )
            )  # fmt: skip
    return found


_RESOURCES: dict[str, Callable[[Any, float, set[int]], list[Any]]] = {
    "tasks": _tasks,
    "actors": _actors,
    "objects": _objects,
    "nodes": _nodes,
    "jobs": _jobs,
    "workers": _workers,
    "placement-groups": _placement_groups,
    "runtime-envs": _runtime_envs,
    "cluster-events": _cluster_events,
}
_CLASSES: dict[str, type[Row]] = {
    "tasks": TaskState,
    "actors": ActorState,
    "objects": ObjectState,
    "nodes": NodeState,
    "jobs": JobState,
    "workers": WorkerState,
    "placement-groups": PlacementGroupState,
    "runtime-envs": RuntimeEnvState,
    "cluster-events": ClusterEventState,
}
KEYS = {
    "tasks": "task_id",
    "actors": "actor_id",
    "objects": "object_id",
    "nodes": "node_id",
    "jobs": "job_id",
    "workers": "worker_id",
    "placement-groups": "placement_group_id",
}


_ID_BYTES = {"tasks": 24, "actors": 16, "nodes": 28}  # whose form is checked, as in Ray


def require_id(resource: str, given: Any) -> str:
    """Return an id as rows have it.

    Raises
    ------
    RayStateApiException
        For None, and for what cannot be the id of a task, an actor or a node.
    """
    if given is None:
        raise RayStateApiException(f"The id of one of the {resource} is None: give it as a hexadecimal text.")
    text = str(given).lower()
    size = _ID_BYTES.get(resource)
    if size is not None:
        if not re.fullmatch(f"[0-9a-f]{{{2 * size}}}", text):
            raise RayStateApiException(
                f"{given!r} is not the id of one of the {resource}, which has {2 * size} hexadecimal digits. `nbray list "
                f"{resource}` shows them."
            )
    return text


def require_key(resource: str) -> str:
    """Return the column that names one row; raises for resources whose rows have no name."""
    key = KEYS.get(resource)
    if key is None:
        raise RayStateApiException(f"{resource} cannot be got one by one; use list.")
    return key
