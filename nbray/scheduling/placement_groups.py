"""The bundles of placement groups that a node has reserved.

Pure. The group's table reserves in two steps, so that a group has all of its bundles or
none, on whatever many nodes: *prepare* takes a bundle's resources from the node, *commit*
opens it for tasks and actors, *give back* ends it in either state. Each bundle has a
ledger of its own: what runs in it takes from that. A bundle that is given back while
something still runs in it closes at once, and returns its resources when the last is out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from nbray.resources import GPU, ResourceSet, add
from nbray.scheduling.resource_ledger import Allocation, ResourceLedger

ANY = -1  # bundle index: whichever has room

PREPARED, COMMITTED, CLOSED = "PREPARED", "COMMITTED", "CLOSED"


class Bundle:
    """Resources of a node that belong to one bundle of a group."""

    __slots__ = ("allocation", "group", "index", "ledger", "state")

    def __init__(self, group: str, index: int, allocation: Allocation) -> None:
        self.group = group
        self.index = index
        self.allocation = allocation  # of the node
        self.state = PREPARED
        gpu_ids = allocation.ledger.device_numbers(allocation)
        self.ledger = ResourceLedger(allocation.amounts, gpu_ids, [units for _, units in allocation.devices])


class NodeBundles:
    """All bundles on one node.

    Parameters
    ----------
    node : ResourceLedger
        Whose resources they take.
    """

    def __init__(self, node: ResourceLedger) -> None:
        self._node = node
        self._groups: dict[str, dict[int, Bundle]] = {}
        self._closed: list[Bundle] = []

    def prepare(self, group: str, bundles: Mapping[int, ResourceSet]) -> bool:
        """Reserve these bundles, all or none. Saying it again changes nothing."""
        known = self._groups.get(group, {})
        taken: dict[int, Bundle] = {}
        # GPUs by the whole first, so that fractions do not spoil a device.
        for index in sorted(bundles, key=lambda index: -bundles[index].get(GPU, 0)):
            if index in known:
                continue
            allocation = self._node.take(bundles[index])
            if allocation is None:
                for bundle in taken.values():
                    self._node.give(bundle.allocation)
                return False
            taken[index] = Bundle(group, index, allocation)
        self._groups.setdefault(group, {}).update(taken)
        return True

    def commit(self, group: str) -> None:
        """Open the group's bundles on this node."""
        for bundle in self._groups.get(group, {}).values():
            bundle.state = COMMITTED

    def give_back(self, group: str) -> None:
        """Close the group's bundles, and return what nobody uses any more."""
        for bundle in self._groups.pop(group, {}).values():
            bundle.state = CLOSED
            self._closed.append(bundle)
        self.settle()

    def settle(self) -> None:
        """Return the closed bundles in which nothing runs any more; due after each give."""
        if self._closed:
            for bundle in [bundle for bundle in self._closed if bundle.ledger.idle]:
                self._closed.remove(bundle)
                self._node.give(bundle.allocation)

    # ------------------------------------------------------------------- what runs in them

    def is_open(self, group: str) -> bool:
        """Return True when the group's bundles on this node may be used."""
        return any(bundle.state == COMMITTED for bundle in self._groups.get(group, {}).values())

    def ledgers(self, group: str, index: int) -> list[ResourceLedger]:
        """Return the ledgers of one bundle, or of all of the group, that may be used."""
        bundles = self._groups.get(group, {})
        found = bundles.values() if index == ANY else [bundles[index]] if index in bundles else []
        return [bundle.ledger for bundle in found if bundle.state == COMMITTED]

    def fits(self, group: str, index: int, need: Mapping[str, int], kept: Mapping[str, int] | None = None) -> bool:
        """Return True when ``need`` is free in the bundle now, with ``kept`` left over."""
        return any(ledger.fits(need, kept) for ledger in self.ledgers(group, index))

    def feasible(self, group: str, index: int, need: Mapping[str, int]) -> bool:
        """Return True when the idle bundle could give ``need``."""
        return any(ledger.feasible(need) for ledger in self.ledgers(group, index))

    def take(self, group: str, index: int, need: Mapping[str, int], hold: Mapping[str, int]) -> Allocation | None:
        """Take ``hold`` from a bundle that has ``need``; the fullest one, when any will do."""
        able = [ledger for ledger in self.ledgers(group, index) if ledger.fits(need)]
        if not able:
            return None
        names = list(hold) or list(need)
        best = min(able, key=lambda ledger: sum(ledger.free.get(name, 0) for name in names))
        return best.take(hold)

    def free(self, group: str, index: int) -> ResourceSet:
        """Return what is free in a bundle, or in all of them together."""
        total: ResourceSet = {}
        for ledger in self.ledgers(group, index):
            add(total, ledger.free)
        return total

    def __iter__(self) -> Iterator[Bundle]:
        """All bundles that are prepared or open."""
        return (bundle for bundles in list(self._groups.values()) for bundle in list(bundles.values()))

    def validate(self) -> None:
        """Raise AssertionError unless every bundle is covered and its books agree."""
        for bundle in [*self, *self._closed]:
            bundle.ledger.validate()
            assert bundle.allocation.ledger is self._node
            assert bundle.ledger.totals == bundle.allocation.amounts
        assert all(bundle.state == CLOSED and not bundle.ledger.idle for bundle in self._closed)
        assert all(bundle.state in (PREPARED, COMMITTED) for bundle in self)
