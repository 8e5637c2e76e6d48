"""One attached segment: objects, figures, slots. Thin; the C core does the work."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

from nbray._cstore import ffi, lib
from nbray.store.errors import check, fail

_WHY_BYTES = 512
_NULL = ffi.NULL

PROMISED, CREATED, SEALED = lib.NBS_PROMISED, lib.NBS_CREATED, lib.NBS_SEALED
META_LOST, META_KEEP = lib.NBS_META_LOST, lib.NBS_META_KEEP


class ObjectInfo(NamedTuple):
    """What the store knows of an object."""

    size: int
    meta: int
    state: int
    promiser: int


def memory_available() -> tuple[int, str]:
    """Return the bytes that may be reserved now, and the figures behind that."""
    why = ffi.new("char[]", _WHY_BYTES)
    return int(lib.nbs_memory_available(why, _WHY_BYTES)), _text(why)


def create(capacity: int, max_entries: int = 0) -> int:
    """Make a segment; returns its descriptor, which the caller closes.

    Raises
    ------
    StoreMemoryError
        When it does not fit into this machine or its cgroup; the text has the figures.
    """
    why = ffi.new("char[]", _WHY_BYTES)
    fd = ffi.new("int *")
    if not 0 < capacity < 1 << 63:
        fail(lib.NBS_EINVAL, "creating the object store", f"capacity is {capacity}")
    check(lib.nbs_create(capacity, max_entries, fd, why, _WHY_BYTES), "creating the object store", _text(why))
    return int(fd[0])


class Segment:
    """A segment as this process sees it, from attach to close.

    Attributes
    ----------
    handle : cdata
        What the functions of ``lib`` take as their first argument.
    peer : int
        This process, as others name it.
    """

    def __init__(self, fd: int) -> None:
        why = ffi.new("char[]", _WHY_BYTES)
        out = ffi.new("nbs_seg **")
        check(lib.nbs_attach(fd, out, why, _WHY_BYTES), "attaching to the object store", _text(why))
        self.handle: Any = out[0]
        self.peer = int(lib.nbs_self(self.handle))

    @classmethod
    def make(cls, capacity: int, max_entries: int = 0) -> Segment:
        """Create a segment and attach to it; nobody else can."""
        fd = create(capacity, max_entries)
        try:
            return cls(fd)
        finally:
            os.close(fd)

    def close(self) -> None:
        """Give back all that this process holds, and unmap when no view is left."""
        handle, self.handle = self.handle, _NULL
        if handle != _NULL:
            lib.nbs_detach(handle)

    def __enter__(self) -> Segment:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # -------------------------------------------------------------------- objects

    def promise(self, object_id: bytes) -> int:
        """Make an entry without a value, or hold the one that exists; returns its handle."""
        obj = ffi.new("uint64_t *")
        status = lib.nbs_promise(self.handle, _id(object_id), obj)
        if status != lib.NBS_EEXISTS:
            check(status, "promising an object")
        return int(obj[0])

    def create(
        self, object_id: bytes, size: int, meta: int = 0, hold_for: int = 0, children: Sequence[int] = ()
    ) -> int:
        """Make room for an object; returns its handle. Write, then seal or abort it."""
        obj = ffi.new("uint64_t *")
        if not 0 <= size < 1 << 64:
            fail(lib.NBS_ETOOBIG if size > 0 else lib.NBS_EINVAL, f"creating an object of {size} bytes")
        refs = ffi.new("uint64_t[]", list(children)) if children else _NULL
        status = lib.nbs_obj_create(
            self.handle, _id(object_id), size, meta, hold_for, refs, len(children), obj, _NULL
        )  # fmt: skip
        if status == lib.NBS_EEXISTS:
            lib.nbs_release(self.handle, obj[0])
        if status != lib.NBS_OK:
            figures = self.stats() if status in (lib.NBS_EFULL, lib.NBS_ETOOBIG) else {"used": 0, "capacity": 0}
            fail(
                status, f"creating an object of {size} bytes", size=size,
                used=figures["used"], capacity=figures["capacity"],
            )  # fmt: skip
        return int(obj[0])

    def write(self, obj: int, offset: int, data: Any) -> None:
        """Copy a buffer into an unsealed object of this process."""
        source = data if isinstance(data, bytes) else ffi.from_buffer(data)
        check(lib.nbs_obj_write(self.handle, obj, offset, source, len(source)), "writing an object")

    def seal(self, obj: int) -> None:
        """Make an object immutable and visible, and wake who waits for it."""
        check(lib.nbs_obj_seal(self.handle, obj), "sealing an object")

    def abort(self, obj: int) -> None:
        """Give up an unsealed object; ends the hold."""
        check(lib.nbs_obj_abort(self.handle, obj), "aborting an object")

    def put(self, object_id: bytes, data: Any, meta: int = 0, hold_for: int = 0, children: Sequence[int] = ()) -> int:
        """Create, write and seal; returns the handle, held once."""
        obj = self.create(object_id, len(memoryview(data).cast("B")), meta, hold_for, children)
        try:
            self.write(obj, 0, data)
            self.seal(obj)
        except BaseException:  # an interrupt between create and seal must not leak
            lib.nbs_obj_abort(self.handle, obj)
            raise
        return obj

    def lookup(self, object_id: bytes) -> int | None:
        """Return the handle of an object, held once more; None when there is none."""
        obj = ffi.new("uint64_t *")
        status = lib.nbs_lookup(self.handle, _id(object_id), obj)
        if status == lib.NBS_ENOTFOUND:
            return None
        check(status, "looking up an object")
        return int(obj[0])

    def contains(self, object_id: bytes) -> int:
        """Return the state of an object, 0 when there is none."""
        return check(lib.nbs_contains(self.handle, _id(object_id)), "looking up an object")

    def hold(self, obj: int) -> None:
        """Hold an object once more."""
        check(lib.nbs_hold(self.handle, obj), "holding an object")

    def adopt(self, obj: int) -> None:
        """Take over a hold that another process made for this one."""
        check(lib.nbs_adopt(self.handle, obj), "adopting an object")

    def release(self, obj: int) -> bool:
        """End a hold; True when that freed the object."""
        return check(lib.nbs_release(self.handle, obj), "releasing an object") == 1

    def info(self, obj: int) -> ObjectInfo:
        """Return size, meta, state and promiser of an object that this process holds."""
        out = ffi.new("nbs_object *")
        check(lib.nbs_obj_info(self.handle, obj, out), "looking at an object")
        return ObjectInfo(int(out.size), int(out.meta), int(out.state), int(out.promiser))

    def view(self, obj: int) -> memoryview:
        """Return the data, read-only and not copied; it keeps the object alive."""
        size = self.info(obj).size
        data = lib.nbs_view(self.handle, obj)
        if data == _NULL:
            fail(lib.NBS_ESTATE, "viewing an object that has no value")
        return memoryview(ffi.buffer(ffi.gc(data, lib.nbs_view_end), size)).toreadonly()

    def spill_out(self, obj: int) -> None:
        """Give back the memory of an object whose bytes and children the caller keeps."""
        check(lib.nbs_spill_out(self.handle, obj), "spilling an object")

    def restore(self, obj: int, data: Any, children: Sequence[int] = ()) -> None:
        """Put the bytes of a spilled object back."""
        where = ffi.new("void **")
        refs = ffi.new("uint64_t[]", list(children))
        check(lib.nbs_restore_begin(self.handle, obj, refs, len(children), where), "restoring an object")
        ffi.memmove(where[0], data, len(data))
        check(lib.nbs_restore_end(self.handle, obj, 1), "restoring an object")

    def lose(self, obj: int) -> None:
        """Say that the bytes of a spilled object cannot be had any more."""
        check(lib.nbs_restore_end(self.handle, obj, -1), "losing an object")

    def repromise(self, obj: int) -> None:
        """Promise a lost object, which the caller holds, again."""
        check(lib.nbs_repromise(self.handle, obj), "promising an object again")

    def delete(self, object_id: bytes) -> bool:
        """Forget an id; False when there is no such object."""
        status = lib.nbs_delete(self.handle, _id(object_id))
        return status != lib.NBS_ENOTFOUND and check(status, "deleting an object") == 0

    def evict(self, size: int) -> int:
        """Free unheld objects that were kept, until ``size`` bytes are free."""
        return int(lib.nbs_evict(self.handle, size))

    # -------------------------------------------------------- figures and processes

    def stats(self) -> dict[str, int]:
        """Return the figures of nbs_stats by name."""
        out = ffi.new("nbs_stats *")
        check(lib.nbs_get_stats(self.handle, out), "reading the store's figures")
        return {name: int(getattr(out, name)) for name in _STAT_NAMES}

    def validate(self) -> None:
        """Walk every invariant; raises CorruptError with what does not hold."""
        why = ffi.new("char[]", _WHY_BYTES)
        status = lib.nbs_check(self.handle, why, _WHY_BYTES)
        check(status, "checking the store", _text(why))

    def alive(self, peer: int) -> bool:
        """Tell whether the process of ``peer`` lives."""
        return check(lib.nbs_alive(self.handle, peer), "asking for a process") == 1

    def recover(self, peer: int) -> None:
        """Give back all that a dead process held."""
        check(lib.nbs_recover(self.handle, peer), "recovering a process")


_STAT_NAMES = tuple(name for name, _ in ffi.typeof("nbs_stats").fields)


def _id(object_id: bytes) -> bytes:
    if len(object_id) != lib.NBS_ID_SIZE:
        raise ValueError(f"an object id has {lib.NBS_ID_SIZE} bytes, not {len(object_id)}")
    return object_id


def _text(buffer: Any) -> str:
    return str(ffi.string(buffer).decode("utf-8", "replace"))
