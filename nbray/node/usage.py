"""How the node is used over time: CPU, memory, object store and GPUs, sampled 4 times a second.

A thread of the daemon samples while somebody asks for the figures, and for a while after; a
node that nobody looks at pays nothing. Calls of the GPU driver may take long, so they never
happen in the daemon's loop.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from nbray.config import Limits
from nbray.node.gpu import Gpus, GpuSample, open_gpus


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
        self._samples: deque[UsageSample] = deque(maxlen=int(limits.usage_samples))
        self._wanted_until = 0.0
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._number = 0

    def since(self, number: int) -> list[UsageSample]:
        """Return the samples after ``number``; keeps the sampling alive."""
        with self._lock:
            self._wanted_until = time.monotonic() + self._limits.usage_linger_s
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="nbray-usage", daemon=True)
                self._thread.start()
            return [sample for sample in self._samples if sample.number > number]

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


def attribute(samples: list[UsageSample], workers: dict[int, tuple[int, str]]) -> list[dict[str, Any]]:
    """Return samples as plain data, with what the node's own processes run beside their pids.

    Parameters
    ----------
    samples : list of UsageSample
    workers : dict
        pid -> peer of the worker, and name of the task or actor there. A pid that is not among them is a stranger's, or
        another namespace's view of ours: its memory is told without a name.
    """
    rows: list[dict[str, Any]] = msgspec.to_builtins(samples)
    for row in rows:
        for gpu in row["gpus"]:
            for process in gpu["processes"]:
                peer, process["name"] = workers.get(process["pid"], ("", ""))
                process["peer"] = str(peer)
    return rows
