"""``nbray doctor``: what of this machine stands in the way of a cluster."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import resource
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from nbray._cstore import ffi, lib
from nbray.config import Limits
from nbray.core.observer import Observer
from nbray.node import discovery, machine, mounts, session_dir
from nbray.node.gpu import Gpus, open_gpus
from nbray.node.segment import memory_available
from nbray.util.state.tables import as_json, size, table
from nbray.version import __version__

OK, NOTE, WARNING, ERROR = "ok", "note", "warning", "ERROR"
_PACKAGES = ("cffi", "cloudpickle", "msgspec", "psutil", "pyzmq")
_SPARE_PROCESSES = 20  # beside one worker per CPU


class Finding(NamedTuple):
    """One line of the report."""

    level: str
    what: str
    found: str
    advice: str = ""


def doctor(given: argparse.Namespace) -> int:
    """Print what is found; 1 when a cluster could not run here."""
    findings: list[Finding] = []
    for check in _CHECKS:
        try:
            findings.extend(check())
        except Exception as error:  # the report goes on; that a check fails is a finding
            findings.append(Finding(WARNING, check.__name__.strip("_"), f"could not be looked at: {error}"))
    if given.format == "json":
        print(as_json([one._asdict() for one in findings]))
    else:
        print(table(["", "what", "found"], [[one.level, one.what, one.found] for one in findings]))
        for one in findings:
            if one.advice:
                print(f"\n{one.level}: {one.what}: {one.found}\n  {one.advice}")
    return 1 if any(one.level == ERROR for one in findings) else 0


def _versions() -> Iterator[Finding]:
    yield Finding(OK, "nbray", f"{__version__}, {ffi.string(lib.nbs_layout()).decode()}")
    yield Finding(OK, "Python", f"{platform.python_version()} ({sys.executable})")
    for name in _PACKAGES:
        try:
            yield Finding(OK, name, importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            yield Finding(ERROR, name, "is not installed", "pip install nbray brings it along.")


def _kernel() -> Iterator[Finding]:
    try:
        version = importlib.metadata.version("ipykernel")
    except importlib.metadata.PackageNotFoundError:
        return  # programs need none
    if version.split(".")[:2] in (["7", "0"], ["7", "1"], ["7", "2"], ["7", "3"]):
        advice = "It may overlook a cell that comes while it answers another, and wait for ever: pip install -U 'nbray[notebook]'."
        yield Finding(WARNING, "ipykernel", version, advice)
    else:
        yield Finding(OK, "ipykernel", version)


def _system() -> Iterator[Finding]:
    level = OK if sys.platform == "linux" and sys.maxsize > 2**32 else ERROR
    yield Finding(level, "system", f"{platform.system()} {platform.release()}, {platform.machine()}")
    if not os.path.exists("/proc/self/stat"):
        yield Finding(ERROR, "/proc", "is not mounted", "Mount it: nbray tells processes apart by it.")
    try:
        os.close(os.memfd_create("nbray-doctor"))
        yield Finding(OK, "memfd", "works; /dev/shm is not needed")
    except OSError as error:
        yield Finding(
            ERROR,
            "memfd",
            f"is refused: {error.strerror}",
            "The seccomp profile of the container forbids memfd_create.",
        )
    try:
        os.close(os.pidfd_open(os.getpid()))
        yield Finding(OK, "pidfd", "works")
    except OSError as error:
        yield Finding(
            ERROR,
            "pidfd",
            f"is refused: {error.strerror}",
            "Linux 5.3 or newer is needed, and a seccomp profile that allows it.",
        )
    if os.geteuid() == 0:
        yield Finding(NOTE, "user", "root", "Tasks run as root too. An ordinary user is enough for nbray.")
    else:
        yield Finding(OK, "user", f"uid {os.geteuid()}")


def _memory() -> Iterator[Finding]:
    available, figures = memory_available()
    limits = Limits.from_environ(os.environ)
    share = int(available * limits.object_store_share)
    level = OK if share >= limits.object_store_min_bytes else ERROR
    yield Finding(
        level, "memory", f"{size(available)} available ({figures}); the object store would be {size(share)}",
        "" if level == OK else f"Free memory: the smallest store is {size(limits.object_store_min_bytes)}.",
    )  # fmt: skip
    yield Finding(OK, "CPUs", f"{machine.count_cpus()} usable of {os.cpu_count()}")
    yield from _gpus(machine.gpu_ids(), open_gpus())


def _gpus(numbers: list[int], gpus: Gpus | None) -> Iterator[Finding]:
    if not numbers:
        yield Finding(OK, "GPUs", "none")
    elif gpus is None:
        advice = "Tasks can use them; how busy they are is not shown. Is the NVIDIA driver's libnvidia-ml.so.1 there?"
        yield Finding(NOTE, "GPUs", f"{len(numbers)}; the driver's library (NVML) does not answer", advice)
    else:
        known = {sample.index: f"{sample.name}, {size(sample.total)}" for sample in gpus.read()}
        named = (f"{number}: {known.get(number, 'not told by the driver')}" for number in numbers)
        yield Finding(OK, "GPUs", f"{len(numbers)} ({'; '.join(named)})")


def _limits() -> Iterator[Finding]:
    needed = 256 + 8 * machine.count_cpus()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    level = OK if soft >= needed else WARNING if hard >= needed else ERROR
    advice = "" if level == OK else f"`ulimit -n {max(needed, 4096)}`, or raise the hard limit."
    yield Finding(level, "open files (ulimit -n)", f"{_limit(soft)} of at most {_limit(hard)}", advice)
    soft, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    level = OK if soft == resource.RLIM_INFINITY or soft > 512 else WARNING
    yield Finding(level, "processes (ulimit -u)", _limit(soft), "" if level == OK else "`ulimit -u 4096`")
    room = machine.processes_left()
    if room is None:
        yield Finding(OK, "processes of the cgroup", "no limit")
        return
    wanted = machine.count_cpus() + _SPARE_PROCESSES
    level = OK if room >= wanted else ERROR
    advice = "" if level == OK else f"At least {wanted} are needed: raise pids.max (docker run --pids-limit)."
    yield Finding(level, "processes of the cgroup", f"{room} more are allowed", advice)


def _limit(value: int) -> str:
    return "no limit" if value == resource.RLIM_INFINITY else str(value)


def _folders() -> Iterator[Finding]:
    base = session_dir.base_dir()
    parent = session_dir.user_dir(base)
    stats = os.statvfs(parent)
    free = stats.f_bavail * stats.f_frsize
    level = OK if free > 512 * 2**20 else WARNING
    advice = "" if level == OK else "Logs and spilled objects go there: set TMPDIR to a folder with more room."
    yield Finding(level, "session folder", f"{parent}, {size(free)} free", advice)
    if mounts.is_on_network(parent):
        advice = "Sockets and locks are not reliable there: set TMPDIR to a local folder."
        yield Finding(ERROR, "session folder", f"lies on {mounts.file_system(parent)}", advice)
    elif note := session_dir.moved():
        yield Finding(NOTE, "session folder", note)
    home = os.path.expanduser("~")
    if mounts.is_on_network(home):
        yield Finding(OK, "home", f"{home}, on {mounts.file_system(home)}; nothing of a session lies there")
    leftover = session_dir.dead(base)
    if leftover:
        yield Finding(
            NOTE,
            "leftover sessions",
            f"{len(leftover)} of clusters that have ended",
            "The next start removes them; so does `nbray stop`.",
        )


def _environment() -> Iterator[Finding]:
    for name in discovery.ENVIRONMENT:
        value = os.environ.get(name)
        if value:
            yield Finding(NOTE, name, value, "init() joins that cluster instead of starting one.")
    try:
        changed = Limits.from_environ(os.environ).changed
    except ValueError as error:
        yield Finding(ERROR, "environment", str(error), "init() refuses to start with it.")
        return
    for name, number in changed.items():
        yield Finding(NOTE, name, f"{number:g} (from the environment)")


def _clusters() -> Iterator[Finding]:
    found = discovery.live_sessions()
    if not found:
        yield Finding(OK, "clusters", "none is running")
    for session in found:
        what = f"cluster {session.name}"
        try:
            Observer(session.segment_socket, session.control_endpoint).close()
        except Exception as error:
            advice = f"`nbray stop --address {session.path} --force` ends it."
            yield Finding(ERROR, what, f"its daemon (pid {session.pid}) does not answer: {error}", advice)
        else:
            owner = "nbray start" if session.started_by == "start" else "a driver"
            yield Finding(OK, what, f"answers; daemon pid {session.pid}, started by {owner}, version {session.version}")


_CHECKS: tuple[Callable[[], Iterator[Any]], ...] = (
    _versions, _kernel, _system, _memory, _limits, _folders, _environment, _clusters,
)  # fmt: skip
