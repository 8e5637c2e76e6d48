"""Tasks of one shape of resources, and the leased workers that run them.

A *lane* is a leased worker with its channel. Short tasks are sent several deep into a
lane, so that the worker never waits for the owner; tasks of a millisecond or more one
deep. What turns out to stand behind a long task is taken back (``nbs_revoke``) and sent
elsewhere. All methods are called with the core worker's lock held.
"""

from __future__ import annotations

import time
from collections import deque
from typing import Any

from nbray._cstore import ffi, lib
from nbray.core.environments import Environment
from nbray.core.records import (
    FUNCTION_FORGET,
    KIND_FUNCTION,
    KIND_ORIGIN,
    TaskRecord,
)
from nbray.exceptions import (
    RaySystemError,
    RuntimeEnvSetupError,
    TaskPlacementGroupRemoved,
    TaskUnschedulableError,
)
from nbray.options import describe
from nbray.placement import Target
from nbray.store.errors import StoreError
from nbray.wire.messages import LeaseRequest, LeaseReturnNotice

NBS_OK = lib.NBS_OK
NBS_EAGAIN = lib.NBS_EAGAIN
NBS_EDEAD = lib.NBS_EDEAD

STUCK_NS = 2_000_000  # a head task that runs longer frees what stands behind it
MAX_NAMED = 4096  # names of functions that a worker remembers of an owner
IDLE_LEASE_S = 0.25  # an idle lease is kept this long
MAX_LEASES_WANTED = 64
REFUSED_PAUSE_S = 0.1  # before asking again, when the daemon could not give a worker; doubles
REFUSED_MAX = 5  # so often in a row; then the tasks that wait fail with the daemon's reason

ANYWHERE = Target()


class Peer:
    """The sending side of a channel to a worker: what it has been told already."""

    __slots__ = ("chan", "closed", "core", "functions", "idle_since", "named", "origin", "peer", "told")

    def __init__(self, core: Any, peer: int) -> None:
        self.idle_since = time.monotonic()
        self.core = core
        self.peer = peer
        self.chan = core.open_channel(peer)
        self.functions: set[int] = set()
        self.named: set[int] = set()  # those of them that are names of others
        self.origin = ""
        self.closed = False
        self.told: Any = None  # (pool, GPUs) of the last lease

    def tell(self, kind: int, number: int, payload: bytes, flags: int = 0) -> int:
        """Send a message that is not a task."""
        return lib.nbs_send(
            self.core.seg, self.chan, kind, flags, number, 0, 0, payload, len(payload), ffi.NULL, 0, ffi.NULL
        )

    def prepare(self, record: TaskRecord) -> int:
        """Tell the worker what it must know before this task: its function, its origin."""
        function = record.function
        base = function.base
        if base is not None and base.number not in self.functions:
            status = self.tell(KIND_FUNCTION, base.number, base.message, base.message_flags)
            if status != NBS_OK:
                return status
            self.functions.add(base.number)
        if function.number not in self.functions:
            flags = function.message_flags
            if base is not None and len(self.named) >= MAX_NAMED:
                flags |= FUNCTION_FORGET
            status = self.tell(KIND_FUNCTION, function.number, function.message, flags)
            if status != NBS_OK:
                return status
            if base is not None:
                if flags & FUNCTION_FORGET:
                    self.functions -= self.named
                    self.named.clear()
                self.named.add(function.number)
            self.functions.add(function.number)
        if record.origin != self.origin:
            status = self.tell(KIND_ORIGIN, 0, record.origin.encode())
            if status != NBS_OK:
                return status
            self.origin = record.origin
        return NBS_OK

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            if self.core.session.attached:
                lib.nbs_chan_close(self.core.seg, self.chan)


class Lane:
    """A leased worker."""

    __slots__ = ("gpu_ids", "idle_since", "lease_id", "leaving", "link", "peer", "pid", "pool", "revoked", "tasks")

    def __init__(self, pool: LeasePool, lease_id: int, link: Peer, pid: int, gpu_ids: list[int]) -> None:
        self.pool = pool
        self.lease_id = lease_id
        self.link = link
        self.peer = link.peer
        self.pid = pid
        self.gpu_ids = gpu_ids
        self.tasks: dict[int, TaskRecord] = {}  # sent and not answered, in order
        self.revoked = False  # gets no more tasks: the daemon wants it back, or it is leaving
        self.leaving = False  # the worker ends by itself, and the lease with it
        self.idle_since = 0.0


