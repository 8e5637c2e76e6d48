"""Remote functions: how they are made, called and what they return."""

import functools
import os

import pytest


def module_level(x):
    return x * 2


def test_a_task_returns_the_value_of_the_function(ray):
    @ray.remote
    def add(a, b):
        return a + b

    assert ray.get(add.remote(2, 3)) == 5


def test_remote_returns_an_object_ref_at_once(ray, gate):
    @ray.remote
    def blocked():
        gate.wait()
        return "done"

    ref = blocked.remote()
    assert isinstance(ref, ray.ObjectRef)
    gate.open()
    assert ray.get(ref) == "done"


def test_a_task_runs_in_another_process(ray):
    @ray.remote
    def where():
        return os.getpid()

    assert ray.get(where.remote()) != os.getpid()


def test_remote_applied_to_a_function_of_a_module(ray):
    assert ray.get(ray.remote(module_level).remote(21)) == 42
    assert module_level(1) == 2


def test_remote_applied_to_a_lambda(ray):
    assert ray.get(ray.remote(lambda x: x + 1).remote(1)) == 2


def test_remote_with_options_applied_to_a_function(ray):
    assert ray.get(ray.remote(num_cpus=1, max_retries=0)(module_level).remote(4)) == 8


def test_decorator_with_options(ray):
    @ray.remote(num_cpus=0.5, num_returns=2)
    def pair():
        return 1, 2

    assert ray.get(pair.remote()) == [1, 2]


def test_remote_on_a_function_with_another_decorator(ray):
    def doubled(function):
        @functools.wraps(function)
        def inner(*args, **kwargs):
            return 2 * function(*args, **kwargs)

        return inner

    @ray.remote
    @doubled
    def three(extra=0):
        return 3 + extra

    assert ray.get(three.remote()) == 6
    assert ray.get(three.remote(extra=1)) == 8


@pytest.mark.parametrize(
    "value", [None, 0, "", b"", [], (), {}, set(), 1.5, True, "text", [1, [2, [3]]], {"a": (1, 2)}]
)
def test_values_go_through_unchanged(ray, value):
    @ray.remote
    def echo(x):
        return x

    result = ray.get(echo.remote(value))
    assert result == value
    assert type(result) is type(value)


def test_no_arguments(ray):
    @ray.remote
    def nothing():
        pass

    assert ray.get(nothing.remote()) is None


def test_keyword_arguments(ray):
    @ray.remote
    def f(a, b=10, *, c=100):
        return a, b, c

    assert ray.get(f.remote(1)) == (1, 10, 100)
    assert ray.get(f.remote(a=1, c=3)) == (1, 10, 3)
    assert ray.get(f.remote(1, b=2, c=3)) == (1, 2, 3)


def test_variable_arguments(ray):
    @ray.remote
    def f(first, *rest, **named):
        return first, rest, named

    assert ray.get(f.remote(1)) == (1, (), {})
    assert ray.get(f.remote(1, 2, 3)) == (1, (2, 3), {})
    assert ray.get(f.remote(1, 2, x=3, y=4)) == (1, (2,), {"x": 3, "y": 4})
    assert ray.get(f.remote(first=1, x=2)) == (1, (), {"x": 2})


def test_arguments_named_like_parts_of_the_library(ray):
    @ray.remote
    def f(self=None, args=None, kwargs=None, name=None, options=None, num_returns=None):
        return self, args, kwargs, name, options, num_returns

    named = {"self": 1, "args": 2, "kwargs": 3, "name": 4, "options": 5, "num_returns": 6}
    assert ray.get(f.remote(args=2, kwargs=3, name=4, options=5, num_returns=6)) == (None, 2, 3, 4, 5, 6)
    assert ray.get(f.remote(*named.values())) == (1, 2, 3, 4, 5, 6)


def test_default_arguments_are_taken_at_definition(ray):
    value = [1]

    @ray.remote
    def f(x=value):
        return x

    assert ray.get(f.remote()) == [1]


def test_refs_as_arguments_become_values(ray):
    @ray.remote
    def f(a, b, *rest, key=None):
        return a, b, rest, key

    refs = [ray.put(i) for i in range(4)]
    assert ray.get(f.remote(refs[0], 10, refs[1], refs[2], key=refs[3])) == (0, 10, (1, 2), 3)


def test_the_same_ref_given_twice(ray):
    @ray.remote
    def add(a, b, c):
        return a + b + c

    ref = ray.put(5)
    assert ray.get(add.remote(ref, ref, c=ref)) == 15


