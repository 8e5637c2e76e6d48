"""util.as_completed and util.map_unordered: values in the order in which they become ready."""

import pytest


@pytest.fixture(scope="module")
def square(ray):
    @ray.remote
    def square(x):
        return x * x

    return square


def test_all_values_come(ray, square):
    refs = [square.remote(i) for i in range(25)]
    assert sorted(ray.util.as_completed(refs)) == [i * i for i in range(25)]
    assert list(ray.util.as_completed([])) == []


def test_what_is_ready_comes_first(ray, square, gate):
    @ray.remote
    def late():
        gate.wait()
        return "late"

    refs = [late.remote(), square.remote(2), square.remote(3)]
    values = ray.util.as_completed(refs, chunk_size=1)
    assert {next(values), next(values)} == {4, 9}
    gate.open()
    assert list(values) == ["late"]


def test_refs_instead_of_values(ray, square):
    refs = [square.remote(i) for i in range(5)]
    assert set(ray.util.as_completed(refs, chunk_size=2, yield_obj_refs=True)) == set(refs)


def test_an_error_is_raised(ray):
    @ray.remote
    def fails():
        raise KeyError

    with pytest.raises(KeyError):
        list(ray.util.as_completed([fails.remote()]))


@pytest.mark.parametrize("wrong", [{"chunk_size": 0}, {"num_returns": 1}], ids=str)
def test_as_completed_with_wrong_arguments(ray, square, wrong):
    with pytest.raises(ValueError):
        list(ray.util.as_completed([square.remote(1)], **wrong))


def test_map_unordered(ray, square):
    assert sorted(ray.util.map_unordered(square, range(30))) == [i * i for i in range(30)]
    assert sorted(ray.util.map_unordered(square, range(30), backpressure_size=None)) == [i * i for i in range(30)]
    refs = list(ray.util.map_unordered(square, iter([1, 2]), yield_obj_refs=True))
    assert sorted(ray.get(refs)) == [1, 4]


def test_map_unordered_takes_items_only_as_far_as_there_is_room(ray, square):
    taken = []

    def items():
        for i in range(100):
            taken.append(i)
            yield i

    values = ray.util.map_unordered(square, items(), backpressure_size=3, chunk_size=1)
    next(values)
    assert len(taken) == 3
    assert len(list(values)) == 99


@pytest.mark.parametrize("wrong", [{"chunk_size": 0}, {"backpressure_size": 0}, {"num_returns": 1}], ids=str)
def test_map_unordered_with_wrong_arguments(ray, square, wrong):
    with pytest.raises(ValueError):
        list(ray.util.map_unordered(square, [1], **wrong))
