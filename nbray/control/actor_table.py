"""The actors of the cluster: their state, names, restarts and who wants to know.

Pure: each call is an event and returns effects, in order. Time comes in as an argument.
States are Ray's. An actor that is PENDING_CREATION or RESTARTING first waits for a worker
and then constructs on it (``worker`` is set); see ACTOR_TRANSITIONS.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import msgspec

from nbray.config import Limits
from nbray.wire.messages import ActorNotice, CreateActorRequest

PENDING_CREATION, ALIVE, RESTARTING, DEAD = "PENDING_CREATION", "ALIVE", "RESTARTING", "DEAD"

# (state, event) -> states that may follow. A pair that is missing does not happen: the
# table raises for it, except in DEAD, where everything comes too late and is ignored.
ACTOR_TRANSITIONS: dict[tuple[str, str], tuple[str, ...]] = {
    (PENDING_CREATION, "placed"): (PENDING_CREATION,),
    (PENDING_CREATION, "ready"): (ALIVE,),
    (PENDING_CREATION, "init_failed"): (DEAD,),
    (PENDING_CREATION, "refused"): (PENDING_CREATION, DEAD),
    (PENDING_CREATION, "worker_died"): (PENDING_CREATION, RESTARTING, DEAD),
    (PENDING_CREATION, "kill"): (DEAD, PENDING_CREATION),
    (PENDING_CREATION, "exit"): (PENDING_CREATION,),
    (PENDING_CREATION, "handles_gone"): (PENDING_CREATION,),
    (PENDING_CREATION, "job_ended"): (DEAD,),
    (PENDING_CREATION, "group_removed"): (DEAD,),
    (ALIVE, "worker_died"): (RESTARTING, DEAD),
    (ALIVE, "kill"): (DEAD, ALIVE),
    (ALIVE, "exit"): (ALIVE,),
    (ALIVE, "handles_gone"): (ALIVE,),
    (ALIVE, "job_ended"): (DEAD,),
    (ALIVE, "group_removed"): (DEAD,),
    (RESTARTING, "placed"): (RESTARTING,),
    (RESTARTING, "ready"): (ALIVE,),
    (RESTARTING, "init_failed"): (DEAD,),
    (RESTARTING, "refused"): (RESTARTING, DEAD),
    (RESTARTING, "worker_died"): (RESTARTING, DEAD),
    (RESTARTING, "kill"): (DEAD, RESTARTING),
    (RESTARTING, "exit"): (RESTARTING,),
    (RESTARTING, "handles_gone"): (RESTARTING,),
    (RESTARTING, "job_ended"): (DEAD,),
    (RESTARTING, "group_removed"): (DEAD,),
}
REFUSED_MAX = 5  # for want of a worker that starts; then the actor is dead

ACTOR_EVENTS = (
    "placed", "ready", "init_failed", "refused", "worker_died", "kill", "exit", "handles_gone", "job_ended",
    "group_removed",
)  # fmt: skip


class Effect(msgspec.Struct, frozen=True):
    """Base of what the table wants done."""


class Place(Effect, frozen=True):
    """Ask the scheduler for a worker for this actor."""

    actor_id: str


class Unplace(Effect, frozen=True):
    """The actor does not need a worker any more."""

    actor_id: str


class Become(Effect, frozen=True):
    """Tell the worker which actor it is."""

    actor_id: str


class Notify(Effect, frozen=True):
    """Send the notice to these processes."""

    peers: tuple[int, ...]
    notice: ActorNotice


class EndWorker(Effect, frozen=True):
    """End the actor's process: ``kill`` at once, ``graceful`` when its queue is empty."""

    worker: int
    reason: str
    kill: bool = False
    graceful: bool = False


class Ended(Effect, frozen=True):
    """The actor is dead for good: what lives as long as it does ends."""

    actor_id: str


class ReleaseSpec(Effect, frozen=True):
    """The actor's spec is not needed any more."""

    actor_id: str


