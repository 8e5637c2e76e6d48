"""wait: exactly num_returns, input order, time limits and what it refuses."""

import numpy
import pytest


@pytest.fixture(scope="module")
def echo(ray):
    @ray.remote
    def echo(x):
        return x

    return echo


@pytest.fixture
def blocked(ray, gate):
    """Makes tasks that stay until the gate opens; they share the processors with others."""

    @ray.remote(num_cpus=0)
    def blocked(i):
        gate.wait()
        return i

    return blocked


def test_one_ready_of_several(ray, echo, blocked):
    ref = echo.remote(1)
    late = [blocked.remote(i) for i in range(2)]
    ready, rest = ray.wait([late[0], ref, late[1]])
    assert ready == [ref]
    assert rest == late


def test_lists_are_returned(ray, echo):
    ready, rest = ray.wait([echo.remote(1)])
    assert isinstance(ready, list)
    assert isinstance(rest, list)


def test_never_more_than_num_returns(ray, echo):
    refs = [ray.put(i) for i in range(10)]
    ready, rest = ray.wait(refs, num_returns=3)
    assert len(ready) == 3
    assert len(rest) == 7
    assert set(ready) | set(rest) == set(refs)


def test_both_lists_are_in_input_order(ray, echo, blocked):
    refs = [echo.remote(i) if i % 2 else blocked.remote(i) for i in range(6)]
    ready, rest = ray.wait(refs, num_returns=3)
    assert ready == [refs[1], refs[3], refs[5]]
    assert rest == [refs[0], refs[2], refs[4]]


def test_all(ray, echo):
    refs = [echo.remote(i) for i in range(20)]
    ready, rest = ray.wait(refs, num_returns=20)
    assert ready == refs
    assert rest == []


def test_nothing_ready_in_time(ray, blocked):
    refs = [blocked.remote(i) for i in range(2)]
    assert ray.wait(refs, timeout=0) == ([], refs)
    assert ray.wait(refs, timeout=0.05) == ([], refs)


def test_fewer_ready_than_asked_in_time(ray, echo, blocked):
    ref, late = echo.remote(1), blocked.remote(2)
    ray.wait([ref])
    ready, rest = ray.wait([ref, late], num_returns=2, timeout=0.1)
    assert ready == [ref]
    assert rest == [late]


def test_timeout_zero_of_values_that_are_there(ray):
    refs = [ray.put(1), ray.put(2)]
    ready, rest = ray.wait(refs, num_returns=2, timeout=0)
    assert (ready, rest) == (refs, [])


def test_one_by_one(ray, echo):
    pending = [echo.remote(i) for i in range(100)]
    seen = []
    while pending:
        (ready,), pending = ray.wait(pending)
        seen.append(ray.get(ready))
    assert sorted(seen) == list(range(100))


def test_the_rest_is_looked_at_again_when_it_changed(ray):
    rest = [ray.put(i) for i in range(6)]
    for _ in range(2):
        _, rest = ray.wait(rest)
    rest[-1] = rest[0]
    with pytest.raises(ValueError):
        ray.wait(rest)
    _, rest = ray.wait(rest[:-1])
    rest[0] = 1
    with pytest.raises(TypeError):
        ray.wait(rest)


def test_an_error_counts_as_ready(ray, blocked):
    @ray.remote
    def failing():
        raise ValueError

    ref, late = failing.remote(), blocked.remote(1)
    assert ray.wait([late, ref]) == ([ref], [late])


def test_an_empty_list(ray):
    assert ray.wait([]) == ([], [])


def test_waiting_does_not_take_the_value(ray, echo):
    ref = echo.remote([1])
    ray.wait([ref])
    ray.wait([ref])
    assert ray.get(ref) == [1]


def test_refs_of_put(ray):
    ref = ray.put(1)
    assert ray.wait([ref]) == ([ref], [])


def test_fetch_local_is_accepted(ray):
    ref = ray.put(1)
    assert ray.wait([ref], fetch_local=False) == ([ref], [])


def test_duplicates_are_refused(ray):
    ref = ray.put(1)
    with pytest.raises(ValueError, match="unique"):
        ray.wait([ref, ref])


@pytest.mark.parametrize("wrong", ["refs", (), {}, 1, None], ids=repr)
def test_other_things_than_a_list(ray, wrong):
    with pytest.raises(TypeError):
        ray.wait(wrong)


def test_a_single_ref_and_a_tuple(ray):
    ref = ray.put(1)
    with pytest.raises(TypeError):
        ray.wait(ref)
    with pytest.raises(TypeError):
        ray.wait((ref,))


@pytest.mark.parametrize("wrong", [1, None, "ref", []], ids=repr)
def test_lists_with_other_things_than_refs(ray, wrong):
    with pytest.raises(TypeError):
        ray.wait([ray.put(1), wrong])


@pytest.mark.parametrize("num_returns", [0, -1, 3])
def test_numbers_out_of_range(ray, num_returns):
    with pytest.raises(ValueError):
        ray.wait([ray.put(1), ray.put(2)], num_returns=num_returns)


@pytest.mark.parametrize(
    ("num_returns", "error"),
    [("1", TypeError), (None, TypeError), ([], TypeError), (1j, TypeError), (float("nan"), ValueError),
     (float("inf"), ValueError), (-0.5, ValueError), (False, ValueError)],
    ids=repr,
)  # fmt: skip
def test_numbers_that_are_none(ray, num_returns, error):
    with pytest.raises(error):
        ray.wait([ray.put(1), ray.put(2)], num_returns=num_returns)


@pytest.mark.parametrize("num_returns", [numpy.int64(2), numpy.uint8(2), 2.0], ids=repr)
def test_numbers_of_other_types(ray, num_returns):
    refs = [ray.put(1), ray.put(2)]
    assert ray.wait(refs, num_returns=num_returns) == (refs, [])


@pytest.mark.parametrize("timeout", ["1", b"1", [], 1j, object()], ids=repr)
def test_a_timeout_that_is_no_number(ray, timeout):
    with pytest.raises(TypeError):
        ray.wait([ray.put(1)], timeout=timeout)


def test_a_negative_timeout(ray):
    with pytest.raises(ValueError):
        ray.wait([ray.put(1)], timeout=-1)


def test_options_are_keywords(ray):
    with pytest.raises(TypeError):
        ray.wait([ray.put(1)], 1)
