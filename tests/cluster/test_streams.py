"""Streams of generator tasks: what is freed, what is stopped, what nbray does beyond Ray."""

import asyncio
import os
import signal
import time

import cluster_kit as kit
import pytest

from nbray.core import current

numpy = pytest.importorskip("numpy")

MEG = 2**20


def values(ray, generator):
    return [ray.get(ref) for ref in generator]


def test_a_dropped_generator_frees_its_items_and_stops_the_producer(ray, tmp_path):
    marks = tmp_path / "marks"

    @ray.remote
    def forever():
        try:
            while True:
                yield numpy.ones(MEG, numpy.uint8)
        finally:
            marks.write_text("closed")

    generator = forever.options(_generator_backpressure_num_objects=5).remote()
    assert ray.get(next(generator)).sum() == MEG
    kit.eventually(lambda: kit.used() >= 5 * MEG, "it works ahead")
    del generator
    kit.eventually(marks.exists, "the producer is closed")


def test_a_dropped_generator_without_back_pressure(ray, tmp_path):
    marks = tmp_path / "marks"

    @ray.remote
    def forever():
        try:
            i = 0
            while True:
                yield i
                i += 1
        finally:
            marks.write_text("closed")

    generator = forever.remote()
    next(generator)
    del generator
    kit.eventually(marks.exists, "the producer is closed")


def test_a_method_in_an_actor_is_stopped_too(ray):
    @ray.remote(max_concurrency=2)
    class Actor:
        def __init__(self):
            self.closed = 0

        def forever(self):
            try:
                while True:
                    yield 1
            finally:
                self.closed += 1

        def count(self):
            return self.closed

    actor = Actor.remote()
    for window in (-1, 1):
        generator = actor.forever.options(_generator_backpressure_num_objects=window).remote()
        next(generator)
        del generator
    kit.eventually(lambda: ray.get(actor.count.remote()) == 2, "both producers are closed")


def test_async_actors_wait_for_their_consumers_without_blocking_others(ray):
    @ray.remote
    class Actor:
        async def count(self, n):
            for i in range(n):
                await asyncio.sleep(0)
                yield i

        def plain(self, n):
            yield from range(n)

        async def one(self):
            return 1

    actor = Actor.remote()
    one_by_one = {"_generator_backpressure_num_objects": 1}
    generators = [actor.count.options(**one_by_one).remote(10), actor.plain.options(**one_by_one).remote(10)]
    ray.wait(generators, num_returns=2)
    assert ray.get(actor.one.remote(), timeout=60) == 1
    assert [values(ray, g) for g in generators] == [list(range(10))] * 2


def test_an_asynchronous_generator_as_a_task(ray):
    @ray.remote
    async def count(n):
        for i in range(n):
            await asyncio.sleep(0)
            yield i

    assert values(ray, count.remote(3)) == [0, 1, 2]


def test_large_items_survive_the_death_of_their_maker(ray):
    @ray.remote(max_retries=2)
    def arrays():
        for i in range(8):
            yield numpy.full(MEG, i, numpy.uint8)

    for _ in range(3):
        generator = arrays.options(_generator_backpressure_num_objects=2).remote()
        refs = [next(generator)]
        os.kill(next(iter(current.core.leases.values())).pid, signal.SIGKILL)
        refs += generator
        assert [int(value[0]) for value in ray.get(refs)] == list(range(8))
        del refs, generator


def test_a_blocked_producer_lends_its_cpus(ray):
    """Two producers that wait for their consumers do not keep the tasks of the consumer from running."""

    @ray.remote
    def produce():
        yield from range(5)

    @ray.remote
    def double(x):
        return 2 * x

    generators = [produce.options(_generator_backpressure_num_objects=1).remote() for _ in range(2)]
    ray.wait(generators, num_returns=2)
    time.sleep(0.05)
    assert ray.get(double.remote(4), timeout=60) == 8
    assert [values(ray, g) for g in generators] == [list(range(5))] * 2


def test_the_user_sees_his_own_frames(ray):
    @ray.remote
    def fails():
        yield 1
        raise KeyError("mine")

    generator = fails.remote()
    next(generator)
    with pytest.raises(KeyError) as raised:
        ray.get(next(generator))
    assert "nbray/worker" not in str(raised.value)


def test_an_item_that_the_store_cannot_hold(ray):
    @ray.remote
    def too_large():
        yield 1
        yield numpy.empty(2**28, numpy.uint8)

    generator = too_large.remote()
    assert ray.get(next(generator)) == 1
    with pytest.raises(ray.exceptions.ObjectStoreFullError):
        ray.get(next(generator))
    assert list(generator) == []