class ActorRecord:
    """One actor."""

    __slots__ = (
        "cause", "created_at", "died_at", "ending", "env_error", "error", "false_starts", "gpu_ids", "graceful_end", "group_removed",
        "incarnation", "infeasible", "init_deaths", "lease_id", "number", "out_of_memory", "owner", "pid", "placed_at", "placing", "ready_at",
        "refusals", "repr_name", "request", "restart_at", "restarts", "state", "subscribers", "worker",
    )  # fmt: skip

    def __init__(self, request: CreateActorRequest, owner: int, wall: float, number: int = 1) -> None:
        self.request = request
        self.number = number  # among those of its class, in the order in which they were made
        self.created_at = wall  # seconds of the wall clock, as all times here
        self.placed_at = self.ready_at = 0.0  # of the latest worker
        self.repr_name = ""
        self.owner = owner  # peer that created it
        self.state = PENDING_CREATION
        self.worker = 0  # peer, from placement on
        self.pid = 0  # of a dead one that of its last worker
        self.lease_id = 0
        self.gpu_ids: tuple[int, ...] = ()
        self.incarnation = 0
        self.restarts = 0  # restarts so far
        self.init_deaths = 0  # workers in a row that died in __init__
        self.false_starts = 0  # workers in a row that were dead before they came to __init__
        self.refusals = 0  # in a row, when workers did not start
        self.restart_at: float | None = None  # a restart that is delayed
        self.placing = False  # the scheduler has been asked
        self.ending = ""  # why it ends with its present worker, in spite of restarts left
        self.graceful_end = False  # no handle is left: it ends when its queue is empty
        self.cause = ""
        self.error = b""
        self.infeasible = ""
        self.env_error = ""  # why its interpreter could not be made
        self.group_removed = False  # before it was made
        self.out_of_memory = False  # why it is dead
        self.died_at = 0.0
        self.subscribers: dict[int, None] = {owner: None}

    @property
    def restarts_left(self) -> int:
        """How often it may still be restarted; -1: for ever."""
        limit = self.request.max_restarts
        return -1 if limit < 0 else max(0, limit - self.restarts)

    @property
    def title(self) -> str:
        """What a person calls it: its name, or ``Trainer 2``; the same everywhere and as long as the cluster lives."""
        return self.request.name or f"{self.request.class_name} {self.number}"

    def notice(self) -> ActorNotice:
        """Return what subscribers are told."""
        request = self.request
        return ActorNotice(
            actor_id=request.actor_id, state=self.state, worker=self.worker if self.state == ALIVE else 0,
            pid=self.pid if self.state == ALIVE else 0, incarnation=self.incarnation, cause=self.cause,
            error=self.error, name=request.name, namespace=request.namespace, class_name=request.class_name,
            infeasible=self.infeasible, died_at=self.died_at, restarts_left=self.restarts_left,
            group_removed=self.group_removed, env_error=self.env_error, out_of_memory=self.out_of_memory,
        )  # fmt: skip


