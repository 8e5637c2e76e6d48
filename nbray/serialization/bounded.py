"""Streams for picklers that write no more than is wanted, and that only count."""

from __future__ import annotations

import io
import time
from typing import Any


class TooManyBytes(Exception):
    """Raised inside a pickler: what it writes is larger than is wanted."""


class BoundedStream(io.BytesIO):
    """Keeps what is written, up to ``limit`` bytes."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit

    def write(self, data: Any) -> int:
        """Keep ``data``, or raise TooManyBytes."""
        if self.tell() + memoryview(data).nbytes > self._limit:
            raise TooManyBytes
        return super().write(data)


class CountingStream:
    """Keeps nothing of what is written but its size.

    Parameters
    ----------
    seconds : float
        Later than so long after now the count ends.
    """

    def __init__(self, seconds: float) -> None:
        self.size = 0
        self._until = time.monotonic() + seconds

    def write(self, data: Any) -> int:
        """Count ``data``; raises TooManyBytes when the time is over."""
        self.size += memoryview(data).nbytes
        if time.monotonic() > self._until:
            raise TooManyBytes
        return memoryview(data).nbytes

    def buffer(self, buffer: Any) -> None:
        """Count an out-of-band buffer, without a copy of it."""
        self.size += memoryview(buffer).nbytes
