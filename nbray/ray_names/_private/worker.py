"""``global_worker``: what packages ask Ray's inner object about this process."""

from __future__ import annotations

from typing import Any

from nbray.api.objects import cancel, get, kill, put, wait
from nbray.api.runtime import init, is_initialized, shutdown
from nbray.api.runtime_context import get_gpu_ids
from nbray.core import current
from nbray.ids import JobID

SCRIPT_MODE = 0
WORKER_MODE = 1
LOCAL_MODE = 2
SPILL_WORKER_MODE = 3
RESTORE_WORKER_MODE = 4


class Worker:
    """This process as a part of the cluster."""

    @property
    def connected(self) -> bool:
        """Whether this process has a runtime."""
        return is_initialized()

    @property
    def mode(self) -> int | None:
        """SCRIPT_MODE in a driver, WORKER_MODE in a worker, None before ``init``."""
        if not self.connected:
            return None
        return SCRIPT_MODE if current.core.role == "driver" else WORKER_MODE

    @property
    def current_job_id(self) -> Any:
        """Id of the job."""
        return JobID.from_int(current.core.job_id)

    def check_connected(self) -> None:
        """Raise unless this process has a runtime."""
        if not self.connected:
            raise RuntimeError("nbray has not been started yet: call init() first.")


global_worker = Worker()

__all__ = [
    "LOCAL_MODE",
    "RESTORE_WORKER_MODE",
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
