"""get: order, duplicates, time limits, errors and what it refuses."""

import time

import pytest


@pytest.fixture(scope="module")
def echo(ray):
    @ray.remote
    def echo(x):
        return x

    return echo


def test_one_ref(ray, echo):
    assert ray.get(echo.remote(1)) == 1


def test_a_list_keeps_the_order(ray, echo):
    refs = [echo.remote(i) for i in range(20)]
    assert ray.get(refs) == list(range(20))
    assert ray.get(refs[::-1]) == list(range(20))[::-1]


@pytest.mark.parametrize(
    ("timeout", "error"), [("a", ValueError), ([], TypeError), (1j, TypeError), (float("nan"), ValueError)]
)
def test_a_timeout_that_is_no_number_also_where_the_value_is_there(ray, echo, timeout, error):
    there, small, large = ray.put(1), echo.remote(2), echo.remote(b"x" * 200_000)
    ray.wait([there, small, large], num_returns=3)
    for refs in (there, small, large, [there], [there, small, large]):
        with pytest.raises(error):
            ray.get(refs, timeout=timeout)


@pytest.mark.parametrize("timeout", [-1, -0.5, -2, 0, False])
def test_what_is_there_needs_no_time(ray, echo, timeout):
    there, small = ray.put(1), echo.remote(2)
    ray.wait([there, small], num_returns=2)
    assert ray.get(there, timeout=timeout) == 1
    assert ray.get([there, small], timeout=timeout) == [1, 2]


def test_an_empty_list(ray):
    assert ray.get([]) == []


def test_duplicates(ray, echo):
    a, b = echo.remote("a"), echo.remote("b")
    assert ray.get([a, b, a, a]) == ["a", "b", "a", "a"]


def test_put_and_task_refs_together(ray, echo):
    assert ray.get([ray.put(1), echo.remote(2), ray.put(3)]) == [1, 2, 3]


def test_the_order_of_the_list_not_of_completion(ray, gate):
    @ray.remote
    def slow():
        gate.wait()
        return "slow"

    @ray.remote
    def fast():
        gate.open()
        return "fast"

    assert ray.get([slow.remote(), fast.remote()]) == ["slow", "fast"]


def test_get_again_and_again(ray, echo):
    ref = echo.remote([1, 2])
    assert ray.get(ref) == ray.get(ref) == [1, 2]


def test_each_get_gives_a_value_of_its_own(ray, echo):
    for ref in (echo.remote([1, 2]), ray.put([1, 2])):
        first = ray.get(ref)
        first.append(3)
        assert ray.get(ref) == [1, 2]


@pytest.mark.parametrize("timeout", [0, 0.01])
def test_timeout(ray, gate, timeout):
    @ray.remote
    def blocked():
        gate.wait()
        return 1

    ref = blocked.remote()
    with pytest.raises(ray.exceptions.GetTimeoutError):
        ray.get(ref, timeout=timeout)
    with pytest.raises(TimeoutError):
        ray.get([ray.put(1), ref], timeout=timeout)
    gate.open()
    assert ray.get(ref) == 1


def test_timeout_zero_of_a_value_that_is_there(ray, echo):
    ref = echo.remote(7)
    ray.wait([ref])
    assert ray.get(ref, timeout=0) == 7
    assert ray.get(ray.put(8), timeout=0) == 8


def test_timeout_takes_about_its_time(ray, gate):
    @ray.remote
    def blocked():
        gate.wait()

    ref = blocked.remote()
    start = time.monotonic()
    with pytest.raises(ray.exceptions.GetTimeoutError):
        ray.get(ref, timeout=0.3)
    assert 0.25 < time.monotonic() - start < 30


def test_the_value_may_come_within_the_timeout(ray, echo):
    assert ray.get(echo.remote(1), timeout=60) == 1
    assert ray.get([echo.remote(i) for i in range(3)], timeout=60) == [0, 1, 2]


def test_the_first_error_is_raised_without_waiting_for_the_rest(ray, gate):
    @ray.remote
    def blocked():
        gate.wait()

    @ray.remote
    def failing():
        raise KeyError("first")

    with pytest.raises(KeyError):
        ray.get([blocked.remote(), failing.remote()])
    assert not gate.is_open()


def test_an_error_can_be_got_again(ray):
    @ray.remote
    def failing():
        raise ValueError("again")

    ref = failing.remote()
    for _ in range(3):
        with pytest.raises(ValueError, match="again"):
            ray.get(ref)


@pytest.mark.parametrize("wrong", [1, None, "ref", {}, set()], ids=repr)
def test_other_things_than_refs(ray, wrong):
    with pytest.raises(ValueError):
        ray.get(wrong)


def test_a_tuple_and_a_generator_are_refused(ray, echo):
    ref = echo.remote(1)
    with pytest.raises(ValueError):
        ray.get((ref, ref))
    with pytest.raises(ValueError):
        ray.get(r for r in [ref])


@pytest.mark.parametrize("wrong", [1, None, "ref", []], ids=repr)
def test_lists_with_other_things_than_refs(ray, wrong):
    with pytest.raises(TypeError):
        ray.get([ray.put(1), wrong])


def test_a_list_of_lists_of_refs_is_refused(ray):
    with pytest.raises(TypeError):
        ray.get([[ray.put(1)]])


def test_timeout_is_a_keyword(ray):
    with pytest.raises(TypeError):
        ray.get(ray.put(1), 5)
