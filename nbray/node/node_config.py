"""What the caller of ``start_node`` decides."""

from __future__ import annotations

import msgspec

from nbray.resources import ResourceSet


class NodeConfig(msgspec.Struct, kw_only=True):
    """What the caller of start_node decides.

    ``resources`` is in units of 1/10,000; CPU, GPU and memory that are absent are found
    out. ``object_store_memory`` is in bytes; 0: 30 % of what is available.
    """

    resources: ResourceSet = {}
    object_store_memory: int = 0
    base_dir: str = ""  # where sessions live; "": XDG_RUNTIME_DIR or the temporary folder
    prestart: int = -1  # workers to start ahead; -1: one per CPU
    limits: dict[str, float] = {}  # changes to nbray.config.Limits, over those of the environment
    node_ip: str = "127.0.0.1"
    end_with_driver: bool = True
    started_by: str = "init"  # "start": by the command line; "ahead": nobody asked for it yet
    node_name: str = ""
    labels: dict[str, str] = {}  # of the node, beside those that are found out
    metrics_port: int = -1  # of the Prometheus endpoint; 0: any that is free; -1: none
    spill_base: str = ""  # folder on a disk for objects that have no room; "": the session's
    worker_module: str = "nbray.worker.main"  # for tests
