"""Stop a remote cell: softly at first, then by killing its worker.

The first interrupt raises KeyboardInterrupt in the cell. The notebook gets its prompt
back after ``PROMPT_S`` at the latest; a worker that goes on is killed ``PATIENCE_S``
after the interrupt, or at once when a second interrupt comes, be it before the prompt is
back or after it (an idle kernel ignores SIGINT, so its handler is replaced meanwhile).
"""

from __future__ import annotations

import signal
import threading
import time
from typing import Any

from .runtime import ObjectRef, cancel, wait

PROMPT_S = 0.1
PATIENCE_S = 3.0


def stop(ref: ObjectRef, kernel: Any) -> bool:
    """Cancel the task behind ``ref``; returns whether it has ended already.

    Parameters
    ----------
    ref
        A ref that the cell's task makes.
    kernel
        The ipykernel, or None in a terminal.
    """
    begun = time.monotonic()
    try:
        cancel(ref)
        ready, _ = wait([ref], timeout=PROMPT_S)
    except KeyboardInterrupt:
        _kill(ref)
        return False
    if ready:
        return True
    _Watch(ref, kernel, begun + PATIENCE_S).start()
    return False


def _kill(ref: ObjectRef) -> None:
    try:
        cancel(ref, force=True)
    except Exception:
        return  # the cluster is gone, and the worker with it


class _Watch:
    """Kills the worker of ``ref`` at ``deadline`` unless its task ends before."""

    def __init__(self, ref: ObjectRef, kernel: Any, deadline: float) -> None:
        self._ref = ref
        self._kernel = kernel
        self._deadline = deadline
        self._at_once = threading.Event()
        self._before: Any = None

    def start(self) -> None:
        self._take_idle_interrupts()
        threading.Thread(target=self._run, name="nbray-stop", daemon=True).start()

    def _run(self) -> None:
        try:
            while time.monotonic() < self._deadline and not self._at_once.is_set():
                ready, _ = wait([self._ref], timeout=0.05)
                if ready:
                    return
            _kill(self._ref)
        except Exception:
            return  # shutdown meanwhile
        finally:
            self._give_back_idle_interrupts()

    def _take_idle_interrupts(self) -> None:
        """Have an interrupt of the idle kernel kill at once.

        ipykernel puts ``saved_sigint_handler`` back when a cell has ended.
        """
        self._before = getattr(self._kernel, "saved_sigint_handler", None)
        if self._before is not None:
            self._kernel.saved_sigint_handler = self._on_interrupt

    def _on_interrupt(self, signum: int, frame: Any) -> None:
        self._at_once.set()

    def _give_back_idle_interrupts(self) -> None:
        # Signal handlers can only be changed by the main thread: one that stays
        # installed does nothing more than setting an event that nobody reads.
        if self._before is not None and self._kernel.saved_sigint_handler == self._on_interrupt:
            self._kernel.saved_sigint_handler = signal.SIG_IGN
