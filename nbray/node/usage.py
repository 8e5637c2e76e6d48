"""How the node is used over time: CPU, memory, object store and GPUs, sampled 4 times a second.

A thread of the daemon samples while somebody asks for the figures, and for a while after; a
node that nobody looks at pays nothing. Calls of the GPU driver may take long, so they never
happen in the daemon's loop.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from nbray.config import Limits
from nbray.node.gpu import Gpus, GpuSample, open_gpus

FINE_SAMPLES = 200  # of one answer the newest, all of them
COARSE = 4  # of those before, one in so many


class UsageSample(msgspec.Struct, frozen=True):
    """The node at one moment."""

    number: int  # counts from 1
    t_ns: int  # CLOCK_MONOTONIC, as in event records
    cpu: float  # share of the machine's processors that were busy since the last sample, 0 to 1
    memory_used: int  # bytes, of the machine
    memory_total: int  # bytes, of the machine
    store_used: int  # bytes, of the object store
    gpus: tuple[GpuSample, ...] = ()


class Usage:
    """The newest samples of one node.

    Parameters
    ----------
    limits : Limits
    store_used : callable
        Returns the bytes in use in the object store; called on the sampling thread.
    open_gpus : callable
        Returns the GPUs or None; called on the sampling thread, once.
    """

    def __init__(
        self, limits: Limits, store_used: Callable[[], int], open_gpus: Callable[[], Gpus | None] = open_gpus
    ) -> None:
        self._limits = limits
        self._store_used = store_used
        self._open_gpus = open_gpus
        self._samples: deque[UsageSample] = deque(maxlen=int(limits.usage_samples))  # that nobody has seen yet
        self._rows: deque[dict[str, Any]] = deque(maxlen=int(limits.usage_samples))
        self._wanted_until = 0.0
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._number = 0

    def rows(self, since: int, workers: Callable[[], dict[int, tuple[int, str]]]) -> list[dict[str, Any]]:
        """Return the samples after ``since``, thinned out; keeps the sampling alive. Called in the daemon's loop.

        What runs in a process that uses a GPU is noted with the first look at a sample: later the process may be gone.

        Parameters
        ----------
        since : int
            Number of the last sample that the asker has.
        workers : callable
            Returns what the workers run now, as for ``attribute``; called where there are new samples.
        """
        for row in attribute(self._taken(), workers):
            self._rows.append(row)
        newer = list(itertools.takewhile(lambda row: row["number"] > since, reversed(self._rows)))
        return thinned(newer[::-1])

    def _taken(self) -> list[UsageSample]:
        with self._lock:
            self._wanted_until = time.monotonic() + self._limits.usage_linger_s
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="nbray-usage", daemon=True)
                self._thread.start()
            taken = list(self._samples)
            self._samples.clear()
            return taken

    def _run(self) -> None:
        import psutil  # noqa: PLC0415 - only a node that is looked at loads it

        gpus = self._open_gpus()
        psutil.cpu_percent()  # the next call tells of the time since this one
        while True:
            time.sleep(self._limits.usage_period_s)
            memory = psutil.virtual_memory()
            reading: tuple[GpuSample, ...] = tuple(gpus.read()) if gpus is not None else ()
            sample = UsageSample(
                self._number + 1, time.monotonic_ns(), psutil.cpu_percent() / 100.0, memory.total - memory.available,
                memory.total, self._store_used(), reading,
            )  # fmt: skip
            with self._lock:
                self._number += 1
                self._samples.append(sample)
                if time.monotonic() > self._wanted_until:
                    self._thread = None
                    return


def thinned(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the newest rows, and of those before one in four."""
    old, new = rows[:-FINE_SAMPLES], rows[-FINE_SAMPLES:]
    return [row for row in old if row["number"] % COARSE == 0] + new


def attribute(samples: list[UsageSample], workers: Callable[[], dict[int, tuple[int, str]]]) -> list[dict[str, Any]]:
    """Return samples as plain data, with what the node's own processes run beside their pids.

    Parameters
    ----------
    samples : list of UsageSample
    workers : callable
        Returns pid -> peer of the process, and name of the task or actor there. A pid that is not among them is a
        stranger's, or another namespace's view of ours: its memory is told without a name.
    """
    rows: list[dict[str, Any]] = msgspec.to_builtins(samples)
    if not any(gpu["processes"] for row in rows for gpu in row["gpus"]):
        return rows
    known = workers()
    for row in rows:
        for gpu in row["gpus"]:
            for process in gpu["processes"]:
                peer, process["name"] = known.get(process["pid"], ("", ""))
                process["peer"] = str(peer)
    return rows
