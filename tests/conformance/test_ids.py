"""Ids as objects: what of the job they tell."""

import pytest


def test_the_job_of_actors_tasks_and_refs(ray):
    @ray.remote(num_cpus=0)
    class Actor:
        def here(self):
            context = ray.get_runtime_context()
            task = ray.TaskID.from_hex(context.get_task_id())
            return task.job_id().hex(), ray.get_runtime_context().get_job_id()

        def part(self):
            inner = Actor.remote()
            return inner, [inner.here.remote()]

    job = ray.get_runtime_context().get_job_id()
    actor = Actor.remote()
    ref = actor.here.remote()
    assert ray.get(ref) == (job, job)
    inner, (inner_ref,) = ray.get(actor.part.remote())
    for handle in (actor, inner):
        assert isinstance(handle._actor_id, ray.ActorID)
        assert handle._actor_id.job_id == ray.JobID.from_hex(job)
    for each in (ref, inner_ref, ray.put(1)):
        assert each.job_id().hex() == each.task_id().job_id().hex() == job


def test_the_actor_of_a_task(ray):
    @ray.remote(num_cpus=0)
    class Actor:
        def here(self):
            context = ray.get_runtime_context()
            return ray.TaskID.from_hex(context.get_task_id()).actor_id(), context.get_actor_id()

        def fails(self):
            raise ValueError

    @ray.remote
    def task():
        return ray.TaskID.from_hex(ray.get_runtime_context().get_task_id()).actor_id()

    actor = Actor.remote()
    ref, failed = actor.here.remote(), actor.fails.remote()
    assert ref.task_id().actor_id() == actor._actor_id
    inside, told = ray.get(ref)
    assert inside.hex() == told == actor._actor_id.hex()
    ray.wait([failed])
    assert [one.task_id().actor_id() for one in (ref, failed)] == [actor._actor_id] * 2
    ray.kill(actor)
    late = actor.here.remote()
    ray.wait([late])
    assert late.task_id().actor_id() == actor._actor_id
    job = ray.JobID.from_hex(ray.get_runtime_context().get_job_id())
    ref = task.remote()
    nobody = ray.get(ref)
    for one in (nobody, ref.task_id().actor_id(), ray.put(1).task_id().actor_id()):
        assert one.binary() == b"\xff" * 12 + job.binary()
        assert one.job_id == job


def test_what_refs_tell(ray):
    @ray.remote
    def made_inside():
        return [ray.put(1)]

    ref = made_inside.remote()
    (inner,) = ray.get(ref)
    assert isinstance(ref.owner_address(), bytes)
    assert ref.owner_address() == ray.put(1).owner_address() != inner.owner_address()
    assert ref.call_site() == ""
    assert ray.ObjectRef.size() == len(ray.ObjectRef.from_random().binary())
    assert ray.ObjectRef.from_random() != ray.ObjectRef.from_random()


def test_ids_made_of_a_job(ray):
    job = ray.JobID.from_int(7)
    assert ray.TaskID.for_driver_task(job).job_id() == job
    assert ray.PlacementGroupID.of(job) != ray.PlacementGroupID.of(job)
    assert ray.PlacementGroupID.of(job).binary().endswith(job.binary())


def test_the_job_of_a_placement_group(ray):
    group = ray.util.placement_group([{"CPU": 1}])
    try:
        assert group.id.hex().endswith(ray.get_runtime_context().get_job_id())
    finally:
        ray.util.remove_placement_group(group)


def test_what_is_no_id(ray):
    for kind in (ray.TaskID, ray.ActorID, ray.JobID, ray.NodeID, ray.WorkerID, ray.PlacementGroupID):
        with pytest.raises(ValueError):
            kind(b"x")
        with pytest.raises(TypeError):
            kind("ab" * kind.size())
        assert kind(b"a" * kind.size()) == kind.from_hex("61" * kind.size())
        assert kind(b"a" * kind.size()) != b"a" * kind.size()
