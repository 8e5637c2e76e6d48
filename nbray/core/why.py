"""Why a ref has no value yet: gather what is known here and at the daemon, and say it.

And the warning of a wait that goes on for long and may never end: somebody waits for himself
through others, or for resources that actors hold.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from nbray._cstore import ffi, lib
from nbray.config import Limits
from nbray.core import current
from nbray.core.call_site import warn
from nbray.core.records import TASK_METHOD, TaskRecord
from nbray.object_ref import ObjectRef
from nbray.resources import CPU, UNITS, pack
from nbray.scheduling import wait_reasons
from nbray.scheduling.sentence import say
from nbray.scheduling.wait_reasons import Holder
from nbray.serialization.error_value import ErrorValue
from nbray.wire import messages as m

MAX_DEPTH = 3  # arguments of arguments of ...
MAX_REFS = 20  # of a long wait that are looked at


class ClusterFacts:
    """What the daemon knows of resources and workers now."""

    def __init__(self, core: Any) -> None:
        state = core.request(m.StateRequest(request_id=core.control.next_id()))[0]
        self.total: dict[str, int] = state.total
        self.free: dict[str, int] = state.available
        self.processes: dict[int, dict[str, Any]] = {
            row["peer"]: row for row in _rows(core, "processes") if not row["ended_at"]
        }
        actors = {row["actor_id"]: row for row in _rows(core, "actors")}
        self.holders: list[Holder] = []
        for row in self.processes.values():
            if row["resources"]:
                actor = actors.get(row["actor_id"], {})
                name = actor.get("title") or row["running"]
                self.holders.append(
                    Holder(name, row["pid"], pack(row["resources"]), bool(actor), actor.get("made_at", ""), row["blocked"])
                )  # fmt: skip

        self._limits: Limits = core.limits

    def no_more_workers(self, name: str, need: Mapping[str, int], for_good: bool = False) -> str:
        """Return why no worker is started though resources are free; empty when that is not so.

        With ``for_good`` not when a place becomes free of itself, as soon as a task ends.
        """
        if any(self.free.get(one, 0) < units for one, units in need.items()):
            return ""
        workers = [row for row in self.processes.values() if row["role"] == "worker"]
        extra, most = int(self._limits.extra_workers), int(self._limits.max_processes)
        of_tasks = sum(row["state"] in ("IDLE", "LEASED") for row in workers)
        if of_tasks >= self.total.get(CPU, 0) // UNITS + extra:
            return wait_reasons.no_more_workers(name, of_tasks, extra)
        if len(workers) < most:
            return ""
        if for_good and any(row["state"] == "LEASED" and not row["blocked"] for row in workers):
            return ""
        return wait_reasons.no_more_processes(name, sum(row["state"] == "ACTOR" for row in workers), most)

    def waits_for(self, peer: int) -> str:
        """Return what a worker's task waits for, as far as it has told."""
        row = self.processes.get(peer, {})
        return "" if row.get("waits_to_begin") else row.get("waits_for", "")

    def waits_to_begin(self, peer: int) -> str:
        """Return what a worker's task waits for before it can begin; empty when it has begun."""
        row = self.processes.get(peer, {})
        return row["waits_for"] if row.get("waits_to_begin") else ""


def _rows(core: Any, table: str) -> list[dict[str, Any]]:
    request = m.ListRequest(request_id=core.control.next_id(), kind=table)
    replies = core.request(request, complete=lambda got: bool(got) and got[-1].last)
    return [row for reply in replies for row in msgspec.msgpack.decode(reply.rows)]


def why(core: Any, ref: ObjectRef) -> str:
    """Return one sentence: why ``ref`` has no value yet, or that it has one."""
    if ref._cluster is not core:
        raise current.foreign(ref)
    core.drain()
    if ref._data is None:
        with core.lock:
            core._settle_borrowed(ref)
    if ref._data is not None:
        return _ready(ref)
    return say("%1.", _clause(core, ref, ClusterFacts(core), 0))


