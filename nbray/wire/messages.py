"""The control messages between a process and its node daemon.

One class per message; ``PROTOCOL.md`` describes them and a test holds the two
together. Messages are msgspec structs sent as msgpack (see ``codec``). Names end in
``Request``, ``Reply`` or ``Notice``. A peer is ``(epoch << 32) | slot`` as in the C
store. Amounts of resources are integers in units of 1/10,000.
"""

from __future__ import annotations

import msgspec

from nbray.placement import Rules, Target

PROTOCOL_VERSION = 1
ANYWHERE = Target()


class Message(msgspec.Struct, tag=True, omit_defaults=True):
    """Base of all control messages; the class name is the tag."""


# ------------------------------------------------------------- joining and leaving


class RegisterRequest(Message):
    """Process -> daemon: I have attached the segment. Reply: RegisterReply."""

    version: int
    role: str  # "driver", "worker" or "observer"
    peer: int
    pid: int
    python: str  # major.minor.micro
    startup_token: int = 0  # of a worker: the number its zygote fork was given
    namespace: str = ""  # of a driver
    entrypoint: str = ""  # of a driver: its command line
    metadata: dict[str, str] = {}  # of a driver: its job's
    runtime_env: str = ""  # of a driver: its job's, as JSON, for lists


class RegisterReply(Message):
    """Daemon -> process: you are known."""

    job_id: int = 0  # of a driver: its new job
    node_id: str = ""
    session_dir: str = ""
    resources: dict[str, int] = {}  # totals of this node
    labels: dict[str, str] = {}  # of this node
    cluster_id: int = 0  # 32 bits, random per cluster; part of every object id
    daemon: int = 0  # peer of the daemon
    spill_dir: str = ""  # where objects go that have no room in memory
    limits: dict[str, float] = {}  # those of nbray.config.Limits that are not at their default
    error: str = ""
    version_error: str = ""  # the process runs other versions than the daemon
    node_ip: str = "127.0.0.1"
    namespace: str = ""  # of a driver: the one it asked for, or one of its own
    metrics_port: int = 0  # 0: no metrics are exported


class GoodbyeNotice(Message):
    """Process -> daemon: I leave on purpose. From the local driver: all ends."""


class ShutdownRequest(Message):
    """Driver -> daemon: end the node. The daemon answers by ending itself."""


class ClusterEndedNotice(Message):
    """Daemon -> drivers: the node ends."""

    reason: str = ""  # sentence


# -------------------------------------------------------------------------- leases


class LeaseRequest(Message):
    """Owner -> daemon: lend me workers of this shape. Reply: LeaseReply per lease.

    Sent again with the same ``request_id`` to change ``count`` (a larger or smaller
    backlog); ``count`` 0 takes the request back.
    """

    request_id: int
    resources: dict[str, int]
    count: int  # leases wanted in all for this request, granted ones not counted
    job_id: int = 0
    name: str = ""  # function, for messages
    strategy: str = "DEFAULT"
    wait_for_resources: bool = False  # queue although no node can ever satisfy it
    env_key: str = ""  # workers of another runtime environment are not fit; "digest" or "digest:interpreter"
    priority_depth: int = 0  # nesting depth of the asking task; deeper goes first
    target: Target = ANYWHERE


class DefineEnvironmentNotice(Message):
    """Owner -> daemon: what the runtime environment of this key is, for lists. Sent once per owner."""

    key: str
    text: str  # the environment as JSON
    job_id: int = 0


class DefineInterpreterNotice(Message):
    """Owner -> daemon: how to make the interpreter of this key, before the first request that needs it."""

    key: str
    command: list[str] = []  # that starts it; empty: the one of the daemon
    packages: list[str] = []  # for pip, in a virtual environment over the interpreter's own packages
    options: list[str] = []  # of pip install
    pip_version: str = ""  # as a requirement, without the name
    check: bool = False  # run pip check afterwards
    variables: dict[str, str] = {}  # environment variables that it must start with
    timeout_s: int = 600  # for making it; -1: none


class LeaseReply(Message):
    """Daemon -> owner: a worker, or the reason why there will be none."""

    request_id: int
    lease_id: int = 0
    worker: int = 0  # peer
    pid: int = 0
    node_id: str = ""
    gpu_ids: list[int] = []
    infeasible: str = ""  # sentence: asked, largest node, nearest names
    error: str = ""  # sentence: it could run, but will not (workers fail to start, queue full)
    group_removed: bool = False  # the placement group was removed, or never was
    env_error: str = ""  # its interpreter could not be made: sentence and the end of the log


