"""Values in and out of the node's object store."""

from __future__ import annotations

import functools
import os
import struct
from typing import Any

from nbray._cstore import ffi, lib
from nbray.core.interrupts import uninterrupted
from nbray.core.pressure import FULL, Patience, Pressure, TaskPatience, restore_wanted, room_wanted
from nbray.core.records import META_ERROR, Session, StoredValue, StoreHold
from nbray.exceptions import ObjectLostError, ObjectStoreFullError, OutOfDiskError, OwnerDiedError, RaySystemError
from nbray.object_ref import ObjectRef
from nbray.serialization import error_value, serializer
from nbray.serialization.error_value import ErrorValue, Kept
from nbray.serialization.serializer import Serialized
from nbray.serialization.unreadable import unreadable
from nbray.store import private_memory

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
        self.pressure = Pressure(session)
        private_memory.may_keep(int(self.stats().capacity) // 4)

    # -------------------------------------------------------------------- writing

    def write(
        self, object_id: bytes, value: Serialized, meta: int = 0, hold_for: int = 0, label: bytes = b""
    ) -> StoreHold:
        """Create, write and seal an object; returns this process's hold. Waits for room.

        Parameters
        ----------
        object_id : bytes
        value : Serialized
        meta : int
            Flags of the object.
        hold_for : int
            Peer that holds it as well from the start (it takes over with nbs_adopt).
        label : bytes
            Where it is made, for messages.

        Raises
        ------
        ObjectStoreFullError
            With size, use, capacity and the largest holders.
        OutOfDiskError
            When objects would have to be spilled, and the disk is full.
        """
        hold, status = self._try_write(object_id, value, meta, hold_for, label)
        if hold is None:
            patience = self._patience(status, value.size)
            while hold is None:
                patience.nap(room_wanted(value.size), status)
                hold, status = self._try_write(object_id, value, meta, hold_for, label)
                if hold is None and status not in FULL:
                    self.pressure.refuse(status, value.size)
        return hold

    def _patience(self, status: int, size: int) -> Patience:
        if status not in FULL:
            self.pressure.refuse(status, size)
        return self.pressure.patience(size)

    @uninterrupted
    def _try_write(
        self, object_id: bytes, value: Serialized, meta: int, hold_for: int, label: bytes
    ) -> tuple[StoreHold | None, int]:
        seg = self.seg
        out = ffi.new("uint64_t *")
        data = ffi.new("void **")
        children: Any = _NULL
        if value.refs:
            children = ffi.new("uint64_t[]", [ref._hold.obj for ref in value.refs if ref._hold is not None])
        n_children = len(children) if children is not _NULL else 0
        status = lib.nbs_obj_create(seg, object_id, value.size, meta, hold_for, children, n_children, out, data)
        if status == _EEXISTS:  # a run of the task before this one made it already
            return StoreHold(self.session, out[0]), 0
        if status != 0:
            return None, status
        obj = out[0]
        try:
            if label:
                lib.nbs_obj_label(seg, obj, label)
            head = value.head()
            _check(lib.nbs_obj_write(seg, obj, 0, head, len(head)), "write")
            for (offset, length), buffer in zip(value.spans, value.buffers, strict=True):
                if length:
                    _check(lib.nbs_obj_write(seg, obj, offset, ffi.from_buffer(buffer), length), "write")
            _check(lib.nbs_obj_seal(seg, obj), "seal")
        except BaseException:
            lib.nbs_obj_abort(seg, obj)
            raise
        return StoreHold(self.session, obj), 0

    def stash(self, payload: bytes) -> StoreHold:
        """Put raw bytes (a large message) under an id that nobody else has."""
        return self.write(os.urandom(28), _Raw(payload))  # type: ignore[arg-type]

    def words(self, object_id: bytes, count: int) -> tuple[StoreHold, Any]:
        """Make an object of ``count`` words of 64 bits, all 0, that its maker goes on writing.

        Returns
        -------
        hold : StoreHold
        words : cdata
            ``uint64_t[]``, a view: the object stays in its place as long as it lives.
        """
        hold = self.write(object_id, _Raw(bytes(8 * count)))  # type: ignore[arg-type]
        return hold, ffi.from_buffer("uint64_t[]", self.view(hold.obj))

    @uninterrupted
    def promise(self, object_id: bytes) -> StoreHold:
        """Make the place of an object whose value comes later."""
        out = ffi.new("uint64_t *")
        status = lib.nbs_promise(self.seg, object_id, out)
        if status not in (0, _EEXISTS):
            self.pressure.refuse(status, 0)
        return StoreHold(self.session, out[0])

    def fulfil(self, object_id: bytes, value: Serialized, meta: int) -> None:
        """Write the value of a promised object (whose hold the caller has)."""
        try:
            self.write(object_id, value, meta)
        except (ObjectStoreFullError, OutOfDiskError) as error:
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
            raise ObjectLostError(message=f"The object is not in the store any more ({_name(status)}).")
        return out

    @uninterrupted
    def _try_view(self, obj: int) -> memoryview | None:
        size = _new_size()
        pointer = lib.nbs_view_sized(self.seg, obj, size)  # holds the object from here on
        if not pointer:
            return None
        return memoryview(ffi.buffer(ffi.gc(pointer, lib.nbs_view_end), size[0])).toreadonly()

    def view(self, obj: int, for_task: bool = False, waited: TaskPatience | None = None) -> memoryview:
        """Return the object's bytes, read-only; they stay as long as any slice lives.

        What lies on disk is brought back first; ``for_task``: however long other tasks take with
        the memory that it needs, unless the one that waits is cancelled.

        Raises
        ------
        CrowdedOut
            For a task: it is to let go of its other arguments, and to come again with this as ``waited``.
        """
        view = self._try_view(obj)
        return view if view is not None else self._restored(obj, for_task, waited)

    def _restored(self, obj: int, for_task: bool, waited: TaskPatience | None) -> memoryview:
        """Wait until a value that lies on disk is in memory, and look at it."""
        patience: Patience | None = None
        while True:
            out = ffi.new("nbs_object *")
            status = lib.nbs_obj_info(self.seg, obj, out)
            if status == lib.NBS_ESTATE:  # nobody here holds it but the message that named it
                if lib.nbs_hold(self.seg, obj) != 0:
                    raise ObjectLostError(message="The object is not in the store any more.")
                try:
                    return self._restored(obj, for_task, waited)
                finally:
                    lib.nbs_release(self.seg, obj)
            if status != 0 or out.state != lib.NBS_SEALED or out.meta & lib.NBS_META_LOST:
                raise LostValueError(bytes(ffi.buffer(out.id)) if status == 0 else b"", obj)
            if patience is None:
                patience = waited.goes_on(out.size) if waited else self.pressure.patience(out.size, for_task)
            view = self._try_view(obj)
            if view is not None:
                patience.over()
                return view
            patience.nap(restore_wanted(obj), lib.NBS_EFULL)

    def read(self, hold: StoreHold) -> Any:
        """Return the value of a stored object; large buffers are shared, read-only."""
        if not self.session.attached:
            raise ObjectLostError(message="The cluster that held this object has been shut down.")
        view = self.view(hold.obj)
        try:
            return serializer.from_store(view)[0]
        except Exception as error:
            raise unreadable(error) from error

    def data_of(self, hold: StoreHold, ref: ObjectRef) -> Any:
        """Return what a ref's ``_data`` becomes when its stored object is sealed; None: it was, and is lost."""
        meta = self.info(hold.obj).meta
        if meta & lib.NBS_META_LOST and meta & lib.NBS_META_SPILLED:
            return None
        if meta & lib.NBS_META_LOST:
            text = (
                f"ObjectRef({ref.hex()}): the process that should have made this value died before it did. "
                "Submit the task again."
            )
            return error_value.from_system_error(OwnerDiedError(ref.hex(), message=text))
        if meta & META_ERROR:
            return self.error(hold)
        return StoredValue(hold)

    def message(self, hold: StoreHold) -> bytes:
        """Return what was to be sent, and was too large for a message."""
        return bytes(serializer.pickle_of_store(self.view(hold.obj)))

    def error(self, hold: StoreHold) -> ErrorValue:
        """Return the error that a stored object is; it keeps the object if that keeps refs inside the exception."""
        blob = self.message(hold)
        has_refs = lib.nbs_obj_children(self.seg, hold.obj, _NULL, 0) > 0
        return ErrorValue(blob, (Kept(hold),) if has_refs else ())

    def is_lost(self, obj: int) -> bool:
        """Tell whether an object that this process holds was spilled and cannot be read any more."""
        out = ffi.new("nbs_object *")
        lost = lib.NBS_META_LOST | lib.NBS_META_SPILLED
        return lib.nbs_obj_info(self.seg, obj, out) == 0 and out.meta & lost == lost

    def stats(self) -> Any:
        out = ffi.new("nbs_stats *")
        _check(lib.nbs_get_stats(self.seg, out), "stats")
        return out


class LostValueError(ObjectLostError):
    """A value was in the store and is lost; the caller says what that means."""

    def __init__(self, object_id: bytes, obj: int) -> None:
        name = f"ObjectRef({object_id.hex()})" if object_id else "The object"
        text = f"{name} is lost: its value was on disk and cannot be read any more."
        super().__init__(object_id.hex(), message=text)
        self.obj = obj

    def __reduce__(self) -> tuple[Any, ...]:
        return functools.partial(ObjectLostError, message=self.args[0]), (self.object_ref_hex,)


class _Raw:
    """Bytes that are no value, with what ``write`` asks of one."""

    __slots__ = ("buffers", "payload", "refs", "size", "spans")

    def __init__(self, payload: bytes) -> None:
        self.payload, self.size = payload, len(payload)
        self.refs, self.spans, self.buffers = (), (), ()

    def head(self) -> bytes:
        return self.payload


def _name(status: int) -> str:
    return ffi.string(lib.nbs_status_name(status)).decode()


def _check(status: int, what: str) -> None:
    if status != 0:
        raise RaySystemError(f"The object store failed to {what} an object: {_name(status)}.")


def pack_handle(obj: int) -> bytes:
    """Return an object handle as it stands in messages."""
    return struct.pack("<Q", obj)
