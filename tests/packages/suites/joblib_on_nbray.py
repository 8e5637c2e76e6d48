"""A plugin of pytest: joblib's own tests get nbray where they ask for joblib's pool of processes."""

from __future__ import annotations

import nbray

nbray.as_ray()

import joblib.parallel
from ray.util.joblib.ray_backend import RayBackend


def pytest_sessionstart(session):
    nbray.init(num_cpus=2)
    joblib.parallel.BACKENDS["multiprocessing"] = RayBackend


def pytest_sessionfinish(session):
    nbray.shutdown()
