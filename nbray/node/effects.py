"""Carry out what the local scheduler and the actor table decide."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from nbray.control import actor_table as at
from nbray.node.groups import Groups
from nbray.node.interpreters import Interpreters
from nbray.node.node_state import NodeState
from nbray.scheduling import events as ev
from nbray.wire.messages import (
    BecomeActorNotice,
    LeaseReply,
    LeaseRevokeNotice,
    StopNotice,
)


class Effects:
    """Executes effects; an effect may cause events, whose effects come next."""

    def __init__(self, node: NodeState) -> None:
        self.node = node
        self._undecided = False
        self.groups = Groups(node, self.schedule, self.run)
        self.interpreters = Interpreters(node, self.schedule, time.monotonic)
        self._actions: dict[type, Callable[[Any], None]] = {
            ev.GrantLease: self._grant_lease,
            ev.PlaceActor: self._place_actor,
            ev.RefuseLease: self._refuse_lease,
            ev.RefuseActor: self._refuse_actor,
            ev.SpillBack: self._spill_back,
            ev.RevokeLease: self._revoke_lease,
            ev.StartWorker: self._start_worker,
            ev.MakeInterpreter: self._make_interpreter,
            ev.StopWorker: self._stop_worker,
            ev.KillWorker: self._kill_worker,
            at.Place: self._place,
            at.Unplace: self._unplace,
            at.Become: self._become,
            at.Notify: self._notify,
            at.EndWorker: self._end_worker,
            at.ReleaseSpec: self._release_spec,
            at.Ended: self._ended,
            **self.groups.actions,
        }

    def schedule(self, event: ev.Event) -> None:
        """Feed the scheduler; it decides at the end of this round of the loop, over all events."""
        self._undecided = True
        self.run(self.node.scheduler.feed(event))

    def decide(self) -> None:
        """Have the scheduler decide if anything has happened, and carry it out."""
        while self._undecided:
            self._undecided = False
            self.run(self.node.scheduler.decide(time.monotonic()))

    def run(self, effects: Iterable[Any]) -> None:
        """Do these, in order."""
        for effect in effects:
            self._actions[type(effect)](effect)

    # ------------------------------------------------------------------ scheduler

    def _grant_lease(self, effect: ev.GrantLease) -> None:
        client = self.node.clients.by_peer.get(effect.worker)
        lease = self.node.scheduler.leases.get(effect.lease_id)
        if client is not None and lease is not None:
            job = self.node.scheduler.pool.workers[effect.worker].binding
            client.job_id = job[0] if job else 0
        reply = LeaseReply(
            effect.request_id, effect.lease_id, effect.worker, effect.pid, self.node.config.node_id,
            list(effect.gpu_ids),
        )  # fmt: skip
        if not self.node.send(effect.owner, reply):
            # The owner is about to be declared dead; until then nobody uses this worker.
            self.schedule(ev.LeaseReturned(time.monotonic(), effect.owner, effect.lease_id))

    def _refuse_lease(self, effect: ev.RefuseLease) -> None:
        reply = LeaseReply(
            effect.request_id, infeasible=effect.infeasible, error=effect.error, group_removed=effect.group_removed,
            env_error=effect.env_error,
        )  # fmt: skip
        self.node.send(effect.owner, reply)

    def _spill_back(self, effect: ev.SpillBack) -> None:
        self.node.send(effect.owner, LeaseReply(effect.request_id, node_id=effect.node_id))

    def _revoke_lease(self, effect: ev.RevokeLease) -> None:
        self.node.send(effect.owner, LeaseRevokeNotice(effect.lease_id))

    def _start_worker(self, effect: ev.StartWorker) -> None:
        if not effect.interpreter:
            self.node.processes.start(effect.token, time.monotonic())
            return
        zygote = self.interpreters.zygote(effect.interpreter)
        if zygote is None:  # it died just now
            self.schedule(ev.WorkerStartFailed(time.monotonic(), effect.token, "the process that forks them died"))
            return
        self.node.processes.start(effect.token, time.monotonic(), zygote)

    def _make_interpreter(self, effect: ev.MakeInterpreter) -> None:
        self.interpreters.make(effect.interpreter)

    def _stop_worker(self, effect: ev.StopWorker) -> None:
        self._stop(effect.worker, effect.reason, graceful=False)

    def _kill_worker(self, effect: ev.KillWorker) -> None:
        worker = self.node.processes.by_peer.get(effect.worker)
        if worker is not None:
            self.node.processes.kill(worker, effect.reason)

    def _stop(self, peer: int, reason: str, *, graceful: bool) -> None:
        worker = self.node.processes.by_peer.get(peer)
        if worker is None:
            return
        self.node.send(peer, StopNotice(reason, graceful))
        if not graceful:
            self.node.processes.note_reason(worker, reason)
            self.node.processes.kill_later(worker, self.node.limits.stop_grace_s, reason)

    # --------------------------------------------------------------------- actors

    def _place_actor(self, effect: ev.PlaceActor) -> None:
        placed = self.node.actors.placed(
            effect.actor_id, effect.worker, effect.pid, effect.lease_id, effect.gpu_ids, time.time()
        )  # fmt: skip
        if self.node.actors.by_worker.get(effect.worker) == effect.actor_id:
            self.node.processes_seen.becomes(effect.worker, effect.actor_id)
        self.run(placed)

    def _refuse_actor(self, effect: ev.RefuseActor) -> None:
        refused = self.node.actors.refused(
            effect.actor_id, time.monotonic(), time.time(), infeasible=effect.infeasible, error=effect.error,
            group_removed=effect.group_removed, env_error=effect.env_error,
        )  # fmt: skip
        self.run(refused)

    def _place(self, effect: at.Place) -> None:
        request = self.node.actors.actors[effect.actor_id].request
        wanted = ev.ActorWanted(
            time.monotonic(), effect.actor_id, request.resources, request.running_resources, request.job_id,
            request.env_key, request.class_name, request.wait_for_resources, request.target,
        )  # fmt: skip
        if request.target.group and self.node.groups.is_gone(request.target.group):
            self._refuse_actor(ev.RefuseActor(effect.actor_id, group_removed=True))
            return
        self.schedule(wanted)

    def _ended(self, effect: at.Ended) -> None:
        self.run(self.node.groups.actor_died(effect.actor_id))

    def _unplace(self, effect: at.Unplace) -> None:
        self.schedule(ev.ActorUnwanted(time.monotonic(), effect.actor_id))

    def _become(self, effect: at.Become) -> None:
        actor = self.node.actors.actors[effect.actor_id]
        notice = BecomeActorNotice(
            effect.actor_id, actor.request.spec_id, actor.incarnation, list(actor.gpu_ids), actor.lease_id,
            actor.request.job_id,
        )  # fmt: skip
        client = self.node.clients.by_peer.get(actor.worker)
        if client is not None:
            client.job_id = actor.request.job_id
        self.node.events.name_actor(actor.worker, effect.actor_id, actor.title)
        self.node.send(actor.worker, notice)

    def _notify(self, effect: at.Notify) -> None:
        for peer in effect.peers:
            self.node.send(peer, effect.notice)

    def _end_worker(self, effect: at.EndWorker) -> None:
        worker = self.node.processes.by_peer.get(effect.worker)
        if worker is None:
            return
        if effect.graceful:
            self._stop(effect.worker, effect.reason, graceful=True)
            return
        self.node.scheduler.stop_worker(effect.worker, time.monotonic())
        if effect.kill:
            self.node.processes.kill(worker, effect.reason)
        else:
            self._stop(effect.worker, effect.reason, graceful=False)

    def _release_spec(self, effect: at.ReleaseSpec) -> None:
        handle = self.node.spec_holds.pop(effect.actor_id, 0)
        if handle:
            self.node.segment.release(handle)
