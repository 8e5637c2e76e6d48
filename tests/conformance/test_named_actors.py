"""Names of actors: churn, races, namespaces, detached ones."""

import os

import pytest

from .kit import process_is_alive, wait_until


@pytest.fixture(scope="module")
def Named(ray):
    @ray.remote(num_cpus=0)
    class Named:
        def __init__(self):
            self.count = 0

        def add(self):
            self.count += 1
            return self.count

        def pid(self):
            return os.getpid()

    return Named


def test_a_thousand_times_get_or_make(ray, Named):
    first = Named.options(name="one", get_if_exists=True).remote()
    for _ in range(1000):
        again = Named.options(name="one", get_if_exists=True).remote()
    assert ray.get([first.add.remote(), again.add.remote()]) == [1, 2]


def test_a_name_used_again_and_again(ray, Named):
    pids = set()
    for _ in range(10):
        actor = Named.options(name="again").remote()
        pids.add(ray.get(actor.pid.remote()))
        ray.kill(actor)

        def is_free():
            try:
                ray.get_actor("again")
            except ValueError:
                return True
            return False

        wait_until(is_free, "the name to be free")
    assert len(pids) == 10


def test_several_at_once_get_or_make_one(ray, Named):
    @ray.remote(num_cpus=0.1)
    def join():
        actor = Named.options(name="shared", get_if_exists=True, lifetime="detached").remote()
        return ray.get(actor.pid.remote())

    assert len(set(ray.get([join.remote() for _ in range(8)]))) == 1
    ray.kill(ray.get_actor("shared"))


def test_namespaces_are_apart(ray, Named):
    here, there = Named.options(name="n").remote(), Named.options(name="n", namespace="there").remote()
    pids = ray.get([here.pid.remote(), there.pid.remote()])
    found = [ray.get_actor("n"), ray.get_actor("n", namespace="there")]
    assert pids[0] != pids[1]
    assert ray.get([actor.pid.remote() for actor in found]) == pids
    with pytest.raises(ValueError, match="n"):
        ray.get_actor("n", namespace="nowhere")


def test_a_detached_actor_lives_without_handles(ray, Named):
    actor = Named.options(name="detached", lifetime="detached").remote()
    pid = ray.get(actor.pid.remote())
    del actor
    assert ray.get(ray.get_actor("detached").add.remote()) == 1
    ray.kill(ray.get_actor("detached"))
    wait_until(lambda: not process_is_alive(pid), "the end of the actor")


def test_a_handle_inside_an_object_keeps_the_actor(ray, Named):
    actor = Named.remote()
    pid = ray.get(actor.pid.remote())
    ref = ray.put([actor])
    del actor
    (again,) = ray.get(ref)
    assert ray.get(again.pid.remote()) == pid
    del again, ref
    wait_until(lambda: not process_is_alive(pid), "the end of the actor")


def test_a_handle_inside_another_actor_keeps_the_actor(ray, Named):
    @ray.remote(num_cpus=0)
    class Holder:
        def __init__(self, other):
            self.other = other

        def pid(self):
            return ray.get(self.other.pid.remote())

    holder = Holder.remote(Named.remote())
    pid = ray.get(holder.pid.remote())
    assert process_is_alive(pid)
    ray.kill(holder)
    wait_until(lambda: not process_is_alive(pid), "the end of the inner actor")


def test_get_if_exists_needs_a_name(ray, Named):
    with pytest.raises(ValueError, match="name"):
        Named.options(get_if_exists=True).remote()