def _ready(ref: ObjectRef) -> str:
    if type(ref._data) is ErrorValue:
        error = ref._data.exception()
        return say("It is ready: an error (%1) that get() raises.", type(error).__name__)
    return say("It is ready: get() returns at once.")


def _clause(core: Any, ref: ObjectRef, facts: ClusterFacts, depth: int) -> str:
    record = ref._task
    if ref._data is not None:
        return say("it is ready by now")
    if record is None:
        return wait_reasons.elsewhere(f"ObjectRef({ref.hex()})", core.peer_name(ref._owner))
    name = record.name or record.function.name
    if record.n_missing and record.deps:
        missing = [dep for dep in record.deps if dep._data is None]
        if missing and depth < MAX_DEPTH:
            return wait_reasons.arguments(name, [_clause(core, dep, facts, depth + 1) for dep in missing])
        return wait_reasons.arguments(name, [f"ObjectRef({dep.hex()})" for dep in missing] or [say("one just made")])
    if record.flags & TASK_METHOD:
        return _call_clause(core, record, name, facts)
    lane = record.lane
    if lane is None:
        if sentence := facts.no_more_workers(name, record.pool.shape):
            return sentence
        ahead = place_in(record.pool.queue, record)
        return wait_reasons.resources(name, record.pool.shape, facts.total, facts.free, facts.holders, ahead)
    number, seconds = _running(core, lane.link.chan)
    if number == record.number:
        return _at_its_worker(name, lane.pid, lane.peer, seconds, facts)
    return _behind(name, lane, lane.peer, lane.pid, record, number, seconds, facts)


def _call_clause(core: Any, record: TaskRecord, name: str, facts: ClusterFacts) -> str:
    calls = record.pool
    notice = calls.notice
    if record.lane is None:
        if calls.state == "ALIVE":
            before = calls.queue[0] if calls.queue else None
            if before is not None and before is not record and before.n_missing:
                first = before.name or before.function.name
                return say("%1 keeps its place behind %2, whose arguments are not there yet", name, first)
            return say(
                "%1 is about to be sent to its actor, which has %2 calls of this process", name, len(calls.tasks)
            )
        inner = ""
        if calls.need and any(facts.free.get(one, 0) < units for one, units in calls.need.items()):
            inner = wait_reasons.resources(say("it"), calls.need, facts.total, facts.free, facts.holders)
        elif calls.state in ("PENDING_CREATION", "RESTARTING"):
            inner = facts.no_more_workers(say("it"), calls.need)
        return wait_reasons.actor(name, calls.state, notice.cause if notice is not None else "", inner)
    pid, peer = (notice.pid, notice.worker) if notice is not None else (0, 0)
    if calls.side_by_side or calls.link is None:
        return wait_reasons.taken(name, pid)
    number, seconds = _running(core, calls.link.chan)
    if number == record.number:
        return _at_its_worker(name, pid, peer, seconds, facts)
    return _behind(name, calls, peer, pid, record, number, seconds, facts)


def _at_its_worker(name: str, pid: int, peer: int, seconds: float, facts: ClusterFacts) -> str:
    if missing := facts.waits_to_begin(peer):
        return wait_reasons.beginning(name, pid, seconds, missing)
    return wait_reasons.running(name, pid, seconds, facts.waits_for(peer))


def _behind(
    name: str, lane: Any, peer: int, pid: int, record: TaskRecord, number: int, seconds: float, facts: ClusterFacts
) -> str:  # fmt: skip
    head = lane.tasks.get(number)
    title = (head.name or head.function.name) if head is not None else ""
    waits = facts.waits_for(peer) or facts.waits_to_begin(peer)
    return wait_reasons.behind(name, pid, place_in(lane.tasks.values(), record), title, seconds, waits)


def place_in(records: Any, record: TaskRecord) -> int:
    """Return how many of ``records`` come before one; 0 also where it is not among them."""
    for position, other in enumerate(list(records)):
        if other is record:
            return position
    return 0


