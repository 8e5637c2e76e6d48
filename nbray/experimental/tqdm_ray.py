"""``tqdm`` for tasks and actors: the bars of all workers are drawn in the driver. Mirrors ``ray.experimental.tqdm_ray``."""

from __future__ import annotations

import builtins
import os
import sys
import time
import uuid
from collections.abc import Iterable, Iterator
from typing import Any

from nbray.core import output, progress

__all__ = ["safe_print", "tqdm"]


class tqdm:
    """A progress bar; a small part of tqdm's interface.

    Parameters
    ----------
    iterable : iterable, optional
        What ``for`` goes through.
    desc : str, optional
        Stands in front of the bar.
    total : int, optional
        Steps in all; default: the length of ``iterable``.
    unit : str, optional
    position : int, optional
        Without effect: bars stand one below the other.
    flush_interval_s : float, optional
        Seconds between two messages to the driver; default 1.
    """

    DEFAULT_FLUSH_INTERVAL_SECONDS = 1.0

    def __init__(
        self, iterable: Iterable[Any] | None = None, desc: str | None = None, total: int | None = None, unit: str | None = None,
        position: int | None = None, flush_interval_s: float | None = None,
    ) -> None:  # fmt: skip
        if total is None and iterable is not None:
            try:
                total = len(iterable)  # type: ignore[arg-type]
            except (TypeError, AttributeError):
                total = None
        self._iterable = iterable
        self._desc = desc or ""
        self._unit = unit or "it"
        self._uuid = uuid.uuid4().hex
        self._closed = False
        self._flush_interval_s = self.DEFAULT_FLUSH_INTERVAL_SECONDS if flush_interval_s is None else flush_interval_s
        self._told_at = 0.0
        self.total = total
        self.n = 0

    def update(self, n: int = 1) -> None:
        """Go on by ``n`` steps."""
        self.n += n
        self._tell()

    def set_description(self, desc: str) -> None:
        """Change what stands in front of the bar."""
        self._desc = desc
        self._tell()

    def refresh(self) -> None:
        """Have it drawn again."""
        self._tell()

    def close(self) -> None:
        """End the bar; it stays as it is then."""
        if not self._closed:
            self._closed = True
            self._tell(now=True)

    def __enter__(self) -> tqdm:
        return self

    def __exit__(self, *exc: Any) -> None:
        self.close()

    def __iter__(self) -> Iterator[Any]:
        if self._iterable is None:
            raise ValueError("No iterable provided")
        for item in self._iterable:
            self.update(1)
            yield item
        self.close()

    def _tell(self, now: bool = False) -> None:
        moment = time.monotonic()
        if not now and self._told_at and moment - self._told_at < self._flush_interval_s:
            return
        self._told_at = moment
        state = {
            "uuid": self._uuid, "x": self.n, "total": self.total, "desc": self._desc, "unit": self._unit, "pid": os.getpid(),
            "closed": self._closed, "remote": output.in_worker(),
        }  # fmt: skip
        if output.in_worker():
            output.emit(output.PROGRESS, state)
        else:
            progress.draw(state)


def safe_print(*values: Any, sep: str = " ", end: str = "\n", file: Any = None, flush: bool = False) -> None:
    """``print`` that does not cut the bars of the driver in two."""
    if output.in_worker():
        builtins.print(*values, sep=sep, end=end, file=file, flush=flush)
        return
    progress.write(sep.join(map(str, values)) + end, file or sys.stdout)
    if flush:
        (file or sys.stdout).flush()
