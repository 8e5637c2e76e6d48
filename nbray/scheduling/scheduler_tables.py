"""What the scheduler of a node knows: its resources, workers, queue and leases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nbray.config import Limits
from nbray.resources import CPU, UNITS, ResourceSet
from nbray.scheduling import revocation
from nbray.scheduling.cluster_view import ClusterView
from nbray.scheduling.lease_queue import LeaseQueue, Shape, Waiting
from nbray.scheduling.node_selection import GlobalScheduler
from nbray.scheduling.placement_groups import NodeBundles
from nbray.scheduling.resource_ledger import Allocation, ResourceLedger
from nbray.scheduling.worker_pool_state import ACTOR, LEASED, STOPPING, WorkerPoolState


class Lease(revocation.Revocable):
    """A worker and resources lent to an owner, or held by an actor (owner 0)."""

    __slots__ = ("actor_id", "allocation", "group_removed", "name", "request_id", "returned", "worker")

    def __init__(
        self, lease_id: int, entry: Waiting, shape: Shape, allocation: Allocation, worker: int, now: float
    ) -> None:
        super().__init__(lease_id, entry.owner, shape, allocation.amounts, now, entry.place)
        self.actor_id = entry.actor_id
        self.request_id = entry.request_id
        self.allocation = allocation
        self.worker = worker
        self.name = entry.name
        self.returned = False  # ended, but its worker is not gone yet
        self.group_removed = False  # that is why


class SchedulerTables:
    """The tables of one node's scheduler.

    Parameters
    ----------
    node_id : str
    totals : mapping
        What the node has, in units.
    gpu_ids : sequence of int
    limits : Limits
    cluster : ClusterView, optional
        What is known of other nodes.
    labels : mapping, optional
        Of this node.
    """

    def __init__(
        self,
        node_id: str,
        totals: ResourceSet,
        gpu_ids: Sequence[int] = (),
        limits: Limits | None = None,
        cluster: ClusterView | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> None:
        self.node_id = node_id
        self.limits = limits or Limits()
        self.ledger = ResourceLedger(totals, gpu_ids)
        self.groups = NodeBundles(self.ledger)
        self.num_cpus = self.ledger.totals.get(CPU, 0) // UNITS
        self.pool = WorkerPoolState(self.num_cpus, self.limits)
        self.queue = LeaseQueue()
        self.leases: dict[int, Lease] = {}
        self.cluster = cluster or ClusterView()
        self.cluster.update(node_id, self.ledger.totals, self.ledger.free, labels=labels or {})
        self._global = GlobalScheduler(self.cluster)
        self._next_lease = 1
        self._interpreters: dict[str, bool] = {}  # those that are ready, or (False) in the making
        self._keep_ready = 0  # task workers that are there before anybody asks
        self._owner_leases: dict[int, int] = {}
        self._shape_leases: dict[tuple[int, Shape], int] = {}
        self._look_again_at: float | None = None  # when a revocation becomes possible
        self._trim_at: float | None = None  # when an idle worker may be one too many

    def _uncount(self, lease: Lease) -> None:
        if lease.actor_id:
            return
        for table, key in ((self._owner_leases, lease.owner), (self._shape_leases, (lease.owner, lease.shape))):
            table[key] -= 1  # type: ignore[index]
            if not table[key]:  # type: ignore[index]
                del table[key]  # type: ignore[arg-type]

    def _end_lease(self, lease: Lease) -> None:
        if not lease.returned:
            self._uncount(lease)
        lease.allocation.ledger.give(lease.allocation)
        self.groups.settle()
        del self.leases[lease.lease_id]

    def lease_of(self, worker: int) -> Lease | None:
        """Return the lease that this worker serves."""
        record = self.pool.workers.get(worker)
        return self.leases.get(record.lease_id) if record is not None else None

    def validate(self) -> None:
        """Raise AssertionError unless all tables agree and nothing is over-committed."""
        self.ledger.validate()
        self.groups.validate()
        self.pool.validate()
        serving = {worker.lease_id: peer for peer, worker in self.pool.workers.items() if worker.lease_id}
        assert serving == {lease_id: lease.worker for lease_id, lease in self.leases.items()}, serving
        owners: dict[int, int] = {}
        for lease in self.leases.values():
            state = self.pool.workers[lease.worker].state
            assert state in ((ACTOR, STOPPING) if lease.actor_id else (LEASED, STOPPING)), state
            assert lease.blocked == self.pool.workers[lease.worker].blocked
            if not lease.actor_id and not lease.returned:
                owners[lease.owner] = owners.get(lease.owner, 0) + 1
        assert owners == self._owner_leases, (owners, self._owner_leases)
        for entry in self.queue:
            assert entry.count > 0