def test_an_argument_changed_after_the_call_is_not_seen(ray, gate):
    @ray.remote
    def blocked():
        gate.wait()

    @ray.remote
    def read(values, _):
        return values

    values = [1, 2]
    ref = read.remote(values, blocked.remote())
    values.append(3)
    gate.open()
    assert ray.get(ref) == [1, 2]


def test_wrong_arguments_are_refused_by_the_call(ray):
    @ray.remote
    def f(a, b=1):
        return a, b

    with pytest.raises(TypeError):
        f.remote()
    with pytest.raises(TypeError):
        f.remote(1, 2, 3)
    with pytest.raises(TypeError):
        f.remote(1, c=3)
    with pytest.raises(TypeError):
        f.remote(1, a=1)
    assert ray.get(f.remote(1)) == (1, 1)


def test_calling_a_remote_function_directly_is_refused(ray):
    @ray.remote
    def f():
        return 1

    with pytest.raises(TypeError, match=r"\.remote\("):
        f()


def test_several_returns(ray):
    @ray.remote(num_returns=3)
    def three():
        return 1, "two", [3]

    refs = three.remote()
    assert isinstance(refs, list)
    assert len(refs) == 3
    assert ray.get(refs) == [1, "two", [3]]
    assert ray.get(refs[1]) == "two"


def test_several_returns_from_a_list(ray):
    @ray.remote(num_returns=2)
    def two():
        return [1, 2]

    assert ray.get(two.remote()) == [1, 2]


def test_one_return_keeps_a_tuple_whole(ray):
    @ray.remote(num_returns=1)
    def f():
        return 1, 2

    assert ray.get(f.remote()) == (1, 2)


def test_zero_returns_gives_none(ray, ledger):
    @ray.remote(num_returns=0)
    def f():
        ledger.add()

    assert f.remote() is None
    ledger.wait_for(1)


@pytest.mark.parametrize("returned", [(1,), (1, 2, 3), 5, None])
def test_another_number_of_values_than_num_returns(ray, returned):
    @ray.remote(num_returns=2, max_retries=0)
    def f():
        return returned

    for ref in f.remote():
        with pytest.raises(ray.exceptions.RayTaskError):
            ray.get(ref)


def test_too_few_values_is_a_value_error(ray):
    @ray.remote(num_returns=3)
    def f():
        return 1, 2

    with pytest.raises(ValueError, match="3"):
        ray.get(f.remote())


def test_options_override_and_leave_the_original_alone(ray):
    @ray.remote
    def f():
        return 1, 2

    assert ray.get(f.options(num_returns=2).remote()) == [1, 2]
    assert ray.get(f.remote()) == (1, 2)


def test_options_object_may_be_used_many_times(ray):
    @ray.remote
    def f(x):
        return x, -x

    two = f.options(num_returns=2, num_cpus=0.5)
    assert [ray.get(two.remote(i)) for i in range(3)] == [[0, 0], [1, -1], [2, -2]]


def test_redefinition_takes_effect(ray):
    results = []
    for answer in (1, 2):

        @ray.remote
        def f():
            return answer  # noqa: B023 - the closure at the time of the call is the point

        results.append(ray.get(f.remote()))
    assert results == [1, 2]


def test_functions_with_equal_source_and_other_closures(ray):
    def make(n):
        @ray.remote
        def f():
            return n

        return f

    functions = [make(n) for n in range(10)]
    assert ray.get([f.remote() for f in functions]) == list(range(10))


def test_a_thousand_tasks(ray):
    @ray.remote
    def square(x):
        return x * x

    assert ray.get([square.remote(i) for i in range(1000)]) == [i * i for i in range(1000)]


def test_tasks_run_side_by_side(ray, ledger):
    """Each waits for all the others: only four at the same time get through."""

    @ray.remote
    def meet(i):
        ledger.add(i)
        return sorted(ledger.wait_for(4))

    assert ray.get([meet.remote(i) for i in range(4)]) == [["0", "1", "2", "3"]] * 4


def test_a_short_task_overtakes_a_long_one(ray, gate):
    @ray.remote
    def long():
        gate.wait()
        return "long"

    @ray.remote
    def short(i):
        return i

    slow = long.remote()
    assert ray.get([short.remote(i) for i in range(50)]) == list(range(50))
    gate.open()
    assert ray.get(slow) == "long"


