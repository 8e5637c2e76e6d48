"""Progress bars of workers, drawn in the driver.

A bar travels as its whole state, through the output of the task that moves it. Drawn with tqdm
where that is installed, else as a line now and then.
"""

from __future__ import annotations

import importlib
import sys
import threading
import time
from typing import Any

_LINE_EVERY_S = 1.0  # between two lines of a bar without tqdm

_lock = threading.RLock()
_bars: dict[str, Any] = {}
_real: Any = None  # the module tqdm, or False when it is not installed


def draw(state: dict[str, Any]) -> None:
    """Show a bar as it is now; ``state`` has ``uuid, x, total, desc, unit, pid, closed``."""
    if sys.stderr is None:
        return
    with _lock:
        bar = _bars.get(state["uuid"])
        if bar is None:
            if state["closed"] and not state["x"]:
                return
            bar = _bars[state["uuid"]] = _new_bar(state)
        bar.update(state)
        if state["closed"]:
            del _bars[state["uuid"]]
            bar.close()


def write(text: str, stream: Any) -> None:
    """Write text on a stream without cutting bars in two."""
    module = _real if _bars else None
    if module:
        with _lock:
            module.tqdm.write(text, file=stream, end="")
    else:
        stream.write(text)


def close_all() -> None:
    """The cluster is left: what is still drawn stays as it is."""
    with _lock:
        for bar in _bars.values():
            bar.close()
        _bars.clear()


def _new_bar(state: dict[str, Any]) -> Any:
    global _real
    if _real is None:
        try:
            _real = importlib.import_module("tqdm")
        except ImportError:
            _real = False
    return _DrawnBar(_real, state) if _real else _WrittenBar()


def _title(state: dict[str, Any]) -> str:
    return f"(pid={state['pid']}) {state['desc']}".strip() if state.get("remote") else state["desc"]


class _DrawnBar:
    """A bar of tqdm; the next free line of the screen is its."""

    def __init__(self, module: Any, state: dict[str, Any]) -> None:
        self._bar = module.tqdm(
            total=state["total"], desc=_title(state), unit=state["unit"], position=len(_bars), leave=True, file=sys.stderr,
            dynamic_ncols=True,
        )  # fmt: skip

    def update(self, state: dict[str, Any]) -> None:
        if state["total"] is not None:
            self._bar.total = state["total"]
        self._bar.set_description_str(_title(state), refresh=False)
        self._bar.update(state["x"] - self._bar.n)
        self._bar.refresh()

    def close(self) -> None:
        self._bar.close()


class _WrittenBar:
    """Lines on standard error, at most one in a second and one at the end."""

    def __init__(self) -> None:
        self._written = 0.0
        self._last = ""

    def update(self, state: dict[str, Any]) -> None:
        total = "?" if state["total"] is None else state["total"]
        line = f"{_title(state)}: {state['x']}/{total} {state['unit']}".lstrip(": ")
        now = time.monotonic()
        if line != self._last and (state["closed"] or now - self._written >= _LINE_EVERY_S):
            self._written, self._last = now, line
            sys.stderr.write(line + "\n")
            sys.stderr.flush()

    def close(self) -> None:
        return
