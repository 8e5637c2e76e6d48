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

from collections.abc import Callable
from typing import Any

from nbray.placement import Target
from nbray.resources import CPU, UNITS, ResourceSet, describe
from nbray.scheduling import events as ev
from nbray.scheduling.bundle_placement import total_of
from nbray.scheduling.dispatch import Dispatch
from nbray.scheduling.infeasible import explain_target
from nbray.scheduling.lease_queue import NODE, Place, Waiting, bundles_key, shape_in
from nbray.scheduling.scheduler_tables import Lease


class LocalScheduler(Dispatch):
    """The scheduler of one node: events in, effects out; see SchedulerTables for its parameters."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lent_unseen = False  # CPUs were lent since the last decision
        self._handlers: dict[type, Callable[[Any], list[ev.Effect]]] = {
            ev.LeaseWanted: self._lease_wanted,
            ev.ActorWanted: self._actor_wanted,
            ev.ActorUnwanted: self._actor_unwanted,
            ev.BundlesWanted: self._bundles_wanted,
            ev.BundlesCommitted: self._bundles_committed,
            ev.BundlesUnwanted: self._bundles_unwanted,
            ev.LeaseReturned: self._lease_returned,
            ev.PrestartWanted: self._prestart,
            ev.CpusSet: self._cpus_set,
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
        self._lent_unseen = False
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
            wait_for_resources=event.wait_for_resources, place=place, at_once=event.target.at_once,
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
            name=event.name, wait_for_resources=event.wait_for_resources, place=place, at_once=event.target.at_once,
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
            return [ev.StopWorker(worker.peer, "")]  # its owner takes it for dead: how it died is told when it is over
        self._end_lease(lease)
        self.pool.move(worker, "return", event.now)
        return []

    # -------------------------------------------------------------------- workers

    def _prestart(self, event: ev.PrestartWanted) -> list[ev.Effect]:
        self._keep_ready = event.count
        return []

    def _cpus_set(self, event: ev.CpusSet) -> list[ev.Effect]:
        """Offer another number of CPUs. What runs goes on; what can never run any more is refused."""
        self.ledger.set_cpus(event.units)
        self.num_cpus = self.pool.num_cpus = event.units // UNITS
        self._keep_ready = min(self._keep_ready, max(self.num_cpus, 1)) if self._keep_ready else 0
        self.cluster.update(self.node_id, self.ledger.totals, self.ledger.free)
        effects: list[ev.Effect] = []
        for entry in self.queue:
            possible = self.ledger.feasible(entry.need) if entry.place == NODE else True
            if entry.bundles is None and not entry.wait_for_resources and not possible:
                why = self._why_never(entry.name, entry.place, entry.need, ev.ANYWHERE)
                effects.append(self._refuse(entry, infeasible=why))
        # Leases are reused as long as there is work: some have to be asked back, the youngest first.
        missing = -self.ledger.free.get(CPU, 0)
        for lease in sorted(self.leases.values(), key=lambda lease: -lease.granted_at):
            if missing <= 0:
                break
            held = lease.allocation.amounts.get(CPU, 0) - lease.allocation.lent_cpu
            if lease.actor_id or lease.returned or lease.place != NODE or not held:
                continue
            missing -= held
            if not lease.revoked:
                lease.revoked = True
                effects.append(ev.RevokeLease(lease.owner, lease.lease_id))
        return effects

    def _worker_ready(self, event: ev.WorkerReady) -> list[ev.Effect]:
        self.pool.ready(event.token, event.worker, event.pid, event.now)
        return []

    def _worker_start_failed(self, event: ev.WorkerStartFailed) -> list[ev.Effect]:
        interpreter = self.pool.start_failed(event.token, event.zygote_death)
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
            self._lent_unseen = True
        return []

    def _worker_unblocked(self, event: ev.WorkerUnblocked) -> list[ev.Effect]:
        effects: list[ev.Effect] = []
        worker = self.pool.workers.get(event.worker)
        if worker is not None and worker.lease_id and worker.blocked:
            if self._lent_unseen:
                # A task that polls (wait with a short timeout) may take back in the same round what it
                # lent; whom it waits for might need just that, so it is offered first.
                self._lent_unseen = False
                self._dispatch(event.now, effects)
            worker.blocked = False
            lease = self.leases[worker.lease_id]
            lease.blocked = False
            lease.allocation.ledger.reclaim_cpu(lease.allocation)
        return effects

    def stop_worker(self, peer: int, now: float) -> None:
        """Note that a worker was asked to end for another reason (its actor is over)."""
        worker = self.pool.workers.get(peer)
        if worker is not None:
            self.pool.move(worker, "stop", now)
