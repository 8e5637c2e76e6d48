"""Jobs that run on their own: submit a command, look after it, read its output. Mirrors ``ray.job_submission``.

A job's command runs in a process of its own, looked after by a *supervisor* that outlives whoever
submitted it and ends with the cluster. Its facts lie in the session's folder (``JOBS``), its output in
``logs/job-driver-ID.log``.
"""

from __future__ import annotations

import asyncio
import codecs
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from nbray.core.surroundings import working_directory
from nbray.node import discovery, process_control
from nbray.node.discovery import LiveSession
from nbray.session_layout import JOBS, LOGS

FACTS = "job.json"
_HERE = re.compile(r"^https?://(127\.0\.0\.1|localhost)(:\d+)?/?$")
_ENVIRONMENT = ("RAY_API_SERVER_ADDRESS", *discovery.ENVIRONMENT)
_ID = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")
_START_S = 30.0  # for a supervisor to begin
_TAIL_EVERY_S = 0.2

__all__ = ["DriverInfo", "JobDetails", "JobErrorType", "JobInfo", "JobStatus", "JobSubmissionClient", "JobType"]


class JobStatus(str, Enum):
    """Where a job is in its life."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    STOPPED = "STOPPED"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"

    def __str__(self) -> str:
        return self.value

    def is_terminal(self) -> bool:
        """Tell whether it is over."""
        return self in (JobStatus.STOPPED, JobStatus.SUCCEEDED, JobStatus.FAILED)


class JobErrorType(str, Enum):
    """Why a job failed, in Ray's words; here it is its command, or the process that looks after it (JOB_SUPERVISOR_ACTOR_DIED)."""

    RUNTIME_ENV_SETUP_FAILURE = "RUNTIME_ENV_SETUP_FAILURE"
    JOB_SUPERVISOR_ACTOR_START_TIMEOUT = "JOB_SUPERVISOR_ACTOR_START_TIMEOUT"
    JOB_SUPERVISOR_ACTOR_START_FAILURE = "JOB_SUPERVISOR_ACTOR_START_FAILURE"
    JOB_SUPERVISOR_ACTOR_UNSCHEDULABLE = "JOB_SUPERVISOR_ACTOR_UNSCHEDULABLE"
    JOB_SUPERVISOR_ACTOR_UNKNOWN_FAILURE = "JOB_SUPERVISOR_ACTOR_UNKNOWN_FAILURE"
    JOB_SUPERVISOR_ACTOR_DIED = "JOB_SUPERVISOR_ACTOR_DIED"
    JOB_ENTRYPOINT_COMMAND_START_ERROR = "JOB_ENTRYPOINT_COMMAND_START_ERROR"
    JOB_ENTRYPOINT_COMMAND_ERROR = "JOB_ENTRYPOINT_COMMAND_ERROR"

    def __str__(self) -> str:
        return self.value


class JobType(str, Enum):
    """Whether a job was submitted, or is a driver that joined by itself."""

    SUBMISSION = "SUBMISSION"
    DRIVER = "DRIVER"


@dataclass
class DriverInfo:
    """The driver of a job."""

    id: str
    node_ip_address: str
    pid: str


@dataclass
class JobDetails:
    """What is known of a job; times in milliseconds since the epoch."""

    submission_id: str
    entrypoint: str
    status: JobStatus = JobStatus.PENDING
    message: str | None = None
    error_type: str | None = None
    start_time: int | None = None
    end_time: int | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    runtime_env: dict[str, Any] = field(default_factory=dict)
    driver_exit_code: int | None = None
    type: JobType = JobType.SUBMISSION
    job_id: str | None = None
    driver_info: DriverInfo | None = None
    driver_agent_http_address: str | None = None
    driver_node_id: str | None = None


JobInfo = JobDetails


