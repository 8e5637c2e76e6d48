"""What the server answers: thin handlers, each method of each authenticated and authorized."""

from __future__ import annotations

import json
import os
import platform
from importlib import metadata
from typing import Any

import psutil
from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from jupyter_server.utils import url_path_join
from tornado.web import HTTPError, authenticated

from nbray_ext.response_models import Host, Status


class NbrayHandler(APIHandler):
    """A handler that answers nobody without a login, whatever the method.

    Jupyter's own check leaves out OPTIONS, so that pages of other origins may ask what is
    allowed. The panel comes from this server, and nothing else is meant to call.
    """

    auth_resource = "nbray"

    async def prepare(self) -> None:
        """Refuse what has no user, before the method is even looked at."""
        await super().prepare()
        if not self.current_user:
            raise HTTPError(403)


class StatusHandler(NbrayHandler):
    """`GET nbray/status`: which nbray this server has, and how its machine is doing."""

    @authenticated
    @authorized
    async def get(self) -> None:
        """Answer with a `Status`."""
        self.finish(json.dumps(read_status()))


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
    return [(url_path_join(base_url, "nbray", "status"), StatusHandler)]
