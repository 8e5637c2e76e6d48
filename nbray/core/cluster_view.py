"""Ask a cluster for all that it knows and reduce it to one view.

``source`` is a CoreWorker or an Observer: both have ``request``, ``control`` and ``seg``.
"""

from __future__ import annotations

from typing import Any

import msgspec

from nbray._cstore import ffi, lib
from nbray.events import records
from nbray.events.reducer import FAILED, View
from nbray.wire import messages as m

_decode = msgspec.msgpack.decode
MAX_OBJECTS = 200_000  # of the store in one list
_ITEM_FIELDS = {name for name, _ in ffi.typeof("nbs_list_item").fields}
_STATES = {lib.NBS_PROMISED: "PROMISED", lib.NBS_CREATED: "CREATED", lib.NBS_SEALED: "SEALED"}


def table(source: Any, kind: str) -> list[dict[str, Any]]:
    """Return the rows of one of the daemon's tables."""
    request = m.ListRequest(request_id=source.control.next_id(), kind=kind)
    replies = source.request(request, complete=lambda got: bool(got) and got[-1].last)
    return [row for reply in replies for row in _decode(reply.rows)]


def inspect(
    source: Any, what: str, limit: int = 10_000, timeout_s: float = 2.0
) -> tuple[dict[int, list[Any]], list[int]]:
    """Ask every process; returns peer -> rows, and the pids of those that did not answer."""
    request = m.InspectRequest(source.control.next_id(), what, limit, timeout_s)
    replies = source.request(request, timeout_s=timeout_s + 10.0, complete=lambda got: bool(got) and got[-1].last)
    rows: dict[int, list[Any]] = {}
    for reply in replies[:-1]:
        rows.setdefault(reply.peer, []).extend(_decode(reply.rows) if reply.rows else [])
    return rows, list(replies[-1].silent)


def ends_of(source: Any, owner: int, number: int, timeout_s: float = 2.0) -> list[dict[str, Any]]:
    """Return how the runs of a task ended that failed, the oldest first.

    Its owner is asked, who knows the errors. Where he has ended, or does not answer, the log says what is known.

    Returns
    -------
    list of dict
        ``attempt``, ``process``, ``t_ns``, ``died``, ``is_last``, and ``blob``: the error, None if that is not known.
    """
    request = m.InspectRequest(source.control.next_id(), "ends", timeout_s=timeout_s, owner=owner, seq=number)
    replies = source.request(request, timeout_s=timeout_s + 10.0, complete=lambda got: bool(got) and got[-1].last)
    answers = [reply for reply in replies if reply.peer == owner]
    if answers and not replies[-1].silent:
        return [row for reply in answers if reply.rows for row in _decode(reply.rows)]
    view = View()
    for reply in event_replies(source):
        view.apply_all(records.decode(reply.block, (owner, number)))
    runs = sorted(view.runs.get((owner, number), ()), key=lambda run: run[2])
    ends = [(process, end, error == "WORKER_DIED", False) for process, _, end, error in runs if error]
    row = view.tasks.get((owner, number))
    if row is not None and row["state"] == FAILED:
        ends.append((row["process"], row["end"], row["error_type"] == "WORKER_DIED", True))
    return [
        {"attempt": attempt, "process": process, "t_ns": end, "died": died, "is_last": is_last, "blob": None}
        for attempt, (process, end, died, is_last) in enumerate(ends)
    ]


def event_replies(source: Any) -> list[Any]:
    """Return the daemon's event log, as EventsReply messages."""
    request = m.EventsRequest(request_id=source.control.next_id())
    return source.request(request, complete=lambda got: bool(got) and got[-1].last, timeout_s=30.0)