def test_chain_of_dependent_tasks(ray):
    @ray.remote
    def increment(x):
        return x + 1

    ref = increment.remote(0)
    for _ in range(199):
        ref = increment.remote(ref)
    assert ray.get(ref) == 200


def test_diamond(ray):
    @ray.remote
    def f(*values):
        return sum(values) + 1

    top = f.remote()
    left, right = f.remote(top), f.remote(top, top)
    assert ray.get(f.remote(left, right)) == 6


def test_tree_reduce(ray):
    @ray.remote
    def add(a, b):
        return a + b

    refs = [ray.put(i) for i in range(64)]
    while len(refs) > 1:
        refs = [add.remote(refs[i], refs[i + 1]) for i in range(0, len(refs), 2)]
    assert ray.get(refs[0]) == sum(range(64))


def test_a_dependency_that_comes_late(ray, gate):
    @ray.remote
    def late():
        gate.wait()
        return 10

    @ray.remote
    def add(a, b):
        return a + b

    dependent = [add.remote(late.remote(), i) for i in range(2)]
    free = [add.remote(i, i) for i in range(5)]
    assert ray.get(free) == [0, 2, 4, 6, 8]
    gate.open()
    assert ray.get(dependent) == [10, 11]


def test_hundreds_of_arguments(ray):
    @ray.remote
    def total(*values):
        return sum(values)

    assert ray.get(total.remote(*range(300))) == sum(range(300))
    assert ray.get(total.remote(*[ray.put(i) for i in range(300)])) == sum(range(300))


def test_many_returns(ray):
    @ray.remote(num_returns=100)
    def many():
        return list(range(100))

    assert ray.get(many.remote()) == list(range(100))


def test_legacy_spelling_of_a_call_with_options(ray):
    @ray.remote
    def f(a, b=0):
        return a, b

    assert ray.get(f._remote(args=[1], kwargs={"b": 2})) == (1, 2)
    assert ray.get(f._remote(args=[1], kwargs={"b": 2}, num_returns=2)) == [1, 2]


def test_prints_of_a_task_do_no_harm(ray):
    @ray.remote
    def chatty(n):
        import sys

        for i in range(n):
            print("line", i)
            print("error line", i, file=sys.stderr)
        print("no newline at the end", end="")
        return n

    assert ray.get(chatty.remote(200)) == 200


def test_the_result_of_a_task_nobody_waits_for(ray, ledger):
    @ray.remote
    def mark(i):
        ledger.add(i)

    for i in range(20):
        mark.remote(i)
    assert sorted(map(int, ledger.wait_for(20))) == list(range(20))


def test_a_remote_function_may_be_passed_to_a_task(ray):
    @ray.remote
    def double(x):
        return 2 * x

    @ray.remote
    def apply(function, x):
        return ray.get(function.remote(x))

    assert ray.get(apply.remote(double, 4)) == 8


def test_async_functions_are_refused(ray):
    with pytest.raises(ValueError, match="async"):

        @ray.remote
        async def f():
            pass

        f.remote()


def test_a_class_with_call_is_not_a_function(ray):
    class Callable:
        def __call__(self):
            return 1

    with pytest.raises((TypeError, AttributeError, AssertionError)):
        ray.remote(Callable()).remote()


@pytest.mark.parametrize(("count", "size"), [(40, 4000), (20_000, 1)], ids=["of 4 KB", "small"])
def test_more_return_values_than_one_message_has_room_for(ray, count, size):
    def values(n):
        return [bytes([i % 256]) * size for i in range(n)]

    refs = ray.remote(values).options(num_returns=count).remote(count)
    assert ray.get(refs) == values(count)


def test_more_errors_than_one_message_has_room_for(ray):
    @ray.remote(num_returns=500, max_retries=0)
    def some():
        yield b"x" * 4000
        yield ray.put("a ref inside")
        raise ValueError("z" * 1000)

    refs = some.remote()
    assert ray.get(refs[0]) == b"x" * 4000
    assert ray.get(ray.get(refs[1])) == "a ref inside"
    for ref in (refs[2], refs[499]):
        with pytest.raises(ValueError, match="zzz"):
            ray.get(ref)


def test_many_return_values_of_a_method(ray):
    @ray.remote
    class Many:
        def values(self):
            return [[i] * 100 for i in range(1000)]

    refs = Many.remote().values.options(num_returns=1000).remote()
    assert ray.get(refs) == [[i] * 100 for i in range(1000)]
