"""Decide which waiting request gets which worker of this node, and when workers start.

Pure: the node daemon feeds it events (``feed``), then asks it to decide (``decide``), and
carries out the effects that both return. Many events may be decided together.
A request waits until its resources are free and a worker is idle; it becomes a lease:

::

    WAITING -> GRANTED -> RETURNED            (owner gives it back)
       |          |-> REVOKED -> RETURNED     (asked back, because others wait)
       |          +-> LOST                    (worker or owner died)
       +-> REFUSED | CANCELLED

Resources of a lease are free again when its worker is idle again or dead, never before.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nbray.config import Limits
from nbray.placement import Target
from nbray.resources import CPU, UNITS, ResourceSet, covers, describe, shape_of, subtract
from nbray.scheduling import events as ev
from nbray.scheduling import revocation
from nbray.scheduling.bundle_placement import total_of
from nbray.scheduling.cluster_view import ClusterView
from nbray.scheduling.infeasible import explain_target
from nbray.scheduling.lease_queue import NODE, LeaseQueue, Place, Shape, Waiting, bundles_key, rank, shape_in
from nbray.scheduling.node_selection import GlobalScheduler
from nbray.scheduling.placement_groups import ANY, NodeBundles
from nbray.scheduling.resource_ledger import Allocation, ResourceLedger
from nbray.scheduling.worker_pool_state import ACTOR, IDLE, LEASED, STOPPING, WorkerPoolState, WorkerRecord


class Lease(revocation.Revocable):
    """A worker and resources lent to an owner, or held by an actor (owner 0)."""

    __slots__ = ("actor_id", "allocation", "group_removed", "name", "request_id", "returned", "worker")

    def __init__(
        self, lease_id: int, entry: Waiting, shape: Shape, allocation: Allocation, worker: int, now: float
    ) -> None:
        super().__init__(lease_id, entry.owner, shape, allocation.amounts, now, entry.place)
        self.actor_id = entry.actor_id
        self.request_id = entry.request_id
        self.allocation = allocation
        self.worker = worker
        self.name = entry.name
        self.returned = False  # ended, but its worker is not gone yet
        self.group_removed = False  # that is why


class LocalScheduler:
    """The scheduler of one node.

    Parameters
    ----------
    node_id : str
    totals : mapping
        What the node has, in units.
    gpu_ids : sequence of int
    limits : Limits
    cluster : ClusterView, optional
        What is known of other nodes.
    labels : mapping, optional
        Of this node.
    """

    def __init__(
        self,
        node_id: str,
        totals: ResourceSet,
        gpu_ids: Sequence[int] = (),
        limits: Limits | None = None,
        cluster: ClusterView | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> None:
        self.node_id = node_id
        self.limits = limits or Limits()
        self.ledger = ResourceLedger(totals, gpu_ids)
        self.groups = NodeBundles(self.ledger)
        self.num_cpus = self.ledger.totals.get(CPU, 0) // UNITS
        self.pool = WorkerPoolState(self.num_cpus, self.limits)
        self.queue = LeaseQueue()
        self.leases: dict[int, Lease] = {}
        self.cluster = cluster or ClusterView()
        self.cluster.update(node_id, self.ledger.totals, self.ledger.free, labels=labels or {})
        self._global = GlobalScheduler(self.cluster)
        self._next_lease = 1
        self._interpreters: dict[str, bool] = {}  # those that are ready, or (False) in the making
        self._keep_ready = 0  # task workers that are there before anybody asks
        self._owner_leases: dict[int, int] = {}
        self._shape_leases: dict[tuple[int, Shape], int] = {}
        self._look_again_at: float | None = None  # when a revocation becomes possible
        self._trim_at: float | None = None  # when an idle worker may be one too many
        self._handlers: dict[type, Callable[[Any], list[ev.Effect]]] = {
            ev.LeaseWanted: self._lease_wanted,
            ev.ActorWanted: self._actor_wanted,
            ev.ActorUnwanted: self._actor_unwanted,
            ev.BundlesWanted: self._bundles_wanted,
            ev.BundlesCommitted: self._bundles_committed,
            ev.BundlesUnwanted: self._bundles_unwanted,
            ev.LeaseReturned: self._lease_returned,
            ev.PrestartWanted: self._prestart,
            ev.WorkerReady: self._worker_ready,
            ev.WorkerStartFailed: self._worker_start_failed,
            ev.InterpreterReady: self._interpreter_ready,
            ev.InterpreterGone: self._interpreter_gone,
            ev.WorkerDied: self._worker_died,
            ev.OwnerDied: self._owner_died,
            ev.JobEnded: self._job_ended,
            ev.WorkerBlocked: self._worker_blocked,
            ev.WorkerUnblocked: self._worker_unblocked,
            ev.Tick: lambda event: [],
        }

    def feed(self, event: ev.Event) -> list[ev.Effect]:
        """Take one event and return what it causes by itself, in order."""
        return self._handlers[type(event)](event)

    def decide(self, now: float) -> list[ev.Effect]:
        """Return who gets what, and which workers start and end; due after any event."""
        effects: list[ev.Effect] = []
        self._dispatch(now, effects)
        self._trim_idle(now, effects)
        self._replenish(now, effects)
        return effects

    def handle(self, event: ev.Event) -> list[ev.Effect]:
        """Feed one event and decide."""
        effects = self.feed(event)
        effects.extend(self.decide(event.now))
        return effects

    def next_wakeup(self) -> float | None:
        """Return when a Tick is due, or None when only events matter."""
        times = [time for time in (self._look_again_at, self._trim_at) if time is not None]
        return min(times) if times else None

    # ------------------------------------------------------------------- requests

    def _lease_wanted(self, event: ev.LeaseWanted) -> list[ev.Effect]:
        entry = self.queue.get((event.owner, event.request_id))
        if event.count <= 0:
            self.queue.remove((event.owner, event.request_id))
            return []
        place = (event.target.group, event.target.bundle)
        if entry is not None and entry.shape == shape_in(event.resources, place):
            entry.count = event.count
            entry.depth = event.depth
            return []
        if not self._can_ever(place, event.resources, event.target):
            choice = self._global.place(event.resources, event.strategy, self.node_id, event.target)
            if choice is not None and choice != self.node_id and place == NODE:
                return [ev.SpillBack(event.owner, event.request_id, choice)]
            if not event.wait_for_resources:
                why = self._why_never(event.name, place, event.resources, event.target)
                return [ev.RefuseLease(event.owner, event.request_id, infeasible=why)]
        if len(self.queue) >= self.limits.max_waiting:
            why = f"{len(self.queue)} lease requests wait on this node already; try again later"
            return [ev.RefuseLease(event.owner, event.request_id, error=why)]
        waiting = Waiting(
            event.resources, event.resources, (event.job_id, event.env_key), event.now, owner=event.owner,
            request_id=event.request_id, count=event.count, depth=event.depth, name=event.name,
            wait_for_resources=event.wait_for_resources, place=place,
        )  # fmt: skip
        self.queue.add(waiting)
        return []

    def _actor_wanted(self, event: ev.ActorWanted) -> list[ev.Effect]:
        place = (event.target.group, event.target.bundle)
        if not event.wait_for_resources and not self._can_ever(place, event.resources, event.target):
            why = self._why_never(event.name, place, event.resources, event.target)
            return [ev.RefuseActor(event.actor_id, infeasible=why)]
        waiting = Waiting(
            event.resources, event.hold, (event.job_id, event.env_key), event.now, actor_id=event.actor_id,
            name=event.name, wait_for_resources=event.wait_for_resources, place=place,
        )  # fmt: skip
        self.queue.add(waiting)
        return []

    def _actor_unwanted(self, event: ev.ActorUnwanted) -> list[ev.Effect]:
        self.queue.remove(event.actor_id)
        return []

    def _can_ever(self, place: Place, need: ResourceSet, target: Target) -> bool:
        """Return True when this node is where the request may go, and could give it. An unopened bundle may."""
        if place != NODE:
            return not self.groups.is_open(place[0]) or self.groups.feasible(*place, need)
        if target == ev.ANYWHERE:
            return self.ledger.feasible(need)
        return self._global.place(need, local=self.node_id, target=target) == self.node_id

    def _why_never(self, name: str, place: Place, need: ResourceSet, target: Target) -> str:
        if place == NODE:
            return explain_target(name, target, need, list(self.cluster))
        bundles = "; ".join(describe(ledger.totals) for ledger in self.groups.ledgers(*place))
        which = f"bundle {place[1]}" if place[1] >= 0 else "the bundles"
        return (
            f"{name or 'The task'} asks for {describe(need)} in placement group {place[0]}, but {which} of it has "
            f"{bundles or 'no such bundle'}."
        )

    # ----------------------------------------------------------- placement groups

    def _bundles_wanted(self, event: ev.BundlesWanted) -> list[ev.Effect]:
        if self.groups.prepare(event.group, event.bundles):
            self.queue.remove(bundles_key(event.group))
            return [ev.BundlesAnswer(event.group, True)]
        if not event.wait:
            return [ev.BundlesAnswer(event.group, False)]
        need = total_of(list(event.bundles.values()))
        self.queue.add(
            Waiting(
                need, need, (0, ""), event.now, name="placement group", place=(event.group, -1), bundles=event.bundles
            )
        )
        return []

    def _bundles_committed(self, event: ev.BundlesCommitted) -> list[ev.Effect]:
        self.groups.commit(event.group)
        effects: list[ev.Effect] = []
        for entry in self.queue:
            if entry.place[0] == event.group and not self.groups.feasible(*entry.place, entry.need):
                why = self._why_never(entry.name, entry.place, entry.need, ev.ANYWHERE)
                effects.append(self._refuse(entry, infeasible=why))
        return effects

    def _bundles_unwanted(self, event: ev.BundlesUnwanted) -> list[ev.Effect]:
        self.queue.remove(bundles_key(event.group))
        effects: list[ev.Effect] = []
        if event.removed:
            for entry in self.queue:
                if entry.place[0] == event.group:
                    effects.append(self._refuse(entry, group_removed=True))
            for lease in list(self.leases.values()):
                if lease.place[0] == event.group and not lease.actor_id and not lease.returned:
                    lease.group_removed = True
                    effects.append(self._cut_off(lease, "its placement group was removed", event.now))
        self.groups.give_back(event.group)
        return effects

    def _refuse(
        self, entry: Waiting, infeasible: str = "", error: str = "", group_removed: bool = False, env_error: str = ""
    ) -> ev.Effect:
        self.queue.remove(entry.key)
        if entry.actor_id:
            return ev.RefuseActor(entry.actor_id, infeasible, error, group_removed, env_error)
        return ev.RefuseLease(entry.owner, entry.request_id, infeasible, error, group_removed, env_error)

    def _lease_returned(self, event: ev.LeaseReturned) -> list[ev.Effect]:
        lease = self.leases.get(event.lease_id)
        if lease is None or lease.owner != event.owner or lease.returned or lease.actor_id:
            return []  # said twice, or the worker died meanwhile
        entry = self.queue.get((lease.owner, lease.request_id))
        if entry is not None:
            self.queue.requeue(entry, event.now)  # who was served until now is the last to be served again
        worker = self.pool.workers[lease.worker]
        if event.discard:
            lease.returned = True
            self._uncount(lease)
            self.pool.move(worker, "stop", event.now)
            return [ev.StopWorker(worker.peer, "its owner does not want it to be used again")]
        self._end_lease(lease)
        self.pool.move(worker, "return", event.now)
        return []

    # -------------------------------------------------------------------- workers

    def _prestart(self, event: ev.PrestartWanted) -> list[ev.Effect]:
        self._keep_ready = event.count
        return []

    def _worker_ready(self, event: ev.WorkerReady) -> list[ev.Effect]:
        self.pool.ready(event.token, event.worker, event.pid, event.now)
        return []

    def _worker_start_failed(self, event: ev.WorkerStartFailed) -> list[ev.Effect]:
        interpreter = self.pool.start_failed(event.token)
        if interpreter is None:
            return []
        failures = self.pool.failures.pop(interpreter)
        why = f"workers do not start on this node, {failures} in a row failed: {event.reason}"
        effects: list[ev.Effect] = []
        for entry in self.queue:
            if entry.bundles is None and entry.interpreter == interpreter:
                effects.append(self._refuse(entry, env_error=why) if interpreter else self._refuse(entry, error=why))
        return effects

    def _interpreter_ready(self, event: ev.InterpreterReady) -> list[ev.Effect]:
        self._interpreters[event.interpreter] = True
        return []

    def _interpreter_gone(self, event: ev.InterpreterGone) -> list[ev.Effect]:
        self._interpreters.pop(event.interpreter, None)
        if not event.reason:
            return []
        return [
            self._refuse(entry, env_error=event.reason)
            for entry in self.queue
            if entry.interpreter == event.interpreter and entry.bundles is None
        ]

    def _worker_died(self, event: ev.WorkerDied) -> list[ev.Effect]:
        worker = self.pool.died(event.worker)
        if worker is not None and worker.lease_id:
            self._end_lease(self.leases[worker.lease_id])
        return self._owner_died(ev.OwnerDied(event.now, event.worker))

    def _owner_died(self, event: ev.OwnerDied) -> list[ev.Effect]:
        self.queue.remove_owner(event.owner)
        effects: list[ev.Effect] = []
        for lease in list(self.leases.values()):
            if lease.owner == event.owner and not lease.actor_id and not lease.returned:
                effects.append(self._cut_off(lease, "the process that submitted its task died", event.now))
        return effects

    def _job_ended(self, event: ev.JobEnded) -> list[ev.Effect]:
        effects: list[ev.Effect] = []
        for worker in self.pool.idle():
            if worker.binding is not None and worker.binding[0] == event.job_id:
                self.pool.move(worker, "stop", event.now)
                effects.append(ev.StopWorker(worker.peer, "the driver of its job is gone"))
        return effects

    def _cut_off(self, lease: Lease, reason: str, now: float) -> ev.Effect:
        """End a lease whose task must not go on."""
        lease.returned = True
        self._uncount(lease)
        self.pool.move(self.pool.workers[lease.worker], "stop", now)
        return ev.KillWorker(lease.worker, reason)

    def _worker_blocked(self, event: ev.WorkerBlocked) -> list[ev.Effect]:
        worker = self.pool.workers.get(event.worker)
        if worker is not None and worker.lease_id and not worker.blocked:
            worker.blocked = True
            lease = self.leases[worker.lease_id]
            lease.blocked = True
            lease.allocation.ledger.lend_cpu(lease.allocation)
        return []

    def _worker_unblocked(self, event: ev.WorkerUnblocked) -> list[ev.Effect]:
        worker = self.pool.workers.get(event.worker)
        if worker is not None and worker.lease_id and worker.blocked:
            worker.blocked = False
            lease = self.leases[worker.lease_id]
            lease.blocked = False
            lease.allocation.ledger.reclaim_cpu(lease.allocation)
        return []

    def stop_worker(self, peer: int, now: float) -> None:
        """Note that a worker was asked to end for another reason (its actor is over)."""
        worker = self.pool.workers.get(peer)
        if worker is not None:
            self.pool.move(worker, "stop", now)

    # ------------------------------------------------------------------- dispatch

    def _dispatch(self, now: float, effects: list[ev.Effect]) -> None:
        """Grant what can be granted, start workers for what could, revoke for the rest."""
        self._look_again_at = None
        if not len(self.queue):
            return
        roomy = len(self.pool.workers) < 4 * self.num_cpus + 16
        heap = [(self._rank(entry, now, roomy), entry.arrival, entry) for entry in self.queue]
        heapq.heapify(heap)
        bundles_left = sum(entry.bundles is not None for entry in self.queue)
        unfit: set[tuple[Shape, Shape]] = set()  # shapes that do not fit any more in this pass
        planned: list[Allocation] = []  # for workers that have yet to start
        planned_with: dict[str, int] = {}  # by interpreter
        planned_for: dict[Any, int] = {}
        kept: dict[Place, Waiting] = {}  # by what they take from: one that starves, and keeps it for itself
        rest: list[Waiting] = []  # those that lack resources, in order
        may_plan = len(self.pool.starting) + self.pool.may_start() + 1
        while heap and (len(planned) < may_plan or self.pool.has_idle() or bundles_left):
            key, _, entry = heapq.heappop(heap)
            fresh = self._rank(entry, now, roomy, planned_for.get(entry.key, 0))
            if fresh > key:  # its owner was given something meanwhile
                heapq.heappush(heap, (fresh, entry.arrival, entry))
                continue
            shape = (entry.shape, shape_of(entry.hold))
            if entry.interpreter and not self._interpreters.get(entry.interpreter):
                if entry.interpreter not in self._interpreters:
                    self._interpreters[entry.interpreter] = False
                    effects.append(ev.MakeInterpreter(entry.interpreter))
                continue  # it holds up nobody meanwhile
            source = NODE if entry.bundles is not None else entry.place
            first = kept.get(source)
            reserve = first.need if first is not None and entry.depth <= first.depth else None
            if entry.bundles is not None:
                bundles_left -= 1
            if shape in unfit or not self._fits(entry, reserve):
                if reserve is None:
                    unfit.add(shape)
                rest.append(entry)
                if first is None and self._starves(entry, now) and self._can_give(entry):
                    kept[source] = entry
                continue
            if entry.bundles is not None:
                self.queue.remove(entry.key)
                effects.append(ev.BundlesAnswer(entry.place[0], True))
                continue
            if len(planned) >= may_plan and not self.pool.has_idle():
                continue  # only bundles are looked for any more
            allocation = self._take(entry)
            assert allocation is not None, "what is held is part of what was needed"
            worker = self.pool.pick(entry.binding, entry.owner, entry.interpreter)
            if worker is None:
                planned.append(allocation)
                planned_with[entry.interpreter] = planned_with.get(entry.interpreter, 0) + 1
                planned_for[entry.key] = planned_for.get(entry.key, 0) + 1
                if planned_for[entry.key] < entry.count:
                    fresh = self._rank(entry, now, roomy, planned_for[entry.key])
                    heapq.heappush(heap, (fresh, entry.arrival, entry))
                continue
            effects.append(self._grant(entry, allocation, worker, now))
            entry.count -= 1
            if entry.count > planned_for.get(entry.key, 0):
                self.queue.requeue(entry, now)
                heapq.heappush(heap, (self._rank(entry, now, roomy), entry.arrival, entry))
            elif entry.count <= 0:
                self.queue.remove(entry.key)
        for allocation in planned:
            allocation.ledger.give(allocation)
        for interpreter, wanted in planned_with.items():
            self._start_for(wanted, interpreter, now, effects)
        self._revoke_for(rest, now, effects)

    def _fits(self, entry: Waiting, reserve: ResourceSet | None) -> bool:
        """Return True when the request can be served now; bundles are reserved with that."""
        if entry.bundles is not None:
            return self.ledger.fits(entry.need, reserve) and self.groups.prepare(entry.place[0], entry.bundles)
        if entry.place == NODE:
            return self.ledger.fits(entry.need, reserve)
        return self.groups.fits(*entry.place, entry.need, reserve)

    def _can_give(self, entry: Waiting) -> bool:
        if entry.place == NODE or entry.bundles is not None:
            return self.ledger.feasible(entry.need) and self._attainable(entry.need)
        return self.groups.feasible(*entry.place, entry.need)

    def _take(self, entry: Waiting) -> Allocation | None:
        if entry.place == NODE:
            return self.ledger.take(entry.hold)
        return self.groups.take(*entry.place, entry.need, entry.hold)

    def _attainable(self, need: ResourceSet) -> bool:
        """False while actors leave too little for it: to keep resources for it would help nobody, perhaps for ever."""
        left = dict(self.ledger.totals)
        for lease in self.leases.values():
            if lease.actor_id and lease.place == NODE:
                subtract(left, lease.allocation.amounts)
        return covers(left, need)

    def _starves(self, entry: Waiting, now: float) -> bool:
        """True when the request has waited long and has nothing at all."""
        served = not entry.singular and (entry.owner, entry.shape) in self._shape_leases
        return not served and now - entry.since >= self.limits.starving_s

    def _rank(self, entry: Waiting, now: float, roomy: bool, planned: int = 0) -> tuple[int, int, int, int, int]:
        starving = roomy and self._starves(entry, now)
        if entry.singular:
            return rank(entry, starving, 0, 0)
        owner = self._owner_leases.get(entry.owner, 0) + planned
        return rank(entry, starving, owner, self._shape_leases.get((entry.owner, entry.shape), 0) + planned)

    def _grant(self, entry: Waiting, allocation: Allocation, worker: WorkerRecord, now: float) -> ev.Effect:
        lease = Lease(self._next_lease, entry, entry.shape, allocation, worker.peer, now)
        self._next_lease += 1
        self.leases[lease.lease_id] = lease
        worker.binding = entry.binding
        worker.lease_id = lease.lease_id
        gpu_ids = allocation.ledger.device_numbers(allocation)
        if entry.actor_id:
            self.pool.move(worker, "place", now)
            return ev.PlaceActor(entry.actor_id, lease.lease_id, worker.peer, worker.pid, gpu_ids)
        self.pool.move(worker, "grant", now)
        self._owner_leases[lease.owner] = self._owner_leases.get(lease.owner, 0) + 1
        self._shape_leases[lease.owner, lease.shape] = self._shape_leases.get((lease.owner, lease.shape), 0) + 1
        return ev.GrantLease(entry.owner, entry.request_id, lease.lease_id, worker.peer, worker.pid, gpu_ids)

    def _start_for(self, wanted: int, interpreter: str, now: float, effects: list[ev.Effect]) -> None:
        missing = wanted - sum(other == interpreter for other in self.pool.starting.values())
        if missing <= 0:
            return
        room = self.pool.may_start(interpreter)
        if room <= 0 and not self.pool.starting:
            # Full of idle workers of other jobs or environments: one of them makes room.
            for worker in self.pool.idle():
                if worker.peer not in self._owner_leases:
                    self.pool.move(worker, "stop", now)
                    effects.append(ev.StopWorker(worker.peer, "another job needs its place"))
                    break
        for _ in range(min(missing, room)):
            effects.append(ev.StartWorker(self.pool.start(now, interpreter), interpreter))

    def _revoke_for(self, rest: list[Waiting], now: float, effects: list[ev.Effect]) -> None:
        leases = [lease for lease in self.leases.values() if not lease.actor_id and not lease.returned]
        if not rest or not leases:
            return
        slice_s = self.limits.lease_slice_s
        sources: dict[Place, list[Waiting]] = {}
        for entry in rest:
            sources.setdefault(NODE if entry.bundles is not None else entry.place, []).append(entry)
        for source, entries in sources.items():
            group, index = source
            mine = [lease for lease in leases if _takes_from(lease.place, source)]
            free = self.groups.free(group, index) if group else self.ledger.free
            for lease in revocation.choose(entries, mine, free, lambda x: now - x.granted_at >= slice_s):
                lease.revoked = True
                effects.append(ev.RevokeLease(lease.owner, lease.lease_id))
        young = [
            lease.granted_at + slice_s for lease in leases if not lease.revoked and now - lease.granted_at < slice_s
        ]
        starving = [entry.since + self.limits.starving_s for entry in rest]
        later = [time for time in young + starving if time > now]
        self._look_again_at = min(later) if later else None

    def _trim_idle(self, now: float, effects: list[ev.Effect]) -> None:
        self._trim_at = None
        surplus = self.pool.counts()[IDLE] - max(self.num_cpus, 1)
        for worker in self.pool.idle() if surplus > 0 else ():
            if surplus <= 0:
                break
            due = worker.idle_since + self.limits.idle_worker_s
            if due > now:
                self._trim_at = due
                break
            self._trim_at = now + self.limits.idle_worker_s  # for those that are passed over
            if self._owner_leases.get(worker.peer) or any(entry.owner == worker.peer for entry in self.queue):
                continue  # it waits for tasks of its own
            surplus -= 1
            self.pool.move(worker, "stop", now)
            effects.append(ev.StopWorker(worker.peer, "idle"))

    def _replenish(self, now: float, effects: list[ev.Effect]) -> None:
        """Start workers ahead of demand, in place of those that became actors or died."""
        if self.pool.failures.get(""):
            return  # they do not start: only those that are asked for are tried
        starting = sum(not interpreter for interpreter in self.pool.starting.values())
        missing = self._keep_ready - self.pool.task_workers() - starting
        effects.extend(ev.StartWorker(self.pool.start(now)) for _ in range(min(missing, self.pool.may_start())))

    # -------------------------------------------------------------------- book-keeping

    def _uncount(self, lease: Lease) -> None:
        if lease.actor_id:
            return
        for table, key in ((self._owner_leases, lease.owner), (self._shape_leases, (lease.owner, lease.shape))):
            table[key] -= 1  # type: ignore[index]
            if not table[key]:  # type: ignore[index]
                del table[key]  # type: ignore[arg-type]

    def _end_lease(self, lease: Lease) -> None:
        if not lease.returned:
            self._uncount(lease)
        lease.allocation.ledger.give(lease.allocation)
        self.groups.settle()
        del self.leases[lease.lease_id]

    def lease_of(self, worker: int) -> Lease | None:
        """Return the lease that this worker serves."""
        record = self.pool.workers.get(worker)
        return self.leases.get(record.lease_id) if record is not None else None

    def validate(self) -> None:
        """Raise AssertionError unless all tables agree and nothing is over-committed."""
        self.ledger.validate()
        self.groups.validate()
        self.pool.validate()
        serving = {worker.lease_id: peer for peer, worker in self.pool.workers.items() if worker.lease_id}
        assert serving == {lease_id: lease.worker for lease_id, lease in self.leases.items()}, serving
        owners: dict[int, int] = {}
        for lease in self.leases.values():
            state = self.pool.workers[lease.worker].state
            assert state in ((ACTOR, STOPPING) if lease.actor_id else (LEASED, STOPPING)), state
            assert lease.blocked == self.pool.workers[lease.worker].blocked
            if not lease.actor_id and not lease.returned:
                owners[lease.owner] = owners.get(lease.owner, 0) + 1
        assert owners == self._owner_leases, (owners, self._owner_leases)
        for entry in self.queue:
            assert entry.count > 0


def _takes_from(place: Place, source: Place) -> bool:
    """Return True when a lease of ``place`` may hold what a request for ``source`` waits for."""
    return place[0] == source[0] and (place[1] == source[1] or ANY in (place[1], source[1]))
