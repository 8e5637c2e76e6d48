"""Take in what workers answer: results, errors, output.

A part of CoreWorker; all methods but the public ones of ``get`` and ``wait`` are called with
its lock held.
"""

from __future__ import annotations

import struct
import sys
from typing import Any

from nbray._cstore import lib
from nbray.core.core_state import BUFFER_BYTES, CoreState
from nbray.core.lease_pool import Lane
from nbray.core.records import (
    KIND_ITEM,
    KIND_LEAVING,
    KIND_OUTPUT,
    KIND_WORDS_SENT,
    PART_ERROR,
    PART_INLINE,
    PART_STORED,
    PART_STORED_ERROR,
    RESULT_CANCELLED,
    RESULT_ERROR,
    RESULT_EXITED,
    RESULT_LOST,
    RESULT_MULTI,
    RESULT_STORED,
    TASK_INDIRECT,
    TASK_METHOD,
    TASK_STREAM,
    StoredValue,
    StoreHold,
    TaskRecord,
    part_kind,
)
from nbray.exceptions import (
    ObjectLostError,
    RunningTaskCancelledError,
)
from nbray.object_ref import ObjectRef
from nbray.serialization import error_value
from nbray.serialization.error_value import ErrorValue

_HEAD = struct.Struct("<IIQHHIQ")  # nbs_msg
_HEAD_SIZE = _HEAD.size
_PART = struct.Struct("<BI")
_U64 = struct.Struct("<Q")