class Snapshot:
    """A view, and what does not fit into it.

    Attributes
    ----------
    view : View
    offset_ns : int
        Wall clock minus the clock of the events.
    silent : list of int
        Pids of processes that did not answer in time: their tasks are missing.
    dropped : int
        Records that had to go: the counts of tasks that are done are too low by them.
    side_by_side : set of int
        Peers of the actors that run calls side by side.
    """

    def __init__(self, view: View, offset_ns: int, silent: list[int], dropped: int, side_by_side: set[int]) -> None:
        self.view = view
        self.side_by_side = side_by_side
        self.offset_ns = offset_ns
        self.silent = silent
        self.dropped = dropped


def tasks(source: Any, timeout_s: float = 2.0) -> Snapshot:
    """Return all tasks that are known: those in the log, and those that their owners still have."""
    owned, silent = inspect(source, "tasks", timeout_s=timeout_s)  # before the log: an end in it is later
    replies = event_replies(source)
    view = View()
    offset_ns = dropped = 0
    for reply in replies:
        for name in reply.definitions:
            view.apply(
                {"type": "define", "owner": name.owner, "number": name.number, "name": name.name, "kind": name.kind,
                 "origin": name.origin, "resources": name.resources, "env_key": name.env_key, "of": name.function, "target": name.target}
            )  # fmt: skip
        offset_ns = reply.monotonic_offset_ns or offset_ns
        dropped = reply.dropped or dropped
    for reply in replies:
        view.apply_all(records.decode(reply.block))
    for peer, rows in owned.items():
        if rows:
            view.apply({"type": "owned", "owner": peer, "t": rows[0].get("taken_ns", 0), "tasks": rows[1:]})
    side_by_side = set()
    for peer, rows in owned.items():  # what an actor runs side by side, only it knows
        if rows and rows[0].get("under_way") is not None:
            side_by_side.add(peer)
            view.apply({"type": "running", "process": peer, "calls": rows[0]["under_way"]})
    view.apply_all({"type": "process", **row} for row in table(source, "processes"))
    view.apply_all({"type": "actor", **row} for row in table(source, "actors"))
    view.leave_out_unrecorded()
    return Snapshot(view, offset_ns, silent, dropped, side_by_side)


def actor_of_call(source: Any, owner: int, number: int) -> str:
    """Return the id of the actor that a task calls; empty when it calls none, or is forgotten."""
    view = tasks(source).view
    row = view.tasks.get((owner, number))
    if row is not None and row["kind"] == "ACTOR_TASK":
        process: dict[str, Any] = view.processes.get(row["process"], {})
        if found := row["actor_id"] or process.get("actor_id"):
            return str(found)
    failed, _ = inspect(source, "errors")  # perhaps it never came to the actor
    return next((one["actor_id"] for one in failed.get(owner, ()) if one["seq"] == number), "")


def store_objects(source: Any) -> list[dict[str, Any]]:
    """Return what lies in the object store: id, size, state, how many and (if known) which processes hold it."""
    stats = ffi.new("nbs_stats *")
    lib.nbs_get_stats(source.seg, stats)
    room = min(int(stats.n_objects) + 100, MAX_OBJECTS)
    items = ffi.new("nbs_list_item[]", room)
    count = min(int(lib.nbs_list(source.seg, items, room)), room)
    return [_object(items[index]) for index in range(max(count, 0))]


def _object(item: Any) -> dict[str, Any]:
    row = {
        "object_id": bytes(item.id).hex(),
        "size": int(item.size),
        "state": _STATES.get(item.state, "FREE"),
        "lost": bool(item.meta & lib.NBS_META_LOST),
        "n_holders": int(item.n_holders),
        "owner": int(item.promiser),
        "holders": [],
        "made": "",
    }
    if "holders" in _ITEM_FIELDS:
        row["holders"] = [int(peer) for peer in item.holders if peer]
    if "label" in _ITEM_FIELDS:
        row["made"] = ffi.string(item.label).decode("utf-8", "replace")
    return row


def store_stats(source: Any) -> dict[str, int]:
    """Return the figures of the object store."""
    stats = ffi.new("nbs_stats *")
    lib.nbs_get_stats(source.seg, stats)
    return {name: int(getattr(stats, name)) for name, _ in ffi.typeof("nbs_stats").fields}
