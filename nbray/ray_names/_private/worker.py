"""``global_worker``: what packages ask Ray's inner object about this process."""

from __future__ import annotations

from typing import Any

from nbray.api.context import RayContext
from nbray.api.objects import cancel, get, kill, put, wait
from nbray.api.runtime import init, is_initialized, shutdown
from nbray.api.runtime_context import SCRIPT_MODE, WORKER_MODE, Worker, get_gpu_ids, global_worker
from nbray.ray_names.constants import RESTORE_WORKER_MODE, SPILL_WORKER_MODE

BaseContext = RayContext  # Ray's has two kinds
LOCAL_MODE = 2  # of older versions


def __getattr__(name: str) -> Any:
    """Give ``_global_node``, which is None before ``init`` and after ``shutdown``."""
    if name == "_global_node":
        return global_worker.node
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "BaseContext",
    "LOCAL_MODE",
    "RESTORE_WORKER_MODE",
    "RayContext",
    "SCRIPT_MODE",
    "SPILL_WORKER_MODE",
    "WORKER_MODE",
    "Worker",
    "cancel",
    "get",
    "get_gpu_ids",
    "global_worker",
    "init",
    "is_initialized",
    "kill",
    "put",
    "shutdown",
    "wait",
]
