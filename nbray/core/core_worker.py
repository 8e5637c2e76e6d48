"""The library inside every driver and worker: it submits, waits, gets and owns.

Threads: any thread may submit and get. A thread that waits drains the replies itself; the
*service thread* only acts when nobody waits. All state is guarded by ``lock``; callbacks of
users run without it.

An interrupt (KeyboardInterrupt) may arrive between any two bytecodes of the main thread.
So replies are processed from a buffer whose position is kept in the object, record by
record, each step repeatable.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import pickle
import signal
import struct
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from nbray import ids, object_ref
from nbray._cstore import ffi, lib
from nbray.core.actor_calls import ActorCalls
from nbray.core.control_client import ControlClient
from nbray.core.lease_pool import Lane, LeasePool, Peer
from nbray.core.records import (
    INLINE_MAX_BYTES,
    KIND_CONTEXT,
    KIND_OUTPUT,
    META_ERROR,
    PART_ERROR,
    PART_INLINE,
    PART_STORED,
    RESULT_CANCELLED,
    RESULT_ERROR,
    RESULT_MULTI,
    RESULT_STORED,
    TASK_DEPS,
    TASK_INDIRECT,
    TASK_KWARGS,
    TASK_STORED,
    FunctionDescriptor,
    Session,
    StoredValue,
    StoreHold,
    TaskRecord,
)
from nbray.core.store_access import StoreAccess
from nbray.exceptions import (
    ForkedProcessError,
    GetTimeoutError,
    ObjectLostError,
    RaySystemError,
    TaskCancelledError,
    TaskUnschedulableError,
    WorkerCrashedError,
)
from nbray.object_ref import ObjectRef
from nbray.scheduling import infeasible
from nbray.serialization import error_value, serializer
from nbray.serialization.error_value import ErrorValue
from nbray.wire import messages as m

OWNED = lib.NBS_READY_OWNED
SEAL = lib.NBS_READY_SEAL
RING = lib.NBS_READY_RING
SLICE_NS = 50_000_000
TICK_NS = 2_000_000
LAZY_NS = 1_000_000
RING_BYTES = 128 * 1024
BLOCKED_AFTER_NS = 1_000_000
RING_PATIENCE_MS = 2  # a message of the daemon follows its ring within this time
LOST_WORKER_GRACE_S = 2.0  # a dead worker's story is waited for this long

_HEAD = struct.Struct("<IIQHHIQ")
_HEAD_SIZE = _HEAD.size
_PART = struct.Struct("<BI")
_U64 = struct.Struct("<Q")
_dumps = pickle.dumps
_SIMPLE = serializer.SIMPLE_TYPES
_NO_ARGUMENTS = pickle.dumps((), 5)


class CoreWorker:
    """The runtime of one process.

    Parameters
    ----------
    seg : cdata
        Attached segment.
    endpoint : str
        The daemon's control endpoint.
    role : {"driver", "worker"}
    """

    def __init__(self, seg: Any, endpoint: str, role: str, cluster_id: int, daemon: int) -> None:
        self.seg = seg
        self.session = Session(seg)
        self.role = role
        self.peer = lib.nbs_self(seg)
        self.daemon = daemon  # peer of the node daemon
        self.pid = os.getpid()
        self.job_id = 0
        self.cluster_id = cluster_id
        self.node_id = ""
        self.session_dir = ""
        self.namespace = ""
        self.depth = 0  # nesting depth of the running task
        self.origin = ""  # of the tasks submitted now
        self.running_number = 0  # of the task that this worker runs
        self.max_payload = INLINE_MAX_BYTES
        self.lock = threading.RLock()
        self.numbers = itertools.count(1)
        self.functions = itertools.count(1)
        self.store = StoreAccess(self.session)
        self.links: dict[int, Peer] = {}  # peer -> open channel
        self.lanes: dict[int, Lane] = {}  # channel -> lane
        self.leases: dict[int, Lane] = {}
        self.pools: dict[Any, LeasePool] = {}
        self.pools_by_request: dict[int, LeasePool] = {}
        self.actors: dict[str, ActorCalls] = {}
        self.actor_channels: dict[int, ActorCalls] = {}
        self.waiting_args: dict[int, TaskRecord] = {}
        self.exported: weakref.WeakValueDictionary[bytes, ObjectRef] = weakref.WeakValueDictionary()
        self.borrowed_waits: dict[ObjectRef, None] = {}  # borrowed refs that somebody waits for
        self.kept: list[Any] = []
        self.totals: dict[str, int] = {}  # resources of the node, in units of 1/10,000
        self.latest_state: m.StateReply | None = None  # the last answer that nobody waited for
        self._gone_actors: deque[str] = deque()
        self.context = b""
        self.output_sink: Callable[[int, bytes], None] | None = None
        self.on_message: Callable[[m.Message], None] | None = None
        self.scratch = (ffi.new("uint64_t *"), ffi.new("uint64_t *"))
        self._buffer = ffi.new("char[]", 2 * RING_BYTES)
        self._buffer_view = memoryview(ffi.buffer(self._buffer))
        self._position = 0  # in _buffer: records before it are processed
        self._end = 0
        self._callbacks: deque[tuple[Any, ObjectRef]] = deque()
        self._waiters = 0  # threads inside _wait_for
        self._errors = 0  # refs that got an error, ever
        self._dead_workers: dict[int, tuple[float, list[Any]]] = {}  # peer -> since, records
        self._death_notices: dict[int, m.WorkerDiedNotice] = {}
        self._failure: BaseException | None = None
        self._rang_self = False
        self._blocked_thread = 0  # thread that runs tasks, in a worker
        self._stop = False
        self._last_tick = 0.0
        self.control = ControlClient(endpoint, f"{role}-{self.peer}".encode(), self._on_control)
        self.service = threading.Thread(target=self._serve, name="nbray-service", daemon=True)
        object_ref.install(self)

    # ------------------------------------------------------------------- submitting

    def describe_function(self, function: Any, name: str, kind: str = "task") -> FunctionDescriptor:
        """Serialize a function (or class) for the workers of this owner, once."""
        code = serializer.dumps_code(function, f"the {'actor class' if kind == 'actor' else 'remote function'} {name}")
        _check_code_size(code, name)
        digest = hashlib.blake2b(code, digest_size=16).digest()
        title = name.encode()
        return self._descriptor(digest + struct.pack("<H", len(title)) + title + code, name, kind)

    def describe_method(self, class_name: str, method: str) -> FunctionDescriptor:
        """Number a method for an actor's channel and for the events."""
        return self._descriptor(method.encode(), f"{class_name}.{method}", "actor_task")

    def _descriptor(self, message: bytes, name: str, kind: str) -> FunctionDescriptor:
        number = next(self.functions)
        flags, keep = 0, None
        if len(message) > self.max_payload:
            keep = self.store.stash(message)
            message, flags = _U64.pack(keep.obj), TASK_INDIRECT
        descriptor = FunctionDescriptor(number, name, message, flags, keep)
        self.control.send(m.DefineNotice(owner=self.peer, number=number, name=name, kind=kind, origin=self.origin))
        return descriptor

    def pool(self, shape: dict[str, int], strategy: str = "DEFAULT", wait_for_resources: bool = False) -> LeasePool:
        """Return the pool of a shape of resources."""
        key = (tuple(sorted(shape.items())), strategy, wait_for_resources)
        with self.lock:
            pool = self.pools.get(key)
            if pool is None:
                request_id = self.control.next_id()
                pool = self.pools[key] = LeasePool(self, shape, strategy, wait_for_resources, request_id)
                self.pools_by_request[request_id] = pool
            return pool

    def encode_arguments(self, args: Sequence[Any], kwargs: dict[str, Any], number: int) -> tuple[bytes, int, Any, Any]:
        """Serialize the arguments of a call.

        Returns
        -------
        payload : bytes
        flags : int
            TASK_... of the message.
        deps : list of ObjectRef or None
            Refs whose values take the place of arguments.
        keep : object
            What must live until the task is done.
        """
        simple = _SIMPLE
        plain = not kwargs
        if plain:
            for arg in args:
                if type(arg) not in simple:
                    plain = False
                    break
        if plain:
            payload = _dumps(args, 5) if args else _NO_ARGUMENTS
            if len(payload) <= INLINE_MAX_BYTES:
                return payload, 0, None, None
            hold = self.store.write(self.object_id(number, ids.ARGUMENTS_INDEX), serializer.plain(payload))
            return _U64.pack(hold.obj), TASK_STORED, None, hold
        return self._encode_any(args, kwargs, number)

    def _encode_any(self, args: Sequence[Any], kwargs: dict[str, Any], number: int) -> tuple[bytes, int, Any, Any]:
        deps: list[ObjectRef] = []
        positions: list[Any] = []
        values = list(args)
        named = kwargs
        for index, arg in enumerate(values):
            if type(arg) is ObjectRef:
                deps.append(arg)
                positions.append(index)
                values[index] = None
        for key, arg in kwargs.items():
            if type(arg) is ObjectRef:
                if named is kwargs:
                    named = dict(kwargs)
                deps.append(arg)
                positions.append(key)
                named[key] = None
        flags = 0
        if deps:
            flags |= TASK_DEPS
            body: Any = (values, named, positions)
        elif kwargs:
            flags |= TASK_KWARGS
            body = (values, named)
        else:
            body = tuple(values)
        data = self._dump_arguments(body, args, kwargs)
        keep: Any = None
        if type(data) is bytes:
            payload = data
        else:
            keep = list(data.refs)
            payload = data.pickled if not data.buffers else b""
        if not payload or len(payload) > INLINE_MAX_BYTES:
            stored = serializer.plain(data) if type(data) is bytes else data
            hold = self.store.write(self.object_id(number, ids.ARGUMENTS_INDEX), stored)
            keep = (hold, keep)
            payload = _U64.pack(hold.obj)
            flags |= TASK_STORED
        return payload, flags, deps or None, keep

    def _dump_arguments(self, body: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        try:
            return serializer.dumps(body, "arguments")
        except serializer.SerializationError:
            # Once more, argument by argument, so that the message names the one.
            for index, arg in enumerate(args):
                if type(arg) is not ObjectRef:
                    serializer.dumps(arg, f"args[{index}]")
            for key, arg in kwargs.items():
                if type(arg) is not ObjectRef:
                    serializer.dumps(arg, f"kwargs[{key!r}]")
            raise

    def submit(
        self, function: FunctionDescriptor, pool: Any, args: Sequence[Any], kwargs: dict[str, Any], n_returns: int,
        retries: int, retry_exceptions: Any = False, name: str = "", extra_flags: int = 0,
    ) -> Any:  # fmt: skip
        """Submit a task; returns its ref, a list of refs, or None for ``n_returns`` 0."""
        if self._failure is not None:
            raise self._failure
        number = next(self.numbers)
        payload, flags, deps, keep = self.encode_arguments(args, kwargs, number)
        peer = self.peer
        refs: Any
        if n_returns == 1:
            refs = ObjectRef(number, 0, peer, self)
        else:
            refs = tuple([ObjectRef(number, index, peer, self) for index in range(n_returns)])
        record = TaskRecord(
            number, refs, function, payload, flags | extra_flags, n_returns, retries, pool, None, 0, deps, 0, keep,
            self.origin, self.running_number, False, False, retry_exceptions, name,
        )  # fmt: skip
        if n_returns == 1:
            refs._task = record
        else:
            for ref in refs:
                ref._task = record
        with self.lock:
            if deps is not None:
                if not self._await_dependencies(record):
                    return self._returned(refs, n_returns)
            pool.submit(record)
            if not number & 31:
                self._drain()
        return self._returned(refs, n_returns) if n_returns != 1 else refs

    @staticmethod
    def _returned(refs: Any, n_returns: int) -> Any:
        if n_returns == 1:
            return refs
        return list(refs) if n_returns else None

    def object_id(self, number: int, index: int) -> bytes:
        return ids.object_id(self.peer, number, self.job_id, self.cluster_id, index)

    # ----------------------------------------------------------------- dependencies

    def _await_dependencies(self, record: TaskRecord) -> bool:
        """Complete the payload when all refs are known; True when it can go now."""
        missing = 0
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
            if self._insert_dependencies(record):
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
                self._finish_error(record, data)
                return False
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

    # ---------------------------------------------------------------------- results

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
                n = lib.nbs_recv_many(self.seg, self._buffer, 2 * RING_BYTES)
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
            length, chan, number, kind, flags, _, ran_ns = unpack(view, position)
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
                    function.avg_ns = ran_ns if avg == 0.0 else avg + 0.2 * (ran_ns - avg)
                    if flags == 0 and record.n_returns == 1:
                        ref = record.ref
                        if ref._data is None:
                            ref._data = view[start : start + length].tobytes()
                            ref._task = None
                            if ref._hold is not None:
                                self._fill_promise(ref)
                            if ref._waiters is not None:
                                self._wake(ref)
                        del lane.tasks[number]
                        record.ref = None
                    else:
                        payload = view[start : start + length].tobytes()
                        self._result(record, flags, payload)
                        lane.tasks.pop(number, None)
            elif kind == KIND_OUTPUT:
                payload = view[start : start + length].tobytes()
                self._output(payload, flags)
            position = start + ((length + 7) & ~7)
            self._position = position
        for lane in touched:
            lane.pool.refill(lane)
        if self._waiters > 1:
            self.ring_self()

    def _result(self, record: TaskRecord, flags: int, payload: bytes) -> None:
        """Take in a result that is not one small value."""
        if flags & (RESULT_ERROR | RESULT_CANCELLED):
            if flags & RESULT_CANCELLED or record.cancelled:
                error = error_value.from_system_error(TaskCancelledError(self._task_hex(record)))
            else:
                error = ErrorValue(payload)
                if record.retry_exceptions and record.retries != 0 and self._retryable(record, error):
                    self._retry(record)
                    return
            self._finish_error(record, error)
            return
        if record.n_returns == 1:
            self._set(record.ref, self._value_part(PART_STORED if flags & RESULT_STORED else PART_INLINE, payload))
        elif flags & RESULT_MULTI:
            at = 0
            for ref in record.ref:
                kind, length = _PART.unpack_from(payload, at)
                at += _PART.size
                self._set(ref, self._value_part(kind, payload[at : at + length]))
                at += length
        record.ref = None

    def _value_part(self, kind: int, payload: bytes) -> Any:
        if kind == PART_INLINE:
            return payload
        if kind == PART_ERROR:
            return ErrorValue(payload)
        obj = _U64.unpack(payload)[0]
        lib.nbs_adopt(self.seg, obj)
        return StoredValue(StoreHold(self.session, obj))

    def _retryable(self, record: TaskRecord, error: ErrorValue) -> bool:
        if record.retry_exceptions is True:
            return True
        cause = getattr(error.exception(), "cause", None)
        return isinstance(cause, record.retry_exceptions)

    def _retry(self, record: TaskRecord) -> None:
        if record.retries > 0:
            record.retries -= 1
        record.lane = None
        record.ticket = 0
        record.pool.submit(record)

    def _finish_error(self, record: TaskRecord, error: ErrorValue) -> None:
        """End a task with an error in the place of all its values."""
        refs = record.ref
        if refs is None:
            return
        if type(refs) is ObjectRef:
            self._set(refs, error)
        else:
            for ref in refs:
                self._set(ref, error)
        record.ref = None

    def fail(self, record: TaskRecord, error: BaseException) -> None:
        """End a task with an error of the runtime."""
        self._finish_error(record, error_value.from_system_error(error))

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
        while self._callbacks:
            try:
                callback, ref = self._callbacks.popleft()
            except IndexError:
                return
            callback(ref)

    # ------------------------------------------------- refs that leave, refs that come

    def export(self, ref: ObjectRef) -> bytes:
        """Give a ref's object a place in the store, so that any process reaches it by id."""
        object_id = ref.binary()
        if ref._cluster is not self:
            return object_id
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
        if not serializer.note_ref(ref):
            self.keep_forever(ref)  # pickled by hand: nobody will tell when it is done with
        return object_id

    def keep_forever(self, ref: ObjectRef) -> None:
        """Keep a ref as long as the session."""
        self.kept.append(ref)

    def _fill_promise(self, ref: ObjectRef) -> None:
        """Put the value that has arrived into the object that others wait for."""
        data = ref._data
        if type(data) is bytes:
            self.store.fulfil(ref.binary(), serializer.plain(data), 0)
        elif type(data) is ErrorValue:
            self.store.fulfil(ref.binary(), serializer.plain(data.blob), META_ERROR)
        elif type(data) is StoredValue:
            ref._hold = data.hold

    def import_ref(self, object_id: bytes) -> ObjectRef:
        """Return this process's ref of an object that somebody sent."""
        with self.lock:
            ref = self.exported.get(object_id)
            if ref is not None:
                return ref
            owner, number, _, cluster, index = ids.split_object_id(object_id)
            ref = ObjectRef(number, index, owner, self)
            if cluster != self.cluster_id:
                text = (
                    f"ObjectRef({object_id.hex()}) belongs to another cluster ({cluster:08x}; this one is "
                    f"{self.cluster_id:08x}). Refs die with their cluster: make the value again."
                )
                ref._data = error_value.from_system_error(ObjectLostError(text, object_id.hex()))
                return ref
            hold = self.store.lookup(object_id)
            if hold is None:
                text = (
                    f"ObjectRef({object_id.hex()}) is not in the store of this node any more: nobody held a "
                    "reference to it. Keep the ref alive (a pickled copy on disk does not)."
                )
                ref._data = error_value.from_system_error(ObjectLostError(text, object_id.hex()))
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
        if lib.nbs_obj_state(self.seg, ref._hold.obj) != lib.NBS_SEALED:
            return False
        self._set(ref, self.store.data_of(ref._hold, ref))
        return True

    # ---------------------------------------------------------------- getting, waiting

    def value_of(self, ref: ObjectRef) -> Any:
        """Return the value of a ref that has one; raises the error that it has instead."""
        data = ref._data
        if type(data) is bytes:
            return serializer.loads(data)
        if type(data) is StoredValue:
            return self.store.read(data.hold)
        raise data.exception()

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
            if not self._wait_for(done, missing, timeout):
                self._raise_timeout(refs, timeout)
            if missing:
                for ref in refs:
                    if type(ref._data) is ErrorValue:
                        raise ref._data.exception()
        value_of = self.value_of
        return [value_of(ref) for ref in refs]

    def get_one(self, ref: ObjectRef, timeout: float | None) -> Any:
        """Return the value of one ref."""
        if ref._data is None and not self._wait_for(lambda: ref._data is not None, (ref,), timeout):
            self._raise_timeout([ref], timeout)
        return self.value_of(ref)

    def _raise_timeout(self, refs: Sequence[ObjectRef], timeout: float | None) -> None:
        open_refs = [ref for ref in refs if ref._data is None]
        lines = [f"  {ref.hex()[:16]}...: {self.explain(ref)}" for ref in open_refs[:5]]
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

    def _wait_for(self, done: Callable[[], bool], refs: Sequence[ObjectRef], timeout: float | None) -> bool:
        """Wait until ``done()``; False when the time is over. Serves the process meanwhile."""
        self.check_usable()
        deadline = None if timeout is None else time.monotonic() + timeout
        borrowed = [ref for ref in refs if ref._hold is not None and ref._task is None and ref._data is None]
        interest = OWNED | RING | (SEAL if borrowed or self.borrowed_waits else 0)
        in_task = self._blocked_thread and self._blocked_thread == threading.get_ident()
        blocked = False
        with self.lock:
            self._waiters += 1
        try:
            while True:
                self.drain()
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
                    raise self._failure
                slice_ns = SLICE_NS
                if self.needs_ticks():
                    slice_ns = TICK_NS
                if in_task and not blocked:
                    slice_ns = BLOCKED_AFTER_NS
                if deadline is not None:
                    left = deadline - time.monotonic()
                    if left <= 0:
                        return False
                    slice_ns = min(slice_ns, int(left * 1e9) + 1)
                woken = lib.nbs_wait(self.seg, interest, slice_ns)
                if woken > 0:
                    if woken & RING:
                        self.on_ring()
                else:
                    if in_task and not blocked:
                        blocked = True
                        self.control.send(m.BlockedNotice())
                    self.tick()
        finally:
            with self.lock:
                self._waiters -= 1
            if blocked:
                self.control.send(m.UnblockedNotice())

    def on_ring(self) -> bool:
        """Take in the daemon's messages after the doorbell rang; True when there was one."""
        if self._rang_self:
            self._rang_self = False
            return self.control.poll()
        return self.control.poll_soon(RING_PATIENCE_MS)

    def ring_self(self) -> None:
        """Wake the threads of this process that wait: something may have changed for them."""
        self._rang_self = True
        lib.nbs_ring(self.seg, self.peer)

    def check_usable(self) -> None:
        """Raise when this process is a fork of the one that called init."""
        if os.getpid() != self.pid:
            raise ForkedProcessError(
                f"nbray was initialized in process {self.pid} and this is a fork of it (pid {os.getpid()}). Use the "
                "'spawn' start method, or call nbray.init() in the child."
            )

    # ------------------------------------------------------------------ looking after

    def needs_ticks(self) -> bool:
        """Tell whether some task stands behind another in a lane."""
        for lane in self.lanes.values():
            if len(lane.tasks) > 1:
                return True
        return False

    def tick(self) -> None:
        """Do what is due by time: relieve stuck lanes, give back idle ones, notice deaths."""
        now = time.monotonic()
        with self.lock:
            for _ in range(len(self._gone_actors)):
                self._end_actor(self._gone_actors.popleft())
            for pool in self.pools.values():
                if pool.lanes or pool.wanted:
                    pool.tick(now)
            if self._dead_workers:
                for peer, (since, _) in list(self._dead_workers.items()):
                    if now - since > LOST_WORKER_GRACE_S:
                        self._bury(peer, None)
            if self.borrowed_waits:
                for ref in list(self.borrowed_waits):
                    if self._settle_borrowed(ref):
                        self.borrowed_waits.pop(ref, None)
            if now - self._last_tick > 0.5:
                self._last_tick = now
                self._look_for_deaths(now)

    def _end_actor(self, actor_id: str) -> None:
        """Tell the daemon that an actor is not needed any more, once its calls are answered."""
        calls = self.actors.get(actor_id)
        if calls is not None and (calls.queue or calls.tasks) and calls.state != "DEAD":
            self._gone_actors.append(actor_id)
            return
        self.control.send(m.ActorHandlesGoneNotice(actor_id=actor_id))
        if calls is not None:
            self.actors.pop(actor_id, None)

    def _look_for_deaths(self, now: float) -> None:
        if not lib.nbs_alive(self.seg, self.daemon) and self._failure is None:
            self._fail_everything(
                RaySystemError("The node daemon of this cluster died. Call nbray.shutdown() and nbray.init() again.")
            )
            return
        for lane in list(self.lanes.values()):
            if lane.tasks and not lib.nbs_alive(self.seg, lane.peer):
                self.worker_lost(lane.peer)

    def _fail_everything(self, error: BaseException) -> None:
        self._failure = error
        blob = error_value.from_system_error(error)
        records = list(self.waiting_args.values())
        for pool in self.pools.values():
            records += pool.queue
            pool.queue.clear()
        for lane in list(self.lanes.values()):
            records += lane.tasks.values()
            lane.tasks.clear()
        for calls in self.actors.values():
            records += calls.all_records()
        for record in records:
            self._finish_error(record, blob)
        self.waiting_args.clear()

    def _serve(self) -> None:
        """The service thread: acts when no other thread of the process does."""
        while not self._stop:
            with_ticks = bool(self.lanes)
            timeout = (5_000_000 if self.needs_ticks() else 100_000_000) if with_ticks else 1_000_000_000
            if self._dead_workers:
                timeout = 50_000_000
            try:
                woken = lib.nbs_serve_wait(self.seg, OWNED | SEAL | RING, LAZY_NS, timeout)
                if self._stop:
                    return
                progress = woken > 0 and woken & RING and self.on_ring()
                progress = self.drain() or progress
                self.tick()
                if self._callbacks:
                    self.run_callbacks()
                if progress and self._waiters:
                    self.ring_self()
            except Exception:
                if self._stop:
                    return
                sys.excepthook(*sys.exc_info())

    # -------------------------------------------------------------- workers, channels

    def open_channel(self, peer: int) -> int:
        out = ffi.new("uint32_t *")
        status = lib.nbs_chan_open(self.seg, peer, RING_BYTES, out)
        if status != 0:
            raise _NoChannel(status)
        return out[0]

    def link(self, peer: int) -> Peer | None:
        """Return the channel to a worker, opened and greeted at the first use; None when it is dead."""
        link = self.links.get(peer)
        if link is None:
            try:
                link = Peer(self, peer)
            except _NoChannel:
                return None
            self.links[peer] = link
            link.tell(KIND_CONTEXT, 0, self.context, 0)
        return link

    def announce(self, lane: Lane) -> None:
        """Tell a leased worker what its lease comes with, when that has changed."""
        told = (lane.pool.request_id, tuple(lane.gpu_ids))
        if lane.link.told != told:
            lane.link.told = told
            payload = pickle.dumps({"gpu_ids": lane.gpu_ids, "resources": lane.pool.shape})
            lane.link.tell(KIND_CONTEXT, 1, payload)

    def worker_lost(self, peer: int) -> None:
        """A worker is dead: wait a moment for the daemon's account, then settle its tasks."""
        if peer in self._dead_workers:
            return
        self._drain()
        records: list[TaskRecord] = []
        for lane in [lane for lane in self.lanes.values() if lane.peer == peer]:
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
        self._dead_workers[peer] = (time.monotonic(), records)
        notice = self._death_notices.pop(peer, None)
        if notice is not None:
            self._bury(peer, notice)

    def _bury(self, peer: int, notice: m.WorkerDiedNotice | None) -> None:
        """Retry or fail the tasks of a dead worker."""
        _, records = self._dead_workers.pop(peer)
        for index, record in enumerate(records):
            started = index == 0
            record.lane = None
            self._discard_results(record)
            if record.cancelled and not record.forced:
                self.fail(record, TaskCancelledError(self._task_hex(record)))
            elif record.forced:
                self.fail(record, _crash(record, notice, "It was cancelled with force=True."))
            elif not started:
                record.pool.submit(record)  # it never began: no retry is used up
            elif record.retries != 0:
                self._retry(record)
            else:
                self.fail(record, _crash(record, notice, ""))

    def _discard_results(self, record: TaskRecord) -> None:
        """Free what a dead worker stored for a task without telling."""
        for index in range(record.n_returns):
            object_id = self.object_id(record.number, index)
            if lib.nbs_contains(self.seg, object_id) == lib.NBS_SEALED:
                hold = self.store.lookup(object_id)
                if hold is not None:
                    lib.nbs_adopt(self.seg, hold.obj)
                    lib.nbs_delete(self.seg, object_id)
                    lib.nbs_release(self.seg, hold.obj)

    # --------------------------------------------------------------------- cancelling

    def _task_hex(self, record: TaskRecord) -> str:
        return ids.task_id(self.peer, record.number, self.job_id, self.cluster_id).hex()

    def cancel(self, ref: ObjectRef, force: bool, recursive: bool) -> None:
        """Cancel the task that makes ``ref``; nothing when it is done."""
        with self.lock:
            self._drain()
            record = ref._task
            if record is None:
                return
            if record.flags & 16:
                if force:
                    raise ValueError("force=True is not supported for actor tasks.")
                record.pool.cancel(record)
                return
            self._cancel_record(record, force, recursive)
        self.run_callbacks()

    def _cancel_record(self, record: TaskRecord, force: bool, recursive: bool) -> None:
        record.cancelled = True
        record.retries = 0
        record.retry_exceptions = False
        lane = record.lane
        if lane is not None and lib.nbs_revoke(self.seg, lane.link.chan, record.ticket) != 0:
            if force:
                record.forced = True
                self.control.send(m.KillWorkerRequest(peer=lane.peer, reason="cancelled with force=True"))
                return
            lib.nbs_cancel_running(self.seg, lane.link.chan, record.number, signal.SIGINT)
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

    def cancel_children(self, parent: int) -> None:
        """Cancel all tasks that task ``parent`` of this worker submitted."""
        with self.lock:
            records = list(self.waiting_args.values())
            for pool in self.pools.values():
                records += pool.queue
            for lane in self.lanes.values():
                records += lane.tasks.values()
            for record in records:
                if record.parent == parent and not record.cancelled:
                    self._cancel_record(record, False, True)

    # ------------------------------------------------------------------- the daemon

    def _on_control(self, message: m.Message) -> None:
        with self.lock:
            self._handle_control(message)
        if self._callbacks:
            self.run_callbacks()

    def _handle_control(self, message: m.Message) -> None:
        if isinstance(message, m.LeaseReply):
            pool = self.pools_by_request.get(message.request_id)
            if pool is None:
                return
            if message.infeasible:
                for record in pool.refuse(message.infeasible):
                    self.fail(record, TaskUnschedulableError(message.infeasible))
            else:
                pool.granted(message.lease_id, message.worker, message.pid, message.gpu_ids)
        elif isinstance(message, m.LeaseRevokeNotice):
            lane = self.leases.get(message.lease_id)
            if lane is not None:
                lane.pool.revoke(lane)
        elif isinstance(message, m.WorkerDiedNotice):
            self._death_notices[message.peer] = message
            if len(self._death_notices) > 1000:
                self._death_notices.pop(next(iter(self._death_notices)))
            if message.peer in self._dead_workers:
                self._bury(message.peer, self._death_notices.pop(message.peer))
            elif message.peer in self.links:
                self.worker_lost(message.peer)
        elif isinstance(message, m.ActorNotice):
            calls = self.actors.get(message.actor_id)
            if calls is not None:
                calls.on_notice(message)
        elif isinstance(message, m.StateReply):
            self.latest_state = message
        if self.on_message is not None:
            self.on_message(message)

    def request(self, message: Any, **options: Any) -> list[Any]:
        """Send a request to the daemon and wait for its answer(s)."""
        self.check_usable()

        def wait(seconds: float) -> None:
            if lib.nbs_wait(self.seg, RING, int(seconds * 1e9)) > 0:
                self.on_ring()

        return self.control.request(message, wait, **options)

    # ---------------------------------------------------------------------- the rest

    def impossible(self, name: str, shape: dict[str, int], wait_for_resources: bool) -> str:
        """Return why no node can ever give ``shape``, or nothing."""
        if wait_for_resources or not self.totals:
            return ""
        totals = self.totals
        if all(totals.get(name, 0) >= units for name, units in shape.items()):
            return ""
        return infeasible.explain(name, shape, [(self.node_id, totals)])

    def peer_name(self, peer: int) -> str:
        """Return what to call a process of the node."""
        role = "driver" if peer == self.peer and self.role == "driver" else "worker"
        pid = lib.nbs_peer_pid(self.seg, peer)
        return f"{role} pid={pid}" if pid > 0 else f"{role} (ended)"

    def handles_gone(self, actor_id: str) -> None:
        """The last handle of an actor that nobody else knows is gone."""
        self._gone_actors.append(actor_id)  # may run inside any allocation: no lock, no socket here
        self.ring_self()

    def wait_until(self, done: Callable[[], bool], timeout_s: float) -> bool:
        """Serve this process until ``done()``; False after ``timeout_s``."""
        return self._wait_for(done, (), timeout_s)

    def put(self, value: Any) -> ObjectRef:
        """Keep a value; small ones in this process, until a ref leaves it."""
        number = next(self.numbers)
        ref = ObjectRef(number, 0, self.peer, self)
        if type(value) in _SIMPLE:
            data: Any = _dumps(value, 5)
        else:
            data = serializer.dumps(value, "the value to put")
        if type(data) is bytes and len(data) <= INLINE_MAX_BYTES:
            ref._data = data
        else:
            stored = serializer.plain(data) if type(data) is bytes else data
            ref._data = StoredValue(self.store.write(ref.binary(), stored))
        return ref

    def future(self, ref: ObjectRef) -> Any:
        """Return a concurrent future of a ref."""
        import concurrent.futures

        future: Any = concurrent.futures.Future()
        future.set_running_or_notify_cancel()
        future.object_ref = ref

        def set_result(ref: ObjectRef) -> None:
            try:
                future.set_result(self.value_of(ref))
            except BaseException as error:
                future.set_exception(error)

        self.when_ready(ref, set_result)
        return future

    def asyncio_future(self, ref: ObjectRef) -> Any:
        """Return a future of the running event loop."""
        import asyncio

        loop = asyncio.get_running_loop()
        future = loop.create_future()
        future.object_ref = ref

        def deliver() -> None:
            if future.cancelled():
                return
            try:
                future.set_result(self.value_of(ref))
            except StopIteration as error:
                future.set_exception(RuntimeError(repr(error)))
            except BaseException as error:
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

        def call(ref: ObjectRef) -> None:
            try:
                result = self.value_of(ref)
            except BaseException as error:
                result = error
            callback(result)

        self.when_ready(ref, call)

    def when_ready(self, ref: ObjectRef, callback: Callable[[ObjectRef], None]) -> None:
        """Call ``callback(ref)`` once the ref has its value; at once when it has."""
        with self.lock:
            if ref._data is None and not self._settle_borrowed(ref):
                self._add_waiter(ref, callback)
                return
        callback(ref)

    def _output(self, payload: bytes, flags: int) -> None:
        if self.output_sink is not None:
            if flags & TASK_INDIRECT:
                payload = bytes(self.store.view(_U64.unpack(payload)[0]))
            self.output_sink(flags, payload)

    def start(self) -> None:
        """Start the service thread."""
        self.service.start()

    def stop(self) -> None:
        """End: no thread, no socket, no channel is left. The segment is detached."""
        self._stop = True
        object_ref.install(None)
        if os.getpid() != self.pid:
            return
        lib.nbs_ring(self.seg, self.peer)
        if self.service.is_alive() and threading.current_thread() is not self.service:
            self.service.join(2.0)
        with self.lock:
            self._failure = RaySystemError("nbray has been shut down.")
            for calls in self.actors.values():
                calls.forget()
            self.session.attached = False
        self.control.close()
        lib.nbs_detach(self.seg)


class _NoChannel(Exception):
    """The worker is gone, or no channel is free."""


def _check_code_size(code: bytes, name: str) -> None:
    size = len(code)
    if size > 512 << 20:
        raise ValueError(
            f"The remote function {name} is too large: {size >> 20} MiB serialized, at most 512 MiB are allowed. "
            "It captures large objects: put() them once and pass the refs as arguments."
        )
    if size > 10 << 20:
        import warnings

        warnings.warn(
            f"The remote function {name} is very large: {size >> 20} MiB serialized. It captures large objects: "
            "put() them once and pass the refs as arguments.",
            stacklevel=5,
        )


def _crash(record: TaskRecord, notice: m.WorkerDiedNotice | None, extra: str) -> WorkerCrashedError:
    name = record.name or record.function.name
    if notice is None:
        return WorkerCrashedError(f"The worker that ran {name} died; nothing more is known. {extra}".rstrip())
    how = notice.reason or "it ended"
    text = f"The worker that ran {name} (pid {notice.pid}) died: {how}"
    if extra:
        text += f" {extra}"
    if notice.log_tail:
        text += f"\nThe last lines of its log:\n{notice.log_tail}"
    return WorkerCrashedError(text, notice.pid, notice.exit_code, notice.signal_name, notice.log_tail)
