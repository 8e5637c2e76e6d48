"""The names of ``%%remote --actor NAME``, kept in an actor from cell to cell."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from nbray.api.runtime_context import get_runtime_context
from nbray.core import current

from .cell_job import CellJob
from .cell_runner import run_in
from .main_module import new_module


class CellActor:
    """Runs cells one after the other in one module.

    What a cell binds stays, also what cannot be pickled, and also when the cell raises or
    is interrupted. Names that were only sent along are not the actor's: the next cell that
    uses them gets them anew.
    """

    def __init__(self) -> None:
        self._module = new_module()
        self._kept: set[str] = set()

    def run(self, job: CellJob, *resolved: Any) -> Any:
        """Run one cell; what it returns is told at ``cell_runner.run_cell``."""
        with _interruptible():
            return run_in(self._module, job, resolved, self._kept)

    def names(self) -> list[str]:
        """Return the names that are kept."""
        return sorted(self._kept)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let a cancel interrupt the cell, which it does not do to methods of other actors."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before: Any = signal.getsignal(signal.SIGINT)

    def interrupt(signum: int, frame: Any) -> None:
        before(signum, frame)  # sees to the tasks that the cell has submitted
        if get_runtime_context().is_canceled() and not current.core.shield.must_wait(signum, frame):
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
