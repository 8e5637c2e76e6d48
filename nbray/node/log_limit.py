"""Keep the logs of workers within their limits.

A log that grows too large is emptied, with a line that says so (workers append, so that is
safe while they write); of dead workers' logs the oldest go.
"""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Iterable

from nbray.config import Limits
from nbray.core import log_index, raw_output


class LogLimit:
    """Looks after one log folder."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._of_dead: deque[str] = deque()
        self.emptied = 0

    def check(self, paths: Iterable[str]) -> None:
        """Empty those of ``paths`` that are too large."""
        for path in paths:
            with contextlib.suppress(OSError):
                size = os.stat(path).st_size
                if size > self._limits.log_bytes:
                    self.emptied += 1
                    os.truncate(path, 0)
                    _say_dropped(path, size)
                    os.truncate(path + log_index.SUFFIX, 0)  # what it says of places in the log is no longer so
            with contextlib.suppress(OSError):
                # What the worker has read of it takes no room, if the file system can do that.
                size = os.stat(path + raw_output.SUFFIX).st_blocks * 512
                if size > self._limits.log_bytes:
                    self.emptied += 1
                    raw_output.empty(path)
                    _say_dropped(path, size)

    def worker_died(self, path: str) -> None:
        """Note that nobody writes to ``path`` any more."""
        self._of_dead.append(path)
        while len(self._of_dead) > self._limits.dead_logs:
            oldest = self._of_dead.popleft()
            for path in (oldest, oldest + log_index.SUFFIX):
                with contextlib.suppress(OSError):
                    os.unlink(path)


def _say_dropped(path: str, size: int) -> None:
    with open(path, "a", encoding="utf-8") as file:
        file.write(f"[nbray: {size:,} bytes of this log were dropped, the limit was reached]\n")
