"""Who gets what: grants, starts of workers, revocations, and the end of workers that nobody needs."""

from __future__ import annotations

import heapq
from typing import Any

from nbray.resources import ResourceSet, covers, describe, shape_of, subtract
from nbray.scheduling import events as ev
from nbray.scheduling import revocation
from nbray.scheduling.lease_queue import NODE, Place, Shape, Waiting, rank
from nbray.scheduling.placement_groups import ANY
from nbray.scheduling.resource_ledger import Allocation
from nbray.scheduling.scheduler_tables import Lease, SchedulerTables
from nbray.scheduling.worker_pool_state import IDLE, WorkerRecord

AT_ONCE_S = 0.1  # what does not wait for work to end waits so long for leases that nobody uses


class Dispatch(SchedulerTables):
    """Decide who gets what, from what the tables say."""

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
        for entry in rest:
            if entry.at_once:
                self._refuse_soon(entry, now, effects)

    def _refuse_soon(self, entry: Waiting, now: float, effects: list[ev.Effect]) -> None:
        """Refuse what does not wait, when leases without work have had the time to come back."""
        due = entry.since + AT_ONCE_S
        if now < due:
            self._look_again_at = due if self._look_again_at is None else min(due, self._look_again_at)
            return
        why = (
            f"{entry.name or 'The task'} asks for {describe(entry.need)} on node {self.node_id} at once "
            "(_fail_on_unavailable), and that is in use."
        )
        effects.append(self._refuse(entry, infeasible=why))

    def _refuse(
        self, entry: Waiting, infeasible: str = "", error: str = "", group_removed: bool = False, env_error: str = ""
    ) -> ev.Effect:
        self.queue.remove(entry.key)
        if entry.actor_id:
            return ev.RefuseActor(entry.actor_id, infeasible, error, group_removed, env_error)
        return ev.RefuseLease(entry.owner, entry.request_id, infeasible, error, group_removed, env_error)

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


def _takes_from(place: Place, source: Place) -> bool:
    """Return True when a lease of ``place`` may hold what a request for ``source`` waits for."""
    return place[0] == source[0] and (place[1] == source[1] or ANY in (place[1], source[1]))
