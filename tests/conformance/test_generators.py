"""Generators that run as tasks or actor methods: items come one by one."""

# ruff: noqa: UP028 - Ray sends into what it iterates, which the iterators of `yield from` do not take

import asyncio
import gc
import os
import pickle
import time

import pytest

from .kit import values


@pytest.fixture(scope="module")
def count(ray):
    @ray.remote
    def count(n):
        for i in range(n):
            yield i

    return count


@pytest.fixture(scope="module")
def fails(ray):
    @ray.remote
    def fails(n):
        for i in range(n):
            yield i
        raise KeyError("in the middle")

    return fails


# ------------------------------------------------------------------------- iterating


def test_a_generator_streams_by_itself(ray, count):
    generator = count.remote(3)
    assert isinstance(generator, ray.ObjectRefGenerator)
    refs = list(generator)
    assert all(isinstance(ref, ray.ObjectRef) for ref in refs)
    assert len(set(refs)) == 3
    assert ray.get(refs) == [0, 1, 2]
    with pytest.raises(StopIteration):
        next(generator)


@pytest.mark.parametrize("given", [None, "streaming"])
def test_the_option_may_be_given(ray, count, given):
    assert values(ray, count.options(num_returns=given).remote(2)) == [0, 1]


def test_an_empty_generator(ray, count):
    assert list(count.remote(0)) == []


def test_items_come_while_the_task_runs(ray, gate):
    @ray.remote
    def half():
        yield "first"
        gate.wait()
        yield "second"

    generator = half.remote()
    assert ray.get(next(generator)) == "first"
    gate.open()
    assert ray.get(next(generator)) == "second"


def test_large_items(ray):
    np = pytest.importorskip("numpy")

    @ray.remote
    def arrays(n):
        for i in range(n):
            yield np.full(100_000, i)

    assert [int(ray.get(ref).sum()) for ref in arrays.remote(4)] == [0, 100_000, 200_000, 300_000]


def test_items_are_refs_like_others(ray, count):
    @ray.remote
    def add(a, b):
        return a + b

    first, second = count.remote(2)
    assert ray.get(add.remote(first, second)) == 1
    assert ray.get(ray.put([first]))[0] is not None
    assert ray.get(ray.get(ray.put([second]))[0]) == 1


def test_refs_inside_of_items(ray):
    @ray.remote
    def nested():
        for i in range(3):
            yield [ray.put(i)]

    assert [ray.get(ray.get(ref)[0]) for ref in nested.remote()] == [0, 1, 2]


def test_many_items(ray, count):
    assert values(ray, count.remote(3000)) == list(range(3000))


def test_generators_in_parallel(ray, count):
    generators = [count.remote(20) for _ in range(10)]
    assert [values(ray, g) for g in generators] == [list(range(20))] * 10


def test_a_generator_inside_of_a_task(ray, count):
    @ray.remote
    def total(n):
        return sum(ray.get(ref) for ref in count.remote(n))

    assert ray.get(total.remote(10)) == 45


# ---------------------------------------------------------------- what the handle does


def test_completed(ray, count):
    generator = count.remote(2)
    assert ray.get(generator.completed()) is None
    assert values(ray, generator) == [0, 1]


def test_completed_of_a_dropped_generator(ray, ledger):
    @ray.remote
    def marks():
        for i in range(3):
            ledger.add(str(i))
            yield i

    assert ray.get(marks.remote().completed()) is None
    assert ledger.marks() == ["0", "1", "2"]


def test_next_ready_and_is_finished(ray, gate):
    @ray.remote
    def waits():
        yield 1
        gate.wait()

    generator = waits.remote()
    ray.wait([generator], timeout=60)
    assert generator.next_ready()
    assert not generator.is_finished()
    next(generator)
    assert not generator.next_ready()
    gate.open()
    ray.get(generator.completed())
    assert generator.is_finished()
    assert not generator.next_ready()


def test_wait_takes_generators(ray, count, gate):
    @ray.remote
    def late():
        gate.wait()
        yield 1

    @ray.remote
    def quick():
        return 2

    ready, waiting, ref = count.remote(1), late.remote(), quick.remote()
    done, rest = ray.wait([waiting, ready, ref], num_returns=2, timeout=60)
    assert done == [ready, ref]
    assert rest == [waiting]
    assert ray.wait([waiting], timeout=0.05) == ([], [waiting])
    gate.open()
    assert ray.wait([waiting], timeout=60) == ([waiting], [])
    assert values(ray, waiting) == [1]
    assert ray.wait([waiting], timeout=60) == ([waiting], [])  # at its end, too


