"""Say in one sentence why a value is not there yet; find those who wait for each other.

Pure: facts in, a sentence out. ``nbray.core.why`` gathers the facts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from nbray.resources import CPU, ResourceSet, add, describe, from_units
from nbray.scheduling.sentence import say

MAX_NAMED = 4  # things listed in a sentence; of the rest the number


class Holder(NamedTuple):
    """A worker that holds resources."""

    name: str  # of its actor class or function
    pid: int
    held: Mapping[str, int]  # in units
    is_actor: bool = False
    made_at: str = ""  # where the actor was made: a cell or a line
    waits: bool = False  # its task is inside get or wait


def arguments(name: str, missing: Sequence[str]) -> str:
    """``missing``: a clause on each argument that is not there."""
    many = say("an argument") if len(missing) == 1 else say("%1 arguments", len(missing))
    return say("%1 waits for %2: %3", name, many, listed(missing))


def running(name: str, pid: int, seconds: float, waits_for: str = "") -> str:
    """A worker runs it; ``waits_for`` is what it waits for there."""
    text = say("%1 runs on worker pid %2 since %3", name, pid, _time(seconds))
    return say("%1, where it waits: %2", text, waits_for) if waits_for else text


def beginning(name: str, pid: int, seconds: float, missing: str) -> str:
    """A worker has it, and waits for ``missing`` before it can run it."""
    return say("%1 is at worker pid %2 since %3 and has not begun: it waits for %4", name, pid, _time(seconds), missing)


def taken(name: str, pid: int) -> str:
    """An actor that runs calls side by side has it."""
    return say("%1 is at its actor (pid %2), which runs it beside others", name, pid)


def behind(name: str, pid: int, ahead: int, head: str, seconds: float, waits_for: str = "") -> str:
    """It stands in the queue of a worker or actor behind ``ahead`` others, of which ``head`` runs."""
    others = say("1 other") if ahead == 1 else say("%1 others", ahead)
    text = say("%1 is queued at pid %2 behind %3", name, pid, others)
    if head:
        text = say("%1; %2 runs there since %3", text, head, _time(seconds))
    return say("%1 and waits: %2", text, waits_for) if waits_for else text


def resources(
    name: str, need: Mapping[str, int], total: Mapping[str, int], free: Mapping[str, int], holders: Sequence[Holder],
    ahead: int = 0,
) -> str:  # fmt: skip
    """It waits for a worker with ``need``."""
    short = [one for one in sorted(need) if free.get(one, 0) < need[one]]
    if not short:
        queue = (
            say("%1 requests are before it", ahead) if ahead else say("a worker is about to start or to become free")
        )
        return say("%1 waits for a worker with %2: that is free, and %3", name, describe(need), queue)
    amounts = _joined(
        [say("%1 of %2 %3 free", _amount(max(0, free.get(one, 0))), _amount(total.get(one, 0)), one) for one in short]
    )
    text = say("%1 waits for resources: it needs %2, and there is %3", name, describe(need), amounts)
    who = [_holder(holder, short) for holder in holders if any(holder.held.get(one) for one in short)]
    return say("%1, held by %2", text, listed(who)) if who else text


def no_more_workers(name: str, workers: int, extra: int) -> str:
    """Resources are free, but as many workers wait inside their tasks as may be started in place of such."""
    return say(
        "%1 waits for a worker, and none may be started: %2 are there, most of which wait themselves, and no more than %3 "
        "beyond the CPUs may stand in for those. Tasks nested less deeply need fewer; "
        "init(_system_config={'extra_workers': %4}) or NBRAY_EXTRA_WORKERS=%4 allows more",
        name, workers, extra, 2 * extra,
    )  # fmt: skip


def no_more_processes(name: str, actors: int, most: int) -> str:
    """Resources are free, but the node has all the workers that it may have, those that are actors included."""
    all_of_them = say("%1 that it may have", most)
    if actors:
        all_of_them = say(
            "%1, %2 of them as actors, which nbray.kill(handle) or dropping the last handle ends", all_of_them, actors
        )
    return say(
        "%1 waits for a worker, and none may be started: the node has all %2; init(_system_config={'max_processes': %3}) or "
        "NBRAY_MAX_PROCESSES=%3 allows more, as far as the limit of open files (ulimit -n) does", name, all_of_them, 2 * most,
    )  # fmt: skip


def actor(name: str, state: str, cause: str, inner: str = "") -> str:
    """Its actor is not there; ``inner`` is why, where that is known."""
    if state == "RESTARTING":
        text = say("%1 waits for its actor, which is restarting", name)
    elif state == "PENDING_CREATION":
        text = say("%1 waits for its actor, which is being created", name)
    else:
        text = say("%1 waits for its actor, which is %2", name, state)
    if cause:
        text = say("%1 (%2)", text, cause.rstrip("."))
    return say("%1: %2", text, inner) if inner else text


def elsewhere(what: str, owner: str) -> str:
    """Its task belongs to another process."""
    return say("%1 is made by a task of another process (%2), which has not finished it", what, owner)


def stuck(
    name: str, need: Mapping[str, int], total: Mapping[str, int], holders: Sequence[Holder]
) -> tuple[str, list[Holder]]:
    """Tell whether a request waits for what nobody will give back by himself.

    Actors hold their resources as long as they live, and a task that waits keeps all but its
    CPUs: when what is left without them is too little, waiting may never end.

    Returns
    -------
    sentence : str
        Empty when the request only has to wait its turn.
    holders : list of Holder
        Who would have to end.
    """
    kept: ResourceSet = {}
    for holder in holders:
        if holder.is_actor or holder.waits:
            add(kept, {one: n for one, n in holder.held.items() if holder.is_actor or one != CPU})
    short = [one for one in sorted(need) if total.get(one, 0) - kept.get(one, 0) < need[one] <= total.get(one, 0)]
    if not short:
        return "", []
    who = [holder for holder in holders if (holder.is_actor or holder.waits) and any(holder.held.get(o) for o in short)]
    left = _joined(
        [f"{_amount(max(0, total[one] - kept.get(one, 0)))} of {_amount(total[one])} {one}" for one in short]
    )
    return (
        f"{name} needs {describe(need)}, but only {left} can become free: the rest is held by "
        f"{listed([_holder(holder, short) for holder in who])}. An actor keeps its resources as long as it lives: "
        "nbray.kill(handle) or dropping its last handle ends it.",
        who,
    )


def cycle(edges: Mapping[int, Sequence[int]], start: int) -> list[int]:
    """Return who waits for each other, beginning with whom ``start`` reaches first; empty when nobody does."""
    path = [start]
    rest = [iter(edges.get(start, ()))]
    done: set[int] = set()
    while path:
        other = next(rest[-1], None)
        if other is None:
            done.add(path.pop())
            rest.pop()
        elif other in path:
            return path[path.index(other) :]
        elif other not in done:
            path.append(other)
            rest.append(iter(edges.get(other, ())))
    return []


def deadlock(waits: Sequence[str]) -> str:
    """``waits``: a clause on each of those who wait for each other."""
    return (
        f"Deadlock: {'; '.join(waits)}. None of them can go on. Do not wait inside the method (return the ref), or let "
        "the actor run calls side by side (max_concurrency, or async methods)."
    )


def _holder(holder: Holder, short: Sequence[str]) -> str:
    held = describe({one: holder.held[one] for one in short if holder.held.get(one)})
    who = say("actor %1", holder.name) if holder.is_actor else holder.name
    if holder.made_at:
        text = say("%1 (pid %2, made in %3) with %4", who, holder.pid, holder.made_at, held)
    else:
        text = say("%1 (pid %2) with %3", who, holder.pid, held)
    return say("%1, which waits itself", text) if holder.waits else text


def listed(parts: Sequence[str]) -> str:
    """Return things as a person lists them, the first few by name."""
    if len(parts) <= MAX_NAMED:
        return _joined(parts)
    named = _joined(parts[:MAX_NAMED], last="%1, %2")
    return say("%1 and %2 more", named, len(parts) - MAX_NAMED)


def _joined(parts: Sequence[str], last: str = "%1 and %2") -> str:
    text = parts[0] if parts else ""
    for place, part in enumerate(parts[1:], 2):
        text = say(last if place == len(parts) else "%1, %2", text, part)
    return text


def _amount(units: int) -> str:
    return f"{from_units(units):.4f}".rstrip("0").rstrip(".")


def _time(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
