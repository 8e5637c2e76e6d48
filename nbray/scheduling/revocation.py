"""Choose which leases to ask back when requests wait.

Pure policy: it returns leases and revokes nothing. A lease is asked back once, when it is
older than a time slice, its worker is not blocked (its CPUs are lent already), and the
one who waits has none or at least two fewer than its holder. Owners with most leases give
first, of these the oldest lease.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping

from nbray.resources import ResourceSet, add, covers, subtract
from nbray.scheduling.lease_queue import NODE, Place, Shape, Waiting

MAX_LOOKED_AT = 16  # waiting requests considered at a time; the others wait behind them anyway


class Revocable:
    """What the policy needs to know of a lease."""

    __slots__ = ("amounts", "blocked", "granted_at", "lease_id", "owner", "place", "revoked", "shape")

    def __init__(
        self, lease_id: int, owner: int, shape: Shape, amounts: ResourceSet, granted_at: float, place: Place = NODE
    ) -> None:
        self.lease_id = lease_id
        self.place = place
        self.owner = owner
        self.shape = shape
        self.amounts = amounts
        self.granted_at = granted_at
        self.revoked = False
        self.blocked = False


def choose(
    waiting: Iterable[Waiting],
    leases: Iterable[Revocable],
    free: Mapping[str, int],
    old_enough: Callable[[Revocable], bool],
) -> list[Revocable]:
    """Return the leases to ask back.

    Parameters
    ----------
    waiting : iterable of Waiting
        In the order in which they would be served.
    leases : iterable of Revocable
        Those of tasks; actors keep theirs.
    free : mapping
        Units that are free now, where all of these take from: one node, or one bundle.
    old_enough : callable
        Whether a lease has had its time slice.
    """
    all_leases = list(leases)
    held: dict[int, int] = {}
    by_shape: dict[tuple[int, Shape], int] = {}
    coming: ResourceSet = dict(free)
    for lease in all_leases:
        if lease.revoked and not lease.blocked:
            add(coming, lease.amounts)
        if not lease.revoked:
            held[lease.owner] = held.get(lease.owner, 0) + 1
            by_shape[lease.owner, lease.shape] = by_shape.get((lease.owner, lease.shape), 0) + 1
    chosen: list[Revocable] = []
    for entry in itertools.islice(waiting, MAX_LOOKED_AT):
        if covers(coming, entry.need):
            subtract(coming, entry.need)
            continue
        mine = held.get(entry.owner, 0) if not entry.singular else 0
        mine_of_shape = by_shape.get((entry.owner, entry.shape), 0) if not entry.singular else 0
        candidates = [
            lease
            for lease in all_leases
            if not lease.revoked
            and not lease.blocked
            and lease not in chosen
            and old_enough(lease)
            and _should_give(lease, entry, held, mine, mine_of_shape)
            and any(coming.get(name, 0) < units and lease.amounts.get(name) for name, units in entry.need.items())
        ]
        candidates.sort(key=lambda lease: (-held.get(lease.owner, 0), lease.granted_at, lease.lease_id))
        trial, taken = dict(coming), []
        for lease in candidates:
            if covers(trial, entry.need):
                break
            add(trial, lease.amounts)
            taken.append(lease)
        if not taken or not covers(trial, entry.need):
            continue  # asking would cost the others and not help this one
        coming = trial
        subtract(coming, entry.need)
        for lease in taken:
            chosen.append(lease)
            held[lease.owner] -= 1
            by_shape[lease.owner, lease.shape] -= 1
    return chosen


def _should_give(lease: Revocable, entry: Waiting, held: Mapping[int, int], mine: int, mine_of_shape: int) -> bool:
    if lease.owner == entry.owner and not entry.singular:
        # The same owner waits with another shape: it has none of that yet.
        return lease.shape != entry.shape and mine_of_shape == 0
    return mine == 0 or held.get(lease.owner, 0) >= mine + 2
