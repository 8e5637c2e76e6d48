"""All that a daemon knows and holds, in one place; the loop and the handlers share it."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable

from nbray.config import Limits
from nbray.control.actor_table import ActorTable
from nbray.control.environment_table import EnvironmentTable
from nbray.control.job_table import JobTable
from nbray.control.key_value_table import KeyValueTable
from nbray.control.node_table import NodeRecord, NodeTable
from nbray.control.placement_group_table import PlacementGroupTable
from nbray.control.process_table import ProcessTable
from nbray.node.clients import Clients
from nbray.node.daemon_config import DaemonConfig
from nbray.node.event_log import EventLog
from nbray.node.inspections import Inspections
from nbray.node.metrics import Application
from nbray.node.segment import Segment
from nbray.node.spiller import Spiller
from nbray.node.usage import Usage
from nbray.node.worker_processes import WorkerProcesses
from nbray.resources import OBJECT_STORE_MEMORY
from nbray.scheduling.local_scheduler import LocalScheduler
from nbray.wire.channel import Router
from nbray.wire.messages import Message


class NodeState:
    """The tables and carriers of one node.

    The attributes declared here are set by the loop, which is made after this.
    """

    processes: WorkerProcesses
    spiller: Spiller
    end: Callable[[str], None]  # end the node, for this reason
    call_after: Callable[[float, Callable[[], None]], None]
    hear_out: Callable[[bytes], None]  # serve what a process, which is dead, has said; by its identity
    watch: Callable[[int, Callable[[], None]], None]
    unwatch: Callable[[int], None]

    def __init__(self, config: DaemonConfig, limits: Limits, segment: Segment, router: Router) -> None:
        self.config = config
        self.limits = limits
        self.segment = segment
        self.router = router
        # Memory of the object store is shown as a resource and not given out.
        totals = {name: units for name, units in config.totals.items() if name != OBJECT_STORE_MEMORY}
        self.scheduler = LocalScheduler(config.node_id, totals, config.gpu_ids, limits, labels=config.labels)
        self.actors = ActorTable(limits)
        self.groups = PlacementGroupTable(self.scheduler.cluster, limits)
        self.jobs = JobTable()
        self.nodes = NodeTable()
        self.environments = EnvironmentTable()
        self.key_values = KeyValueTable()
        self.processes_seen = ProcessTable(limits)
        self.inspections = Inspections(self.send, lambda seconds, action: self.call_after(seconds, action))
        hostname = socket.gethostname()
        self.nodes.add(
            NodeRecord(
                config.node_id,
                os.getpid(),
                hostname,
                config.totals,
                time.time(),
                config.ip,
                config.node_name,
                config.labels,
            )
        )
        self.clients = Clients()
        self.events = EventLog(segment, limits)
        self.usage = Usage(limits, lambda: segment.stats()["used"])
        self.spec_holds: dict[str, int] = {}  # actor id -> handle of its spec
        self.application_metrics = Application(limits)
        self.metrics_port = 0  # of the Prometheus endpoint; 0: there is none
        self.ended_by_owner = False  # the driver that started the node ends it
        self.refused = 0  # messages that were not allowed
        self.active = True  # something happened since the last drain of the event rings

    def send(self, peer: int, message: Message) -> bool:
        """Send to a registered process and wake it; False when it is not there."""
        client = self.clients.by_peer.get(peer)
        if client is None:
            return False
        sent = self.router.send(client.identity, message)
        self.segment.ring(peer)
        return sent
