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
from collections.abc import Callable
from typing import Any

from .runtime import ObjectRef, cancel, wait

PROMPT_S = 0.1
PATIENCE_S = 3.0


def stop(ref: ObjectRef, kernel: Any, kill: Callable[[], Any]) -> bool:
    """Cancel the task behind ``ref``; returns whether it has ended already.

    Parameters
    ----------
    ref
        A ref that the cell's task makes.
    kernel
        The ipykernel, or None in a terminal.
    kill
        Kills the worker.
    """
    return bool(stop_all([ref], kernel, lambda _: kill()))


def stop_all(refs: list[ObjectRef], kernel: Any, kill: Callable[[ObjectRef], Any]) -> list[ObjectRef]:
    """Cancel the tasks behind ``refs``; returns those that have ended already."""
    if not refs:
        return []
    begun = time.monotonic()
    try:
        for ref in reversed(refs):  # those that wait first: they would begin when others end
            cancel(ref)
        ready, rest = wait(refs, num_returns=len(refs), timeout=PROMPT_S)
    except KeyboardInterrupt:
        for ref in refs:
            _try(kill, ref)
        return []
    if rest:
        _Watch(rest, kernel, begun + PATIENCE_S, kill).start()
    return ready


def kill_later(ref: ObjectRef, kill: Callable[[], Any]) -> None:
    """Wait until the cancelled task has ended; kill its worker when it does not in time."""
    ready, _ = wait([ref], timeout=PATIENCE_S)
    if not ready:
        _try(lambda _: kill(), ref)


def _try(kill: Callable[[ObjectRef], Any], ref: ObjectRef) -> None:
    try:
        kill(ref)
    except Exception:
        return  # the cluster is gone, and the worker with it


class _Watch:
    """Kills the workers of ``refs`` at ``deadline`` unless their tasks end before."""

    def __init__(self, refs: list[ObjectRef], kernel: Any, deadline: float, kill: Callable[[ObjectRef], Any]) -> None:
        self._kill = kill
        self._refs = refs
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
                _, self._refs = wait(self._refs, num_returns=len(self._refs), timeout=0.05)
                if not self._refs:
                    return
            for ref in self._refs:
                _try(self._kill, ref)
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
