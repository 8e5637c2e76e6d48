"""The library inside every driver and worker: it submits, waits, gets and owns.

Threads: any thread may submit and get. A thread that waits drains the replies itself; the
*service thread* only acts when nobody waits. All state is guarded by ``lock``; callbacks of
users run without it.

The parts stand in files of their own (arguments, dependencies, results, references, waiting,
upkeep, failures) and share the fields of CoreState.

An interrupt (KeyboardInterrupt) may arrive between any two bytecodes of the main thread.
So replies are processed from a buffer whose position is kept in the object, record by
record, each step repeatable.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pickle
import struct
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

from nbray import ids, object_ref
from nbray._cstore import ffi, lib
from nbray.core import advice, call_site, code_size, inspection, metrics
from nbray.core.arguments import Arguments
from nbray.core.control_client import ControlClient
from nbray.core.core_state import RING_BYTES, CoreState
from nbray.core.dependencies import Dependencies
from nbray.core.environments import Environment, Environments
from nbray.core.failures import Failures
from nbray.core.groups import Groups
from nbray.core.interrupts import InterruptShield, uninterrupted
from nbray.core.lease_pool import ANYWHERE, AtOncePool, Lane, LeasePool, Peer
from nbray.core.lineage import Reconstruction
from nbray.core.records import (
    FUNCTION_HEAD,
    FUNCTION_NAMED,
    INLINE_MAX_BYTES,
    KIND_ASK_WORDS,
    KIND_CONTEXT,
    TASK_INDIRECT,
    FunctionDescriptor,
    NamedFunction,
    StoredValue,
    StoreHold,
    TaskRecord,
)
from nbray.core.references import References
from nbray.core.results import Results
from nbray.core.stack_dump import StackDump
from nbray.core.streams import Streams
from nbray.core.surroundings import ModulePath
from nbray.core.upkeep import Upkeep
from nbray.core.waiters import Waiter
from nbray.core.waiting import Waiting
from nbray.exceptions import (
    ClusterGoneError,
    ForkedProcessError,
    RayError,
    RaySystemError,
    TaskUnschedulableError,
)
from nbray.object_ref import ObjectRef, new_ref
from nbray.options import Streaming
from nbray.placement import Target
from nbray.scheduling import infeasible
from nbray.serialization import error_value, serializer
from nbray.store.errors import PeerDeadError, check
from nbray.wire import messages as m

RING = lib.NBS_READY_RING
NEWS = lib.NBS_READY_NEWS
NUMBER = (1 << 64) - 1  # of a task, without what tells its owner where calls run side by side
LAST_WORDS_LOOKS = 25  # at a shutdown, for what workers have still to say, and whether they live ...
LAST_WORDS_LOOK_S = (
    0.01  # ... and each takes so long; counted, for where the machine stands still nobody answers in time
)
WAITS_END_S = 2.0  # threads that wait have this long to leave at a shutdown

_U64 = struct.Struct("<Q")
_dumps = pickle.dumps
_SIMPLE = serializer.SIMPLE_TYPES


MAX_ORIGINS = 1000  # of one function that are remembered


class CoreWorker(
    Arguments, Dependencies, Results, Reconstruction, References, Waiting, Upkeep, Failures, Streams, CoreState
):
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
        super().__init__(seg, role, cluster_id, daemon)
        self.control = ControlClient(endpoint, f"{role}-{self.peer}".encode(), self._on_control)
        self.control.answered = lambda: lib.nbs_nudge(self.seg)
        self.store.pressure.control = self.control
        self.shield = InterruptShield(self, (self.lock, self.control.lock))
        self.service = threading.Thread(target=self._serve, name="nbray-service", daemon=True)
        self.groups = Groups(self)
        # Not the get of a list: the last of its tasks is alone in flight, too.
        self.advice = advice.Advice(self, {Waiting.get_one.__code__}) if role == "driver" else None
        self.environments = Environments(self)
        object_ref.install(self)

    def describe_function(
        self, function: Any, name: str, kind: str = "task", max_calls: int = 0, told: bool = True
    ) -> FunctionDescriptor:
        """Serialize a function for the workers of this owner, once; the caller tells of it himself with ``told=False``."""
        self.follow_path()
        code = code_size.serialize(function, name, int(self.store.pressure.limits.code_bytes))
        digest = hashlib.blake2b(code, digest_size=16).digest()
        title = name.encode()
        descriptor = self._descriptor(FUNCTION_HEAD.pack(digest, len(title), max_calls) + title + code, name)
        if told:
            self.tell_of(descriptor, kind)
        return descriptor

    def describe_variant(
        self, function: FunctionDescriptor, name: str, kind: str = "task", pool: LeasePool | None = None,
        make: type[FunctionDescriptor] = NamedFunction,
    ) -> FunctionDescriptor:  # fmt: skip
        """Return the same code under another name (the option ``name``) or kind, for another pool or origin."""
        base = function.base or function
        named = self._descriptor(_U64.pack(base.number) + name.encode(), name, make)
        named.message_flags |= FUNCTION_NAMED
        named.base, named.function = base, base.name
        self.tell_of(named, kind, pool)
        return named

    def describe_method(
        self, class_name: str, method: str, group: str = "", kind: str = "actor_task", name: str = ""
    ) -> FunctionDescriptor:
        """Number a method (in a concurrency group, called by a name) for an actor's channel and for the events."""
        message = f"{method}\0{group}\0{name}".rstrip("\0")
        descriptor = self._descriptor(message.encode(), name or f"{class_name}.{method}")
        descriptor.function = f"{class_name}.{method}"
        self.tell_of(descriptor, kind)
        return descriptor

    def tell_of(self, function: FunctionDescriptor, kind: str = "task", pool: LeasePool | None = None) -> None:
        """Tell those who look on what its tasks are called, and what they ask for."""
        function.kind, function.origin = kind, self.origin
        notice = m.DefineNotice(
            owner=self.peer, number=function.number, name=function.name, kind=kind, origin=self.origin
        )
        if function.function != function.name:
            notice.function = function.function
        if pool is not None:
            notice.resources, notice.target = pool.shape, pool.target
            notice.env_key = pool.environment.key if pool.environment is not None else ""
        self.control.send_soon(notice)

    def _of_origin(self, function: FunctionDescriptor, pool: Any, origin: str) -> FunctionDescriptor:
        """Return the descriptor of a function for tasks of an origin: records of a task name its function, and that its origin."""
        if function.origin == origin or function.kind in ("", "unrecorded"):
            function.origin = origin  # the same string: found so more quickly
            return function
        if function.elsewhere is None or len(function.elsewhere) >= MAX_ORIGINS:
            function.elsewhere = {}
        known = function.elsewhere.get(origin)
        if known is None:
            if type(pool) is LeasePool:
                known = self.describe_variant(function, function.name, function.kind, pool, FunctionDescriptor)
                known.avg_ns = function.avg_ns
                known.learn()
            else:
                number = next(self.functions)
                known = FunctionDescriptor(
                    number, function.name, function.message, function.message_flags, function.keep
                )
                known.function, known.pin = function.function, function.pin
                self.tell_of(known, function.kind)
            function.elsewhere[origin] = known
        return known

    def _descriptor(
        self, message: bytes, name: str, make: type[FunctionDescriptor] = FunctionDescriptor
    ) -> FunctionDescriptor:
        number = next(self.functions)
        flags, keep = 0, None
        if len(message) > self.max_payload:
            keep = self.store.stash(message)
            message, flags = _U64.pack(keep.obj), TASK_INDIRECT
        descriptor = make(number, name, message, flags, keep)
        if keep is not None:
            descriptor.pin = self.store.view(keep.obj)
            self.pinned.add(descriptor)
        return descriptor

    def pool(
        self, shape: dict[str, int], strategy: str = "DEFAULT", wait_for_resources: bool = False,
        target: Target = ANYWHERE, captures: bool = False, environment: Environment | None = None,
    ) -> LeasePool:  # fmt: skip
        """Return the pool of a shape of resources in one place."""
        key = (tuple(sorted(shape.items())), strategy, wait_for_resources, target, captures, environment)
        with self.lock:
            pool = self.pools.get(key)
            if pool is None:
                request_id = self.control.next_id()
                pool = self.pools[key] = (AtOncePool if target.at_once else LeasePool)(
                    self, shape, strategy, wait_for_resources, request_id, target, captures, environment
                )
                self.pools_by_request[request_id] = pool
            return pool

    def submit(
        self, function: FunctionDescriptor, pool: Any, args: Sequence[Any], kwargs: dict[str, Any], n_returns: Any,
        retries: int, retry_exceptions: Any = False, name: str = "", extra_flags: int = 0,
    ) -> Any:  # fmt: skip
        """Submit a task; returns its ref, a list of refs, None for ``n_returns`` 0, a generator for a Streaming."""
        if self._failure is not None:
            raise self._failure.with_traceback(None)
        origin = self.origin
        if function.origin is not origin:
            function = self._of_origin(function, pool, origin)
        number = next(self.numbers)
        payload, flags, deps, keep = self.encode_arguments(args, kwargs, number)
        refs: Any
        if n_returns == 1 or type(n_returns) is Streaming:
            refs = new_ref(number, 0, self.peer, self)
        else:
            refs = tuple([new_ref(number, index, self.peer, self) for index in range(n_returns)])
        record = TaskRecord(
            number, refs, function, payload, flags | extra_flags, n_returns, retries, pool, deps, keep,
            origin, self.running_number, retry_exceptions, name,
        )  # fmt: skip
        if n_returns == 1:
            refs._task = record
        elif type(n_returns) is Streaming:
            return self.submit_stream(record, n_returns)
        else:
            for ref in refs:
                ref._task = record
        if self.running_number:  # submitted by a task
            lib.nbs_event_put(self.seg, lib.NBS_EV_PARENT, 0, number, self.running_slot, self.running_number & NUMBER)
        try:
            with self.lock:
                if deps is not None:
                    if not self._await_dependencies(record):
                        return self._returned(refs, n_returns)
                pool.submit(record)
        except BaseException:
            # Nobody gets the refs; the record, with what it keeps, would stay for ever in a cycle with them.
            for ref in (refs,) if n_returns == 1 else refs:
                ref._task = None
            raise
        if not number & 31:
            self.now_and_then(pool, record)
        if self.shield.pending:
            self.shield.strike()
        return self._returned(refs, n_returns) if n_returns != 1 else refs

    def now_and_then(self, pool: Any, record: TaskRecord) -> None:
        """What is due with every 32nd task; waits while very many are queued."""
        with self.lock:
            self._drain()
            self.shield.install()
        most = self.store.pressure.limits.queued_tasks
        if len(pool.queue) > most:
            advice.crowded(len(pool.queue), record.function.name)
            self._wait_for(lambda: len(pool.queue) <= most * 0.9, (), None)

    @staticmethod
    def _returned(refs: Any, n_returns: int) -> Any:
        if n_returns == 1:
            return refs
        return list(refs) if n_returns else None

    def object_id(self, number: int, index: int) -> bytes:
        return ids.object_id(self.peer, number, self.cluster_id, index)

    def check_usable(self) -> None:
        """Raise when this process is a fork of the one that called init."""
        if os.getpid() != self.pid:
            raise ForkedProcessError(
                f"nbray was initialized in process {self.pid} and this is a fork of it (pid {os.getpid()}). Use the "
                "'spawn' start method, or call nbray.init() in the child."
            )

    def open_channel(self, peer: int) -> int:
        out = ffi.new("uint32_t *")
        check(lib.nbs_chan_open(self.seg, peer, RING_BYTES, out), "a channel to a worker cannot be opened")
        return out[0]

    def link(self, peer: int) -> Peer | None:
        """Return the channel to a worker, opened and greeted at the first use; None when it is dead.

        Raises
        ------
        StoreError
            When it lives, and no channel can be had: there are too many, or no memory is left for one.
        """
        link = self.links.get(peer)
        if link is None:
            try:
                link = Peer(self, peer)
            except PeerDeadError:
                return None
            self.links[peer] = link
            link.tell(KIND_CONTEXT, 0, self.context, 0)
        return link

    def change_context(self, **changes: Any) -> None:
        """Change what workers take over from this process, also those that have a channel already."""
        with self.lock:
            self.context = pickle.dumps({**pickle.loads(self.context), **changes})
            payload = pickle.dumps(changes)
            for link in self.links.values():
                for _ in range(1000):  # a full ring gets room as soon as its worker goes on
                    if link.tell(KIND_CONTEXT, 1, payload) != lib.NBS_EAGAIN:
                        break
                    lib.nbs_wait(self.seg, 0, 1_000_000)

    def path_of_driver(self, first: Sequence[str]) -> list[str]:
        """Return where workers of this driver find modules, these folders first; ``follow_path`` keeps to it."""
        self.module_path = ModulePath(first)
        return self.module_path.folders()

    def follow_path(self) -> None:
        """Let workers know where modules are found, when this driver's ``sys.path`` has changed."""
        if self.module_path is not None and self.module_path.changed():
            self.change_context(sys_path=self.module_path.folders())

    def announce(self, lane: Lane) -> None:
        """Tell a leased worker what its lease comes with, when that has changed."""
        told = (lane.pool.request_id, tuple(lane.gpu_ids))
        if lane.link.told != told:
            lane.link.told = told
            pool = lane.pool
            about = {
                "gpu_ids": lane.gpu_ids, "resources": pool.shape, "group": pool.target.group, "captures": pool.captures,
            }  # fmt: skip
            if pool.environment is not None:
                about["environment"] = pool.environment
            payload, flags = pickle.dumps(about), 0
            if len(payload) > self.max_payload:  # a setup hook with much in it
                hold = self.store.stash(payload)
                self.kept.append(hold)
                payload, flags = _U64.pack(hold.obj), TASK_INDIRECT
            lane.link.tell(KIND_CONTEXT, 1, payload, flags)

    def _on_control(self, inbox: deque[m.Message]) -> None:
        with self.lock:
            while inbox:
                self._handle_control(inbox.popleft())
            self.waiters.wake()
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
            elif message.error:
                pool.refuse_now(message.error)
            elif message.group_removed:
                pool.refuse_removed()
            elif message.env_error:
                pool.refuse_environment(message.env_error)
            else:
                pool.granted(message.lease_id, message.worker, message.pid, message.gpu_ids)
        elif isinstance(message, m.LeaseRevokeNotice):
            lane = self.leases.get(message.lease_id)
            if lane is not None:
                lane.pool.revoke(lane)
        elif isinstance(message, m.WorkerDiedNotice):
            if message.words:
                self.last_words(message)
            self._death_notices[message.peer] = message
            if len(self._death_notices) > 1000:
                self._death_notices.pop(next(iter(self._death_notices)))
            if message.peer in self._dead_workers:
                self._bury(message.peer, self._death_notices.pop(message.peer))
            elif message.peer in self.links:
                self.worker_lost(message.peer)
        elif isinstance(message, m.CancelTaskNotice):
            self.cancel_for_another(message)
        elif isinstance(message, m.ActorNotice):
            if message.actor_id in self.watched_actors:
                self.watched_actors[message.actor_id] = message.state
            calls = self.actors.get(message.actor_id)
            if calls is not None:
                calls.on_notice(message)
                if calls.abandoned and calls.state == "DEAD":
                    self.actors.pop(message.actor_id, None)
        elif isinstance(message, m.GroupNotice):
            self.groups.on_notice(message)
        elif isinstance(message, m.RegisterReply):
            self.registered, self.totals = message, dict(message.resources)
        elif isinstance(message, m.StateReply):
            self.latest_state = message
        elif isinstance(message, m.ResourcesNotice):
            self.totals = dict(message.resources)
        elif isinstance(message, m.InspectNotice):
            for answer in inspection.answers(self, message):
                self.control.send(answer)
        elif isinstance(message, m.ValueLostNotice):
            self.value_lost(message.object_id)
        elif isinstance(message, m.ClusterEndedNotice) and self._failure is None:
            self._fail_everything(
                ClusterGoneError(
                    f"The cluster has ended: {message.reason}. Call nbray.shutdown() and nbray.init() again."
                )
            )
        if self.on_message is not None:
            self.on_message(message)

    def request(self, message: Any, **options: Any) -> list[Any]:
        """Send a request to the daemon and wait for its answer(s)."""
        self.check_usable()

        waiter, nudges = Waiter(), self.waiters.nudges
        nudged = 0

        def wait(seconds: float) -> None:
            nonlocal nudged
            woken = lib.nbs_wait_since(self.seg, RING, int(seconds * 1e9), nudged)
            nudged = nudges[0]  # before it is looked whether the answer is there
            if woken > 0:
                if woken & NEWS:
                    self.on_ring()
            else:
                self.tick()
            if self._failure is not None:
                raise self._failure.with_traceback(None)

        self._enter_wait(waiter)
        nudged = nudges[0]
        try:
            return self.control.request(message, wait, **options)
        finally:
            self._leave_wait(waiter)

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

    def handle_gone(self, actor_id: str, life_id: bytes, hold: StoreHold) -> None:
        """A handle of an actor is gone; its hold is given back once this process's calls are answered."""
        self._gone_handles.append((actor_id, life_id, hold))  # may run inside any allocation: no lock, no socket
        self.ring_self()

    def put(self, value: Any) -> ObjectRef:
        """Keep a value; small ones in this process, until a ref leaves it."""
        number = next(self.numbers)
        ref = new_ref(number, 0, self.peer, self)
        if type(value) in _SIMPLE:
            data: Any = _dumps(value, 5)
        elif isinstance(value, RayError):
            ref._data = error_value.from_given(value, "the value to put")
            return ref
        else:
            data = serializer.dumps(value, "the value to put")
        if type(data) is bytes and len(data) <= INLINE_MAX_BYTES:
            ref._data = data
        else:
            stored = serializer.plain(data) if type(data) is bytes else data
            ref._data = StoredValue(self.store.write(ref.binary(), stored, label=call_site.label()))
            self.n_stored_puts += 1
            if self.shield.pending:
                self.shield.strike()
        return ref

    def n_held(self) -> int:
        """Return how many stored values this process may hold: views, refs that have travelled, and values that it has put."""
        return lib.nbs_n_views(self.seg) + len(self.exported) + self.n_stored_puts

    def start(self) -> None:
        """Start the service thread."""
        if self.role == "driver":
            self.shield.install()
        self.stack_dump = StackDump(self.session_dir)
        self.service.start()
        metrics.begin(self)

    def hear_out(self) -> None:
        """Before the end: have workers that are idle send what their C code and children have written, which they look for seldom."""
        if self.output_sink is None:
            return
        self.silent.clear()
        with self.lock:
            busy = {lane.link.chan for lane in self.lanes.values() if lane.tasks or lane.leaving}
            busy |= {chan for chan, calls in self.actor_channels.items() if calls.tasks}
            asked = {
                link.chan: link.peer
                for link in self.links.values()
                if link.chan not in busy and link.tell(KIND_ASK_WORDS, 0, b"") == lib.NBS_OK
            }

        def heard() -> bool:
            return all(chan in self.silent or not lib.nbs_alive(self.seg, peer) for chan, peer in asked.items())

        for _ in range(LAST_WORDS_LOOKS):  # of a worker that has died nobody tells
            if self.wait_until(heard, LAST_WORDS_LOOK_S):
                return

    @uninterrupted
    def stop(self, exiting: bool = False) -> None:
        """End: no thread, no socket, no channel is left. The segment is detached.

        Parameters
        ----------
        exiting : bool
            The interpreter ends: threads that still wait are left as they are (daemon threads; an
            error raised there now would only be noise), and so is the mapping they read.
        """
        self._stop = True
        object_ref.install(None)
        if os.getpid() != self.pid:
            return
        lib.nbs_ring(self.seg, self.peer)
        if self.service.is_alive() and threading.current_thread() is not self.service:
            self.service.join(2.0)
        for leave in self.at_stop:
            leave()
        with self.lock:
            if not (exiting and self.waiters):
                self._failure = RaySystemError("nbray has been shut down.")
            for calls in self.actors.values():
                calls.forget()
            self.session.attached = False
        for function in self.pinned:  # functions outlive the cluster, and would keep its memory
            function.pin = None
        if self.stack_dump is not None:
            self.stack_dump.close()
        with contextlib.suppress(Exception):  # the daemon may be gone
            metrics.push(self)
        for dependent in list(self.dependents):
            dependent.runtime_ended(RaySystemError("nbray has been shut down."))
        if not exiting:
            self._end_waits()
        self.control.close()
        if not self.waiters:  # a thread inside a wait reads the segment
            lib.nbs_detach(self.seg)
        self.shield.remove()

    def _end_waits(self) -> None:
        """See the other threads of this process out of their waits, which raise now."""
        deadline = time.monotonic() + WAITS_END_S
        while self.waiters and time.monotonic() < deadline:
            with self.lock:
                self.waiters.wake_all()
            time.sleep(0.001)
