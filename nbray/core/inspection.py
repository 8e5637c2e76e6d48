"""What this process holds, for lists of the whole cluster: the tasks that it owns, its refs.

Made on demand from what the runtime keeps anyway, so that tasks cost nothing for it.
"""

from __future__ import annotations

import gc
import itertools
import time
from collections.abc import Iterator
from typing import Any

from nbray._cstore import ffi, lib
from nbray.core.core_state import CoreState
from nbray.core.records import StoredValue, TaskRecord
from nbray.object_ref import ObjectRef
from nbray.serialization import error_value
from nbray.serialization.error_value import ErrorValue
from nbray.wire import codec
from nbray.wire import messages as m

ROWS_AT_ONCE = 1000  # in one message
MAX_ERRORS = 1000  # of one process in a list: the latest
ERRORS_AT_ONCE = 50  # the same, of errors with their text
_MAX_ERROR_TEXT = 4000  # characters, of which the last ones say most
_MAX_ERROR_BYTES = 64 * 1024  # about, of one that is asked for
_MAX_NAME = 200  # characters
METHOD = 16  # flag of a record: a call of an actor


def answers(core: CoreState, notice: m.InspectNotice) -> Iterator[m.InspectedNotice]:
    """Yield what this process answers; called with the core worker's lock held."""
    rows = iter(ends(core, notice.seq) if notice.what == "ends" else _QUESTIONS.get(notice.what, _nothing)(core))
    rows = itertools.islice(rows, max(0, min(notice.limit, 100_000)))
    at_once = ERRORS_AT_ONCE if notice.what in ("errors", "attempts", "ends") else ROWS_AT_ONCE
    if notice.what == "tasks":  # the time tells which tasks were submitted later
        head = {"taken_ns": time.monotonic_ns(), "under_way": core.calls_under_way()}
        yield m.InspectedNotice(notice.token, codec.encode_any([head]))
    while True:
        some = list(itertools.islice(rows, at_once))
        if not some:
            break
        yield m.InspectedNotice(notice.token, codec.encode_any(some))
    yield m.InspectedNotice(notice.token, codec.encode_any([]), last=True)


def _nothing(core: CoreState) -> list[dict[str, Any]]:
    return []


def _tasks(core: CoreState) -> Iterator[dict[str, Any]]:
    """The tasks that this process owns and that are not done."""
    seen: set[int] = set()

    def row(record: TaskRecord, state: str, process: int, start_ns: int, actor_id: str) -> dict[str, Any] | None:
        if record.number in seen or record.ref is None:
            return None
        seen.add(record.number)
        return {
            "seq": record.number,
            "name": (record.name or record.function.name)[:_MAX_NAME],
            "function": record.function.function[:_MAX_NAME],
            "kind": "ACTOR_TASK" if record.flags & METHOD else "NORMAL_TASK",
            "state": state,
            "process": process,
            "start_ns": start_ns,
            "parent": record.parent & ((1 << 64) - 1),
            "origin": record.origin,
            "actor_id": actor_id,
            "resources": getattr(record.pool, "shape", {}),
        }

    rows = [
        row(record, "PENDING_ARGS_AVAIL", 0, 0, record.pool.actor_id if record.flags & METHOD else "")
        for record in core.waiting_args.values()
    ]
    for actor_id, calls in core.actors.items():
        rows += [row(record, "PENDING_NODE_ASSIGNMENT", 0, 0, actor_id) for record in calls.queue]
        if calls.link is not None:
            number, start_ns = _running(core, calls.link.chan)
            for record in calls.tasks.values():
                runs = record.number == number
                state = "RUNNING" if runs else "SUBMITTED_TO_WORKER"
                rows.append(row(record, state, calls.link.peer, start_ns if runs else 0, actor_id))
    for lane in core.lanes.values():
        number, start_ns = _running(core, lane.link.chan)
        for record in lane.tasks.values():
            runs = record.number == number
            rows.append(
                row(record, "RUNNING" if runs else "SUBMITTED_TO_WORKER", lane.peer, start_ns if runs else 0, "")
            )
    for pool in core.pools.values():
        rows += [row(record, "PENDING_NODE_ASSIGNMENT", 0, 0, "") for record in pool.queue]
    return (one for one in rows if one is not None)


def _running(core: CoreState, chan: int) -> tuple[int, int]:
    """Return the number and the start of what a channel's worker runs; zeros when it runs nothing of ours."""
    number, start = ffi.new("uint64_t *"), ffi.new("uint64_t *")
    if lib.nbs_running(core.seg, chan, number, start) != 1:
        return 0, 0
    return int(number[0]), int(start[0])


