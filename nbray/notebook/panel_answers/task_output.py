"""What each task printed, as far as it is kept: the newest of it, for the panel.

Filled by the runtime while it takes results in, so adding must be quick.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from typing import Any

MAX_CHARS = 64 * 1024  # of one task; the newest are kept
MAX_TOTAL = 16 * 1024 * 1024  # of all tasks; the task that has been silent for longest goes
Key = tuple[int, int]  # owner, number


class _Text:
    __slots__ = ("cut", "pieces", "size")

    def __init__(self) -> None:
        self.pieces: deque[str] = deque()
        self.size = 0
        self.cut = False  # the beginning is gone


class TaskOutput:
    """Text by task, bounded."""

    def __init__(self, max_chars: int = MAX_CHARS, max_total: int = MAX_TOTAL) -> None:
        self._max_chars, self._max_total = max_chars, max_total
        self._lock = threading.Lock()
        self._texts: OrderedDict[Key, _Text] = OrderedDict()
        self._total = 0
        self._cluster: Any = None
        self.added = 0  # pieces so far: a page that shows a log asks for it when this has moved

    def add(self, task: Any, text: str, cluster: Any = None) -> None:
        """A task, (owner, number), of ``cluster`` printed ``text``; tasks of another cluster count anew."""
        if not isinstance(task, tuple) or len(task) != 2:
            return
        with self._lock:
            self.added += 1
            if cluster is not self._cluster:
                self._cluster = cluster
                self._texts.clear()
                self._total = 0
            kept = self._texts.get(task)
            if kept is None:
                kept = self._texts[task] = _Text()
            self._texts.move_to_end(task)
            kept.pieces.append(text)
            kept.size += len(text)
            self._total += len(text)
            while kept.size > self._max_chars:
                self._shorten(kept)
            while self._total > self._max_total:
                _, gone = self._texts.popitem(last=False)
                self._total -= gone.size

    def _shorten(self, kept: _Text) -> None:
        first = kept.pieces.popleft()
        over = min(kept.size - self._max_chars, len(first))
        kept.cut = True
        kept.size -= over
        self._total -= over
        if over < len(first):
            kept.pieces.appendleft(first[over:])

    def of(self, task: Key) -> tuple[str, bool]:
        """Return what a task printed, and whether its beginning is gone."""
        with self._lock:
            kept = self._texts.get(task)
            return ("".join(kept.pieces), kept.cut) if kept is not None else ("", False)
