"""Event records to a Chrome trace. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from nbray.events.records import RECORD as EVENT
from nbray.events.records import RESULT, SUBMIT


def chrome_trace(
    replies: Iterable[Any], process_name: Callable[[int], str], only: tuple[int, int] | None = None
) -> list[dict[str, Any]]:
    """Return trace events for the records in ``replies``.

    Parameters
    ----------
    replies : iterable of EventsReply
    process_name : callable
        Peer -> what to call the process.
    only : (int, int), optional
        Owner and number of the one task that is wanted.

    Returns
    -------
    list of dict
        Complete events ("X") for runs, instants ("i") for submissions, flows from one to the
        other, names of processes; times in microseconds since the epoch of the clock.
    """
    names: dict[tuple[int, int], Any] = {}
    records: list[tuple[Any, ...]] = []
    offset_ns = 0
    for reply in replies:
        for definition in reply.definitions:
            names[(definition.owner, definition.number)] = definition
        offset_ns = reply.monotonic_offset_ns or offset_ns
        block = EVENT.iter_unpack(reply.block)
        records.extend(block if only is None else [row for row in block if (row[2], row[1]) == only])
    submitted = {}
    trace: list[dict[str, Any]] = []
    processes: dict[int, None] = {}
    for t_ns, seq, owner, process, _dur_ns, _, a, kind, _flags, _ in records:
        if kind == SUBMIT:
            definition = names.get((owner, a))
            submitted[(owner, seq)] = (t_ns, a)
            if definition is not None and definition.kind == "unrecorded":
                continue
            processes[process] = None
            trace.append(
                {
                    "name": "submit " + (definition.name if definition else f"task {a}"),
                    "cat": "submit",
                    "ph": "i",
                    "s": "t",
                    "ts": (t_ns + offset_ns) / 1e3,
                    "pid": process & 0xFFFFFFFF,
                    "tid": 0,
                }
            )
    for t_ns, seq, owner, process, dur_ns, _, a, kind, flags, _ in records:
        if kind != RESULT:
            continue
        submit = submitted.get((owner, seq))
        definition = names.get((owner, submit[1] if submit else a))
        if definition is not None and definition.kind == "unrecorded":
            continue
        processes[process] = None
        status = "failed" if flags & 1 else "cancelled" if flags & 2 else "finished"
        event = {
            "name": definition.name if definition else f"task {seq}",
            "cat": definition.kind if definition else "task",
            "ph": "X",
            "ts": (t_ns - dur_ns + offset_ns) / 1e3,
            "dur": dur_ns / 1e3,
            "pid": process & 0xFFFFFFFF,
            "tid": 0,
            "args": {"task": seq, "owner": owner & 0xFFFFFFFF, "status": status},
        }
        if definition is not None and definition.origin:
            event["args"]["origin"] = definition.origin
        if submit is not None:
            event["args"]["waited_us"] = max(0.0, (t_ns - dur_ns - submit[0]) / 1e3)
        trace.append(event)
    for process in processes:
        trace.append(
            {"name": "process_name", "ph": "M", "pid": process & 0xFFFFFFFF, "args": {"name": process_name(process)}}
        )
    trace.sort(key=lambda e: e.get("ts", 0))
    return trace