class Results(CoreState):
    """Take in what workers answer: results, errors, output."""

    def drain(self) -> bool:
        """Process what has arrived from workers, then run users' callbacks; True when something had."""
        with self.lock:
            some = self._drain()
        if self._callbacks:
            self.run_callbacks()
        return some

    def _drain(self) -> bool:
        some = False
        while True:
            if self._position >= self._end:
                n = lib.nbs_recv_many(self.seg, self._buffer, BUFFER_BYTES)
                if n <= 0:
                    return some
                self._position = 0
                self._end = n
            some = True
            self._process()

    def _process(self) -> None:
        view = self._buffer_view
        unpack = _HEAD.unpack_from
        lanes = self.lanes
        end = self._end
        position = self._position
        touched: dict[Lane, None] = {}
        last_lane = None
        while position < end:
            length, chan, number, kind, flags, a, ran_ns = unpack(view, position)
            start = position + _HEAD_SIZE
            if kind == 2:  # KIND_RESULT
                lane: Any = lanes.get(chan) or self.actor_channels.get(chan)
                record = lane.tasks.get(number) if lane is not None else None
                if record is not None:
                    if lane is not last_lane:
                        touched[lane] = None
                        last_lane = lane
                    function = record.function
                    avg = function.avg_ns
                    if avg == 0.0:
                        avg = ran_ns
                    else:  # one that was robbed of its processor meanwhile says little of the others
                        most = 8.0 * avg
                        avg += 0.2 * ((ran_ns if ran_ns < most else most) - avg)
                    function.avg_ns = avg
                    if not function.low < avg < function.high:
                        function.learn()
                    if flags == 0 and record.n_returns == 1:
                        # The lane is free before what waits for the value is submitted: a chain stays in it.
                        del lane.tasks[number]
                        ref = record.ref
                        if ref._data is None:
                            ref._data = view[start : start + length].tobytes()
                            ref._task = None
                            if ref._hold is not None:
                                self._fill_promise(ref)
                            if ref._waiters is not None:
                                self._wake(ref)
                        record.ref = None
                    else:
                        payload = view[start : start + length].tobytes()
                        if not flags & (RESULT_ERROR | RESULT_CANCELLED):
                            del lane.tasks[number]  # before what waits for its values is submitted, as above
                            self._result(record, flags, payload)
                        else:
                            self._result(record, flags, payload)
                            if record.ref is None:  # else it is retried
                                lane.tasks.pop(number, None)
            elif kind == KIND_ITEM:
                self._item(chan, number, flags, a, view[start : start + length].tobytes())
            elif kind == KIND_LEAVING:
                self._worker_leaves(chan)
            elif kind == KIND_OUTPUT:
                payload = view[start : start + length].tobytes()
                self._output(payload, flags)
            elif kind == KIND_WORDS_SENT:
                self.silent.add(chan)
            position = start + ((length + 7) & ~7)
            self._position = position
        for lane in touched:
            lane.pool.refill(lane)
        self.waiters.wake()

    def result_from_self(self, actor_id: str, number: int, flags: int, payload: bytes) -> None:
        """Take in the result of a call of this actor to itself."""
        with self.lock:
            calls = self.actors.get(actor_id)
            record = calls.tasks.get(number) if calls is not None else None
            if calls is None or record is None:
                return
            self._result(record, flags, payload)
            if record.ref is None:  # else it is retried
                calls.tasks.pop(number, None)
            self.waiters.wake()
        if self._callbacks:
            self.run_callbacks()

    def _worker_leaves(self, chan: int) -> None:
        """A worker ends after the task that it runs (max_calls)."""
        lane = self.lanes.get(chan)
        if lane is not None:
            lane.pool.leaves(lane)

    def _result(self, record: TaskRecord, flags: int, payload: bytes) -> None:
        """Take in a result that is not one small value."""
        if flags & RESULT_MULTI and flags & RESULT_STORED:  # more than one message has room for
            payload = self.store.message(self._value_part(PART_STORED, payload).hold)
        if flags & RESULT_MULTI and flags & RESULT_ERROR:  # a generator raised when it had yielded some of its values
            error = self._last_part(payload)
            if record.cancelled:
                self._drop_result(flags, payload)
                flags = RESULT_CANCELLED
            elif record.retry_exceptions and record.retries != 0 and self._retryable(record, error):
                self._drop_result(flags, payload)
                lib.nbs_count(self.seg, lib.NBS_CTR_FAILED, -1)  # its worker counted it, and it has not failed yet
                self._retry(record, error)
                return
            else:
                self._note_failure(record, error)
                flags = RESULT_MULTI
        if record.n_returns < 0 and not flags & RESULT_ERROR:
            self._drop_result(flags, payload)
            flags |= RESULT_CANCELLED
        if flags & (RESULT_ERROR | RESULT_CANCELLED):
            if flags & RESULT_LOST and not record.cancelled:
                self.argument_lost(record, _U64.unpack(payload)[0])
                return
            if flags & RESULT_CANCELLED or (record.cancelled and record.n_returns >= 0):
                error = error_value.from_system_error(RunningTaskCancelledError(self._task_hex(record)))
            else:
                error = self._large_error(payload) if flags & RESULT_STORED else ErrorValue(payload)
                # Who calls sys.exit ends his process, in Ray, so that any task with retries runs again.
                again = flags & RESULT_EXITED or (record.retry_exceptions and self._retryable(record, error))
                if again and record.retries != 0:
                    lib.nbs_count(self.seg, lib.NBS_CTR_FAILED, -1)  # its worker counted it, and it has not failed yet
                    self._retry(record, error)
                    return
                if record.flags & TASK_STREAM:
                    self._note_failure(record, error)
                    self._stream_raised(record, error)
                    return
            self._finish_error(record, error)
            return
        if record.flags & TASK_STREAM:
            self._stream_done(record)
            return
        if record.n_returns == 1:
            value = self._value_part(part_kind(flags), payload)
            if type(value) is StoredValue:
                value.lineage = self.remember(record)
            self._set(record.ref, value)
        elif flags & RESULT_MULTI:
            at = 0
            lineage = None
            # There may be a million of them, and the lock is held: what nobody waits for yet is only hung on its ref.
            unpack, size = _PART.unpack_from, _PART.size
            for ref in record.ref:
                kind, length = unpack(payload, at)
                at += size
                if kind == PART_INLINE and ref._data is ref._hold is ref._waiters is None:
                    ref._data = payload[at : at + length]
                    ref._task = None
                    at += length
                    continue
                value = self._value_part(kind, payload[at : at + length])
                if kind == PART_STORED:
                    lineage = value.lineage = lineage or self.remember(record)
                self._set(ref, value)
                at += length
        record.ref = None

    @staticmethod
    def _last_part(payload: bytes) -> ErrorValue:
        at = length = 0
        while at < len(payload):
            _, length = _PART.unpack_from(payload, at)
            at += _PART.size + length
        return ErrorValue(payload[-length:])

    def _drop_result(self, flags: int, payload: bytes) -> None:
        """Give back what a call that was cancelled returned all the same."""
        if flags & RESULT_MULTI:
            at = 0
            while at < len(payload):
                kind, length = _PART.unpack_from(payload, at)
                at += _PART.size
                self._value_part(kind, payload[at : at + length])
                at += length
        elif flags & RESULT_STORED:
            self._value_part(PART_STORED, payload)

    def _large_error(self, payload: bytes) -> ErrorValue:
        """Take an error out of the store, where it was too large to be sent, or has refs inside."""
        return self.store.error(self._value_part(PART_STORED, payload).hold)

    def _value_part(self, kind: int, payload: bytes) -> Any:
        if kind == PART_INLINE:
            return payload
        if kind == PART_ERROR:
            return ErrorValue(payload)
        if kind == PART_STORED_ERROR:
            return self._large_error(payload)
        obj = _U64.unpack(payload)[0]
        if lib.nbs_adopt(self.seg, obj) != lib.NBS_OK:  # an earlier run of the task made it, and we have that hold
            lib.nbs_hold(self.seg, obj)
        return StoredValue(StoreHold(self.session, obj))

    def _retryable(self, record: TaskRecord, error: ErrorValue) -> bool:
        if record.retry_exceptions is True:
            return True
        cause = getattr(error.exception(), "cause", None)
        return issubclass(type(cause), record.retry_exceptions)  # whatever the instance says of its class

    def _retry(self, record: TaskRecord, error: ErrorValue, process: int = 0) -> None:
        """Run a task again that ended in ``error``; ``process``: the peer of its worker, where its lane is gone."""
        link = record.lane.link if record.lane is not None else None
        worker = process or (link.peer if link is not None else 0)
        if process:
            self.note_lost(record, process, 0)
        self.failed.add_attempt(record.number, worker, error.blob)
        if self.reports is not None:
            name = record.name or record.function.name
            self.reports.retried(name, record.retries, record.origin, error_value.describe(error.blob)[1])
        if record.retries > 0:
            record.retries -= 1
        if record.lane is not None:
            record.lane.tasks.pop(record.number, None)
        record.lane = None
        record.ticket = 0
        record.pool.again(record)

    def _finish_error(self, record: TaskRecord, error: ErrorValue, process: int = 0, began: bool = True) -> None:
        """End a task with an error in the place of all its values; ``process`` and ``began`` as in ``fail``."""
        refs = record.ref
        if refs is None:
            return
        if type(refs) is ObjectRef:
            self._set(refs, error)
        else:
            for ref in refs:
                self._set(ref, error)
        self._note_failure(record, error, process, began)
        record.ref = None
        if record.flags & TASK_STREAM:
            self._stream_over(record)

    def _note_failure(self, record: TaskRecord, error: ErrorValue, process: int = 0, began: bool = True) -> None:
        name = record.function.name
        if self.reports is not None and not record.cancelled:
            self.reports.watch(error, record.origin)
        self.failed.add(
            record.number, record.name or name, name, record.function.number,
            record.pool.actor_id if record.flags & TASK_METHOD else "",
            record.cancelled, error.blob,
            self.lineage_of_failed(record) if self.role == "driver" else None,  # where somebody may ask for it
            process, began,
        )  # fmt: skip

    def fail(self, record: TaskRecord, error: BaseException, process: int = 0, began: bool = True) -> None:
        """End a task with an error of the runtime.

        Parameters
        ----------
        record : TaskRecord
        error : BaseException
        process : int
            The peer of the worker that died with it.
        began : bool
            Whether that may have begun it.
        """
        self.note_lost(record, process, RESULT_CANCELLED if record.cancelled else RESULT_ERROR)
        self._finish_error(record, error_value.from_system_error(error), process, began)

    def note_lost(self, record: TaskRecord, process: int, flags: int) -> None:
        """Record for all who look that a run is over of which no worker tells; ``process``: the one that died with it.

        Without ``flags`` the task runs again.
        """
        lib.nbs_event_put(self.seg, lib.NBS_EV_LOST, flags, record.number, record.function.number, process)

    def _set(self, ref: ObjectRef, data: Any) -> None:
        if ref._data is not None:
            return
        ref._data = data
        ref._task = None
        if type(data) is ErrorValue:
            self._errors += 1
        if ref._hold is not None:
            self._fill_promise(ref)
        if ref._waiters is not None:
            self._wake(ref)

    def _wake(self, ref: ObjectRef) -> None:
        waiters, ref._waiters = ref._waiters, None
        for waiter in waiters:
            if type(waiter) is TaskRecord:
                self._dependency_ready(waiter)
            else:
                self._callbacks.append((waiter, ref))

    def _add_waiter(self, ref: ObjectRef, waiter: Any) -> None:
        if ref._waiters is None:
            ref._waiters = []
        ref._waiters.append(waiter)
        if ref._hold is not None and ref._task is None:
            self.borrowed_waits[ref] = None

    def run_callbacks(self) -> None:
        """Call what waits for refs, outside of the lock."""
        self.waiters.step_down()
        while self._callbacks:
            try:
                callback, ref = self._callbacks.popleft()
            except IndexError:
                break
            try:
                callback(ref)
            except Exception:  # it is nobody's fault who happens to serve it
                sys.excepthook(*sys.exc_info())
        if self.waiters:  # for what a callback brings about
            with self.lock:
                self.waiters.wake()

    def _output(self, payload: bytes, flags: int) -> None:
        if self.output_sink is not None:
            if flags & TASK_INDIRECT:
                try:
                    payload = bytes(self.store.view(_U64.unpack(payload)[0]))
                except ObjectLostError:  # with its spill file; the program goes on without it
                    return
            self.output_sink(flags, payload)
