"""F17: streams of large items, and borrowed refs, while workers are killed; all arrives, once and in order."""

import os
import random
import signal
import threading
import time

import cluster_kit as kit
import pytest

from nbray.core import current

numpy = pytest.importorskip("numpy")

CLUSTER = {"num_cpus": 4, "object_store_memory": 256 * 2**20}
STREAMS, ITEMS, ITEM_BYTES, FIRST_KILL_S, KILLS_EVERY_S = (
    4,
    17,
    2**20,
    0.05,
    0.5,
)  # a sixth; NBRAY_FAULT_SCALE=6 makes 4 x 102


class Killer:
    """Kills a worker that this process has leased, again and again. Opens the gate with the first.

    After that only when ``progress``, a number, has grown: on a busy machine nothing might ever end between two kills.
    """

    def __init__(self, gate):
        self.gate = gate
        self.progress = 0
        self.kills = 0
        self.stop = threading.Event()

    def run(self):
        pause, seen = FIRST_KILL_S, -1
        while not self.stop.wait(pause):
            leases = list(current.core.leases.values())
            if leases and self.progress > seen:
                pause = KILLS_EVERY_S
                seen = self.progress
                try:
                    os.kill(random.choice(leases).pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
                self.kills += 1
                self.gate.open()


@pytest.fixture
def killer(gate):
    killer = Killer(gate)
    thread = threading.Thread(target=killer.run)
    thread.start()
    yield killer
    killer.stop.set()
    thread.join()


@pytest.mark.limit(120)
@pytest.mark.parametrize("window", [-1, 3])
def test_streams_while_workers_are_killed(ray, killer, gate, window):
    @ray.remote(max_retries=-1, _generator_backpressure_num_objects=window)
    def arrays(stream, n):
        for i in range(n):
            time.sleep(0.15 / n)  # a run is shorter than the time between two kills
            if i == n // 2:
                gate.wait()  # but not over before the first one
            yield numpy.full(ITEM_BYTES, (stream + i) % 251, numpy.uint8)

    n = kit.scaled(ITEMS)
    generators = [arrays.remote(stream, n) for stream in range(STREAMS)]
    counts = [0] * STREAMS
    rest = list(generators)
    while rest:
        ready, _ = ray.wait(rest, timeout=60)
        assert ready, counts
        stream = generators.index(ready[0])
        ref = next(ready[0], None)
        if ref is None:
            rest.remove(ready[0])
            continue
        value = ray.get(ref)
        assert (value == (stream + counts[stream]) % 251).all(), (stream, counts)
        counts[stream] += 1
        killer.progress += 1
    assert counts == [n] * STREAMS
    assert killer.kills, "nothing was killed"
    del generators, rest, ready, ref, value


@pytest.mark.limit(120)
def test_borrowed_refs_while_workers_are_killed(ray, killer):
    """F17, its second half: what tasks only borrow stays, whoever dies, and is gone when nobody wants it any more."""
    count, at_once, size = kit.scaled(167), 50, 2**18

    @ray.remote(max_retries=-1)
    def passed_on(held, i):
        return bool((ray.get(held[0]) == i % 251).all())

    @ray.remote(max_retries=-1)
    def borrow(held, i):
        return held, ray.get(passed_on.remote(held, i))

    kit.settle()
    before = kit.used()
    done = 0
    while done < count or not killer.kills:
        numbers = range(done, done + at_once)
        kept = [ray.put(numpy.full(size, i % 251, numpy.uint8)) for i in numbers]
        refs = [borrow.remote([kept[i - done]], i) for i in numbers]
        for ref, (held, right) in zip(kept, ray.get(refs), strict=True):
            assert right
            assert held[0] is ref, "a ref that comes back is the same"
            killer.progress += 1
        done += at_once
    del kept, held, ref, refs
    kit.settle(before)
