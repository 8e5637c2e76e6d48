"""Make this process a driver: of a node that it starts, or of a cluster that is there."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import sys
from typing import TYPE_CHECKING, Any

from nbray import ray_alias
from nbray.api import uncaught
from nbray.core.interrupts_later import InterruptsLater
from nbray.core.surroundings import working_directory
from nbray.exceptions import VersionMismatchError
from nbray.job_config import JobConfig
from nbray.node import process_control
from nbray.node.discovery import LiveSession
from nbray.node.launcher import NodeProcess, start_node
from nbray.node.node_config import NodeConfig
from nbray.runtime_env import runtime_env
from nbray.session_layout import SEGMENT_SOCKET
from nbray.wire.messages import GoodbyeNotice, ShutdownRequest
from nbray.wire.segment_socket import receive_segment

if TYPE_CHECKING:
    from nbray.core.core_worker import CoreWorker

HANDOVER_S = 4.0  # for the segment to come; with the registration below 10 s in all
REGISTER_S = 5.0
_MAX_ENTRYPOINT = 500  # characters


def start(
    config: NodeConfig, job: JobConfig, node: NodeProcess | None = None
) -> tuple[NodeProcess, CoreWorker, dict[str, Any]]:
    """Start a node, unless one was started ahead, and become its driver; returns (node, core, facts)."""
    node = node or start_node(config, load_runtime)
    try:
        core, facts = _become_driver(node.segment_fd, node.control_endpoint, job, 20.0)
    except BaseException:
        node.stop()
        raise
    return node, core, facts


def join_cluster(session: LiveSession, job: JobConfig) -> tuple[CoreWorker, dict[str, Any]]:
    """Become another driver of a cluster that is there; returns (core, facts).

    Raises
    ------
    ConnectionError
        When its daemon does not answer, with the step at which it did not.
    VersionMismatchError
        When it runs other versions of Python or nbray.
    """
    process_control.open_standard_descriptors()
    load_runtime()
    try:
        descriptor = receive_segment(session.segment_socket, HANDOVER_S)
    except OSError as error:
        reason = "it does not answer" if isinstance(error, TimeoutError) else str(error)
        raise ConnectionError(_no_way_in(session, f"its daemon did not hand over the segment: {reason}")) from None
    try:
        core, facts = _become_driver(descriptor, session.control_endpoint, job, REGISTER_S)
    except VersionMismatchError:
        raise
    except RuntimeError as error:
        raise ConnectionError(_no_way_in(session, f"the registration failed: {error}")) from None
    facts["joined"] = True
    return core, facts


def _no_way_in(session: LiveSession, why: str) -> str:
    state = "lives" if session.is_alive() else "has ended"
    return f"Could not join the cluster at {session.path}: {why} (daemon pid {session.pid}, which {state})."


def load_runtime() -> None:
    """Load what a driver runs on; beside the start of a daemon it costs no time of its own."""
    with InterruptsLater():  # a library that was loaded by half (pyzmq) is of no use until the process ends
        from nbray.core import actor_calls, core_worker, joining  # noqa: F401, PLC0415 - see above


def _become_driver(
    descriptor: int, endpoint: str, job: JobConfig, patience_s: float
) -> tuple[CoreWorker, dict[str, Any]]:
    from nbray.core import core_worker, joining  # noqa: PLC0415 - see load_runtime

    core = core_worker.CoreWorker(joining.attach(descriptor), endpoint, "driver", 0, 0)
    try:
        core.namespace = job.ray_namespace or ""
        answer = joining.join(
            core, 0, patience_s, entrypoint=_entrypoint(), metadata=dict(job.metadata),
            runtime_env=json.dumps({**job._submitted_runtime_env, **(job.runtime_env or {})}, default=repr),
        )  # fmt: skip
        core.namespace = answer.namespace
        core.default_lifetime = job.default_actor_lifetime
        core.environments.own = core.environments.resolve(runtime_env.checked("runtime_env", job.runtime_env))
        core.context = driver_context(core, job)
        core.start()
    except BaseException:
        core.stop()
        raise
    uncaught.install()
    facts = {
        "node_id": core.node_id, "session_dir": core.session_dir, "node_ip_address": answer.node_ip,
        "address": core.session_dir, "gcs_address": core.session_dir, "redis_address": core.session_dir, "object_store_address": f"{core.session_dir}/{SEGMENT_SOCKET}",
        "raylet_socket_name": endpoint, "webui_url": "", "metrics_export_port": answer.metrics_port or None,
        "resources": dict(answer.resources), "joined": False,
    }  # fmt: skip
    return core, facts


def leave(node: NodeProcess | None, core: CoreWorker, exiting: bool = False) -> None:
    """End the runtime of this process, and the node when this driver started it; ``exiting``: with the interpreter."""
    uncaught.remove()
    try:
        with contextlib.suppress(Exception):  # its daemon may be gone
            core.hear_out()
            core.control.send(ShutdownRequest() if node is not None else GoodbyeNotice())
    finally:
        try:
            core.stop(exiting)
        finally:
            if node is not None:
                node.stop()


def _entrypoint() -> str:
    """Return the command line of this driver, for lists of jobs."""
    main = getattr(sys.modules.get("__main__"), "__file__", None)
    if main is None:
        return "(interactive)"
    return " ".join([os.path.basename(sys.executable), *sys.argv])[:_MAX_ENTRYPOINT]


def driver_context(core: Any, job: JobConfig) -> bytes:
    """Return what workers take over from this driver, pickled."""
    context = {
        "job_id": core.job_id,
        "namespace": core.namespace,
        "sys_path": core.path_of_driver([*job.code_search_path, *job._py_driver_sys_path]),
        "cwd": working_directory(),
        "depth": 1,
        "threads_set": "OMP_NUM_THREADS" in os.environ,
        "as_ray": ray_alias.version(),
    }
    if job.default_actor_lifetime != "non_detached":
        context["default_lifetime"] = job.default_actor_lifetime
    if job.py_logging_config is not None:
        context["logging"] = job.py_logging_config.to_dict()
    return pickle.dumps(context)
