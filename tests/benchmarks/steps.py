"""Where the time of one warm task goes: `python -m tests.benchmarks.steps` prints the table of `nbray/ARCHITECTURE.md`.

Each step is measured alone, in a run of its own, by a wrapper around the function that does it; a wrapper costs about
0.1 us, which is taken off. Each figure is the one that a tenth of 300 batches of 10 calls reached, so that what else runs
on the machine counts little. What is left of the round trip is spent in the worker and on the way there and back.
"""

from __future__ import annotations

import time

import nbray
from nbray.api.remote_function import RemoteFunction
from nbray.core.core_worker import CoreWorker
from nbray.core.lease_pool import LeasePool

CLOCK = time.perf_counter_ns
BATCHES, BATCH = 300, 10

# (what it does, class, method, steps that are inside it); the order is that of a task's life.
STEPS = [
    ("`f.remote(x)`: arguments counted, pool looked up", RemoteFunction, "remote", ["submit"]),
    ("`CoreWorker.submit`: ref and record made", CoreWorker, "submit", ["encode_arguments", "pool_submit"]),
    ("`encode_arguments`: pickled", CoreWorker, "encode_arguments", []),
    ("`LeasePool.submit`: a worker chosen", LeasePool, "submit", ["send"]),
    ("`LeasePool.send`: written into the ring, bell rung if the worker sleeps", LeasePool, "send", []),
    ("`get`: waiting begun, reply taken from the ring", CoreWorker, "drain", []),
    ("`value_of`: unpickled", CoreWorker, "value_of", []),
]
KEYS = ["remote", "submit", "encode_arguments", "pool_submit", "send", "drain", "value_of"]


def main() -> None:
    nbray.init(num_cpus=1, object_store_memory=64 * 2**20)

    @nbray.remote
    def echo(x):
        return x

    def round_trips(n):
        for i in range(n):
            nbray.get(echo.remote(i))

    round_trips(2000)
    whole = _undisturbed([_timed(lambda: round_trips(BATCH)) / BATCH for _ in range(BATCHES)])
    wrapper = _cost_of_a_wrapper()
    inside = {}
    for key, (_, cls, name, _) in zip(KEYS, STEPS, strict=True):
        inside[key] = max(0.0, _time_in(cls, name, round_trips) - wrapper)
    print("| step | us |\n|---|---|")
    told = 0.0
    for key, (title, _, _, parts) in zip(KEYS, STEPS, strict=True):
        own = max(0.0, inside[key] - sum(inside[part] for part in parts))
        told += own
        print(f"| {title} | {own / 1000:.1f} |")
    print(
        f"| the worker: taken, unpickled, run, pickled, replied; and the way there and back | {(whole - told) / 1000:.1f} |"
    )
    print(f"| **round trip** | **{whole / 1000:.1f}** |")
    nbray.shutdown()


def _time_in(cls, name, run):
    """The time that one call of a round trip spends in a method, where nothing disturbed it."""
    original = getattr(cls, name)
    spent = [0]

    def timed(*args, **kwargs):
        begin = CLOCK()
        try:
            return original(*args, **kwargs)
        finally:
            spent[0] += CLOCK() - begin

    setattr(cls, name, timed)
    try:
        run(200)
        batches = []
        for _ in range(BATCHES):
            spent[0] = 0
            run(BATCH)
            batches.append(spent[0] / BATCH)
        return _undisturbed(batches)
    finally:
        setattr(cls, name, original)


def _cost_of_a_wrapper():
    class Empty:
        def nothing(self):
            return None

    def run(n):
        empty = Empty()
        for _ in range(n):
            empty.nothing()

    return _time_in(Empty, "nothing", run)


def _timed(function):
    begin = CLOCK()
    function()
    return CLOCK() - begin


def _undisturbed(values):
    """The tenth part of all batches was at least as quick."""
    return sorted(values)[len(values) // 10]


if __name__ == "__main__":
    main()
