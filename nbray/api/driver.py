"""Bring up a node and this process's runtime as its driver; and take both down."""

from __future__ import annotations

import os
import pickle
import sys
from typing import Any

from nbray.core.core_worker import CoreWorker
from nbray.core.joining import attach, join
from nbray.node.launcher import NodeConfig, start_node
from nbray.wire.messages import ShutdownRequest


def start(amounts: dict[str, int], store_bytes: int, namespace: str, base_dir: str | None) -> Any:
    """Start a node, join it; returns (node, core, facts)."""
    node = start_node(NodeConfig(resources=amounts, object_store_memory=store_bytes, base_dir=base_dir or ""))
    core = None
    try:
        seg = attach(node.segment_fd)
        core = CoreWorker(seg, node.control_endpoint, "driver", 0, 0)
        core.namespace = namespace
        answer = join(core, 0)
        if not namespace:
            core.namespace = f"anonymous-{core.job_id}-{core.cluster_id:08x}"
        core.totals = dict(answer.resources)
        core.context = driver_context(core)
        core.start()
    except BaseException:
        if core is not None:
            core.stop()
        node.stop()
        raise
    facts = {
        "node_id": core.node_id, "session_dir": node.session_dir, "node_ip_address": "127.0.0.1",
        "address": node.control_endpoint, "resources": dict(answer.resources),
    }  # fmt: skip
    return node, core, facts


def stop(node: Any, core: Any, exiting: bool = False) -> None:
    """End the runtime, then its node; ``exiting``: with the interpreter."""
    try:
        core.control.send(ShutdownRequest())
    finally:
        try:
            core.stop(exiting)
        finally:
            if node is not None:
                node.stop()


def driver_context(core: Any) -> bytes:
    """Return what workers take over from this driver, pickled."""
    path = [p if p else os.getcwd() for p in sys.path]
    main = sys.modules.get("__main__")
    main_file = getattr(main, "__file__", None)
    if main_file:
        folder = os.path.dirname(os.path.abspath(main_file))
        if folder not in path:
            path.insert(0, folder)
    return pickle.dumps(
        {
            "job_id": core.job_id,
            "namespace": core.namespace,
            "sys_path": path,
            "cwd": os.getcwd(),
            "depth": 1,
            "threads_set": "OMP_NUM_THREADS" in os.environ,
        }
    )
