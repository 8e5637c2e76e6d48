"""Whose words stand where in this worker's log: a line per stretch of it, in a file beside it.

Written when a task prints something for the first time since another one did (or what its children and C code wrote is found),
and when a cell of a notebook begins: tasks that print nothing cost nothing.
"""

from __future__ import annotations

import contextlib
import os

SUFFIX = ".tasks"  # behind the name of the log
MAX_BYTES = 4 * 1024 * 1024  # then it begins anew, and of the tasks before nothing is known any more


class LogIndex:
    """The index of the log of this process.

    Parameters
    ----------
    log_path : str
    log : int
        Descriptor of it.
    """

    def __init__(self, log_path: str, log: int = 2) -> None:
        self._log = log
        self._path = log_path + SUFFIX
        self._file = -1
        self._size = 0
        self._last = (0, 0)

    def note(self, task: tuple[int, int], begin: int | None = None) -> None:
        """Say that what comes next, or what stands from ``begin`` on, is a task's, by its owner and number."""
        if task == self._last:
            return
        self._last = task
        owner, number = task
        with contextlib.suppress(OSError):  # the disk is full: the log is whole all the same
            if self._file < 0:
                self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            line = b"%d %d %d\n" % (os.fstat(self._log).st_size if begin is None else begin, owner, number)
            self._size += len(line)
            if self._size > MAX_BYTES:
                os.ftruncate(self._file, 0)
                self._size = len(line)
            os.write(self._file, line)

    def log_began_anew(self) -> None:
        """The log was emptied."""
        self._last, self._size = (0, 0), 0
        if self._file >= 0:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, 0)


def begin_of_last(log_path: str) -> int:
    """Return where in a log the words begin of whoever was the last to print, or the last cell; 0: not known."""
    try:
        with open(log_path + SUFFIX, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 128))
            return int(file.read().splitlines()[-1].split()[0])
    except (OSError, IndexError, ValueError):
        return 0


def places(log_path: str) -> dict[tuple[int, int], tuple[int, int]]:
    """Return where in a log the words of each task begin and end, by its owner and number; tasks that printed nothing are not there."""
    found: dict[tuple[int, int], tuple[int, int]] = {}
    last = (0, 0)

    def close(end: int) -> None:
        if last in found:
            found[last] = found[last][0], end

    with contextlib.suppress(OSError, ValueError), open(log_path + SUFFIX, "rb") as file:
        for line in file:
            begin, *task = map(int, line.split())
            close(begin)
            last = task[0], task[1]
            found.setdefault(last, (begin, begin))
        close(os.stat(log_path).st_size)
    return found


def words_of(log_path: str, owner: int, number: int) -> bytes | None:
    """Return what a task wrote to a log, and what C code and child processes did meanwhile; None: it printed nothing.

    Parameters
    ----------
    log_path : str
    owner, number : int
        Of the task.
    """
    begins: list[tuple[int, bool]] = []  # of stretches, and whether they are the task's
    with contextlib.suppress(OSError), open(log_path + SUFFIX, "rb") as file:
        for line in file:
            begin, *task = map(int, line.split())
            begins.append((begin, task == [owner, number]))
    if not any(its for _, its in begins):
        return None
    with open(log_path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        ends = [begin for begin, _ in begins[1:]] + [size]
        found = []
        for (begin, its), end in zip(begins, ends, strict=True):
            if its:
                file.seek(begin)
                found.append(file.read(max(0, end - begin)))
    return b"".join(found)