class LeaseReturnNotice(Message):
    """Owner -> daemon: the lease ends. ``discard``: end the worker, do not reuse it."""

    lease_id: int
    discard: bool = False


class LeaseRevokeNotice(Message):
    """Daemon -> owner: somebody else waits; return this lease when its task is done."""

    lease_id: int


class WorkerDiedNotice(Message):
    """Daemon -> everyone who leased or subscribed: a worker is gone."""

    peer: int
    pid: int
    exit_code: int | None = None
    signal_name: str = ""
    log_tail: str = ""
    reason: str = ""  # sentence
    out_of_memory: bool = False  # it was ended because its node had no memory left
    group_removed: bool = False  # it was ended with the placement group of its task
    actor_id: str = ""  # that it was
    words: dict[
        str, str
    ] = {}  # by stream: what its C code and children wrote and it has not sent; its owner alone is told


class KillWorkerRequest(Message):
    """Owner -> daemon: SIGKILL this worker (forced cancel)."""

    peer: int
    reason: str = ""


class CancelTaskNotice(Message):
    """Process -> daemon -> owner: cancel the task that makes a ref of yours which I was given."""

    owner: int  # peer
    number: int  # of the task, counted by its owner
    force: bool = False
    recursive: bool = True


class BlockedNotice(Message):
    """Worker -> daemon: my task waits in get or wait; its CPUs may be lent on."""


class UnblockedNotice(Message):
    """Worker -> daemon: it goes on."""


class WaitingNotice(Message):
    """Worker -> daemon: what my task waits for, when that takes long. UnblockedNotice ends it, or an empty text."""

    text: str  # clause: who waits for what; when it has not begun, what it waits for
    on: list[int] = []  # peers without which it does not go on
    begun: bool = True  # else it waits for its arguments


class StopNotice(Message):
    """Daemon -> worker: end. ``graceful``: when your queue is empty; else at once.

    A worker that has not ended ``stop_grace_s`` after a notice that is not graceful is
    killed.
    """

    reason: str = ""
    graceful: bool = False


# -------------------------------------------------------------------------- actors


class CreateActorRequest(Message):
    """Owner -> daemon: make an actor. Replies: ActorNotice whenever its state changes."""

    actor_id: str  # 32 hex digits
    spec_id: bytes  # object in the store: function, arguments, options; opaque to daemons
    class_name: str
    resources: dict[str, int]  # to place it
    running_resources: dict[str, int]  # while it lives
    max_restarts: int = 0  # -1: for ever
    name: str = ""
    namespace: str = ""
    get_if_exists: bool = False
    detached: bool = False
    job_id: int = 0
    env_key: str = ""
    wait_for_resources: bool = False
    method_names: list[str] = []
    handle_info: bytes = b""  # opaque; what get_actor needs to build a handle
    life_id: bytes = b""  # object that all handles hold: the actor ends when it is gone; empty: detached
    target: Target = ANYWHERE
    made_at: str = ""  # cell or line that made it, for messages
    recorded: bool = True  # its making is a task of lists
    qualname: str = ""  # of its class, for lists


class ActorSubscribeRequest(Message):
    """Process -> daemon: tell me about this actor from now on. Reply: ActorNotice."""

    actor_id: str


class GetNamedActorRequest(Message):
    """Process -> daemon. Reply: NamedActorReply."""

    request_id: int
    name: str
    namespace: str = ""


class NamedActorReply(Message):
    request_id: int
    actor_id: str = ""
    class_name: str = ""
    handle_info: bytes = b""
    error: str = ""  # sentence; names the namespaces that have it


class ListActorsRequest(Message):
    """Process -> daemon. Reply: ListActorsReply."""

    request_id: int


class ListActorsReply(Message):
    request_id: int
    actors: list[ActorNotice] = []


class ActorNotice(Message):
    """Daemon -> subscribers: the state of an actor now."""

    actor_id: str
    state: str  # PENDING_CREATION, ALIVE, RESTARTING, DEAD
    worker: int = 0  # peer, when ALIVE
    pid: int = 0
    incarnation: int = 0
    cause: str = ""  # when DEAD or RESTARTING: sentence
    error: bytes = b""  # when __init__ raised: the serialized error, opaque to daemons
    name: str = ""
    namespace: str = ""
    class_name: str = ""
    existing_id: str = ""  # get_if_exists: the actor that has the name already
    name_taken: bool = False  # without get_if_exists
    infeasible: str = ""
    died_at: float = 0.0  # seconds since the epoch
    restarts_left: int = 0
    group_removed: bool = False  # before it was made
    env_error: str = ""  # its interpreter could not be made
    out_of_memory: bool = False  # its node had no memory left


