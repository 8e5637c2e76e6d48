"""max_calls: a worker is replaced after so many calls of a function."""

import os
import time

import pytest

from .kit import process_is_alive, wait_until


def test_each_call_in_a_process_of_its_own(ray):
    @ray.remote(max_calls=1)
    def pid():
        return os.getpid()

    pids = ray.get([pid.remote() for _ in range(6)])
    assert len(set(pids)) == 6


def test_after_several_calls(ray):
    @ray.remote(max_calls=3, resources={"widget": 2})
    def pid():
        return os.getpid()

    pids = [ray.get(pid.remote()) for _ in range(6)]
    assert max(pids.count(p) for p in pids) <= 3
    assert len(set(pids)) >= 2


def test_zero_is_no_limit(ray):
    @ray.remote(max_calls=0, resources={"widget": 2})
    def pid():
        return os.getpid()

    assert len({ray.get(pid.remote()) for _ in range(5)}) == 1


def test_a_task_with_gpus_is_the_last_of_its_worker(ray):
    @ray.remote(num_gpus=1)
    def pid():
        return os.getpid()

    @ray.remote(num_gpus=1, max_calls=0)
    def shared():
        return os.getpid()

    assert len({ray.get(pid.remote()) for _ in range(4)}) == 4
    assert len({ray.get(shared.remote()) for _ in range(4)}) < 4


def test_the_worker_ends(ray):
    @ray.remote(max_calls=1)
    def pid():
        return os.getpid()

    ended = ray.get(pid.remote())
    wait_until(lambda: not process_is_alive(ended), "the end of the worker")


def test_it_waits_for_its_children(ray, gate):
    @ray.remote
    def child():
        gate.wait()
        return "done"

    @ray.remote(max_calls=1)
    def parent():
        return [child.remote()]

    (ref,) = ray.get(parent.remote())
    time.sleep(0.3)
    gate.open()
    assert ray.get(ref, timeout=60) == "done"


def test_errors_and_several_returns(ray):
    @ray.remote(max_calls=1, num_returns=2)
    def two():
        return os.getpid(), 2

    @ray.remote(max_calls=1, max_retries=0)
    def fails():
        raise KeyError("mine")

    assert ray.get(two.remote())[1] == 2
    for _ in range(3):
        with pytest.raises(KeyError):
            ray.get(fails.remote())


def test_a_generator(ray):
    @ray.remote(max_calls=1)
    def pids(n):
        for _ in range(n):
            yield os.getpid()

    first, second = (ray.get(list(pids.remote(3))) for _ in range(2))
    assert len(set(first)) == len(set(second)) == 1
    assert set(first) != set(second)


def test_not_in_options(ray):
    @ray.remote
    def f():
        return 1

    with pytest.raises(ValueError, match="max_calls"):
        f.options(max_calls=1)
    with pytest.raises((ValueError, TypeError)):
        ray.remote(max_calls=-1)(lambda: 1)
