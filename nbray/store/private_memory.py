"""Bytes of the store as memory that this process may write.

They lie in the store, where others may use them. The process gets the same pages mapped for itself alone: reading costs no copy,
and a page that is written is copied first, so that nobody else sees it.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

from nbray._cstore import ffi, lib

_places: dict[int, _Place] = {}  # by address; gone with the mapping
_lock = threading.Lock()
_ended: deque[int] = deque()  # bytes of mappings that are gone, and that `_kept` still counts
_kept = 0  # bytes of all mappings
_share = 0  # see `may_keep`


class _Place:
    """One mapping, and the memory of the store behind it."""

    def __init__(self, address: int, stored: memoryview) -> None:
        self.address = address
        self.stored = stored  # as long as it is viewed the object stays, and stays where it is

    def end(self, pointer: Any) -> None:
        # Runs inside any allocation.
        _places.pop(self.address, None)
        _ended.append(self.stored.nbytes)
        lib.nbs_unmap_private(pointer, self.stored.nbytes)


def may_keep(n_bytes: int) -> None:
    """Set how much of the store this process may keep for values that would as well be copied (``sparing``)."""
    global _share
    _share = n_bytes


def own(stored: memoryview, sparing: bool = False) -> memoryview | None:
    """Return memory like this that may be written; None: it is not in the store, or cannot be mapped.

    Parameters
    ----------
    stored
        A view of an object, or of a part of it.
    sparing
        Not where the process has so much of the store mapped already that others might miss it.
    """
    global _kept
    with _lock:
        while _ended:
            _kept -= _ended.popleft()
        if sparing and _kept + stored.nbytes > _share:
            return None
        _kept += stored.nbytes
    pointer = lib.nbs_map_private(ffi.from_buffer(stored), stored.nbytes)
    if not pointer:
        _ended.append(stored.nbytes)
        return None
    place = _Place(int(ffi.cast("uintptr_t", pointer)), stored)
    _places[place.address] = place
    return memoryview(ffi.buffer(ffi.gc(pointer, place.end), stored.nbytes))


def stored_behind(address: int) -> memoryview | None:
    """Return the memory of the store that is mapped at an address."""
    place = _places.get(address)
    return place.stored if place is not None else None


def stored_address(address: int) -> int:
    """Return the address in the store of what is mapped around an address; itself where nothing is."""
    for place in list(_places.values()):
        if 0 <= address - place.address < place.stored.nbytes:
            return int(ffi.cast("uintptr_t", ffi.from_buffer(place.stored))) + address - place.address
    return address
