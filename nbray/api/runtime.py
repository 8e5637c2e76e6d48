"""Start, find and end the runtime of this process: ``init``, ``shutdown`` and their kin."""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
from typing import Any

from nbray import options as option_table
from nbray.api import init_options, placing
from nbray.api.context import RayContext
from nbray.core import current, output
from nbray.core import logging_config as logging_setup
from nbray.exceptions import RaySystemError, TaskUnschedulableError
from nbray.node import cache_folder, discovery, session_dir
from nbray.node.node_config import NodeConfig
from nbray.wrong_input import both

_lock = threading.RLock()
_node: Any = None  # NodeProcess that this driver started; None when it joined a cluster
_context: Any = None
_ahead: Any = None  # NodeAhead: a node for the first init
_logger = logging_setup.LOGGER


def is_initialized() -> bool:
    """Tell whether this process has a runtime."""
    return current.core is not None


def start_ahead() -> None:
    """Start, in the background, the node of the cluster that the first use would start; it is in nobody's way until then.

    Where the first use would join a cluster, or start none of itself, nothing happens.
    """
    global _ahead
    with _lock:
        if current.core is not None or _ahead is not None or os.environ.get("RAY_ENABLE_AUTO_CONNECT", "") == "0":
            return
        if discovery.resolve(None) is None:
            from nbray.api.node_ahead import NodeAhead  # noqa: PLC0415 - few want it

            _ahead = NodeAhead()


def require_core() -> Any:
    """Return the runtime of this process; start one when there is none.

    Raises
    ------
    RaySystemError
        When there is none, and the environment variable RAY_ENABLE_AUTO_CONNECT is 0.
    """
    core = current.core
    if core is None:
        if os.environ.get("RAY_ENABLE_AUTO_CONNECT", "") == "0":
            raise RaySystemError(
                "nbray has not been started yet: call nbray.init() first (RAY_ENABLE_AUTO_CONNECT is 0)."
            )
        _check_not_finalizing()
        with _lock:  # of threads that come at once one starts it, and the others use it
            if current.core is None:
                init()
            core = current.core
    else:
        core.check_usable()
    return core


def _check_not_finalizing() -> None:
    """Raise RaySystemError in a finalizer that Python calls at its very end: no thread comes to run any more."""
    if sys.is_finalizing():
        raise RaySystemError("The interpreter ends: nbray has been shut down, and cannot be started any more.")


