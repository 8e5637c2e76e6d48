"""A plugin of pytest: what Dask's own tests compute is computed by nbray's tasks."""

from __future__ import annotations

import nbray

nbray.as_ray()

import dask
import dask.threaded
from ray.util.dask import ray_dask_get

dask.threaded.get = ray_dask_get  # before the tests import it


def pytest_sessionstart(session):
    nbray.init(num_cpus=2)
    dask.config.set(scheduler=ray_dask_get)


def pytest_sessionfinish(session):
    nbray.shutdown()
