"""``multiprocessing`` on the cluster: ``Pool``."""

from __future__ import annotations

from multiprocessing import JoinableQueue, TimeoutError

from nbray.util.multiprocessing.pool import Pool

__all__ = ["JoinableQueue", "Pool", "TimeoutError"]
