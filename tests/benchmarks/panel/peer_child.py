"""A cluster of another library with its own dashboard, driven by lines of its standard input; run by that library's Python.

Says the dashboard's address, then answers each line (``warm 2``, ``fill 9938``, ``rate 5000``, ``stamps 60``) with a line
of JSON. What is filled stays on the dashboard; of what a rate is taken, only the last has to.
Must not import anything of nbray.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

STAMP_S = 0.23  # a stamp's task; the panel's own row has the same


def noop(number: int) -> None:
    """Do nothing."""


def stamp(number: int) -> float:
    """Return when it ended."""
    time.sleep(STAMP_S)
    return time.time()


class Ray:
    """Ray, with its dashboard."""

    def __init__(self) -> None:
        os.environ.setdefault("RAY_AUTH_MODE", "disabled")  # it listens on this machine only; the page has no token
        import ray

        self._ray = ray
        # A port of its own, so that no dashboard of anybody else is looked at.
        address = ray.init(
            "local", include_dashboard=True, dashboard_port=_free_port(), num_cpus=2, log_to_driver=False
        )
        job = ray.get_runtime_context().get_job_id()
        self.url = f"http://{address.dashboard_url}/#/jobs/{job}"
        self._noop, self._stamp = ray.remote(noop), ray.remote(stamp)

    def run(self, count: int) -> None:
        """Run tasks to their end."""
        self._ray.get([self._noop.remote(n) for n in range(count)])

    fill = run  # the dashboard keeps them by itself

    def stamps(self, count: int) -> list[float]:
        """Run tasks one after the other; returns when each ended."""
        return [self._ray.get(self._stamp.remote(n)) for n in range(count)]

    def stop(self) -> None:
        """End it."""
        self._ray.shutdown()


class Dask:
    """Dask's distributed scheduler, with its dashboard."""

    def __init__(self) -> None:
        from distributed import Client, LocalCluster

        self._cluster = LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0", silence_logs=50
        )
        self._client = Client(self._cluster)
        self.url = self._client.dashboard_link.removesuffix("/status") + "/individual-progress"
        self._kept: list[Any] = []  # what nobody holds is no task for it any more

    def run(self, count: int) -> None:
        """Run tasks to their end; those before them are forgotten."""
        self._kept = []
        self.fill(count)

    def fill(self, count: int) -> None:
        """Run tasks that stay."""
        futures = self._client.map(noop, range(count), pure=False)
        self._kept += futures
        self._client.gather(futures)

    def stamps(self, count: int) -> list[float]:
        """Run tasks one after the other; returns when each ended."""
        ends = []
        for n in range(count):
            self._kept.append(self._client.submit(stamp, n, pure=False))
            ends.append(self._kept[-1].result())
        return ends

    def stop(self) -> None:
        """End it."""
        self._client.close()
        self._cluster.close()


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _rate(run: Callable[[int], None], count: int) -> float:
    start = time.perf_counter()
    run(count)
    return count / (time.perf_counter() - start)


def main() -> None:
    """Answer until the input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the library prints is no answer
    peer = {"ray": Ray, "dask": Dask}[sys.argv[1]]()
    try:
        print(json.dumps(peer.url), file=answers, flush=True)
        for line in sys.stdin:
            what, _, number = line.partition(" ")
            count = int(number)
            answer: Any = None
            if what in ("warm", "fill"):
                peer.fill(count)
            elif what == "rate":
                answer = _rate(peer.run, count)
            elif what == "stamps":
                answer = peer.stamps(count)
            print(json.dumps(answer), file=answers, flush=True)
    finally:
        peer.stop()


if __name__ == "__main__":
    main()
