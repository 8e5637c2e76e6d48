"""Calls whose end nobody told: the runtime's own code raised, or whatever ran them is gone."""

import asyncio
import os
import sys
import threading

import cluster_kit as kit
import pytest

from nbray.exceptions import RayActorError

CLUSTER = {"num_cpus": 2, "object_store_memory": 64 * 2**20}


def no(frame, event, arg):
    raise RuntimeError("the tracer says no")


class Traced:
    def __init__(self):
        self.met = threading.Barrier(2)

    def pid(self):
        return os.getpid()

    def trace_threads(self):
        threading.settrace(no)

    def meet(self):
        self.met.wait()


class AsyncTraced:
    async def pid(self):
        return os.getpid()

    async def trace(self):
        sys.settrace(no)

    async def end_thread(self):
        asyncio.get_running_loop().call_soon(_raise)
        await asyncio.Event().wait()


def _raise():
    raise KeyboardInterrupt  # asyncio lets it through


def test_an_async_actor_whose_tracer_raises(ray):
    actor = ray.remote(AsyncTraced).remote()
    pid = ray.get(actor.pid.remote())
    with pytest.raises(RuntimeError, match="the tracer says no"):
        ray.get(actor.trace.remote(), timeout=kit.PATIENCE_S)
    assert ray.get(actor.pid.remote(), timeout=kit.PATIENCE_S) == pid


def test_a_thread_for_calls_that_ends_at_once(ray):
    actor = ray.remote(Traced).options(max_concurrency=2).remote()
    ray.get(actor.trace_threads.remote())
    for ref in [actor.meet.remote(), actor.meet.remote()]:  # the second one's thread does not come to run
        with pytest.raises(RayActorError):
            ray.get(ref, timeout=kit.PATIENCE_S)


def test_a_loop_that_ends(ray):
    actor = ray.remote(concurrency_groups={"other": 1})(AsyncTraced).remote()
    assert ray.get(actor.pid.remote()) > 0
    with pytest.raises(RayActorError):
        ray.get(actor.end_thread.remote(), timeout=kit.PATIENCE_S)
