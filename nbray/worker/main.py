"""Start of a worker process: forked from the zygote, joins the node, runs what comes."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from typing import Any

from nbray import ray_alias
from nbray.core import current
from nbray.core.core_worker import CoreWorker
from nbray.core.joining import attach, join
from nbray.core.log_index import LogIndex
from nbray.serialization import class_making
from nbray.wire.segment_socket import receive_segment
from nbray.worker.ending import run_hooks
from nbray.worker.executor import Executor


def run(bootstrap: Any) -> None:
    """Be a worker until the daemon says stop; never returns normally.

    Parameters
    ----------
    bootstrap : WorkerBootstrap
        segment_socket, control_endpoint, session_dir, startup_token, node_id, num_cpus.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # until the executor takes it
    sys.breakpointhook = _breakpoint
    class_making.follow_senders()
    ray_alias.inherit()
    seg = attach(receive_segment(bootstrap.segment_socket))
    core = CoreWorker(seg, bootstrap.control_endpoint, "worker", 0, 0)
    executor = Executor(core)  # before joining: the first order may follow the welcome at once
    executor.capture.index = LogIndex(bootstrap.log_path)
    join(core, bootstrap.startup_token)
    current.set_core(core)
    core.start()
    try:
        status = executor.run()
    except BaseException:  # ours: what tasks raise is told to their owners. The daemon cleans up, and shows this log
        traceback.print_exc(file=sys.__stderr__)
        os._exit(1)
    try:
        run_hooks(executor, core.limits.exit_hooks_s)
        executor.capture.send_words()
        sys.__stdout__ and sys.__stdout__.flush()  # type: ignore[func-returns-value]
        core.stop()
    finally:
        os._exit(status)


def _breakpoint(*args: Any, **kwargs: Any) -> Any:
    """Carry out ``breakpoint()``: nobody can type here, so it waits for somebody who connects."""
    if "PYTHONBREAKPOINT" in os.environ:
        return sys.__breakpointhook__(*args, **kwargs)
    from nbray.worker import debugger  # noqa: PLC0415 - pdb, which few need

    return debugger.stop_at(sys._getframe(1))
