"""The node's use of the C store: make the segment, watch it, clean up after the dead."""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Container, Iterator
from typing import Any

from nbray._cstore import ffi, lib
from nbray.node import process_control

_WHY_BYTES = 1024
_EVENTS_AT_ONCE = 16384
_VICTIMS_AT_ONCE = 4096
_BESIDE_THE_STORE = 2 << 30  # channels and tables, at most: addresses and a file's size, hardly any memory
EVENT_BYTES = ffi.sizeof("nbs_event")


class SegmentError(RuntimeError):
    """The store refused; ``no_memory`` when for lack of memory."""

    def __init__(self, what: str, status: int, why: str = "") -> None:
        name = ffi.string(lib.nbs_status_name(status)).decode()
        text = f"{what}: {why or name}"
        if status == lib.NBS_ESYS:
            text += f" ({os.strerror(ffi.errno)})"
        super().__init__(text)
        self.status = status
        self.no_memory = status == lib.NBS_ENOMEM


def memory_available() -> tuple[int, str]:
    """Return the bytes that may be reserved now, and the figures behind that number."""
    why = ffi.new("char[]", _WHY_BYTES)
    available = int(lib.nbs_memory_available(why, _WHY_BYTES))
    figures = ffi.string(why).decode("utf-8", "replace")
    # The segment is a file, and every process maps it as a whole.
    for limit, option, used in (
        (resource.RLIMIT_FSIZE, "ulimit -f", 0),
        (resource.RLIMIT_AS, "ulimit -v", process_control.address_space()),
    ):
        most, _ = resource.getrlimit(limit)
        room = most - used - _BESIDE_THE_STORE
        if most != resource.RLIM_INFINITY and room < available:
            available = max(room, 0)
            figures = f"{option} allows {most >> 20} MiB, and {(used + _BESIDE_THE_STORE) >> 20} MiB are needed beside the store"
    return available, figures


def make_segment(capacity: int) -> int:
    """Make a segment for ``capacity`` bytes of objects and return its descriptor; raises SegmentError."""
    why = ffi.new("char[]", _WHY_BYTES)
    descriptor = ffi.new("int *")
    status = lib.nbs_create(capacity, 0, descriptor, why, _WHY_BYTES)
    if status != lib.NBS_OK:
        raise SegmentError("the object store cannot be made", status, _text(why))
    return int(descriptor[0])


def fill_segment(descriptor: int, begin: int, size: int) -> int:
    """Touch memory of a segment that nobody uses yet; returns the bytes, 0 where there is no more to touch."""
    return max(0, int(lib.nbs_fill(descriptor, begin, size)))


