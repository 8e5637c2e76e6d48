"""``python -m nbray.api.job_supervisor SESSION ID``: run a submitted job to its end, and note how it ended."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from typing import Any

from nbray.api.init_options import JOB_CONFIG_ENV
from nbray.job_submission import JobErrorType, read_facts, write_facts
from nbray.node import discovery, process_control
from nbray.session_layout import JOBS

STOP_GRACE_S = 3.0
_STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def main(session_path: str, job_id: str) -> int:
    """Run the job; returns 0 once its end is noted."""
    folder = os.path.join(session_path, JOBS, job_id)
    facts = read_facts(folder)
    session = discovery.resolve(session_path)
    assert session is not None
    cluster = process_control.open_pidfd(session.pid)
    wake, stopped = os.pipe(), []
    os.set_blocking(wake[1], False)
    signal.set_wakeup_fd(wake[1], warn_on_full_buffer=False)
    for signo in _STOPS:
        signal.signal(signo, lambda number, frame: stopped.append(number))
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    process = _start(session_path, facts)
    facts.update(
        status="RUNNING", pid=process.pid, supervisor_pid=os.getpid(),
        supervisor_start=process_control.start_time(os.getpid()), start_time=int(time.time() * 1000),
    )  # fmt: skip
    write_facts(folder, facts)
    cluster_gone = cluster < 0
    while process.poll() is None and not stopped and not cluster_gone:
        ready = select.select([wake[0], cluster], [], [])[0]
        cluster_gone = cluster in ready
        if wake[0] in ready:
            os.read(wake[0], 100)
    if process.poll() is None:
        _end(process)
    code = process.returncode
    facts.update(end_time=int(time.time() * 1000), exit_code=code, **_verdict(code, bool(stopped), cluster_gone))
    with contextlib.suppress(OSError):  # the cluster may have gone, and its folder with it
        write_facts(folder, facts)
    return 0


def _verdict(code: int, stopped: bool, cluster_gone: bool) -> dict[str, Any]:
    if stopped:
        return {"status": "STOPPED", "message": "Job was intentionally stopped."}
    if cluster_gone:
        return {"status": "FAILED", "message": "The cluster has ended."}
    if code == 0:
        return {"status": "SUCCEEDED", "message": "Job finished successfully."}
    how = f"exit code {code}" if code > 0 else signal.Signals(-code).name
    return {
        "status": "FAILED", "message": f"Job entrypoint command failed with {how}; see its log.",
        "error_type": JobErrorType.JOB_ENTRYPOINT_COMMAND_ERROR.value,
    }  # fmt: skip


def _start(session_path: str, facts: dict[str, Any]) -> subprocess.Popen[bytes]:
    environment = facts["runtime_env"]
    config: dict[str, Any] = {"metadata": {**facts["metadata"], "job_submission_id": facts["submission_id"]}}
    rest = {name: value for name, value in environment.items() if name not in ("working_dir", "env_vars")}
    if rest:
        config["runtime_env"] = rest  # the folder and the variables reach the workers from the driver
    config["submitted_runtime_env"] = environment
    # Its log is looked at while it runs; as in Ray.
    environ = {**os.environ, "PYTHONUNBUFFERED": "1", **environment.get("env_vars", {})}
    environ.update({"NBRAY_ADDRESS": session_path, "RAY_ADDRESS": session_path, JOB_CONFIG_ENV: json.dumps(config)})
    supervisor = os.getpid()

    def in_child() -> None:
        process_control.die_with_parent(supervisor)

    return subprocess.Popen(
        facts["entrypoint"], shell=True, cwd=facts["cwd"], env=environ, start_new_session=True, preexec_fn=in_child
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM to the command and all that it started, after a while SIGKILL."""
    process_control.kill_group(process.pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_GRACE_S
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process_control.kill_group(process.pid, signal.SIGKILL)
    process.wait()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
