"""What packages import from ``ray.data`` and do not use: nbray does not have it.

Modin, for one, imports ``from_pandas_refs`` with its engine and calls it only in ``to_ray``.
"""

from __future__ import annotations

from typing import Any

from nbray.ray_alias import absent


class Dataset:
    """For ``isinstance`` and annotations: nothing is one.

    Raises
    ------
    ImportError
        When one is made.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise absent("ray.data")


def from_pandas_refs(*args: Any, **kwargs: Any) -> Any:
    """Raise ImportError."""
    raise absent("ray.data")


__all__ = ["Dataset", "from_pandas_refs"]
