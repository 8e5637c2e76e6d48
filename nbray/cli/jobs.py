"""``nbray job submit``: run a script as a driver of the running cluster."""

from __future__ import annotations

import argparse
import json
import os
import secrets
import signal
import subprocess
import sys
from typing import Any

from nbray.api.init_options import JOB_CONFIG_ENV
from nbray.node import discovery


def submit(given: argparse.Namespace) -> int:
    """Run the entrypoint with its output on ours; returns its exit code (128 + n when signal n ended it)."""
    command = list(given.entrypoint)
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
    session = discovery.resolve(given.address or "auto")
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
