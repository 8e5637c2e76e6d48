"""What classes, handles and their methods are as values: attributes, names, pickles."""

import os
import pickle

import pytest

from .kit import process_is_alive, wait_until


@pytest.fixture(scope="module")
def Shelf(ray):
    class Furniture:
        LEGS = 4

        @staticmethod
        def material():
            return "oak"

    @ray.remote
    class Shelf(Furniture):
        BOARDS = 3

        def __init__(self, *things):
            self.things = list(things)

        @classmethod
        def boards(cls):
            return cls.BOARDS

        def attributes(self):
            return Shelf.BOARDS, Shelf.LEGS, Shelf.boards(), Shelf.material()

        def put(self, thing):
            self.things.append(thing)
            return len(self.things)

        def __contains__(self, thing):
            return thing in self.things

        def _kill(self):
            return "not killed"

        def _calls(self):
            return "not called"

    return Shelf


def test_attributes_of_the_class(ray, Shelf):
    assert (Shelf.BOARDS, Shelf.LEGS, Shelf.boards(), Shelf.material()) == (3, 4, 3, "oak")
    assert not hasattr(Shelf, "doors")


def test_attributes_of_the_class_in_its_methods(ray, Shelf):
    assert ray.get(Shelf.remote().attributes.remote()) == (3, 4, 3, "oak")


def test_the_class_before_it_was_decorated(ray, Shelf):
    plain = Shelf.__ray_metadata__.modified_class
    assert plain("book").put("cup") == 2


def test_special_methods_are_methods(ray, Shelf):
    shelf = Shelf.remote("book")
    assert ray.get(shelf.__contains__.remote("book")) is True
    assert {"__contains__", "put", "boards", "material"} <= set(dir(shelf))


def test_methods_with_names_that_handles_use(ray, Shelf):
    shelf = Shelf.remote()
    assert ray.get([shelf._kill.remote(), shelf._calls.remote()]) == ["not killed", "not called"]
    ray.kill(shelf)
    with pytest.raises(ray.exceptions.RayActorError):
        while True:  # in Ray the end takes a moment
            ray.get(shelf.put.remote(1))


def test_handles_are_compared_by_actor(ray, Shelf):
    shelf = Shelf.remote()
    again = pickle.loads(pickle.dumps(shelf))
    assert again == shelf and hash(again) == hash(shelf)
    assert shelf != Shelf.remote()


def test_the_id_of_a_handle(ray, Shelf):
    shelf = Shelf.remote()
    assert shelf._ray_actor_id == shelf._actor_id
    assert shelf._ray_actor_id.hex() == shelf._actor_id.hex()
    assert shelf._actor_id.hex() in repr(shelf)


def test_a_method_can_be_passed(ray, Shelf):
    @ray.remote
    def use(put):
        return ray.get(put.remote("cup"))

    @ray.remote
    def make():
        return Shelf.remote("book").put

    assert ray.get(use.remote(Shelf.remote().put)) == 1
    assert ray.get(ray.get(make.remote()).remote("cup")) == 2


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"lifetime": 3}, TypeError),
        ({"name": "shelf", "namespace": ""}, ValueError),
        ({"namespace": 3}, TypeError),
    ],
)
def test_options_of_a_wrong_form(ray, Shelf, options, error):
    with pytest.raises(error):
        Shelf.options(**options).remote()


@pytest.mark.parametrize("arguments", [(3,), ("shelf", 3)])
def test_looking_for_what_is_no_name(ray, arguments):
    with pytest.raises(TypeError):
        ray.get_actor(*arguments)


def test_none_and_zero_mean_the_default(ray, Shelf):
    options = {"max_pending_calls": 0, "max_concurrency": None, "lifetime": None}
    shelf = Shelf.options(**options).remote()
    assert ray.get([shelf.put.remote(i) for i in range(20)])[-1] == 20


@pytest.mark.parametrize("way", ["current_actor", "get_actor"])
def test_an_actor_that_keeps_its_own_handle_ends(ray, way):
    @ray.remote(num_cpus=0)
    class Narcissus:
        def keep(self):
            self.me = ray.get_runtime_context().current_actor if way == "current_actor" else ray.get_actor(way)
            return os.getpid()

    # Of its own: a name is free a moment after the process of its actor is gone.
    actor = Narcissus.options(name=way).remote()
    pid = ray.get(actor.keep.remote())
    del actor
    wait_until(lambda: not process_is_alive(pid), "the end of the actor")


def test_a_handle_found_by_name_does_not_keep_the_actor(ray):
    @ray.remote(num_cpus=0)
    class Holder:
        def hold(self, handles):
            self.handles = handles

        def pid(self):
            return os.getpid()

    holder = Holder.remote()
    actor = Holder.options(name="found").remote()
    found = ray.get_actor("found")
    joined = Holder.options(name="found", get_if_exists=True).remote()
    ray.get(holder.hold.remote([found]))
    pid = ray.get(found.pid.remote())
    assert ray.get(joined.pid.remote()) == pid
    del actor
    wait_until(lambda: not process_is_alive(pid), "the end of the actor")
    with pytest.raises(ray.exceptions.ActorDiedError):
        ray.get(found.pid.remote())
