"""Workers that died, and tasks that are cancelled.

A part of CoreWorker; all methods but the public ones of ``get`` and ``wait`` are called with
its lock held.
"""

from __future__ import annotations

import pickle
import signal
import time

from nbray import ids
from nbray._cstore import lib
from nbray.core.core_state import CoreState
from nbray.core.interrupts import uninterrupted
from nbray.core.records import (
    TASK_METHOD,
    TaskRecord,
)
from nbray.exceptions import (
    ForciblyCancelledError,
    OutOfMemoryError,
    TaskCancelledError,
    WorkerCrashedError,
)
from nbray.object_ref import ObjectRef
from nbray.serialization import error_value
from nbray.wire import messages as m


class Failures(CoreState):
    """Workers that died, and tasks that are cancelled."""

    def worker_lost(self, peer: int) -> None:
        """A worker is dead: wait a moment for the daemon's account, then settle its tasks."""
        if peer in self._dead_workers:
            return
        self._drain()
        records: list[TaskRecord] = []
        begun: TaskRecord | None = None
        for lane in [lane for lane in self.lanes.values() if lane.peer == peer]:
            # One at a time is taken: what can be taken back of the first has never begun, and so have those behind it.
            first = next(iter(lane.tasks.values()), None)
            if first is not None and lib.nbs_revoke(self.seg, lane.link.chan, first.ticket) != lib.NBS_OK:
                begun = first
            records += lane.tasks.values()
            lane.tasks.clear()
            lane.pool.drop(lane)
            self.control.send(m.LeaseReturnNotice(lease_id=lane.lease_id, discard=True))
            if lane.pool.queue:
                lane.pool.wanted = 0
                lane.pool.want_leases()
        link = self.links.pop(peer, None)
        if link is not None:
            link.close()
        self._dead_workers[peer] = (time.monotonic(), records, begun)
        notice = self._death_notices.pop(peer, None)
        if notice is not None:
            self._bury(peer, notice)

    def last_words(self, notice: m.WorkerDiedNotice) -> None:
        """Show what C code and children of a dead worker had written when it could not send it any more."""
        self._drain()  # what it has sent comes before
        origin, name = "", "worker"
        calls = self.actors.get(notice.actor_id)
        records = [record for lane in self.lanes.values() if lane.peer == notice.peer for record in lane.tasks.values()]
        if not records and notice.peer in self._dead_workers:
            records = self._dead_workers[notice.peer][1]
        if calls is not None:
            origin, name = calls.origin, calls.class_name
        elif records:
            origin, name = records[0].origin, records[0].name or records[0].function.name
        for stream, text in notice.words.items():
            meta = {"name": name, "pid": notice.pid, "task": (0, 0)}
            self._output(pickle.dumps((origin, "stream", (stream, text), meta), 5), 0)

    def _bury(self, peer: int, notice: m.WorkerDiedNotice | None) -> None:
        """Retry or fail the tasks of a dead worker."""
        _, records, begun = self._dead_workers.pop(peer)
        for record in records:
            record.lane = None
            self._discard_results(record)
            if record.cancelled and not record.forced:
                self.fail(record, TaskCancelledError(self._task_hex(record)), peer)
            elif record.forced:
                self.fail(record, self._forced(record, notice), peer)
            elif notice is not None and notice.group_removed:
                self.fail(record, record.pool.group_removed(record), peer)
            elif record is not begun:
                record.pool.submit(record)  # it never began: no retry is used up
            elif notice is not None and notice.out_of_memory:
                self._out_of_memory(record, notice)
            elif record.retries != 0:
                crash = error_value.from_system_error(_crash(record, notice, self.node_id, ""))
                self._retry(record, crash, peer)
            else:
                self.fail(record, _crash(record, notice, self.node_id, ""), peer)

    def _forced(self, record: TaskRecord, notice: m.WorkerDiedNotice | None) -> ForciblyCancelledError:
        crash = _crash(record, notice, self.node_id, "It was cancelled with force=True.")
        return ForciblyCancelledError(
            self._task_hex(record), str(crash), crash.pid, crash.exit_code, crash.signal_name, crash.log_tail
        )

    def _out_of_memory(self, record: TaskRecord, notice: m.WorkerDiedNotice) -> None:
        """Run a task again after a while, when its worker was ended for lack of memory."""
        if record.retries == 0:
            tail = f"\nThe last lines of its log:\n{notice.log_tail}" if notice.log_tail else ""
            self.fail(record, OutOfMemoryError(f"{notice.reason}{tail}"), notice.peer)
            return
        error = error_value.from_system_error(OutOfMemoryError(notice.reason))
        self.note_lost(record, notice.peer, 0)
        self.failed.add_attempt(record.number, notice.peer, error.blob)
        if record.retries > 0:
            record.retries -= 1
        delay = self.store.pressure.limits.oom_retry_s * 2 ** min(record.ooms, 6)
        record.ooms += 1
        record.ticket = 0
        self._delayed.append((time.monotonic() + delay, record))

    def run_delayed(self, now: float) -> None:
        """Run the tasks whose pause is over."""
        due = [record for at, record in self._delayed if at <= now]
        self._delayed = [(at, record) for at, record in self._delayed if at > now]
        for record in due:
            if record.ref is not None:  # else it was cancelled
                record.pool.again(record)

    def _discard_results(self, record: TaskRecord) -> None:
        """Free what a dead worker stored for a task without telling."""
        stream = self.streams.get(record.number)
        # Of a stream at most the item that came next was stored and not told of.
        indexes = range(record.n_returns) if stream is None else range(stream.received + 1, stream.received + 2)
        for index in indexes:
            object_id = self.object_id(record.number, index)
            if lib.nbs_contains(self.seg, object_id) == lib.NBS_SEALED:
                hold = self.store.lookup(object_id)
                if hold is not None:
                    lib.nbs_adopt(self.seg, hold.obj)
                    lib.nbs_delete(self.seg, object_id)
                    lib.nbs_release(self.seg, hold.obj)

    def _task_hex(self, record: TaskRecord) -> str:
        return ids.task_id(self.peer, record.number, self.cluster_id).hex()

    def cancel(self, ref: ObjectRef, force: bool, recursive: bool) -> None:
        """Cancel the task that makes ``ref``; nothing when it is done."""
        with self.lock:
            self._drain()
            record = ref._task
            if record is None:
                if ref._owner != self.peer and not self._settle_borrowed(ref):
                    self.control.send(m.CancelTaskNotice(ref._owner, ref._number, force, recursive))
                return
            if record.flags & TASK_METHOD:
                if force:
                    raise ValueError("force=True is not supported for actor tasks.")
                record.pool.cancel(record, recursive)
            else:
                self._cancel_record(record, force, recursive)
        self.run_callbacks()

    def cancel_by_number(self, owner: int, number: int, force: bool) -> None:
        """Cancel the task of any process, with its children; nothing when it is over."""
        notice = m.CancelTaskNotice(owner, number, force, True)
        if owner != self.peer:
            self.control.send(notice)
            return
        with self.lock:
            self._drain()
            self.cancel_for_another(notice)
        self.run_callbacks()

    def cancel_for_another(self, message: m.CancelTaskNotice) -> None:
        """A process that was given a ref of ours cancels its task; nothing when that is done."""
        for record in self.open_records():
            if record.number == message.number:
                if not record.flags & TASK_METHOD:
                    self._cancel_record(record, message.force, message.recursive)
                elif not message.force:
                    record.pool.cancel(record, message.recursive)
                return

    def open_records(self) -> list[TaskRecord]:
        """Return all tasks and calls of this process that are not done."""
        records = list(self.waiting_args.values())
        records += [record for _, record in self._delayed if record.ref is not None]  # None: cancelled
        for pool in self.pools.values():
            records += pool.queue
        for lane in self.lanes.values():
            records += lane.tasks.values()
        for calls in self.actors.values():
            records += calls.open_records()
        return records

    @uninterrupted
    def submitted_since(self, number: int, name: str) -> list[ObjectRef]:
        """Return the first refs of the tasks and calls of that name, numbered so or higher, that are not done, in their order.

        For who was interrupted while it submitted them: the refs may not have reached it.
        """
        found: list[ObjectRef] = []
        with self.lock:
            self._drain()
            records = [record for record in self.open_records() if record.number >= number and record.name == name]
            for record in sorted(records, key=lambda record: record.number):
                refs = (record.ref,) if isinstance(record.ref, ObjectRef) else record.ref or ()
                for ref in refs:
                    ref._task = record
                found += refs[:1]
        return found

    def runs_for(self, origin: str) -> bool:
        """Tell whether a task or call of this process that was submitted for ``origin`` is not done."""
        with self.lock:
            self._drain()
            return any(record.origin == origin for record in self.open_records())

    def take_back(self, ref: ObjectRef) -> bool:
        """Withdraw an actor's call that has not begun, as if it had never been made; False when it has.

        Its ref never gets a value, and nobody is told.
        """
        with self.lock:
            self._drain()
            record = ref._task
            if record is None or not record.pool.take_back(record):
                return False
            record.ref = ref._task = ref._waiters = None
            return True

    def _cancel_record(self, record: TaskRecord, force: bool, recursive: bool) -> None:
        record.cancelled = True
        record.retries = 0
        record.retry_exceptions = False
        lane = record.lane
        if lane is not None and lib.nbs_revoke(self.seg, lane.link.chan, record.ticket) != 0:
            if force:
                record.forced = True
                lane.pool.leaves(lane)  # whatever the kill hits then, it is no other task
                self.control.send(m.KillWorkerRequest(peer=lane.peer, reason="its task was cancelled"))
                return
            signo = signal.SIGINT if recursive else signal.SIGUSR1
            lib.nbs_cancel_running(self.seg, lane.link.chan, record.number, signo)
            return
        if lane is not None:
            lane.tasks.pop(record.number, None)
        elif self.waiting_args.pop(record.number, None) is not None:
            lib.nbs_count(self.seg, lib.NBS_CTR_WAIT_ARGS, -1)
        else:
            try:
                record.pool.queue.remove(record)
            except ValueError:
                pass
        lib.nbs_count(self.seg, lib.NBS_CTR_CANCELLED, 1)
        self.fail(record, TaskCancelledError(self._task_hex(record)))

    def cancel_later(self, parent: int) -> int:
        """Cancel the children of ``parent`` soon; called where the lock may be held half way through something.

        Not those that it submits from now on, when it cleans up after itself: returns the number of the first.
        """
        before = next(self.numbers)
        self._parents_cancelled.append((parent, before))
        self.ring_self()
        return before

    def cancel_children(self, parent: int, before: int) -> None:
        """Cancel the tasks and calls, with numbers below ``before``, that task ``parent`` of this worker submitted."""
        with self.lock:
            for record in self.open_records():
                if record.parent != parent or record.cancelled or record.number > before:
                    continue
                if record.flags & TASK_METHOD:
                    record.pool.cancel(record, True)
                else:
                    self._cancel_record(record, False, True)


def _crash(record: TaskRecord, notice: m.WorkerDiedNotice | None, node: str, extra: str) -> WorkerCrashedError:
    name = record.name or record.function.name
    if notice is None:
        return WorkerCrashedError(f"The worker that ran {name} died; nothing more is known. {extra}".rstrip())
    how = notice.reason or "it ended"
    text = f"The worker that ran {name} (pid {notice.pid}, node {node[:8]}) died: {how}"
    if extra:
        text += f"{'' if text.endswith('.') else '.'} {extra}"
    if notice.log_tail:
        text += f"\nThe last lines of its log:\n{notice.log_tail}"
    return WorkerCrashedError(text, notice.pid, notice.exit_code, notice.signal_name, notice.log_tail)
