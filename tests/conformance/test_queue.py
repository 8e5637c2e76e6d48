"""``util.queue.Queue``."""

import asyncio
import importlib
import time

import pytest

from .kit import LIBRARY

module = importlib.import_module(f"{LIBRARY}.util.queue")
Queue, Empty, Full = module.Queue, module.Empty, module.Full


@pytest.fixture
def make(ray):
    """Make queues that end with the test."""
    made = []

    def make(maxsize=0, **options):
        made.append(Queue(maxsize, actor_options={"num_cpus": 0, **options}))
        return made[-1]

    yield make
    for queue in made:
        queue.shutdown(force=True)


def test_first_in_first_out(make):
    queue = make()
    for i in range(10):
        queue.put(i)
    assert [queue.get() for _ in range(10)] == list(range(10))


def test_the_exceptions_are_those_of_the_standard_library():
    import queue

    assert issubclass(Empty, queue.Empty)
    assert issubclass(Full, queue.Full)


def test_async(make):
    queue = make(1)

    async def run():
        await queue.put_async("a")
        with pytest.raises(Full):
            await queue.put_async("b", block=False)
        with pytest.raises(Full):
            await queue.put_async("b", timeout=0.05)
        assert await queue.get_async() == "a"
        with pytest.raises(Empty):
            await queue.get_async(block=False)
        with pytest.raises(Empty):
            await queue.get_async(timeout=0.05)
        getter = asyncio.ensure_future(queue.get_async())
        await queue.put_async("c")
        return await getter

    assert asyncio.run(run()) == "c"


def test_no_wait(make):
    queue = make(1)
    with pytest.raises(Empty):
        queue.get_nowait()
    with pytest.raises(Empty):
        queue.get(block=False)
    queue.put_nowait(1)
    with pytest.raises(Full):
        queue.put_nowait(2)
    with pytest.raises(Full):
        queue.put(2, block=False)
    assert queue.get_nowait() == 1


def test_timeouts(make):
    queue = make(1)
    began = time.monotonic()
    with pytest.raises(Empty):
        queue.get(timeout=0.2)
    assert time.monotonic() - began >= 0.2
    queue.put(1)
    with pytest.raises(Full):
        queue.put(2, timeout=0.05)


def test_negative_timeouts(make):
    queue = make(1)
    with pytest.raises(ValueError, match="non-negative"):
        queue.get(timeout=-1)
    with pytest.raises(ValueError, match="non-negative"):
        queue.put(1, timeout=-1)
    with pytest.raises(ValueError, match="non-negative"):
        asyncio.run(queue.get_async(timeout=-1))
    with pytest.raises(ValueError, match="non-negative"):
        asyncio.run(queue.put_async(1, timeout=-1))


def test_sizes(make):
    queue = make(2)
    assert (len(queue), queue.size(), queue.qsize(), queue.empty(), queue.full()) == (0, 0, 0, True, False)
    queue.put(1)
    queue.put(2)
    assert (len(queue), queue.size(), queue.qsize(), queue.empty(), queue.full()) == (2, 2, 2, False, True)


def test_batches(make):
    queue = make(3)
    with pytest.raises(Full):
        queue.put_nowait_batch([1, 2, 3, 4])
    assert queue.empty()
    queue.put_nowait_batch([1, 2])
    with pytest.raises(Empty):
        queue.get_nowait_batch(3)
    assert queue.get_nowait_batch(2) == [1, 2]
    assert queue.get_nowait_batch(0) == []


def test_wrong_batches(make):
    queue = make()
    with pytest.raises(TypeError):
        queue.put_nowait_batch(1)
    with pytest.raises(TypeError):
        queue.get_nowait_batch("1")
    with pytest.raises(ValueError, match="nonnegative"):
        queue.get_nowait_batch(-1)


def test_between_tasks(ray, make):
    queue = make(1)

    @ray.remote
    def produce(queue, n):
        for i in range(n):
            queue.put(i)

    @ray.remote
    def consume(queue, n):
        return [queue.get() for _ in range(n)]

    producer = produce.remote(queue, 20)
    assert ray.get(consume.remote(queue, 20)) == list(range(20))
    ray.get(producer)


def test_a_waiting_consumer_gets_what_comes(ray, make, gate):
    queue = make()

    @ray.remote
    def consume(queue):
        gate.open()
        return queue.get()

    ref = consume.remote(queue)
    gate.wait()
    queue.put("here")
    assert ray.get(ref) == "here"


def test_shutdown_ends_the_actor(ray, make):
    for force in (False, True):
        queue = Queue()
        actor = queue.actor
        queue.put(1)
        queue.shutdown(force=force)
        assert queue.actor is None
        with pytest.raises(ray.exceptions.RayActorError):
            ray.get(actor.empty.remote())
        queue.shutdown()  # nothing happens


def test_options_of_the_actor(ray, make):
    queue = make(name="a queue")
    queue.put(1)
    assert ray.get(ray.get_actor("a queue").qsize.remote()) == 1


def test_errors_that_need_no_waiting_are_plain(make):
    queue = make(maxsize=1)
    with pytest.raises(Empty) as raised:
        queue.get_nowait()
    assert type(raised.value) is Empty
    queue.put(1)
    with pytest.raises(Full) as raised:
        queue.put(2, block=False)
    assert type(raised.value) is Full
