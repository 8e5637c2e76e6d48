"""Refs among the arguments of a task: wait for their values, put them in front of the payload.

A part of CoreWorker; all methods but the public ones of ``get`` and ``wait`` are called with
its lock held.
"""

from __future__ import annotations

import struct

from nbray._cstore import lib
from nbray.core.core_state import CoreState
from nbray.core.records import (
    PART_INLINE,
    PART_STORED,
    RESULT_ERROR,
    TASK_INDIRECT,
    StoredValue,
    TaskRecord,
)

MAX_INPUTS_TOLD = 64  # edges of the task graph that are recorded of one task
SLOT = 0xFFFFFFFF  # part of a peer

_PART = struct.Struct("<BI")
_U64 = struct.Struct("<Q")


class Dependencies(CoreState):
    """Refs among the arguments of a task: wait for their values, put them in front of the payload."""

    def _await_dependencies(self, record: TaskRecord) -> bool:
        """Complete the payload when all refs are known; True when it can go now."""
        missing = 0
        for ref in record.deps[:MAX_INPUTS_TOLD]:
            is_task = ref._task is not None  # else it is over, or was put
            lib.nbs_event_put(self.seg, lib.NBS_EV_INPUT, is_task, record.number, ref._owner & SLOT, ref._number)
        for ref in record.deps:
            if ref._data is None and not self._settle_borrowed(ref):
                missing += 1
                self._add_waiter(ref, record)
        if missing:
            record.n_missing = missing
            self.waiting_args[record.number] = record
            lib.nbs_count(self.seg, lib.NBS_CTR_WAIT_ARGS, 1)
            if record.flags & 16:  # an actor's call keeps its place in the order
                return True
            return False
        return self._insert_dependencies(record)

    def _dependency_ready(self, record: TaskRecord) -> None:
        record.n_missing -= 1
        if record.n_missing == 0 and self.waiting_args.pop(record.number, None) is not None:
            lib.nbs_count(self.seg, lib.NBS_CTR_WAIT_ARGS, -1)
            try:
                complete = self._insert_dependencies(record)
            except (
                Exception
            ) as error:  # no room for them in the store: whoever waits for the task is told, not who is here
                if record.flags & 16:
                    record.pool.withdraw(record)
                self.fail(record, error)
                return
            if complete:
                record.pool.submit_late(record) if record.flags & 16 else record.pool.submit(record)

    def _insert_dependencies(self, record: TaskRecord) -> bool:
        """Put the values of a task's refs in front of its payload; False when one failed."""
        parts = [struct.pack("<I", len(record.deps))]
        for ref in record.deps:
            data = ref._data
            if type(data) is bytes:
                parts.append(_PART.pack(PART_INLINE, len(data)))
                parts.append(data)
            elif type(data) is StoredValue:
                parts.append(_PART.pack(PART_STORED, 8))
                parts.append(_U64.pack(data.hold.obj))
            else:
                if record.flags & 16:
                    record.pool.withdraw(record)
                self.note_lost(record, 0, RESULT_ERROR)
                self._finish_error(record, data.of_dependent(record.name or record.function.name))
                return False
        record.raw = (record.payload, record.flags, record.keep, record.deps)
        parts.append(record.payload)
        payload = b"".join(parts)
        record.keep = (record.keep, record.deps)
        if len(payload) > self.max_payload:
            hold = self.store.stash(payload)
            record.keep = (record.keep, hold)
            payload = _U64.pack(hold.obj)
            record.flags |= TASK_INDIRECT
        record.payload = payload
        record.deps = None
        return True