class KillActorRequest(Message):
    """Process -> daemon. ``graceful``: let queued calls end first."""

    actor_id: str
    no_restart: bool = True
    reason: str = ""


class BecomeActorNotice(Message):
    """Daemon -> worker: you are this actor now; its spec is in the store."""

    actor_id: str
    spec_id: bytes
    incarnation: int
    gpu_ids: list[int] = []
    lease_id: int = 0
    job_id: int = 0


class ActorReadyNotice(Message):
    """Worker -> daemon: __init__ returned, or raised ``error``."""

    actor_id: str
    incarnation: int
    error: bytes = b""
    error_text: str = ""  # last line of the traceback
    repr_name: str = ""  # what the class's own __repr__ returns


class ActorExitNotice(Message):
    """Worker -> daemon: the actor ends on purpose (exit_actor); do not restart."""

    actor_id: str
    cause: str = ""


class ActorHandlesGoneNotice(Message):
    """Owner -> daemon: the last handle went; the actor may end when its queue is empty."""

    actor_id: str


# -------------------------------------------------------------------------- memory


class RoomWantedNotice(Message):
    """Process -> daemon: an object of this size does not fit; spill others. It tries again by itself."""

    size: int  # bytes


class RestoreWantedNotice(Message):
    """Process -> daemon: bring this object back from disk; its seal tells when it is there."""

    obj: int  # handle


class ValueLostNotice(Message):
    """Process -> daemon -> owner: a value of yours cannot be read any more; make it again."""

    owner: int  # peer
    object_id: bytes


# ---------------------------------------------------------------- placement groups


class CreateGroupRequest(Message):
    """Process -> daemon: reserve these bundles. Replies: GroupNotice whenever its state changes."""

    group_id: str  # 36 hex digits
    bundles: list[dict[str, int]]
    strategy: str = "PACK"  # PACK, SPREAD, STRICT_PACK, STRICT_SPREAD
    name: str = ""
    namespace: str = ""
    detached: bool = False
    job_id: int = 0
    actor_id: str = ""  # the actor that makes it: then it ends when that and the job are gone
    wait_for_resources: bool = False  # stay pending although no node can ever have a bundle
    selectors: list[Rules] = []  # per bundle: labels of its node


class RemoveGroupRequest(Message):
    """Process -> daemon. The daemon ends what runs in it; no reply but GroupNotice to the others who watch."""

    group_id: str


class WatchGroupRequest(Message):
    """Process -> daemon: tell me about this group from now on. Reply: GroupNotice."""

    group_id: str


class GroupNotice(Message):
    """Daemon -> those who watch: the state of a placement group now."""

    group_id: str
    state: str  # PENDING, CREATED, RESCHEDULING, REMOVED
    infeasible: str = ""  # sentence: which bundle no node can ever have; then REMOVED
    name_taken: bool = False  # then REMOVED


class GetNamedGroupRequest(Message):
    """Process -> daemon. Reply: NamedGroupReply."""

    request_id: int
    name: str
    namespace: str = ""


class NamedGroupReply(Message):
    request_id: int
    group_id: str = ""
    bundles: list[dict[str, int]] = []
    error: str = ""  # sentence; names the namespaces that have it


class ListGroupsRequest(Message):
    """Process -> daemon. Reply: ListGroupsReply per part, the last with ``last`` set."""

    request_id: int
    group_id: str = ""  # only this one; empty: all


class ListGroupsReply(Message):
    request_id: int
    groups: list[dict] = []  # rows of placement_group_table(); amounts in units
    last: bool = False


# --------------------------------------------------------------------------- state


class DefineNotice(Message):
    """Process -> daemon: names for events. Sent once per function of an owner, once more for calls that ask for other things."""

    owner: int  # peer
    number: int  # nbs_msg.a of this owner's tasks
    name: str
    kind: str = "task"  # task, actor_task, actor_creation, put; unrecorded: its tasks are left out of lists
    origin: str = ""  # the cell
    function: str = ""  # whose tasks have this name; empty: it is the function's own
    resources: dict[str, int] = {}  # what its tasks hold, in units
    env_key: str = ""  # their runtime environment
    target: Target = ANYWHERE  # where they may run


class SetCpusRequest(Message):
    """Process -> daemon: offer ``units`` of CPU from now on. Reply: SetCpusReply."""

    request_id: int
    units: int  # 1/10,000 of a CPU


class SetCpusReply(Message):
    request_id: int
    units: int = 0  # what the node offers now
    error: str = ""


