"""``get`` and ``wait``: until values are there, serving the process meanwhile.

A part of CoreWorker; all methods but the public ones of ``get`` and ``wait`` are called with
its lock held.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from threading import get_ident
from typing import Any

from nbray._cstore import lib
from nbray.core import current
from nbray.core.core_state import CoreState
from nbray.core.interrupts import uninterrupted
from nbray.core.records import (
    StoredValue,
)
from nbray.core.store_access import LostValueError
from nbray.core.waiters import Waiter
from nbray.core.why import LongWait
from nbray.exceptions import (
    GetTimeoutError,
)
from nbray.notes import tell_that_tasks_go_on
from nbray.object_ref import ObjectRef
from nbray.serialization import serializer
from nbray.serialization.error_value import ErrorValue
from nbray.serialization.shared_parts import parts
from nbray.serialization.unreadable import unreadable
from nbray.wire import messages as m

__tracebackhide__ = True  # pytest ends a traceback in the test, and not in here; --full-trace shows all

OWNED = lib.NBS_READY_OWNED
SEAL = lib.NBS_READY_SEAL
RING = lib.NBS_READY_RING
NEWS = lib.NBS_READY_NEWS
SLICE_NS = 50_000_000  # a wait looks up at least this often
TICK_NS = 2_000_000  # and this often while tasks stand behind others
BLOCKED_AFTER_NS = 1_000_000  # a task that waits longer lends its CPU on
POLL_GAP_S = 0.002  # one that waits again so soon after a wait in vain polls, and lends it at once
RING_PATIENCE_MS = 2  # a message of the daemon follows its ring within this time


class Waiting(CoreState):
    """``get`` and ``wait``: until values are there, serving the process meanwhile."""

    def value_of(self, ref: ObjectRef) -> Any:
        """Return the value of a ref that has one; raises the error that it has instead."""
        data = ref._data
        if type(data) is bytes:
            try:
                return serializer.loads(data)
            except Exception as error:
                raise unreadable(error) from error
        if type(data) is StoredValue:
            try:
                return self.store.read(data.hold)
            except LostValueError as lost:
                if lost.obj != data.hold.obj:
                    raise
            return self._value_again(ref)
        raise data.exception()

    def _value_again(self, ref: ObjectRef) -> Any:
        """Return a value that was lost, once it is made again."""
        with self.lock:
            self.recover(ref) if ref._owner == self.peer else self.ask_again(ref)
        if ref._data is None:
            self._wait_for(lambda: ref._data is not None, (ref,), None)
        return self.value_of(ref)

    def get(self, refs: Sequence[ObjectRef], timeout: float | None) -> list[Any]:
        """Return the values of refs, in order; raises the first error at once."""
        missing = [ref for ref in refs if ref._data is None]
        if missing:
            seen_errors = -1

            def done() -> bool:
                nonlocal seen_errors
                while missing and missing[-1]._data is not None:
                    missing.pop()
                if not missing:
                    return True
                if self._errors != seen_errors:
                    seen_errors = self._errors
                    for ref in refs:
                        if type(ref._data) is ErrorValue:
                            return True
                return False

            missing.reverse()
            if not self._wait_for(done, missing, timeout, only=missing[0] if len(refs) == 1 else None):
                self._raise_timeout(refs, timeout)
            if missing:
                for ref in refs:
                    if type(ref._data) is ErrorValue:
                        raise ref._data.exception()
        value_of = self.value_of
        parts.reader = get_ident()
        try:
            return [value_of(ref) for ref in refs]
        finally:
            parts.reader = 0
            if parts.sets:
                parts.sets = {}

    def get_one(self, ref: ObjectRef, timeout: float | None) -> Any:
        """Return the value of one ref."""
        if ref._data is None and not self._wait_for(lambda: ref._data is not None, (ref,), timeout, only=ref):
            self._raise_timeout([ref], timeout)
        return self.value_of(ref)

    def _raise_timeout(self, refs: Sequence[ObjectRef], timeout: float | None) -> None:
        open_refs = [ref for ref in refs if ref._data is None]
        lines = [f"  {ref.hex()} on node {self.node_id[:8]}: {self.explain(ref)}" for ref in open_refs[:5]]
        more = f"\n  and {len(open_refs) - 5} more" if len(open_refs) > 5 else ""
        raise GetTimeoutError(
            f"Get timed out: {len(open_refs)} of {len(refs)} values were not there within {timeout:g} s:\n"
            + "\n".join(lines) + more
        )  # fmt: skip

    def explain(self, ref: ObjectRef) -> str:
        """Say in a few words why a ref has no value yet."""
        record = ref._task
        if ref._data is not None:
            return "ready"
        if record is None:
            return "not made yet by its owner, another process"
        name = record.name or record.function.name
        if record.number in self.waiting_args:
            return f"{name} waits for {record.n_missing} inputs"
        return record.pool.explain(record, name)

    def wait(self, refs: Sequence[ObjectRef], num_returns: int, timeout: float | None) -> tuple[list[Any], list[Any]]:
        """Return (ready, rest), both in input order, at most ``num_returns`` ready."""
        ready = self._ready(refs, num_returns)
        if len(ready) < num_returns and timeout != 0:

            def done() -> bool:
                nonlocal ready
                ready = self._ready(refs, num_returns)
                return len(ready) >= num_returns

            self._wait_for(done, refs, timeout)
        elif len(ready) < num_returns:
            self.drain()
            for ref in refs:
                if ref._hold is not None and ref._data is None:
                    with self.lock:
                        self._settle_borrowed(ref)
            ready = self._ready(refs, num_returns)
        if len(ready) == 1:
            index = ready[0]
            rest = list(refs)
            return [rest.pop(index)], rest
        chosen = set(ready)
        return [refs[i] for i in ready], [ref for i, ref in enumerate(refs) if i not in chosen]

    @staticmethod
    def _ready(refs: Sequence[ObjectRef], limit: int) -> list[int]:
        found = []
        for index, ref in enumerate(refs):
            if ref._data is not None:
                found.append(index)
                if len(found) >= limit:
                    break
        return found

    def _wait_for(
        self, done: Callable[[], bool], refs: Sequence[ObjectRef], timeout: float | None, patient: bool = True,
        only: ObjectRef | None = None,
    ) -> bool:  # fmt: skip
        """Wait until ``done()``; False when the time is over. Serves the process meanwhile.

        Not ``patient``: whoever rings has no message of the daemon to bring. ``only``: the wait is
        for the value of this ref, and nothing else.
        """
        self.check_usable()
        deadline = None if timeout is None else time.monotonic() + timeout
        borrowed = [ref for ref in refs if ref._hold is not None and ref._task is None and ref._data is None]
        waiters, nudges = self.waiters, self.waiters.nudges
        waiter = Waiter(None if borrowed else only)
        in_task = self.role == "worker"  # or in a thread that a task started
        blocked = False
        polls = in_task and time.monotonic() - self._polled_at < POLL_GAP_S
        long_wait: LongWait | None = None
        self.shield.install()
        try:
            self._enter_wait(waiter)
            while True:
                nudged = nudges[0]  # before anything is looked at, see waiters.py
                waiter.told = False
                self.drain()
                if self.shield.pending:
                    self.shield.strike()
                if borrowed:
                    with self.lock:
                        for ref in borrowed:
                            self._settle_borrowed(ref)
                        borrowed = [ref for ref in borrowed if ref._data is None]
                    if self._callbacks:
                        self.run_callbacks()
                if done():
                    return True
                if self._failure is not None:
                    raise self._failure.with_traceback(None)
                if polls and not blocked:
                    blocked = True
                    self.lend_cpus(waiter)
                leads = waiters.lead(waiter)
                slice_ns = SLICE_NS
                if leads and self.needs_ticks():
                    slice_ns = TICK_NS
                if in_task and not blocked:
                    slice_ns = BLOCKED_AFTER_NS
                if deadline is not None:
                    left = deadline - time.monotonic()
                    if left <= 0:
                        if blocked:
                            self._polled_at = time.monotonic()
                        return False
                    slice_ns = min(slice_ns, int(left * 1e9) + 1)
                if leads:
                    interest = OWNED | RING | (SEAL if borrowed or self.borrowed_waits else 0)
                    woken = lib.nbs_wait_since(self.seg, interest, slice_ns, nudged)
                else:
                    woken = waiters.sleep(waiter, slice_ns)
                if woken > 0:
                    if woken & NEWS:
                        self.on_ring(patient)
                else:
                    if in_task and not blocked:
                        blocked = True
                        self.lend_cpus(waiter)
                    self.tick()
                    if long_wait is None:
                        long_wait = LongWait(self, refs)
                        self.warn_of_blocking()
                    else:
                        long_wait.look()
        except KeyboardInterrupt as interrupt:
            if self.role == "driver" and refs:
                tell_that_tasks_go_on(interrupt)
            raise
        finally:
            self._leave_wait(waiter)

    @uninterrupted
    def lend_cpus(self, waiter: Waiter | None = None) -> None:
        """A thread of this worker begins to wait for others: the daemon may lend its CPUs on."""
        with self.lock:
            self._blocked += 1
            if waiter is not None:
                waiter.lends = True  # noted where it is done: an interrupt may come right before or after
            if self._blocked == 1:
                self.control.send(m.BlockedNotice())

    @uninterrupted
    def take_back_cpus(self) -> None:
        """It waits no longer."""
        with self.lock:
            self._blocked -= 1
            if not self._blocked:
                self.control.send(m.UnblockedNotice())

    def _enter_wait(self, waiter: Waiter) -> None:
        """Count this thread among those inside a wait: the segment stays mapped until it leaves."""
        with self.lock:
            if self._stop and self._failure is not None:
                raise self._failure.with_traceback(None)
            self.waiters.add(waiter)

    @uninterrupted
    def _leave_wait(self, waiter: Waiter) -> None:
        with self.lock:
            self.waiters.remove(waiter)
            if waiter.lends:
                waiter.lends = False
                self.take_back_cpus()

    def wait_until(self, done: Callable[[], bool], timeout_s: float | None) -> bool:
        """Serve this process until ``done()``; False after ``timeout_s``."""
        return self._wait_for(done, (), timeout_s)

    def has_open_tasks(self) -> bool:
        """Tell whether some task or call of this process is not done."""
        with self.lock:
            return (
                bool(self.waiting_args)
                or any(pool.queue for pool in self.pools.values())
                or any(lane.tasks for lane in self.lanes.values())
                or any(calls.open_records() for calls in self.actors.values())
                or bool(self._dead_workers)
                or bool(self._delayed)
            )

    def on_ring(self, patient: bool = True) -> bool:
        """Take in the daemon's messages after another process rang; True when there was one.

        Not ``patient``: that may not have been the daemon, so nobody waits for a message.
        """
        return self.control.poll_soon(RING_PATIENCE_MS) if patient else self.control.poll()

    def ring_self(self) -> None:
        """Wake the service thread, which has something to do; takes no lock."""
        lib.nbs_ring(self.seg, self.peer)

    def _check_open(self, ref: ObjectRef) -> None:
        """Raise when this process is a fork, or the cluster of the ref has ended."""
        if self is not current.core:
            raise current.foreign(ref)

    def future(self, ref: ObjectRef) -> Any:
        """Return a concurrent future of a ref."""
        import concurrent.futures  # noqa: PLC0415 - loaded when needed

        self._check_open(ref)
        future: Any = concurrent.futures.Future()
        future.object_ref = ref

        def set_result(ref: ObjectRef) -> None:
            if not future.set_running_or_notify_cancel():
                return  # cancelled: the task goes on, its value is nobody's concern here
            try:
                future.set_result(self.value_of(ref))
            except Exception as error:
                future.set_exception(error)

        self.when_ready(ref, set_result)
        return future

    def asyncio_future(self, ref: ObjectRef) -> Any:
        """Return a future of the running event loop; where none runs, of the one that this thread has set."""
        import asyncio  # noqa: PLC0415 - loaded when needed

        self._check_open(ref)
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            loop = asyncio.get_event_loop()
        future: Any = loop.create_future()
        future.object_ref = ref

        def deliver() -> None:
            if future.cancelled():
                return
            try:
                future.set_result(self.value_of(ref))
            except StopIteration as error:
                future.set_exception(RuntimeError(repr(error)))
            except Exception as error:
                future.set_exception(error)

        def on_ready(_: ObjectRef) -> None:
            try:
                loop.call_soon_threadsafe(deliver)
            except RuntimeError:  # the loop is closed: nobody waits any more
                return

        if ref._data is not None:
            deliver()
        else:
            self.when_ready(ref, on_ready)
        return future

    def on_completed(self, ref: ObjectRef, callback: Callable[[Any], None]) -> None:
        """Call ``callback`` with the value or the exception of a ref."""
        self._check_open(ref)

        def call(ref: ObjectRef) -> None:
            try:
                result = self.value_of(ref)
            except Exception as error:
                result = error
            callback(result)

        self.when_ready(ref, call)

    def notify(self, ref: ObjectRef, callback: Callable[[ObjectRef], None]) -> None:
        """Have ``callback(ref)`` called once the ref has its value, but never from in here."""
        with self.lock:
            if ref._data is None:
                self._add_waiter(ref, callback)
            else:
                self._callbacks.append((callback, ref))

    def soon(self, call: Callable[[], None]) -> None:
        """Have something called with the other callbacks."""
        self._callbacks.append((lambda _: call(), None))

    def when_ready(self, ref: ObjectRef, callback: Callable[[ObjectRef], None]) -> None:
        """Call ``callback(ref)`` once the ref has its value; at once when it has."""
        self.check_usable()
        with self.lock:
            if ref._data is None and not self._settle_borrowed(ref):
                self._add_waiter(ref, callback)
                return
        self._callbacks.append((callback, ref))
        self.run_callbacks()
