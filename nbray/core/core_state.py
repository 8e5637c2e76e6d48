"""The state of a process's runtime, and the order in which its parts build on it.

Every field is guarded by ``lock`` unless its comment says otherwise.
"""

from __future__ import annotations

import itertools
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

from nbray._cstore import ffi, lib
from nbray.config import Limits
from nbray.core.actor_calls import ActorCalls
from nbray.core.control_client import ControlClient
from nbray.core.failure_log import FailureLog
from nbray.core.failure_reports import FailureReports
from nbray.core.interrupts import InterruptShield
from nbray.core.lease_pool import Lane, LeasePool, Peer
from nbray.core.records import (
    INLINE_MAX_BYTES,
    FunctionDescriptor,
    Session,
    StoreHold,
    TaskRecord,
)
from nbray.core.store_access import StoreAccess
from nbray.core.surroundings import ModulePath
from nbray.core.waiters import Waiter, Waiters
from nbray.object_ref import ObjectRef
from nbray.serialization.error_value import ErrorValue
from nbray.wire import messages as m

RING_BYTES = 128 * 1024  # of each direction of a channel
BUFFER_BYTES = 2 * RING_BYTES  # replies taken at a time


def _nothing() -> None:
    return


class CoreState:
    """The fields that the parts of CoreWorker share.

    Parameters
    ----------
    seg : cdata
        Attached segment.
    role : {"driver", "worker"}
    cluster_id : int
        32 bits; part of every object id.
    daemon : int
        Peer of the node daemon.
    """

    def __init__(self, seg: Any, role: str, cluster_id: int, daemon: int) -> None:
        self.seg = seg
        self.session = Session(seg)
        self.role = role
        self.peer = lib.nbs_self(seg)
        self.daemon = daemon  # peer of the node daemon
        self.pid = os.getpid()
        self.job_id = 0
        self._job_of_peer: dict[int, int] = {}  # of other processes, as far as anybody has asked
        self.cluster_id = cluster_id
        self.node_id = ""
        self.limits = Limits()  # the cluster's, once joined
        self.labels: dict[str, str] = {}  # of the node
        self.session_dir = ""
        self.namespace = ""
        self.default_lifetime = "non_detached"  # of actors that do not say theirs
        self.depth = 0  # nesting depth of the running task
        self.origin = ""  # of the tasks submitted now
        self.running_number = 0  # of the task that this worker runs
        self.running_slot = 0  # of the process that owns it
        self.max_payload = INLINE_MAX_BYTES
        self.lock = threading.RLock()
        self.numbers = itertools.count(1)
        self.functions = itertools.count(1)
        self.store = StoreAccess(self.session)
        self.links: dict[int, Peer] = {}  # peer -> open channel
        self.lanes: dict[int, Lane] = {}  # channel -> lane
        self.leases: dict[int, Lane] = {}
        self.pools: dict[Any, LeasePool] = {}
        self.pools_by_request: weakref.WeakValueDictionary[int, LeasePool] = weakref.WeakValueDictionary()
        self.actors: dict[str, ActorCalls] = {}
        self.watched_actors: dict[str, str] = {}  # actor that a collective misses -> its state, as soon as it is known
        self.actor_channels: dict[int, ActorCalls] = {}
        self.stalled: dict[ActorCalls, None] = {}  # their ring was full; of what stands in it no answer may come
        self.waiting_args: dict[int, TaskRecord] = {}
        self.streams: dict[int, Any] = {}  # number of a generator task that is not done -> Stream
        self.n_stored_puts = 0  # values that went into the store by put()
        self.exported: weakref.WeakValueDictionary[bytes, ObjectRef] = weakref.WeakValueDictionary()
        self.borrowed_waits: dict[ObjectRef, None] = {}  # borrowed refs that somebody waits for
        self.kept: list[Any] = []
        self.waited: list[ObjectRef] | None = None  # the rest that wait returned last; for 50 ms, without the lock
        self.pinned: weakref.WeakSet[FunctionDescriptor] = weakref.WeakSet()  # with code in the store
        self.totals: dict[str, int] = {}  # resources of the node, in units of 1/10,000
        self.registered: m.RegisterReply | None = None  # the daemon's answer to the registration
        self.latest_state: m.StateReply | None = None  # the last answer that nobody waited for
        # Whose children are to be cancelled, and the number of the first that is not; appended without the lock.
        self._parents_cancelled: deque[tuple[int, int]] = deque()
        self._gone_handles: deque[tuple[str, bytes, StoreHold]] = deque()  # of actors; appended without the lock
        self.context = b""
        self.module_path: ModulePath | None = None  # of a driver
        self.output_sink: Callable[[int, bytes], None] | None = None
        # In an actor, for its calls to itself: (kind, number, flags, function, n_returns, payload) as in a channel.
        self.to_self: Callable[[int, int, int, int, int, bytes], None] | None = None
        self.on_message: Callable[[m.Message], None] | None = None
        self.on_tick: Callable[[], None] | None = None
        self.silent: set[int] = set()  # channels to workers that have sent all that they have to say
        self.stack_dump: Any = None  # StackDump, once started
        self.running_name: Callable[[], str] = str  # of the task that runs here; a worker's executor knows
        self.warn_of_blocking: Callable[[], None] = _nothing  # called by a thread that waits; set by async actors
        self.scratch = (ffi.new("uint64_t *"), ffi.new("uint64_t *"))
        self._buffer = ffi.new("char[]", BUFFER_BYTES)
        self._buffer_view = memoryview(ffi.buffer(self._buffer))
        self._position = 0  # in _buffer: records before it are processed
        self._end = 0
        self._delayed: list[tuple[float, TaskRecord]] = []  # tasks that run again later: when
        self._lineages: weakref.WeakSet[Any] = weakref.WeakSet()  # of stored results of this owner
        self._lineage_bytes = 0  # of theirs, counted anew at the limit
        self._kept_arguments = 0  # bytes of arguments by value that lineages keep; the same
        self.failed = FailureLog()  # what went wrong here
        self.reports = FailureReports() if role == "driver" else None
        self._asked_owners: dict[int, float] = {}  # lost objects of others: handle -> when their owner was told
        self._callbacks: deque[tuple[Any, Any]] = deque()
        self.dependents: weakref.WeakSet[Any] = weakref.WeakSet()  # their runtime_ended(error) is called at the end
        self.waiters = Waiters(seg, self.lock)  # threads inside a wait
        self._errors = 0  # refs that got an error, ever
        self._dead_workers: dict[int, tuple[float, list[Any], Any]] = {}  # peer -> since, records, the one it had begun
        self._death_notices: dict[int, m.WorkerDiedNotice] = {}
        self._failure: BaseException | None = None
        self._polled_at = 0.0  # when a wait that had lent its CPUs last ended in vain
        self._blocked = 0  # threads of this worker that wait for others, which lends its CPUs on
        self._stop = False
        self.before_stop: list[Callable[[], None]] = []  # called at a shutdown while everything still works
        self.at_stop: list[Callable[[], None]] = []  # called while the segment is still attached
        self.advice: Any = None  # Advice, in a driver
        self.shield: InterruptShield = None  # type: ignore[assignment]  # set by CoreWorker
        self._last_tick = 0.0
        self.control: ControlClient = None  # type: ignore[assignment]  # set by CoreWorker; has a lock of its own

    def calls_under_way(self) -> list[tuple[int, int, int]] | None:
        """Return owner, number and beginning of each call that runs here; None: one at a time (see ConcurrentCore)."""
        return None

    # What the parts call of each other; each is defined in the part that does it.

    put: Callable[[Any], ObjectRef]
    _drain: Callable[[], bool]
    drain: Callable[[], bool]
    run_callbacks: Callable[[], None]
    tick: Callable[[], None]
    needs_ticks: Callable[[], bool]
    ring_self: Callable[[], None]
    on_ring: Callable[..., bool]
    check_usable: Callable[[], None]
    fail: Callable[..., None]  # record, error, process=0, began=True
    worker_lost: Callable[[int], None]
    cancel_children: Callable[..., None]
    object_id: Callable[[int, int], bytes]
    value_of: Callable[[ObjectRef], Any]
    when_ready: Callable[[ObjectRef, Callable[[ObjectRef], None]], None]
    _finish_error: Callable[[TaskRecord, ErrorValue], None]
    note_lost: Callable[[TaskRecord, int, int], None]
    _set: Callable[[ObjectRef, Any], None]
    _retry: Callable[..., None]
    _worker_leaves: Callable[[int], None]
    _add_waiter: Callable[[ObjectRef, Any], None]
    run_delayed: Callable[[float], None]
    remember: Callable[[TaskRecord], Any]
    lineage_of_failed: Callable[[TaskRecord], Any]
    recover: Callable[[ObjectRef], None]
    ask_again: Callable[[ObjectRef], None]
    ask_owner: Callable[[ObjectRef], bool]
    argument_lost: Callable[[TaskRecord, int], None]
    _await_dependencies: Callable[[TaskRecord], bool]
    _settle_borrowed: Callable[[ObjectRef], bool]
    _wake: Callable[[ObjectRef], None]
    _fill_promise: Callable[[ObjectRef], None]
    _dependency_ready: Callable[[TaskRecord], None]
    _bury: Callable[[int, Any], None]
    _task_hex: Callable[[TaskRecord], str]
    _value_part: Callable[[int, bytes], Any]
    _item: Callable[[int, int, int, int, bytes], None]
    _stream_raised: Callable[[TaskRecord, ErrorValue], None]
    _stream_done: Callable[[TaskRecord], None]
    _stream_over: Callable[[TaskRecord], None]
    cancel_for_another: Callable[[m.CancelTaskNotice], None]
    now_and_then: Callable[[Any, TaskRecord], None]
    _wait_for: Callable[..., bool]
    _enter_wait: Callable[[Waiter], None]
    _leave_wait: Callable[[Waiter], None]
    _output: Callable[[bytes, int], None]
