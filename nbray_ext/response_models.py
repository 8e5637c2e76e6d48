"""The shapes that the front end gets as JSON."""

from __future__ import annotations

from typing import TypedDict


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
