"""A control message that comes twice does what it would have done once: no task, constructor or method runs again."""

import cluster_kit as kit
import pytest

from nbray.core import current


def say_all_twice():
    """Have this process send each of its messages to the daemon twice."""
    control = current.core.control
    once = control.send

    def twice(message):
        once(message)
        once(message)

    control.send = twice


@pytest.fixture
def talkative(fresh):
    """A cluster whose driver and workers say everything twice."""
    fresh.init(num_cpus=2, object_store_memory=64 * 2**20, runtime_env={"worker_process_setup_hook": say_all_twice})
    say_all_twice()
    return fresh


def test_everything_runs_once(talkative, ledger):
    ray = talkative

    @ray.remote
    def task(i):
        ledger.add(f"task {i}")
        return i

    @ray.remote(max_retries=0)
    def parent(i):
        return ray.get(task.remote(i))

    @ray.remote(num_cpus=0)
    class Actor:
        def __init__(self, name):
            ledger.add(f"made {name}")

        def method(self, i):
            ledger.add(f"call {i}")
            return ray.get(task.remote(100 + i))

    @ray.remote
    def says_all_twice():
        return current.core.control.send.__name__ == "twice"

    assert ray.get(says_all_twice.remote())
    assert ray.get([task.remote(i) for i in range(20)]) == list(range(20))
    assert ray.get([parent.remote(20 + i) for i in range(5)]) == list(range(20, 25))
    actors = [Actor.options(name=f"actor {i}").remote(i) for i in range(4)]
    assert ray.get([actor.method.remote(i) for i, actor in enumerate(actors)]) == [100, 101, 102, 103]
    other = ray.get_actor("actor 0")
    assert ray.get(other.method.remote(4)) == 104
    ray.kill(actors[3])
    with pytest.raises(ray.exceptions.RayActorError):
        ray.get(actors[3].method.remote(5))
    group = ray.util.placement_group([{"CPU": 1}])
    assert group.wait(60)
    strategy = ray.util.scheduling_strategies.PlacementGroupSchedulingStrategy(group)
    assert ray.get(task.options(scheduling_strategy=strategy).remote(200)) == 200
    ray.util.remove_placement_group(group)
    del actors, other
    kit.settle()
    marks = ledger.lines()
    wanted = [f"task {i}" for i in (*range(25), *range(100, 105), 200)]
    wanted += [f"made {i}" for i in range(4)] + [f"call {i}" for i in range(5)]
    assert sorted(marks) == sorted(wanted)
