"""The dashboards of other libraries, measured as the panel is: those rows that they have at all.

Each wants the Python of an environment that has it; one that is not named is left out, with a sentence.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from lab import find_chromium

CHILD = Path(__file__).with_name("peer_child.py")
STAMPS = 60
TASKS = 10_000  # in the first picture, those of the stamps among them
RATE_S = 3.0  # one measurement of a rate
PATIENCE_MS = 180_000
MIB = 2**20

# The rows: as the panel's own table calls them, and what they are called beside the peers'.
LATE, RATE, OPEN, HEAP = CASES = (
    "task state change to picture, cell running, p95",
    "task rate with the panel open, against closed",
    "open to the first picture, 10,000 tasks",
    "heap of the page then",
)


class Peer(NamedTuple):
    """A library with a dashboard."""

    key: str
    name: str
    variable: str  # of the environment: its Python
    wants: str
    done: str  # JavaScript: how many tasks its page shows as done


PEERS = (
    Peer("ray", "Ray's dashboard", "NBRAY_BENCH_RAY_PYTHON", "ray[default]==2.60.0",
         "() => Number(/Finished: (\\d+)/.exec(document.body?.textContent ?? '')?.[1] ?? 0)"),
    Peer("dask", "Dask's dashboard", "NBRAY_BENCH_DASK_PYTHON", "distributed and bokeh",
         """() => (window.Bokeh?.documents ?? []).flatMap(one => [...one._all_models.values()])
              .flatMap(model => [...(model.data?.memory ?? [])]).reduce((sum, n) => sum + n, 0)"""),
)  # fmt: skip

# Notes when the number of tasks that the page shows as done grows.
WATCH = """done => {
  window.seen = [];
  let last = 0;
  const look = () => {
    const now = done();
    if (now > last) { last = now; window.seen.push([now, Date.now()]); }
    requestAnimationFrame(look);
  };
  look();
}"""


class Cluster:
    """A peer's cluster, in a process of its own."""

    def __init__(self, peer: Peer, python: str) -> None:
        line = [python, str(CHILD), peer.key]
        env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        self._process = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
        self.url: str = self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._process.args} ended with {self._process.wait()}")
        return json.loads(line)

    def ask(self, what: str, count: int) -> Any:
        """Have it run tasks; returns what it measured."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{what} {count}\n")
        self._process.stdin.flush()
        return self._answer()

    def stop(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(120)


@contextmanager
def _page(url: str) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox"])
        try:
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            page.set_default_timeout(PATIENCE_MS)
            page.goto(url, wait_until="commit")
            yield page
        finally:
            browser.close()


def heap_of(page: Any) -> float:
    """MiB that a page's objects take, once what is garbage has gone."""
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    return session.send("Runtime.getHeapUsage")["usedSize"] / MIB


def lateness(ends: Sequence[float], seen: Sequence[tuple[int, float]]) -> tuple[float, float]:
    """Return the median and the 95th percentile of how late each task was seen as done, in milliseconds.

    ``ends``: when each ended, in seconds; ``seen``: how many were shown as done from when on, in milliseconds.
    """
    late = sorted(next(when for done, when in seen if done > n) - 1000 * end for n, end in enumerate(ends))
    return late[len(late) // 2], late[int(len(late) * 0.95)]


def _measure(peer: Peer, cluster: Cluster) -> list[str]:
    """Measure one peer; in the order of CASES."""
    cluster.ask("warm", 2)
    with _page(cluster.url) as page:
        page.wait_for_function(f"() => ({peer.done})() >= 2")
        page.evaluate(f"({WATCH})({peer.done})")
        ends = cluster.ask("stamps", STAMPS)
        page.wait_for_function(f"() => window.seen.at(-1)[0] >= {STAMPS + 2}")
        median, p95 = lateness(ends, [(done - 2, when) for done, when in page.evaluate("() => window.seen")])
    cluster.ask("fill", TASKS - STAMPS - 2)
    start = time.perf_counter()
    with _page(cluster.url) as page:
        page.wait_for_function(f"() => ({peer.done})() >= {TASKS}")
        page.evaluate("() => new Promise(requestAnimationFrame)")
        took = time.perf_counter() - start
        heap = heap_of(page)
    count = int(RATE_S * cluster.ask("rate", 1000)) // 100 * 100 + 100
    rates = []
    for _ in range(3):
        closed = cluster.ask("rate", count)
        with _page(cluster.url) as page:
            page.wait_for_function(f"() => ({peer.done})() > 0")
            rates.append((cluster.ask("rate", count) / closed, closed))
    share, closed = sorted(rates)[1]
    return [
        f"{p95:,.0f} ms (median {median:,.0f} ms)",
        f"{share:.0%} ({share * closed:,.0f}/s, {closed:,.0f}/s)",
        f"{1000 * took:,.0f} ms",
        f"{heap:.0f} MB",
    ]


def table(own: Sequence[tuple[str, str, str, bool]]) -> str:
    """Measure the peers whose Pythons are named; returns a table with the panel's own rows beside theirs, or nothing."""
    measured: dict[str, list[str]] = {}
    for peer in PEERS:
        python = os.environ.get(peer.variable)
        if not python:
            print(
                f"{peer.name} is not measured: {peer.variable} names no Python that has {peer.wants}.", file=sys.stderr
            )
            continue
        cluster = Cluster(peer, python)
        try:
            measured[peer.name] = _measure(peer, cluster)
        finally:
            cluster.stop()
    if not measured:
        return ""
    ours = {case: text for case, text, _, _ in own}
    lines = [
        f"| case | the panel | {' | '.join(measured)} |",
        "|---" * (2 + len(measured)) + "|",
        *(
            f"| {case} | {ours.get(case, 'not measured')} | {' | '.join(column[n] for column in measured.values())} |"
            for n, case in enumerate(CASES)
        ),
    ]
    return "\n".join(lines)
