"""The surroundings that an owner gives to the tasks that it sends: its job, path, folder, variables."""

from __future__ import annotations

import os
import pickle
import sys
from typing import Any

from nbray import ray_alias
from nbray._cstore import lib
from nbray.core import current, visible_gpus
from nbray.core.logging_config import LoggingConfig
from nbray.options import UNIT
from nbray.worker.executor_state import CONSTRUCTOR, SELF, ExecutorState

OF_ONE_TASK = (
    "gpu_ids",
    "resources",
    "group",
    "captures",
    "environment",
    "children",
)  # of a context, what children do not inherit


class OwnerSurroundings(ExecutorState):
    """Take over the surroundings of whoever owns the task."""

    def _enter(self, chan: int) -> None:
        """Take over the surroundings of the owner behind ``chan``."""
        self.channel = chan
        context = self.contexts.get(chan, {})
        core = self.core
        if chan >= 0:
            self.owner = lib.nbs_chan_peer(self.seg, chan)
        else:
            self.owner = core.peer if chan == SELF else self.actor_spec["owner"]
        core.running_slot = self.owner & 0xFFFFFFFF
        self.capture.origin = core.origin = self.origins.get(chan, "")
        if not context:
            return
        core.depth = context.get("depth", 1)
        if self.actor_id and chan != CONSTRUCTOR:
            if context.get("as_ray"):
                ray_alias.follow(context["as_ray"])
            return  # an actor keeps its job's surroundings, whoever calls it
        self.take_over(context)

    def take_over(self, context: dict[str, Any]) -> None:
        """Make an owner's surroundings those of this process."""
        core = self.core
        core.job_id = context.get("job_id", core.job_id)
        core.namespace = context.get("namespace", "")
        core.default_lifetime = context.get("default_lifetime", "non_detached")
        if "logging" in context and context["logging"] != self._logging:
            self._logging = context["logging"]
            LoggingConfig.from_dict(self._logging).apply()
        children = context.get("children")
        if children is None:
            children = context["children"] = context_for_children(context)
        core.context = children
        ray_alias.follow(context.get("as_ray", ""))
        path = context.get("sys_path")
        if path is not None:
            wanted = self.environment.module_path(path)
            if sys.path != wanted:
                sys.path[:] = wanted
        cpus = context.get("resources", {}).get("CPU", 0)
        if not context.get("threads_set") and not self.environment.fixes(
            "OMP_NUM_THREADS"
        ):  # the driver says nothing: numerical libraries keep to the task's CPUs
            os.environ["OMP_NUM_THREADS"] = str(max(1, cpus // UNIT))
        cwd = self.environment.working_dir or context.get("cwd")
        if cwd:
            try:
                if os.getcwd() != cwd:
                    os.chdir(cwd)
            except OSError:
                pass  # the driver's directory is not there (any more)
        for name, value in context.get("environ", {}).items():
            os.environ[name] = value
        environment = context.get("environment")
        if environment is not None and self.environment.present is None:
            self.core.environments.own = environment
            self.environment.enter(environment)
            self.take_over(context)  # with its folders, its working directory
            return
        self.group = context.get("group", "")
        self.captures = bool(context.get("captures"))
        current.capture(self.group if self.captures else "")
        gpu_ids = context.get("gpu_ids")
        if gpu_ids is not None and gpu_ids != self.gpu_ids and self.actor is None:  # an actor keeps its own
            self._use_gpus(gpu_ids)

    def _use_gpus(self, gpu_ids: list[int]) -> None:
        self.gpu_ids = gpu_ids
        visible_gpus.show(os.environ, self.shown_gpus(), self.gpus_before)

    def shown_gpus(self) -> list[Any]:
        """Return the GPUs of the running task or actor as CUDA knows them here: by number or by name."""
        return [self.gpu_names.get(number, number) for number in self.gpu_ids]


def context_for_children(context: dict[str, Any]) -> bytes:
    """Return the context that this worker, as an owner, gives to workers it leases."""
    inherited = {k: v for k, v in context.items() if k not in OF_ONE_TASK}
    inherited["depth"] = context.get("depth", 1) + 1
    return pickle.dumps(inherited)