def _refs(core: CoreState) -> Iterator[dict[str, Any]]:
    """The refs of this process, the largest first."""
    needed: set[int] = set()  # by identity: refs that a task which is not done needs
    for record in open_records(core):
        needed.update(id(ref) for ref in record.deps or ())
    rows = []
    for ref in all_refs(core):
        data, task = ref._data, ref._task
        size, where = 0, ""
        if type(data) is bytes:
            size, where = len(data), "process"
        elif (info := _stored(core, ref)) is not None:
            size, where = int(info.size), "store"
        status = "FINISHED"
        if type(data) is ErrorValue:
            status = "FAILED"
        elif data is None and task is not None:
            status = (
                "PENDING_ARGS_AVAIL"
                if task.n_missing
                else "SUBMITTED_TO_WORKER"
                if task.lane
                else "PENDING_NODE_ASSIGNMENT"
            )
        elif data is None and where != "store":
            status = "NIL"
        made_by = task.function.name if task is not None else ""
        rows.append(
            {
                "object_id": ref.hex(),
                "size": size,
                "where": where,
                "owned": ref._owner == core.peer,
                "reference_type": "USED_BY_PENDING_TASK" if id(ref) in needed else "LOCAL_REFERENCE",
                "task_status": status,
                "made_by": made_by[:_MAX_NAME],
                "origin": task.origin if task is not None else "",
            }
        )
    return iter(sorted(rows, key=lambda row: row["size"], reverse=True))


def _stored(core: CoreState, ref: ObjectRef) -> Any:
    """Return the nbs_object of a ref's value, or of the place that waits for it; None: it has none in the store."""
    data = ref._data
    hold = data.hold if type(data) is StoredValue else ref._hold
    info = ffi.new("nbs_object *")
    return info if hold is not None and hold.obj and lib.nbs_obj_info(core.seg, hold.obj, info) == 0 else None


def location(core: CoreState, ref: ObjectRef) -> tuple[int | None, bool]:
    """Return the bytes of a ref's value, None when it is not there, and whether it lies on disk; with the lock held."""
    if type(ref._data) is bytes:
        return len(ref._data), False
    info = _stored(core, ref)
    if info is None or info.state != lib.NBS_SEALED or info.meta & lib.NBS_META_LOST:
        return None, False
    return int(info.size), bool(info.meta & lib.NBS_META_SPILLED)


def all_refs(core: CoreState) -> list[ObjectRef]:
    """Return every ref of this process; takes milliseconds where there are many objects."""
    return [one for one in gc.get_objects() if type(one) is ObjectRef and one._cluster is core]


def open_records(core: CoreState) -> Iterator[TaskRecord]:
    """Yield the tasks of this process that are not done; with the lock held."""
    yield from core.waiting_args.values()
    yield from (record for _, record in core._delayed if record.ref is not None)
    for pool in core.pools.values():
        yield from pool.queue
    for lane in core.lanes.values():
        yield from lane.tasks.values()
    for calls in core.actors.values():
        yield from calls.queue
        yield from calls.tasks.values()


def _errors(core: CoreState) -> Iterator[dict[str, Any]]:
    """The tasks of this process that failed lately, with what they raised."""
    for failed in core.failed.since(core.failed.count - MAX_ERRORS):
        error_type, text = error_value.describe(failed.blob)
        yield {
            "seq": failed.number,
            "name": failed.name[:_MAX_NAME],
            "function": failed.function[:_MAX_NAME],
            "kind": "ACTOR_TASK" if failed.actor_id else "NORMAL_TASK",
            "actor_id": failed.actor_id,
            "error_type": error_type,
            "error_message": text if len(text) <= _MAX_ERROR_TEXT else "..." + text[-_MAX_ERROR_TEXT:],
            "end": failed.t_ns,
            "process": failed.process,
            "began": failed.began,
        }


def _attempts(core: CoreState) -> Iterator[dict[str, Any]]:
    """The runs that failed of tasks of this process that ran again, oldest first."""
    for one in list(core.failed.attempts):
        error_type, text = error_value.describe(one.blob)
        yield {
            "seq": one.number, "attempt": one.attempt, "process": one.process, "error_type": error_type,
            "error_message": text, "end": one.t_ns,
        }  # fmt: skip


def ends(core: CoreState, number: int) -> Iterator[dict[str, Any]]:
    """How the runs of one task of this process ended that failed, oldest first; as ``cluster_view.ends_of`` returns it."""
    earlier = core.failed.attempts_of(number)
    for one in earlier:
        yield {
            "attempt": one.attempt, "process": one.process, "t_ns": one.t_ns, "died": False, "is_last": False, "blob": one.blob,
        }  # fmt: skip
    last = core.failed.of(number)
    if last is not None and all(record.number != number for record in open_records(core)):
        yield {
            "attempt": earlier[-1].attempt + 1 if earlier else 0, "process": last.process, "t_ns": last.t_ns,
            "died": last.process != 0, "is_last": True, "blob": error_value.shorten(last.blob, _MAX_ERROR_BYTES),
        }  # fmt: skip


_QUESTIONS: dict[str, Any] = {"tasks": _tasks, "refs": _refs, "errors": _errors, "attempts": _attempts}
