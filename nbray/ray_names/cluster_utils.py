"""``ray.cluster_utils.Cluster``: a cluster that a program starts for itself, with the one node that nbray has."""

from __future__ import annotations

import atexit
import os
from typing import Any

from nbray.api import init_options, runtime
from nbray.api.state import nodes
from nbray.node import session_dir
from nbray.node.launcher import NodeConfig, NodeProcess, start_node

DEFAULT_STORE_BYTES = 150 * 1024 * 1024
_USED = {
    "num_cpus", "num_gpus", "resources", "memory", "labels", "object_store_memory", "temp_dir", "node_name",
    "_system_config", "node_ip_address", "object_spilling_directory",
}  # fmt: skip
# Of Ray's own processes and ports, which nbray does not have.
_WITHOUT_EFFECT = {
    "include_dashboard", "dashboard_host", "dashboard_port", "min_worker_port", "max_worker_port", "redis_password",
    "redis_username", "port", "dashboard_agent_listen_port", "metrics_export_port", "node_manager_port", "enable_object_reconstruction",
}  # fmt: skip


class Node:
    """The node of a Cluster."""

    def __init__(self, process: NodeProcess) -> None:
        self._process = process
        self.address = self.gcs_address = process.session_dir

    def remaining_processes_alive(self) -> bool:
        """Return whether the node lives."""
        return self._process.is_alive()


class Cluster:
    """A cluster to ``init(address=cluster.address)`` into; it ends with ``shutdown``, or with this process.

    Parameters
    ----------
    initialize_head : bool
        Start the node at once.
    connect : bool
        Make this process its driver.
    head_node_args : dict, optional
        Of ``add_node``.
    shutdown_at_exit : bool
        End it with this process.
    """

    def __init__(
        self, initialize_head: bool = False, connect: bool = False, head_node_args: Any = None, shutdown_at_exit: bool = True
    ) -> None:  # fmt: skip
        self.head_node: Node | None = None
        self.worker_nodes: set[Node] = set()
        self.connected = False
        self._shutdown_at_exit = shutdown_at_exit
        if connect and not initialize_head:
            raise RuntimeError("Cannot connect to uninitialized cluster.")
        if initialize_head:
            self.add_node(**(head_node_args or {}))
            if connect:
                self.connect()

    @property
    def address(self) -> str | None:
        """What to give to ``init``; None before there is a node."""
        return None if self.head_node is None else self.head_node.address

    gcs_address = address

    def connect(self, namespace: str | None = None) -> None:
        """Make this process a driver of the cluster."""
        if self.address is None or self.connected:
            raise RuntimeError("There is no node yet (add_node), or this process is connected already.")
        runtime.init(address=self.address, namespace=namespace, ignore_reinit_error=True)
        self.connected = True

    def add_node(self, wait: bool = True, **node_args: Any) -> Node:
        """Start the node.

        Parameters
        ----------
        wait : bool
            Always so: the node is there when this returns.
        **node_args
            num_cpus (default 1), num_gpus (0), resources, memory, labels, object_store_memory
            (bytes; 150 MiB), temp_dir, node_name, object_spilling_directory, _system_config.

        Raises
        ------
        NotImplementedError
            For a second node: a cluster of nbray has one.
        ValueError
            For arguments that nbray does not know.
        """
        if self.head_node is not None:
            raise NotImplementedError(
                "A cluster of nbray has one node: give that one what all have together (num_cpus, resources), or use Ray for "
                "tests of several nodes."
            )
        unknown = set(node_args) - _USED - _WITHOUT_EFFECT
        if unknown:
            raise ValueError(f"add_node(): nbray does not know {', '.join(sorted(unknown))}; it knows {sorted(_USED)}.")
        given = node_args.get
        temp_dir, spill = given("temp_dir"), given("object_spilling_directory")
        process = start_node(
            NodeConfig(
                resources=init_options.check_amounts(
                    given("num_cpus", 1), given("num_gpus", 0), given("resources"), given("memory")
                ),
                object_store_memory=init_options.check_store_bytes(given("object_store_memory", DEFAULT_STORE_BYTES)),
                base_dir=session_dir.folder("temp_dir", temp_dir) if temp_dir else "",
                limits=init_options.check_limits(given("_system_config")), end_with_driver=self._shutdown_at_exit,
                started_by="start", node_name=given("node_name") or "", labels=init_options.check_labels(given("labels")),
                spill_base=session_dir.folder("object_spilling_directory", spill) if spill else "",
            )
        )  # fmt: skip
        os.close(process.segment_fd)  # drivers are given it by the daemon
        self.head_node = Node(process)
        if self._shutdown_at_exit:
            atexit.register(self.shutdown)
        return self.head_node

    def remove_node(self, node: Node, allow_graceful: bool = True) -> None:
        """End the node, and with it the cluster."""
        if node is not self.head_node:
            raise ValueError("remove_node(): that is no node of this cluster.")
        self.shutdown()

    def wait_for_nodes(self, timeout: float = 30) -> None:
        """Return when all nodes are there: they are."""
        if self.connected and len(nodes()) != len(self.list_all_nodes()):
            raise TimeoutError("The node of the cluster has died.")

    def list_all_nodes(self) -> list[Node]:
        """Return the nodes that were added."""
        return [] if self.head_node is None else [self.head_node]

    def remaining_processes_alive(self) -> bool:
        """Return whether all nodes live."""
        return all(node.remaining_processes_alive() for node in self.list_all_nodes())

    def shutdown(self) -> None:
        """End the cluster; a driver of it in this process is shut down first."""
        if self.connected:
            runtime.shutdown()
            self.connected = False
        node, self.head_node = self.head_node, None
        if node is not None:
            node._process.stop()
            atexit.unregister(self.shutdown)