class ResourcesNotice(Message):
    """Daemon -> drivers and workers: what the node has is another than before."""

    resources: dict[str, int]  # totals of this node


class StateRequest(Message):
    """Process -> daemon. Reply: StateReply."""

    request_id: int


class StateReply(Message):
    request_id: int
    nodes: list[dict] = []  # NodeID, Alive, Resources (totals), Available, pid, hostname
    total: dict[str, int] = {}
    available: dict[str, int] = {}
    workers: list[dict] = []  # peer, pid, state, lease_id, actor_id, name
    leases_waiting: int = 0
    waiting: list[dict] = []  # name, resources, seconds
    actors_alive: int = 0


class UsageRequest(Message):
    """Process -> daemon: the samples of CPU, memory, store and GPUs after ``since``. Reply: UsageReply.

    Sampling begins with the first request, so that one is answered with nothing.
    """

    request_id: int
    since: int = 0  # number of the last sample that the process has


class UsageReply(Message):
    request_id: int
    samples: list[
        dict
    ] = []  # nbray.node.usage.UsageSample as plain data, oldest first: the newest 200, of those before one in 4


class EventsRequest(Message):
    """Process -> daemon. Reply: EventsReply per block, the last with ``last`` set."""

    request_id: int
    since: int = 0  # ``position`` of the last reply: only what came later is told


class ActorName(msgspec.Struct, array_like=True):
    """Which actor a worker has become."""

    peer: int
    actor_id: str
    title: str  # what a person calls it


class EventsReply(Message):
    request_id: int
    block: bytes = b""  # nbs_event records, at most 512 KiB
    definitions: list[DefineNotice] = []
    actors: list[ActorName] = []
    dropped: int = 0
    last: bool = False
    position: int = 0  # of the last: where the next request may go on
    monotonic_offset_ns: int = 0  # wall clock minus CLOCK_MONOTONIC


class ListRequest(Message):
    """Process -> daemon: the rows of one table. Reply: ListReply, the last with ``last`` set."""

    request_id: int
    kind: str  # nodes, jobs, actors, processes, placement_groups, runtime_envs


class ListReply(Message):
    request_id: int
    rows: bytes = b""  # msgpack: list of maps
    last: bool = False


class InspectRequest(Message):
    """Process -> daemon: have every process say what it holds, or the one that owns a task. Reply: InspectReply."""

    request_id: int
    what: str  # tasks, refs, errors, attempts; ends, of one task
    limit: int = 10_000  # rows of one process
    timeout_s: float = 2.0
    owner: int = 0  # 0: every process
    seq: int = 0


class InspectNotice(Message):
    """Daemon -> process: say what you hold. Answer: InspectedNotice."""

    token: int
    what: str
    limit: int
    seq: int = 0  # of one task


class InspectedNotice(Message):
    """Process -> daemon: rows, the last message with ``last`` set."""

    token: int
    rows: bytes = b""  # msgpack: list of maps; opaque to daemons
    last: bool = False


class InspectReply(Message):
    """Daemon -> who asked: what one process said; the last with ``last`` set and no rows."""

    request_id: int
    peer: int = 0
    rows: bytes = b""
    last: bool = False
    silent: list[int] = []  # pids of processes that did not answer in time


class MetricRow(msgspec.Struct, array_like=True):
    """One metric with one set of tags, as a process counts it."""

    kind: str  # counter, gauge, histogram
    name: str
    description: str
    keys: list[str]  # of the tags
    tags: list[str]  # their values
    value: float  # of a histogram: the sum of all values
    boundaries: list[float] = []
    buckets: list[int] = []  # counts between the boundaries; one more than those


class MetricsNotice(Message):
    """Process -> daemon: present values of metrics; those that have not changed are left out."""

    rows: list[MetricRow]


class KeyValueRequest(Message):
    """Process -> daemon: look into the table of keys and values, or change it. Reply: KeyValueReply."""

    request_id: int
    action: str  # get, put, add (put unless there is a value), delete, delete_prefix, list
    space: bytes
    key: bytes  # of list and delete_prefix: what the keys begin with
    value: bytes = b""


class KeyValueReply(Message):
    request_id: int
    found: bool = False  # there is, or was before, a value
    value: bytes = b""
    count: int = 0  # removed
    keys: list[bytes] = []  # some of them; the rest in further replies
    last: bool = True
    error: str = ""


class RefusedNotice(Message):
    """Daemon -> process: your message was not understood or not allowed."""

    reason: str


MESSAGES: tuple[type[Message], ...] = tuple(
    c for c in list(globals().values()) if isinstance(c, type) and issubclass(c, Message) and c is not Message
)
