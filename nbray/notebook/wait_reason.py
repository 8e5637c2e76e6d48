"""Why a cell has not begun: which resource is short, and who holds it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

from nbray.core.actor_calls import ActorCalls
from nbray.core.why import ClusterFacts
from nbray.exceptions import RayError
from nbray.options import UNIT

CellNumber = Callable[[str], int]  # origin -> number of the cell; 0: not known
MAX_HOLDERS = 3
ASK_EVERY_S = 0.3
_CELL = re.compile(r"In ?\[(\d+)\]")


def waiting_reason(ref: Any, cell_number: CellNumber) -> str:
    """Return in a few words what the task of ``ref`` waits for; "" when it runs or is done.

    Parameters
    ----------
    ref : ObjectRef
        Made by a task of this process.
    cell_number
        Tells which cell submitted a task.
    """
    core = ref._cluster
    with core.lock:
        record = ref._task
        if record is None:
            return ""
        if _has_begun(record):
            return ""
        if record.n_missing:
            return f"waiting for {_count(record.n_missing, 'input')} that other tasks make"
        pool = record.pool
        if isinstance(pool, ActorCalls):
            return _actor_reason(pool, cell_number)
    facts = _facts(core)
    if facts is None:
        return "waiting for resources"
    with core.lock:
        if _has_begun(record):  # while the daemon answered: it would be among those that hold what it waits for
            return ""
        return _resource_reason(core, pool, facts, cell_number)


def _has_begun(record: Any) -> bool:
    lane = record.lane
    return lane is not None and next(iter(lane.tasks), None) == record.number


_asked: tuple[float, Any, ClusterFacts | None] = (0.0, None, None)  # when, of which cluster, the answer


def _facts(core: Any) -> ClusterFacts | None:
    """Ask the daemon for what is free and who holds the rest, not too often: many cells may wait."""
    global _asked
    when, whom, answer = _asked
    if whom is core and time.monotonic() - when < ASK_EVERY_S:
        return answer
    try:
        answer = ClusterFacts(core)
    except RayError:
        answer = None
    _asked = time.monotonic(), core, answer
    return answer


def _actor_reason(calls: Any, cell_number: CellNumber) -> str:
    first = next(iter(calls.tasks.values()), None)
    if first is None:
        return f"waiting for its actor, which is {calls.state}"
    return f"waiting for its actor, which runs {_title(first, cell_number)}"


def _resource_reason(core: Any, pool: Any, facts: ClusterFacts, cell_number: CellNumber) -> str:
    total, free = facts.total, facts.free
    shape = pool.shape
    short = [name for name, units in shape.items() if free.get(name, 0) < units]
    if not short:  # it is being started, or handed over just now
        more = ": none may be started" if facts.no_more_workers("", shape) else ""
        return f"waiting for a worker{more}"
    name = short[0]
    text = f"waiting for {amount(name, shape[name])}: {plain_amount(name, free.get(name, 0))} of {plain_amount(name, total.get(name, 0))} free"
    holders = _holders(core, name, facts, cell_number)
    return f"{text}, held by {', '.join(holders)}" if holders else text


def _holders(core: Any, resource: str, facts: ClusterFacts, cell_number: CellNumber) -> list[str]:
    """Return who holds some of a resource: tasks of this driver, actors, and others."""
    found: dict[str, None] = {}
    own = set()
    for lane in list(core.lanes.values()):
        if lane.tasks and resource in lane.pool.shape:
            own.add(lane.pid)
            found[_title(next(iter(lane.tasks.values())), cell_number)] = None
    for holder in facts.holders:
        if holder.held.get(resource) and holder.pid not in own and holder.name:
            cell = _CELL.search(holder.made_at)
            where = f"cell {cell[1]}" if cell else f"pid {holder.pid}"
            found[f"{'actor ' if holder.is_actor else ''}{holder.name} ({where})"] = None
    names = list(found)
    more = len(names) - MAX_HOLDERS
    return names[:MAX_HOLDERS] + ([f"{more} more"] if more > 0 else [])


def _title(record: Any, cell_number: CellNumber) -> str:
    """Return what to call a task: its name, and the cell it comes from."""
    name = record.name or record.function.name
    number = cell_number(record.origin)
    if name == f"cell {number}" or not number:
        return str(name)
    return f"{name} (cell {number})"


def amount(name: str, units: int) -> str:
    """Return an amount of a resource as a person writes it: ``1 GPU``, ``2 CPUs``, ``2 GiB of memory``."""
    if "memory" in name:
        return f"{plain_amount(name, units)} of {name.replace('_', ' ')}"
    plural = "s" if name in ("CPU", "GPU") and units > UNIT else ""
    return f"{plain_amount(name, units)} {name}{plural}"


def plain_amount(name: str, units: int) -> str:
    """Return the same without the name of the resource."""
    value = units / UNIT
    if "memory" in name:
        return f"{value / (1 << 30):.3g} GiB"
    return f"{value:g}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number != 1 else ''}"
