"""The worker processes of a node: started by token, watched, stopped, and declared dead once.

A worker's death is told by the zygote, which reaps it. Its pidfd is watched as well, for
the case that the zygote itself is dead or stuck; then how it ended stays unknown.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import msgspec

from nbray.node import process_control
from nbray.node.zygote_client import ZygoteClient
from nbray.node.zygote_messages import Exited, Fork, Forked, WorkerBootstrap, ZygoteMessage

UNKNOWN_STATUS = -1
ZYGOTE_SLOW_S = 5.0  # how long after a pidfd the zygote's word is waited for; it may be without a processor


class WorkerProcess:
    """One worker, from the request to fork it until it is dead."""

    __slots__ = (
        "ended", "exits_itself", "log_path", "orphan", "out_of_memory", "peer", "pid", "pidfd", "started_at", "stop_reason", "token",
        "zygote_death",
    )  # fmt: skip

    def __init__(self, token: int, log_path: str, now: float) -> None:
        self.token = token
        self.log_path = log_path
        self.started_at = now
        self.pid = 0  # from the zygote's answer on
        self.pidfd = -1
        self.peer = 0  # from its registration on
        self.stop_reason = ""  # why we end it
        self.exits_itself = False  # the actor in it has said so
        self.out_of_memory = False  # because the node has no memory left
        self.ended = False  # its pidfd has said so, and the zygote is about to say how
        self.orphan = False  # its zygote is dead, nobody will say how it ended
        self.zygote_death = 0  # which death of a zygote that was


class WorkerProcesses:
    """All workers of this node.

    Parameters
    ----------
    zygote : ZygoteClient
    log_dir : str
    bootstrap : WorkerBootstrap
        What each worker is told; its token and log are added.
    watch, unwatch : callable
        Have the loop call back when a descriptor becomes readable.
    call_after : callable
        Have the loop call back after some seconds.
    on_death : callable
        Called once per worker, with the worker and its wait status or UNKNOWN_STATUS.
    start_timeout_s : float
        A worker that has not registered by then is killed.
    """

    def __init__(
        self,
        zygote: ZygoteClient,
        log_dir: str,
        bootstrap: WorkerBootstrap,
        watch: Callable[[int, Callable[[], None]], None],
        unwatch: Callable[[int], None],
        call_after: Callable[[float, Callable[[], None]], None],
        on_death: Callable[[WorkerProcess, int], None],
        start_timeout_s: float,
    ) -> None:
        self.zygote = zygote
        self.by_token: dict[int, WorkerProcess] = {}
        self.by_peer: dict[int, WorkerProcess] = {}
        self._other_zygotes: dict[int, ZygoteClient] = {}  # token -> who forked it, if not the cluster's own zygote
        self._zygote_deaths = 0
        self._log_dir = log_dir
        self._bootstrap = bootstrap
        self._watch = watch
        self._unwatch = unwatch
        self._call_after = call_after
        self._on_death = on_death
        self._start_timeout_s = start_timeout_s

    def start(self, token: int, now: float, zygote: ZygoteClient | None = None) -> None:
        """Have a worker forked; from the cluster's own zygote unless another is given."""
        log_path = os.path.join(self._log_dir, f"worker-{token}.log")
        worker = self.by_token[token] = WorkerProcess(token, log_path, now)
        bootstrap = msgspec.structs.replace(self._bootstrap, startup_token=token, log_path=log_path)
        if zygote is not None:
            self._other_zygotes[token] = zygote
        (zygote or self.zygote).fork_worker(Fork(bootstrap))
        self._call_after(self._start_timeout_s, lambda: self._check_started(worker))

    def _check_started(self, worker: WorkerProcess) -> None:
        if not worker.peer and worker.token in self.by_token:
            reason = f"it did not register within {self._start_timeout_s:g} s"
            if worker.pid:
                self.kill(worker, reason)
            else:  # the zygote never answered
                worker.stop_reason = reason
                self._dead(worker, UNKNOWN_STATUS)

    def pids(self) -> set[int]:
        """Return the pids of the workers that are not declared dead."""
        return {worker.pid for worker in self.by_token.values()}

    def log_of(self, peer: int) -> str:
        """Return the path of a worker's log; empty when ``peer`` is none."""
        worker = self.by_peer.get(peer)
        return worker.log_path if worker is not None else ""

    def registered(self, token: int, peer: int, pid: int) -> WorkerProcess | None:
        """Note a worker's registration; None when we did not start it so."""
        worker = self.by_token.get(token)
        if worker is None or worker.peer or (worker.pid and worker.pid != pid):
            return None
        self._know_pid(worker, pid)
        if worker.token not in self.by_token:  # dead already
            return None
        worker.peer = peer
        self.by_peer[peer] = worker
        return worker

    def handle(self, message: ZygoteMessage, now: float) -> None:
        """Take what the zygote says."""
        if isinstance(message, Forked):
            worker = self.by_token.get(message.token)
            if worker is None:
                return
            if not message.pid:
                worker.stop_reason = message.error
                self._dead(worker, UNKNOWN_STATUS)
            elif not worker.pid:
                self._know_pid(worker, message.pid)
        elif isinstance(message, Exited):
            worker = self.by_token.get(message.token)
            if worker is not None:
                self._dead(worker, message.status)

    def zygote_died(
        self, zygote: ZygoteClient | None = None, reason: str = "the process that forks the workers died"
    ) -> None:
        """A zygote (None: the cluster's own) is gone; the kernel kills its workers, of which only pidfds tell now."""
        self._zygote_deaths += 1
        for worker in list(self.by_token.values()):
            if self._other_zygotes.get(worker.token) is not zygote:
                continue
            worker.zygote_death = self._zygote_deaths
            worker.stop_reason = worker.stop_reason or reason
            if worker.pidfd < 0 or worker.ended:
                self._dead(worker, UNKNOWN_STATUS)
            else:
                worker.orphan = True
                process_control.send_signal(worker.pidfd, signal.SIGKILL)

    def kill(self, worker: WorkerProcess, reason: str) -> None:
        """SIGKILL a worker; its death is told as any other."""
        self.note_reason(worker, reason)
        process_control.send_signal(worker.pidfd, signal.SIGKILL)

    @staticmethod
    def note_reason(worker: WorkerProcess, reason: str) -> None:
        """Note why we end a worker; not when it is dead already, of which we have not heard: that was not we."""
        if not worker.stop_reason and not process_control.has_ended(worker.pidfd):
            worker.stop_reason = reason

    def kill_later(self, worker: WorkerProcess, after_s: float, reason: str) -> None:
        """SIGKILL a worker after some seconds, unless it has ended by then."""

        def now_or_never() -> None:
            if self.by_token.get(worker.token) is worker:
                self.kill(worker, reason)

        self._call_after(after_s, now_or_never)

    def _know_pid(self, worker: WorkerProcess, pid: int) -> None:
        if worker.pid:
            return
        worker.pid = pid
        worker.pidfd = process_control.open_pidfd(pid)
        if worker.pidfd < 0:
            return  # it ended already; the zygote tells how
        self._watch(worker.pidfd, lambda: self._ended(worker))

    def _ended(self, worker: WorkerProcess) -> None:
        """Its pidfd says that it is dead; give the zygote a moment to say how."""
        worker.ended = True
        self._unwatch(worker.pidfd)
        self._call_after(0.0 if worker.orphan else ZYGOTE_SLOW_S, lambda: self._dead(worker, UNKNOWN_STATUS))

    def _dead(self, worker: WorkerProcess, status: int) -> None:
        if self.by_token.pop(worker.token, None) is None:
            return
        if status == UNKNOWN_STATUS and worker.pid:  # its zygote is dead: then it is ours
            process_control.reap_with_group(worker.pid)
        self.by_peer.pop(worker.peer, None)
        self._other_zygotes.pop(worker.token, None)
        if worker.pidfd >= 0:
            self._unwatch(worker.pidfd)
            os.close(worker.pidfd)
            worker.pidfd = -1
        self._on_death(worker, status)
