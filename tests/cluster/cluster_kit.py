"""What the tests of whole clusters measure with: processes, gates, the daemon's own account.

Nothing here decides by a clock: tests wait for events (``eventually``), and only a hang is told
by time (``no_hang``).
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbray
from nbray.core import current

SCALE = float(os.environ.get("NBRAY_FAULT_SCALE", "1"))
# A machine may stand still for seconds: only what never comes fails.
PATIENCE_S = 60.0  # after the last fault, every blocking call has ended (promise P1)
RECOVERY_S = 30.0  # and the resources are exact (P4), the processes of a dead driver gone (P8)
STEP_S = 0.005
ROOT = str(Path(__file__).parents[2])
MARK = "NBRAY_TEST_MARK"


def scaled(count: int, most: int | None = None) -> int:
    """Return how often to repeat something: ``count`` by default."""
    wanted = max(1, int(count * SCALE))
    return wanted if most is None else min(wanted, most)


def full_length(short: int, full: int) -> int:
    """Return ``full`` when NBRAY_FAULTS_FULL=1 asks for the length that a figure is judged on, else ``short``."""
    return full if os.environ.get("NBRAY_FAULTS_FULL") == "1" else short


# ------------------------------------------------------------------------------ waiting


def eventually(condition: Callable[[], Any], what: str = "the condition", seconds: float = PATIENCE_S) -> Any:
    """Return the first true value of ``condition()``."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come about within {seconds:g} s (last: {value!r})")
        time.sleep(STEP_S)


_clock = time.monotonic  # a test may move that of the code that it looks at
# F29: (seconds, test) of each block that had to end within PATIENCE_S. Reported by conftest.py of tests/faults.
waits: list[tuple[float, str]] = []


class Hang(BaseException):
    """A blocking call did not end in time."""


@contextlib.contextmanager
def no_hang(seconds: float = PATIENCE_S, what: str = "") -> Iterator[list[str]]:
    """Fail when the block takes longer; if even that does not end it, dump the stacks and exit.

    Yields a list that is not empty any more once the time is over.
    """
    expired: list[str] = []

    def expire(signum: int, frame: Any) -> None:
        expired.append(what)
        raise Hang(f"{what or 'this'} did not end within {seconds:g} s")

    previous = signal.signal(signal.SIGALRM, expire)
    before = signal.setitimer(signal.ITIMER_REAL, seconds)[0]
    faulthandler.dump_traceback_later(seconds + 60, exit=True)
    start = _clock()
    try:
        yield expired
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
        faulthandler.cancel_dump_traceback_later()
        if seconds == PATIENCE_S:
            waits.append((_clock() - start, os.environ.get("PYTEST_CURRENT_TEST", "").partition(" ")[0]))
        if before:
            signal.setitimer(signal.ITIMER_REAL, max(0.01, before - (_clock() - start)))


class Gate:
    """A file that tasks of any process wait for."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def open(self) -> None:
        """Let all through."""
        Path(self.path).touch()

    def is_open(self) -> bool:
        """Tell whether somebody opened it."""
        return os.path.exists(self.path)

    def wait(self, seconds: float = 60.0) -> None:
        """Wait until it is open."""
        eventually(self.is_open, f"gate {self.path}", seconds)


class Ledger:
    """A file to which any process appends lines."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        Path(path).touch()

    def add(self, line: Any) -> None:
        """Append one line, whole."""
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(descriptor, f"{line}\n".encode())
        finally:
            os.close(descriptor)

    def lines(self) -> list[str]:
        """Return all lines so far."""
        return Path(self.path).read_text().split("\n")[:-1]

    def await_lines(self, count: int, seconds: float = PATIENCE_S) -> list[str]:
        """Return the lines, once there are so many."""
        eventually(lambda: len(self.lines()) >= count, f"{count} lines in the ledger", seconds)
        return self.lines()


# ---------------------------------------------------------------------------- processes


def start_time(pid: int) -> int:
    """Return when a process started; 0 when it is dead or a zombie."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] in (b"Z", b"X") else int(fields[19])


def is_stopped(pid: int) -> bool:
    """Tell whether a signal has stopped a process."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        return file.read().rpartition(b")")[2].split()[0] == b"T"


