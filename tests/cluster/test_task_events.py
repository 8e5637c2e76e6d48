"""enable_task_events=False: the timeline and the lists of tasks leave such tasks out."""

import cluster_kit as kit

from nbray.core import cluster_view, current


def names(ray):
    return {event["name"] for event in ray.timeline()}


def test_tasks_that_are_not_recorded(ray):
    @ray.remote
    def seen():
        pass

    @ray.remote(enable_task_events=False)
    def unseen():
        pass

    @ray.remote
    class Actor:
        def seen_call(self):
            pass

        @ray.method(enable_task_events=False)
        def unseen_call(self):
            pass

    @ray.remote(enable_task_events=False)
    class Unseen:
        def call(self):
            pass

    ray.get(Unseen.remote().call.remote())
    actor = Actor.remote()
    ray.get([seen.remote(), unseen.remote(), seen.options(name="by_option", enable_task_events=False).remote()])
    ray.get([actor.seen_call.remote(), actor.unseen_call.remote()])
    ray.get(actor.seen_call.options(enable_task_events=False).remote())
    kit.eventually(lambda: {"seen", "Actor.seen_call"} <= names(ray), "those that are recorded are in the timeline")
    not_seen = {"unseen", "by_option", "Actor.unseen_call", "Unseen.__init__", "Unseen.call"}
    assert not not_seen & names(ray)
    listed = [task.name for task in ray.util.state.list_tasks()]
    assert "seen" in listed and listed.count("Actor.seen_call") == 1 == listed.count("Actor.__init__")
    assert not not_seen & set(listed)


def test_bursts_between_two_drains_are_recorded_whole(fresh):
    @fresh.remote
    def nothing():
        pass

    for _ in range(5):  # a writer waits for the daemon, but not for as long as that may be without a processor
        # The daemon would not look into the rings by the clock for a minute.
        fresh.init(num_cpus=1, _system_config={"event_period_s": 60.0, "event_idle_s": 60.0})
        # More at once than the 8,192 records of the driver's ring: a writer waits for the daemon.
        for _ in range(3):
            fresh.get([nothing.remote() for _ in range(12_000)])
        snapshot = cluster_view.tasks(current.core)
        fresh.shutdown()
        if snapshot.dropped == 0:
            break
    assert snapshot.dropped == 0
    assert len(snapshot.view.tasks) == 36_000


def test_none_is_as_if_it_were_not_given(ray):
    @ray.remote(enable_task_events=None)
    class Actor:
        def call(self):
            return 1

    assert ray.get(Actor.remote().call.options(enable_task_events=None).remote(), timeout=60) == 1
