"""``util.ActorPool``."""

import importlib

import pytest

from .kit import LIBRARY

ActorPool = importlib.import_module(f"{LIBRARY}.util").ActorPool


@pytest.fixture(scope="module")
def Doubler(ray):
    @ray.remote(num_cpus=0)
    class Doubler:
        def double(self, x):
            return 2 * x

        def wait_then(self, gate, x):
            gate.wait()
            return x

        def fail(self, x):
            raise KeyError(x)

        def pair(self, x):
            return x, x + 1

    return Doubler


@pytest.fixture
def actors(Doubler):
    return [Doubler.remote() for _ in range(2)]


def double(actor, x):
    return actor.double.remote(x)


def test_map_keeps_the_order(actors):
    assert list(ActorPool(actors).map(double, range(7))) == [0, 2, 4, 6, 8, 10, 12]


def test_map_takes_any_iterable(actors):
    assert list(ActorPool(actors).map(double, iter([3, 1]))) == [6, 2]
    assert list(ActorPool(actors).map(double, [])) == []


def test_map_unordered_returns_all(actors):
    assert sorted(ActorPool(actors).map_unordered(double, range(7))) == [0, 2, 4, 6, 8, 10, 12]


def test_map_unordered_returns_what_is_ready_first(actors, gate):
    pool = ActorPool(actors)
    pool.submit(lambda a, x: a.wait_then.remote(gate, x), "late")
    pool.submit(double, 1)
    assert pool.get_next_unordered() == 2
    gate.open()
    assert pool.get_next_unordered() == "late"


def test_one_value_per_actor_at_a_time(actors, gate, ledger):
    pool = ActorPool(actors)
    for x in range(4):
        pool.submit(lambda a, x: (ledger.add(x), a.wait_then.remote(gate, x))[1], x)
    assert ledger.marks() == ["0", "1"]  # the rest waits here, not in the actors
    gate.open()
    assert [pool.get_next() for _ in range(4)] == [0, 1, 2, 3]


def test_get_next_is_in_the_order_of_submission(actors, gate):
    pool = ActorPool(actors)
    pool.submit(lambda a, x: a.wait_then.remote(gate, x), "first")
    pool.submit(double, 1)
    with pytest.raises(TimeoutError):
        pool.get_next(timeout=0.05)
    gate.open()
    assert [pool.get_next(), pool.get_next()] == ["first", 2]


def test_a_late_result_can_be_ignored(actors, gate):
    pool = ActorPool(actors)
    pool.submit(lambda a, x: a.wait_then.remote(gate, x), "ignored")
    pool.submit(double, 1)
    with pytest.raises(TimeoutError):
        pool.get_next(timeout=0.05, ignore_if_timedout=True)
    assert pool.get_next() == 2
    assert not pool.has_next()
    gate.open()


def test_a_late_result_can_be_ignored_without_order(actors, gate):
    pool = ActorPool(actors[:1])
    pool.submit(lambda a, x: a.wait_then.remote(gate, x), "late")
    with pytest.raises(TimeoutError):
        pool.get_next_unordered(timeout=0.05)
    assert pool.has_next()
    gate.open()
    assert pool.get_next_unordered() == "late"


def test_has_next(actors):
    pool = ActorPool(actors)
    assert not pool.has_next()
    pool.submit(double, 1)
    assert pool.has_next()
    pool.get_next()
    assert not pool.has_next()


def test_nothing_to_get(actors):
    for fetch in (ActorPool(actors).get_next, ActorPool(actors).get_next_unordered):
        with pytest.raises(StopIteration):
            fetch()


def test_order_after_disorder_is_refused(actors, gate):
    pool = ActorPool(actors)
    pool.submit(lambda a, x: a.wait_then.remote(gate, x), "late")
    pool.submit(double, 1)
    assert pool.get_next_unordered() == 2
    with pytest.raises(ValueError, match="not allowed"):
        pool.get_next()
    gate.open()


def test_an_error_frees_its_actor(actors):
    pool = ActorPool(actors[:1])
    pool.submit(lambda a, x: a.fail.remote(x), "x")
    pool.submit(double, 4)
    with pytest.raises(KeyError):
        pool.get_next()
    assert pool.get_next() == 8


def test_a_dead_actor_leaves_the_pool(ray, Doubler):
    dying, living = Doubler.remote(), Doubler.remote()
    ray.get(dying.double.remote(1))
    pool = ActorPool([living, dying])  # the last one is taken first
    ray.kill(dying)
    with pytest.raises(ray.exceptions.ActorDiedError):
        while True:  # the end takes a moment
            ray.get(dying.double.remote(1))
    pool.submit(double, 1)
    with pytest.raises(ray.exceptions.ActorDiedError):
        pool.get_next()
    for x in range(3):
        pool.submit(double, x)
    assert [pool.get_next() for _ in range(3)] == [0, 2, 4]


def test_push_and_pop(actors, Doubler):
    pool = ActorPool(actors[:1])
    assert pool.has_free()
    pool.submit(double, 1)
    assert not pool.has_free()
    assert pool.pop_idle() is None
    pool.submit(double, 2)
    pool.push(actors[1])  # takes up what waits
    assert [pool.get_next(), pool.get_next()] == [2, 4]
    popped = pool.pop_idle()
    assert popped in actors
    with pytest.raises(ValueError, match="already belongs"):
        pool.push(actors[0] if popped == actors[1] else actors[1])


def test_push_of_a_busy_actor(actors, gate):
    pool = ActorPool(actors[:1])
    pool.submit(lambda a, x: a.wait_then.remote(gate, x), 1)
    with pytest.raises(ValueError, match="already belongs"):
        pool.push(actors[0])
    gate.open()
    assert pool.get_next() == 1


def test_map_drops_what_was_not_fetched(actors):
    pool = ActorPool(actors)
    pool.submit(double, 100)
    assert list(pool.map(double, [1, 2])) == [2, 4]


def test_several_refs_of_one_call(actors):
    pool = ActorPool(actors)
    values = pool.map(lambda a, x: a.pair.options(num_returns=2).remote(x), [1, 5])
    assert list(values) == [[1, 2], [5, 6]]
