"""What the local scheduler is told (events) and what it wants done (effects).

Every event carries ``now``, seconds of the monotonic clock. A worker or owner is named by
its peer number, a worker that has not registered yet by its startup token. Effects are
carried out in order.
"""

from __future__ import annotations

import msgspec

from nbray.placement import Target
from nbray.resources import ResourceSet

ANYWHERE = Target()


class Event(msgspec.Struct):
    """Base of all events."""

    now: float


class LeaseWanted(Event):
    """An owner wants ``count`` more leases; replaces what it wanted under this id before."""

    owner: int
    request_id: int
    resources: ResourceSet
    count: int = 1
    job_id: int = 0
    env_key: str = ""
    name: str = ""
    strategy: str = "DEFAULT"
    depth: int = 0
    wait_for_resources: bool = False
    target: Target = ANYWHERE


class ActorWanted(Event):
    """The actor table wants a worker: ``resources`` free to place it, ``hold`` kept."""

    actor_id: str
    resources: ResourceSet
    hold: ResourceSet
    job_id: int = 0
    env_key: str = ""
    name: str = ""
    wait_for_resources: bool = False
    target: Target = ANYWHERE


class ActorUnwanted(Event):
    """The actor ended before it had a worker."""

    actor_id: str


class LeaseReturned(Event):
    """An owner gives a lease back; ``discard``: the worker is not to be used again."""

    owner: int
    lease_id: int
    discard: bool = False


class BundlesWanted(Event):
    """A placement group's table wants these bundles reserved, all or none.

    ``wait``: as soon as they fit; else now or never.
    """

    group: str
    bundles: dict[int, ResourceSet]
    wait: bool = True


class BundlesCommitted(Event):
    """The group has all of its bundles: those on this node may be used."""

    group: str


class BundlesUnwanted(Event):
    """The group is removed, or has to try again: its bundles on this node end.

    ``removed``: also whatever waits for them or runs in them.
    """

    group: str
    removed: bool = True


class PrestartWanted(Event):
    """Keep ``count`` workers for tasks started ahead of demand."""

    count: int


class CpusSet(Event):
    """Somebody wants this node to offer ``units`` of CPU from now on."""

    units: int


class WorkerReady(Event):
    """The worker with this startup token has registered."""

    token: int
    worker: int
    pid: int


class WorkerStartFailed(Event):
    """The worker with this startup token ended before it registered."""

    token: int
    reason: str = ""
    zygote_death: int = 0  # the number of the zygote's death that it failed with, if it did


class InterpreterReady(Event):
    """Workers can be started with this interpreter."""

    interpreter: str


class InterpreterGone(Event):
    """This interpreter could not be made (``reason``), or has to be made again (none)."""

    interpreter: str
    reason: str = ""


class WorkerDied(Event):
    """A registered worker is gone."""

    worker: int


class OwnerDied(Event):
    """A process that may own leases or requests is gone."""

    owner: int


class JobEnded(Event):
    """A driver is gone: workers that served its job and are idle serve no other."""

    job_id: int


class WorkerBlocked(Event):
    """The worker's task waits for others; its CPUs may be lent on."""

    worker: int


class WorkerUnblocked(Event):
    """The worker's task goes on."""

    worker: int


class Tick(Event):
    """Time has passed; see LocalScheduler.next_wakeup."""


class Effect(msgspec.Struct, frozen=True):
    """Base of all effects."""


class GrantLease(Effect, frozen=True):
    """Tell the owner that the worker is its own until returned."""

    owner: int
    request_id: int
    lease_id: int
    worker: int
    pid: int
    gpu_ids: tuple[int, ...] = ()


class PlaceActor(Effect, frozen=True):
    """Make this worker the actor."""

    actor_id: str
    lease_id: int
    worker: int
    pid: int
    gpu_ids: tuple[int, ...] = ()


class RefuseLease(Effect, frozen=True):
    """Tell the owner why it gets none. ``infeasible``: no node can ever give it."""

    owner: int
    request_id: int
    infeasible: str = ""
    error: str = ""
    group_removed: bool = False
    env_error: str = ""


class RefuseActor(Effect, frozen=True):
    """Tell the actor table why the actor has no place."""

    actor_id: str
    infeasible: str = ""
    error: str = ""
    group_removed: bool = False
    env_error: str = ""


class BundlesAnswer(Effect, frozen=True):
    """Tell the group's table that its bundles are reserved here, or that they do not fit."""

    group: str
    reserved: bool


class SpillBack(Effect, frozen=True):
    """Tell the owner to ask that node."""

    owner: int
    request_id: int
    node_id: str


class RevokeLease(Effect, frozen=True):
    """Ask the owner to return a lease when its task is done."""

    owner: int
    lease_id: int


class MakeInterpreter(Effect, frozen=True):
    """Make this interpreter and its zygote; the answer is an event."""

    interpreter: str


class StartWorker(Effect, frozen=True):
    """Fork a worker from the zygote of this interpreter."""

    token: int
    interpreter: str = ""


class StopWorker(Effect, frozen=True):
    """Ask a worker without work to end."""

    worker: int
    reason: str = ""


class KillWorker(Effect, frozen=True):
    """SIGKILL a worker."""

    worker: int
    reason: str = ""
