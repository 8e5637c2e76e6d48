"""Workers that die: which tasks are run again, and what is raised when they are not."""

import os
import signal
import sys

import pytest


@pytest.fixture(scope="module")
def echo(ray):
    @ray.remote
    def echo(x):
        return x

    return echo


@pytest.mark.parametrize("how", ["os._exit(1)", "os._exit(0)", "SIGKILL", "SIGTERM", "SIGSEGV", "SIGABRT"])
def test_without_retries(ray, echo, how):
    @ray.remote(max_retries=0)
    def die():
        if how.startswith("os._exit"):
            os._exit(int(how[-2]))
        if how == "SIGTERM":
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), getattr(signal, how))

    with pytest.raises(ray.exceptions.WorkerCrashedError):
        ray.get(die.remote())
    assert ray.get(echo.remote(1)) == 1


def test_every_return_fails(ray):
    @ray.remote(max_retries=0, num_returns=2)
    def die():
        os._exit(1)

    for ref in die.remote():
        with pytest.raises(ray.exceptions.WorkerCrashedError):
            ray.get(ref)


def test_three_retries_by_default(ray, ledger):
    @ray.remote
    def die():
        ledger.add()
        os._exit(1)

    with pytest.raises(ray.exceptions.WorkerCrashedError):
        ray.get(die.remote())
    assert len(ledger.marks()) == 4


@pytest.mark.parametrize("retries", [0, 1])
def test_max_retries_counts_the_deaths(ray, ledger, retries):
    @ray.remote(max_retries=retries)
    def die():
        ledger.add()
        os._exit(1)

    with pytest.raises(ray.exceptions.WorkerCrashedError):
        ray.get(die.remote())
    assert len(ledger.marks()) == retries + 1


def test_a_retry_may_succeed(ray, ledger):
    @ray.remote(max_retries=2)
    def die_once():
        ledger.add()
        if len(ledger.marks()) == 1:
            os._exit(1)
        return "second time"

    assert ray.get(die_once.remote()) == "second time"


def test_endless_retries(ray, ledger):
    @ray.remote(max_retries=-1)
    def die_often():
        ledger.add()
        if len(ledger.marks()) < 6:
            os._exit(1)
        return len(ledger.marks())

    assert ray.get(die_often.remote()) == 6


def test_killed_from_outside_and_retried(ray, gate, ledger):
    @ray.remote(max_retries=1)
    def task():
        ledger.add(os.getpid())
        gate.wait()
        return os.getpid()

    ref = task.remote()
    (first,) = ledger.wait_for(1)
    os.kill(int(first), signal.SIGKILL)
    ledger.wait_for(2)
    gate.open()
    assert ray.get(ref) != int(first)


def test_others_are_not_harmed(ray, echo):
    @ray.remote(max_retries=0)
    def die():
        os._exit(1)

    good = [echo.remote(i) for i in range(30)]
    bad = die.remote()
    good += [echo.remote(i) for i in range(30)]
    with pytest.raises(ray.exceptions.WorkerCrashedError):
        ray.get(bad)
    assert ray.get(good) == [*range(30), *range(30)]


def test_dependents_of_a_crashed_task(ray, echo):
    @ray.remote(max_retries=0)
    def die():
        os._exit(1)

    ref = echo.remote(echo.remote(die.remote()))
    with pytest.raises((ray.exceptions.WorkerCrashedError, ray.exceptions.RayTaskError)):
        ray.get(ref)


def test_a_retried_task_gets_its_arguments_again(ray, ledger):
    import numpy as np

    @ray.remote(max_retries=1)
    def f(by_value, by_ref, key=None):
        ledger.add()
        if len(ledger.marks()) == 1:
            os._exit(1)
        return by_value, int(by_ref.sum()), key

    assert ray.get(f.remote([1, 2], ray.put(np.ones(2**20)), key=ray.put("k"))) == ([1, 2], 2**20, "k")


def test_many_deaths(ray, echo):
    @ray.remote(max_retries=0)
    def die():
        os._exit(1)

    for _ in range(5):
        with pytest.raises(ray.exceptions.WorkerCrashedError):
            ray.get(die.remote())
    assert ray.get([echo.remote(i) for i in range(20)]) == list(range(20))


def test_sys_exit_leaves_the_cluster_working(ray, echo):
    @ray.remote(max_retries=0)
    def leave():
        sys.exit(0)

    with pytest.raises(ray.exceptions.RayError):
        ray.get(leave.remote())
    assert ray.get([echo.remote(i) for i in range(20)]) == list(range(20))


def test_a_parent_dies_while_its_child_runs(ray, echo, gate, ledger):
    @ray.remote
    def child():
        ledger.add()
        gate.wait()

    @ray.remote(max_retries=0)
    def parent():
        child.remote()
        ledger.wait_for(1)
        os._exit(1)

    with pytest.raises(ray.exceptions.WorkerCrashedError):
        ray.get(parent.remote())
    gate.open()
    assert ray.get([echo.remote(i) for i in range(20)]) == list(range(20))


def test_a_child_dies_while_its_parent_waits(ray):
    @ray.remote(max_retries=0)
    def child():
        os._exit(1)

    @ray.remote(max_retries=0)
    def parent():
        try:
            ray.get(child.remote())
        except ray.exceptions.WorkerCrashedError:
            return "noticed"

    assert ray.get(parent.remote()) == "noticed"


def test_an_actor_survives_the_death_of_its_caller(ray):
    @ray.remote
    class Counter:
        def __init__(self):
            self.n = 0

        def add(self):
            self.n += 1
            return self.n

    @ray.remote(max_retries=0)
    def call_and_die(counter):
        ray.get(counter.add.remote())
        os._exit(1)

    counter = Counter.remote()
    with pytest.raises(ray.exceptions.WorkerCrashedError):
        ray.get(call_and_die.remote(counter))
    assert ray.get(counter.add.remote()) == 2
