"""The metrics of this process, and their way to the daemon that exports them.

Values are cumulative per process; the daemon adds those of all processes up. They are sent at
most once a second, and only when the cluster exports metrics at all.
"""

from __future__ import annotations

import bisect
import contextlib
import os
import threading
from typing import Any

from nbray.core import current
from nbray.wire import messages as m

PUSH_EVERY_S = 1.0
ROWS_AT_ONCE = 500
COUNTER, GAUGE, HISTOGRAM = "counter", "gauge", "histogram"

_lock = threading.Lock()
_rows: dict[tuple[str, tuple[str, ...]], m.MetricRow] = {}  # (name, values of tags) -> row
_dirty: dict[tuple[str, tuple[str, ...]], None] = {}
_running = False  # whether the thread that sends runs
_sent_to: Any = None  # the runtime that has got all but the dirty rows


def record(
    kind: str, name: str, description: str, keys: tuple[str, ...], tags: tuple[str, ...], value: float,
    boundaries: tuple[float, ...] = (),
) -> None:  # fmt: skip
    """Add to a counter or histogram, or set a gauge."""
    key = (name, tags)
    with _lock:
        row = _rows.get(key)
        if row is None:
            row = _rows[key] = m.MetricRow(
                kind, name, description, list(keys), list(tags), 0.0, list(boundaries), [0] * (len(boundaries) + 1)
            )  # fmt: skip
        if kind == GAUGE:
            row.value = value
        else:
            row.value += value
        if kind == HISTOGRAM:
            row.buckets[bisect.bisect_left(row.boundaries, value)] += 1
        _dirty[key] = None
    begin(current.core)


def begin(core: Any) -> None:
    """Have values sent from now on, if this cluster exports metrics and there are any."""
    global _running
    if not _exports(core):
        return
    with _lock:
        if _rows and not _running:
            _running = True
            threading.Thread(target=_run, name="nbray-metrics", daemon=True).start()


def _exports(core: Any) -> bool:
    if core is None or isinstance(core, current.ForkedCore):
        return False
    return core.registered is not None and core.registered.metrics_port > 0


def _run() -> None:
    """The thread that sends, as long as there is somebody to send to."""
    global _running
    pause = threading.Event()
    while True:
        pause.wait(PUSH_EVERY_S)
        with _lock:
            if not _exports(current.core):
                _running = False
                return
        with contextlib.suppress(Exception):
            push(current.core)


def push(core: Any) -> None:
    """Send what has changed to the daemon of ``core``."""
    global _sent_to
    if not _exports(core):
        return
    with _lock:
        if _sent_to is not core:  # another cluster knows nothing yet
            _dirty.update(dict.fromkeys(_rows))
            _sent_to = core
        rows = [_rows[key] for key in _dirty]
        _dirty.clear()
        frames = [m.MetricsNotice(rows[at : at + ROWS_AT_ONCE]) for at in range(0, len(rows), ROWS_AT_ONCE)]
        for frame in frames:
            core.control.send(frame)


def _in_child() -> None:
    """A forked child has no thread, and values of its own."""
    global _lock, _running
    _lock = threading.Lock()
    _running = False
    _rows.clear()
    _dirty.clear()


os.register_at_fork(after_in_child=_in_child)
