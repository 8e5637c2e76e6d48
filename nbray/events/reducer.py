"""Events to the current view of the cluster. Pure, so that it has a twin in the panel.

Events are plain maps with a ``type``:

=========  ==========================================================================
define     ``owner, number, name, kind, origin``: a name for an owner's function; perhaps also
           what its tasks ask for (``resources`` in units, ``env_key``, ``target``), and ``of``: the
           function, where the name is another
submit     ``t, owner, seq, function``: a task was sent to a worker
result     ``t, owner, seq, process, duration, status``: it ended, ``ok|error|cancelled``
lost       ``t, owner, seq, function, process, status``: its owner says that a run is over, of which no
           worker told; ``process``: the worker that died with it, 0: it had none; ``again`` as status:
           the task runs again
parent     ``owner, seq, slot, number``: the task that submitted it, by its owner's slot
owned      ``t, owner, tasks``: all tasks of an owner that are not done, at that time
running    ``process, calls``: of the calls that were sent to an actor that runs several at a time,
           those that run: owner, seq, t of each
process    ``peer, pid, role, job_id, ended_at, ...``: a process, as it is now
job        ``job_id, ...``; actor ``actor_id, ...``; node ``node_id, ...``;
           placement_group ``id, ...``: a row of a table, as it is now
=========  ==========================================================================

Times are in nanoseconds of one clock (CLOCK_MONOTONIC). A peer is a number; a task is named by
its owner and the number that its owner counted. States are Ray's.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

PENDING_ARGS_AVAIL = "PENDING_ARGS_AVAIL"
PENDING_NODE_ASSIGNMENT = "PENDING_NODE_ASSIGNMENT"
SUBMITTED_TO_WORKER = "SUBMITTED_TO_WORKER"
RUNNING = "RUNNING"
FINISHED = "FINISHED"
FAILED = "FAILED"
TASK_STATES = (PENDING_ARGS_AVAIL, PENDING_NODE_ASSIGNMENT, SUBMITTED_TO_WORKER, RUNNING, FINISHED, FAILED)
DONE = (FINISHED, FAILED)

_KINDS = {"task": "NORMAL_TASK", "actor_task": "ACTOR_TASK", "actor": "ACTOR_CREATION_TASK"}
_ERROR_TYPES = {"ok": "", "error": "TASK_EXECUTION_EXCEPTION", "cancelled": "TASK_CANCELLED"}
_TABLES = {"job": "job_id", "actor": "actor_id", "node": "node_id", "placement_group": "id"}


class View:
    """The cluster as its events tell it.

    Parameters
    ----------
    max_tasks : int
        Tasks that are kept; of those that are done the oldest go first, and are counted.

    Attributes
    ----------
    tasks : dict
        (owner, seq) -> row.
    processes, jobs, actors, nodes, placement_groups : dict
        Rows by peer or id.
    runs : dict
        (owner, seq) -> (process, start, end, error type; empty: it did not fail) of the earlier runs of a task that ran
        again. Of one that died with its worker the start is not known.
    forgotten : int
        Tasks that were let go.
    """

    def __init__(self, max_tasks: int = 1_000_000) -> None:
        self.max_tasks = max_tasks
        self.tasks: dict[tuple[int, int], dict[str, Any]] = {}
        self.names: dict[tuple[int, int], dict[str, Any]] = {}
        self._unrecorded: set[tuple[int, int]] = set()
        self.processes: dict[int, dict[str, Any]] = {}
        self.tables: dict[str, dict[Any, dict[str, Any]]] = {kind: {} for kind in _TABLES}
        self.runs: dict[tuple[int, int], list[tuple[int, int, int, str]]] = {}
        self.forgotten = 0
        self._open: dict[int, dict[int, None]] = {}  # owner -> tasks that are not done
        self._parents: dict[tuple[int, int], tuple[int, int]] = {}  # task -> slot of its parent's owner, number
        self._owners_of_slot: dict[int, list[int]] = {}  # oldest first

    def apply(self, event: dict[str, Any]) -> None:
        """Take one event; one of an unknown type changes nothing."""
        kind = event["type"]
        if kind == "submit":
            self._submit(event)
        elif kind == "result":
            self._result(event)
        elif kind == "lost":
            self._lost(event)
        elif kind == "parent":
            self._parents[event["owner"], event["seq"]] = event["slot"], event["number"]
        elif kind == "define":
            self.names[event["owner"], event["number"]] = event
        elif kind == "owned":
            self._owned(event)
        elif kind == "running":
            self._running(event)
        elif kind == "process":
            self._process(event)
        elif kind in _TABLES:
            row = {name: value for name, value in event.items() if name != "type"}
            self.tables[kind].setdefault(event[_TABLES[kind]], {}).update(row)

    def apply_all(self, events: Iterable[dict[str, Any]]) -> View:
        """Take events in order; returns the view itself."""
        for event in events:
            self.apply(event)
        return self

    # ---------------------------------------------------------------------- tasks

    def _task(self, owner: int, seq: int) -> dict[str, Any]:
        row = self.tasks.get((owner, seq))
        if row is None:
            if len(self.tasks) >= self.max_tasks:
                self._forget()
            row = self.tasks[owner, seq] = {
                "owner": owner, "seq": seq, "name": "", "function": "", "kind": "NORMAL_TASK", "state": "", "attempt": 0,
                "process": 0, "submitted": 0, "start": 0, "end": 0, "error_type": "", "origin": "", "parent": 0,
                "actor_id": "", "resources": {},
            }  # fmt: skip
            owners = self._owners_of_slot.setdefault(owner & 0xFFFFFFFF, [])
            if owner not in owners:
                owners.append(owner)
        return row

    def _forget(self) -> None:
        """Let the oldest tenth go, first of those that are done."""
        many = max(1, self.max_tasks // 10)
        done = [key for key, row in self.tasks.items() if row["state"] in DONE][:many]
        for key in done or list(self.tasks)[:many]:
            del self.tasks[key]
            self._parents.pop(key, None)
            self.runs.pop(key, None)
            self._open.get(key[0], {}).pop(key[1], None)
            self.forgotten += 1

    def _enter(self, row: dict[str, Any], state: str, error_type: str = "") -> None:
        row["state"], row["error_type"] = state, error_type
        if state in DONE:
            self._open.get(row["owner"], {}).pop(row["seq"], None)
        else:
            self._open.setdefault(row["owner"], {})[row["seq"]] = None

    def _submit(self, event: dict[str, Any]) -> None:
        row = self._task(event["owner"], event["seq"])
        if row["state"] in DONE and event["t"] <= row["end"]:
            # Each process has a ring of its own: the end may be read before the beginning.
            row["submitted"] = event["t"]
            self._name(row, event["function"])
            return
        if row["state"] in DONE:  # it is run again
            self._run_over(row)
            row["start"] = row["end"] = row["process"] = 0
        self._enter(row, SUBMITTED_TO_WORKER)
        row["submitted"] = event["t"]
        self._name(row, event["function"])

    def _name(self, row: dict[str, Any], function: int) -> None:
        name = self.names.get((row["owner"], function))
        if name is not None:
            row["function"] = name.get("of") or name["name"]
            row["name"] = row["name"] or name["name"]
            row["kind"] = _KINDS.get(name.get("kind", "task"), "NORMAL_TASK")
            row["origin"] = row["origin"] or name.get("origin", "")
            for asked in ("resources", "env_key", "target"):
                if name.get(asked):
                    row[asked] = name[asked]
            if name.get("kind") == "unrecorded":
                self._unrecorded.add((row["owner"], row["seq"]))

    def _result(self, event: dict[str, Any]) -> None:
        row = self._task(event["owner"], event["seq"])
        begun = event["t"] - event["duration"]
        if event["t"] < row["submitted"] or event["t"] < row["start"]:
            # Workers have rings of their own, too: of an earlier run may be read after a later one.
            self._run_over(row, (event["process"], begun, event["t"], _ERROR_TYPES[event["status"]]))
            return
        if row["state"] in DONE and row["process"] and begun >= row["end"]:
            self._run_over(row)  # that it was sent again has not been read yet
        status = event["status"]
        self._enter(row, FINISHED if status == "ok" else FAILED, _ERROR_TYPES[status])
        row["process"] = event["process"]
        row["start"] = begun
        row["end"] = event["t"]

    def _lost(self, event: dict[str, Any]) -> None:
        row = self._task(event["owner"], event["seq"])
        ended = event["t"]
        self._name(row, event["function"])
        if event["status"] == "again":
            self._run_over(row, (event["process"], 0, ended, "WORKER_DIED"))
            if row["state"] not in DONE and row["start"] <= ended:  # of the next run nothing has been read yet
                row["start"] = row["process"] = 0
                sent_again = row["submitted"] > ended
                self._enter(row, SUBMITTED_TO_WORKER if sent_again else PENDING_NODE_ASSIGNMENT)
        elif row["state"] not in DONE and row["submitted"] <= ended:  # one that was sent after that runs again
            died = "WORKER_DIED" if event["process"] else ""
            self._enter(row, FAILED, "TASK_CANCELLED" if event["status"] == "cancelled" else died)
            row["process"], row["end"] = event["process"], ended

    def _run_over(self, row: dict[str, Any], run: tuple[int, int, int, str] | None = None) -> None:
        """Count a run before the last one: ``run``, or the one that the row told of."""
        row["attempt"] += 1
        run = run or (row["process"], row["start"], row["end"], row["error_type"])
        self.runs.setdefault((row["owner"], row["seq"]), []).append(run)

    def _owned(self, event: dict[str, Any]) -> None:
        """An owner names all its tasks that are not done: what was submitted before and is not among them is over."""
        owner, taken = event["owner"], event["t"]
        there = set()
        for task in event["tasks"]:
            there.add(task["seq"])
            row = self._task(owner, task["seq"])
            if row["state"] in DONE and row["end"] > taken:
                continue  # it ended meanwhile
            for name in ("name", "function", "kind", "process", "parent", "origin", "actor_id", "resources"):
                if task.get(name):
                    row[name] = task[name]
            row["start"] = task.get("start_ns", 0)
            self._enter(row, task["state"])
        for seq in list(self._open.get(owner, ())):
            row = self.tasks[owner, seq]
            if seq not in there and row["submitted"] < taken:
                self._enter(row, FAILED, "WORKER_DIED")  # nobody told of its end

    def _running(self, event: dict[str, Any]) -> None:
        begun = {(owner, seq): t for owner, seq, t in event["calls"]}
        for owner, seqs in self._open.items():
            for row in (self.tasks[owner, seq] for seq in seqs):
                if row["process"] == event["process"] and row["state"] in (SUBMITTED_TO_WORKER, RUNNING):
                    row["start"] = begun.get((owner, row["seq"]), 0)
                    row["state"] = RUNNING if row["start"] else SUBMITTED_TO_WORKER

    def _process(self, event: dict[str, Any]) -> None:
        row = {name: value for name, value in event.items() if name != "type"}
        self.processes.setdefault(event["peer"], {}).update(row)
        if event.get("ended_at"):
            for seq in list(self._open.get(event["peer"], ())):
                self._enter(self.tasks[event["peer"], seq], FAILED, "WORKER_DIED")  # its owner did; Ray says it so

    # ------------------------------------------------------------------ questions

    def parent_of(self, owner: int, seq: int) -> tuple[int, int] | None:
        """Return the task that submitted a task, as (owner, seq); None: none did, or it is not known."""
        slot, number = self._parents.get((owner, seq), (0, 0))
        owners = self._owners_of_slot.get(slot, ())
        known = [one for one in owners if (one, number) in self.tasks]  # else it made an actor, or is forgotten
        return ((known or owners)[-1], number) if owners else None

    def leave_out_unrecorded(self) -> None:
        """Forget the tasks that are not to be recorded (``enable_task_events=False``); after all events."""
        for key in self._unrecorded:
            self.tasks.pop(key, None)

    def counts(self) -> dict[str, int]:
        """Return how many tasks are in each state."""
        counts = dict.fromkeys(TASK_STATES, 0)
        for row in self.tasks.values():
            counts[row["state"]] = counts.get(row["state"], 0) + 1
        return counts

    def by_function(self) -> dict[str, dict[str, Any]]:
        """Return counts of states by function: name -> ``type`` and ``state_counts``."""
        found: dict[str, dict[str, Any]] = {}
        for row in self.tasks.values():
            name = row["function"] or row["name"] or "(unknown)"
            entry = found.setdefault(name, {"type": row["kind"], "state_counts": {}})
            entry["state_counts"][row["state"]] = entry["state_counts"].get(row["state"], 0) + 1
        return found

    def as_json(self) -> dict[str, Any]:
        """Return all of it as plain values, in a fixed order: what golden files hold."""
        return {
            "tasks": [self.tasks[key] for key in sorted(self.tasks)],
            "counts": self.counts(),
            "functions": dict(sorted(self.by_function().items())),
            "processes": [self.processes[peer] for peer in sorted(self.processes)],
            **{f"{kind}s": [rows[key] for key in sorted(rows)] for kind, rows in self.tables.items()},
            "forgotten": self.forgotten,
        }
