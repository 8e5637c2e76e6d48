"""The environment of the kernel, as its cells find it on a worker.

A cell takes the whole environment along, and hardly ever has it changed since the cell before.
So both sides compare the raw variables with those of last time, which costs next to nothing,
and decode, pickle or set them only when they differ.
"""

from __future__ import annotations

import os
import pickle
import time

# Set per worker or per task by the runtime, never by the notebook.
KEPT_VARIABLES = ("NBRAY_", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS")

Raw = dict[bytes, bytes]

_packed: tuple[Raw, bytes] = ({}, b"")  # the variables, and what pack() made of them
_alike: tuple[bytes, Raw] = (b"", {})  # a packed environment, and variables that it would not change


def raw() -> Raw:
    """Return this process's variables, undecoded; a copy."""
    return dict(os.environ._data)  # type: ignore[attr-defined]


def pack() -> bytes:
    """Return this process's variables for a worker."""
    global _packed
    if os.environ._data != _packed[0]:  # type: ignore[attr-defined]
        _packed = (raw(), pickle.dumps(dict(os.environ)))
    return _packed[1]


def apply(packed: bytes, before: Raw) -> None:
    """Make this process's variables those of ``packed``, but for those that the runtime sets.

    Parameters
    ----------
    packed : bytes
        Of ``pack``.
    before : dict
        The variables now, of ``raw``.
    """
    global _alike
    if not packed or (packed == _alike[0] and before == _alike[1]):
        return
    zone = os.environ.get("TZ")
    wanted: dict[str, str] = pickle.loads(packed)
    for name in list(os.environ):
        if name not in wanted and not name.startswith(KEPT_VARIABLES):
            del os.environ[name]
    for name, value in wanted.items():
        if os.environ.get(name) != value and not name.startswith(KEPT_VARIABLES):
            os.environ[name] = value
    _follow_zone(zone)
    if os.environ._data == before:  # type: ignore[attr-defined]
        _alike = (packed, before)


def changes(before: Raw) -> dict[str, str | None]:
    """Return the variables that differ from those of ``raw`` and are the notebook's; None: it is gone."""
    now: Raw = os.environ._data  # type: ignore[attr-defined]
    if now == before:
        return {}
    names = [name for name in {**before, **now} if now.get(name) != before.get(name)]
    found = {os.fsdecode(name): os.fsdecode(now[name]) if name in now else None for name in names}
    return {name: value for name, value in found.items() if not name.startswith(KEPT_VARIABLES)}


def change(changed: dict[str, str | None]) -> None:
    """Make the changes that ``changes`` found."""
    zone = os.environ.get("TZ")
    for name, value in changed.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    _follow_zone(zone)


def restore(before: Raw) -> None:
    """Put back the variables of ``raw``."""
    now = raw()
    if now == before:
        return
    zone = os.environ.get("TZ")
    for name in now.keys() - before.keys():
        del os.environ[os.fsdecode(name)]
    for name, value in before.items():
        if now.get(name) != value:
            os.environ[os.fsdecode(name)] = os.fsdecode(value)
    _follow_zone(zone)


def _follow_zone(before: str | None) -> None:
    """Tell the C library of a time zone that is another than before."""
    if os.environ.get("TZ") != before:
        time.tzset()
