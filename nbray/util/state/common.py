"""The rows that the state API returns: one class per resource, with Ray's column names. (The module's name is Ray's.)"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field, fields
from typing import Any

from nbray.job_submission import JobStatus

DETAIL = {"detail": True}
DEFAULT_LIMIT = 100
DEFAULT_TIMEOUT_S = 30


class StateResource(enum.Enum):
    """What can be listed."""

    ACTORS = "actors"
    JOBS = "jobs"
    PLACEMENT_GROUPS = "placement_groups"
    NODES = "nodes"
    WORKERS = "workers"
    TASKS = "tasks"
    OBJECTS = "objects"
    RUNTIME_ENVS = "runtime_envs"
    CLUSTER_EVENTS = "cluster_events"


class SummaryResource(enum.Enum):
    """What can be counted."""

    ACTORS = "actors"
    TASKS = "tasks"
    OBJECTS = "objects"


@dataclass
class ListApiOptions:
    """What ``StateApiClient.list`` is asked for; the parameters of ``list_tasks`` and its like."""

    limit: int = DEFAULT_LIMIT
    timeout: float = DEFAULT_TIMEOUT_S
    detail: bool = False
    filters: list[tuple[str, str, Any]] = field(default_factory=list)
    exclude_driver: bool = True  # leaves drivers out of the tasks
    server_timeout_multiplier: float = 0.8  # without effect: there is no server between


@dataclass
class GetApiOptions:
    """What ``StateApiClient.get`` is asked for."""

    timeout: float = DEFAULT_TIMEOUT_S
    server_timeout_multiplier: float = 0.8


@dataclass
class SummaryApiOptions:
    """What ``StateApiClient.summary`` is asked for."""

    timeout: float = DEFAULT_TIMEOUT_S
    filters: list[tuple[str, str, Any]] = field(default_factory=list)
    summary_by: str | None = None  # there is one grouping per resource


@dataclass
class Row:
    """Columns as attributes and, as in Ray, also as items."""

    def __getitem__(self, column: str) -> Any:
        return getattr(self, column)

    def __iter__(self) -> Any:
        return iter(self.asdict())

    def keys(self) -> Any:
        """Return the names of the columns."""
        return self.asdict().keys()

    def get(self, column: str, default: Any = None) -> Any:
        """Return a column, or ``default`` when there is none of that name."""
        return getattr(self, column, default)

    def asdict(self) -> dict[str, Any]:
        """Return the columns by name."""
        columns = {one.name: getattr(self, one.name) for one in fields(self)}
        return {name: value.asdict() if isinstance(value, Row) else value for name, value in columns.items()}

    @classmethod
    def columns(cls, detail: bool = True) -> list[str]:
        """Return the names of the columns; without ``detail`` those that lists show."""
        return [one.name for one in fields(cls) if detail or not one.metadata.get("detail")]


@dataclass
class TaskState(Row):
    task_id: str
    attempt_number: int
    name: str
    state: str
    job_id: str
    actor_id: str | None
    type: str
    func_or_class_name: str
    parent_task_id: str | None
    node_id: str | None
    worker_id: str | None
    worker_pid: int | None
    error_type: str | None
    language: str | None = field(default=None, metadata=DETAIL)
    required_resources: dict[str, float] | None = field(default=None, metadata=DETAIL)
    runtime_env_info: Any = field(default=None, metadata=DETAIL)
    placement_group_id: str | None = field(default=None, metadata=DETAIL)
    events: list[Any] | None = field(default=None, metadata=DETAIL)
    profiling_data: Any = field(default=None, metadata=DETAIL)
    creation_time_ms: int | None = field(default=None, metadata=DETAIL)
    start_time_ms: int | None = field(default=None, metadata=DETAIL)
    end_time_ms: int | None = field(default=None, metadata=DETAIL)
    task_log_info: Any = field(default=None, metadata=DETAIL)
    error_message: str | None = field(default=None, metadata=DETAIL)
    is_debugger_paused: bool | None = field(default=None, metadata=DETAIL)
    call_site: str | None = field(default=None, metadata=DETAIL)
    label_selector: dict[str, str] | None = field(default=None, metadata=DETAIL)
    fallback_strategy: Any = field(default=None, metadata=DETAIL)


@dataclass
class ActorState(Row):
    actor_id: str
    class_name: str
    state: str
    job_id: str
    name: str | None
    node_id: str | None
    pid: int | None
    ray_namespace: str | None
    serialized_runtime_env: str | None = field(default=None, metadata=DETAIL)
    required_resources: dict[str, float] | None = field(default=None, metadata=DETAIL)
    death_cause: dict[str, Any] | None = field(default=None, metadata=DETAIL)
    is_detached: bool | None = field(default=None, metadata=DETAIL)
    placement_group_id: str | None = field(default=None, metadata=DETAIL)
    repr_name: str | None = field(default=None, metadata=DETAIL)
    num_restarts: int | None = field(default=None, metadata=DETAIL)
    num_restarts_due_to_lineage_reconstruction: int | None = field(default=None, metadata=DETAIL)
    num_restarts_due_to_node_preemption: int | None = field(default=None, metadata=DETAIL)
    call_site: str | None = field(default=None, metadata=DETAIL)
    label_selector: dict[str, str] | None = field(default=None, metadata=DETAIL)
    fallback_strategy: Any = field(default=None, metadata=DETAIL)


@dataclass
class NodeState(Row):
    node_id: str
    node_ip: str
    is_head_node: bool
    state: str
    state_message: str | None
    node_name: str
    resources_total: dict[str, float]
    labels: dict[str, str]
    start_time_ms: int | None = field(default=None, metadata=DETAIL)
    end_time_ms: int | None = field(default=None, metadata=DETAIL)


@dataclass
class DriverInfo(Row):
    id: str
    node_ip_address: str
    pid: str


@dataclass
class JobState(Row):
    job_id: str
    submission_id: str | None
    type: str
    status: JobStatus
    entrypoint: str
    message: str | None
    error_type: str | None
    start_time: int | None
    end_time: int | None
    metadata: dict[str, str]
    runtime_env: dict[str, Any]
    driver_info: DriverInfo | None
    driver_agent_http_address: str | None = None
    driver_node_id: str | None = None
    driver_exit_code: int | None = None
    namespace: str | None = None


@dataclass
class WorkerState(Row):
    worker_id: str
    is_alive: bool
    worker_type: str
    exit_type: str | None
    node_id: str
    ip: str
    pid: int
    exit_detail: str | None = field(default=None, metadata=DETAIL)
    worker_launch_time_ms: int | None = field(default=None, metadata=DETAIL)
    worker_launched_time_ms: int | None = field(default=None, metadata=DETAIL)
    start_time_ms: int | None = field(default=None, metadata=DETAIL)
    end_time_ms: int | None = field(default=None, metadata=DETAIL)
    debugger_port: int | None = field(default=None, metadata=DETAIL)
    num_paused_threads: int | None = field(default=None, metadata=DETAIL)
    job_id: str | None = field(default=None, metadata=DETAIL)
    log_file: str | None = field(default=None, metadata=DETAIL)


@dataclass
class ObjectState(Row):
    object_id: str
    object_size: int
    task_status: str
    reference_type: str
    call_site: str
    type: str
    pid: int
    ip: str
    attempt_number: int | None = None


@dataclass
class PlacementGroupState(Row):
    placement_group_id: str
    name: str
    creator_job_id: str
    state: str
    bundles: list[dict[str, Any]] | None = field(default=None, metadata=DETAIL)
    is_detached: bool | None = field(default=None, metadata=DETAIL)
    stats: dict[str, Any] | None = field(default=None, metadata=DETAIL)


@dataclass
class RuntimeEnvState(Row):
    runtime_env: Any
    success: bool
    creation_time_ms: float | None
    node_id: str
    ref_cnt: int
    error: str | None = None


@dataclass
class ClusterEventState(Row):
    severity: str
    time: str
    source_type: str
    message: str
    event_id: str
    custom_fields: dict[str, Any] | None = field(default=None, metadata=DETAIL)
