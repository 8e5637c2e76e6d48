"""The workers of a node: starting, idle, leased, actor, stopping.

Pure. A worker belongs to nobody until its first lease; from then on it serves one job and
one runtime environment, because it keeps modules, functions and settings of them.

::

    STARTING --ready--> IDLE --granted--> LEASED --returned--> IDLE
                          |  --placed---> ACTOR                  |
                          +--stop--> STOPPING <--stop------------+
    any --died--> (gone)
"""

from __future__ import annotations

from collections.abc import Iterator

from nbray.config import Limits

STARTING, IDLE, LEASED, ACTOR, STOPPING = "STARTING", "IDLE", "LEASED", "ACTOR", "STOPPING"

Binding = tuple[int, str]  # job, runtime environment

WORKER_TRANSITIONS = {
    (IDLE, "grant"): LEASED,
    (IDLE, "place"): ACTOR,
    (IDLE, "stop"): STOPPING,
    (LEASED, "return"): IDLE,
    (LEASED, "stop"): STOPPING,
    (ACTOR, "stop"): STOPPING,
    (STOPPING, "stop"): STOPPING,
}


class WorkerRecord:
    """One registered worker."""

    __slots__ = ("binding", "blocked", "idle_since", "interpreter", "lease_id", "peer", "pid", "state")

    def __init__(self, peer: int, pid: int, now: float, interpreter: str = "") -> None:
        self.peer = peer
        self.pid = pid
        self.interpreter = interpreter  # empty: the cluster's own
        self.state = IDLE
        self.binding: Binding | None = None  # None: fresh
        self.lease_id = 0  # the lease it serves, also while STOPPING
        self.blocked = False
        self.idle_since = now


class WorkerPoolState:
    """Who is there, who may be used, and how many may be started."""

    def __init__(self, num_cpus: int, limits: Limits) -> None:
        self.num_cpus = num_cpus
        self.limits = limits
        self.workers: dict[int, WorkerRecord] = {}
        self.starting: dict[int, str] = {}  # token -> interpreter
        self.failures: dict[str, int] = {}  # interpreter -> starts in a row that failed
        self._zygote_death = 0  # the last one that was counted there
        self._next_token = 1
        self._idle: dict[int, WorkerRecord] = {}  # by peer; the last one was used last, its caches are warm

    def start(self, now: float, interpreter: str = "") -> int:
        """Note that a worker starts; return its token."""
        token = self._next_token
        self._next_token += 1
        self.starting[token] = interpreter
        return token

    def ready(self, token: int, peer: int, pid: int, now: float) -> WorkerRecord:
        """Note that a worker has registered (also one whose token is unknown)."""
        interpreter = self.starting.pop(token, "")
        self.failures.pop(interpreter, None)
        worker = WorkerRecord(peer, pid, now, interpreter)
        self.workers[peer] = worker
        self._idle[peer] = worker
        return worker

    def start_failed(self, token: int, zygote_death: int = 0) -> str | None:
        """Note that a start failed; the interpreter when it is one too many in a row, else None.

        Those that failed with one death of a zygote count once.
        """
        interpreter = self.starting.pop(token, None)
        if interpreter is None or 0 < zygote_death <= self._zygote_death:
            return None
        self._zygote_death = max(self._zygote_death, zygote_death)
        failures = self.failures[interpreter] = self.failures.get(interpreter, 0) + 1
        return interpreter if failures >= self.limits.start_failures else None

    def move(self, worker: WorkerRecord, event: str, now: float) -> None:
        """Apply WORKER_TRANSITIONS; raises ValueError for a pair that is not in it."""
        state = WORKER_TRANSITIONS.get((worker.state, event))
        if state is None:
            raise ValueError(f"worker pid={worker.pid} is {worker.state}: no {event!r} there")
        self._idle.pop(worker.peer, None)
        worker.state = state
        if state == IDLE:
            worker.lease_id = 0
            worker.blocked = False
            worker.idle_since = now
            self._idle[worker.peer] = worker

    def died(self, peer: int) -> WorkerRecord | None:
        """Forget a worker."""
        self._idle.pop(peer, None)
        return self.workers.pop(peer, None)

    def pick(self, binding: Binding, owner: int, interpreter: str = "") -> WorkerRecord | None:
        """Return an idle worker for ``binding``: one that served it last, else a fresh one.

        Never the owner itself: a worker that has ended its task may still own tasks.
        """
        fresh = None
        for worker in reversed(self._idle.values()):
            if worker.peer == owner:
                continue
            if worker.binding == binding:
                return worker
            if fresh is None and worker.binding is None and worker.interpreter == interpreter:
                fresh = worker
        return fresh

    def idle(self) -> Iterator[WorkerRecord]:
        """All idle workers, the longest idle first."""
        return iter(list(self._idle.values()))

    def has_idle(self) -> bool:
        """True when some worker is idle."""
        return bool(self._idle)

    def task_workers(self) -> int:
        """How many workers of the cluster's own interpreter run tasks or wait for some."""
        return sum(worker.state in (IDLE, LEASED) and not worker.interpreter for worker in self.workers.values())

    def may_start(self, interpreter: str = "") -> int:
        """How many more workers may be started now with this interpreter."""
        starting = sum(other == interpreter for other in self.starting.values())
        actors = sum(1 for worker in self.workers.values() if worker.state == ACTOR)
        tasks = len(self.workers) - actors + len(self.starting)
        return max(
            0,
            min(
                max(self.limits.starting_workers, self.num_cpus) - starting,
                self.num_cpus + self.limits.extra_workers - tasks,
                self.limits.max_processes - len(self.workers) - len(self.starting),
            ),
        )

    def counts(self) -> dict[str, int]:
        """Workers by state, for reports."""
        counts = {STARTING: len(self.starting), IDLE: 0, LEASED: 0, ACTOR: 0, STOPPING: 0}
        for worker in self.workers.values():
            counts[worker.state] += 1
        return counts

    def validate(self) -> None:
        """Raise AssertionError unless the tables agree."""
        idle = {peer for peer, worker in self.workers.items() if worker.state == IDLE}
        assert idle == set(self._idle), (idle, set(self._idle))
        for peer, worker in self.workers.items():
            assert worker.peer == peer
            assert (worker.lease_id != 0) or worker.state in (IDLE, STOPPING), (worker.state, worker.lease_id)
            assert worker.state != IDLE or not (worker.lease_id or worker.blocked)
