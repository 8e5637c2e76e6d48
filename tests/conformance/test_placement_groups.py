"""Placement groups: reserving, running in them, handles, names, removal."""

import os
import time

import pytest

from .kit import LIBRARY, wait_until

CLUSTER = {"num_cpus": 4, "num_gpus": 2, "resources": {"widget": 2}}

if LIBRARY == "ray":
    from ray.util.placement_group import PlacementGroup
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy
else:
    from nbray.util.placement_group import PlacementGroup
    from nbray.util.scheduling_strategies import PlacementGroupSchedulingStrategy


@pytest.fixture
def groups(ray):
    """Make groups that are removed after the test, all resources back."""
    made = []

    def make(bundles, **options):
        made.append(ray.util.placement_group(bundles, **options))
        return made[-1]

    yield make
    for group in made:
        ray.util.remove_placement_group(group)
    wait_until(lambda: ray.available_resources().get("CPU") == 4.0, "all processors free again")


@pytest.fixture
def where(ray):
    """A task that tells in which group it runs, and with what."""

    @ray.remote
    def ask():
        group = ray.util.get_current_placement_group()
        return group and group.id.hex(), ray.get_runtime_context().get_assigned_resources()

    return ask


def inside(group, index=-1, capture=None):
    return PlacementGroupSchedulingStrategy(group, index, capture)


@pytest.mark.parametrize("strategy", ["PACK", "SPREAD", "STRICT_PACK"])
def test_reserve_and_give_back(ray, groups, strategy):
    group = groups([{"CPU": 1, "GPU": 1}, {"CPU": 2}], strategy=strategy)
    assert ray.get(group.ready()) == group
    wait_until(lambda: ray.available_resources().get("CPU") == 1.0, "three processors reserved")
    assert ray.available_resources()["GPU"] == 1.0
    assert ray.cluster_resources()["CPU"] == 4.0
    ray.util.remove_placement_group(group)
    wait_until(lambda: ray.available_resources().get("CPU") == 4.0, "all processors free again")
    assert ray.available_resources()["GPU"] == 2.0


def test_one_strict_spread_bundle_fits_one_node(ray, groups):
    assert groups([{"CPU": 1}], strategy="STRICT_SPREAD").wait(60)


def test_resources_of_a_group_are_shown_under_names_of_their_own(ray, groups):
    group = groups([{"CPU": 1, "GPU": 1}, {"CPU": 2}])
    assert group.wait(60)
    name = group.id.hex()
    expected = {
        f"CPU_group_0_{name}": 1.0, f"CPU_group_1_{name}": 2.0, f"CPU_group_{name}": 3.0, f"GPU_group_0_{name}": 1.0,
        f"GPU_group_{name}": 1.0, f"bundle_group_0_{name}": 1000.0, f"bundle_group_{name}": 2000.0,
    }  # fmt: skip
    wait_until(lambda: expected.items() <= ray.available_resources().items(), "the group's resources")
    assert expected.items() <= ray.cluster_resources().items()


def test_the_handle(ray, groups):
    group = groups([{"CPU": 1}, {"CPU": 0.5, "widget": 2}])
    assert group.bundle_specs == [{"CPU": 1.0}, {"CPU": 0.5, "widget": 2.0}]
    assert group.bundle_count == 2
    assert isinstance(group.id, ray.PlacementGroupID)
    assert len(group.id.binary()) == 18
    assert group == PlacementGroup(group.id)
    assert hash(group) == hash(PlacementGroup(group.id))
    assert not group.is_empty
    assert PlacementGroup.empty().is_empty
    assert PlacementGroup(group.id).bundle_specs == group.bundle_specs


def test_a_handle_can_be_passed(ray, groups, where):
    group = groups([{"CPU": 1}])

    @ray.remote(num_cpus=0)
    def use(group):
        assert group.wait(60)
        assert ray.get(group.ready()).id == group.id
        assert group.bundle_specs == [{"CPU": 1.0}]
        return ray.get(where.options(scheduling_strategy=inside(group)).remote())[0]

    assert ray.get(use.remote(group)) == group.id.hex()


def test_wait_and_ready_of_a_group_that_has_to_wait(ray, groups):
    first = groups([{"CPU": 4}])
    assert first.wait(60) is True
    second = groups([{"CPU": 4}])
    assert second.wait(0.2) is False
    assert ray.util.placement_group_table(second)["stats"]["scheduling_state"] == "NO_RESOURCES"
    ready = second.ready()
    assert ray.wait([ready], timeout=0.1) == ([], [ready])
    with pytest.raises(ray.exceptions.GetTimeoutError):
        ray.get(ready, timeout=0.1)
    ray.util.remove_placement_group(first)
    assert second.wait(60) is True
    assert ray.get(ready) == second


