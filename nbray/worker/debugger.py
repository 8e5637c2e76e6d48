"""``breakpoint()`` in a task: it waits until a person comes to look, with ``nbray debug``.

The debugger is Python's own. It listens on a socket in the session's folder, which only this user can enter, so nothing
is open to the network or to others. A file beside the socket says who waits where.
"""

from __future__ import annotations

import contextlib
import glob
import io
import json
import os
import pdb
import socket
import sys
import threading
import types
from collections.abc import Iterator
from typing import Any, NamedTuple

from nbray.core import current
from nbray.session_layout import BREAKPOINTS

_one_at_a_time = threading.Lock()  # of this process


class Waiting(NamedTuple):
    """A task that waits for a person."""

    pid: int
    what: str  # the task's name
    file: str
    line: int


def waiting(session_dir: str) -> list[Waiting]:
    """Return what waits in a session, oldest first."""
    found = []
    for path in glob.glob(os.path.join(glob.escape(session_dir), BREAKPOINTS, "*.json")):
        with contextlib.suppress(OSError, ValueError, TypeError):  # it goes on just now
            with open(path, encoding="utf-8") as file:
                one = Waiting(**json.load(file))
            os.kill(one.pid, 0)
            found.append((os.path.getmtime(path), one))
    return [one for _, one in sorted(found)]


def connect(session_dir: str, one: Waiting) -> socket.socket:
    """Return the line to a task that waits."""
    line = socket.socket(socket.AF_UNIX)
    try:
        with _short(os.path.join(session_dir, BREAKPOINTS)) as folder:
            line.connect(f"{folder}/{one.pid}.sock")
    except BaseException:
        line.close()
        raise
    return line


@contextlib.contextmanager
def _short(folder: str) -> Iterator[str]:
    """Give a folder a name that is short enough for the path of a socket."""
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def stop_at(frame: types.FrameType) -> None:
    """Wait for a person, who then has Python's debugger at ``frame``.

    When he leaves without having let it go on, or ended it (``q``), it goes on.
    """
    looking = getattr(sys.gettrace(), "__self__", None)
    if isinstance(looking, _Debugger):  # somebody is there already
        looking.set_trace(frame)
        return
    with _one_at_a_time:
        connection = _wait_for_person(frame)
    _Debugger(connection).set_trace(frame)


def _wait_for_person(frame: types.FrameType) -> socket.socket:
    core = current.core
    one = Waiting(os.getpid(), core.executor.running()[2], frame.f_code.co_filename, frame.f_lineno)
    folder = os.path.join(core.session_dir, BREAKPOINTS)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as listener, _short(folder) as place:
        try:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{place}/{one.pid}.sock")  # of a process that had this number before
            listener.bind(f"{place}/{one.pid}.sock")
            listener.listen(1)
            with open(f"{place}/{one.pid}.new", "w", encoding="utf-8") as told:
                json.dump(one._asdict(), told)
            os.rename(f"{place}/{one.pid}.new", f"{place}/{one.pid}.json")  # whole, for who reads it
            print(
                f"{one.what} waits at {one.file}:{one.line}. To look into it: `nbray debug` in a terminal.", flush=True
            )
            return listener.accept()[0]
        finally:
            for ending in ("json", "sock"):
                with contextlib.suppress(OSError):
                    os.unlink(f"{place}/{one.pid}.{ending}")


class _Line(io.TextIOBase):
    """The person's end, as a file; who has gone away is at the end of his input and hears nothing."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._input = connection.makefile("r", encoding="utf-8", errors="replace")

    def readline(self, size: int | None = -1) -> str:  # type: ignore[override]
        try:
            return self._input.readline()
        except (OSError, ValueError):
            return ""

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            self._connection.sendall(text.encode("utf-8", "replace"))
        return len(text)

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def hang_up(self) -> None:
        with contextlib.suppress(OSError):
            self._input.close()
            self._connection.close()


class _Debugger(pdb.Pdb):
    """Python's debugger with a person at the other end of a socket, until the task goes on."""

    def __init__(self, connection: socket.socket) -> None:
        self._line = _Line(connection)
        line: Any = self._line
        super().__init__(stdin=line, stdout=line, nosigint=True, readrc=False)
        self.prompt = "(nbray) "

    def set_continue(self) -> None:
        """Go on; unless it may stop again, nobody is needed any more."""
        super().set_continue()
        if not self.breaks:
            self._line.hang_up()

    def set_quit(self) -> None:
        """End the task with bdb.BdbQuit."""
        super().set_quit()
        self._line.hang_up()

    def do_EOF(self, arg: str) -> Any:
        """Go on: the person has left."""
        self.clear_all_breaks()
        return self.do_continue(arg)
