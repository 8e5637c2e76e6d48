"""``nbray job``: run scripts as drivers of the running cluster."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shlex
import signal
import sys
import time
from dataclasses import asdict
from enum import Enum
from typing import Any

from nbray.job_submission import JobDetails, JobStatus, JobSubmissionClient
from nbray.util.state.tables import as_json, table


def submit(given: argparse.Namespace) -> int:
    """Submit the entrypoint as a job and follow it to its end, unless told not to wait; returns its exit code."""
    command = [*given.entrypoint]
    if command and command[0] == "--":
        del command[0]
    if not command:
        raise ValueError("say what to run: nbray job submit script.py, or nbray job submit -- python script.py")
    if command[0].endswith(".py"):
        command.insert(0, sys.executable)
        script = os.path.join(given.working_dir or ".", command[1])
        if not os.path.isfile(script):
            raise FileNotFoundError(f"there is no script {script}.")
    if given.working_dir and not os.path.isdir(given.working_dir):
        raise FileNotFoundError(f"--working-dir: there is no folder {given.working_dir}.")
    environment = _environment(given.runtime_env, given.runtime_env_json)
    if given.working_dir:
        environment["working_dir"] = os.path.abspath(given.working_dir)
    client = JobSubmissionClient(given.address)
    submission = client.submit_job(
        entrypoint=shlex.join(command), submission_id=given.submission_id or given.job_id, runtime_env=environment,
        metadata=_json("--metadata-json", given.metadata_json), entrypoint_num_cpus=given.entrypoint_num_cpus,
        entrypoint_num_gpus=given.entrypoint_num_gpus, entrypoint_memory=given.entrypoint_memory,
        entrypoint_resources=_json("--entrypoint-resources", given.entrypoint_resources),
        entrypoint_label_selector=_json("--entrypoint-label-selector", given.entrypoint_label_selector),
    )  # fmt: skip
    if given.no_wait:
        print(submission)
        return 0
    cluster = os.path.basename(client.get_address())
    print(f"nbray job {submission} runs on {cluster}", file=sys.stderr, flush=True)
    try:
        _follow(client, submission)
    except KeyboardInterrupt:  # the job is the cluster's, as in Ray: what ends here is our looking on
        print(
            f"\nnbray job {submission} goes on: `nbray job logs -f` shows it, `nbray job stop` ends it", file=sys.stderr
        )
        return 128 + signal.SIGINT
    return _verdict(client.get_job_info(submission))


def _verdict(job: JobDetails) -> int:
    """Say how a job ended, unless well, and return its exit code: 128 + n when signal n ended it."""
    code = job.driver_exit_code
    if job.status is JobStatus.SUCCEEDED:
        return 0
    if job.status is JobStatus.STOPPED:
        print(f"nbray job {job.submission_id} was stopped", file=sys.stderr)
    elif code is None or code < 0:
        how = f"was ended by {signal.Signals(-code).name}" if code else f"failed: {job.message}"
        print(f"nbray job {job.submission_id} {how}", file=sys.stderr)
    if not code:  # it took the wish to end for a reason to end well
        return 1
    return code if code > 0 else 128 - code


def _follow(client: JobSubmissionClient, submission: str) -> None:
    """Show what a job writes until it is over."""

    async def follow() -> None:
        async for text in client.tail_job_logs(submission):
            print(text, end="", flush=True)

    asyncio.run(follow())


def list(given: argparse.Namespace) -> int:
    """List the jobs that were submitted."""
    found = JobSubmissionClient(given.address).list_jobs()
    if given.format == "json":
        print(as_json([asdict(job) for job in found]))
        return 0
    rows = [[job.submission_id, str(job.status), job.entrypoint, job.message] for job in found]
    print(table(["submission_id", "status", "entrypoint", "message"], rows) if rows else "no jobs")
    return 0


def status(given: argparse.Namespace) -> int:
    """Show one job."""
    for name, value in asdict(JobSubmissionClient(given.address).get_job_info(given.id)).items():
        if value not in (None, {}):
            print(f"{name:<18} {value.value if isinstance(value, Enum) else value}")
    return 0


def logs(given: argparse.Namespace) -> int:
    """Show what a job wrote."""
    client = JobSubmissionClient(given.address)
    if given.follow:
        _follow(client, given.id)
    else:
        print(client.get_job_logs(given.id), end="")
    return 0


def stop(given: argparse.Namespace) -> int:
    """Ask a job to end, and wait until it has."""
    client = JobSubmissionClient(given.address)
    if not client.stop_job(given.id):
        print(f"{given.id} was over.")
        return 0
    if given.no_wait:
        print(f"{given.id} is asked to end.")
        return 0
    while not (status := client.get_job_status(given.id)).is_terminal():
        time.sleep(0.05)
    print(f"{given.id} was stopped." if status is JobStatus.STOPPED else f"{given.id} was over.")
    return 0


def delete(given: argparse.Namespace) -> int:
    """Forget a job."""
    JobSubmissionClient(given.address).delete_job(given.id)
    return 0


def _environment(path: str | None, text: str | None) -> dict[str, Any]:
    """Return the runtime environment of a job, from a file of YAML or from JSON."""
    if path is None:
        return _json("--runtime-env-json", text)
    if text is not None:
        raise ValueError("give --runtime-env or --runtime-env-json, not both.")
    try:
        import yaml  # type: ignore[import-untyped]  # noqa: PLC0415 - few give one, and it need not be installed
    except ImportError:
        raise ValueError("--runtime-env takes PyYAML (pip install pyyaml); --runtime-env-json does not.") from None
    with open(path, encoding="utf-8") as file:
        try:
            value = yaml.safe_load(file)
        except yaml.YAMLError as error:
            raise ValueError(f"--runtime-env: {path} is not YAML ({error}).") from None
    if not isinstance(value, dict):
        raise ValueError(f"--runtime-env: {path} does not hold a mapping.")
    return value


def _json(name: str, text: str | None) -> dict[str, Any]:
    if text is None:
        return {}
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{name} is not JSON ({error}).") from None
    if not isinstance(value, dict):
        raise ValueError(f"{name} is not a JSON object.")
    return value
