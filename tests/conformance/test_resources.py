"""Resources: what the cluster says it has, what tasks hold, how many run at once, which GPUs they see."""

import os

import pytest

from .kit import wait_until

CLUSTER = {"num_cpus": 4, "num_gpus": 2, "resources": {"widget": 3}}


def test_cluster_resources(ray):
    total = ray.cluster_resources()
    assert total["CPU"] == 4.0
    assert total["GPU"] == 2.0
    assert total["widget"] == 3.0
    assert total["memory"] > 0
    assert total["object_store_memory"] > 0


def test_nodes(ray):
    (node,) = ray.nodes()
    assert node["Alive"] is True
    assert node["NodeID"] == ray.get_runtime_context().get_node_id()
    assert node["Resources"]["CPU"] == 4.0
    assert node["Resources"]["widget"] == 3.0
    assert isinstance(node["NodeManagerAddress"], str)


def test_available_resources_follow_the_tasks(ray, gate, ledger):
    @ray.remote(num_cpus=1.5, resources={"widget": 2})
    def hold():
        ledger.add()
        gate.wait()

    wait_until(lambda: ray.available_resources().get("CPU") == 4.0, "all processors free")
    ref = hold.remote()
    ledger.wait_for(1)
    wait_until(lambda: ray.available_resources().get("CPU") == 2.5, "1.5 processors taken")
    wait_until(lambda: ray.available_resources().get("widget") == 1.0, "two widgets taken")
    gate.open()
    ray.get(ref)
    wait_until(lambda: ray.available_resources().get("CPU") == 4.0, "all processors free again")
    wait_until(lambda: ray.available_resources().get("widget") == 3.0, "all widgets free again")


def test_available_resources_follow_the_actors(ray):
    @ray.remote(num_cpus=1, resources={"widget": 3})
    class Holder:
        def ready(self):
            return True

    holder = Holder.remote()
    ray.get(holder.ready.remote())
    wait_until(lambda: ray.available_resources().get("CPU") == 3.0, "one processor taken")
    wait_until(lambda: ray.available_resources().get("widget", 0) == 0, "the widgets taken")
    ray.kill(holder)
    wait_until(lambda: ray.available_resources().get("CPU") == 4.0, "all processors free again")
    wait_until(lambda: ray.available_resources().get("widget") == 3.0, "all widgets free again")


@pytest.mark.parametrize(
    ("options", "holds"),
    [
        ({}, {}),
        ({"memory": 1000}, {"memory": 1000.0}),
        ({"memory": 100.9}, {"memory": 100.0}),
        ({"num_gpus": 1}, {"CPU": 1.0, "GPU": 1.0}),
        ({"num_gpus": 0}, {"CPU": 1.0}),
        ({"resources": {"widget": 1}}, {"CPU": 1.0, "widget": 1.0}),
        ({"num_cpus": 0, "num_gpus": 1}, {"GPU": 1.0}),
    ],
    ids=str,
)
def test_an_actor_that_asks_for_something_holds_a_processor_too(ray, options, holds):
    @ray.remote
    class Actor:
        def assigned(self):
            return ray.get_runtime_context().get_assigned_resources()

    actor = Actor.options(**options).remote()
    assert {name: amount for name, amount in ray.get(actor.assigned.remote()).items() if amount} == holds
    ray.kill(actor)


@pytest.mark.parametrize(
    ("options", "at_once"),
    [
        ({"num_cpus": 1}, 4),
        ({"num_cpus": 2}, 2),
        ({"num_cpus": 3}, 1),
        ({"num_cpus": 0, "resources": {"widget": 1}}, 3),
        ({"num_cpus": 0, "resources": {"widget": 0.75}}, 4),
        ({"num_cpus": 0, "num_gpus": 1}, 2),
        ({"num_cpus": 0, "num_gpus": 0.5}, 4),
        ({"num_cpus": 1, "resources": {"widget": 2}}, 1),
    ],
    ids=str,
)
def test_how_many_run_at_once(ray, tmp_path, options, at_once):
    """Every task notes when it enters and leaves; as many as fit are inside together, and never more."""
    log = tmp_path / "log"

    @ray.remote(**options)
    def task():
        def note(sign):
            descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.write(descriptor, sign)
            os.close(descriptor)

        note(b"+")
        wait_until(lambda: log.read_bytes().count(b"+") >= at_once, "the others")
        note(b"-")

    ray.get([task.remote() for _ in range(2 * at_once)])
    inside = most = 0
    for sign in log.read_text():
        inside += 1 if sign == "+" else -1
        most = max(most, inside)
    assert most == at_once