class Segment:
    """The segment behind a descriptor, which is owned from here on; this process attaches to it."""

    def __init__(self, descriptor: int) -> None:
        self.fd = descriptor
        why = ffi.new("char[]", _WHY_BYTES)
        handle = ffi.new("nbs_seg **")
        status = lib.nbs_attach(descriptor, handle, why, _WHY_BYTES)
        if status != lib.NBS_OK:
            os.close(descriptor)
            raise SegmentError("the object store cannot be attached", status, _text(why))
        self._seg = handle[0]
        self.peer = int(lib.nbs_self(self._seg))
        self._events = ffi.new("nbs_event[]", _EVENTS_AT_ONCE)
        self._dropped = ffi.new("uint64_t *")
        self._counters = ffi.new("int64_t[]", lib.NBS_N_COUNTERS)
        self._obj = ffi.new("uint64_t *")
        self._victims = ffi.new("uint64_t[]", _VICTIMS_AT_ONCE)

    def pid_of(self, peer: int) -> int:
        """Return the pid of an attached process, or a negative status."""
        return int(lib.nbs_peer_pid(self._seg, peer))

    def ring(self, peer: int) -> None:
        """Wake a process, so that it looks at its control socket."""
        lib.nbs_ring(self._seg, peer)

    def recover(self, peer: int) -> int:
        """Give back all that a dead process held; returns the status."""
        return int(lib.nbs_recover(self._seg, peer))

    def recover_strangers(self, known: Container[int], first: int, count: int) -> int:
        """Give back what dead processes hold that nobody knows: they died before they registered.

        Parameters
        ----------
        known
            Peers whose death is told otherwise.
        first, count
            Slots to look at.

        Returns
        -------
        int
            Where the next look is to begin.
        """
        used = int(lib.nbs_slots_used(self._seg))
        for slot in range(first, min(first + count, used)):
            peer = int(lib.nbs_peer_at(self._seg, slot))
            if peer and peer not in known:
                lib.nbs_recover(self._seg, peer)  # refuses one that lives
        return first + count if first + count < used else 0

    def drain_events(self) -> tuple[bytes, int]:
        """Return the event records since the last call, and how many were dropped since then."""
        count = int(lib.nbs_event_drain(self._seg, self._events, _EVENTS_AT_ONCE, self._dropped))
        block = bytes(ffi.buffer(self._events, count * EVENT_BYTES)) if count > 0 else b""
        return block, int(self._dropped[0])

    def wait_for_events(self, seen: int, timeout_s: float) -> int:
        """Sleep until a ring is over half full; returns the generation of such calls, negative for a status."""
        return int(lib.nbs_event_wait(self._seg, seen, int(timeout_s * 1e9)))

    def call_drainer(self) -> None:
        """Let ``wait_for_events`` return."""
        lib.nbs_event_call(self._seg)

    def hold(self, object_id: bytes) -> int:
        """Keep an object; returns its handle, or 0 when there is none."""
        if len(object_id) != lib.NBS_ID_SIZE:
            return 0
        return int(self._obj[0]) if lib.nbs_lookup(self._seg, object_id, self._obj) == lib.NBS_OK else 0

    def holds(self, peer: int, handle: int) -> bool | None:
        """Tell whether a process, alive or dead, holds an object; None: it has left, or the object is gone."""
        held = int(lib.nbs_held_by(self._seg, handle, peer))
        return None if held < 0 else held == 1

    def contains(self, object_id: bytes) -> bool:
        """Tell whether an object, or its promise, is in the store."""
        return len(object_id) == lib.NBS_ID_SIZE and lib.nbs_contains(self._seg, object_id) != lib.NBS_FREE

    def release(self, handle: int) -> None:
        """End a hold."""
        lib.nbs_release(self._seg, handle)

    # ------------------------------------------------- spilling: called in a thread of its own

    def figures(self) -> Any:
        """Return a fresh nbs_stats."""
        stats = ffi.new("nbs_stats *")
        lib.nbs_get_stats(self._seg, stats)
        return stats

    def spill_victims(self, room_for: int, size: int = 0, smallest: int = 0) -> list[int] | None:
        """Return the handles of what to spill (see nbs_spill_victims); None: there is no such place."""
        count = int(lib.nbs_spill_victims(self._seg, room_for, size, smallest, self._victims, _VICTIMS_AT_ONCE))
        return None if count < 0 else list(self._victims[0:count])

    def evict(self, size: int) -> int:
        """Free objects that are kept but held by nobody, up to ``size`` bytes; returns the bytes freed."""
        return int(lib.nbs_evict(self._seg, size))

    def hold_again(self, obj: int) -> bool:
        """Hold an object by its handle; False when it is gone."""
        return bool(lib.nbs_hold(self._seg, obj) == lib.NBS_OK)

    @contextlib.contextmanager
    def view(self, obj: int) -> Iterator[memoryview | None]:
        """Look at the bytes of an object; None when it has none in memory."""
        size = ffi.new("uint64_t *")
        pointer = lib.nbs_view_sized(self._seg, obj, size)
        if pointer == ffi.NULL:
            yield None
            return
        try:
            with memoryview(ffi.buffer(pointer, size[0])) as view:
                yield view
        finally:
            lib.nbs_view_end(pointer)

    def id_of(self, obj: int) -> bytes:
        """Return the id of an object that this process holds."""
        info = ffi.new("nbs_object *")
        lib.nbs_obj_info(self._seg, obj, info)
        return bytes(ffi.buffer(info.id))

    def children(self, obj: int) -> list[int]:
        """Return the handles that an object in memory lists."""
        count = int(lib.nbs_obj_children(self._seg, obj, ffi.NULL, 0))
        if count <= 0:
            return []
        handles = ffi.new("uint64_t[]", count)
        lib.nbs_obj_children(self._seg, obj, handles, count)
        return list(handles)

    def spill_out(self, obj: int) -> int:
        """Give back the memory of an object; returns the status."""
        return int(lib.nbs_spill_out(self._seg, obj))

    def restore_begin(self, obj: int, children: list[int]) -> tuple[int, memoryview]:
        """Return the status, and with NBS_OK where the bytes go."""
        data = ffi.new("void **")
        handles = ffi.new("uint64_t[]", children)
        status = int(lib.nbs_restore_begin(self._seg, obj, handles, len(children), data))
        if status != lib.NBS_OK:
            return status, memoryview(b"")
        info = ffi.new("nbs_object *")
        lib.nbs_obj_info(self._seg, obj, info)
        return status, memoryview(ffi.buffer(data[0], info.size))

    def restore_end(self, obj: int, outcome: int) -> None:
        """End that: 1 = the value is there, 0 = not now, -1 = it is lost."""
        lib.nbs_restore_end(self._seg, obj, outcome)

    def dead_among(self, handles: list[int]) -> list[int]:
        """Return those handles that name no object with a value any more."""
        if not handles:
            return []
        alive = bytearray(len(handles))
        if lib.nbs_live_many(self._seg, ffi.new("uint64_t[]", handles), len(handles), ffi.from_buffer(alive)) <= 0:
            return []
        return [handle for handle, lives in zip(handles, alive, strict=True) if not lives]

    def spill_note(self, state: int) -> None:
        """Publish whether spilling works (NBS_SPILL_...)."""
        lib.nbs_spill_note(self._seg, state)

    # ----------------------------------------------------------------------------- figures

    def memory_limit(self) -> tuple[int, int]:
        """Return the limit of this node's memory, and what is available of it."""
        available = ffi.new("uint64_t *")
        limit = int(lib.nbs_memory_limit(available))
        return limit, int(available[0])

    def running(self) -> list[tuple[int, int, int, int, int]]:
        """Return what runs now: (owner, worker, start in ns, flags, number of the function)."""
        tasks = ffi.new("nbs_running_task[]", lib.NBS_MAX_SLOTS)
        count = max(0, int(lib.nbs_running_list(self._seg, tasks, lib.NBS_MAX_SLOTS)))
        return [(t.owner, t.worker, t.start_ns, t.flags, t.a) for t in tasks[0:count]]

    def stats(self) -> dict[str, int]:
        """Return the store's figures by name."""
        stats = ffi.new("nbs_stats *")  # of its own: the thread that samples calls this too
        lib.nbs_get_stats(self._seg, stats)
        return {name: int(getattr(stats, name)) for name in STAT_NAMES}

    def counters(self) -> list[int]:
        """Return the exact counters, summed over all processes (NBS_CTR_...)."""
        lib.nbs_counters(self._seg, self._counters)
        return list(self._counters)

    def warm(self, ahead: int, step: int, threads: int = 1) -> int:
        """Back up to ``step`` bytes with memory, with so many threads meanwhile; returns the bytes added."""
        return int(lib.nbs_warm(self._seg, ahead, step, threads))

    def check(self) -> str:
        """Return what is wrong with the segment, or an empty string."""
        why = ffi.new("char[]", _WHY_BYTES)
        return "" if lib.nbs_check(self._seg, why, _WHY_BYTES) == lib.NBS_OK else _text(why)


STAT_NAMES = tuple(name for name, _ in ffi.typeof("nbs_stats").fields)


def _text(buffer: object) -> str:
    return str(ffi.string(buffer).decode("utf-8", "replace"))
