"""What tasks print and display: from the worker, through the owners, to the driver.

Output travels in the reply channel of the task that made it, before its result, so it has
arrived when the result can be got. Each piece carries the *origin* of its task: the cell
(or whatever the driver chose) that submitted it; nested tasks inherit it.
"""

from __future__ import annotations

import os
import pickle
import sys
import threading
import time
from collections.abc import Callable, Collection
from typing import Any

from nbray.core import progress
from nbray.core.log_dedup import Deduplicator, Held

Sink = Callable[[str, str, Any, dict], None]  # (origin, kind, content, meta)

_driver_core: Any = None
_sink: Sink | None = None
_recorder: Callable[[Any, str, str], None] | None = None
_origin = ""
_emitter: Any = None  # in a worker: its OutputCapture
PROGRESS = "progress"  # kind of a piece that is the state of a bar

_dedup = Deduplicator({"RAY_DEDUP_LOGS": "0"})  # until a driver is attached
_dedup_lock = threading.Lock()
_dedup_timer: threading.Timer | None = None
_with_prefix = True
_unfinished: Any = None  # (stream, pid) whose line was cut and goes on with the next piece


def attach_driver(core: Any, show: bool = True, named: bool = True) -> None:
    """Called by init: ``core`` is the driver's runtime now (None: there is none).

    With ``show`` False, what tasks print is dropped (Ray's ``log_to_driver=False``); with ``named``
    False there is nothing in front of a line (as in Ray where a LoggingConfig says how lines look).
    """
    global _driver_core, _dedup, _with_prefix
    _show_held(rest=True)
    if core is None:
        progress.close_all()
    _driver_core = core
    if core is not None:
        _dedup = Deduplicator(os.environ)
        _with_prefix = named and os.environ.get("RAY_DISABLE_WORKER_LOG_PREFIX", "0").lower() not in ("1", "true")
        core.origin = _origin
        core.output_sink = _receive if show else None


def attach_worker(emitter: Any) -> None:
    """Called by the worker: ``emitter`` captures what its tasks print."""
    global _emitter
    _emitter = emitter


def set_origin(origin: str) -> None:
    """In the driver: tasks submitted from now on belong to ``origin``."""
    global _origin
    _origin = origin
    if _driver_core is not None:
        _driver_core.origin = origin


def set_sink(sink: Sink | None) -> None:
    """In the driver: give output to ``sink`` (None: print it with the task's name).

    ``sink(origin, kind, content, meta)`` is called in the order of each task's output and
    before the task's result can be got; from any thread, so it must be quick and not wait.
    """
    global _sink
    _sink = sink


def set_recorder(recorder: Callable[[Any, str, str], None] | None) -> None:
    """In the driver: tell ``recorder(task, stream, text)`` of all that tasks print, beside the sink.

    ``task`` is (owner, number). Called while the runtime's lock is held: it must neither wait nor call the runtime.
    """
    global _recorder
    _recorder = recorder


def in_worker() -> bool:
    """Tell whether this process is a worker."""
    return _emitter is not None


def emit(kind: str, content: Any) -> None:
    """In a worker: send a piece of output of the running task."""
    if _emitter is not None:
        _emitter.emit(kind, content)


def watch_descriptors(on: bool) -> None:
    """In a worker: send also what C code and child processes write to descriptors 1 and 2, or no longer."""
    if _emitter is not None:
        _emitter.watch_descriptors(on)


def set_terminals(names: Collection[str]) -> None:
    """In a worker: which of stdout and stderr say that they are terminals."""
    if _emitter is not None:
        _emitter.terminals = frozenset(names)


def current_origin() -> str:
    """Return the origin of the running task (worker), or of what is submitted now (driver)."""
    return _emitter.origin if _emitter is not None else _origin


def flush() -> None:
    """In a worker: send what has been printed so far."""
    if _emitter is not None:
        _emitter.flush()


def tell(origin: str, text: str) -> None:
    """In the driver: show a line of the runtime's own, where the output of ``origin`` goes; from any thread."""
    sink = _sink
    if sink is not None:
        sink(origin, "stream", ("stderr", text + "\n"), {})
    else:
        _write(sys.stderr, text + "\n")


def _receive(flags: int, payload: bytes) -> None:
    origin, kind, content, meta = pickle.loads(payload)
    sink = _sink
    if kind == "stream" and _recorder is not None:
        _recorder(meta.get("task"), *content)
    if kind == PROGRESS:
        progress.draw(content)
    elif sink is not None:
        sink(origin, kind, content, meta)
    else:
        print_with_name(origin, kind, content, meta)


def print_with_name(origin: str, kind: str, content: Any, meta: dict) -> None:
    """Print a stream's lines on this process's own streams, with the task's name in front."""
    global _unfinished
    if kind != "stream":
        return
    name, text = content
    stream = sys.stdout if name == "stdout" else sys.stderr
    source = (name, meta.get("pid"))
    prefix = f"({meta.get('name', 'task')} pid={meta.get('pid', '?')}) " if _with_prefix else ""
    lines = text.splitlines(keepends=True)
    if _dedup.enabled and _unfinished != source:
        lines = _fold(name, prefix, source[1], lines, whole=text.endswith("\n") or not meta.get("more"))
        if not lines:
            return
        text = lines[-1]
    out = "".join(prefix + line for line in lines)
    if _unfinished == source:
        out = out[len(prefix) :]
    elif _unfinished is not None and _unfinished[0] == name:
        out = "\n" + out
    _unfinished = None
    if not text.endswith("\n"):
        if meta.get("more"):
            _unfinished = source
        else:
            out += "\n"
    _write(stream, out)


def _fold(stream: str, prefix: str, source: Any, lines: list[str], whole: bool) -> list[str]:
    """Return the lines that are shown now; what others have printed alike is held back for a while."""
    global _dedup_timer
    now = time.monotonic()
    with _dedup_lock:
        shown = [
            line
            for index, line in enumerate(lines)
            if (not whole and index == len(lines) - 1) or _dedup.shows(stream, prefix, source, line, now)
        ]
        if _dedup.holding and _dedup_timer is None:
            _dedup_timer = threading.Timer(_dedup.window_s, _show_held)
            _dedup_timer.daemon = True
            _dedup_timer.name = "nbray-dedup"
            _dedup_timer.start()
    return shown


def _show_held(rest: bool = False) -> None:
    """Show what was held back: all of it, or what is due."""
    global _dedup_timer
    with _dedup_lock:
        timer, _dedup_timer = _dedup_timer, None
        held: list[Held] = _dedup.rest() if rest else _dedup.due(time.monotonic())
        if not rest and _dedup.holding:
            _dedup_timer = threading.Timer(_dedup.window_s, _show_held)
            _dedup_timer.daemon = True
            _dedup_timer.name = "nbray-dedup"
            _dedup_timer.start()
    if timer is not None and timer is not threading.current_thread():
        timer.cancel()
    for line in held:
        _write(sys.stdout if line.stream == "stdout" else sys.stderr, line.text + "\n")


def _write(stream: Any, out: str) -> None:
    try:
        try:
            progress.write(out, stream)
        except UnicodeEncodeError:  # lone surrogates, or a terminal that knows fewer characters
            encoding = getattr(stream, "encoding", None) or "utf-8"
            stream.write(out.encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()
    except Exception:  # it is closed, or there is none, or it is the user's: results come all the same
        return
