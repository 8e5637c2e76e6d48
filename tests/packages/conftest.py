"""Packages that say ``import ray`` run on nbray, unchanged, and give the results of their serial runs.

They live in an environment of their own (``make test-packages``), in which Ray itself is not installed.
"""

from __future__ import annotations

import pytest

import nbray

nbray.as_ray()  # before anything imports ray


@pytest.fixture(scope="module", autouse=True)
def cluster():
    nbray.init(num_cpus=2, object_store_memory=300 * 2**20)
    yield nbray
    nbray.shutdown()
