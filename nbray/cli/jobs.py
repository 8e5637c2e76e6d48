"""``nbray job``: run scripts as drivers of the running cluster."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import shlex
import signal
import subprocess
import sys
from dataclasses import asdict
from enum import Enum
from typing import Any

from nbray.api.init_options import JOB_CONFIG_ENV
from nbray.job_submission import JobSubmissionClient
from nbray.node import discovery
from nbray.util.state.tables import as_json, table


def submit(given: argparse.Namespace) -> int:
    """Run the entrypoint with its output on ours; returns its exit code (128 + n when signal n ended it)."""
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
    session = discovery.resolve(given.address or "auto", looking=True)
    if session is None:
        raise ConnectionError(f"--address {given.address!r} names no cluster that runs.")
    submission = given.submission_id or f"nbsubmit_{secrets.token_hex(6)}"
    config: dict[str, Any] = {
        "metadata": {**_json("--metadata-json", given.metadata_json), "job_submission_id": submission}
    }
    environment = _json("--runtime-env-json", given.runtime_env_json)
    if environment:
        config["runtime_env"] = environment
    environ = {
        **os.environ,
        "NBRAY_ADDRESS": session.path,
        "RAY_ADDRESS": session.path,
        JOB_CONFIG_ENV: json.dumps(config),
    }
    if given.no_wait:
        client = JobSubmissionClient(session.path)
        folder = {"working_dir": os.path.abspath(given.working_dir)} if given.working_dir else {}
        client.submit_job(
            entrypoint=shlex.join(command), submission_id=submission, runtime_env={**environment, **folder},
            metadata=_json("--metadata-json", given.metadata_json),
        )  # fmt: skip
        print(submission)
        return 0
    print(f"nbray job {submission} runs on {session.name}", file=sys.stderr, flush=True)
    process = subprocess.Popen(command, env=environ, cwd=given.working_dir)
    for signo in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(signo, lambda number, frame: process.send_signal(number))
    while True:
        try:
            code = process.wait()
            break
        except KeyboardInterrupt:  # it has got the same Ctrl-C; how it ends is its own affair
            continue
    if code < 0:
        print(f"nbray job {submission} was ended by {signal.Signals(-code).name}", file=sys.stderr)
    return code if code >= 0 else 128 - code


def list(given: argparse.Namespace) -> int:
    """List the jobs that run on their own."""
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
    if not given.follow:
        print(client.get_job_logs(given.id), end="")
        return 0

    async def follow() -> None:
        async for text in client.tail_job_logs(given.id):
            print(text, end="", flush=True)

    asyncio.run(follow())
    return 0


def stop(given: argparse.Namespace) -> int:
    """Ask a job to end."""
    stopped = JobSubmissionClient(given.address).stop_job(given.id)
    print(f"{given.id} is asked to end." if stopped else f"{given.id} was over.")
    return 0


def delete(given: argparse.Namespace) -> int:
    """Forget a job."""
    JobSubmissionClient(given.address).delete_job(given.id)
    return 0


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