class LeasePool:
    """Queue and lanes of one shape.

    Attributes
    ----------
    target : Target
        Where its tasks may run.
    captures : bool
        Whether what its tasks submit goes into the same placement group.
    environment : Environment or None
        Runtime environment of its workers.
    """

    def __init__(
        self, core: Any, shape: dict[str, int], strategy: str, wait_for_resources: bool, request_id: int,
        target: Target = ANYWHERE, captures: bool = False, environment: Environment | None = None,
    ) -> None:  # fmt: skip
        self.core = core
        self.target = target
        self.captures = captures
        self.environment = environment
        self.seg = core.seg
        self.shape = shape
        self.strategy = strategy
        self.wait_for_resources = wait_for_resources
        self.request_id = request_id
        self.queue: deque[TaskRecord] = deque()
        self.lanes: list[Lane] = []
        self.wanted = 0  # count of the last LeaseRequest that is still open
        self.infeasible = ""  # why no task of this pool can run
        self.removed = False  # its placement group is gone
        self.refusals = 0  # in a row
        self.ask_again_at = 0.0  # after a refusal; 0: need not wait

    # ------------------------------------------------------------------ submitting

    def submit(self, record: TaskRecord) -> None:
        """Run a task whose arguments are all there."""
        if self.infeasible:
            gone = self.removed
            self.core.fail(record, self.group_removed(record) if gone else TaskUnschedulableError(self.infeasible))
            return
        if not self.queue:
            function = record.function
            pack = function.pack
            # A worker that is awake and has little to do comes first: waking another one costs
            # more than the wait behind a few short tasks. Else the lane with the fewest tasks.
            best = None
            least = function.depth
            for lane in self.lanes:
                n = len(lane.tasks)
                if lane.revoked:
                    continue
                if 0 < n < pack:
                    best = lane
                    break
                if n < least:
                    best, least = lane, n
            if best is not None and self.send(best, record):
                if not self.wanted and len(best.tasks) > pack:
                    self.want_leases()
                return
        self.queue.append(record)
        if self.wanted < MAX_LEASES_WANTED:
            self.want_leases()

    def again(self, record: TaskRecord) -> None:
        """Run a task once more."""
        self.submit(record)

    def send(self, lane: Lane, record: TaskRecord) -> bool:
        """Send a task into a lane; False when it has no room or is dead."""
        link = lane.link
        function = record.function
        if function.number not in link.functions or record.origin != link.origin:
            status = link.prepare(record)
            if status != NBS_OK:
                return False
        payload = record.payload
        lane.tasks[record.number] = record
        record.lane = lane
        ticket = lib.nbs_send_task(
            self.seg, link.chan, record.flags, record.number, function.number, record.n_returns, payload, len(payload)
        )
        if ticket >= 0:
            record.ticket = ticket
            return True
        record.lane = None
        del lane.tasks[record.number]
        return False

    def refill(self, lane: Lane) -> None:
        """Send queued tasks into a lane that has room."""
        queue = self.queue
        tasks = lane.tasks
        while queue and not lane.revoked:
            record = queue[0]
            if len(tasks) >= record.function.depth:
                return
            if not self.send(lane, record):
                return
            queue.popleft()
        if not tasks:
            self.lane_idle(lane)

    def lane_idle(self, lane: Lane) -> None:
        """A lane has nothing to do: give it work, or give it back."""
        if lane.revoked:
            self.give_back(lane)
            return
        lane.idle_since = time.monotonic()

    # --------------------------------------------------------------------- leases

    def want_leases(self) -> None:
        """Ask for as many leases as there are queued tasks to run."""
        if self.ask_again_at:
            return
        backlog = len(self.queue)
        if not backlog and self.lanes:
            # Tasks stand behind others in lanes: one more worker may help them.
            backlog = 1
        target = min(backlog, MAX_LEASES_WANTED)
        if target > self.wanted:
            # Ask for more in doubling steps, not with each task submitted.
            if self.wanted and target < 2 * self.wanted:
                return
            self._request(target)

    def _request(self, count: int) -> None:
        self.wanted = count
        name = self.queue[0].name or self.queue[0].function.name if self.queue else ""
        self.core.control.send(
            LeaseRequest(
                request_id=self.request_id,
                resources=self.shape,
                count=count,
                job_id=self.core.job_id,
                name=name,
                strategy=self.strategy,
                wait_for_resources=self.wait_for_resources,
                priority_depth=self.core.depth,
                target=self.target,
                env_key=self.environment.key if self.environment is not None else "",
            )
        )

    def granted(self, lease_id: int, peer: int, pid: int, gpu_ids: list[int]) -> None:
        """The daemon lent a worker."""
        if self.wanted:
            self.wanted -= 1
        if not self.queue and not any(len(lane.tasks) > 1 for lane in self.lanes):
            self.core.control.send(LeaseReturnNotice(lease_id=lease_id))
            return
        try:
            link = self.core.link(peer)
        except StoreError as error:
            self.core.control.send(LeaseReturnNotice(lease_id=lease_id))
            self.refuse_now(str(error))
            return
        self.refusals = 0
        if link is None:  # it died meanwhile
            self.core.control.send(LeaseReturnNotice(lease_id=lease_id, discard=True))
            self.want_leases()
            return
        lane = Lane(self, lease_id, link, pid, gpu_ids)
        self.lanes.append(lane)
        self.core.lanes[link.chan] = lane
        self.core.leases[lease_id] = lane
        self.core.announce(lane)
        if not self.queue:
            self.take_back_stuck(time.monotonic_ns(), everything=True)
        self.refill(lane)
        if self.queue and not self.wanted:
            self.want_leases()  # fewer were asked for than there are tasks now

    def refuse(self, reason: str) -> list[TaskRecord]:
        """The shape can never be had; returns the tasks that fail with it."""
        self.wanted = 0
        self.infeasible = "" if self.target.at_once else reason
        failed = list(self.queue)
        self.queue.clear()
        return failed

    def refuse_removed(self) -> None:
        """The placement group is gone: what waits for it fails, and so will what comes."""
        self.removed, self.infeasible = True, "its placement group has been removed"
        for lane in list(self.lanes):
            self.revoke(lane)
        self.wanted = 0
        failed = list(self.queue)
        self.queue.clear()
        for record in failed:
            self.core.fail(record, self.group_removed(record))

    def refuse_environment(self, reason: str) -> None:
        """The runtime environment could not be made: what waits for it fails; what comes later tries again."""
        self.wanted = 0
        failed = list(self.queue)
        self.queue.clear()
        for record in failed:
            name = record.name or record.function.name
            text = f"The runtime environment of task {name} could not be set up: {reason}"
            self.core.fail(record, RuntimeEnvSetupError(text))

    def group_removed(self, record: TaskRecord) -> TaskPlacementGroupRemoved:
        """Return the error of a task whose placement group is gone."""
        name = record.name or record.function.name
        return TaskPlacementGroupRemoved(f"The placement group {self.target.group} of task {name} has been removed.")

    def refuse_now(self, reason: str) -> None:
        """The daemon could give a worker, but does not succeed: ask again soon, not for ever."""
        self.wanted = 0
        self.refusals += 1
        if self.refusals <= REFUSED_MAX:
            self.ask_again_at = time.monotonic() + REFUSED_PAUSE_S * 2 ** (self.refusals - 1)
            return
        self.refusals = 0
        failed = list(self.queue)
        self.queue.clear()
        for record in failed:
            self.core.fail(record, RaySystemError(f"No worker could be had for {record.function.name}: {reason}"))

    def revoke(self, lane: Lane) -> None:
        """Somebody else waits for this worker: take back what it has not begun."""
        lane.revoked = True
        self._take_back(lane)
        if not lane.tasks:
            self.give_back(lane)
        if self.queue:
            self.wanted = 0
            self.want_leases()

    def leaves(self, lane: Lane) -> None:
        """The worker ends after what it runs: everything behind that goes elsewhere."""
        lane.leaving = True
        self.revoke(lane)

    def give_back(self, lane: Lane, discard: bool = False) -> None:
        """Return a lease."""
        self.drop(lane)
        if lane.leaving:
            return  # it ends with the worker, whose resources are not free before
        self.core.control.send(LeaseReturnNotice(lease_id=lane.lease_id, discard=discard))

    def drop(self, lane: Lane) -> None:
        """Forget a lane; the link stays known for the next lease of that worker."""
        if lane in self.lanes:
            self.lanes.remove(lane)
        self.core.lanes.pop(lane.link.chan, None)
        self.core.leases.pop(lane.lease_id, None)
        lane.link.idle_since = time.monotonic()

    # -------------------------------------------------------------- keeping it even

    def _take_back(self, lane: Lane) -> int:
        """Take back the tasks of a lane that its worker has not begun; returns how many."""
        taken = 0
        for record in reversed(list(lane.tasks.values())):
            if lib.nbs_revoke(self.seg, lane.link.chan, record.ticket) != NBS_OK:
                break
            del lane.tasks[record.number]
            record.lane = None
            self.queue.appendleft(record)
            taken += 1
        return taken

    def take_back_stuck(self, now_ns: int, everything: bool = False) -> None:
        """Take back tasks that stand behind one that runs long, and run them elsewhere."""
        seq, start = self.core.scratch
        moved = 0
        for lane in self.lanes:
            if len(lane.tasks) < 2:
                continue
            running = lib.nbs_running(self.seg, lane.link.chan, seq, start)
            if everything or (running == 1 and now_ns - start[0] > STUCK_NS):
                head = lane.tasks.get(seq[0]) if running == 1 else None
                moved += self._take_back(lane)
                if head is not None and now_ns - start[0] > STUCK_NS:
                    head.function.avg_ns = max(head.function.avg_ns, float(now_ns - start[0]))
                    head.function.learn()
        if moved:
            for lane in list(self.lanes):
                if not lane.tasks:
                    self.refill(lane)
            if self.queue:
                self.want_leases()

    def explain(self, record: TaskRecord, name: str) -> str:
        """Say where a task of this pool stands."""
        if record.lane is not None:
            others = len(record.lane.tasks) - 1
            stands = f"it runs or stands behind {others} more" if others else "and no other task is"
            return f"{name} is at worker pid {record.lane.pid}, {stands}"
        needs = describe(self.shape)
        return f"{name} needs {needs} and waits for a worker ({len(self.lanes)} leased, {len(self.queue)} tasks queued)"

    def tick(self, now: float) -> None:
        """Look after the lanes: idle ones go back, stuck ones are relieved."""
        self.take_back_stuck(int(now * 1e9))
        for lane in list(self.lanes):
            if not lane.tasks:
                if self.queue and not lane.revoked:
                    self.refill(lane)
                elif lane.revoked or now - lane.idle_since > IDLE_LEASE_S:
                    self.give_back(lane)
        if self.ask_again_at and now >= self.ask_again_at:
            self.ask_again_at = 0.0
            if self.queue:
                self.want_leases()
        if self.wanted and not self.queue:
            if not any(len(lane.tasks) > 1 for lane in self.lanes):
                self._request_nothing()

    def _request_nothing(self) -> None:
        self.wanted = 0
        self.core.control.send(LeaseRequest(request_id=self.request_id, resources=self.shape, count=0))


class AtOncePool(LeasePool):
    """Of tasks that fail where they would wait: none stands behind another."""

    def submit(self, record: TaskRecord) -> None:
        """Run a task in a lane without work, or ask for a worker."""
        for lane in self.lanes:
            if not lane.tasks and not lane.revoked and self.send(lane, record):
                return
        self.queue.append(record)
        self.want_leases()

    def refill(self, lane: Lane) -> None:
        """Send a queued task into a lane that has none."""
        if self.queue and not lane.tasks and not lane.revoked and self.send(lane, self.queue[0]):
            self.queue.popleft()
        if not lane.tasks:
            self.lane_idle(lane)
