"""A tracer or profiler that the user's code sets, and that raises: the call that set it fails, the next are as ever."""

import os
import sys

import pytest


class Traced:
    def pid(self):
        return os.getpid()

    def set(self, what):
        def no(frame, event, arg):
            raise RuntimeError("the tracer says no")

        getattr(sys, what)(no)


@pytest.mark.parametrize("what", ["settrace", "setprofile"])
@pytest.mark.parametrize("concurrency", [1, 3])
def test_an_actor_whose_tracer_raises(ray, what, concurrency):
    actor = ray.remote(Traced).options(max_concurrency=concurrency).remote()
    pid = ray.get(actor.pid.remote())
    with pytest.raises(RuntimeError, match="the tracer says no"):
        ray.get(actor.set.remote(what), timeout=60)
    assert ray.get([actor.pid.remote() for _ in range(5)], timeout=60) == [pid] * 5


@pytest.mark.parametrize("what", ["settrace", "setprofile"])
def test_a_task_whose_tracer_raises(ray, what):
    with pytest.raises(RuntimeError, match="the tracer says no"):
        ray.get(ray.remote(Traced.set).remote(None, what), timeout=60)
    assert ray.get(ray.remote(lambda: 1).remote(), timeout=60) == 1
