"""``util.multiprocessing.Pool``."""

import importlib
import os
import time

import pytest

from .kit import LIBRARY, wait_until

module = importlib.import_module(f"{LIBRARY}.util.multiprocessing")
Pool, TimeoutError = module.Pool, module.TimeoutError


@pytest.fixture(scope="module")
def pool(ray):
    pool = Pool(processes=2)
    yield pool
    pool.terminate()
    pool.join()


@pytest.fixture
def make(ray):
    """Make pools that end with the test."""
    made = []

    def make(*args, **kwargs):
        made.append(Pool(*args, **kwargs))
        return made[-1]

    yield make
    for pool in made:
        pool.terminate()
        pool.join()


def double(x):
    return 2 * x


def fail_at_three(x):
    if x == 3:
        raise KeyError(x)
    return x


def test_apply(pool):
    assert pool.apply(double, (2,)) == 4
    assert pool.apply(int, ("11",), {"base": 2}) == 3
    assert pool.apply(os.getpid) != os.getpid()


def test_apply_async(pool):
    results = [pool.apply_async(double, (x,)) for x in range(5)]
    assert [r.get() for r in results] == [0, 2, 4, 6, 8]
    assert all(r.ready() and r.successful() for r in results)


def test_functions_need_not_be_importable(pool):
    captured = 10
    assert pool.map(lambda x: x + captured, range(3)) == [10, 11, 12]


@pytest.mark.parametrize("chunksize", [None, 1, 3, 100])
def test_map(pool, chunksize):
    assert pool.map(double, range(20), chunksize=chunksize) == [2 * x for x in range(20)]


def test_map_of_any_iterable(pool):
    assert pool.map(double, iter([1, 2])) == [2, 4]
    assert pool.map(double, []) == []
    assert pool.map_async(double, (x for x in range(3))).get() == [0, 2, 4]


def test_starmap(pool):
    assert pool.starmap(pow, [(2, 3), (3, 2)]) == [8, 9]
    assert pool.starmap_async(pow, [(2, 3)]).get() == [8]
    told = []
    assert pool.starmap_async(pow, [(2, 3)], told.append, print).get() == [8]
    wait_until(lambda: told == [[8]], "the callback")


@pytest.mark.parametrize("chunksize", [0, -1])
def test_chunks_that_are_none(pool, chunksize):
    with pytest.raises(AssertionError):
        pool.map(double, range(20), chunksize=chunksize)


@pytest.mark.parametrize("chunksize", [1, 3])
def test_imap(pool, chunksize):
    assert list(pool.imap(double, range(10), chunksize=chunksize)) == [2 * x for x in range(10)]
    assert sorted(pool.imap_unordered(double, range(10), chunksize=chunksize)) == [2 * x for x in range(10)]
    assert list(pool.imap(double, iter([4]))) == [8]


def test_imap_waits_for_the_next_in_order(pool, gate):
    def wait_at_zero(x):
        if x == 0:
            gate.wait()
        return x

    results = pool.imap(wait_at_zero, range(3), chunksize=1)
    with pytest.raises(TimeoutError):
        results.next(timeout=0.1)
    gate.open()
    assert [results.next(), results.next(), results.next()] == [0, 1, 2]
    with pytest.raises(StopIteration):
        results.next()


def test_imap_sends_items_one_by_one(pool, gate):
    """A result comes as soon as it is there, also when the number of items is known: items may wait for results."""

    def wait_at_seven(x):
        if x == 7:
            gate.wait()
        return x

    results = pool.imap(wait_at_seven, list(range(40)))
    assert [results.next(timeout=60) for _ in range(7)] == list(range(7))
    gate.open()
    assert list(results) == list(range(7, 40))


def test_imap_unordered_does_not_wait(pool, gate):
    def wait_at_zero(x):
        if x == 0:
            gate.wait()
        return x

    results = pool.imap_unordered(wait_at_zero, range(3), chunksize=1)
    first = results.next(timeout=60)
    gate.open()
    assert first != 0
    assert sorted([first, *results]) == [0, 1, 2]


def test_imap_takes_no_more_than_it_needs(pool):
    def endless():
        x = 0
        while True:
            yield x
            x += 1

    results = pool.imap(double, endless())
    assert [next(results) for _ in range(5)] == [0, 2, 4, 6, 8]


def test_errors(pool):
    with pytest.raises(KeyError):
        pool.apply(fail_at_three, (3,))
    with pytest.raises(KeyError):
        pool.map(fail_at_three, range(10))
    result = pool.map_async(fail_at_three, range(10), chunksize=1)
    result.wait()
    assert result.ready() and not result.successful()


def test_timeout_and_readiness(pool, gate):
    result = pool.apply_async(gate.wait)
    assert not result.ready()
    with pytest.raises(ValueError, match="not ready"):
        result.successful()
    with pytest.raises(TimeoutError):
        result.get(timeout=0.1)
    gate.open()
    result.wait()
    assert result.ready() and result.successful()


def test_callbacks(pool):
    seen, errors = [], []
    pool.apply_async(double, (1,), callback=seen.append, error_callback=errors.append).get()
    pool.map_async(double, range(3), callback=seen.append, error_callback=errors.append).get()
    pool.map_async(fail_at_three, range(5), callback=seen.append, error_callback=errors.append).wait()
    deadline = time.monotonic() + 60
    while len(seen) + len(errors) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert seen[0] == 2 and sorted(seen[1]) == [0, 2, 4]  # Ray's are in the order in which they came
    assert len(errors) == 1


def test_initializer(make):
    def initialize(value):
        os.environ["POOL_TEST"] = value

    pool = make(2, initializer=initialize, initargs=("set",))
    assert set(pool.map(lambda _: os.environ["POOL_TEST"], range(8), chunksize=1)) == {"set"}


def test_processes_are_replaced(make):
    pool = make(1, maxtasksperchild=2)
    pids = [pool.apply(os.getpid) for _ in range(4)]
    assert pids[0] == pids[1] != pids[2] == pids[3]


def test_context_manager(ray):
    with Pool(1) as pool:
        assert pool.map(double, [1]) == [2]
    with pytest.raises(ValueError, match="not running"):
        pool.map(double, [1])


def test_close_and_join(make):
    pool = make(2)
    result = pool.map_async(double, range(10), chunksize=1)
    with pytest.raises(ValueError, match="running"):
        pool.join()
    pool.close()
    with pytest.raises(ValueError, match="not running"):
        pool.apply(double, (1,))
    pool.join()
    assert result.get() == [2 * x for x in range(10)]


def test_sizes(ray):
    with pytest.raises(ValueError, match=">0"):
        Pool(0)
    with pytest.raises(TypeError):
        Pool(1.5)
    with pytest.raises(ValueError, match="only 4 CPUs"):
        Pool(5)


def test_options_of_the_actors(make):
    pool = make(1, ray_remote_args={"resources": {"widget": 1}})
    assert pool.apply(double, (4,)) == 8


def test_what_cannot_be_called(pool):
    for wrong in (1, None):
        with pytest.raises(TypeError):
            pool.map(wrong, [1])


def test_processors_of_the_actors(make):
    assert make(2, ray_remote_args={"num_cpus": 1}).map(abs, [-1, -2, -3]) == [1, 2, 3]


def test_results_of_a_terminated_pool(make, ray, gate):
    pool = make(2)
    result = pool.map_async(lambda _: gate.wait(), range(2))
    pool.terminate()
    pool.join()
    with pytest.raises(ray.exceptions.RayError):
        result.get(timeout=60)
    assert not result.successful()