def children(pid: int) -> list[int]:
    """Return the child processes that live."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{task}/children", "rb") as file:
                found += map(int, file.read().split())
    return [child for child in found if start_time(child)]


def descendants(pid: int) -> list[int]:
    """Return all processes below ``pid`` that live."""
    found = []
    for child in children(pid):
        found += [child, *descendants(child)]
    return found


def marked(mark: str) -> list[int]:
    """Return all live processes that were started with this mark in their environment."""
    needle = f"{MARK}={mark}".encode()
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            with contextlib.suppress(OSError), open(f"/proc/{name}/environ", "rb") as file:
                if needle in file.read() and start_time(int(name)):
                    found.append(int(name))
    return found


def segment_of(pid: int) -> str:
    """Return "device inode" of the segment that a process maps; an empty string when none."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/maps", encoding="utf-8", errors="replace") as file:
        for line in file:
            if "memfd:nb" in line:
                fields = line.split()
                return f"{fields[3]} {fields[4]}"
    return ""


def who_maps(segment: str) -> list[int]:
    """Return the processes that map or hold this segment."""
    device, inode = segment.split()
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        with contextlib.suppress(OSError):
            with open(f"/proc/{name}/maps", encoding="utf-8", errors="replace") as file:
                if any(line.split()[3:5] == [device, inode] for line in file):
                    found.append(int(name))
                    continue
            for descriptor in os.listdir(f"/proc/{name}/fd"):
                info = os.stat(f"/proc/{name}/fd/{descriptor}")
                if info.st_ino == int(inode) and f"{os.major(info.st_dev):02x}:{os.minor(info.st_dev):02x}" == device:
                    found.append(int(name))
                    break
    return found


def descriptors(pid: int | str = "self") -> dict[str, str]:
    """Return the open descriptors of a process and what they are."""
    found = {}
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            found[name] = os.readlink(f"/proc/{pid}/fd/{name}")
    return found


def size_of(path: str) -> int:
    """Return the size of a file, 0 when it has gone meanwhile."""
    try:
        return os.path.getsize(path)
    except FileNotFoundError:
        return 0


def status_of(pid: int | str, field: str) -> int:
    """Return a number of /proc/PID/status: VmRSS (KiB), Threads ..."""
    with open(f"/proc/{pid}/status") as file:
        for line in file:
            if line.startswith(field + ":"):
                return int(line.split()[1])
    raise KeyError(field)


def private_kib(pid: int) -> int:
    """Return the memory that a process alone has."""
    total = 0
    with open(f"/proc/{pid}/smaps_rollup") as file:
        for line in file:
            if line.startswith(("Private_Clean", "Private_Dirty")):
                total += int(line.split()[1])
    return total


# ------------------------------------------------------------------- the cluster's account


def state() -> Any:
    """Return the daemon's StateReply."""
    from nbray.wire import messages as m

    core = current.core
    return core.request(m.StateRequest(request_id=core.control.next_id()))[0]


def workers() -> dict[int, dict[str, Any]]:
    """Return the registered workers that live, by pid."""
    return {row["pid"]: row for row in state().workers if start_time(row["pid"])}


def daemon_pid() -> int:
    """Return the pid of this driver's daemon."""
    return nbray.nodes()[0]["pid"]


def zygote_pid() -> int:
    """Return the pid of its zygote, once what an earlier one left to the daemon has died."""
    daemon = daemon_pid()
    (zygote,) = eventually(lambda: len(found := children(daemon)) == 1 and found, "the daemon has one child")
    return zygote


def used() -> int:
    """Return the bytes in use in the object store."""
    return int(current.core.store.stats().used)


def objects() -> int:
    """Return how many objects and promises the store holds."""
    stats = current.core.store.stats()
    return int(stats.n_objects)


def is_idle() -> bool:
    """Tell whether all resources are free, nobody waits, and no actor is left."""
    reply = state()
    return reply.available == reply.total and reply.leases_waiting == 0 and reply.actors_alive == 0


def dump() -> dict[str, Any]:
    """Have the daemon write down all that it knows, and return it."""
    path = os.path.join(current.core.session_dir, "logs", "daemon-state.json")
    with contextlib.suppress(OSError):
        os.unlink(path)
    os.kill(daemon_pid(), signal.SIGUSR1)

    def read() -> Any:
        try:
            with open(path, encoding="utf-8") as file:
                return json.load(file)
        except (OSError, ValueError):
            return None

    return eventually(read, "the daemon's dump", RECOVERY_S)


