"""nbray: Ray's programming model (tasks, actors, objects), made for the notebook.

``import nbray as ray`` runs programs written for Ray's core API.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

if sys.platform != "linux":
    raise ImportError(f"nbray runs on Linux (x86-64, arm64): this is {sys.platform}. On Windows, use it inside WSL 2.")

from nbray import actor, exceptions, job_config, ray_alias, remote_function, util
from nbray.api.actor_class import ActorClass
from nbray.api.actor_handle import ActorHandle, exit_actor, get_actor
from nbray.api.actor_method import method
from nbray.api.as_ray import as_ray
from nbray.api.decorator import remote
from nbray.api.objects import cancel, get, kill, put, wait
from nbray.api.runtime import init, is_initialized, shutdown
from nbray.api.runtime_context import get_gpu_ids, get_runtime_context
from nbray.api.state import available_resources, cluster_resources, nodes, timeline
from nbray.api.why import why
from nbray.core.logging_config import LoggingConfig
from nbray.ids import ActorID, JobID, NodeID, PlacementGroupID, TaskID, WorkerID
from nbray.object_ref import ObjectRef
from nbray.object_ref_generator import DynamicObjectRefGenerator, ObjectRefGenerator
from nbray.version import __version__

ObjectID = ObjectRef

ray_alias.find_rays_places()

__all__ = [
    "ActorClass",
    "ActorHandle",
    "ActorID",
    "DynamicObjectRefGenerator",
    "Executor",
    "JobID",
    "LoggingConfig",
    "NodeID",
    "ObjectID",
    "ObjectRef",
    "ObjectRefGenerator",
    "PlacementGroupID",
    "TaskID",
    "WorkerID",
    "__version__",
    "actor",
    "as_ray",
    "available_resources",
    "cancel",
    "cluster_resources",
    "dashboard",
    "exceptions",
    "exit_actor",
    "get",
    "get_actor",
    "get_gpu_ids",
    "get_runtime_context",
    "init",
    "is_initialized",
    "job_config",
    "kill",
    "method",
    "nodes",
    "put",
    "remote",
    "remote_function",
    "shutdown",
    "timeline",
    "util",
    "wait",
    "why",
]


def __getattr__(name: str) -> Any:
    """Find what is loaded when it is asked for, and what Ray has at places of its own (``ray.types``)."""
    if name == "Executor":
        value = importlib.import_module("nbray.util.executor").Executor
        globals()[name] = value
        return value
    if name == "experimental":
        return importlib.import_module("nbray.experimental")
    if (missing := ray_alias.left_out(name)) is not None:
        raise AttributeError(str(missing))
    if not name.startswith("__") and name not in ray_alias.ABSENT | ray_alias.PLACEHOLDERS:
        try:
            return importlib.import_module(f"nbray.ray_names.{name}")
        except ModuleNotFoundError as error:
            if error.name != f"nbray.ray_names.{name}":
                raise
        constants = importlib.import_module("nbray.ray_names.constants")
        if name in constants.__all__:
            return getattr(constants, name)
    raise AttributeError(f"module 'nbray' has no attribute {name!r}")


def dashboard(*, live: bool = True) -> Any:
    """Show what the cluster does below this cell: the graph of its tasks, progress, errors, the use of the machine.

    It needs no extension of the front end. What is saved with the notebook is its last state. In a
    terminal it is printed once.

    Parameters
    ----------
    live : bool
        Keep it up to date, at most twice a second, until the cluster ends or it is closed.

    Returns
    -------
    Dashboard
        ``refresh()`` shows the present state, ``hold()`` stops the picture (``hold(False)`` lets it
        go on), ``close()`` ends the updates, ``repr`` is the same as text.

    Raises
    ------
    RuntimeError
        Inside of a task.
    """
    from nbray.notebook.dashboard import open_dashboard  # noqa: PLC0415 - loaded when needed

    return open_dashboard(live)


def load_ipython_extension(ip: Any) -> None:
    """``%load_ext nbray``: the ``%%remote`` magic, output under the right cell, the panel."""
    from nbray.notebook import load_ipython_extension as load  # noqa: PLC0415 - loaded when needed

    load(ip)


def unload_ipython_extension(ip: Any) -> None:
    """``%unload_ext nbray``."""
    from nbray.notebook import unload_ipython_extension as unload  # noqa: PLC0415 - loaded when needed

    unload(ip)
