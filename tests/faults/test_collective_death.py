"""A rank that dies in the middle of a collective: every other one gets a typed error, soon."""

import os
import signal
import sys
import threading
import time

import cluster_kit as kit
import numpy as np
import pytest

from nbray import collective as col
from nbray.core import collective_group
from nbray.exceptions import ActorDiedError, CollectiveError, CollectiveRankDiedError
from nbray.util import state

CLUSTER = {"num_cpus": 4, "object_store_memory": 128 * 2**20}
OPERATIONS = ["allreduce", "reduce", "broadcast", "allgather", "reducescatter", "alltoall", "send", "recv", "barrier"]
LIMIT_S = 20.0


class Member:
    """A rank that works without end, until the operation fails."""

    def __init__(self, world, rank):
        self.world, self.rank = world, rank
        col.init_collective_group(world, rank, group_name="g")

    def pid(self):
        col.barrier("g")
        return os.getpid()

    def work(self, operation, size):
        array, last = np.ones(size), self.world - 1
        many = [np.ones(size) for _ in range(self.world)]
        out = [np.ones(size) for _ in range(self.world)]
        while True:
            try:
                if operation in ("send", "recv"):
                    if self.rank == (0 if operation == "send" else last):
                        col.send(array, last - self.rank, "g")
                    elif self.rank in (0, last):
                        col.recv(array, last - self.rank, "g")
                    else:
                        return None
                elif operation == "allgather":
                    col.allgather(out, array, "g")
                elif operation == "reducescatter":
                    col.reducescatter(array, many, "g")
                elif operation == "alltoall":
                    col.alltoall(out, many, "g")
                elif operation == "barrier":
                    col.barrier("g")
                elif operation == "allreduce":
                    col.allreduce(array, "g", col.ReduceOp.MAX)
                else:
                    getattr(col, operation)(array, 1, "g")
            except CollectiveRankDiedError as error:
                return time.monotonic(), error.rank, str(error)

    def again(self, leave):
        """Leave what is broken, and join anew."""
        if leave:
            col.destroy_collective_group("g")
            col.init_collective_group(self.world, self.rank, group_name="g")
        array = np.ones(10)
        col.allreduce(array, "g")
        return array[0]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_actor_killed_in_each_operation(ray, operation):
    actors = [ray.remote(Member).remote(3, rank) for rank in range(3)]
    pids = ray.get([actor.pid.remote() for actor in actors])
    for size in (10, 300_000) if operation == "allreduce" else (100_000,):
        refs = [actor.work.remote(operation, size) for actor in actors]
        time.sleep(0.05)
        killed = time.monotonic()
        os.kill(pids[2], signal.SIGKILL)
        with kit.no_hang(what=operation):
            for found in ray.get(refs[:2]):
                if found is None:
                    continue
                when, rank, text = found
                assert when - killed < LIMIT_S
                print(f"{operation}: told after {(when - killed) * 1e3:.0f} ms")
                assert rank == 2 and f"rank 2 (pid {pids[2]}) died" in text and "'g'" in text
            with pytest.raises(ActorDiedError):
                ray.get(refs[2])
        actors[2] = ray.remote(Member).remote(3, 2)  # a new one takes the rank, all begin anew
        assert ray.get([actor.again.remote(actor is not actors[2]) for actor in actors]) == [3.0] * 3
        pids[2] = ray.get([actor.pid.remote() for actor in actors])[2]
    while actors:
        ray.kill(actors.pop())


class Declared:
    """A rank of a declared group, which joins with its first operation."""

    def pid(self):
        return os.getpid()

    def barrier(self):
        try:
            col.barrier("declared")
        except CollectiveRankDiedError as error:
            return error.rank, str(error)
        return "through"

    def ping(self, me, other):
        array = np.full(1, me)
        if me:
            col.recv(array, other, "declared")
        else:
            col.send(array, other, "declared")
        return int(array[0])


