"""Owners that die: values outlive the process that made them, promises become errors (F5)."""

import os
import signal
import time

import cluster_kit as kit
import pytest

CLUSTER = {"num_cpus": 3, "object_store_memory": 128 * 2**20}


def kill_worker(pid):
    os.kill(pid, signal.SIGKILL)
    kit.eventually(lambda: not kit.start_time(pid), f"worker {pid} is dead")


@pytest.mark.parametrize("size", [10, 200_000], ids=["small", "large"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_put_value_outlives_its_maker(ray, size, when):
    @ray.remote
    def maker():
        return os.getpid(), [ray.put(bytes([7]) * size)]

    for _ in range(kit.scaled(10, 300)):
        pid, (ref,) = ray.get(maker.remote())
        with kit.no_hang():
            if when == "after":
                assert ray.get(ref) == bytes([7]) * size
            kill_worker(pid)
            assert ray.get(ref) == bytes([7]) * size
        del ref


@pytest.mark.parametrize("size", [10, 200_000], ids=["small", "large"])
def test_the_value_of_a_nested_task_outlives_its_owner(ray, size):
    """The owner is the worker that submitted the task, and it dies after the value has come."""

    @ray.remote
    def value():
        return bytes([3]) * size

    @ray.remote
    def owner():
        ref = value.remote()
        ray.wait([ref])
        return os.getpid(), [ref]

    for _ in range(kit.scaled(5, 100)):
        pid, (ref,) = ray.get(owner.remote())
        with kit.no_hang():
            kill_worker(pid)
            assert ray.get(ref) == bytes([3]) * size
        del ref


def test_a_promise_whose_owner_dies_becomes_an_error(ray, gate):
    @ray.remote
    def never():
        while not gate.is_open():
            time.sleep(0.005)

    @ray.remote
    def owner():
        return os.getpid(), [never.remote()]

    for _ in range(kit.scaled(3, 50)):
        pid, (ref,) = ray.get(owner.remote())
        ready, _ = ray.wait([ref], timeout=0)
        assert not ready
        kill_worker(pid)
        with kit.no_hang():
            ready, _ = ray.wait([ref])
            assert ready
            with pytest.raises(ray.exceptions.OwnerDiedError) as caught:
                ray.get(ref)
        assert isinstance(caught.value, ray.exceptions.ObjectLostError)
        assert ref.hex() in str(caught.value)
        del ref


def test_those_who_wait_already_get_the_error(ray, gate, ledger):
    """A get, a task with the ref as its argument, a callback: all are told."""

    @ray.remote
    def never():
        while not gate.is_open():
            time.sleep(0.005)

    @ray.remote(num_cpus=0)
    def owner():
        return os.getpid(), [never.remote()]

    @ray.remote(num_cpus=0)
    def reader(refs):
        ledger.add("waits")
        try:
            ray.get(refs[0])
        except ray.exceptions.OwnerDiedError:
            return "told"

    @ray.remote
    def consumer(value):
        return value

    pid, (ref,) = ray.get(owner.remote())
    called = []
    ref._on_completed(called.append)
    future = ref.future()
    reading, consuming = reader.remote([ref]), consumer.remote(ref)
    ledger.await_lines(1)
    kill_worker(pid)
    with kit.no_hang():
        assert ray.get(reading) == "told"
        with pytest.raises(ray.exceptions.OwnerDiedError):
            ray.get(consuming)
        with pytest.raises(ray.exceptions.OwnerDiedError):
            future.result(kit.PATIENCE_S)
        kit.eventually(lambda: called, "the callback ran")
    assert isinstance(called[0], ray.exceptions.OwnerDiedError)


def test_refs_in_a_chain_of_hands(ray):
    """A makes it, B and C hand it on, A and B die; D reads it."""

    @ray.remote
    def make():
        return os.getpid(), [ray.put(list(range(1000)))]

    @ray.remote
    def hand_on(box):
        return os.getpid(), [box[1][0], ray.put([box[1][0]])]

    first = ray.get(make.remote())
    second = ray.get(hand_on.remote(first))
    third = ray.get(hand_on.remote(second))
    for pid in {first[0], second[0], third[0]}:
        kill_worker(pid)
    with kit.no_hang():
        assert ray.get(third[1][0]) == list(range(1000))
        inner = ray.get(third[1][1])[0]
        assert ray.get(inner) == list(range(1000))
        assert inner is third[1][0]


def test_the_owner_dies_while_others_read(ray, ledger):
    """Readers pull while the maker is killed: every one has the whole value."""
    numpy = pytest.importorskip("numpy")

    @ray.remote
    def make():
        return os.getpid(), [ray.put(numpy.arange(500_000))]

    @ray.remote(max_retries=5)
    def read(box):
        return int(ray.get(box[0]).sum())

    wanted = sum(range(500_000))
    for _ in range(kit.scaled(5, 100)):
        pid, box = ray.get(make.remote())
        refs = [read.remote(box) for _ in range(6)]
        os.kill(pid, signal.SIGKILL)
        with kit.no_hang():
            assert ray.get(refs) == [wanted] * 6
        del box


def test_an_actor_dies_that_owns_values(ray):
    @ray.remote
    class Owner:
        def __init__(self):
            self.kept = [ray.put(bytes(50_000)), ray.put("small")]

        def refs(self):
            return self.kept

    actor = Owner.remote()
    refs = ray.get(actor.refs.remote())
    ray.kill(actor)
    with kit.no_hang():
        kit.eventually(lambda: kit.state().actors_alive == 0, "the actor is dead")
        assert ray.get(refs) == [bytes(50_000), "small"]


def test_retried_tasks_make_their_values_anew(ray, ledger):
    """A task that dies after it put something, and is retried, gives values that can be read."""

    @ray.remote(max_retries=1)
    def task():
        ledger.add(os.getpid())
        refs = [ray.put([os.getpid()] * 10), ray.put(bytes(100_000))]
        if len(ledger.lines()) == 1:
            os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)
        return refs

    with kit.no_hang():
        refs = ray.get(task.remote())
        assert ray.get(refs[0]) == [int(ledger.lines()[1])] * 10
        assert ray.get(refs[1]) == bytes(100_000)