class JobSubmissionClient:
    """Submits jobs to a cluster of this machine.

    Parameters
    ----------
    address : str, optional
        As for ``init``; an ``http://`` address of this machine, as Ray has it, means the newest cluster. Without
        it ``RAY_API_SERVER_ADDRESS`` speaks, then what speaks for ``init``.

    Raises
    ------
    ConnectionError
        When there is no such cluster.
    """

    def __init__(self, address: str | None = None, *args: Any, **kwargs: Any) -> None:
        if address in (None, "auto"):
            address = next((os.environ[name] for name in _ENVIRONMENT if os.environ.get(name)), "auto")
        assert address is not None
        if _HERE.match(address):  # Ray's server for jobs, at any port
            session = next(iter(discovery.live_sessions()), None)
        else:
            session = discovery.resolve(address, looking=True)
        if session is None:
            raise ConnectionError(f"address={address!r} names no cluster that runs.")
        self._session: LiveSession = session

    def get_address(self) -> str:
        """Return the folder of the cluster's session."""
        return self._session.path

    def get_version(self) -> str:
        """Return the version of this interface, as Ray counts it."""
        return "4"

    # -------------------------------------------------------------------- submitting

    def submit_job(
        self, *, entrypoint: str, submission_id: str | None = None, job_id: str | None = None,
        runtime_env: dict[str, Any] | None = None, metadata: dict[str, str] | None = None, **resources: Any,
    ) -> str:  # fmt: skip
        """Start a job; returns its id at once.

        Parameters
        ----------
        entrypoint : str
            A command line for the shell.
        submission_id : str, optional
            Letters, digits, ``_``, ``.`` and ``-``; one that was not used before.
        runtime_env : dict, optional
            ``working_dir`` (a folder) and ``env_vars`` are applied to the command too; all of it to its workers.
        metadata : dict of str to str, optional
        **resources
            ``entrypoint_num_cpus`` and its kin: refused above zero, as the command itself runs outside of the scheduler.

        Raises
        ------
        ValueError, TypeError
            For arguments of another form, or an id that is taken.
        RuntimeError
            When the job does not start.
        """
        if not isinstance(entrypoint, str) or not entrypoint.strip():
            raise TypeError("entrypoint is a command line.")
        for name, value in resources.items():
            if name not in (
                "entrypoint_num_cpus",
                "entrypoint_num_gpus",
                "entrypoint_memory",
                "entrypoint_resources",
                "entrypoint_label_selector",
            ):
                raise TypeError(f"submit_job() got an unexpected keyword argument {name!r}")
            if value:
                raise ValueError(f"{name}={value!r}: the command itself takes no resources; its tasks do.")
        given = submission_id or job_id or f"raysubmit_{secrets.token_hex(8)}"
        if not _ID.match(given):
            raise ValueError(f"submission_id={given!r}: give up to 100 letters, digits, '_', '.' and '-'.")
        for key, text in (metadata or {}).items():
            if not isinstance(key, str) or not isinstance(text, str):
                raise TypeError(f"metadata maps strings to strings, unlike {key!r}: {text!r}.")
        folder = self._folder(given)
        os.makedirs(os.path.dirname(folder), mode=0o700, exist_ok=True)
        try:
            os.mkdir(folder, 0o700)
        except FileExistsError:
            raise ValueError(f"Job with submission_id {given} already exists.") from None
        facts = {
            "submission_id": given, "entrypoint": entrypoint, "status": "PENDING", "metadata": metadata or {},
            "runtime_env": runtime_env or {}, "start_time": int(time.time() * 1000),
            "cwd": (runtime_env or {}).get("working_dir") or working_directory(),
        }  # fmt: skip
        write_facts(folder, facts)
        log = os.open(self._log_path(given), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            process = subprocess.Popen(
                [sys.executable, "-m", "nbray.api.job_supervisor", self._session.path, given],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        finally:
            os.close(log)
        deadline = time.monotonic() + _START_S
        while read_facts(folder)["status"] == "PENDING":
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"The job did not start: {self.get_job_logs(given)[-1000:]}")
            time.sleep(0.01)
        process.returncode = 0  # it goes on without us
        return given

    # ------------------------------------------------------------------------ looking

    def get_job_info(self, job_id: str) -> JobDetails:
        """Return what is known of a job; raises RuntimeError when there is none of that id."""
        facts = self._facts(job_id)
        if facts["status"] in ("PENDING", "RUNNING") and not process_control.is_alive(
            facts.get("supervisor_pid", os.getpid()),
            facts.get("supervisor_start", process_control.start_time(os.getpid())),
        ):
            facts.update(
                status="FAILED", message="The process that looked after the job was killed.",
                error_type=JobErrorType.JOB_SUPERVISOR_ACTOR_DIED.value,
            )  # fmt: skip
        return JobDetails(
            submission_id=job_id, entrypoint=facts["entrypoint"], status=JobStatus(facts["status"]),
            message=facts.get("message"), error_type=facts.get("error_type"), start_time=facts.get("start_time"), end_time=facts.get("end_time"),
            metadata=facts["metadata"], runtime_env=facts["runtime_env"], driver_exit_code=facts.get("exit_code"),
        )  # fmt: skip

    def get_job_status(self, job_id: str) -> JobStatus:
        """Return where a job is in its life."""
        return self.get_job_info(job_id).status

    def list_jobs(self) -> list[JobDetails]:
        """Return all jobs that were submitted to this cluster, the oldest first."""
        parent = os.path.dirname(self._folder("x"))
        names = os.listdir(parent) if os.path.isdir(parent) else []
        return sorted((self.get_job_info(name) for name in names), key=lambda job: job.start_time or 0)

    def get_job_logs(self, job_id: str) -> str:
        """Return all that a job has written."""
        self._facts(job_id)
        with open(self._log_path(job_id), encoding="utf-8", errors="replace") as file:
            return file.read()

    async def tail_job_logs(self, job_id: str) -> AsyncIterator[str]:
        """Yield what a job writes, from the beginning to its end."""
        self._facts(job_id)
        decoder = codecs.getincrementaldecoder("utf-8")("replace")  # a character may come in two pieces
        with open(self._log_path(job_id), "rb") as file:
            while True:
                over = self.get_job_status(job_id).is_terminal()
                text = decoder.decode(file.read(), over)
                if text:
                    yield text
                elif over:
                    return
                else:
                    await asyncio.sleep(_TAIL_EVERY_S)

    # ------------------------------------------------------------------------- ending

    def stop_job(self, job_id: str) -> bool:
        """Ask a job to end (SIGTERM, after 3 s SIGKILL); returns False when it was over."""
        if self.get_job_status(job_id).is_terminal():
            return False
        facts = self._facts(job_id)
        pidfd = process_control.open_pidfd(facts["supervisor_pid"])
        if pidfd < 0:
            return False
        try:
            alive = process_control.is_alive(facts["supervisor_pid"], facts["supervisor_start"])
            return alive and process_control.send_signal(pidfd, signal.SIGTERM)
        finally:
            os.close(pidfd)

    def delete_job(self, job_id: str) -> bool:
        """Forget a job that is over; raises RuntimeError while it runs."""
        if not self.get_job_status(job_id).is_terminal():
            raise RuntimeError(f"Job {job_id} runs; stop it first.")
        shutil.rmtree(self._folder(job_id))
        return True

    def _facts(self, job_id: str) -> dict[str, Any]:
        try:
            return read_facts(self._folder(job_id))
        except (OSError, ValueError):
            raise RuntimeError(f"Job {job_id} does not exist.") from None

    def _folder(self, job_id: str) -> str:
        if not _ID.match(job_id):
            raise RuntimeError(f"Job {job_id} does not exist.")
        return os.path.join(self._session.path, JOBS, job_id)

    def _log_path(self, job_id: str) -> str:
        return log_path(self._session.path, job_id)


def log_path(session: str, job_id: str) -> str:
    """Return where a job's output goes."""
    return os.path.join(session, LOGS, f"job-driver-{job_id}.log")


def read_facts(folder: str) -> dict[str, Any]:
    """Return the facts of a job."""
    with open(os.path.join(folder, FACTS), encoding="utf-8") as file:
        return json.load(file)


def write_facts(folder: str, facts: dict[str, Any]) -> None:
    """Replace the facts of a job, whole or not at all."""
    path = os.path.join(folder, f"{FACTS}.{os.getpid()}")
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        json.dump(facts, file)
    os.rename(path, os.path.join(folder, FACTS))
