"""What the server answers: thin handlers, each method of each authenticated and authorized."""

from __future__ import annotations

import json
import os
import platform
from importlib import metadata
from typing import Any

import psutil
from jupyter_server.auth.decorator import authorized
from jupyter_server.utils import url_path_join
from tornado.web import HTTPError, authenticated

from nbray_ext import processes
from nbray_ext.access import NbrayHandler
from nbray_ext.feeds import ClusterFeed, ClustersFeed
from nbray_ext.processes import CommandError
from nbray_ext.response_models import Host, Status

# The name of a session; no path can be one.
_NAME = r"(session_[A-Za-z0-9_-]{1,100})"

# What a page may ask of a new cluster, and the option of `nbray start` for it.
_START = {"num_cpus": "--num-cpus", "num_gpus": "--num-gpus", "object_store_memory": "--object-store-memory"}


class StatusHandler(NbrayHandler):
    """`GET nbray/status`: which nbray this server has, and how its machine is doing."""

    @authenticated
    @authorized
    async def get(self) -> None:
        """Answer with a `Status`."""
        self.finish(json.dumps(read_status()))


class ClustersHandler(NbrayHandler):
    """`nbray/clusters`: the clusters of this user on the machine of the server."""

    @authenticated
    @authorized
    async def get(self) -> None:
        """List them: a list of `Cluster`."""
        self.finish(await _run("clusters", "--format", "json"))

    @authenticated
    @authorized
    async def post(self) -> None:
        """Start one more that runs until it is stopped; answers with its name and address."""
        body: Any = self.get_json_body()
        if body is None:
            body = {}
        if not isinstance(body, dict) or set(body) - set(_START):
            raise HTTPError(400, f"A new cluster takes {', '.join(_START)} and nothing else.")
        line = ["start", "--another", "--format", "json"]
        for name, value in body.items():
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 2**53:
                raise HTTPError(400, f"{name} must be a number that is not negative.")
            line += [_START[name], str(int(value) if name == "object_store_memory" else value)]
        started = json.loads(await _run(*line))
        self.set_status(201)
        self.finish(json.dumps({"name": started["name"], "address": started["path"]}))


class ClusterHandler(NbrayHandler):
    """`nbray/clusters/NAME`: one of them."""

    @authenticated
    @authorized
    async def patch(self, name: str) -> None:
        """Change how many CPUs it offers."""
        body: Any = self.get_json_body()
        cpus = body.get("num_cpus") if isinstance(body, dict) and len(body) == 1 else None
        if isinstance(cpus, bool) or not isinstance(cpus, int) or not 0 < cpus < 2**31:
            raise HTTPError(400, "What can be changed is num_cpus: a whole number, 1 or more.")
        await _run("scale", "--address", name, str(cpus))
        self.set_status(204)
        self.finish()

    @authenticated
    @authorized
    async def delete(self, name: str) -> None:
        """Stop it."""
        await _run("stop", "--address", name)
        self.set_status(204)
        self.finish()


async def _run(*arguments: str) -> str:
    try:
        return await processes.run(*arguments)
    except CommandError as error:
        raise HTTPError(409, str(error), reason="nbray refused") from None


def read_status() -> Status:
    """Versions and the figures of this host; takes well under a millisecond and never blocks."""
    memory = psutil.virtual_memory()
    host = Host(
        cpus=len(os.sched_getaffinity(0)),
        cpu_percent=psutil.cpu_percent(interval=None),
        memory_total=memory.total,
        memory_available=memory.available,
    )
    return Status(nbray=_version("nbray"), python=platform.python_version(), host=host)


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:  # run from a source tree that is not installed
        return None


def handlers(base_url: str) -> list[tuple[str, Any]]:
    """All routes, under the server's base URL."""
    routes: list[tuple[str, Any]] = [
        ("status", StatusHandler),
        ("clusters", ClustersHandler),
        ("clusters/feed", ClustersFeed),
        (f"clusters/{_NAME}", ClusterHandler),
        (f"clusters/{_NAME}/feed", ClusterFeed),
    ]
    return [(url_path_join(base_url, "nbray", path), handler) for path, handler in routes]
