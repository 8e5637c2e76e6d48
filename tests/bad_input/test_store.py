"""Rows 12 and 27: objects larger than the store, and writing to an array that is shared."""

import numpy as np
import pytest

from .conftest import CLUSTER

CAPACITY = CLUSTER["object_store_memory"]


def too_large(error, ray):
    assert isinstance(error, ray.exceptions.ObjectStoreFullError)
    text = str(error)
    assert "object_store_memory" in text
    assert error.size > CAPACITY
    assert 0 < error.capacity <= 2 * CAPACITY
    for amount in (error.size, error.capacity):
        spellings = {
            str(amount),
            f"{amount:,}",
            f"{amount:_}",
            f"{amount / 2**20:.0f}",
            f"{amount / 2**20:.1f}",
            f"{amount / 1e6:.0f}",
        }
        spellings |= {f"{amount / 1e6:.1f}", f"{amount / 2**20:,.1f}", f"{amount / 2**20:,.0f}"}
        assert any(spelling in text for spelling in spellings), (amount, text)


def test_row_12_put(ray):
    with pytest.raises(ray.exceptions.ObjectStoreFullError) as caught:
        ray.put(np.zeros(2 * CAPACITY, np.uint8))
    too_large(caught.value, ray)


def test_row_12_an_argument_by_value(ray):
    @ray.remote
    def f(x):
        return 1

    with pytest.raises(ray.exceptions.ObjectStoreFullError) as caught:
        ray.get(f.remote(np.zeros(2 * CAPACITY, np.uint8)))
    too_large(caught.value, ray)


def test_row_12_a_result(ray):
    @ray.remote
    def f():
        return np.zeros(2 * CAPACITY, np.uint8)

    with pytest.raises(ray.exceptions.ObjectStoreFullError) as caught:
        ray.get(f.remote())
    too_large(caught.value, ray)


def test_row_12_nothing_stays_reserved(ray):
    for _ in range(10):
        with pytest.raises(ray.exceptions.ObjectStoreFullError):
            ray.put(np.zeros(2 * CAPACITY, np.uint8))
    array = ray.get(ray.put(np.ones(CAPACITY // 2, np.uint8)))
    assert array.sum() == CAPACITY // 2


def test_row_27_writing_to_an_array_here(ray):
    array = ray.get(ray.put(np.zeros(100_000)))
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1
    changed = array.copy()
    changed[0] = 1
    assert array[0] == 0


@pytest.mark.parametrize("write", ["array[0] = 1", "array += 1", "array.sort()"])
def test_row_27_a_driver_that_ends_by_it(run_script, write):
    text = f"""
        import numpy as np

        ray.init(num_cpus=1, object_store_memory=32 * 2**20)
        array = ray.get(ray.put(np.zeros(100_000)))
        {write}
    """
    done = run_script(text, check=False)
    assert done.returncode == 1
    assert "ValueError" in done.stderr
    assert done.stderr.rstrip().endswith("copy() first."), done.stderr


def test_row_27_the_hook_of_others_is_kept(run_script):
    """Also one that was set after ours, and nothing of ours stays after shutdown."""
    run_script(
        """
        import sys

        def first(*about):
            pass

        def second(*about):
            pass

        sys.excepthook = first
        ray.init(num_cpus=1, object_store_memory=32 * 2**20)
        ray.shutdown()
        assert sys.excepthook is first
        ray.init(num_cpus=1, object_store_memory=32 * 2**20)
        sys.excepthook = second
        ray.shutdown()
        assert sys.excepthook is second
        """
    )


def test_row_27_writing_to_an_array_in_a_task(ray):
    @ray.remote
    def write(array):
        array += 1

    with pytest.raises(ValueError, match="read-only") as caught:
        ray.get(write.remote(ray.put(np.zeros(100_000))))
    assert isinstance(caught.value, ray.exceptions.RayTaskError)
    assert "copy() first" in str(caught.value)


def test_row_27_writing_to_a_small_array_in_a_task(ray):
    @ray.remote
    def write(array):
        array[0] = 1

    with pytest.raises(ValueError, match=r"copy\(\) first"):
        ray.get(write.remote(ray.put(np.zeros(3))))