def test_ready_is_a_ref_like_any_other(ray, groups):
    first = groups([{"CPU": 4}])
    assert first.wait(60)
    second = groups([{"CPU": 1}])

    @ray.remote(num_cpus=0)
    def after(group):
        return group.id.hex()

    ref = after.remote(second.ready())
    ray.util.remove_placement_group(first)
    assert ray.get(ref) == second.id.hex()


def test_a_group_waits_for_running_tasks(ray, groups, gate, ledger):
    @ray.remote(num_cpus=3)
    def hold():
        ledger.add()
        gate.wait()

    ref = hold.remote()
    ledger.wait_for(1)
    group = groups([{"CPU": 1}, {"CPU": 1}])
    assert group.wait(0.2) is False
    gate.open()
    ray.get(ref)
    assert group.wait(60) is True


def test_tasks_run_in_the_group(ray, groups, where):
    group = groups([{"CPU": 1}, {"CPU": 2, "widget": 1}])
    name = group.id.hex()
    assert ray.get(where.options(scheduling_strategy=inside(group)).remote()) == (name, {"CPU": 1.0})
    assert ray.get(where.options(scheduling_strategy=inside(group, 0)).remote()) == (name, {"CPU": 1.0})
    two = where.options(scheduling_strategy=inside(group, 1), num_cpus=2, resources={"widget": 1})
    assert ray.get(two.remote()) == (name, {"CPU": 2.0, "widget": 1.0})
    assert ray.get(where.remote()) == (None, {"CPU": 1.0})


def test_tasks_in_a_group_use_what_it_reserved(ray, groups, where):
    """With all processors in groups nothing runs outside; inside it does."""
    group = groups([{"CPU": 2}, {"CPU": 2}])
    assert group.wait(60)
    assert ray.get(where.options(scheduling_strategy=inside(group)).remote())[0] == group.id.hex()
    outside = where.remote()
    assert ray.wait([outside], timeout=0.3) == ([], [outside])
    ray.util.remove_placement_group(group)
    assert ray.get(outside)[0] is None


@pytest.mark.parametrize(("index", "at_once"), [(0, 1), (1, 2), (-1, 3)])
def test_how_many_run_at_once_in_a_bundle(ray, groups, tmp_path, index, at_once):
    group = groups([{"CPU": 1}, {"CPU": 2}])
    log = tmp_path / "log"

    @ray.remote(num_cpus=1)
    def task():
        def note(sign):
            descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.write(descriptor, sign)
            os.close(descriptor)

        note(b"+")
        wait_until(lambda: log.read_bytes().count(b"+") >= at_once, "the others")
        note(b"-")

    ray.get([task.options(scheduling_strategy=inside(group, index)).remote() for _ in range(2 * at_once)])
    now = most = 0
    for sign in log.read_text():
        now += 1 if sign == "+" else -1
        most = max(most, now)
    assert most == at_once


def test_actors_live_in_the_group(ray, groups):
    @ray.remote(num_cpus=1)
    class Actor:
        def where(self):
            context = ray.get_runtime_context()
            return context.get_placement_group_id(), context.get_assigned_resources()

    group = groups([{"CPU": 1}, {"CPU": 1}])
    actors = [Actor.options(scheduling_strategy=inside(group, index)).remote() for index in (0, 1)]
    assert ray.get([a.where.remote() for a in actors]) == [(group.id.hex(), {"CPU": 1.0})] * 2
    third = Actor.options(scheduling_strategy=inside(group)).remote()
    ref = third.where.remote()
    assert ray.wait([ref], timeout=0.3) == ([], [ref])
    ray.kill(actors[0])
    assert ray.get(ref) == (group.id.hex(), {"CPU": 1.0})


def test_an_actor_that_says_no_processors_needs_one_to_be_placed(ray, groups):
    @ray.remote
    class Actor:
        def resources(self):
            return ray.get_runtime_context().get_assigned_resources()

    group = groups([{"CPU": 1}])
    actors = [Actor.options(scheduling_strategy=inside(group, 0)).remote() for _ in range(2)]
    assert ray.get([a.resources.remote() for a in actors]) == [{}, {}]
    without = groups([{"widget": 1}])
    with pytest.raises(ValueError):
        Actor.options(scheduling_strategy=inside(without)).remote()