@pytest.fixture
def declared(ray):
    """Three actors that are a group, which waits for ever for those that have not joined."""
    actors = [ray.remote(Declared).options(max_restarts=n, max_task_retries=n).remote() for n in (0, 0, 1)]
    ray.get([actor.pid.remote() for actor in actors])
    col.create_collective_group(actors, 3, [0, 1, 2], "gloo", "declared", gloo_timeout=0)
    yield actors
    col.destroy_collective_group("declared")
    while actors:
        ray.kill(actors.pop())


def test_an_actor_that_dies_before_it_joins(ray, declared):
    """The others need not wait for the group's own timeout, and there is none here."""
    waiting = [actor.barrier.remote() for actor in declared[:2]]
    with kit.no_hang(what="the wait for a rank that is dead"):
        assert ray.wait(waiting, timeout=1.0)[0] == []
        killed = time.monotonic()
        ray.kill(declared[2])
        for rank, text in ray.get(waiting):
            assert rank == 2 and "rank 2 died before it joined" in text and "'declared'" in text
        assert time.monotonic() - killed < LIMIT_S


def test_an_actor_that_is_dead_before_the_others_begin(ray, declared):
    ray.kill(declared[1])
    with pytest.raises(ActorDiedError):
        ray.get(declared[1].pid.remote())
    with kit.no_hang(what="the wait for a rank that is dead"):
        assert ray.get(declared[0].ping.remote(0, 2)) == 0  # that one can do without rank 1
        waiting = [declared[0].barrier.remote(), declared[2].ping.remote(2, 0)]
        found, got = ray.get(waiting)
        assert got == 0 and found[0] == 1


def test_an_actor_that_is_restarted_before_it_joins(ray, declared):
    """It still can join, and does."""
    waiting = [actor.barrier.remote() for actor in declared[:2]]
    with kit.no_hang(what="a group whose member was restarted"):
        ray.kill(declared[2], no_restart=False)
        kit.eventually(lambda: int(state.get_actor(declared[2]._actor_id.hex()).num_restarts) == 1, "it is restarted")
        waiting.append(declared[2].barrier.remote())
        assert ray.get(waiting) == ["through"] * 3


def test_cancelled_in_an_operation(ray, ledger):
    """A rank that is interrupted tells the others."""

    @ray.remote
    def rank(me):
        col.init_collective_group(2, me, group_name="cancelled")
        try:
            col.barrier("cancelled")
            ledger.add(f"rank {me} is in")
            if me == 0:
                col.recv(np.zeros(10), 1, "cancelled")  # never sent
            col.barrier("cancelled")
        except CollectiveError as error:
            return str(error)
        finally:
            col.destroy_collective_group("cancelled")

    refs = [rank.remote(0), rank.remote(1)]
    ledger.await_lines(2)
    ray.cancel(refs[0])
    with kit.no_hang():
        assert "rank 0" in ray.get(refs[1])
        with pytest.raises(ray.exceptions.TaskCancelledError):
            ray.get(refs[0])


def test_interrupted_driver(ray):
    """Ctrl-C ends a wait of the driver at once; the group is broken, the runtime is not."""
    col.init_collective_group(2, 0, group_name="interrupted", gloo_timeout=0)
    main = threading.get_ident()

    def interrupt():
        wait = collective_group.Group._wait.__code__
        kit.eventually(lambda: sys._current_frames()[main].f_code is wait, "it waits")
        time.sleep(0.05)  # from there into the wait in C
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with kit.no_hang(), pytest.raises(KeyboardInterrupt):
        col.barrier("interrupted")
    thread.join()
    with pytest.raises(CollectiveError, match="gave up"):
        col.barrier("interrupted")
    col.destroy_collective_group("interrupted")
    assert ray.get(ray.remote(lambda: 1).remote()) == 1


def test_end_of_the_driver_tells_the_others(fresh):
    """shutdown leaves all groups; a new cluster begins without them."""
    fresh.init(**CLUSTER)
    col.init_collective_group(1, 0, group_name="g")
    array = np.ones(3)
    col.allreduce(array, "g")
    fresh.shutdown()
    assert not col.is_group_initialized("g")
    fresh.init(**CLUSTER)
    col.init_collective_group(1, 0, group_name="g")
    col.barrier("g")
