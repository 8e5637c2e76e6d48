"""What a driver is told of failures that it may never hear of otherwise: errors that nobody read, and tasks that run again.

Noted wherever it happens, often with the runtime's lock held; told from ``tick``, without it. Both are bounded: a
program in which everything fails is told so, not flooded.
"""

from __future__ import annotations

import os
from collections import deque
from typing import Any

from nbray.core import output
from nbray.serialization import error_value

SHOWN_AT_ONCE = 5  # errors, or retries, told in one second; of the rest their number
INTERVAL_S = 1.0
KEPT = 1000
_TOLD_TYPES = ("TASK_EXECUTION_EXCEPTION", "WORKER_DIED")  # as Ray: not what was cancelled, or asked of a dead actor


class FailureReports:
    """Collects, and tells once a second; only a driver has one."""

    def __init__(self) -> None:
        self._unread: deque[tuple[str, bytes]] = deque(maxlen=KEPT)  # appended by finalizers: takes no lock
        self._told: deque[tuple[str, str]] = deque(maxlen=KEPT)
        self._tell_unread = not os.environ.get("RAY_IGNORE_UNHANDLED_ERRORS")
        self._next_at = 0.0

    def watch(self, error: error_value.ErrorValue, origin: str) -> None:
        """Tell of this error if it is dropped before anybody has looked at it."""
        if self._tell_unread:
            error.unread = (self._unread, origin)

    def retried(self, name: str, left: int, origin: str, why: str) -> None:
        """Note that a task runs again; ``left``: with the run that begins now, as Ray counts."""
        remaining = str(left) if left >= 0 else "infinite"
        text = f"Task {name} failed. There are {remaining} retries remaining, so the task will be retried. Error: {why}"
        self._told.append((origin, text))

    def constructor_raised(self, class_name: str, origin: str, blob: bytes) -> None:
        """Note that an actor of this process was never made; perhaps nobody ever calls it."""
        kind, why = error_value.describe(blob)
        text = f"The actor {class_name} was not made: {why}"
        if kind == "TASK_EXECUTION_EXCEPTION":
            text = f"Exception raised in creation task: {class_name}.__init__() raised\n{why.rstrip()}"
        self._told.append((origin, text))

    def tell(self, now: float) -> None:
        """Print what there is, if it is time; called without the runtime's lock."""
        if not (self._unread or self._told) or now < self._next_at:
            return
        self._next_at = now + INTERVAL_S
        for queue, more in ((self._told, "failures"), (self._unread, "errors that nobody read")):
            shown = 0
            while queue and shown < SHOWN_AT_ONCE:
                origin, what = queue.popleft()
                text = what if type(what) is str else _unhandled(what)
                if text:
                    shown += 1
                    output.tell(origin, text)
            if queue:
                origin, left = queue[0][0], len(queue)
                queue.clear()
                output.tell(origin, f"... and {left} more {more}.")


def _unhandled(blob: Any) -> str:
    kind, text = error_value.describe(blob)
    if kind not in _TOLD_TYPES:
        return ""
    return f"Unhandled error (suppress with 'RAY_IGNORE_UNHANDLED_ERRORS=1'): {error_value.source(blob)}{text.rstrip()}"