def test_a_task_that_asks_for_no_processor_runs_when_all_are_taken(ray, gate, ledger):
    @ray.remote(num_cpus=4)
    def hold():
        ledger.add()
        gate.wait()

    @ray.remote(num_cpus=0)
    def free():
        return 1

    ref = hold.remote()
    ledger.wait_for(1)
    assert ray.get(free.remote()) == 1
    gate.open()
    ray.get(ref)


def test_a_small_task_passes_a_large_one_that_does_not_fit_yet(ray, gate, ledger):
    @ray.remote(num_cpus=2)
    def hold():
        ledger.add()
        gate.wait()
        return "hold"

    @ray.remote(num_cpus=4)
    def large():
        return "large"

    @ray.remote(num_cpus=1)
    def small():
        return "small"

    held = hold.remote()
    ledger.wait_for(1)
    waiting = large.remote()
    assert ray.get(small.remote()) == "small"
    gate.open()
    assert ray.get([held, waiting]) == ["hold", "large"]


def test_visible_gpus(ray):
    @ray.remote
    def visible():
        return os.environ.get("CUDA_VISIBLE_DEVICES")

    assert ray.get(visible.options(num_gpus=1).remote()) in ("0", "1")
    assert sorted(ray.get(visible.options(num_gpus=2).remote()).split(",")) == ["0", "1"]
    assert ray.get(visible.options(num_gpus=0.5).remote()) in ("0", "1")


def test_tasks_side_by_side_see_different_gpus(ray, ledger):
    @ray.remote(num_gpus=1)
    def visible():
        ledger.add()
        ledger.wait_for(2)
        return os.environ["CUDA_VISIBLE_DEVICES"]

    assert sorted(ray.get([visible.remote(), visible.remote()])) == ["0", "1"]


def test_gpus_of_actors(ray):
    @ray.remote(num_gpus=1)
    class Actor:
        def visible(self):
            return os.environ["CUDA_VISIBLE_DEVICES"]

    actors = [Actor.remote() for _ in range(2)]
    assert sorted(ray.get([a.visible.remote() for a in actors])) == ["0", "1"]
    for actor in actors:
        ray.kill(actor)

    @ray.remote(num_gpus=2)
    def both():
        return 1

    assert ray.get(both.remote()) == 1


def test_gpu_ids_in_the_context(ray):
    @ray.remote(num_gpus=1)
    def ask():
        return ray.get_runtime_context().get_accelerator_ids()["GPU"], os.environ["CUDA_VISIBLE_DEVICES"]

    ids, visible = ray.get(ask.remote())
    assert ids == [visible]


def test_threads_of_numerical_libraries_follow_the_processors(ray):
    @ray.remote
    def threads():
        return os.environ.get("OMP_NUM_THREADS")

    assert ray.get(threads.remote()) == "1"
    assert ray.get(threads.options(num_cpus=2).remote()) == "2"


def test_threads_of_numerical_libraries_in_an_actor(ray):
    class Argument:
        """Is made while the actor's arguments are: libraries may be loaded by then."""

        def __reduce__(self):
            return eval, ("__import__('os').environ.get('OMP_NUM_THREADS')",)

    @ray.remote
    class Threads:
        def __init__(self, found):
            self.found = found

        def threads(self):
            return self.found, os.environ.get("OMP_NUM_THREADS")

    assert ray.get(Threads.options(num_cpus=3).remote(Argument()).threads.remote()) == ("3", "3")
    assert ray.get(Threads.remote(Argument()).threads.remote()) == ("1", "1")


def test_an_actor_does_not_see_the_gpu_of_a_task(ray):
    """Not even where the task had its worker before."""

    @ray.remote
    def visible():
        return os.environ.get("CUDA_VISIBLE_DEVICES")

    @ray.remote(num_cpus=0)
    class Actor:
        def visible(self):
            return os.environ.get("CUDA_VISIBLE_DEVICES"), ray.get_gpu_ids()

    for _ in range(3):
        assert ray.get(visible.options(num_gpus=1).remote())
        seen, ids = ray.get(Actor.remote().visible.remote())
        assert not seen and ids == []


def test_memory_is_a_resource(ray):
    total = ray.cluster_resources()["memory"]

    @ray.remote(memory=int(total * 0.6))
    def task():
        return 1

    assert ray.get([task.remote() for _ in range(3)]) == [1, 1, 1]
