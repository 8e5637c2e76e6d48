"""Say in one sentence why a value is not there yet; find those who wait for each other.

Pure: facts in, a sentence out. ``nbray.core.why`` gathers the facts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from nbray.resources import CPU, ResourceSet, add, describe, from_units

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
    many = "an argument" if len(missing) == 1 else f"{len(missing)} arguments"
    return f"{name} waits for {many}: {listed(missing)}"


def running(name: str, pid: int, seconds: float, waits_for: str = "") -> str:
    """A worker runs it; ``waits_for`` is what it waits for there."""
    text = f"{name} runs on worker pid {pid} since {_time(seconds)}"
    return f"{text}, where it waits: {waits_for}" if waits_for else text


def beginning(name: str, pid: int, seconds: float, missing: str) -> str:
    """A worker has it, and waits for ``missing`` before it can run it."""
    return f"{name} is at worker pid {pid} since {_time(seconds)} and has not begun: it waits for {missing}"


def taken(name: str, pid: int) -> str:
    """An actor that runs calls side by side has it."""
    return f"{name} is at its actor (pid {pid}), which runs it beside others"


def behind(name: str, pid: int, ahead: int, head: str, seconds: float, waits_for: str = "") -> str:
    """It stands in the queue of a worker or actor behind ``ahead`` others, of which ``head`` runs."""
    text = f"{name} is queued at pid {pid} behind {ahead} {'other' if ahead == 1 else 'others'}"
    if head:
        text += f"; {head} runs there since {_time(seconds)}"
    return f"{text} and waits: {waits_for}" if waits_for else text


def resources(
    name: str, need: Mapping[str, int], total: Mapping[str, int], free: Mapping[str, int], holders: Sequence[Holder],
    ahead: int = 0,
) -> str:  # fmt: skip
    """It waits for a worker with ``need``."""
    short = [one for one in sorted(need) if free.get(one, 0) < need[one]]
    if not short:
        queue = f"{ahead} requests are before it" if ahead else "a worker is about to start or to become free"
        return f"{name} waits for a worker with {describe(need)}: that is free, and {queue}"
    amounts = _joined(
        [f"{_amount(max(0, free.get(one, 0)))} of {_amount(total.get(one, 0))} {one} free" for one in short]
    )
    text = f"{name} waits for resources: it needs {describe(need)}, and there is {amounts}"
    who = [_holder(holder, short) for holder in holders if any(holder.held.get(one) for one in short)]
    return f"{text}, held by {listed(who)}" if who else text


def no_more_workers(name: str, workers: int, extra: int) -> str:
    """Resources are free, but as many workers wait inside their tasks as may be started in place of such."""
    return (
        f"{name} waits for a worker, and none may be started: {workers} are there, most of which wait themselves, and no "
        f"more than {extra} beyond the CPUs may stand in for those. Tasks nested less deeply need fewer; "
        f"init(_system_config={{'extra_workers': {2 * extra}}}) or NBRAY_EXTRA_WORKERS={2 * extra} allows more"
    )


def no_more_processes(name: str, actors: int, most: int) -> str:
    """Resources are free, but the node has all the workers that it may have, those that are actors included."""
    who = f", {actors} of them as actors, which nbray.kill(handle) or dropping the last handle ends" if actors else ""
    return (
        f"{name} waits for a worker, and none may be started: the node has all {most} that it may have{who}; "
        f"init(_system_config={{'max_processes': {2 * most}}}) or NBRAY_MAX_PROCESSES={2 * most} allows more, as far as "
        "the limit of open files (ulimit -n) does"
    )


def actor(name: str, state: str, cause: str, inner: str = "") -> str:
    """Its actor is not there; ``inner`` is why, where that is known."""
    if state == "RESTARTING":
        text = f"{name} waits for its actor, which is restarting"
    elif state == "PENDING_CREATION":
        text = f"{name} waits for its actor, which is being created"
    else:
        text = f"{name} waits for its actor, which is {state}"
    if cause:
        text += f" ({cause.rstrip('.')})"
    return f"{text}: {inner}" if inner else text


def elsewhere(what: str, owner: str) -> str:
    """Its task belongs to another process."""
    return f"{what} is made by a task of another process ({owner}), which has not finished it"


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
    where = f", made in {holder.made_at}" if holder.made_at else ""
    kind = "actor " if holder.is_actor else ""
    waits = ", which waits itself" if holder.waits else ""
    return f"{kind}{holder.name} (pid {holder.pid}{where}) with {held}{waits}"


def listed(parts: Sequence[str]) -> str:
    """Return things as a person lists them, the first few by name."""
    more = f" and {len(parts) - MAX_NAMED} more" if len(parts) > MAX_NAMED else ""
    return _joined(parts[:MAX_NAMED], last=", " if more else " and ") + more


def _joined(parts: Sequence[str], last: str = " and ") -> str:
    return ", ".join(parts[:-1]) + last + parts[-1] if len(parts) > 1 else "".join(parts)


def _amount(units: int) -> str:
    return f"{from_units(units):.4f}".rstrip("0").rstrip(".")


def _time(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