def check_invariants() -> None:
    """Fail unless the daemon's tables and the segment's are consistent."""
    facts = dump()
    assert facts["invariants"] == "", facts["invariants"]


def settle(used_before: int | None = None, seconds: float = RECOVERY_S) -> None:
    """Fail unless all resources come back, and the store is as it was, within some seconds."""
    gc.collect()  # an exception that was caught holds its frames, and those the refs and handles of a test
    deadline = time.monotonic() + seconds
    try:
        eventually(is_idle, "all resources are free", seconds)
    except AssertionError as error:
        reply = state()
        raise AssertionError(
            f"{error}\navailable {reply.available}\nworkers {reply.workers}\nwaiting {reply.waiting}"
        ) from None
    if used_before is not None:
        left = max(0.5, deadline - time.monotonic())
        try:
            eventually(lambda: used() <= used_before, "the store is as before", left)
        except AssertionError as error:
            raise AssertionError(f"{error}: {used()} bytes, {used_before} before; {listing()}") from None
    check_invariants()


def listing(most: int = 20) -> list[tuple[str, int, int, int]]:
    """Return (id, size, state, holders) of objects in the store, for messages."""
    from nbray._cstore import ffi, lib

    items = ffi.new("nbs_list_item[]", 4096)
    count = lib.nbs_list(current.core.seg, items, 4096)
    return [
        (bytes(items[i].id).hex(), items[i].size, items[i].state, items[i].n_holders) for i in range(min(count, most))
    ]


# -------------------------------------------------------------------------- other drivers


class Driver:
    """A driver in a process of its own: a program that says words on its standard output.

    Its cluster's session lies in a folder of its own, and all its processes carry a mark.
    """

    def __init__(self, program: str, *arguments: str, base: str = "") -> None:
        self.mark = uuid.uuid4().hex
        self.base = base or tempfile.mkdtemp(prefix="nbt", dir="/tmp")
        self._base_is_ours = not base
        path = os.path.join(self.base, f"program{self.mark[:8]}.py")
        Path(path).write_text(_PROLOGUE + textwrap.dedent(program))
        search = os.pathsep.join([ROOT, str(Path(__file__).parent)])
        self.process = subprocess.Popen(
            [sys.executable, path, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            env={**os.environ, MARK: self.mark, "TMPDIR": self.base, "XDG_RUNTIME_DIR": "", "PYTHONPATH": search},
        )
        self.pid = self.process.pid
        self.said: list[str] = []

    def expect(self, word: str, seconds: float = PATIENCE_S) -> str:
        """Read until a line that begins with ``word``; return the rest of that line."""
        assert self.process.stdout is not None
        with no_hang(seconds, f"waiting for {word!r} of the driver after {self.said[-20:]}"):
            while True:
                line = self.process.stdout.readline()
                assert line, f"the driver ended before it said {word!r}:\n{''.join(self.said)}"
                self.said.append(line)
                if line.startswith(word):
                    return line[len(word) :].strip()

    def tell(self, line: str) -> None:
        """Write a line to its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def finish(self, seconds: float = PATIENCE_S) -> str:
        """Wait for a good end; return what it said."""
        try:
            rest, _ = self.process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the driver does not end: {''.join(self.said)}") from None
        self.said.append(rest)
        text = "".join(self.said)
        assert self.process.returncode == 0, f"exit code {self.process.returncode}\n{text}"
        return text

    def family(self) -> list[int]:
        """Return the processes of its cluster that live, without itself."""
        return [pid for pid in marked(self.mark) if pid != self.pid]

    def sessions(self) -> list[str]:
        """Return the session folders under its base."""
        return sorted(str(path) for path in Path(self.base).glob("nbray-*/session_*"))

    def kill(self) -> None:
        """SIGKILL the driver."""
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        """End whatever is left of it."""
        if self.process.poll() is None:
            self.kill()
        for pid in self.family():
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        if self._base_is_ours:
            shutil.rmtree(self.base, ignore_errors=True)


_PROLOGUE = """\
import os, sys, time, signal, threading
import nbray as ray

def say(*words):
    sys.stdout.write(" ".join(map(str, words)) + "\\n")
    sys.stdout.flush()

def hear():
    return sys.stdin.readline().strip()

"""
