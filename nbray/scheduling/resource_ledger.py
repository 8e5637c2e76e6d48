"""What a node (or a bundle of a placement group) has, what is free, and who holds the rest.

Pure. GPUs are devices: a whole one belongs to one allocation, a fraction shares one
device with other fractions. The CPUs of a blocked task are lent: they count as free until
it goes on, and then free CPUs may be below zero for a while.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nbray.resources import CPU, GPU, UNITS, ResourceSet, add, covers, subtract


class Allocation:
    """Resources that are taken, until given back to the ledger."""

    __slots__ = ("amounts", "devices", "ledger", "lent_cpu")

    def __init__(self, ledger: ResourceLedger, amounts: ResourceSet, devices: tuple[tuple[int, int], ...]) -> None:
        self.ledger = ledger  # whom it is given back to: the node's, or that of a bundle
        self.amounts = amounts
        self.devices = devices  # (position of the device, units of it)
        self.lent_cpu = 0  # units lent while the task waits


class ResourceLedger:
    """The resources of one node, or of a bundle of it.

    Parameters
    ----------
    totals : mapping
        What there is, in units.
    gpu_ids : sequence of int
        Device numbers, as many as there are whole GPUs in ``totals``.
    shares : sequence of int, optional
        How much of each device there is, in units; all of it when left out.
    """

    def __init__(
        self, totals: Mapping[str, int], gpu_ids: Sequence[int] = (), shares: Sequence[int] | None = None
    ) -> None:
        self.totals: ResourceSet = {name: units for name, units in totals.items() if units}
        gpu = self.totals.get(GPU, 0)
        if shares is None:
            if gpu % UNITS:
                raise ValueError("a node has whole GPUs")
            shares = [UNITS] * (gpu // UNITS)
        if sum(shares) != gpu:
            raise ValueError(f"{gpu} units of GPU, but {sum(shares)} units of devices")
        self.gpu_ids = list(gpu_ids) if gpu_ids else list(range(len(shares)))
        if len(self.gpu_ids) != len(shares):
            raise ValueError(f"{len(shares)} GPUs, but {len(self.gpu_ids)} device numbers")
        self.free: ResourceSet = dict(self.totals)
        self._shares = tuple(shares)
        self._device_free = list(shares)
        self._live: set[Allocation] = set()

    @property
    def idle(self) -> bool:
        """True when nothing is taken."""
        return not self._live

    def feasible(self, need: Mapping[str, int]) -> bool:
        """Return True when it could give ``need`` while nothing else is taken."""
        return covers(self.totals, need) and self._choose_devices(need.get(GPU, 0), self._shares) is not None

    def fits(self, need: Mapping[str, int], kept: Mapping[str, int] | None = None) -> bool:
        """Return True when ``need`` is free now, with ``kept`` left over for somebody else."""
        if not covers(self.free, need):
            return False
        if kept and any(self.free.get(name, 0) - need[name] < kept.get(name, 0) for name in need if need[name]):
            return False
        return self._choose_devices(need.get(GPU, 0), self._device_free) is not None

    def take(self, amounts: Mapping[str, int]) -> Allocation | None:
        """Take ``amounts``, or return None and take nothing."""
        wanted = {name: units for name, units in amounts.items() if units}
        if not covers(self.free, wanted):
            return None
        devices = self._choose_devices(wanted.get(GPU, 0), self._device_free)
        if devices is None:
            return None
        subtract(self.free, wanted)
        for position, units in devices:
            self._device_free[position] -= units
        allocation = Allocation(self, wanted, devices)
        self._live.add(allocation)
        return allocation

    def give(self, allocation: Allocation) -> None:
        """Give back what ``take`` took; raises KeyError the second time."""
        self._live.remove(allocation)
        add(self.free, allocation.amounts)
        if allocation.lent_cpu:
            self.free[CPU] -= allocation.lent_cpu
            allocation.lent_cpu = 0
        for position, units in allocation.devices:
            self._device_free[position] += units

    def lend_cpu(self, allocation: Allocation) -> int:
        """Count the CPUs of a blocked task as free; return how many units."""
        units = allocation.amounts.get(CPU, 0) - allocation.lent_cpu
        if units:
            allocation.lent_cpu += units
            self.free[CPU] += units
        return units

    def reclaim_cpu(self, allocation: Allocation) -> None:
        """Take the lent CPUs back, also when they are in use: free CPUs may go below zero."""
        if allocation.lent_cpu:
            self.free[CPU] -= allocation.lent_cpu
            allocation.lent_cpu = 0

    def set_cpus(self, units: int) -> None:
        """Have ``units`` of CPU from now on; with fewer than are taken, the free ones are below zero for a while."""
        change = units - self.totals.get(CPU, 0)
        self.totals[CPU] = units
        self.free[CPU] = self.free.get(CPU, 0) + change

    def device_numbers(self, allocation: Allocation) -> tuple[int, ...]:
        """Return the GPU numbers that ``allocation`` may use."""
        return tuple(self.gpu_ids[position] for position, _ in allocation.devices)

    def _choose_devices(self, units: int, device_free: Sequence[int]) -> tuple[tuple[int, int], ...] | None:
        if not units:
            return ()
        if units < UNITS:
            # Best fit: the fullest device that still has room, so that whole ones stay whole.
            room = [(free, position) for position, free in enumerate(device_free) if free >= units]
            return ((min(room)[1], units),) if room else None
        whole = [position for position, free in enumerate(device_free) if free == UNITS]
        count, rest = divmod(units, UNITS)
        if rest or len(whole) < count:
            return None
        return tuple((position, UNITS) for position in whole[:count])

    def validate(self) -> None:
        """Raise AssertionError unless free + held = total, for each resource and device."""
        expected = dict(self.totals)
        devices = list(self._shares)
        for allocation in self._live:
            subtract(expected, allocation.amounts)
            if allocation.lent_cpu:
                expected[CPU] += allocation.lent_cpu
            for position, units in allocation.devices:
                devices[position] -= units
            assert sum(units for _, units in allocation.devices) == allocation.amounts.get(GPU, 0)
            assert 0 <= allocation.lent_cpu <= allocation.amounts.get(CPU, 0)
        assert expected == self.free, f"expected free {expected}, counted {self.free}"
        assert devices == self._device_free, f"expected devices {devices}, counted {self._device_free}"
        assert all(units >= 0 for name, units in self.free.items() if name != CPU), self.free
        assert all(0 <= units <= UNITS for units in devices), devices
