"""Where nbray goes further than Ray 2.60 on purpose, so that the original cannot judge these tests."""

import pytest

from .kit import LIBRARY

pytestmark = pytest.mark.skipif(LIBRARY == "ray", reason="Ray 2.60 crashes or behaves otherwise, as each test says")

# Ray 2.60 aborts the driver (reference_counter.cc:624) when the dependency of a cancelled task becomes ready: the
# next three tests.


def test_a_task_that_waits_for_a_dependency(ray, gate, ledger):
    @ray.remote
    def late():
        gate.wait()

    @ray.remote
    def dependent(_):
        ledger.add()

    dependency = late.remote()
    ref = dependent.remote(dependency)
    ray.cancel(ref)
    with pytest.raises(ray.exceptions.TaskCancelledError):
        ray.get(ref)
    gate.open()
    ray.get(dependency)
    assert ledger.marks() == []


def test_force_on_a_queued_task(ray, gate, ledger):
    @ray.remote
    def late():
        gate.wait()

    @ray.remote
    def dependent(_):
        ledger.add()

    ref = dependent.remote(late.remote())
    ray.cancel(ref, force=True)
    with pytest.raises((ray.exceptions.TaskCancelledError, ray.exceptions.WorkerCrashedError)):
        ray.get(ref)
    assert ledger.marks() == []


def test_cancelling_a_dependent_leaves_the_dependency(ray, gate):
    @ray.remote
    def late():
        gate.wait()
        return "kept"

    @ray.remote
    def dependent(x):
        return x

    first = late.remote()
    second = dependent.remote(first)
    ray.cancel(second)
    with pytest.raises(ray.exceptions.TaskCancelledError):
        ray.get(second)
    gate.open()
    assert ray.get(first) == "kept"
