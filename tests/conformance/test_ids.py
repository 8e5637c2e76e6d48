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
