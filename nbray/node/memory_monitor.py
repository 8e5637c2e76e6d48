"""Ends a worker before the kernel has to, when the node runs out of memory.

The kernel would choose without knowing what can be run again, and may take the notebook.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import sys

from nbray._cstore import lib
from nbray.node import machine
from nbray.node.node_state import NodeState
from nbray.node.worker_processes import UNKNOWN_STATUS, WorkerProcess
from nbray.scheduling.memory_victim import Candidate, choose

GIB = 1 << 30
_LOOKS_PER_COUNT = 20  # of the memory, per look at how many processes the kernel has ended
_LISTED = 5  # tasks named in the message
_file_of_kills = functools.cache(machine.file_of_kills)


class MemoryMonitor:
    """Looks at the memory of one node.

    Parameters
    ----------
    node : NodeState
    """

    def __init__(self, node: NodeState) -> None:
        self.node = node
        self._ending = 0  # token of the worker that we have killed and that is not dead yet
        # What the kernel has ended, at the last count and at the one before, as it takes a while to be dead; the latter
        # with those that have been told of since: it may take a second one before the first has given its memory back.
        self._kernel_kills = [_kernel_kills()] * 2
        self._looks = 0

    def look(self) -> None:
        """End a worker when too much memory is in use."""
        limits = self.node.limits
        self._looks += 1
        if self._looks % _LOOKS_PER_COUNT == 0:
            self._kernel_kills = [max(self._kernel_kills), _kernel_kills()]
        if self._ending in self.node.processes.by_token or limits.memory_limit_share <= 0:
            return
        self._ending = 0
        if limits.memory_limit_bytes:
            limit = int(limits.memory_limit_bytes)
            candidates = self._candidates()
            used = sum(candidate.bytes for candidate in candidates)
            if used <= limits.memory_limit_share * limit:
                return
        else:
            limit, available = self.node.segment.memory_limit()
            used = limit - min(limit, available)
            if used <= limits.memory_limit_share * limit:
                return
            candidates = self._candidates()
        victim = choose(candidates)
        worker = self.node.processes.by_peer.get(victim.peer) if victim is not None else None
        if victim is None or worker is None:
            return
        reason = self._story(victim, candidates, used, limit)
        print(reason, file=sys.stderr, flush=True)
        self._ending = worker.token
        worker.out_of_memory = True
        self.node.processes.kill(worker, reason)

    def explain_death(self, worker: WorkerProcess, status: int) -> None:
        """Before a death is told: note whether the kernel was quicker than we."""
        if worker.stop_reason:
            return
        # Where nobody said how it ended (all are slow when memory runs out), the kernel's count decides.
        if status != UNKNOWN_STATUS and not (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL):
            return
        if _kernel_kills() > self._kernel_kills[0]:
            self._kernel_kills[0] += 1
            limit, available = self.node.segment.memory_limit()
            worker.out_of_memory = True
            worker.stop_reason = (
                f"the kernel ended it because its node ran out of memory: of {limit / GIB:.2f} GiB {available / GIB:.2f} GiB are "
                "available now. Give tasks that need much memory more num_cpus or memory=..., so that fewer run side by side."
            )

    def _candidates(self) -> list[Candidate]:
        """Return the workers that run something."""
        import psutil  # noqa: PLC0415 - a node that has memory enough starts without it

        running = {task[1]: task for task in self.node.segment.running()}
        found = []
        for peer, worker in self.node.processes.by_peer.items():
            with contextlib.suppress(psutil.Error):
                memory = psutil.Process(worker.pid).memory_info()
                own = max(0, memory.rss - memory.shared)
                actor_id = self.node.actors.by_worker.get(peer, "")
                if actor_id:
                    name = self.node.actors.actors[actor_id].request.class_name
                    found.append(Candidate(peer, worker.pid, name, own, 0.0, is_actor=True))
                elif peer in running:
                    owner, _, start_ns, flags, function = running[peer]
                    name = self.node.events.name_of(owner, function) or "a task"
                    retriable = bool(flags & lib.NBS_TASK_RETRIABLE)
                    found.append(Candidate(peer, worker.pid, name, own, start_ns / 1e9, retriable))
        return found

    def _story(self, victim: Candidate, candidates: list[Candidate], used: int, limit: int) -> str:
        share = self.node.limits.memory_limit_share
        largest = sorted(candidates, key=lambda candidate: -candidate.bytes)[:_LISTED]
        tasks = ", ".join(f"{c.name} {c.bytes / GIB:.2f} GiB (pid {c.pid})" for c in largest)
        stats = self.node.segment.figures()
        return (
            f"{victim.name} was ended because its node ran out of memory: {used / GIB:.2f} of {limit / GIB:.2f} GiB "
            f"({100 * used / limit:.1f} %, the limit is {100 * share:g} %) were in use, of which it had {victim.bytes / GIB:.2f} "
            f"GiB (RSS without shared memory). The largest: {tasks}; the object store holds {stats.used / GIB:.2f} GiB. "
            "Give tasks that need much memory more num_cpus or memory=..., so that fewer run side by side."
        )


def _kernel_kills() -> int:
    """Return how many processes of our cgroup the kernel has ended for lack of memory, ever."""
    with contextlib.suppress(OSError, ValueError), open(_file_of_kills(), "rb") as file:
        text = file.read()
        at = text.find(b"oom_kill ")
        return int(text[at + 9 : text.find(b"\n", at)]) if at >= 0 else 0
    return 0
