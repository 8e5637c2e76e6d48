"""Values in and out of the node's object store."""

from __future__ import annotations

import os
import struct
from typing import Any

from nbray._cstore import ffi, lib
from nbray.core.interrupts import uninterrupted
from nbray.core.records import META_ERROR, Session, StoredValue, StoreHold
from nbray.exceptions import ObjectLostError, ObjectStoreFullError, OwnerDiedError, RaySystemError
from nbray.object_ref import ObjectRef
from nbray.serialization import error_value, serializer
from nbray.serialization.error_value import ErrorValue
from nbray.serialization.serializer import Serialized

_NULL = ffi.NULL
_EEXISTS = lib.NBS_EEXISTS
_SIZE = ffi.typeof("uint64_t *")  # parsed once


def _new_size() -> Any:
    return ffi.new(_SIZE)


class StoreAccess:
    """The object store as one process sees it."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.seg = session.seg

    # -------------------------------------------------------------------- writing

    @uninterrupted
    def write(self, object_id: bytes, value: Serialized, meta: int = 0, hold_for: int = 0) -> StoreHold:
        """Create, write and seal an object; returns this process's hold.

        Parameters
        ----------
        object_id : bytes
        value : Serialized
        meta : int
            Flags of the object.
        hold_for : int
            Peer that holds it as well from the start (it takes over with nbs_adopt).

        Raises
        ------
        ObjectStoreFullError
            With size, use and capacity.
        """
        seg = self.seg
        out = ffi.new("uint64_t *")
        data = ffi.new("void **")
        children: Any = _NULL
        if value.refs:
            children = ffi.new("uint64_t[]", [ref._hold.obj for ref in value.refs if ref._hold is not None])
        n_children = len(children) if children is not _NULL else 0
        status = lib.nbs_obj_create(seg, object_id, value.size, meta, hold_for, children, n_children, out, data)
        if status == _EEXISTS:  # a run of the task before this one made it already
            return StoreHold(self.session, out[0])
        if status != 0:
            self._raise(status, value.size)
        obj = out[0]
        try:
            head = value.head()
            _check(lib.nbs_obj_write(seg, obj, 0, head, len(head)), "write")
            for (offset, length), buffer in zip(value.spans, value.buffers, strict=True):
                if length:
                    _check(lib.nbs_obj_write(seg, obj, offset, ffi.from_buffer(buffer), length), "write")
            _check(lib.nbs_obj_seal(seg, obj), "seal")
        except BaseException:
            lib.nbs_obj_abort(seg, obj)
            raise
        return StoreHold(self.session, obj)

    @uninterrupted
    def stash(self, payload: bytes) -> StoreHold:
        """Put raw bytes (a large message) under an id that nobody else has."""
        seg = self.seg
        out = ffi.new("uint64_t *")
        data = ffi.new("void **")
        status = lib.nbs_obj_create(seg, os.urandom(28), len(payload), 0, 0, _NULL, 0, out, data)
        if status != 0:
            self._raise(status, len(payload))
        try:
            _check(lib.nbs_obj_write(seg, out[0], 0, payload, len(payload)), "write")
            _check(lib.nbs_obj_seal(seg, out[0]), "seal")
        except BaseException:
            lib.nbs_obj_abort(seg, out[0])
            raise
        return StoreHold(self.session, out[0])

    @uninterrupted
    def promise(self, object_id: bytes) -> StoreHold:
        """Make the place of an object whose value comes later."""
        out = ffi.new("uint64_t *")
        status = lib.nbs_promise(self.seg, object_id, out)
        if status not in (0, _EEXISTS):
            self._raise(status, 0)
        return StoreHold(self.session, out[0])

    def fulfil(self, object_id: bytes, value: Serialized, meta: int) -> None:
        """Write the value of a promised object (whose hold the caller has)."""
        try:
            self.write(object_id, value, meta)
        except ObjectStoreFullError as error:
            # The promise must not stay open: those who wait get this error.
            self.write(object_id, serializer.plain(error_value.from_system_error(error).blob), META_ERROR)

    # -------------------------------------------------------------------- reading

    @uninterrupted
    def lookup(self, object_id: bytes) -> StoreHold | None:
        """Return a new hold on an object by its id, or None."""
        out = ffi.new("uint64_t *")
        if lib.nbs_lookup(self.seg, object_id, out) != 0:
            return None
        return StoreHold(self.session, out[0])

    def info(self, obj: int) -> Any:
        """Return the nbs_object of an object that this process holds."""
        out = ffi.new("nbs_object *")
        status = lib.nbs_obj_info(self.seg, obj, out)
        if status != 0:
            raise ObjectLostError(f"The object is not in the store any more ({_name(status)}).")
        return out

    @uninterrupted
    def view(self, obj: int) -> memoryview:
        """Return the object's bytes, read-only; they stay as long as any slice lives."""
        size = _new_size()
        pointer = lib.nbs_view_sized(self.seg, obj, size)  # holds the object from here on
        if not pointer:
            raise ObjectLostError("The object is not in the store any more.")
        return memoryview(ffi.buffer(ffi.gc(pointer, lib.nbs_view_end), size[0])).toreadonly()

    def read(self, hold: StoreHold) -> Any:
        """Return the value of a stored object; large buffers are shared, read-only."""
        if not self.session.attached:
            raise ObjectLostError("The cluster that held this object has been shut down.")
        return serializer.from_store(self.view(hold.obj))[0]

    def data_of(self, hold: StoreHold, ref: ObjectRef) -> Any:
        """Return what a ref's ``_data`` becomes when its stored object is sealed."""
        meta = self.info(hold.obj).meta
        if meta & lib.NBS_META_LOST:
            text = (
                f"ObjectRef({ref.hex()}): the process that should have made this value died before it did. "
                "Submit the task again."
            )
            return error_value.from_system_error(OwnerDiedError(text, ref.hex()))
        if meta & META_ERROR:
            return ErrorValue(bytes(serializer.pickle_of_store(self.view(hold.obj))))
        return StoredValue(hold)

    def stats(self) -> Any:
        out = ffi.new("nbs_stats *")
        _check(lib.nbs_get_stats(self.seg, out), "stats")
        return out

    def _raise(self, status: int, size: int) -> None:
        if status in (lib.NBS_EFULL, lib.NBS_ETOOBIG, lib.NBS_ELIMIT, lib.NBS_ENOMEM):
            stats = self.stats()
            mib = 1 << 20
            if size > stats.capacity:
                advice = "It is larger than the store: init(object_store_memory=...) with more, or store it in parts."
            else:
                advice = (
                    "Drop refs and arrays that are not needed any more, or init(object_store_memory=...) with more."
                )
            holders = self._holders()
            raise ObjectStoreFullError(
                f"No room for an object of {size} bytes ({size / mib:.1f} MiB) in the object store: {stats.used / mib:.1f} "
                f"of {stats.capacity / mib:.1f} MiB are in use (capacity {stats.capacity} bytes).{holders} {advice}",
                size, stats.used, stats.capacity,
            )  # fmt: skip
        raise RaySystemError(f"The object store refused the object: {_name(status)}.")

    def _holders(self) -> str:
        items = ffi.new("nbs_list_item[]", 4096)
        n = min(lib.nbs_list(self.seg, items, 4096), 4096)
        largest = sorted(((items[i].size, items[i].n_holders) for i in range(max(n, 0))), reverse=True)[:5]
        if not largest:
            return ""
        listed = ", ".join(f"{size / (1 << 20):.1f} MiB held by {holders} processes" for size, holders in largest)
        return f" The largest objects: {listed}."


def _name(status: int) -> str:
    return ffi.string(lib.nbs_status_name(status)).decode()


def _check(status: int, what: str) -> None:
    if status != 0:
        raise RaySystemError(f"The object store failed to {what} an object: {_name(status)}.")


def pack_handle(obj: int) -> bytes:
    """Return an object handle as it stands in messages."""
    return struct.pack("<Q", obj)
