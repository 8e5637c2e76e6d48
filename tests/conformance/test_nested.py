"""Tasks that submit tasks, wait for them and pass refs on. Two processors, so that waiting must lend them out."""

import pytest

CLUSTER = {"num_cpus": 2}


def test_a_task_gets_the_result_of_a_task(ray):
    @ray.remote
    def inner(x):
        return x + 1

    @ray.remote
    def outer(x):
        return ray.get(inner.remote(x)) * 10

    assert ray.get(outer.remote(1)) == 20


def test_more_waiting_tasks_than_processors(ray):
    @ray.remote
    def inner(x):
        return x

    @ray.remote
    def outer(x):
        return sum(ray.get([inner.remote(x) for _ in range(3)]))

    assert ray.get([outer.remote(i) for i in range(6)]) == [3 * i for i in range(6)]


def test_nested_wait(ray):
    @ray.remote
    def inner(x):
        return x

    @ray.remote
    def outer():
        pending = [inner.remote(i) for i in range(5)]
        seen = []
        while pending:
            ready, pending = ray.wait(pending)
            seen += ray.get(ready)
        return sorted(seen)

    assert ray.get([outer.remote() for _ in range(3)]) == [[0, 1, 2, 3, 4]] * 3


def test_recursion_through_tasks(ray):
    @ray.remote
    def fibonacci(n):
        if n < 2:
            return n
        return sum(ray.get([fibonacci.remote(n - 1), fibonacci.remote(n - 2)]))

    assert ray.get(fibonacci.remote(6)) == 8


def test_a_hundred_nested_gets(ray):
    @ray.remote
    def descend(n):
        return 0 if n == 0 else 1 + ray.get(descend.remote(n - 1))

    assert ray.get(descend.remote(100)) == 100


def test_a_hundred_nested_gets_through_a_put(ray):
    """The same with arguments that are refs, at a depth that is quick everywhere."""

    @ray.remote
    def descend(n, value):
        if n == 0:
            return value
        return ray.get(descend.remote(n - 1, ray.put(value + 1)))

    assert ray.get(descend.remote(10, 0)) == 10


def test_a_task_returns_a_ref(ray):
    @ray.remote
    def inner():
        return "inner"

    @ray.remote
    def outer():
        return inner.remote()

    ref = ray.get(outer.remote())
    assert isinstance(ref, ray.ObjectRef)
    assert ray.get(ref) == "inner"


def test_a_task_returns_many_refs(ray):
    @ray.remote
    def inner(i):
        return i

    @ray.remote
    def outer():
        return [inner.remote(i) for i in range(20)]

    assert ray.get(ray.get(outer.remote())) == list(range(20))


def test_refs_three_deep(ray):
    @ray.remote
    def one():
        return 1

    @ray.remote
    def two():
        return [one.remote()]

    @ray.remote
    def three():
        return {"two": two.remote()}

    level = ray.get(three.remote())["two"]
    (level,) = ray.get(level)
    assert ray.get(level) == 1


def test_a_task_submits_a_thousand(ray):
    @ray.remote
    def inner(x):
        return x

    @ray.remote
    def outer():
        return sum(ray.get([inner.remote(i) for i in range(1000)]))

    assert ray.get(outer.remote()) == sum(range(1000))


def test_an_error_goes_up_through_the_levels(ray):
    @ray.remote(max_retries=0)
    def bottom():
        raise KeyError("at the bottom")

    @ray.remote(max_retries=0)
    def middle():
        return ray.get(bottom.remote())

    @ray.remote(max_retries=0)
    def top():
        return ray.get(middle.remote())

    with pytest.raises(KeyError, match="at the bottom"):
        ray.get(top.remote())


def test_an_error_may_be_caught_on_the_way(ray):
    @ray.remote
    def bottom():
        raise KeyError("caught")

    @ray.remote
    def top():
        try:
            ray.get(bottom.remote())
        except KeyError:
            return "caught"

    assert ray.get(top.remote()) == "caught"


def test_remote_functions_defined_in_a_task(ray):
    @ray.remote
    def outer(n):
        @ray.remote
        def inner(x):
            return x * n

        return ray.get([inner.remote(i) for i in range(3)])

    assert ray.get(outer.remote(5)) == [0, 5, 10]


def test_put_in_a_task(ray):
    @ray.remote
    def outer():
        return ray.get(ray.put([1, 2]))

    assert ray.get(outer.remote()) == [1, 2]


def test_actors_made_and_used_in_a_task(ray):
    @ray.remote
    class Counter:
        def __init__(self):
            self.n = 0

        def add(self):
            self.n += 1
            return self.n

    @ray.remote
    def outer():
        counter = Counter.remote()
        return ray.get([counter.add.remote() for _ in range(5)])

    assert ray.get(outer.remote()) == [1, 2, 3, 4, 5]


def test_get_with_timeout_in_a_task(ray, gate):
    @ray.remote(num_cpus=0)
    def blocked():
        gate.wait()

    @ray.remote
    def outer():
        try:
            ray.get(blocked.remote(), timeout=0.1)
        except ray.exceptions.GetTimeoutError:
            return "late"

    assert ray.get(outer.remote()) == "late"


def test_init_state_in_a_task(ray):
    @ray.remote
    def inside():
        return ray.is_initialized()

    assert ray.get(inside.remote())