class ActorTable:
    """Actor id -> record, and names."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.actors: dict[str, ActorRecord] = {}
        self.names: dict[tuple[str, str], str] = {}  # (namespace, name) -> actor id, of actors not DEAD
        self.by_worker: dict[int, str] = {}
        self._dead: dict[str, None] = {}  # oldest first
        self._delayed: dict[str, None] = {}  # actors with restart_at
        self._made: Counter[str] = Counter()  # by class, also those that are forgotten

    # --------------------------------------------------------------------- events

    def create(self, request: CreateActorRequest, owner: int, wall: float) -> list[Effect]:
        """An owner wants an actor; a name that is taken is refused, or the actor joined."""
        known = self.actors.get(request.actor_id)
        if known is not None:  # the message came twice
            return [Notify((owner,), known.notice())]
        name = (request.namespace, request.name)
        if request.name and name in self.names:
            existing = self.actors[self.names[name]]
            notice = ActorNotice(
                actor_id=request.actor_id, state=existing.state if request.get_if_exists else DEAD,
                name=request.name, namespace=request.namespace, class_name=existing.request.class_name,
                existing_id=existing.request.actor_id, name_taken=not request.get_if_exists, died_at=wall,
                cause="" if request.get_if_exists else (
                    f"The name {request.name!r} is taken in namespace {request.namespace!r} by an actor of class "
                    f"{existing.request.class_name}. Choose another name, or pass get_if_exists=True."
                ),
            )  # fmt: skip
            return [Notify((owner,), notice)]
        self._made[request.class_name] += 1
        actor = ActorRecord(request, owner, wall, self._made[request.class_name])
        self.actors[request.actor_id] = actor
        if request.name:
            self.names[name] = request.actor_id
        actor.placing = True
        return [Notify((owner,), actor.notice()), Place(request.actor_id)]

    def placed(
        self, actor_id: str, worker: int, pid: int, lease_id: int, gpu_ids: tuple[int, ...] = (), wall: float = 0.0
    ) -> list[Effect]:
        """The scheduler found a worker."""
        actor = self._find(actor_id, "placed")
        if actor is None:  # it was killed meanwhile
            return [EndWorker(worker, "its actor was killed before it began")]
        actor.placing = False
        actor.refusals = 0
        actor.placed_at = wall
        actor.worker, actor.pid, actor.lease_id, actor.gpu_ids = worker, pid, lease_id, gpu_ids
        self.by_worker[worker] = actor_id
        return [Become(actor_id)]

    def refused(
        self, actor_id: str, now: float, wall: float, *, infeasible: str = "", error: str = "", group_removed: bool = False,
        env_error: str = "",
    ) -> list[Effect]:  # fmt: skip
        """The scheduler has no place for it and never will; or, with ``error``, could not start a worker for it."""
        actor = self._find(actor_id, "refused")
        if actor is None:
            return []
        actor.placing = False
        if error and actor.refusals < REFUSED_MAX:  # what kills workers at their start may pass
            self._place_later(actor, now, actor.refusals)
            actor.refusals += 1
            return []
        actor.infeasible = infeasible
        actor.env_error = env_error
        if group_removed:
            actor.group_removed = actor.state == PENDING_CREATION
            error = f"The placement group of actor {actor.request.class_name} was removed."
        return self._die(actor, infeasible or error or env_error, wall)

    def ready(
        self, actor_id: str, worker: int, incarnation: int, wall: float = 0.0, repr_name: str = ""
    ) -> list[Effect]:  # fmt: skip
        """Its constructor returned."""
        actor = self._find(actor_id, "ready")
        if actor is None or actor.worker != worker or actor.incarnation != incarnation:
            return []
        self._enter(actor, ALIVE, "ready")
        actor.ready_at = wall
        actor.repr_name = repr_name
        actor.init_deaths = actor.false_starts = 0
        actor.cause = ""
        effects: list[Effect] = [self._notify(actor)]
        if actor.graceful_end:
            effects.append(EndWorker(worker, "no handle of the actor is left", graceful=True))
        return effects

    def init_failed(
        self, actor_id: str, worker: int, incarnation: int, error: bytes, text: str, wall: float
    ) -> list[Effect]:
        """Its constructor raised; it is not tried again."""
        actor = self._find(actor_id, "init_failed")
        if actor is None or actor.worker != worker or actor.incarnation != incarnation:
            return []
        actor.error = error
        cause = f"The constructor of {actor.request.class_name} raised an exception on worker pid={actor.pid}: {text}"
        return [*self._die(actor, cause, wall), EndWorker(worker, "the actor's constructor failed")]

    def worker_died(
        self, worker: int, how: str, now: float, wall: float, begun: bool = True, out_of_memory: bool = False
    ) -> list[Effect]:
        """A worker is gone; ``how`` is a sentence on its death, ``out_of_memory`` whether that was why.

        Unless it had ``begun`` to make its actor, that was no life of the actor: it gets another worker.
        """
        actor_id = self.by_worker.pop(worker, None)
        actor = self._find(actor_id, "worker_died") if actor_id else None
        if actor is None:
            return []
        constructing = actor.state != ALIVE
        actor.worker = actor.lease_id = 0
        actor.gpu_ids = ()
        if actor.ending:
            return self._die(actor, actor.ending, wall)
        if not begun and constructing and actor.false_starts < self.limits.start_failures:
            actor.false_starts += 1
            actor.pid = 0
            actor.placing = True
            return [Place(actor.request.actor_id)]
        if not actor.restarts_left:
            cause = f"Actor {actor.request.class_name}: {how}"
            actor.out_of_memory = out_of_memory
            return self._die(actor, _with_restarts(cause, actor.restarts), wall)
        self._enter(actor, RESTARTING, "worker_died")
        actor.restarts += 1
        actor.incarnation += 1
        actor.pid = 0
        actor.cause = f"Actor {actor.request.class_name}: {how}"
        actor.init_deaths = actor.init_deaths + 1 if constructing else 0
        if actor.init_deaths > 1:
            self._place_later(actor, now, actor.init_deaths - 2)
            return [self._notify(actor)]
        actor.placing = True
        return [self._notify(actor), Place(actor.request.actor_id)]

    def _place_later(self, actor: ActorRecord, now: float, times: int) -> None:
        """Place it after a pause, which has doubled so many times."""
        delay = self.limits.restart_delay_s * 2.0 ** min(times, 20)
        actor.restart_at = now + min(delay, self.limits.restart_delay_max_s)
        self._delayed[actor.request.actor_id] = None

    def kill(self, actor_id: str, no_restart: bool, reason: str, wall: float) -> list[Effect]:
        """Somebody kills it; with ``no_restart`` False it counts as a death of its worker."""
        actor = self._find(actor_id, "kill")
        if actor is None:
            return []
        if not no_restart:
            return [EndWorker(actor.worker, reason or "killed by ray.kill()", kill=True)] if actor.worker else []
        worker = actor.worker
        cause = reason or f"Actor {actor.request.class_name} was killed by ray.kill()."
        effects = self._die(actor, cause, wall)
        return [*effects, EndWorker(worker, cause, kill=True)] if worker else effects

    def exit(self, actor_id: str, worker: int, cause: str) -> list[Effect]:
        """The actor ends on purpose; its worker ends by itself and is not restarted."""
        actor = self._find(actor_id, "exit")
        if actor is None or actor.worker != worker:
            return []
        actor.ending = cause or f"Actor {actor.request.class_name} ended itself with exit_actor()."
        return [EndWorker(worker, "exit_actor", graceful=True)]

    def handles_gone(self, actor_id: str) -> list[Effect]:
        """Nobody can call it any more; it ends when its queue is empty."""
        actor = self._find(actor_id, "handles_gone")
        if actor is None or actor.request.detached or actor.graceful_end:
            return []
        actor.graceful_end = True
        actor.ending = f"Actor {actor.request.class_name} ended because all handles to it are gone (those of get_actor do not count)."
        if actor.state == ALIVE:
            return [EndWorker(actor.worker, "no handle of the actor is left", graceful=True)]
        return []

    def job_ended(self, job_id: int, wall: float) -> list[Effect]:
        """A driver left: its actors end with it, unless detached."""
        effects: list[Effect] = []
        for actor_id, actor in list(self.actors.items()):  # the oldest dead ones may go meanwhile
            if actor.request.job_id != job_id or actor.request.detached or actor.state == DEAD:
                continue
            self._find(actor_id, "job_ended")
            worker, cause = actor.worker, f"Actor {actor.request.class_name} ended with the driver of its job."
            effects.extend(self._die(actor, cause, wall))
            if worker:
                effects.append(EndWorker(worker, cause, kill=True))
        return effects

    def group_removed(self, group_id: str, wall: float) -> list[Effect]:
        """A placement group is gone: its actors end with it, whatever restarts they have left."""
        effects: list[Effect] = []
        for actor_id, actor in list(self.actors.items()):
            if actor.request.target.group != group_id or actor.state == DEAD:
                continue
            self._find(actor_id, "group_removed")
            worker = actor.worker
            actor.group_removed = actor.state == PENDING_CREATION
            cause = f"Actor {actor.request.class_name} ended because its placement group was removed."
            effects.extend(self._die(actor, cause, wall))
            if worker:
                effects.append(EndWorker(worker, cause, kill=True))
        return effects

    def tick(self, now: float) -> list[Effect]:
        """Begin the delayed restarts that are due."""
        effects: list[Effect] = []
        for actor_id in list(self._delayed):
            actor = self.actors[actor_id]
            assert actor.restart_at is not None
            if actor.restart_at <= now:
                del self._delayed[actor_id]
                actor.restart_at = None
                actor.placing = True
                effects.append(Place(actor_id))
        return effects

    def next_wakeup(self) -> float | None:
        """Return when ``tick`` is due."""
        times = [time for actor_id in self._delayed if (time := self.actors[actor_id].restart_at) is not None]
        return min(times) if times else None

    # ------------------------------------------------------------------ questions

    def subscribe(self, actor_id: str, peer: int) -> list[Effect]:
        """A process wants to know what happens to the actor."""
        actor = self.actors.get(actor_id)
        if actor is None:
            cause = "There is no such actor on this cluster, or it died long ago."
            return [Notify((peer,), ActorNotice(actor_id=actor_id, state=DEAD, cause=cause))]
        if actor.state != DEAD:
            actor.subscribers[peer] = None
        return [Notify((peer,), actor.notice())]

    def process_died(self, peer: int) -> None:
        """Forget a subscriber."""
        for actor in self.actors.values():
            actor.subscribers.pop(peer, None)

    def find_named(self, name: str, namespace: str) -> ActorRecord | None:
        """Return the live actor of this name."""
        actor_id = self.names.get((namespace, name))
        return self.actors[actor_id] if actor_id is not None else None

    def namespaces_of(self, name: str) -> list[str]:
        """Return the namespaces in which the name is taken."""
        return sorted(namespace for namespace, other in self.names if other == name)

    def __iter__(self) -> Iterator[ActorRecord]:
        return iter(list(self.actors.values()))

    # ------------------------------------------------------------------- transitions

    def _find(self, actor_id: str, event: str) -> ActorRecord | None:
        """Return the actor if ``event`` concerns it; None when it comes too late."""
        actor = self.actors.get(actor_id)
        if actor is None or actor.state == DEAD:
            return None
        if (actor.state, event) not in ACTOR_TRANSITIONS:
            if event in ("ready", "init_failed"):  # said twice by its worker
                return None
            raise ValueError(f"actor {actor_id} ({actor.request.class_name}) is {actor.state}: no {event!r} there")
        return actor

    def _enter(self, actor: ActorRecord, state: str, event: str) -> None:
        assert state in ACTOR_TRANSITIONS[actor.state, event], (actor.state, event, state)
        actor.state = state

    def _notify(self, actor: ActorRecord) -> Notify:
        return Notify(tuple(actor.subscribers), actor.notice())

    def _die(self, actor: ActorRecord, cause: str, wall: float) -> list[Effect]:
        actor_id = actor.request.actor_id
        effects: list[Effect] = [Unplace(actor_id)] if actor.placing else []
        actor.state = DEAD
        actor.cause = cause
        actor.died_at = wall
        actor.placing = False
        actor.restart_at = None
        self._delayed.pop(actor_id, None)
        self.by_worker.pop(actor.worker, None)
        if self.names.get((actor.request.namespace, actor.request.name)) == actor_id:
            del self.names[actor.request.namespace, actor.request.name]
        effects += [self._notify(actor), ReleaseSpec(actor_id), Ended(actor_id)]
        actor.subscribers.clear()
        actor.worker = 0
        self._dead[actor_id] = None
        while len(self._dead) > self.limits.dead_actors:
            oldest = next(iter(self._dead))
            del self._dead[oldest], self.actors[oldest]
        return effects

    def validate(self) -> None:
        """Raise AssertionError unless names, workers and states agree."""
        for actor_id, actor in self.actors.items():
            assert actor.request.actor_id == actor_id
            dead = actor.state == DEAD
            assert dead == (actor_id in self._dead)
            named = self.names.get((actor.request.namespace, actor.request.name)) == actor_id
            assert named == (bool(actor.request.name) and not dead)
            assert (actor.state != ALIVE) or actor.worker
            assert not dead or not (actor.worker or actor.subscribers or actor.placing)
            if not dead:
                waits = [actor.placing, bool(actor.worker), actor.restart_at is not None]
                assert sum(waits) == 1, (actor_id, actor.state, waits)
            assert (actor.restart_at is not None) == (actor_id in self._delayed)
        assert all(self.actors[actor_id].worker == worker for worker, actor_id in self.by_worker.items())
        assert len(self._dead) <= self.limits.dead_actors


def _with_restarts(cause: str, restarts: int) -> str:
    """Return ``cause`` with how often the actor had been restarted, before the last lines of its log."""
    if not restarts:
        return cause
    sentence, newline, log = cause.partition("\n")
    times = "once" if restarts == 1 else f"{restarts} times"
    return f"{sentence.rstrip('. ')}. It had been restarted {times}.{newline}{log}"
