"""The processes of the cluster, also those that have ended: for lists.

Pure. A process is known from its registration on; of the dead the oldest are forgotten.
"""

from __future__ import annotations

from typing import Any

from nbray.config import Limits


class ProcessRecord:
    """One driver or worker."""

    __slots__ = ("actor_id", "detail", "ended_at", "exit_type", "job_id", "log", "peer", "pid", "role", "started_at")

    def __init__(self, peer: int, pid: int, role: str, now: float, log: str) -> None:
        self.peer = peer
        self.pid = pid
        self.role = role
        self.started_at = now  # seconds since the epoch
        self.ended_at = 0.0
        self.job_id = 0
        self.actor_id = ""  # of the actor that it is, or was
        self.exit_type = ""
        self.detail = ""  # sentence on its end
        self.log = log  # name of its log, in the session's folder of logs

    def describe(self) -> dict[str, Any]:
        """Return the row of a list."""
        return {name: getattr(self, name) for name in self.__slots__}


class ProcessTable:
    """Peer -> record."""

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self.processes: dict[int, ProcessRecord] = {}
        self._dead: dict[int, None] = {}  # oldest first

    def started(self, peer: int, pid: int, role: str, now: float, log: str = "") -> None:
        """Note a new process; one that registers again stays as it is."""
        if peer not in self.processes:
            self.processes[peer] = ProcessRecord(peer, pid, role, now, log)

    def serves(self, peer: int, job_id: int) -> None:
        """Note the job of a process."""
        record = self.processes.get(peer)
        if record is not None:
            record.job_id = job_id

    def becomes(self, peer: int, actor_id: str) -> None:
        """Note the actor that a worker is from now on."""
        record = self.processes.get(peer)
        if record is not None:
            record.actor_id = actor_id

    def ended(self, peer: int, now: float, exit_type: str, detail: str) -> None:
        """Note that a process is gone."""
        record = self.processes.get(peer)
        if record is None or record.ended_at:
            return
        record.ended_at, record.exit_type, record.detail = now, exit_type, detail
        self._dead[peer] = None
        while len(self._dead) > self._limits.dead_processes:
            oldest = next(iter(self._dead))
            del self._dead[oldest], self.processes[oldest]

    def validate(self) -> None:
        """Raise AssertionError unless the dead are those that have ended."""
        assert {peer for peer, record in self.processes.items() if record.ended_at} == set(self._dead)
