"""Identify, watch and signal processes without ever hitting a stranger.

A pid alone means nothing, it is used again: a process is named by pid and start time, and
watched and signalled by pidfd.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import time
from collections.abc import Collection

from nbray._cstore import ffi, lib


def die_with_parent(parent_pid: int) -> None:
    """Have the kernel SIGKILL this process when the thread that forked it ends.

    Ends this process at once when ``parent_pid`` is gone already.
    """
    if lib.nbs_die_with_parent() != 0:
        raise OSError(ffi.errno, "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent_pid:
        os._exit(1)


def open_standard_descriptors() -> None:
    """Open /dev/null as standard input, output and error where this process was started without them.

    Else the next socket would get such a number: whoever prints would write into it, and a child could not be given it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)  # gets the lowest free number
            if opened == number:
                os.set_inheritable(number, True)
            else:  # a thread was quicker
                os.close(opened)


def address_space() -> int:
    """Return the bytes of address space that this process uses."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


def adopt_orphans() -> None:
    """Become the parent of what descendants of this process leave behind, instead of init.

    Where a sandbox refuses that, it stays init's.
    """
    lib.nbs_adopt_orphans()


def reap_orphans(others: Collection[int]) -> None:
    """Reap what has been adopted and has ended; not ``others``, which somebody else waits for."""
    with contextlib.suppress(ChildProcessError):
        while ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            if ended.si_pid in others:
                return  # there is one more look
            os.waitpid(ended.si_pid, 0)


def reap_with_group(pid: int) -> None:
    """Reap an adopted process that has ended, and end what is left of the group that it led; nothing if it is not ours."""
    with contextlib.suppress(ChildProcessError):
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            kill_group(pid, signal.SIGKILL)  # while it is a zombie its pid is taken
            os.waitpid(pid, 0)


def end_children(within_s: float) -> None:
    """Kill all children of this process, and whom they leave to it, until nobody is there."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        for pid in _children():
            with contextlib.suppress(OSError):  # not reaped yet, so this is no stranger
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.001)


def _children() -> list[int]:
    me, found = os.getpid(), []
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError, IndexError), open(f"/proc/{name}/stat", "rb") as file:
                if int(file.read().rpartition(b")")[2].split()[1]) == me:
                    found.append(int(name))
    return found


def set_oom_score(score: int) -> None:
    """Tell the kernel whom to end first when memory runs out (1000: me)."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write(str(score))


def start_time(pid: int) -> int:
    """Return when a process started, in clock ticks since boot; 0 when it is dead.

    A zombie counts as dead.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] in (b"Z", b"X") else int(fields[19])


def is_alive(pid: int, started: int) -> bool:
    """Return True when the process of this pid and start time lives."""
    return started != 0 and start_time(pid) == started


def has_ended(pidfd: int) -> bool:
    """Tell whether the process of a pidfd has ended; False when there is none."""
    if pidfd < 0:
        return False
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return any(event & select.POLLIN for _, event in poll.poll(0))


def open_pidfd(pid: int) -> int:
    """Return a descriptor that becomes readable when the process ends, -1 when it has, or no file can be opened any more."""
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return -1
    except OSError as error:
        if error.errno not in (errno.EMFILE, errno.ENFILE):
            raise
        return -1


def readable(descriptor: int, timeout_s: float) -> bool:
    """Wait until a descriptor, of whatever number, is readable or at its end; False after ``timeout_s`` seconds."""
    poll = select.poll()  # select() takes none above 1,023
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(timeout_s * 1000))


def send_signal(pidfd: int, signo: int) -> bool:
    """Signal the process behind ``pidfd``; False when it is gone."""
    if pidfd < 0:
        return False
    try:
        signal.pidfd_send_signal(pidfd, signo)
    except OSError:
        return False
    return True


def kill_group(pid: int, signo: int) -> None:
    """Signal the process group led by our own child ``pid``, which is not reaped yet."""
    with contextlib.suppress(OSError):
        os.killpg(pid, signo)