def test_wait_wants_each_once(ray, count):
    generator = count.remote(1)
    with pytest.raises(ValueError, match="unique"):
        ray.wait([generator, generator])


def test_get_gives_a_generator_back(ray, count):
    generator = count.remote(1)
    assert ray.get(generator) is generator


def test_it_cannot_be_pickled(ray, count):
    generator = count.remote(1)
    with pytest.raises(TypeError):
        pickle.dumps(generator)
    with pytest.raises(TypeError):
        ray.put(generator)
    with pytest.raises(TypeError):
        count.remote(generator)


@pytest.mark.parametrize("name", ["send", "throw"])
def test_what_a_generator_far_away_cannot_do(ray, count, name):
    with pytest.raises(NotImplementedError):
        getattr(count.remote(1), name)(1)


def test_async_for(ray, count):
    async def main():
        found = []
        async for ref in count.remote(3):
            found.append(await ref)
        return found

    assert asyncio.run(main()) == [0, 1, 2]


def test_anext_waits_without_blocking_the_loop(ray, gate):
    @ray.remote
    def late():
        gate.wait()
        yield 1

    async def main():
        generator = late.remote()
        waiting = asyncio.ensure_future(generator.__anext__())
        await asyncio.sleep(0.1)
        assert not waiting.done()
        gate.open()
        assert await (await waiting) == 1
        with pytest.raises(StopAsyncIteration):
            await generator.__anext__()

    asyncio.run(main())


# -------------------------------------------------------------------------- failures


def test_an_error_is_the_last_item(ray, fails):
    generator = fails.remote(2)
    assert values(ray, generator) == [0, 1, "KeyError"]
    with pytest.raises(StopIteration):
        next(generator)


def test_completed_does_not_raise_what_the_generator_raised(ray, fails):
    assert ray.get(fails.remote(1).completed()) is None


def test_async_for_with_an_error(ray, fails):
    async def main():
        found = []
        async for ref in fails.remote(1):
            try:
                found.append(await ref)
            except KeyError:
                found.append("KeyError")
        return found

    assert asyncio.run(main()) == [0, "KeyError"]


def test_an_item_that_cannot_be_pickled(ray):
    @ray.remote
    def locks():
        import threading

        yield 1
        yield threading.Lock()
        yield 2

    first, second = locks.remote()
    assert ray.get(first) == 1
    with pytest.raises(TypeError):
        ray.get(second)


def test_an_argument_that_failed(ray, count):
    @ray.remote
    def broken():
        raise KeyError("argument")

    found = values(ray, count.remote(broken.remote()))
    assert found == ["KeyError"]


def test_a_worker_that_dies(ray):
    @ray.remote(max_retries=0)
    def dies():
        yield 1
        time.sleep(0.2)  # what was yielded has left
        os._exit(1)

    generator = dies.remote()
    assert values(ray, generator) == [1, "WorkerCrashedError"]
    with pytest.raises(ray.exceptions.WorkerCrashedError):
        ray.get(generator.completed())


def test_a_retry_does_not_repeat_items(ray, ledger):
    @ray.remote(max_retries=1)
    def dies_once():
        ledger.add("run")
        yield 1
        yield 2
        if len(ledger.marks()) == 1:
            time.sleep(0.2)
            os._exit(1)
        yield 3

    assert values(ray, dies_once.remote()) == [1, 2, 3]
    assert ledger.marks() == ["run", "run"]


def test_a_retry_after_an_exception(ray, ledger):
    @ray.remote(max_retries=2, retry_exceptions=[KeyError])
    def raises_once():
        ledger.add("run")
        yield 1
        if len(ledger.marks()) == 1:
            raise KeyError
        yield 2

    assert values(ray, raises_once.remote()) == [1, 2]


def test_cancel(ray, ledger):
    @ray.remote
    def forever():
        i = 0
        while True:
            yield i
            i += 1
            time.sleep(0.01)

    generator = forever.remote()
    assert ray.get(next(generator)) == 0
    ray.cancel(generator)
    assert values(ray, generator)[-1] == "TaskCancelledError"
    with pytest.raises(ray.exceptions.TaskCancelledError):
        ray.get(generator.completed())
    with pytest.raises(StopIteration):
        next(generator)


def test_cancel_of_a_queued_generator(ray, gate, ledger):
    @ray.remote(resources={"widget": 2})
    def holder():
        ledger.add("holder")
        gate.wait()

    @ray.remote(resources={"widget": 2})
    def queued():
        ledger.add("queued")
        yield 1

    first = holder.remote()
    ledger.wait_for(1)
    generator = queued.remote()
    ray.cancel(generator)
    assert values(ray, generator) == ["TaskCancelledError"]
    gate.open()
    ray.get(first)
    assert ledger.marks() == ["holder"]


