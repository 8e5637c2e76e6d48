"""joblib's and Dask's own test files, and scikit-learn, with nbray as what computes."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

PLUGINS = Path(__file__).parent / "suites"

# Tests of joblib that ask for something of multiprocessing's pool that no other backend has: its own class, arrays
# mapped from files, its number of workers, warnings when it is nested.
JOBLIB_OWN = [
    "test_nested_parallel_warnings",
    "test_error_capture",
    "test_backend_context_manager",
    "test_auto_memmap_on_arrays_from_generator",
    "test_memmapping_leaks",
]
# Tests of Dask that need the tasks to run in this process: identity of objects, callbacks set inside a task.
DASK_OWN = ["test_traverse_false", "test_nested_schedulers"]


def run_suite(plugin, modules, select="", without=()):
    """Run test modules of an installed package; returns how many passed."""
    wanted = " and ".join([*([f"({select})"] if select else []), *(f"not {name}" for name in without)])
    line = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", plugin, "-c", "/dev/null"]
    line += ["--timeout", "120", "-W", "ignore", "-k", wanted, "--pyargs", *modules]
    path = [str(PLUGINS), *sys.path]
    done = subprocess.run(
        [sys.executable, "-c", f"import sys, pytest; sys.path[:0] = {path!r}; sys.exit(pytest.main({line[3:]!r}))"],
        capture_output=True, text=True, timeout=900, cwd="/",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    return int(re.search(r"(\d+) passed", done.stdout).group(1))


@pytest.mark.timeout(900)
def test_joblib():
    assert run_suite("joblib_on_nbray", ["joblib.test.test_parallel"], "multiprocessing", JOBLIB_OWN) >= 60


@pytest.mark.timeout(900)
def test_dask():
    assert run_suite("dask_on_nbray", ["dask.tests.test_delayed", "dask.tests.test_callbacks"], "", DASK_OWN) >= 60


def test_scikit_learn():
    from joblib import parallel_config
    from ray.util.joblib import register_ray
    from sklearn.datasets import make_classification
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, cross_val_score

    register_ray()
    x, y = make_classification(400, random_state=0)

    def results(n_jobs):
        forest = RandomForestClassifier(20, random_state=0, n_jobs=n_jobs).fit(x, y).predict_proba(x)
        grid = GridSearchCV(LogisticRegression(), {"C": [0.1, 1, 10]}, cv=3, n_jobs=n_jobs).fit(x, y)
        scores = cross_val_score(RandomForestClassifier(5, random_state=0), x, y, cv=4, n_jobs=n_jobs)
        return forest, grid.cv_results_["mean_test_score"], scores

    serial = results(1)
    with parallel_config("ray"):
        parallel = results(2)
    for one, other in zip(serial, parallel, strict=True):
        assert np.array_equal(one, other)
