"""Start, find and end the runtime of this process: ``init``, ``shutdown`` and their kin."""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
from typing import Any

from nbray import options as option_table
from nbray.api import driver
from nbray.core import current, output
from nbray.exceptions import TaskUnschedulableError
from nbray.version import __version__

_lock = threading.RLock()
_node: Any = None  # NodeProcess that this driver started
_context: Any = None
_finalizer_set = False


class RayContext(dict):
    """What ``init`` returns: facts about the cluster; ends it when used in ``with``."""

    def __init__(self, facts: dict[str, Any]) -> None:
        super().__init__(facts)
        self.address_info = facts
        self.dashboard_url = ""
        self.python_version = ".".join(map(str, sys.version_info[:3]))
        self.ray_version = __version__

    def __enter__(self) -> RayContext:
        return self

    def __exit__(self, *exc: Any) -> None:
        shutdown()

    def disconnect(self) -> None:
        """End the cluster of this driver."""
        shutdown()

    def __repr__(self) -> str:
        return f"RayContext(nodes=1, session_dir={self.get('session_dir')!r})"

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, str]:
        cpus = option_table.describe({"CPU": self.get("resources", {}).get("CPU", 0)})
        return {"text/plain": repr(self), "text/html": f"<b>nbray</b> {self.ray_version}: {cpus} on this machine"}


def is_initialized() -> bool:
    """Tell whether this process has a runtime."""
    return current.core is not None


def require_core() -> Any:
    """Return the runtime of this process; start one when there is none."""
    core = current.core
    if core is None:
        init()
        core = current.core
    else:
        core.check_usable()
    return core


def init(
    address: str | None = None, *, num_cpus: Any = None, num_gpus: Any = None, resources: Any = None,
    object_store_memory: Any = None, local_mode: bool = False, ignore_reinit_error: bool = False,
    include_dashboard: Any = None, dashboard_host: str = "127.0.0.1", dashboard_port: Any = None, job_config: Any = None,
    configure_logging: bool = True, logging_level: Any = logging.INFO, logging_format: Any = None,
    logging_config: Any = None, log_to_driver: bool = True, namespace: str | None = None, runtime_env: Any = None,
    labels: Any = None, _memory: Any = None, _temp_dir: str | None = None, _node_ip_address: Any = None,
    _system_config: Any = None, **kwargs: Any,
) -> RayContext:  # fmt: skip
    """Start a cluster on this machine and make this process its driver.

    Parameters
    ----------
    address : None or "local"
        Other clusters cannot be joined yet.
    num_cpus, num_gpus : number, optional
        What the node offers; default: what the machine has.
    resources : dict of str to float, optional
        Custom resources.
    object_store_memory : int, optional
        Bytes of the object store; default: 30 % of what is free.
    ignore_reinit_error : bool
        Return the running cluster's context instead of raising when there is one.
    namespace : str, optional
        Namespace of this driver's named actors.
    log_to_driver : bool
        Show what tasks print.

    Raises
    ------
    RuntimeError
        When this process has a runtime already.
    ValueError
        For amounts out of range, or sizes in a form that is not understood.
    SharedMemoryTooSmallError
        When the machine has no room for the store.
    """
    global _node, _context
    if kwargs:
        raise RuntimeError(f"Unknown keyword argument(s) to nbray.init: {', '.join(sorted(kwargs))}.")
    with _lock:
        if isinstance(current.core, current.ForkedCore):
            current.set_core(None)  # a child may have a cluster of its own
            _node = _context = None
        if current.core is not None:
            if ignore_reinit_error:
                return _context
            raise RuntimeError(
                "Maybe you called nbray.init twice by accident? This process has a runtime already (session "
                f"{current.core.session_dir}). Pass 'ignore_reinit_error=True' or call 'nbray.shutdown()' before."
            )
        if address not in (None, "local"):
            raise ConnectionError(
                f"address={address!r}: joining a cluster that runs already is not supported yet; leave address out to "
                "start one on this machine."
            )
        if local_mode:
            raise ValueError("local_mode is no longer supported.")
        if runtime_env:
            option_table.OPTIONS["runtime_env"].check("runtime_env", runtime_env)
        amounts = _amounts(num_cpus, num_gpus, resources, _memory)
        store_bytes = _store_bytes(object_store_memory)
        _node, core, facts = driver.start(amounts, store_bytes, namespace or "", _temp_dir)
        current.set_core(core)
        output.attach_driver(core, show=log_to_driver)
        _register_exit()
        _context = RayContext(facts)
        return _context


def _register_exit() -> None:
    global _finalizer_set
    if not _finalizer_set:
        _finalizer_set = True
        atexit.register(shutdown, True)


def _amounts(num_cpus: Any, num_gpus: Any, resources: Any, memory: Any) -> dict[str, int]:
    """Check and convert the node's resources to units of 1/10,000; absent ones are found out."""
    check = option_table.check("task", {"num_cpus": num_cpus, "num_gpus": num_gpus, "resources": resources})
    found: dict[str, int] = {}
    if check["num_cpus"] is not None:
        found["CPU"] = round(check["num_cpus"] * option_table.UNIT)
    if check["num_gpus"] is not None:
        found["GPU"] = round(check["num_gpus"] * option_table.UNIT)
    for name, value in (check["resources"] or {}).items():
        found[name] = round(value * option_table.UNIT)
    if memory is not None:
        found["memory"] = round(memory) * option_table.UNIT
    return found


def _store_bytes(value: Any) -> int:
    """Check ``object_store_memory``; 0 means: the default."""
    if value is None:
        return 0
    forms = "give the bytes as an int, for instance 2 * 1024**3"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"object_store_memory={value!r} is not a size; {forms}.")
    if value != int(value) or value <= 0:
        raise ValueError(f"object_store_memory={value!r} is not a whole number of bytes above 0; {forms}.")
    return int(value)


def shutdown(_exiting_interpreter: bool = False, *, wait_for_processes: bool = False) -> None:
    """End this process's runtime, and with it the cluster that it started."""
    global _node, _context
    with _lock:
        core, node = current.core, _node
        if core is None:
            return
        try:
            if os.getpid() == core.pid:
                driver.stop(node, core, _exiting_interpreter)
        finally:  # only now: an interrupted shutdown can be called again
            current.set_core(None)
            _node = _context = None
            output.attach_driver(None)
    if core.shield.pending:
        core.shield.strike()


def refuse_impossible(core: Any, pool: Any, name: str) -> None:
    """Raise at once when no node can ever give what a task of this pool needs."""
    if pool.infeasible:
        raise TaskUnschedulableError(pool.infeasible)
    reason = core.impossible(name, pool.shape, pool.wait_for_resources)
    if reason:
        raise TaskUnschedulableError(reason)
