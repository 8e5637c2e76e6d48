"""Why a cell has not begun: which resource is short, and who holds it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from nbray.core.actor_calls import ActorCalls
from nbray.exceptions import RayError
from nbray.options import UNIT
from nbray.wire import messages as m

CellNumber = Callable[[str], int]  # origin -> number of the cell; 0: not known
MAX_HOLDERS = 3
ASK_EVERY_S = 0.3


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
        lane = record.lane
        if lane is not None and next(iter(lane.tasks), None) == record.number:
            return ""
        if record.n_missing:
            return f"waiting for {_count(record.n_missing, 'input')} that other tasks make"
        pool = record.pool
        if isinstance(pool, ActorCalls):
            return _actor_reason(pool, cell_number)
    state = _state(core)
    with core.lock:
        return _resource_reason(core, pool, state, cell_number)


_asked: tuple[float, Any, Any] = (0.0, None, None)  # when, of which cluster, the answer


def _state(core: Any) -> Any:
    """Ask the daemon for what is free, not too often: many cells may wait."""
    global _asked
    when, whom, answer = _asked
    if whom is core and time.monotonic() - when < ASK_EVERY_S:
        return answer
    try:
        answer = core.request(m.StateRequest(request_id=core.control.next_id()))[0]
    except RayError:
        answer = core.latest_state
    _asked = time.monotonic(), core, answer
    return answer


def _actor_reason(calls: Any, cell_number: CellNumber) -> str:
    first = next(iter(calls.tasks.values()), None)
    if first is None:
        return f"waiting for its actor, which is {calls.state}"
    return f"waiting for its actor, which runs {_title(first, cell_number)}"


def _resource_reason(core: Any, pool: Any, state: Any, cell_number: CellNumber) -> str:
    total = state.total if state is not None else core.totals
    free = state.available if state is not None else {}
    shape = pool.shape
    if not shape:
        return "waiting for a worker"
    short = [name for name, units in shape.items() if free.get(name, 0) < units]
    if not short:
        return "waiting for a worker"  # that is being started, or handed over just now
    name = short[0]
    text = f"waiting for {amount(name, shape[name])}: {_plain(name, free.get(name, 0))} of {_plain(name, total.get(name, 0))} free"
    holders = _holders(core, name, cell_number)
    return f"{text}, held by {', '.join(holders)}" if holders else text


def _holders(core: Any, resource: str, cell_number: CellNumber) -> list[str]:
    """Return who of this driver holds some of a resource."""
    found: dict[str, None] = {}
    for lane in list(core.lanes.values()):
        if lane.tasks and resource in lane.pool.shape:
            found[_title(next(iter(lane.tasks.values())), cell_number)] = None
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
        return f"{_plain(name, units)} of {name.replace('_', ' ')}"
    plural = "s" if name in ("CPU", "GPU") and units > UNIT else ""
    return f"{_plain(name, units)} {name}{plural}"


def _plain(name: str, units: int) -> str:
    value = units / UNIT
    if "memory" in name:
        return f"{value / (1 << 30):.3g} GiB"
    return f"{value:g}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number != 1 else ''}"