def init(
    address: str | None = None, *, num_cpus: Any = None, num_gpus: Any = None, resources: Any = None, labels: Any = None,
    object_store_memory: Any = None, local_mode: bool = False, ignore_reinit_error: bool = False,
    include_dashboard: Any = None, dashboard_host: str = "127.0.0.1", dashboard_port: Any = None, job_config: Any = None,
    configure_logging: bool = True, logging_level: Any = None, logging_format: Any = None,
    logging_config: Any = None, log_to_driver: bool | None = None, namespace: str | None = None, runtime_env: Any = None,
    **kwargs: Any,
) -> RayContext:  # fmt: skip
    """Make this process a driver: of a cluster that it starts, or of one that is there.

    Parameters
    ----------
    address : str, optional
        ``"auto"``: join the newest cluster of this user on this machine. ``"local"``: start one.
        The folder or the name of a session: join that one. None: what the environment variable
        NBRAY_ADDRESS (or RAY_ADDRESS) says; else the cluster that ``nbray start`` began, if
        there is one; else start one, which then ends with this process.
    num_cpus, num_gpus : number, optional
        What the node offers; default: what the machine has.
    resources : dict of str to float, optional
        Custom resources.
    labels : dict of str to str, optional
        Labels of the node.
    object_store_memory : int, optional
        Bytes of the object store; default: 30 % of what is free.
    local_mode : bool
        Refused, as in Ray.
    ignore_reinit_error : bool
        Return the running cluster's context instead of raising when there is one.
    include_dashboard, dashboard_host, dashboard_port
        No server is started: nbray's panel is in JupyterLab. ``include_dashboard=True`` says so.
    job_config : nbray.job_config.JobConfig, optional
        Settings of this driver's job.
    configure_logging, logging_level, logging_format
        Of nbray's own logger in this process ("nbray"). The level, if none is given, is what the
        environment variable RAY_LOGGER_LEVEL says; else INFO.
    logging_config : LoggingConfig, optional
        Of the root loggers of this process and of the job's workers.
    log_to_driver : bool, optional
        Show what tasks print; default: yes, unless RAY_LOG_TO_DRIVER=0.
    namespace : str, optional
        Namespace of this driver's named actors; default: one of its own.
    runtime_env : dict, optional
        Environment of the job's workers.
    **kwargs
        ``_temp_dir`` (folder in which sessions are made and looked for), ``_memory`` (bytes),
        ``_node_ip_address``, ``_node_name``, ``_system_config`` (rows of ``nbray.config.Limits``),
        ``_metrics_export_port``, ``object_spilling_directory``; others of Ray are refused with
        the reason.

    Raises
    ------
    RuntimeError
        When this process has a runtime already, or greenlets in place of threads; for keywords that Ray does not have.
    ConnectionError
        When the cluster to join is not there, is dead, or does not answer within 10 s.
    ValueError
        For amounts out of range, sizes in a form that is not understood, keywords that nbray
        cannot carry out; for what a node offers when a cluster is joined.
    SharedMemoryTooSmallError
        When the machine has no room for the store.
    """
    global _node, _context, _ahead
    _check_not_finalizing()
    with _lock:
        hidden = init_options.check_hidden(kwargs)
        if local_mode:
            raise _LocalModeError("`local_mode` is no longer supported. Use the debugger of your choice in the task.")
        if isinstance(current.core, current.ForkedCore):
            current.set_core(None)  # a child may have a cluster of its own
            _node = _context = None
        if current.core is not None:
            if ignore_reinit_error:
                return _context or _worker_context(current.core)
            raise RuntimeError(
                "Maybe you called nbray.init twice by accident? This process has a runtime already (session "
                f"{current.core.session_dir}). Pass 'ignore_reinit_error=True' or call 'nbray.shutdown()' before."
            )
        init_options.check_threads()
        skip_hook = bool(hidden.get("_skip_env_hook"))
        job = init_options.job_settings(job_config, namespace, runtime_env, logging_config, skip_hook)
        if job.runtime_env:
            option_table.OPTIONS["runtime_env"].check("runtime_env", job.runtime_env)
        amounts = init_options.check_amounts(num_cpus, num_gpus, resources, hidden.get("_memory"))
        config = NodeConfig(
            resources=amounts, object_store_memory=init_options.check_store_bytes(object_store_memory),
            base_dir=hidden.get("_temp_dir", ""), limits=hidden["_system_config"], labels=init_options.check_labels(labels),
            node_ip=hidden.get("_node_ip_address", "127.0.0.1"), node_name=hidden.get("_node_name", ""),
            metrics_port=init_options.metrics_port(hidden.get("_metrics_export_port")), spill_base=hidden.get("object_spilling_directory", ""),
        )  # fmt: skip
        _set_up_logging(configure_logging, logging_level, logging_format, job)
        if include_dashboard:
            _logger.warning("include_dashboard=True: no server is started; the panel of nbray is in JupyterLab.")
        session = _cluster_to_join(address, config.base_dir)
        if session is None:
            _warn_root()
            if not config.base_dir and (note := session_dir.moved()):
                _logger.warning("%s", note)
            ahead, _ahead = _ahead, None
            _node, core, facts = _driver().start(config, job, ahead.take(config) if ahead is not None else None)
        else:
            if _ahead is not None:
                _ahead.drop()
                _ahead = None
            _refuse_node_settings(session, num_cpus, num_gpus, resources, labels, object_store_memory, hidden)
            _logger.info("Connecting to existing nbray cluster at address: %s", session.path)
            core, facts = _driver().join_cluster(session, job)
        current.set_core(core)
        output.attach_driver(core, show=_wants_logs(log_to_driver), named=job.py_logging_config is None)
        _context = RayContext(facts, shutdown)
        return _context


def _warn_root() -> None:
    """Say once per user, not at each start, what it means to be root: in containers everybody is."""
    if os.geteuid() == 0 and cache_folder.first_time("root"):
        _logger.warning("You are root, so every task runs as root; an ordinary user is enough. (This is said once.)")


def _worker_context(core: Any) -> RayContext:
    """Return what ``init`` says in a worker, which was in the cluster from its start."""
    facts = {
        "node_id": core.node_id, "session_dir": core.session_dir, "node_ip_address": "127.0.0.1",
        "address": core.session_dir, "gcs_address": core.session_dir, "webui_url": "", "joined": True,
    }  # fmt: skip
    return RayContext(facts, shutdown)


