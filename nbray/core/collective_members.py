"""Which actors a collective group consists of, where that is declared, and whether they can still join.

A declaration is an object of the store, found by the hash of namespace and name. The death of a
rank that has joined is seen in the segment; of one that has not, only its actor's can be heard of.
"""

from __future__ import annotations

import hashlib
import json
import time
from typing import Any

from nbray._cstore import ffi, lib
from nbray.core.records import StoreHold
from nbray.store.errors import check
from nbray.wire import messages as m

_NULL = ffi.NULL
_LOOK_S = 0.5  # between two looks at who has not joined; most groups are complete before the first


def group_id(namespace: str, name: str) -> bytes:
    """Return the object id of a group: the same for all processes of a namespace."""
    return hashlib.blake2b(f"collective group\0{namespace}\0{name}".encode(), digest_size=lib.NBS_ID_SIZE).digest()


def declare(core: Any, name: str, facts: bytes) -> StoreHold | None:
    """Write down who belongs to a group, for all of the namespace; None when somebody did already."""
    out = ffi.new("uint64_t *")
    data = ffi.new("void **")
    status = lib.nbs_obj_create(core.seg, declaration_id(core, name), len(facts), 0, 0, _NULL, 0, out, data)
    if status == lib.NBS_EEXISTS:
        lib.nbs_release(core.seg, out[0])
        return None
    check(status, f"declaring the collective group '{name}'")
    ffi.memmove(data[0], facts, len(facts))
    check(lib.nbs_obj_seal(core.seg, out[0]), f"declaring the collective group '{name}'")
    return StoreHold(core.session, out[0])


def declaration(core: Any, name: str) -> bytes | None:
    """Return what was written down of a group."""
    out = ffi.new("uint64_t *")
    if lib.nbs_lookup(core.seg, declaration_id(core, name), out) != 0:
        return None
    hold = StoreHold(core.session, out[0])
    size = ffi.new("uint64_t *")
    data = lib.nbs_view_sized(core.seg, hold.obj, size)
    if data == _NULL:
        return None
    try:
        return bytes(ffi.buffer(data, size[0]))
    finally:
        lib.nbs_view_end(data)


def withdraw(core: Any, name: str) -> None:
    """Forget what was written down of a group."""
    lib.nbs_delete(core.seg, declaration_id(core, name))


def is_declared(core: Any, name: str) -> bool:
    """Whether something is written down of a group."""
    return lib.nbs_contains(core.seg, declaration_id(core, name)) > 0


def declaration_id(core: Any, name: str) -> bytes:
    """Return the object id under which it is written down."""
    return group_id(core.namespace, f"declared\0{name}")


class Absentees:
    """The ranks that a waiting operation misses: ends the wait when the actor of one is dead."""

    def __init__(self, core: Any, name: str, handle: Any, world_size: int) -> None:
        self._core = core
        self._name = name
        self._handle = handle
        self._world_size = world_size
        self._actors: dict[int, str] = {}  # rank -> actor, of a declared group
        self._heard_of: set[str] = set()
        self._next = time.monotonic() + _LOOK_S

    def look(self) -> None:
        """Look who has not joined, twice a second at most; ask the daemon about their actors."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + _LOOK_S
        absent = [rank for rank in range(self._world_size) if not lib.nbs_coll_joined(self._handle, rank)]
        if not absent:
            self._next = float("inf")
            return
        if not self._actors and (text := declaration(self._core, self._name)) is not None:
            self._actors = {rank: actor_id for actor_id, rank in json.loads(text)["ranks"].items()}
        states = self._core.watched_actors
        for rank in absent:
            actor_id = self._actors.get(rank)
            if actor_id is None:
                continue
            if states.get(actor_id) == "DEAD":
                lib.nbs_coll_lost(self._handle, rank)
            elif actor_id not in states:
                states[actor_id] = ""
                self._heard_of.add(actor_id)
                self._core.control.send(m.ActorSubscribeRequest(actor_id=actor_id))

    def close(self) -> None:
        """The wait is over."""
        for actor_id in self._heard_of:  # another wait that looks at it too asks anew
            self._core.watched_actors.pop(actor_id, None)
