"""``log_once``: say something the first time only."""

from __future__ import annotations

import time

_said: dict[str, float] = {}  # key -> when
_off = False
_period_s: float | None = None
PERIOD_S = 60.0


def log_once(key: str) -> bool:
    """Return True the first time it is called with ``key``, and False from then on.

    With ``enable_periodic_logging`` it returns True again every minute.
    """
    if _off:
        return False
    now = time.monotonic()
    before = _said.get(key)
    if before is not None and (_period_s is None or now - before < _period_s):
        return False
    _said[key] = now
    return True


def disable_log_once_globally() -> None:
    """Make ``log_once`` return False in this process."""
    global _off
    _off = True


def enable_periodic_logging() -> None:
    """Make ``log_once`` return True once a minute for each key."""
    global _off, _period_s
    _off, _period_s = False, PERIOD_S


def reset_log_once(key: str | None = None) -> None:
    """Forget that ``key`` (or anything) has been said."""
    if key is None:
        _said.clear()
    else:
        _said.pop(key, None)
