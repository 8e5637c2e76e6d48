"""Say how a worker died: exit code, signal name, the last lines of its log, what of them was not sent, a sentence."""

from __future__ import annotations

import os
import signal

from nbray.config import Limits
from nbray.core import log_index, raw_output
from nbray.node.worker_processes import UNKNOWN_STATUS, WorkerProcess
from nbray.wire.messages import WorkerDiedNotice


def describe(worker: WorkerProcess, status: int, limits: Limits) -> WorkerDiedNotice:
    """Return the notice of a worker's death.

    Parameters
    ----------
    worker : WorkerProcess
    status : int
        As of waitpid, or UNKNOWN_STATUS.
    limits : Limits
    """
    exit_code: int | None = None
    signal_name = ""
    who = f"worker pid={worker.pid}" if worker.pid else "the worker, which had not begun,"
    if status == UNKNOWN_STATUS:
        how = f"{who} is gone"
    elif os.WIFSIGNALED(status):
        signal_name = _signal_name(os.WTERMSIG(status))
        how = f"{who} was killed by {signal_name}"
        if signal_name == "SIGKILL" and not worker.stop_reason:
            how += " (by the kernel for lack of memory, or by hand)"
    else:
        exit_code = os.WEXITSTATUS(status)
        how = f"{who} exited with code {exit_code}"
    if worker.stop_reason:
        how += f": {worker.stop_reason}"
    words = raw_output.take_rest(worker.log_path)
    return WorkerDiedNotice(
        peer=worker.peer, pid=worker.pid, exit_code=exit_code, signal_name=signal_name,
        log_tail=log_tail(worker.log_path, limits), reason=how,
        out_of_memory=worker.out_of_memory, words=words,
    )  # fmt: skip


def log_tail(path: str, limits: Limits) -> str:
    """Return the last lines of a log, of the task or cell that was the last to print; an empty string when there is none."""
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            begin = log_index.begin_of_last(path)
            begin = begin if begin <= size else 0  # of a log that began anew
            size -= begin
            file.seek(begin + max(0, size - limits.log_tail_bytes))
            data = file.read(limits.log_tail_bytes)
    except OSError:
        return ""
    lines = data.decode("utf-8", "replace").splitlines()
    if size > limits.log_tail_bytes and len(lines) > 1:
        del lines[0]  # it is cut
    return "\n".join(lines[-limits.log_tail_lines :])


def _signal_name(signo: int) -> str:
    try:
        return signal.Signals(signo).name
    except ValueError:
        ahead = signo - signal.SIGRTMIN  # only the first and the last of these have names of their own
        return f"SIGRTMIN+{ahead}" if 0 <= ahead <= signal.SIGRTMAX - signal.SIGRTMIN else f"signal {signo}"
