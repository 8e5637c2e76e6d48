"""``register_ray``: joblib, and with it scikit-learn, on the cluster."""

from __future__ import annotations

from joblib import register_parallel_backend

from nbray.util.joblib.ray_backend import RayBackend


def register_ray() -> None:
    """Register the backend "ray": ``with joblib.parallel_config("ray"): ...``.

    Raises
    ------
    ImportError
        When joblib is not installed.
    """
    register_parallel_backend("ray", RayBackend)


__all__ = ["register_ray"]
