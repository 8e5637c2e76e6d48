"""``multiprocessing`` on the cluster: ``Pool``."""

from __future__ import annotations

from multiprocessing import TimeoutError

from nbray.util.multiprocessing.pool import Pool

__all__ = ["Pool", "TimeoutError"]
