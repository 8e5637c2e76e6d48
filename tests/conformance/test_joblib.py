"""``util.joblib.register_ray``: joblib's calls in workers of the cluster."""

import importlib
import operator
import os

import pytest

from .kit import LIBRARY

joblib = pytest.importorskip("joblib")
from joblib import Parallel, delayed, parallel_config


@pytest.fixture(scope="module", autouse=True)
def backend(ray):
    importlib.import_module(f"{LIBRARY}.util.joblib").register_ray()
    with parallel_config("ray", n_jobs=2):
        yield


def test_calls_run_elsewhere_and_results_are_in_order():
    assert Parallel()(delayed(operator.neg)(x) for x in range(50)) == [-x for x in range(50)]
    assert os.getpid() not in Parallel()(delayed(os.getpid)() for _ in range(10))


def test_functions_need_not_be_importable():
    captured = 7
    assert Parallel()(delayed(lambda x: x + captured)(x) for x in range(5)) == [7, 8, 9, 10, 11]


def test_errors():
    with pytest.raises(ZeroDivisionError):
        Parallel()(delayed(operator.truediv)(1, x) for x in range(3))
    assert Parallel()(delayed(abs)(x) for x in (-1, -2)) == [1, 2]  # the backend works afterwards


def test_n_jobs_counts_from_the_cluster():
    assert joblib.effective_n_jobs(-1) == 4
    assert joblib.effective_n_jobs(3) == 3
    assert Parallel(n_jobs=-1)(delayed(abs)(-x) for x in range(10)) == list(range(10))


def test_calls_inside_calls():
    def total(n):
        return sum(Parallel(n_jobs=2)(delayed(operator.mul)(x, x) for x in range(n)))

    assert Parallel()(delayed(total)(n) for n in range(5)) == [0, 0, 1, 5, 14]


def test_a_parallel_in_with():
    with Parallel(n_jobs=2) as parallel:
        assert parallel(delayed(abs)(-x) for x in range(4)) == [0, 1, 2, 3]
        assert parallel(delayed(abs)(-x) for x in range(3)) == [0, 1, 2]


def test_options_of_the_actors():
    with parallel_config("ray", ray_remote_args={"resources": {"widget": 0.5}}):
        assert Parallel(n_jobs=2)(delayed(abs)(x) for x in (-1, -2)) == [1, 2]


def test_large_arrays_are_shared():
    np = pytest.importorskip("numpy")
    array = np.arange(500_000.0)
    sums = Parallel()(delayed(lambda a, i: float(a.sum()) + i)(array, i) for i in range(4))
    assert sums == [float(array.sum()) + i for i in range(4)]