def test_gpus_of_a_bundle(ray, groups):
    @ray.remote(num_cpus=0)
    def visible():
        return os.environ.get("CUDA_VISIBLE_DEVICES"), ray.get_gpu_ids()

    group = groups([{"GPU": 1}, {"GPU": 0.5}])
    assert group.wait(60)
    whole = ray.get(visible.options(num_gpus=1, scheduling_strategy=inside(group, 0)).remote())
    half = ray.get(visible.options(num_gpus=0.5, scheduling_strategy=inside(group, 1)).remote())
    assert {whole[0], half[0]} == {"0", "1"}
    assert [str(number) for number in whole[1]] == [whole[0]]
    # The other half of that device is free for others.
    assert ray.get(visible.options(num_gpus=0.5).remote())[0] == half[0]


def test_children_are_captured_only_when_asked(ray, groups, where):
    @ray.remote(num_cpus=0)
    def parent():
        plain = where.options(num_cpus=0).remote()
        return ray.get([plain, where.options(num_cpus=0, scheduling_strategy="DEFAULT").remote()])

    @ray.remote(num_cpus=0)
    def grandparent():
        return ray.get(parent.remote())

    group = groups([{"CPU": 1}])
    name = group.id.hex()
    free, bound = (None, {}), (name, {})
    assert ray.get(parent.options(scheduling_strategy=inside(group)).remote()) == [free, free]
    assert ray.get(parent.options(scheduling_strategy=inside(group, 0, True)).remote()) == [bound, free]
    assert ray.get(grandparent.options(scheduling_strategy=inside(group, 0, True)).remote()) == [bound, free]
    assert ray.get(parent.remote()) == [free, free]


def test_an_actor_captures_what_its_methods_submit(ray, groups, where):
    @ray.remote(num_cpus=0)
    class Other:
        def here(self):
            return ray.get_runtime_context().get_placement_group_id()

    @ray.remote(num_cpus=0)
    class Actor:
        def child(self):
            return ray.get(where.options(num_cpus=0).remote())[0]

        def actor(self):
            self.other = Other.remote()
            return ray.get(self.other.here.remote())

    group = groups([{"CPU": 1}])
    bound = Actor.options(scheduling_strategy=inside(group, 0, True)).remote()
    assert ray.get(bound.child.remote()) == group.id.hex()
    assert ray.get(bound.actor.remote()) == group.id.hex()
    free = Actor.options(scheduling_strategy=inside(group, 0, False)).remote()
    assert ray.get(free.child.remote()) is None


def test_the_older_options(ray, groups, where):
    group = groups([{"CPU": 1}, {"CPU": 1}])
    name = group.id.hex()
    assert ray.get(where.options(placement_group=group).remote())[0] == name
    assert ray.get(where.options(placement_group=group, placement_group_bundle_index=1).remote())[0] == name
    assert ray.get(where.options(placement_group=None).remote())[0] is None
    assert ray.get(where.options(placement_group="default").remote())[0] is None
    with pytest.raises(ValueError):
        ray.get(where.options(placement_group=group, scheduling_strategy="SPREAD").remote())
    with pytest.raises(ValueError):
        where.options(placement_group_bundle_index=1).remote()


def test_no_group_at_all(ray, where):
    assert ray.get(where.options(scheduling_strategy=PlacementGroupSchedulingStrategy(None)).remote())[0] is None
    assert ray.util.get_current_placement_group() is None
    assert ray.get(PlacementGroup.empty().ready()).is_empty


@pytest.mark.parametrize(
    "bundles", [[], [{}], [{"CPU": 0}], {"CPU": 1}, [{"CPU": "a"}], [{1: 1}], "CPU", None], ids=str
)
def test_bundles_of_another_form(ray, bundles):
    with pytest.raises(ValueError):
        ray.util.placement_group(bundles)


@pytest.mark.parametrize(
    "options", [{"strategy": "NEAR"}, {"lifetime": "short"}, {"bundle_label_selector": [{}, {}]}], ids=str
)
def test_options_of_another_form(ray, options):
    with pytest.raises(ValueError):
        ray.util.placement_group([{"CPU": 1}], **options)


@pytest.mark.parametrize("index", [2, 5, -2])
def test_a_bundle_that_the_group_has_not(ray, groups, where, index):
    group = groups([{"CPU": 1}, {"CPU": 1}])
    with pytest.raises(ValueError):
        where.options(scheduling_strategy=inside(group, index)).remote()


@pytest.mark.parametrize("options", [{"num_cpus": 2}, {"resources": {"widget": 1}}, {"num_gpus": 1}], ids=str)
def test_more_than_any_bundle_has(ray, groups, where, options):
    group = groups([{"CPU": 1}, {"CPU": 1}])
    with pytest.raises(ValueError):
        where.options(scheduling_strategy=inside(group), **options).remote()


