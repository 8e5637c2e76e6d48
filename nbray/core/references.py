"""Refs that leave this process, and refs that come from others.

A part of CoreWorker; all methods but the public ones of ``get`` and ``wait`` are called with
its lock held.
"""

from __future__ import annotations

import gc

from nbray import ids
from nbray._cstore import lib
from nbray.core import advice, cluster_view
from nbray.core.core_state import CoreState
from nbray.core.records import (
    META_ERROR,
    StoredValue,
)
from nbray.exceptions import (
    ForeignObjectError,
    ObjectFreedError,
    ObjectLostError,
)
from nbray.object_ref import ObjectRef, new_ref
from nbray.serialization import error_value, serializer
from nbray.serialization.error_value import ErrorValue


class References(CoreState):
    """Refs that leave this process, and refs that come from others."""

    def export(self, ref: ObjectRef) -> bytes:
        """Give a ref's object a place in the store, so that any process reaches it by id."""
        if ref._cluster is not self or not self.session.attached:
            return ref.binary()  # whoever reads it is told that its cluster is another one
        object_id = self.place(ref)
        if not serializer.note_ref(ref):
            advice.pickled_by_hand(ref)
            self.keep_forever(ref)  # pickled by hand: nobody will tell when it is done with
        return object_id

    def place(self, ref: ObjectRef) -> bytes:
        """See to it that a ref's object has its place in the store; returns its id."""
        object_id = ref.binary()
        with self.lock:
            if ref._hold is None:
                data = ref._data
                if data is None:
                    ref._hold = self.store.promise(object_id)
                elif type(data) is StoredValue:
                    ref._hold = data.hold
                else:
                    ref._hold = self.store.promise(object_id)
                    self._fill_promise(ref)
            self.exported[object_id] = ref
        return object_id

    def free(self, refs: list[ObjectRef]) -> None:
        """Give values back now, although refs of them exist; those refs get ObjectFreedError.

        A value that is not there yet is left alone, as is one that another process uses: it goes
        when that lets go of it, but nobody finds it by its id any more.
        """
        self.drain()
        for ref in refs:
            with self.lock:
                if ref._data is None and not self._settle_borrowed(ref):
                    continue
                object_id = ref.binary()
                text = f"ObjectRef({ref.hex()}) was freed with internal.free() by process {self.pid}. Make the value again."
                ref._data = error_value.from_system_error(ObjectFreedError(ref.hex(), message=text))
                ref._hold = None
                self.exported.pop(object_id, None)
                lib.nbs_delete(self.seg, object_id)

    def keep_forever(self, ref: ObjectRef) -> None:
        """Keep a ref as long as the session."""
        self.kept.append(ref)

    def _fill_promise(self, ref: ObjectRef) -> None:
        """Put the value that has arrived into the object that others wait for."""
        data = ref._data
        if type(data) is bytes:
            self.store.fulfil(ref.binary(), serializer.plain(data), 0)
        elif type(data) is ErrorValue:
            data.unread = None  # it may be read elsewhere
            self.store.fulfil(ref.binary(), data.stored(), META_ERROR)
        elif type(data) is StoredValue:
            ref._hold = data.hold

    def job_of(self, peer: int) -> int | None:
        """Return the job that a process of this cluster serves, or served; None when that is not known."""
        if peer == self.peer:
            return self.job_id
        job = self._job_of_peer.get(peer)
        if job is None:
            rows = cluster_view.table(self, "processes")
            self._job_of_peer.update((row["peer"], row["job_id"]) for row in rows if row["job_id"])
            job = self._job_of_peer.get(peer)
        return job

    def actor_of_task(self, task_id: bytes) -> str:
        """Return the id, as hex digits, of the actor that a task calls or makes; empty when it does neither, or is forgotten."""
        owner, number = ids.split_task_id(task_id)
        made = ids.actor_id(owner, number).hex()
        if any(row["actor_id"] == made for row in cluster_view.table(self, "actors")):
            return made
        return cluster_view.actor_of_call(self, owner, number)

    def import_ref(self, object_id: bytes, by_id: bool = False) -> ObjectRef:
        """Return this process's ref of an object that somebody sent, or that the user has the id of."""
        with self.lock:
            ref = self.exported.get(object_id)
            if ref is not None:
                return ref
            owner, number, cluster, index = ids.split_object_id(object_id)
            ref = new_ref(number, index, owner, self)
            if cluster != self.cluster_id:
                text = (
                    f"ObjectRef({object_id.hex()}) belongs to another cluster ({cluster:08x}; this one is "
                    f"{self.cluster_id:08x}). Refs die with their cluster: make the value again."
                )
                ref._data = error_value.from_system_error(ForeignObjectError(object_id.hex(), message=text))
                return ref
            hold = None if by_id and owner == self.peer else self.store.lookup(object_id)
            if hold is None and owner == self.peer:
                if (kept := self._found(ref)) is not None:
                    return kept
                hold = self.store.lookup(object_id)
            if hold is None:
                text = (
                    f"ObjectRef({object_id.hex()}) is not in the store of this node any more: nobody held a "
                    "reference to it. Keep the ref alive (a pickled copy on disk does not)."
                )
                ref._data = error_value.from_system_error(ObjectLostError(object_id.hex(), message=text))
                return ref
            ref._hold = hold
            self.exported[object_id] = ref
            return ref

    def _settle_borrowed(self, ref: ObjectRef) -> bool:
        """Look whether a ref from elsewhere has its value now; True when it has."""
        if ref._data is not None:
            return True
        if ref._hold is None or ref._task is not None:
            return False
        state = lib.nbs_obj_state(self.seg, ref._hold.obj)
        if state < 0:
            text = f"ObjectRef({ref.hex()}) has vanished from the store of this node."
            lost = ObjectLostError(ref.hex(), message=text)
            self._set(ref, error_value.from_system_error(lost))
            return True
        if state != lib.NBS_SEALED:
            return False
        data = self.store.data_of(ref._hold, ref)
        if data is None:
            return self.ask_owner(ref)
        self._set(ref, data)
        return True

    def _found(self, new: ObjectRef) -> ObjectRef | None:
        """Return the ref that this process made of an object and that never left it; looks at every object that there is."""
        wanted = (new._number, new._index, new._owner)
        for thing in gc.get_objects():
            if type(thing) is ObjectRef and thing._cluster is self and thing is not new:
                if (thing._number, thing._index, thing._owner) == wanted:
                    return thing
        return None
