"""The log files of a session, listed and read."""

from __future__ import annotations

import fnmatch
import math
import os
import re
import time
from collections.abc import Iterator
from typing import Any

from nbray import ids
from nbray.core import cluster_view, log_index, raw_output
from nbray.util.state import collect
from nbray.util.state.common import TaskState
from nbray.util.state.exception import RayStateApiException

FOLLOW_EVERY_S = 0.2
_BLOCK = 64 * 1024
_DIED = ("WORKER_DIED", "ACTOR_DIED", "OUT_OF_MEMORY")
_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")


def list_logs(
    address: str | None = None, node_id: str | None = None, node_ip: str | None = None, glob_filter: str | None = None,
    timeout: int = 30,
) -> dict[str, list[str]]:  # fmt: skip
    """Return the names of the log files by kind: ``worker``, ``daemon``, ``other``.

    Parameters
    ----------
    address : str, optional
        The cluster; default: this process's, else the newest one.
    node_id, node_ip : str, optional
        Of the node; there is one.
    glob_filter : str, optional
        Only names that match this pattern.

    Raises
    ------
    ConnectionError
        When there is no cluster.
    """
    with collect.source(address) as where:
        _check_node(where, node_id)
        folder = os.path.join(where.session_dir, "logs")
    found: dict[str, list[str]] = {}
    for name in sorted((entry.name for entry in os.scandir(folder) if entry.is_file()), key=_natural):
        if fnmatch.fnmatch(name, glob_filter or "*") and not name.endswith((log_index.SUFFIX, raw_output.SUFFIX)):
            kind = "worker" if name.startswith("worker") else "daemon" if name.startswith("daemon") else "other"
            found.setdefault(kind, []).append(name)
    return found


def get_log(
    address: str | None = None, node_id: str | None = None, node_ip: str | None = None, filename: str | None = None,
    actor_id: str | None = None, task_id: str | None = None, pid: int | None = None, follow: bool = False, tail: int = -1,
    timeout: int = 30, suffix: str = "out", encoding: str | None = "utf-8", errors: str | None = "strict",
    submission_id: str | None = None, attempt_number: int = 0, _interval: float | None = None,
    filter_ansi_code: bool = False,
) -> Iterator[str]:  # fmt: skip
    """Yield the text of a log in pieces.

    Parameters
    ----------
    filename : str, optional
        As ``list_logs`` names it.
    actor_id : str, optional
        The log of the worker that is, or was, this actor.
    task_id : str, optional
        What this task printed, and what C code and child processes wrote meanwhile; of a task that died with its worker before
        it printed anything the log of that.
    pid : int, optional
        The log of this worker.
    follow : bool
        Go on with what is written later, until the caller stops.
    tail : int
        Only the last lines; -1: all.
    suffix : {"out", "err"}
        The same: a worker has one log for both streams.
    encoding, errors : str, optional
        As for ``bytes.decode``; None yields bytes.

    Raises
    ------
    ValueError
        When nothing says which log is wanted.
    RayStateApiException
        When there is no such log.
    """
    if suffix not in ("out", "err"):
        raise ValueError(f"suffix is 'out' or 'err', not {suffix!r}.")
    if submission_id is not None:
        raise RayStateApiException(
            "Jobs that are submitted write to where they were submitted from; they have no log here."
        )
    with collect.source(address) as where:
        _check_node(where, node_id)
        task = _task(where, task_id) if task_id is not None and not (filename or actor_id or pid) else None
        name = filename or _log_of(where, actor_id, task, pid)
        folder = os.path.join(where.session_dir, "logs")
    path = os.path.join(folder, name)
    if os.path.dirname(os.path.realpath(path)) != os.path.realpath(folder) or not os.path.isfile(path):
        raise RayStateApiException(
            f"There is no log {name!r} in {folder}; `nbray logs` (list_logs() in Python) names them."
        )
    interval_s = _interval or FOLLOW_EVERY_S
    pieces = _read(path, follow, tail, interval_s)
    if task is not None and (
        log_index.words_of(path, *ids.split_task_id(bytes.fromhex(task.task_id))) is not None
        or task.error_type not in _DIED
    ):
        pieces = _read_task(path, task, follow, tail, interval_s)
    return (_text(piece, encoding, errors, filter_ansi_code) for piece in pieces)


def _check_node(where: Any, node_id: str | None) -> None:
    if node_id is not None and node_id != where.node_id:
        raise RayStateApiException(f"There is no node {node_id!r}; the node of this cluster is {where.node_id}.")


def _task(where: Any, task_id: str) -> TaskState:
    for row in collect.rows(where, "tasks", 2.0):
        if row.task_id == task_id and row.worker_pid is not None:
            found: TaskState = row
            return found
    raise RayStateApiException(f"No log of task {task_id} is known; list_logs() names those that there are.")


def _log_of(where: Any, actor_id: str | None, task: TaskState | None, pid: int | None) -> str:
    processes = cluster_view.table(where, "processes")
    if pid is not None:
        found = [row for row in processes if row["pid"] == pid]
        what = f"process {pid}"
    elif actor_id is not None:
        lives = [row for row in processes if row["actor_id"] == actor_id]
        found = sorted(lives, key=lambda row: row["ended_at"] or math.inf)
        what = f"actor {actor_id}"
    elif task is not None:
        found = [row for row in processes if ids.worker_id(row["peer"]) == task.worker_id]
        what = f"task {task.task_id}"
    else:
        raise ValueError("Say which log: filename, actor_id, task_id or pid.")
    names = [row["log"] for row in found if row["log"]]
    if not names:
        raise RayStateApiException(
            f"No log of {what} is known; `nbray logs` (list_logs() in Python) names those that there are."
        )
    return names[-1]


def _text(piece: bytes, encoding: str | None, errors: str | None, plain: bool) -> Any:
    if encoding is None:
        return piece
    decoded = piece.decode(encoding, errors or "strict")
    return _ANSI.sub("", decoded) if plain else decoded


def _read(path: str, follow: bool, tail: int, interval_s: float) -> Iterator[bytes]:
    with open(path, "rb") as file:
        if tail >= 0:
            lines = file.read().splitlines(keepends=True)
            if lines and tail:
                yield b"".join(lines[-tail:])
        left = b""
        while True:
            data = file.read(_BLOCK)
            if data:
                whole, newline, rest = (left + data).rpartition(b"\n")  # a character is never cut in two
                left = rest
                if newline:
                    yield whole + newline
                continue
            if not follow:
                break
            if os.fstat(file.fileno()).st_size < file.tell():  # it grew too large and was emptied
                file.seek(0)
            time.sleep(interval_s)
        if left:
            yield left


def _read_task(path: str, task: TaskState, follow: bool, tail: int, interval_s: float) -> Iterator[bytes]:
    told = 0  # bytes
    while True:
        words = log_index.words_of(path, *ids.split_task_id(bytes.fromhex(task.task_id))) or b""
        told = min(told, len(words))  # the log began anew
        new = words[told:] if not follow else words[told : words.rfind(b"\n") + 1]
        told += len(new)
        if tail >= 0:
            new, tail = b"".join(new.splitlines(keepends=True)[-tail:] if tail else []), -1
        if new:
            yield new
        if not follow:
            return
        time.sleep(interval_s)


def _natural(name: str) -> list[Any]:
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]
