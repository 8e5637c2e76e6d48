"""Memory that tasks have freed: the next task gets it without page faults, and an idle worker gives it back."""

import os
import resource

import cluster_kit as kit
import numpy as np
import psutil

from nbray.worker.freed_memory import chosen_by_user

CLUSTER = {"num_cpus": 1, "object_store_memory": 64 * 2**20}
BIG = 3 << 20  # bytes of one array; several live at a time


def churn():
    """Make and free arrays; returns the pages that had to be faulted in, and what the process holds afterwards."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    kept = [np.ones(BIG // 8) * i for i in range(6)]
    del kept
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before, psutil.Process().memory_info().rss, os.getpid()


class Churner:
    async def churn(self):
        return churn()


def is_given_back(pid, rss):
    worker = psutil.Process(pid)
    kit.eventually(lambda: worker.memory_info().rss < rss - 3 * BIG, "the worker holds the memory no more")


def test_the_next_task_gets_the_memory_of_the_last(ray):
    task = ray.remote(churn)
    ray.get([task.remote() for _ in range(3)])
    faults = [n for n, _, _ in ray.get([task.remote() for _ in range(9)])]
    assert sorted(faults)[4] < BIG // 4096, f"of six arrays no more new pages than one has: {faults}"


def test_an_idle_worker_gives_it_back(ray):
    task = ray.remote(churn)
    _, rss, pid = ray.get([task.remote() for _ in range(3)])[-1]
    is_given_back(pid, rss)


def test_an_actor_keeps_it_and_gives_it_back(ray):
    actor = ray.remote(Churner).options(num_cpus=0).remote()
    answers = ray.get([actor.churn.remote() for _ in range(9)])
    assert sorted(faults for faults, _, _ in answers)[4] < BIG // 4096
    is_given_back(*reversed(answers[-1][1:]))
    _, rss, pid = ray.get(actor.churn.remote())
    is_given_back(pid, rss)  # time and again


def test_who_says_how_malloc_works_is_heard():
    assert chosen_by_user({"MALLOC_TRIM_THRESHOLD_": "0"})
    assert chosen_by_user({"GLIBC_TUNABLES": "glibc.malloc.trim_threshold=0"})
    assert not chosen_by_user({"GLIBC_TUNABLES": "glibc.pthread.rseq=0", "PATH": "/bin"})