def _driver() -> Any:
    """Return the module that makes a driver of this process: a program that never becomes one need not load the runtime."""
    from nbray.api import driver  # noqa: PLC0415 - loaded with the cluster

    return driver


_LocalModeError = both(RuntimeError, ValueError)  # a refused keyword is a ValueError, Ray raises RuntimeError


def _cluster_to_join(address: Any, base: str) -> discovery.LiveSession | None:
    if address is not None and not isinstance(address, str):
        raise TypeError(f"address is a string, not {type(address)}.")
    if address is not None and not address.strip():
        raise ValueError("address='' names nothing: leave it out, or give 'auto', 'local' or the folder of a session.")
    return discovery.resolve(address, base)


def _refuse_node_settings(
    session: discovery.LiveSession,
    num_cpus: Any,
    num_gpus: Any,
    resources: Any,
    labels: Any,
    object_store_memory: Any,
    hidden: dict[str, Any],
) -> None:
    """What a node offers was settled when it was started."""
    where = "When connecting to an existing cluster, "
    own = f" The cluster is {session.path}; address='local' starts another one."
    if num_cpus is not None or num_gpus is not None:
        raise ValueError(f"{where}num_cpus and num_gpus must not be provided.{own}")
    given = {
        "resources": resources, "labels": labels, "object_store_memory": object_store_memory,
        "_system_config": hidden["_system_config"] or None, "_memory": hidden.get("_memory"),
        "_node_name": hidden.get("_node_name"), "_metrics_export_port": hidden.get("_metrics_export_port"),
        "object_spilling_directory": hidden.get("object_spilling_directory"),
    }  # fmt: skip
    for name, value in given.items():
        if value is not None:
            raise ValueError(f"{where}{name} must not be provided.{own}")


def _set_up_logging(configure: bool, level: Any, text_format: str | None, job: Any) -> None:
    encoding = os.environ.get("RAY_LOGGING_CONFIG_ENCODING")
    if job.py_logging_config is None and encoding:
        job.set_py_logging_config(logging_setup.LoggingConfig(encoding=encoding))
    if configure:
        default = os.environ.get("RAY_LOGGER_LEVEL") or logging.INFO
        logging_setup.configure_driver(default if level is None else level, text_format)
    else:
        logging_setup.leave_alone()
    if job.py_logging_config is not None:
        job.py_logging_config.apply()


def _wants_logs(log_to_driver: bool | None) -> bool:
    if log_to_driver is None:
        return os.environ.get("RAY_LOG_TO_DRIVER", "1").lower() not in ("0", "false")
    return bool(log_to_driver)


def shutdown(_exiting_interpreter: bool = False, *, wait_for_processes: bool = False) -> None:
    """Leave the cluster; the one that this process started ends. Calling it again does nothing.

    In a task or an actor it does nothing: a worker is the cluster's. A forked child leaves nothing but forgets its
    parent's cluster, and may ``init`` one of its own.
    """
    global _node, _context, _ahead
    with _lock:
        core, node = current.core, _node
        ahead, _ahead = _ahead, None
        if ahead is not None:
            ahead.end()
        if isinstance(core, current.ForkedCore):
            current.set_core(None)
            _node = _context = None
            output.attach_driver(None)
            return
        if core is None or core.role == "worker":
            return
        try:
            _say_goodbye(core)
            _driver().leave(node, core, _exiting_interpreter)
        finally:  # only now: an interrupted shutdown can be called again
            current.set_core(None)
            _node = _context = None
            output.attach_driver(None)
    if core.shield.pending:
        core.shield.strike()


# At the import: what a program registers after it still has the cluster when the interpreter ends.
atexit.register(shutdown, True)


def _say_goodbye(core: Any) -> None:
    """Let those who show the cluster show its last state."""
    for call in list(core.before_stop):
        try:
            call()
        except Exception:
            _logger.exception("A look at the cluster's last state failed.")


def refuse_impossible(core: Any, pool: Any, name: str) -> None:
    """Raise at once when no node can ever give what a task of this pool needs."""
    if pool.infeasible and not pool.removed:  # that its placement group is gone, the task's value tells
        raise TaskUnschedulableError(pool.infeasible)
    if not placing.is_anywhere(pool.target):
        return  # who knows the nodes tells, when it is asked for a worker
    reason = core.impossible(name, pool.shape, pool.wait_for_resources)
    if reason:
        raise TaskUnschedulableError(reason)