def test_names(ray, groups):
    group = groups([{"CPU": 1}], name="a group")
    found = ray.util.get_placement_group("a group")
    assert found == group
    assert found.bundle_specs == [{"CPU": 1.0}]
    with pytest.raises(ray.exceptions.RaySystemError):
        ray.util.placement_group([{"CPU": 1}], name="a group")
    for name in ("another group", "", None):
        with pytest.raises(ValueError):
            ray.util.get_placement_group(name)
    ray.util.remove_placement_group(group)

    def gone():
        try:
            ray.util.get_placement_group("a group")
        except ValueError:
            return True

    wait_until(gone, "the name is free")
    groups([{"CPU": 1}], name="a group")


def test_a_name_is_found_by_tasks(ray, groups):
    group = groups([{"CPU": 1}], name="found by tasks")

    @ray.remote
    def find():
        return ray.util.get_placement_group("found by tasks").id.hex()

    assert ray.get(find.remote()) == group.id.hex()


def test_the_table(ray, groups):
    group = groups([{"CPU": 1, "GPU": 1}, {"CPU": 1}], strategy="STRICT_PACK", name="in the table")
    assert group.wait(60)
    row = ray.util.placement_group_table(group)
    node = ray.get_runtime_context().get_node_id()
    assert row["placement_group_id"] == group.id.hex()
    assert row["name"] == "in the table"
    assert row["bundles"] == {0: {"CPU": 1.0, "GPU": 1.0}, 1: {"CPU": 1.0}}
    assert row["bundles_to_node_id"] == {0: node, 1: node}
    assert row["strategy"] == "STRICT_PACK"
    assert row["state"] == "CREATED"
    assert row["stats"]["scheduling_state"] == "FINISHED"
    assert ray.util.placement_group_table()[group.id.hex()] == row
    ray.util.remove_placement_group(group)
    wait_until(lambda: ray.util.placement_group_table(group)["state"] == "REMOVED", "the group is removed")


def test_a_removed_group_is_never_ready(ray, groups):
    blocker = groups([{"CPU": 4}])
    assert blocker.wait(60)
    group = groups([{"CPU": 4}])
    ready = group.ready()
    ray.util.remove_placement_group(group)
    with pytest.raises(ray.exceptions.TaskPlacementGroupRemoved):
        ray.get(ready, timeout=60)
    ray.util.remove_placement_group(group)  # once more does nothing
    with pytest.raises(Exception):
        group.wait(1)


def test_removal_fails_what_waits_in_the_group(ray, groups, gate, ledger):
    @ray.remote(max_retries=0)
    def hold():
        ledger.add()
        gate.wait()

    group = groups([{"CPU": 1}])
    inner = hold.options(scheduling_strategy=inside(group))
    running = inner.remote()
    ledger.wait_for(1)
    waiting = inner.remote()
    wait_until(lambda: ray.available_resources().get(f"CPU_group_{group.id.hex()}", 0) == 0, "the bundle is in use")
    time.sleep(0.3)  # Ray: the second must have come to its queue
    ray.util.remove_placement_group(group)
    with pytest.raises(ray.exceptions.TaskPlacementGroupRemoved):
        ray.get(waiting, timeout=60)
    with pytest.raises(ray.exceptions.RayError):
        ray.get(running, timeout=60)


def test_removal_ends_the_actors_of_the_group(ray, groups):
    @ray.remote(num_cpus=1, max_restarts=-1)
    class Actor:
        def ping(self):
            return 1

    group = groups([{"CPU": 1}])
    actor = Actor.options(scheduling_strategy=inside(group)).remote()
    assert ray.get(actor.ping.remote()) == 1
    ray.util.remove_placement_group(group)

    def dead():
        try:
            ray.get(actor.ping.remote(), timeout=60)
        except ray.exceptions.RayActorError:
            return True

    wait_until(dead, "the actor is dead")
    wait_until(lambda: ray.available_resources().get("CPU") == 4.0, "all processors free again")


def test_a_group_outlives_the_actor_that_made_it(ray):
    """It belongs to the job."""

    @ray.remote
    class Maker:
        def make(self):
            group = ray.util.placement_group([{"CPU": 1}])
            assert group.wait(60)
            return group

    maker = Maker.remote()
    group = ray.get(maker.make.remote())
    ray.kill(maker)
    time.sleep(0.3)
    assert ray.util.placement_group_table(group)["state"] == "CREATED"
    ray.util.remove_placement_group(group)
    wait_until(lambda: ray.available_resources().get("CPU") == 4.0, "all processors free again")


def test_many_groups(ray):
    for _ in range(3):
        made = [ray.util.placement_group([{"CPU": 0.01}, {"CPU": 0.01}]) for _ in range(30)]
        assert all(group.wait(60) for group in made)
        for group in made:
            ray.util.remove_placement_group(group)
    wait_until(lambda: ray.available_resources().get("CPU") == 4.0, "all processors free again")
