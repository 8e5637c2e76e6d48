"""Every limit of nbray in one table: name, unit, default, meaning, environment variable.

The environment variable of a limit is ``NBRAY_`` and its name in capitals; where Ray has such a
setting, its own variable counts as well. Values go to the daemon inside its configuration, so that driver and daemon always agree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar, overload

T = TypeVar("T", int, float)

KIB = 1024
MIB = 1024 * KIB

ENV_PREFIX = "NBRAY_"
RAYS_PREFIX = "RAY_"

#: Setting of Ray -> limit of the same meaning. Those in ``_ms`` are milliseconds.
RAYS_SETTINGS = {
    "DEFAULT_OBJECT_STORE_MEMORY_PROPORTION": "object_store_share",
    "idle_worker_killing_time_threshold_ms": "idle_worker_s",
    "local_fs_capacity_threshold": "spill_disk_share",
    "max_lineage_bytes": "lineage_bytes",
    "memory_usage_threshold": "memory_limit_share",
    "object_spilling_threshold": "spill_from_share",
    "worker_register_timeout_seconds": "worker_start_s",
}
_MEMORY_LOOKS = "memory_monitor_refresh_ms"  # its 0 means: never; how often the memory is looked at is nbray's affair
#: Settings of Ray's own processes that its guides name: accepted, and there is nothing to set.
RAYS_OWN = frozenset(
    {_MEMORY_LOOKS, "max_fused_object_count", "max_io_workers", "min_spilling_size", "verbose_spill_logs"}
)


class Limit(Generic[T]):
    """One row of the table; read as an attribute of a Limits object."""

    __slots__ = ("default", "meaning", "name", "unit")

    def __init__(self, unit: str, default: T, meaning: str) -> None:
        self.name = ""
        self.unit = unit
        self.default: T = default
        self.meaning = meaning

    @property
    def env(self) -> str:
        """The environment variable that sets this limit."""
        return ENV_PREFIX + self.name.upper()

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Limit[T]: ...

    @overload
    def __get__(self, instance: Limits, owner: type) -> T: ...

    def __get__(self, instance: Limits | None, owner: type) -> Limit[T] | T:
        if instance is None:
            return self
        value: T = instance.changed.get(self.name, self.default)
        return value


class Limits:
    """The limits in force: the defaults below, and what was changed.

    Parameters
    ----------
    changed : mapping, optional
        Name -> value of the limits that differ from their default.

    Raises
    ------
    ValueError
        For a name that is not in the table, or a value that is no number above zero.
    """

    # -- control messages
    max_message_bytes = Limit("bytes", 1 * MIB, "largest control message; a larger one ends the connection")
    max_frames = Limit("frames", 4, "frames of a control message; one with more is refused")
    send_queue_messages = Limit("messages", 1000, "queued for one process in ZeroMQ; then the daemon keeps them itself")
    backlog_messages = Limit("messages", 10_000, "kept by the daemon for one process; then its messages are dropped")
    linger_ms = Limit("ms", 200, "how long a closing socket tries to send what is left")
    definitions = Limit("entries", 20_000, "names of functions kept for events; then the oldest go")
    # -- workers
    extra_workers = Limit("processes", 256, "task workers beyond num_cpus that replace blocked ones")
    max_processes = Limit("processes", 900, "workers and actors of a node in all")
    prestart_workers = Limit("processes", 32, "most workers forked before anybody asks")
    starting_workers = Limit("processes", 8, "workers that start at the same time")
    worker_start_s = Limit("seconds", 60.0, "from fork to registration; then the worker is killed")
    start_failures = Limit("times", 3, "workers in a row that die while they start; then requests are refused")
    zygote_deaths = Limit("times", 5, "the process that forks workers may die in a row; once more, and the node ends")
    zygote_settled_s = Limit("seconds", 60.0, "one that has lived so long has not died of its start")
    idle_worker_s = Limit("seconds", 5.0, "idle workers beyond num_cpus end after this")
    stop_grace_s = Limit("seconds", 5.0, "between asking a worker to end and killing it")
    exit_hooks_s = Limit("seconds", 30.0, "for the exit handlers of a worker that ends of itself")
    shutdown_grace_s = Limit("seconds", 1.0, "the same when the whole node ends")
    max_waiting = Limit("requests", 100_000, "lease requests that wait; then new ones are refused")
    code_bytes = Limit("bytes", 95 * MIB, "largest function or class, serialized; a larger one is refused")
    queued_tasks = Limit("tasks", 2_000_000, "of one shape queued in one process; then remote() waits")
    # -- fairness
    lease_slice_s = Limit("seconds", 0.02, "a lease younger than this is not revoked")
    starving_s = Limit("seconds", 1.0, "a request that waits longer has resources kept for it")
    # -- waiting
    wait_told_s = Limit("seconds", 4.0, "a task that waits so long in get or wait tells the daemon for what")
    wait_warned_s = Limit(
        "seconds", 8.0, "a wait so long is looked into: a deadlock, or resources held for good, is told"
    )
    # -- actors
    dead_actors = Limit("actors", 1000, "dead actors remembered, so that late callers learn why")
    restart_delay_s = Limit("seconds", 0.1, "before the second restart of an actor that died in __init__; doubles")
    restart_delay_max_s = Limit("seconds", 5.0, "where the doubling stops")
    dead_processes = Limit("processes", 1000, "dead workers and drivers remembered for lists")
    # -- placement groups
    removed_groups = Limit("groups", 1000, "removed placement groups remembered, so that late users learn why")
    group_retry_s = Limit("seconds", 0.05, "before a group that does not fit is tried again; doubles")
    group_retry_max_s = Limit("seconds", 2.0, "where the doubling stops")
    metric_series = Limit(
        "series", 10_000, "metrics of applications, each with one set of tags; then new ones are refused"
    )
    # -- runtime environments
    package_bytes = Limit("bytes", 500 * MIB, "largest working_dir or py_module; a larger one is refused")
    environments = Limit("environments", 10, "virtual environments of this user kept on disk; then the oldest go")
    # -- events
    event_bytes = Limit("bytes", 32 * MIB, "newest event records kept by the daemon")
    event_period_s = Limit("seconds", 0.05, "between drains of the event rings while something happens")
    event_idle_s = Limit("seconds", 0.5, "between drains while nothing happens")
    # -- logs
    log_bytes = Limit("bytes", 64 * MIB, "largest log of a worker; then it is emptied")
    log_check_s = Limit("seconds", 2.0, "between looks at the sizes of logs, while something happens")
    dead_logs = Limit("files", 500, "logs of dead workers kept; then the oldest go")
    log_tail_lines = Limit("lines", 20, "of a dead worker's log, in the notice of its death")
    log_tail_bytes = Limit("bytes", 8 * KIB, "the same, in bytes")
    # -- figures over time
    usage_period_s = Limit("seconds", 0.25, "between two samples of CPU, memory and GPUs, while somebody looks")
    usage_samples = Limit("samples", 2400, "newest samples kept: 10 minutes")
    usage_linger_s = Limit("seconds", 30.0, "sampling goes on so long after the last look")
    # -- memory
    object_store_share = Limit("ratio", 0.3, "part of the available memory that the object store takes")
    object_store_min_bytes = Limit("bytes", 16 * MIB, "smallest object store")
    warm_ahead_bytes = Limit("bytes", 128 * MIB, "free store memory that is backed ahead of demand")
    warm_step_bytes = Limit("bytes", 1 * MIB, "the same, per step")
    # -- spilling
    spill_from_share = Limit("ratio", 0.8, "part of the object store in use from which objects are spilled")
    spill_to_share = Limit("ratio", 0.7, "down to this part")
    spill_object_bytes = Limit("bytes", 4 * KIB, "smaller objects are spilled only where room is needed just there")
    spill_file_bytes = Limit("bytes", 100 * MIB, "a spill file of this size gets nothing more")
    spill_disk_share = Limit("ratio", 0.95, "part of the disk that may be in use after spilling")
    room_wait_s = Limit("seconds", 6.0, "without any progress, before a full store or a missing value is an error")
    argument_wait_s = Limit(
        "seconds", 600.0, "the same for an argument that a task waits for while others use the memory"
    )
    disk_wait_s = Limit("seconds", 2.0, "the same when the disk for spilling is full")
    # -- running out of memory
    memory_limit_share = Limit("ratio", 0.95, "of the node's memory in use, from which a worker is ended; 0: never")
    memory_limit_bytes = Limit(
        "bytes", 0, "memory that the workers may have together; 0: the cgroup's or the machine's"
    )
    memory_look_s = Limit("seconds", 0.25, "between looks at that, and at how full the store is")
    oom_retry_s = Limit("seconds", 1.0, "before a task that was ended for that runs again; doubles")
    # -- lineage
    lineage_bytes = Limit("bytes", 1024 * MIB, "of tasks remembered by one owner to make their results again")
    lineage_store_share = Limit("ratio", 0.1, "part of the store that their arguments by value may take")
    # -- starting and ending a node
    node_start_s = Limit("seconds", 20.0, "from launching a daemon to its answer")

    def __init__(self, changed: Mapping[str, int | float] | None = None) -> None:
        self.changed: dict[str, Any] = {}
        for name, value in (changed or {}).items():
            row = self.rows().get(name)
            if row is None:
                raise ValueError(f"there is no limit {name!r}")
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
                raise ValueError(f"limit {name} is a number of {row.unit}, not {value!r}")
            self.changed[name] = type(row.default)(value)

    @classmethod
    def rows(cls) -> dict[str, Limit[Any]]:
        """Return the whole table by name."""
        return {name: row for name, row in vars(cls).items() if isinstance(row, Limit)}

    @staticmethod
    def of_ray(name: Any, value: Any) -> tuple[str, Any] | None:
        """Return (limit, value) that a setting of Ray means; None for one that means nothing here."""
        if name == _MEMORY_LOOKS and value == 0:
            return "memory_limit_share", 0
        limit = RAYS_SETTINGS.get(name)
        if limit is None:
            return None
        return limit, value / 1000 if name.endswith("_ms") and isinstance(value, (int, float)) else value

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Limits:
        """Read the limits that ``environ`` sets; a value that is no number raises ValueError."""
        changed: dict[str, int | float] = {}
        for name in (*RAYS_SETTINGS, _MEMORY_LOOKS):
            if RAYS_PREFIX + name in environ:
                meant = cls.of_ray(name, _number(RAYS_PREFIX + name, environ, float, "a number"))
                changed.update([meant] if meant else [])
        for name, row in cls.rows().items():
            if row.env in environ:
                changed[name] = _number(row.env, environ, type(row.default), f"a number of {row.unit}")
        return cls(changed)

    def __iter__(self) -> Iterator[tuple[str, int | float]]:
        for name in self.rows():
            yield name, getattr(self, name)


def _number(variable: str, environ: Mapping[str, str], kind: Callable[[str], Any], what: str) -> Any:
    try:
        return kind(environ[variable])
    except ValueError:
        raise ValueError(f"{variable}={environ[variable]!r}: expected {what}") from None
