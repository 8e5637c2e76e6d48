"""put: values in the store, read-only arrays without a copy, what is refused."""

import numpy as np
import pytest

MIB = 2**20


@pytest.mark.parametrize(
    "value", [None, 0, "", b"", [], {"a": [1]}, (1, 2), "x" * 1000, b"y" * MIB], ids=lambda v: repr(v)[:20]
)
def test_put_and_get(ray, value):
    assert ray.get(ray.put(value)) == value


def test_a_put_value_is_a_copy(ray):
    values = [1, 2]
    ref = ray.put(values)
    values.append(3)
    assert ray.get(ref) == [1, 2]


def test_an_array_changed_after_put(ray):
    for size in (10, MIB):
        array = np.zeros(size)
        ref = ray.put(array)
        array[0] = 1
        assert ray.get(ref)[0] == 0


@pytest.mark.parametrize("size", [10, 1000, MIB])
def test_arrays_come_back_read_only(ray, size):
    array = ray.get(ray.put(np.arange(size)))
    assert not array.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1
    copy = array.copy()
    copy[0] = 5
    assert array[0] == 0


def test_arrays_of_tasks_are_read_only_on_both_sides(ray):
    @ray.remote
    def look(array):
        return array.flags.writeable, array + 1

    writeable, result = ray.get(look.remote(ray.put(np.zeros(MIB))))
    assert not writeable
    assert not result.flags.writeable
    assert result.sum() == MIB


def test_two_gets_share_the_memory(ray):
    ref = ray.put(np.arange(MIB))
    first, second = ray.get(ref), ray.get(ref)
    assert np.shares_memory(first, second)


def test_an_array_outlives_its_ref(ray):
    ref = ray.put(np.arange(MIB))
    array = ray.get(ref)
    del ref
    for _ in range(20):
        ray.put(np.zeros(MIB))
    assert (array == np.arange(MIB)).all()


def test_a_view_outlives_array_and_ref(ray):
    ref = ray.put({"a": np.arange(MIB)})
    view = ray.get(ref)["a"][10:20]
    del ref
    for _ in range(20):
        ray.put({"a": np.zeros(MIB)})
    assert view.tolist() == list(range(10, 20))


@pytest.mark.parametrize(
    "dtype", ["bool", "int8", "uint16", "int64", "float32", "float64", "complex128", "datetime64[ns]", "U5", "S3"]
)
def test_dtypes(ray, dtype):
    array = np.array([0, 1, 1, 0]).astype(dtype)
    result = ray.get(ray.put(array))
    assert result.dtype == array.dtype
    assert (result == array).all()


@pytest.mark.parametrize("shape", [(), (0,), (1,), (3, 0, 2), (2, 3, 4), (1, 1, 1, 1)], ids=str)
def test_shapes(ray, shape):
    array = np.arange(np.prod(shape, dtype=int)).reshape(shape)
    result = ray.get(ray.put(array))
    assert result.shape == shape
    assert (result == array).all()


def test_strided_and_fortran_arrays(ray):
    base = np.arange(600 * 500).reshape(600, 500)
    for array in (base[::2, ::3], base.T, np.asfortranarray(base), base[::-1]):
        assert (ray.get(ray.put(array)) == array).all()


def test_structured_and_object_arrays(ray):
    structured = np.array([(1, 2.5), (3, 4.5)], dtype=[("a", "i4"), ("b", "f8")])
    assert (ray.get(ray.put(structured)) == structured).all()
    objects = np.array([1, "two", None, [4]], dtype=object)
    assert ray.get(ray.put(objects)).tolist() == [1, "two", None, [4]]


def test_a_ref_is_refused(ray):
    with pytest.raises(TypeError):
        ray.put(ray.put(1))


def test_refs_inside_a_value(ray):
    inner = ray.put("inner")
    (found,) = ray.get(ray.put([inner]))
    assert isinstance(found, ray.ObjectRef)
    assert found == inner
    assert ray.get(found) == "inner"


def test_recursive_values(ray):
    loop = [1]
    loop.append(loop)
    result = ray.get(ray.put(loop))
    assert result[0] == 1
    assert result[1] is result


def test_shared_parts_stay_shared(ray):
    part = np.arange(1000)
    first, second = ray.get(ray.put((part, part)))
    assert first is second or np.shares_memory(first, second)


def test_an_unpicklable_value(ray):
    import threading

    with pytest.raises(TypeError):
        ray.put(threading.Lock())
    assert ray.get(ray.put(1)) == 1


def test_thousands_of_small_values(ray):
    refs = [ray.put(i) for i in range(3000)]
    assert ray.get(refs) == list(range(3000))


def test_memory_is_given_back(ray):
    """Six times the store goes through it when each ref is dropped before the next value."""
    for i in range(30):
        ref = ray.put(np.full(5 * MIB, i))
        assert ray.get(ref)[-1] == i
        del ref


def test_a_large_array_in_parts(ray):
    arrays = {"x": np.arange(MIB), "y": [np.ones(MIB // 2), "text"], "z": bytes(1000)}
    result = ray.get(ray.put(arrays))
    assert (result["x"] == arrays["x"]).all()
    assert (result["y"][0] == 1).all()
    assert result["y"][1] == "text"
    assert result["z"] == bytes(1000)


def test_nobody_else_may_own_it(ray):
    @ray.remote
    class Actor:
        pass

    with pytest.raises(ValueError, match="_owner"):
        ray.put(1, _owner=Actor.remote())


def test_no_transport_of_tensors_is_asked_for(ray):
    assert ray.get(ray.put([1], _tensor_transport=None)) == [1]

    @ray.remote
    class Actor:
        def value(self):
            return 1

    actor = Actor.remote()
    assert ray.get([actor.value.remote(), actor.value.options(tensor_transport=None).remote()]) == [1, 1]
