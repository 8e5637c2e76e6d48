"""Numbers as a person reads them: three digits at most, always with a unit. Pure."""

from __future__ import annotations

_UNITS = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "KB"))


def count(value: int) -> str:
    """Return a number of things: ``8,204``."""
    return f"{value:,}"


def amount(value: float) -> str:
    """Return an amount of a resource: ``2``, ``0.5``."""
    return f"{value:,.0f}" if value == int(value) or value >= 100 else f"{value:.3g}"


def units(value: float, name: str) -> str:
    """Return an amount with what it is of: ``2 CPUs``, ``1 GPU``, ``4 tpu``."""
    return f"{amount(value)} {name}{'s' if name in ('CPU', 'GPU') and value > 1 else ''}"


def percent(share: float) -> str:
    """Return a share of 1: ``91 %``."""
    return f"{100 * min(max(share, 0.0), 1.0):.0f} %"


def duration(seconds: float) -> str:
    """Return a time: ``38 ms``, ``4.2 s``, ``3 min 20 s``."""
    if 0 < seconds < 0.9995:
        return f"{seconds * 1e6:.0f} us" if seconds < 0.9995e-3 else f"{_digits(seconds * 1e3)} ms"
    if seconds < 120:
        return f"{_digits(seconds)} s"
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def rough(seconds: float) -> str:
    """Return an estimate of a time, without digits that it does not have: ``12 s``, ``4 min``."""
    if seconds < 100:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 100 * 60 else f"{round(seconds / 3600)} h"


def size(value: float) -> str:
    """Return bytes: ``48 MB``."""
    unit, name = _unit(value)
    return f"{_digits(value / unit)} {name}"


def size_of(used: float, total: float) -> str:
    """Return a part of a size: ``31 of 80 GB``, ``5.0 MB of 4.0 GB``."""
    unit, name = _unit(total)
    if unit > 1 and (used == 0 or used >= 0.05 * unit):
        return f"{_digits(used / unit)} of {_digits(total / unit)} {name}"
    return f"{size(used)} of {size(total)}"


def noun(number: int, one: str, many: str = "") -> str:
    """Return a number with its noun: ``1 task``, ``3 tasks``."""
    return f"{count(number)} {one if number == 1 else many or one + 's'}"


def _unit(value: float) -> tuple[float, str]:
    return next((entry for entry in _UNITS if value >= 0.9995 * entry[0]), (1.0, "B"))


def _digits(value: float) -> str:
    return f"{value:.0f}" if value >= 9.95 or value == 0 or value == int(value) else f"{value:.1f}"
