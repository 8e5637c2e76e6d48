"""Measure executors and pools of processes: nbray and the standard library in turn, in one process.

    python -m tests.benchmarks.pools                 5 rounds, written beside results.md
    python -m tests.benchmarks.pools --rounds 1 --quick

Two workers on each side. Of each case the median of the rounds counts.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import multiprocessing
import sys
from pathlib import Path

import numpy

import nbray
from nbray.util.multiprocessing import Pool

from . import report
from .timing import CLOCK, median

HERE = Path(__file__).parent
WORKERS = 2
ARRAY = numpy.zeros(1_000_000)  # 8 MB


def echo(x):
    return x


def total(array):
    return float(array.sum())


def round_trips(executor):
    """Seconds of one call after the other."""
    for i in range(1000):
        executor.submit(echo, i).result()
    return 1000


def submit_all(executor):
    for future in [executor.submit(echo, i) for i in range(5000)]:
        future.result()
    return 5000


def map_ones(executor):
    return sum(1 for _ in executor.map(echo, range(5000)))


def map_chunks(executor):
    return sum(1 for _ in executor.map(echo, range(100_000), chunksize=1000))


def map_arrays(executor):
    return sum(1 for _ in executor.map(total, [ARRAY] * 20))


def pool_apply(pool):
    for i in range(500):
        pool.apply(echo, (i,))
    return 500


def pool_map(pool):
    return len(pool.map(echo, range(100_000)))


def pool_imap(pool):
    return sum(1 for _ in pool.imap_unordered(echo, range(5000), chunksize=10))


def pool_arrays(pool):
    return len(pool.map(total, [ARRAY] * 20))


EXECUTOR = {
    "submit and wait, one call after the other": round_trips,
    "5,000 calls submitted, then waited for": submit_all,
    "map, one item at a time": map_ones,
    "map, chunks of 1,000": map_chunks,
    "map over arrays of 8 MB": map_arrays,
}
POOL = {
    "apply, one call after the other": pool_apply,
    "map over 100,000 numbers": pool_map,
    "imap_unordered, chunks of 10": pool_imap,
    "map over arrays of 8 MB": pool_arrays,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.pools")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="nothing is written")
    parser.add_argument("--results", type=Path, default=HERE / "results", help="folder for the results")
    options = parser.parse_args()
    load = report.load()
    found: dict[str, dict[str, list[float]]] = {}
    with (
        multiprocessing.Pool(WORKERS) as their_pool,  # forked before nbray has threads
        concurrent.futures.ProcessPoolExecutor(WORKERS) as their_executor,
    ):
        list(their_executor.map(echo, range(WORKERS)))
        nbray.init(num_cpus=WORKERS)
        with nbray.Executor(WORKERS) as executor, Pool(WORKERS) as pool:
            pairs = [
                *((f"Executor: {name}", case, executor, their_executor) for name, case in EXECUTOR.items()),
                *((f"Pool: {name}", case, pool, their_pool) for name, case in POOL.items()),
            ]
            for number in range(options.rounds + 1):  # the first one warms up
                print(f"round {number} of {options.rounds}", file=sys.stderr)
                for name, case, ours, theirs in pairs:
                    for side, what in (("nbray", ours), ("standard library", theirs)):
                        seconds = measure(case, what)
                        if number:
                            found.setdefault(name, {}).setdefault(side, []).append(seconds)
    nbray.shutdown()
    about = f"{report.machine()}; {WORKERS} workers; median of {options.rounds} rounds; load {load:.2f}"
    page = as_markdown(found, about)
    print(page)
    if not options.quick:
        (options.results / "pools.md").write_text(page)
        (options.results / "pools.json").write_text(
            json.dumps({"about": about, "seconds per item": found}, indent=2) + "\n"
        )
    return 0


def measure(case, what) -> float:
    """Seconds per item."""
    start = CLOCK()
    count = case(what)
    return (CLOCK() - start) / count


def as_markdown(found: dict[str, dict[str, list[float]]], about: str) -> str:
    """The page."""
    lines = ["| case, time per item | nbray | standard library | times as fast |", "|---|---|---|---|"]
    for name, sides in found.items():
        ours, theirs = median(sides["nbray"]), median(sides["standard library"])
        lines.append(f"| {name} | {show(ours)} | {show(theirs)} | {theirs / ours:.1f} |")
    table = "\n".join(lines)
    return (
        f"# Executors and pools beside the standard library's\n\n{about}.\n\n`nbray.Executor` and "
        "`concurrent.futures.ProcessPoolExecutor`, `nbray.util.multiprocessing.Pool` and `multiprocessing.Pool`, in turn, "
        f"in one process.\n\n{table}\n"
    )


def show(seconds: float) -> str:
    """Three digits and a unit."""
    return f"{seconds * 1000:.3g} ms" if seconds >= 0.001 else f"{seconds * 1e6:.3g} us"


if __name__ == "__main__":
    sys.exit(main())
