"""Where programs written for earlier versions of Ray find its helpers for tests."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterable
from typing import Any

import psutil

from nbray.api.decorator import remote
from nbray.api.objects import put
from nbray.object_ref import ObjectRef
from nbray.ray_names._common.test_utils import (
    Semaphore,
    SignalActor,
    async_wait_for_condition,
    driver_command,
    run_string_as_driver,
    wait_for_condition,
)


def run_string_as_driver_stdout_stderr(
    driver_script: str, env: dict[str, str] | None = None, encode: str = "utf-8", timeout: float | None = 300
) -> tuple[str, str]:
    """Run a program in an interpreter of its own and return what it wrote to standard output and to standard error.

    Raises
    ------
    subprocess.CalledProcessError
        When its exit code is not 0.
    """
    done = subprocess.run(
        driver_command(), input=driver_script.encode(encode), capture_output=True, env=env, timeout=timeout, check=False
    )
    out, err = done.stdout.decode(encode), done.stderr.decode(encode)
    if done.returncode:
        print(out, err, sep="\n")
        raise subprocess.CalledProcessError(done.returncode, done.args, out, err)
    return out, err


def run_string_as_driver_nonblocking(driver_script: str, env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Start a program in an interpreter of its own; whoever calls has to see to its end."""
    process = subprocess.Popen(
        driver_command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env
    )
    assert process.stdin is not None
    process.stdin.write(driver_script.encode("utf-8"))
    process.stdin.close()
    process.stdin = None  # else ``communicate`` tries to flush it
    return process


def wait_for_pid_to_exit(pid: int, timeout: float = 20) -> None:
    """Return when a process is gone; one that only waits for its parent to notice counts as gone."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return
        except psutil.NoSuchProcess:
            return
        time.sleep(0.1)
    raise TimeoutError(f"Process {pid} is still there after {timeout:g} s.")


@remote
def _same(value: Any) -> Any:
    return value


def put_object(obj: Any, use_ray_put: bool) -> ObjectRef:
    """Return a ref of the value: put, or returned by a task."""
    return put(obj) if use_ray_put else _same.remote(obj)


def same_elements(elems_a: Iterable[Any], elems_b: Iterable[Any]) -> bool:
    """Tell whether each element of one is in the other; they need not be hashable."""
    first, second = list(elems_a), list(elems_b)
    return all(element in second for element in first) and all(element in first for element in second)


__all__ = [
    "Semaphore",
    "SignalActor",
    "async_wait_for_condition",
    "put_object",
    "run_string_as_driver",
    "run_string_as_driver_nonblocking",
    "run_string_as_driver_stdout_stderr",
    "same_elements",
    "wait_for_condition",
    "wait_for_pid_to_exit",
]
