"""Amounts of resources as integers, so that sums are exact.

An amount is a number of units of 1/10,000: one CPU is 10,000. A set of resources is a
plain dict of name -> units without zeros. CPU, GPU and memory are names like any other;
only the ledger treats GPUs as devices.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

UNITS = 10_000
STEP = 1 / UNITS
CPU, GPU, MEMORY, OBJECT_STORE_MEMORY = "CPU", "GPU", "memory", "object_store_memory"
MAX_AMOUNT = 2**49  # so that its units fit into 63 bits

ResourceSet = dict[str, int]


def to_units(name: str, amount: float) -> int:
    """Return ``amount`` of resource ``name`` in units.

    Raises
    ------
    ValueError
        When it is no number, negative, infinite, or finer than 1/10,000.
    """
    if isinstance(amount, bool) or not isinstance(amount, (int, float)):
        raise ValueError(f"{name} must be a number, not {amount!r}")
    if not math.isfinite(amount) or not 0 <= amount <= MAX_AMOUNT:
        raise ValueError(f"{name} must be between 0 and {MAX_AMOUNT}, in steps of {STEP}; got {amount!r}")
    units = round(amount * UNITS)
    if abs(units - amount * UNITS) > 1e-3 * max(1.0, abs(amount)):
        raise ValueError(f"{name} is counted in steps of {STEP}; got {amount!r}")
    if name == GPU and units > UNITS and units % UNITS:
        raise ValueError(f"GPU above 1 must be a whole number; got {amount!r}")
    return units


def from_units(units: int) -> float:
    """Return units as the number a user knows (1.0, 0.5)."""
    return units / UNITS


def pack(amounts: Mapping[str, float]) -> ResourceSet:
    """Return a resource set in units; zeros are left out."""
    packed = {name: to_units(name, amount) for name, amount in amounts.items()}
    return {name: units for name, units in packed.items() if units}


def unpack(resources: Mapping[str, int]) -> dict[str, float]:
    """Return a resource set as users know it."""
    return {name: from_units(units) for name, units in resources.items()}


def shape_of(resources: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    """Return a hashable key: equal for equal sets."""
    return tuple(sorted((name, units) for name, units in resources.items() if units))


def add(total: ResourceSet, other: Mapping[str, int]) -> None:
    """Add ``other`` to ``total`` in place."""
    for name, units in other.items():
        total[name] = total.get(name, 0) + units


def subtract(total: ResourceSet, other: Mapping[str, int]) -> None:
    """Take ``other`` off ``total`` in place; may go below zero."""
    for name, units in other.items():
        total[name] = total.get(name, 0) - units


def covers(free: Mapping[str, int], need: Mapping[str, int]) -> bool:
    """Return True when ``free`` has all of ``need``."""
    return all(free.get(name, 0) >= units for name, units in need.items() if units)


def describe(resources: Mapping[str, int]) -> str:
    """Return a set in words: ``{CPU: 2, GPU: 0.5, memory: 3.0 GiB}``."""
    parts = []
    for name, units in sorted(resources.items()):
        amount = from_units(units)
        if name in (MEMORY, OBJECT_STORE_MEMORY) and amount >= 2**20:
            text = f"{amount / 2**30:.1f} GiB" if amount >= 2**30 else f"{amount / 2**20:.1f} MiB"
        else:
            text = f"{amount:.4f}".rstrip("0").rstrip(".")
        parts.append(f"{name}: {text}")
    return "{" + ", ".join(parts) + "}"
