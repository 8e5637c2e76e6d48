"""The jobs of the cluster: one per driver.

Pure. A job is RUNNING from its driver's registration until the driver leaves or dies, then
FINISHED or FAILED for good.
"""

from __future__ import annotations

RUNNING, FINISHED, FAILED = "RUNNING", "FINISHED", "FAILED"

MAX_ENDED = 1000  # ended jobs remembered


class JobRecord:
    """One job."""

    __slots__ = (
        "driver", "ended_at", "entrypoint", "job_id", "metadata", "namespace", "pid", "runtime_env", "started_at", "state",
    )  # fmt: skip

    def __init__(
        self, job_id: int, driver: int, pid: int, namespace: str, now: float, entrypoint: str, metadata: dict[str, str],
        runtime_env: str,
    ) -> None:  # fmt: skip
        self.job_id = job_id
        self.driver = driver  # peer
        self.pid = pid
        self.namespace = namespace
        self.started_at = now
        self.ended_at = 0.0
        self.state = RUNNING
        self.entrypoint = entrypoint  # command line
        self.metadata = metadata
        self.runtime_env = runtime_env  # JSON, or as much of it as is kept


class JobTable:
    """Job id -> record."""

    def __init__(self) -> None:
        self.jobs: dict[int, JobRecord] = {}
        self._by_driver: dict[int, int] = {}
        self._next_id = 1

    def start(
        self,
        driver: int,
        pid: int,
        namespace: str,
        now: float,
        entrypoint: str = "",
        metadata: dict[str, str] | None = None,
        runtime_env: str = "",
    ) -> JobRecord:
        """Note a new driver; a driver that registers again keeps its job."""
        if driver in self._by_driver:
            return self.jobs[self._by_driver[driver]]
        job = JobRecord(self._next_id, driver, pid, namespace, now, entrypoint, metadata or {}, runtime_env)
        self._next_id += 1
        self.jobs[job.job_id] = job
        self._by_driver[driver] = job.job_id
        return job

    def end(self, driver: int, now: float, state: str = FINISHED) -> JobRecord | None:
        """Note that a driver left (FINISHED) or died (FAILED); None when it has no job."""
        if state not in (FINISHED, FAILED):
            raise ValueError(f"a job does not end as {state}")
        job_id = self._by_driver.pop(driver, None)
        if job_id is None:
            return None
        job = self.jobs[job_id]
        job.state, job.ended_at = state, now
        ended = [other for other in self.jobs.values() if other.state != RUNNING]
        for old in ended[: max(0, len(ended) - MAX_ENDED)]:
            del self.jobs[old.job_id]
        return job

    def has_ended(self, job_id: int) -> bool:
        """Tell whether a job is over; also when it is so long ago that it is forgotten."""
        job = self.jobs.get(job_id)
        return 0 < job_id < self._next_id and (job is None or job.state != RUNNING)

    def running(self) -> list[JobRecord]:
        """Return the jobs whose driver lives."""
        return [self.jobs[job_id] for job_id in self._by_driver.values()]

    def validate(self) -> None:
        """Raise AssertionError unless running jobs and drivers match one to one."""
        running = {job.driver: job.job_id for job in self.jobs.values() if job.state == RUNNING}
        assert running == self._by_driver, (running, self._by_driver)
