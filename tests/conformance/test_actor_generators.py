"""Generators that are methods of actors, plain, threaded and asynchronous."""

# ruff: noqa: UP028 - Ray sends into what it iterates, which the iterators of `yield from` do not take

import asyncio
import os
import time

import pytest

from .kit import values


@pytest.fixture(scope="module")
def plain_actor(ray):
    @ray.remote
    class Plain:
        def count(self, n):
            for i in range(n):
                yield i

        @ray.method(num_returns="streaming")
        def declared(self, n):
            for i in range(n):
                yield i

        @ray.method(num_returns=2)
        def two(self):
            yield "a"
            yield "b"

        def one(self):
            return 1

    return Plain.remote()


def test_a_method_that_yields(ray, plain_actor):
    assert isinstance(plain_actor.count.remote(1), ray.ObjectRefGenerator)
    assert values(ray, plain_actor.count.remote(3)) == [0, 1, 2]
    assert values(ray, plain_actor.declared.remote(2)) == [0, 1]
    assert ray.get(plain_actor.two.remote()) == ["a", "b"]
    assert ray.get(plain_actor.one.remote()) == 1


def test_streaming_needs_a_generator(ray, plain_actor):
    with pytest.raises(ValueError, match="generator"):

        @ray.remote(num_returns="streaming")
        def plain():
            return 1

    @ray.remote
    def other():
        return 1

    with pytest.raises(ValueError, match="generator"):
        other.options(num_returns="streaming")
    with pytest.raises(ValueError, match="generator"):
        plain_actor.one.options(num_returns="streaming")


def test_a_threaded_actor(ray):
    @ray.remote(max_concurrency=3)
    class Threaded:
        def count(self, n):
            for i in range(n):
                time.sleep(0.001)
                yield i

    actor = Threaded.remote()
    generators = [actor.count.remote(20) for _ in range(3)]
    generators.append(actor.count.options(_generator_backpressure_num_objects=1).remote(20))
    assert [values(ray, g) for g in generators] == [list(range(20))] * 4


def test_an_async_actor(ray):
    @ray.remote
    class Async:
        async def count(self, n):
            for i in range(n):
                await asyncio.sleep(0.001)
                yield i

        def plain(self, n):
            for i in range(n):
                yield i

        async def fails(self):
            yield 1
            raise KeyError

        async def one(self):
            return "one"

    actor = Async.remote()
    generators = [actor.count.remote(10) for _ in range(3)]
    generators.append(actor.plain.remote(10))
    assert ray.get(actor.one.remote()) == "one"
    assert [values(ray, g) for g in generators] == [list(range(10))] * 4
    assert values(ray, actor.fails.remote()) == [1, "KeyError"]


def test_an_actor_with_nothing_async_but_a_generator(ray):
    @ray.remote
    class Async:
        async def count(self, n):
            for i in range(n):
                yield i

    assert values(ray, Async.remote().count.remote(3)) == [0, 1, 2]


def test_an_actor_that_dies(ray):
    @ray.remote
    class Dies:
        def count(self):
            yield 1
            time.sleep(0.2)
            os._exit(1)

    found = values(ray, Dies.remote().count.remote())
    assert found[0] == 1
    assert found[1:] == ["ActorDiedError"]


def test_an_actor_task_is_retried(ray, ledger):
    @ray.remote(max_restarts=1, max_task_retries=1)
    class Dies:
        def count(self):
            ledger.add("run")
            yield 1
            if len(ledger.marks()) == 1:
                time.sleep(0.2)
                os._exit(1)
            yield 2

    actor = Dies.remote()
    assert values(ray, actor.count.remote()) == [1, 2]


def test_back_pressure_in_an_actor(ray, plain_actor):
    method = plain_actor.count.options(_generator_backpressure_num_objects=1)
    assert values(ray, method.remote(10)) == list(range(10))


def test_back_pressure_of_all_generators_of_an_actor(ray, ledger):
    @ray.remote(_actor_generator_backpressure_num_objects=3, max_concurrency=2)
    class Producer:
        def count(self, name, n):
            for i in range(n):
                ledger.add(name)
                yield i

    actor = Producer.remote()
    first = actor.count.remote("a", 6)
    ledger.wait_for(3)
    second = actor.count.remote("b", 4)
    time.sleep(0.3)
    assert ledger.marks() == ["a"] * 3  # none is left for the other one
    found = {first: [], second: []}
    while found:
        for generator in ray.wait(list(found))[0]:
            try:
                found[generator].append(ray.get(next(generator)))
            except StopIteration:
                assert found.pop(generator) == list(range(6 if generator is first else 4))


@pytest.mark.parametrize("wrong", [0, -2, "3"], ids=str)
def test_a_wrong_limit_for_all_generators_of_an_actor(ray, wrong):
    with pytest.raises((TypeError, ValueError)):

        @ray.remote(_actor_generator_backpressure_num_objects=wrong)
        class Producer:
            pass
