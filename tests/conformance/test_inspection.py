"""What can be asked about values and actors: inspect_serializability, list_named_actors, custom serializers."""

import io
import threading

import pytest

from .kit import wait_until

LOCK = threading.Lock()


def uses_a_lock():
    return LOCK


class Holder:
    def __init__(self):
        self.fine = [1, 2]
        self.lock = threading.Lock()


def test_a_value_that_can_be_sent(ray):
    out = io.StringIO()
    assert ray.util.inspect_serializability(lambda: 1, name="a function", print_file=out) == (True, set())
    assert ray.util.inspect_serializability([1, {"a": 2}], print_file=out) == (True, set())


def test_a_closure_that_cannot_be_sent(ray):
    lock = threading.Lock()

    def captures():
        return lock

    out = io.StringIO()
    fine, failures = ray.util.inspect_serializability(captures, name="captures", print_file=out)
    assert not fine
    (failure,) = failures
    assert failure.obj is lock
    assert failure.path == ("captures", "lock")
    assert "lock" in repr(failure)
    assert failure.parent is captures
    assert "lock" in out.getvalue()


def test_an_object_that_cannot_be_sent(ray):
    holder = Holder()
    fine, failures = ray.util.inspect_serializability(holder, print_file=io.StringIO())
    assert not fine
    (failure,) = failures
    assert failure.obj is holder.lock
    assert failure.parent is holder


def test_named_actors(ray):
    @ray.remote
    class Actor:
        def ready(self):
            return True

    assert ray.util.list_named_actors() == []
    kept = [Actor.options(name=name).remote() for name in ("first", "second")]
    other = Actor.options(name="third", namespace="elsewhere").remote()
    ray.get([actor.ready.remote() for actor in [*kept, other]])
    assert sorted(ray.util.list_named_actors()) == ["first", "second"]
    everywhere = ray.util.list_named_actors(all_namespaces=True)
    assert {"name": "third", "namespace": "elsewhere"} in everywhere
    assert len(everywhere) == 3
    ray.kill(kept[0])
    wait_until(lambda: ray.util.list_named_actors() == ["second"], "the end of the first")


def test_a_serializer_of_ones_own(ray):
    class Locked:
        def __init__(self, value):
            self.value = value
            self.lock = threading.Lock()

    with pytest.raises(TypeError):
        ray.put(Locked(1))
    ray.util.register_serializer(Locked, serializer=lambda x: x.value, deserializer=Locked)
    assert ray.get(ray.put(Locked(2))).value == 2

    @ray.remote
    def read(x):
        return x.value

    assert ray.get(read.remote(Locked(3))) == 3
    ray.util.deregister_serializer(Locked)
    with pytest.raises(TypeError):
        ray.put(Locked(4))


def test_the_address_of_the_node(ray):
    address = ray.util.get_node_ip_address()
    assert address.count(".") == 3


def test_where_values_are(ray, gate):
    @ray.remote
    def late():
        gate.wait()

    here = ray.get_runtime_context().get_node_id()
    stored, pending = ray.put(b"x" * 1_000_000), late.remote()
    found = ray.experimental.get_object_locations([stored, pending])
    assert found[stored]["node_ids"] == [here] and found[stored]["object_size"] >= 1_000_000
    assert found[stored]["did_spill"] is False
    assert found[pending] == {"node_ids": [], "object_size": None, "did_spill": False}
    gate.open()
    ray.get(pending)
    assert ray.experimental.get_local_object_locations([stored]) == {stored: found[stored]}
    assert ray.experimental.get_object_locations([]) == {}


def test_classes_in_annotations(library):
    assert library.ObjectRef[int] is not None
    actor = library.actor
    for cls in (actor.ActorClass, actor.ActorHandle, actor.ActorProxy):
        assert cls[int] is not None
