"""An idle process costs next to nothing: it looks up less often when nothing comes and nothing is due."""

import os
import time

import cluster_kit as kit
import pytest

CLUSTER = {"num_cpus": 1, "object_store_memory": 64 * 2**20}


def is_quiet(pid):
    """Return whether the main thread ran for less than 2 ms a second just now; awake in Python every 50 ms it would twice as long."""
    before = run_ms(pid)
    time.sleep(2)
    return run_ms(pid) - before < 4


def run_ms(pid):
    """Return for how long the main thread of a process has run, in ms."""
    with open(f"/proc/{pid}/task/{pid}/schedstat") as file:
        return int(file.read().split()[0]) / 1e6


class Plain:
    def pid(self):
        return os.getpid()


class Async:
    async def pid(self):
        return os.getpid()


@pytest.mark.parametrize("kind", [Plain, Async])
def test_an_idle_actor_hardly_runs(ray, kind):
    actor = ray.remote(num_cpus=0)(kind).remote()
    pid = ray.get(actor.pid.remote())
    kit.eventually(lambda: is_quiet(pid), "the actor is quiet")
    assert ray.get(actor.pid.remote()) == pid
    kit.eventually(lambda: is_quiet(pid), "the actor is quiet again")


def test_an_idle_worker_hardly_runs(ray):
    pid = ray.get(ray.remote(os.getpid).remote())
    kit.eventually(lambda: is_quiet(pid), "the worker is quiet")
