"""What a daemon is told at its start, and what it answers.

Both travel as JSON over an inherited socket pair, so that nothing of it is in argv or the
environment.
"""

from __future__ import annotations

import msgspec

from nbray.resources import ResourceSet
from nbray.session_layout import CONTROL_SOCKET, SEGMENT_SOCKET


class DaemonConfig(msgspec.Struct, kw_only=True):
    """Launcher -> daemon."""

    node_id: str
    cluster_id: int  # 32 random bits, part of every object id
    session_dir: str
    driver_pid: int  # the node ends with this process; 0: it does not
    driver_start_time: int
    capacity: int  # bytes of the object store
    totals: ResourceSet
    gpu_ids: list[int]
    cwd: bytes  # where workers start; file names are no text
    ip: str = "127.0.0.1"
    prestart: int = -1  # workers to start ahead; -1: one per CPU
    worker_module: str = "nbray.worker.main"  # its ``run`` is the worker; tests have another
    limits: dict[str, float] = {}
    started_by: str = "init"  # "start": by the command line; what init() joins of itself; "ahead": for its first driver
    node_name: str = ""
    labels: dict[str, str] = {}
    metrics_port: int = -1  # of the Prometheus endpoint; 0: any that is free; -1: none
    spill_dir: str  # for objects that have no room in memory
    spill_links: str  # the folder of links to their files

    @property
    def control_endpoint(self) -> str:
        """The daemon's ZeroMQ endpoint."""
        return f"ipc://{self.session_dir}/{CONTROL_SOCKET}"

    @property
    def segment_socket(self) -> str:
        """The socket that hands out the segment."""
        return f"{self.session_dir}/{SEGMENT_SOCKET}"


class DaemonReady(msgspec.Struct, kw_only=True):
    """Daemon -> launcher; or the reason why not."""

    node_id: str = ""
    session_dir: str = ""
    control_endpoint: str = ""
    segment_socket: str = ""
    pid: int = 0
    capacity: int = 0
    resources: dict[str, int] = {}
    metrics_port: int = 0  # where metrics are exported; 0: nowhere
    split_ms: dict[str, float] = {}  # where the start-up time went
    error: str = ""
    error_kind: str = ""  # "port", "package", "disk" (full), or "" for anything else
