"""The shapes that the front end gets as JSON."""

from __future__ import annotations

from typing import Any, TypedDict


class Host(TypedDict):
    """The machine on which the Jupyter server runs (a kernel may run elsewhere)."""

    cpus: int  # that this process may use
    cpu_percent: float  # of all CPUs, since the last question; 0 to 100
    memory_total: int  # bytes
    memory_available: int  # bytes


class Status(TypedDict):
    """The answer to `GET nbray/status`."""

    nbray: str | None  # version; None when it runs from a source tree without installation
    python: str
    host: Host


class Cluster(TypedDict):
    """A cluster in the answer to `GET nbray/clusters`, as `nbray clusters --format json` tells it."""

    name: str  # of its session
    address: str  # what `nbray.init(address=...)` takes
    pid: int  # of the daemon
    started_by: str  # "start": runs until it is stopped; "init": ends with its driver
    started_at: float  # seconds since the epoch
    figures: dict[str, Any] | None  # as in `nbray.core.live.snapshot`; None when it did not answer
    nodes: list[dict[str, Any]]  # id, name, usage: the newest sample of CPU, memory, store and GPUs
    error: str  # why there are no figures
