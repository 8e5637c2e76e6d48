"""Requests that wait, and in which order they are looked at.

Pure. The order is: (1) requests that starve, as long as there is room for more workers;
(2) deeper nesting first, because what waits for a nested task ends with it; (3) owners
with fewer leases first, so that a new owner gets one before another gets its n-th; (4)
whoever was served longest ago. A request that does not fit is passed over, so nobody waits behind it; one that
starves has what it needs kept for it, so it does not wait for ever either.
"""

from __future__ import annotations

from collections.abc import Iterator

from nbray.resources import ResourceSet, shape_of
from nbray.scheduling.worker_pool_state import Binding

Shape = tuple[tuple[str, int], ...]
Key = tuple[int, int] | str  # (owner, request id) or actor id or name of a group's bundles
Place = tuple[str, int]  # (placement group, bundle)
NODE: Place = ("", -1)  # no group: the node itself


def shape_in(need: ResourceSet, place: Place) -> Shape:
    """Return a key that is equal for equal amounts from the same node or bundle."""
    return shape_of(need) if place == NODE else (*shape_of(need), place)


def bundles_key(group: str) -> str:
    """Return what names a group's wish for bundles in the queue."""
    return f"bundles of {group}"


class Waiting:
    """One request: an owner's for ``count`` leases, an actor's for its place, a group's for bundles."""

    __slots__ = (
        "actor_id", "arrival", "at_once", "binding", "bundles", "count", "depth", "hold", "interpreter", "name", "need", "owner",
        "place", "request_id", "shape", "since", "wait_for_resources",
    )  # fmt: skip

    def __init__(
        self, need: ResourceSet, hold: ResourceSet, binding: Binding, since: float, *, owner: int = 0,
        request_id: int = 0, actor_id: str = "", count: int = 1, depth: int = 0, name: str = "",
        wait_for_resources: bool = False, place: Place = NODE, bundles: dict[int, ResourceSet] | None = None,
        at_once: bool = False,
    ) -> None:  # fmt: skip
        self.need = need  # must be free
        self.hold = hold  # is taken
        self.interpreter = binding[1].partition(":")[
            2
        ]  # that its worker must have been started with; empty: the cluster's own
        self.place = place  # what it takes its resources from
        self.bundles = bundles  # of the group ``place[0]``, which it wants reserved
        self.shape: Shape = shape_in(need, place)
        self.binding = binding
        self.since = since  # when it was served last, or came
        self.owner = owner
        self.request_id = request_id
        self.actor_id = actor_id
        self.count = count
        self.depth = depth
        self.name = name
        self.wait_for_resources = wait_for_resources
        self.at_once = at_once  # it is refused while others use what it needs
        self.arrival = 0  # set by the queue

    @property
    def key(self) -> Key:
        """What names this request."""
        if self.bundles is not None:
            return bundles_key(self.place[0])
        return self.actor_id or (self.owner, self.request_id)

    @property
    def singular(self) -> bool:
        """True for what is wanted once and has no leases beside it: an actor, bundles."""
        return bool(self.actor_id) or self.bundles is not None


class LeaseQueue:
    """All waiting requests, by key."""

    def __init__(self) -> None:
        self._entries: dict[Key, Waiting] = {}
        self._arrivals = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Waiting]:
        return iter(list(self._entries.values()))

    def get(self, key: Key) -> Waiting | None:
        """Return the request of this key."""
        return self._entries.get(key)

    def add(self, entry: Waiting) -> None:
        """Queue a new request at the end."""
        self._arrivals += 1
        entry.arrival = self._arrivals
        self._entries[entry.key] = entry

    def requeue(self, entry: Waiting, now: float) -> None:
        """Put a request that has just been served, and wants more, behind its equals."""
        self._arrivals += 1
        entry.arrival = self._arrivals
        entry.since = now

    def remove(self, key: Key) -> Waiting | None:
        """Forget a request."""
        return self._entries.pop(key, None)

    def remove_owner(self, owner: int) -> None:
        """Forget all requests of a dead owner."""
        for key in [key for key, entry in self._entries.items() if entry.owner == owner and not entry.singular]:
            del self._entries[key]


def rank(entry: Waiting, starving: bool, owner_leases: int, shape_leases: int) -> tuple[int, int, int, int, int]:
    """Return the sort key of a request; the smallest is looked at first."""
    return (0 if starving else 1, -entry.depth, owner_leases, shape_leases, entry.arrival)
