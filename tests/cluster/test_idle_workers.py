"""An idle process costs next to nothing: it looks up less often when nothing comes and nothing is due."""

import os
import time

import cluster_kit as kit
import pytest

CLUSTER = {"num_cpus": 1, "object_store_memory": 64 * 2**20}


def is_quiet(pid):
    """Return whether the main thread woke at most twice a second just now; in slices of 50 ms it would 20 times."""
    before = kit.status_of(pid, "voluntary_ctxt_switches")
    time.sleep(2)
    return kit.status_of(pid, "voluntary_ctxt_switches") - before <= 4


class Plain:
    def pid(self):
        return os.getpid()


class Async:
    async def pid(self):
        return os.getpid()


@pytest.mark.parametrize("kind", [Plain, Async])
def test_an_idle_actor_hardly_wakes(ray, kind):
    actor = ray.remote(num_cpus=0)(kind).remote()
    pid = ray.get(actor.pid.remote())
    kit.eventually(lambda: is_quiet(pid), "the actor is quiet")
    assert ray.get(actor.pid.remote()) == pid
    kit.eventually(lambda: is_quiet(pid), "the actor is quiet again")


def test_an_idle_worker_hardly_wakes(ray):
    pid = ray.get(ray.remote(os.getpid).remote())
    kit.eventually(lambda: is_quiet(pid), "the worker is quiet")
