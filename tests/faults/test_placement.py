"""Deaths around placement groups and environments: nothing hangs, everything comes back."""

import os
import signal

import cluster_kit as kit
import pytest

from nbray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

CLUSTER = {"num_cpus": 4, "object_store_memory": 64 * 2**20}


def inside(group, index=-1):
    return PlacementGroupSchedulingStrategy(group, index)


def all_free(ray):
    kit.eventually(lambda: ray.available_resources().get("CPU") == 4.0, "all processors free again")


@pytest.fixture
def group(ray):
    made = ray.util.placement_group([{"CPU": 1}, {"CPU": 1}])
    assert made.wait(60)
    yield made
    ray.util.remove_placement_group(made)
    all_free(ray)


def test_a_worker_killed_in_a_bundle(ray, group, ledger):
    """Its task runs again in the same bundle."""

    @ray.remote(max_retries=2)
    def die_once():
        ledger.add(ray.get_runtime_context().get_placement_group_id())
        if len(ledger.lines()) == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return "done"

    assert ray.get(die_once.options(scheduling_strategy=inside(group, 0)).remote()) == "done"
    assert ledger.lines() == [group.id.hex()] * 2
    kit.eventually(
        lambda: ray.available_resources().get(f"CPU_group_{group.id.hex()}") == 2.0, "the bundle is free again"
    )


def test_an_actor_killed_in_a_bundle_comes_back_into_it(ray, group):
    @ray.remote(num_cpus=1, max_restarts=3, max_task_retries=-1)
    class Actor:
        def where(self):
            return os.getpid(), ray.get_runtime_context().get_placement_group_id()

    actor = Actor.options(scheduling_strategy=inside(group, 1)).remote()
    for _ in range(3):
        pid, place = ray.get(actor.where.remote())
        assert place == group.id.hex()
        os.kill(pid, signal.SIGKILL)
        kit.eventually(lambda before=pid: ray.get(actor.where.remote())[0] != before, "it is restarted")


def test_removal_while_tasks_run_wait_and_come(ray, gate, ledger):
    @ray.remote
    def hold():
        ledger.add("x")
        gate.wait()

    for _ in range(5):
        group = ray.util.placement_group([{"CPU": 2}])
        inner = hold.options(scheduling_strategy=inside(group))
        seen = len(ledger.lines())
        refs = [inner.remote() for _ in range(20)]
        ledger.await_lines(seen + 2)
        ray.util.remove_placement_group(group)
        refs += [inner.remote() for _ in range(5)]
        for ref in refs:
            with pytest.raises(ray.exceptions.TaskPlacementGroupRemoved):
                ray.get(ref, timeout=60)
        all_free(ray)


def test_removal_while_actors_start_run_and_restart(ray):
    @ray.remote(num_cpus=1, max_restarts=-1)
    class Actor:
        def pid(self):
            return os.getpid()

    group = ray.util.placement_group([{"CPU": 2}])
    actors = [Actor.options(scheduling_strategy=inside(group)).remote() for _ in range(4)]
    pid = ray.get(actors[0].pid.remote())
    os.kill(pid, signal.SIGKILL)
    waiting = actors[3].pid.remote()
    ray.util.remove_placement_group(group)
    with pytest.raises(ray.exceptions.ActorPlacementGroupRemoved):
        ray.get(waiting, timeout=60)

    def dead(actor):
        try:
            ray.get(actor.pid.remote(), timeout=60)
        except (ray.exceptions.ActorDiedError, ray.exceptions.ActorPlacementGroupRemoved):
            return True

    for actor in actors:
        kit.eventually(lambda actor=actor: dead(actor), "it ends with its group")
    with pytest.raises(ray.exceptions.ActorPlacementGroupRemoved):
        ray.get(Actor.options(scheduling_strategy=inside(group)).remote().pid.remote(), timeout=60)
    all_free(ray)


def test_a_task_that_made_a_group_is_killed(ray):
    """The group is its job's: it stays until somebody removes it."""

    @ray.remote(max_retries=0)
    def make_and_die(box):
        group = ray.util.placement_group([{"CPU": 1}], name="orphan")
        assert group.wait(60)
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(ray.exceptions.WorkerCrashedError):
        ray.get(make_and_die.remote(None))
    group = ray.util.get_placement_group("orphan")
    assert ray.util.placement_group_table(group)["state"] == "CREATED"
    ray.util.remove_placement_group(group)
    all_free(ray)


def test_the_waiting_process_of_a_group_dies(ray):
    """Whoever watches a group may be killed; the group still gets its bundles."""
    blocker = ray.util.placement_group([{"CPU": 3}])
    assert blocker.wait(60)

    @ray.remote(num_cpus=0, max_retries=0)
    def wait_and_die():
        group = ray.util.placement_group([{"CPU": 2}], name="waits", lifetime="detached")
        group.ready()
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(ray.exceptions.WorkerCrashedError):
        ray.get(wait_and_die.remote())
    group = ray.util.get_placement_group("waits")
    assert not group.wait(0.1)
    ray.util.remove_placement_group(blocker)
    assert group.wait(60)
    ray.util.remove_placement_group(group)
    all_free(ray)


def test_a_joined_driver_that_dies_takes_its_groups_along(ray, start_driver):
    driver = start_driver(
        """
        import nbray as ray
        ray.init(address=sys.argv[1], namespace="of the other")
        own = ray.util.placement_group([{"CPU": 1}], name="own")
        detached = ray.util.placement_group([{"CPU": 1}], name="detached", lifetime="detached")
        waits = ray.util.placement_group([{"CPU": 4}])
        assert own.wait(60) and detached.wait(60) and not waits.wait(0.1)
        say("ids", own.id.hex(), detached.id.hex(), waits.id.hex())
        hear()
        """,
        ray.get_runtime_context().gcs_address,
    )
    ids = driver.expect("ids").split()
    assert len(ray.util.placement_group_table()) >= 3
    driver.kill()

    def states():
        return [ray.util.placement_group_table()[name]["state"] for name in ids]

    kit.eventually(lambda: states() == ["REMOVED", "CREATED", "REMOVED"], "its own groups are removed")
    from nbray.ids import PlacementGroupID
    from nbray.util.placement_group import PlacementGroup

    ray.util.remove_placement_group(PlacementGroup(PlacementGroupID(bytes.fromhex(ids[1]))))
    all_free(ray)


def test_churn_of_groups_with_tasks_in_them_leaves_nothing(ray):
    @ray.remote(num_cpus=0.5)
    def touch(i):
        return i

    for _ in range(10):
        groups = [ray.util.placement_group([{"CPU": 0.5}]) for _ in range(8)]
        refs = [touch.options(scheduling_strategy=inside(group)).remote(i) for i, group in enumerate(groups)]
        assert ray.get(refs, timeout=60) == list(range(8))
        for group in groups:
            ray.util.remove_placement_group(group)
    all_free(ray)
    kit.check_invariants()
