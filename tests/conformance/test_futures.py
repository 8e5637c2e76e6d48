"""Refs in asyncio and concurrent.futures."""

import asyncio
import concurrent.futures

import pytest


@pytest.fixture(scope="module")
def echo(ray):
    @ray.remote
    def echo(x):
        return x

    return echo


@pytest.fixture(scope="module")
def failing(ray):
    @ray.remote(max_retries=0)
    def failing():
        raise ValueError("awaited")

    return failing


def test_future(ray, echo):
    future = echo.remote(5).future()
    assert isinstance(future, concurrent.futures.Future)
    assert future.result(timeout=60) == 5
    assert future.done()


def test_future_of_an_error(ray, failing):
    with pytest.raises(ValueError, match="awaited"):
        failing.remote().future().result(timeout=60)
    assert isinstance(failing.remote().future().exception(timeout=60), ValueError)


def test_future_of_a_put(ray):
    assert ray.put("x").future().result(timeout=60) == "x"


def test_callbacks_of_a_future(ray, echo, gate):
    seen = concurrent.futures.Future()
    echo.remote("called").future().add_done_callback(lambda f: seen.set_result(f.result()))
    assert seen.result(timeout=60) == "called"


def test_future_that_is_not_done(ray, gate):
    @ray.remote
    def blocked():
        gate.wait()
        return 1

    future = blocked.remote().future()
    assert not future.done()
    with pytest.raises(concurrent.futures.TimeoutError):
        future.result(timeout=0.05)
    gate.open()
    assert future.result(timeout=60) == 1


def test_many_futures(ray, echo):
    futures = {echo.remote(i).future(): i for i in range(50)}
    for future in concurrent.futures.as_completed(futures, timeout=60):
        assert future.result() == futures[future]


def test_await(ray, echo):
    async def main():
        return await echo.remote(1), await ray.put(2)

    assert asyncio.run(main()) == (1, 2)


def test_await_of_an_error(ray, failing):
    async def main():
        with pytest.raises(ValueError, match="awaited"):
            await failing.remote()
        return True

    assert asyncio.run(main())


def test_gather(ray, echo):
    async def main():
        return await asyncio.gather(*[echo.remote(i) for i in range(50)])

    assert asyncio.run(main()) == list(range(50))


def test_the_loop_runs_on_while_a_ref_is_awaited(ray, gate):
    @ray.remote
    def blocked():
        gate.wait()
        return "opened"

    async def main():
        async def opener():
            await asyncio.sleep(0.05)
            gate.open()

        task = asyncio.ensure_future(opener())
        result = await blocked.remote()
        await task
        return result

    assert asyncio.run(main()) == "opened"


def test_asyncio_wait_for(ray, gate):
    @ray.remote
    def blocked():
        gate.wait()
        return 1

    async def main():
        ref = blocked.remote()
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(ref, timeout=0.05)
        gate.open()
        return await ref

    assert asyncio.run(main()) == 1


def test_asyncio_wait(ray, echo, gate):
    @ray.remote(num_cpus=0)
    def blocked():
        gate.wait()

    async def main():
        quick, slow = asyncio.wrap_future(echo.remote(1).future()), asyncio.wrap_future(blocked.remote().future())
        done, pending = await asyncio.wait([quick, slow], return_when=asyncio.FIRST_COMPLETED)
        gate.open()
        await slow
        return done == {quick}, pending == {slow}

    assert asyncio.run(main()) == (True, True)


def test_await_in_a_task(ray, echo):
    @ray.remote
    def f():
        async def main():
            return await echo.remote(9)

        return asyncio.run(main())

    assert ray.get(f.remote()) == 9


def test_the_same_ref_awaited_twice(ray, echo):
    async def main():
        ref = echo.remote([1])
        return await ref, await ref, await asyncio.gather(ref, ref)

    assert asyncio.run(main()) == ([1], [1], [[1], [1]])


def test_a_future_of_a_loop_that_does_not_run_yet(ray, echo):
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        futures = [echo.remote(i).as_future() for i in range(3)]
        assert loop.run_until_complete(asyncio.gather(*futures)) == [0, 1, 2]
    finally:
        asyncio.set_event_loop(None)
        loop.close()