def _running(core: Any, chan: int) -> tuple[int, float]:
    """Return number of and seconds since what a channel's worker runs; (-1, 0) when nothing."""
    number, start = ffi.new("uint64_t *"), ffi.new("uint64_t *")
    if lib.nbs_running(core.seg, chan, number, start) != 1:
        return -1, 0.0
    return number[0], max(0.0, time.monotonic() - start[0] / 1e9)


# ------------------------------------------------------------------------- long waits


@functools.cache
def _limits() -> Limits:
    return Limits.from_environ(os.environ)


class LongWait:
    """What is done about one wait of this process while it goes on."""

    def __init__(self, core: Any, refs: Sequence[ObjectRef]) -> None:
        self.core = core
        self.refs = refs
        now = time.monotonic()
        in_task = core.role == "worker"
        limits = self._limits = _limits()
        self._say_at = now + limits.wait_told_s if in_task and refs else float("inf")
        self._warn_at = now + limits.wait_warned_s if refs else float("inf")

    def look(self) -> None:
        """Do what is due; called now and then by the thread that waits."""
        now = time.monotonic()
        if now < self._say_at and now < self._warn_at:
            return
        if now >= self._say_at:
            self._say_at = float("inf")
            on, text = self._edges()
            self.core.control.send(m.WaitingNotice(text=text[:500], on=on))
        else:
            self._warn_at = float("inf")
            text = self._diagnosis()
            if text:
                warn(text)

    def _open(self) -> list[ObjectRef]:
        return [ref for ref in self.refs if ref._data is None][:MAX_REFS]

    def _edges(self) -> tuple[list[int], str]:
        """Return the processes that this one waits for, and a clause that says so."""
        on, names = [], []
        core = self.core
        with core.lock:
            for ref in self._open():
                record = ref._task
                if record is None:
                    continue
                names.append(record.name or record.function.name)
                peer = _blocked_by(core, record)
                if peer and peer not in on:
                    on.append(peer)
        who = core.running_name() or "the driver"
        return on, f"{who} (pid {core.pid}) waits for {wait_reasons.listed(names) or 'an object'}"

    def _diagnosis(self) -> str:
        """Return why this wait may never end; empty when that cannot be said."""
        core = self.core
        try:
            facts = ClusterFacts(core)
        except Exception:  # the daemon is busy or gone; the wait itself tells of that
            return ""
        on, text = self._edges()
        edges = {peer: row.get("waits_on", ()) for peer, row in facts.processes.items()}
        edges[core.peer] = on
        texts = {peer: row.get("waits_for", "") for peer, row in facts.processes.items()}
        texts[core.peer] = text
        found = wait_reasons.cycle(edges, core.peer)
        if found:
            return wait_reasons.deadlock([texts.get(peer) or core.peer_name(peer) for peer in found])
        with core.lock:
            records = [ref._task for ref in self._open() if ref._task is not None and ref._task.lane is None]
        for record in records:
            name = record.name or record.function.name
            if record.n_missing:
                continue
            need = record.pool.need if record.flags & TASK_METHOD else record.pool.shape
            if record.flags & TASK_METHOD and record.pool.state == "ALIVE":
                continue
            sentence, _ = wait_reasons.stuck(name, need, facts.total, facts.holders)
            sentence = sentence or facts.no_more_workers(name, need, for_good=True)
            if sentence:
                return f"get() waits since {self._limits.wait_warned_s:.0f} s, and may wait for ever: {sentence}"
        return ""


def _blocked_by(core: Any, record: TaskRecord) -> int:
    """Return the process without which a task does not go on; 0: not known, or none."""
    if record.n_missing:
        for dep in record.deps or ():
            if dep._data is None and dep._task is not None:
                return _blocked_by(core, dep._task)
        return 0
    if record.lane is None:
        return 0
    if record.flags & TASK_METHOD:
        calls = record.pool
        if calls.side_by_side or calls.notice is None:
            return 0  # others run beside what waits there
        return core.peer if calls.is_self else calls.notice.worker
    return record.lane.peer
