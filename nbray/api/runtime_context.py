"""``get_runtime_context()``: what a task, actor or driver can know of itself."""

from __future__ import annotations

import os
import warnings
from typing import Any

from nbray import ids
from nbray.api import runtime
from nbray.api.actor_handle import handle_of_this_actor
from nbray.api.inner_objects import GcsClient, Node
from nbray.core import current
from nbray.options import UNIT
from nbray.runtime_env import RuntimeEnv

# Kinds that Ray knows: programs look them up by name. nbray gives out GPUs alone.
_OTHER_ACCELERATORS = ("TPU", "neuron_cores", "HPU", "NPU", "RBLN", "FURIOSA", "MBLT", "TTNPU")


SCRIPT_MODE, WORKER_MODE = 0, 1


class Worker:
    """This process as a part of the cluster, driver or worker: what packages ask Ray's inner object."""

    @property
    def connected(self) -> bool:
        """Whether this process has a runtime."""
        return runtime.is_initialized()

    @property
    def mode(self) -> int | None:
        """SCRIPT_MODE in a driver, WORKER_MODE in a worker, None before ``init``."""
        if not self.connected:
            return None
        return SCRIPT_MODE if current.core.role == "driver" else WORKER_MODE

    @property
    def current_job_id(self) -> ids.JobID:
        """Id of the job."""
        return ids.JobID.from_int(current.core.job_id)

    @property
    def current_node_id(self) -> ids.NodeID:
        """Id of the node."""
        return ids.NodeID(bytes.fromhex(current.core.node_id))

    @property
    def current_task_id(self) -> ids.TaskID:
        """Id of the task that runs here; nil where none does."""
        task = get_runtime_context().get_task_id()
        return ids.TaskID(bytes.fromhex(task) if task else ids.TaskID.nil().binary())

    @property
    def actor_id(self) -> ids.ActorID:
        """Id of the actor that this process is; nil where it is none."""
        actor = get_runtime_context().get_actor_id()
        return ids.ActorID(bytes.fromhex(actor) if actor else ids.ActorID.nil().binary())

    @property
    def worker_id(self) -> bytes:
        """Id of this process."""
        return bytes.fromhex(get_runtime_context().get_worker_id())

    @property
    def namespace(self) -> str:
        """Where the names of actors are looked for."""
        return get_runtime_context().namespace

    @property
    def node(self) -> Node | None:
        """The node on which this process runs; None before ``init``."""
        return Node() if self.connected else None

    @property
    def node_ip_address(self) -> str:
        """Address of that node."""
        return Node().node_ip_address

    @property
    def gcs_client(self) -> GcsClient:
        """The cluster's table of keys and values."""
        return GcsClient()

    def check_connected(self) -> None:
        """Raise unless this process has a runtime."""
        if not self.connected:
            raise RuntimeError("nbray has not been started yet: call init() first.")


global_worker = Worker()


