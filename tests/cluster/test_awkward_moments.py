"""Moments between two steps: what is dropped, cancelled, refused or interrupted just then."""

import gc
import os
import signal
import sys
import threading
import time

import cluster_kit as kit
import joblib
import pytest

from nbray.util.joblib import ray_backend, register_ray
from nbray.util.multiprocessing import Pool
from nbray.util.queue import Queue


def test_an_actor_lives_until_a_call_with_a_late_argument_is_answered(ray, gate):
    """Calls that may overtake each other wait in a place of their own."""

    @ray.remote(num_cpus=0)
    class Async:
        async def echo(self, value):
            return value

    @ray.remote
    def late():
        gate.wait()
        return 7

    actor = Async.remote()
    assert ray.get(actor.echo.remote(1)) == 1
    ref = actor.echo.remote(late.remote())
    del actor
    core = ref._cluster
    core.tick()  # sees to handles that are gone
    gate.open()
    assert ray.get(ref) == 7


def test_callbacks_of_a_cancelled_call_run_without_the_runtimes_lock(ray, gate):
    @ray.remote(num_cpus=0)
    class Plain:
        def wait(self):
            gate.wait()

    actor = Plain.remote()
    first, second = actor.wait.remote(), actor.wait.remote()
    core = second._cluster
    held = []
    core.when_ready(second, lambda ref: held.append(core.lock._is_owned()))
    ray.cancel(second)
    assert held == [False]
    gate.open()
    ray.get(first)


@pytest.mark.parametrize("n_returns", [1, 2])
def test_a_call_that_is_refused_leaves_nothing_in_the_store(ray, gate, n_returns):
    @ray.remote(num_cpus=0, max_pending_calls=1)
    class Busy:
        def wait(self):
            gate.wait()

        @ray.method(num_returns=n_returns)
        def take(self, value):
            return value

    actor = Busy.remote()
    running = actor.wait.remote()
    before = kit.used()
    for _ in range(3):
        with pytest.raises(ray.exceptions.PendingCallsLimitExceeded):
            actor.take.remote(b"x" * 1_000_000)
    gc.collect()  # the tracebacks; the rest it does not see
    assert kit.used() == before
    gate.open()
    ray.get(running)


def test_a_call_is_sent_when_only_cancelled_ones_were_in_its_way(ray, gate, ledger):
    """No answer comes of those, which would tell that there is room in the ring again."""

    @ray.remote(num_cpus=0)
    class Busy:
        def wait(self):
            ledger.add("busy")
            gate.wait()

        def echo(self, value):
            return value

    @ray.remote
    def keep_busy(actor):
        return ray.get(actor.wait.remote())

    actor = Busy.remote()
    assert ray.get(actor.echo.remote(0)) == 0
    other = keep_busy.remote(actor)
    ledger.await_lines(1)
    refs = []
    while not actor._ray_calls.queue:  # the ring is full
        refs.append(actor.echo.remote(1))
    for ref in refs:
        ray.cancel(ref)
    assert not actor._ray_calls.tasks
    last = actor.echo.remote(1)
    gate.open()
    assert ray.get(last) == 1
    ray.get(other)


def pid_of(_):
    time.sleep(0.01)  # the other one has its turn, too
    return os.getpid()


def test_processes_of_a_pool_that_die_while_idle_cost_no_job(ray):
    """The next job is sent before anybody knows: it surely did not run, so it goes elsewhere."""
    with Pool(2) as pool:
        for _ in range(kit.scaled(5)):
            pids = set(pool.map(pid_of, range(8), chunksize=1))
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            with kit.no_hang():
                assert pool.map(abs, range(-9, 0)) == list(range(9, 0, -1))
            assert not pids & set(pool.map(pid_of, range(8), chunksize=1))


def test_processes_of_joblib_that_die_while_idle_cost_no_call(ray):
    register_ray()
    with joblib.parallel_config("ray", n_jobs=2):
        for _ in range(kit.scaled(3)):
            for pid in set(joblib.Parallel()(joblib.delayed(pid_of)(i) for i in range(8))):
                os.kill(pid, signal.SIGKILL)
            with kit.no_hang():
                assert joblib.Parallel()(joblib.delayed(abs)(-i) for i in range(9)) == list(range(9))
    group = ray_backend._cached[1]
    ray_backend._forget(group)  # else it waits for the next call
    group.close()


@pytest.mark.parametrize("actor", [False, True], ids=["task", "actor"])
def test_a_late_argument_that_finds_no_room_fails_its_task_alone(ray, gate, monkeypatch, actor):
    @ray.remote
    def late():
        gate.wait()
        return bytes(8_000)

    @ray.remote(num_cpus=0)
    class Actor:
        def size(self, *parts):
            return sum(map(len, parts))

    size = Actor.remote().size if actor else ray.remote(lambda *parts: sum(map(len, parts)))
    core = late.remote()._cluster
    parts = [late.remote() for _ in range(40)]  # together more than fits into a message
    ref, other = size.remote(*parts), size.remote(parts[-1])

    def no_room(payload):
        raise ray.exceptions.ObjectStoreFullError("no room")

    monkeypatch.setattr(core.store, "stash", no_room)
    gate.open()
    with kit.no_hang(), pytest.raises(ray.exceptions.ObjectStoreFullError, match="no room"):
        ray.get(ref)
    with kit.no_hang():
        assert ray.get(other) == 8_000
    monkeypatch.undo()
    with kit.no_hang():
        assert ray.get(size.remote(*parts)) == 40 * 8_000


def test_a_callback_that_exits_does_not_end_the_thread_that_serves(ray, gate):
    @ray.remote
    def late(n):
        gate.wait()
        return n

    first, second = late.remote(1), late.remote(2)
    heard = threading.Event()
    first._on_completed(lambda _: sys.exit(3))
    second._on_completed(lambda _: heard.set())
    gate.open()
    assert heard.wait(60)  # nobody is in get: the service thread alone sees to it
    third = late.remote(3)
    again = threading.Event()
    third._on_completed(lambda _: again.set())
    assert again.wait(60)


def test_an_interrupted_get_of_a_queue_takes_no_item(ray):
    queue = Queue()
    core = queue.actor.qsize.remote()._cluster

    def interrupt():
        kit.eventually(lambda: len(core.waiters) > 0, "the wait for an item")
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        queue.get()
    thread.join()
    queue.put("first")
    assert queue.get(timeout=60) == "first"
    queue.shutdown()