# --------------------------------------------------------------------- back-pressure


def test_back_pressure(ray, ledger):
    @ray.remote(_generator_backpressure_num_objects=2)
    def counts():
        for i in range(6):
            ledger.add(str(i))
            yield i

    generator = counts.remote()
    ledger.wait_for(2)
    time.sleep(0.3)
    assert ledger.marks() == ["0", "1"]
    assert ray.get(next(generator)) == 0
    ledger.wait_for(3)
    time.sleep(0.3)
    assert ledger.marks() == ["0", "1", "2"]
    assert values(ray, generator) == [1, 2, 3, 4, 5]


def test_back_pressure_by_options(ray, count):
    assert values(ray, count.options(_generator_backpressure_num_objects=1).remote(20)) == list(range(20))
    assert values(ray, count.options(_generator_backpressure_num_objects=-1).remote(20)) == list(range(20))


# -------------------------------------------------------------------- refs by their place


def test_refs_of_items_that_are_not_made_yet(ray, gate, count):
    @ray.remote
    def late():
        yield 0
        gate.wait()
        yield 1

    generator = late.remote()
    refs = generator._get_next_ref_n(3)
    assert ray.get(refs[0]) == 0
    assert refs == generator._get_next_ref_n(3)
    with pytest.raises(ValueError):
        generator._consume_next_ref_n(2)
    with pytest.raises(ValueError):
        generator._get_next_ref_n(0)
    gate.open()
    assert ray.get(refs[1]) == 1
    with pytest.raises(ray.exceptions.ObjectRefStreamEndOfStreamError):
        ray.get(refs[2])
    generator._consume_next_ref_n(1)
    assert values(ray, generator) == [1]
    short = count.remote(2)  # Ray needs it to be alive to say what is beyond its end
    with pytest.raises(ray.exceptions.ObjectRefStreamEndOfStreamError):
        ray.get(short._get_next_ref_n(4)[3])


def test_a_ref_of_an_item_that_was_never_made_has_the_error_of_its_task(ray):
    @ray.remote(max_retries=0)
    def dies():
        yield 0
        os._exit(1)

    generator = dies.remote()
    refs = generator._get_next_ref_n(2)
    with pytest.raises(ray.exceptions.WorkerCrashedError):
        ray.get(refs[1])


# -------------------------------------------------------------------------- other ways


def test_several_items_per_yield(ray):
    @ray.remote(_num_objects_per_yield=2)
    def pairs(n):
        for i in range(n):
            yield i, -i

    assert values(ray, pairs.remote(3)) == [0, 0, 1, -1, 2, -2]


@pytest.mark.filterwarnings("ignore")
def test_dynamic(ray, count, fails):
    ref = count.options(num_returns="dynamic").remote(3)
    assert isinstance(ref, ray.ObjectRef)
    refs = ray.get(ref)
    assert isinstance(refs, ray.DynamicObjectRefGenerator)
    assert len(refs) == 3
    assert ray.get(list(refs)) == [0, 1, 2]
    assert values(ray, ray.get(fails.options(num_returns="dynamic").remote(1))) == [0, "KeyError"]


@pytest.mark.filterwarnings("ignore")
def test_dynamic_refs_travel(ray, count):
    @ray.remote
    def total(refs):
        return sum(ray.get(list(refs)))

    assert ray.get(total.remote(count.options(num_returns="dynamic").remote(4))) == 6


def test_a_fixed_number_of_returns(ray):
    @ray.remote(num_returns=3)
    def three():
        yield 1
        yield 2
        yield 3

    assert ray.get(three.remote()) == [1, 2, 3]
    assert ray.get(three.options(num_returns=2).remote()) == [1, 2]
    assert ray.get(three.options(num_returns=1).remote()) == 1
    with pytest.raises(ValueError, match="num_returns=4"):
        ray.get(three.options(num_returns=4).remote())


@pytest.mark.parametrize(
    "wrong", [{"_generator_backpressure_num_objects": 0}, {"_num_objects_per_yield": 0}, {"num_returns": -1}], ids=str
)
def test_wrong_options(ray, count, wrong):
    with pytest.raises(ValueError):
        count.options(**wrong).remote(1)


def test_a_dropped_generator_does_no_harm(ray, count):
    for _ in range(20):
        generator = count.remote(50)
        next(generator)
        del generator
    gc.collect()
    assert values(ray, count.remote(3)) == [0, 1, 2]