class RuntimeContext:
    """Facts about where this code runs."""

    def __init__(self, core: Any) -> None:
        self._core = core
        self._executor = getattr(core, "executor", None)
        self.worker = global_worker

    def get_job_id(self) -> str:
        """Return the id of the job, as hex digits."""
        return ids.JobID.from_int(self._core.job_id).hex()

    def get_node_id(self) -> str:
        """Return the id of the node this process runs on."""
        return self._core.node_id

    def get_worker_id(self) -> str:
        """Return the id of this process."""
        return ids.worker_id(self._core.peer)

    def get_task_id(self) -> str | None:
        """Return the id of the running task; None in a driver."""
        if self._executor is None:
            return None
        owner, number, _ = self._executor.running()
        return ids.task_id(owner, number, self._core.cluster_id).hex()

    def get_task_name(self) -> str | None:
        """Return the name of the running task; None in a driver."""
        return self._executor.running()[2] if self._executor is not None else None

    def get_task_function_name(self) -> str | None:
        """Return the name of the function that runs; None in a driver."""
        return self._executor.function_name() if self._executor is not None else None

    def is_canceled(self) -> bool:
        """Tell whether the caller has cancelled what runs here.

        Raises
        ------
        RuntimeError
            In a driver, and in a coroutine, which gets a CancelledError instead.
        """
        if self._executor is None:
            raise RuntimeError("is_canceled() is for tasks and actors; this process is a driver.")
        return self._executor.is_cancelled()

    def get_actor_id(self) -> str | None:
        """Return the id of the actor this process is; None when it is none."""
        return (self._executor.actor_id or None) if self._executor is not None else None

    def get_actor_name(self) -> str | None:
        """Return the name of this actor; None when this is no actor."""
        if self._executor is None or self.get_actor_id() is None:
            return None
        return self._executor.actor_spec["options"].get("name") or ""

    @property
    def namespace(self) -> str:
        return self._core.namespace

    @property
    def was_current_actor_reconstructed(self) -> bool:
        """Whether this actor has been restarted; False in a task."""
        return self._worker("was_current_actor_reconstructed").incarnation > 0

    @property
    def current_actor(self) -> Any:
        """Return a handle of the actor this process is."""
        if self.get_actor_id() is None:
            raise RuntimeError("This method is only available in an actor.")
        return handle_of_this_actor(self._core, self._executor)

    def get_placement_group_id(self) -> str | None:
        """Return the id of the placement group that this task or actor runs in; None when in none."""
        return (self._executor.group or None) if self._executor is not None else None

    @property
    def current_placement_group_id(self) -> ids.BaseID:
        """The placement group, as an id (Ray's older form); that of none, ``is_nil()``, when in none."""
        group = self.get_placement_group_id()
        return ids.PlacementGroupID(bytes.fromhex(group)) if group else ids.PlacementGroupID.nil()

    @property
    def should_capture_child_tasks_in_placement_group(self) -> bool:
        """Whether what this task or actor submits runs in its placement group; False in a driver."""
        return self._executor is not None and bool(self._executor.captures)

    def get_node_labels(self) -> dict[str, str]:
        """Return the labels of this node."""
        return dict(self._core.labels)

    def get_assigned_resources(self) -> dict[str, float]:
        """Return the resources the running task or actor has."""
        resources = self._worker("get_assigned_resources()").resources()
        return {name: value / UNIT for name, value in resources.items()}

    def get_accelerator_ids(self) -> dict[str, list[str]]:
        """Return the ids of the accelerators of this task or actor."""
        gpus = self._executor.shown_gpus() if self._executor is not None else []
        return {"GPU": [str(g) for g in gpus], **{kind: [] for kind in _OTHER_ACCELERATORS}}

    def get_resource_ids(self) -> dict[str, list[str]]:
        """Return what get_accelerator_ids returns (Ray's older name)."""
        _deprecated("get_resource_ids()", "get_accelerator_ids()")
        return self.get_accelerator_ids()

    @property
    def runtime_env(self) -> RuntimeEnv:
        """The runtime environment of this task, actor or driver."""
        own = self._core.environments.own
        return own.spec if own is not None else RuntimeEnv()

    def get_runtime_env_string(self) -> str:
        """Return the runtime environment as JSON."""
        return self.runtime_env.serialize()

    def get_temp_dir(self) -> str:
        """Return the folder that the sessions' folders lie in."""
        return os.path.dirname(self._core.session_dir.rstrip("/"))

    def _worker(self, what: str) -> Any:
        if self._executor is None:
            raise AssertionError(f"{what} is for tasks and actors; this process is a driver.")
        return self._executor

    def get_session_name(self) -> str:
        """Return the name of the cluster's session."""
        return self._core.session_dir.rstrip("/").rpartition("/")[2]

    def get(self) -> dict[str, Any]:
        """Return the main facts as a dict (Ray's older form)."""
        _deprecated("get()", "get_job_id(), get_node_id() and their kin")
        facts = {
            "job_id": ids.JobID.from_int(self._core.job_id), "node_id": ids.NodeID(bytes.fromhex(self._core.node_id)),
            "namespace": self.namespace,
        }  # fmt: skip
        task, actor = self.get_task_id(), self.get_actor_id()
        if task:
            facts["task_id"] = ids.TaskID(bytes.fromhex(task))
        if actor:
            facts["actor_id"] = ids.ActorID(bytes.fromhex(actor))
        return facts

    @property
    def job_id(self) -> ids.JobID:
        """The job, as an id (Ray's older form)."""
        _deprecated("job_id", "get_job_id()")
        return ids.JobID.from_int(self._core.job_id)

    @property
    def node_id(self) -> ids.NodeID:
        """The node, as an id (Ray's older form)."""
        _deprecated("node_id", "get_node_id()")
        return ids.NodeID(bytes.fromhex(self._core.node_id))

    @property
    def task_id(self) -> ids.TaskID:
        """The running task, as an id (Ray's older form)."""
        _deprecated("task_id", "get_task_id()")
        self._worker("task_id")
        return ids.TaskID(bytes.fromhex(self.get_task_id() or ""))

    @property
    def actor_id(self) -> ids.ActorID | None:
        """The actor that this process is, as an id (Ray's older form)."""
        _deprecated("actor_id", "get_actor_id()")
        self._worker("actor_id")
        actor = self.get_actor_id()
        return ids.ActorID(bytes.fromhex(actor)) if actor else None

    @property
    def gcs_address(self) -> str:
        return self._core.session_dir


def _deprecated(name: str, instead: str) -> None:
    warnings.warn(f"RuntimeContext.{name} is deprecated; use {instead}.", DeprecationWarning, stacklevel=3)


def get_runtime_context() -> RuntimeContext:
    """Return what this code can know of itself; starts a cluster when there is none."""
    return RuntimeContext(runtime.require_core())


def get_gpu_ids() -> list[int | str]:
    """Return the ids of the GPUs that this task or actor may use: numbers, or names where CUDA_VISIBLE_DEVICES has names."""
    executor = getattr(runtime.require_core(), "executor", None)
    return executor.shown_gpus() if executor is not None else []
