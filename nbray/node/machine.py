"""What this machine has: CPUs, GPUs, memory, within the limits of its container."""

from __future__ import annotations

import contextlib
import math
import os
import re
import resource

from nbray.core import visible_gpus

_NVIDIA_CARDS = "/proc/driver/nvidia/gpus"
_FILES_OF_NODE = 64  # its own, those of drivers, and of what is spilled
_FILES_OF_WORKER = 2
_CGROUP_CPU = "/sys/fs/cgroup/cpu.max"
_CGROUP1_QUOTA = "/sys/fs/cgroup/cpu/cpu.cfs_quota_us"
_CGROUP1_PERIOD = "/sys/fs/cgroup/cpu/cpu.cfs_period_us"


def count_cpus() -> int:
    """Return how many CPUs this process may use: affinity, and the container's quota."""
    cpus = len(os.sched_getaffinity(0))
    quota = _cpu_quota()
    return max(1, min(cpus, math.ceil(quota))) if quota else cpus


def _cpu_quota() -> float:
    text = _read(_CGROUP_CPU).split()
    if len(text) == 2 and text[0].isdigit():
        return int(text[0]) / int(text[1])
    quota, period = _read(_CGROUP1_QUOTA), _read(_CGROUP1_PERIOD)
    if quota.isdigit() and period.isdigit() and int(period):
        return int(quota) / int(period)
    return 0.0


def gpu_ids() -> list[int]:
    """Return the numbers of the GPUs that this process may use."""
    present = _nvidia_gpus()
    shown = visible_gpus.numbers(os.environ)
    return present if shown is None or not present else shown


def _nvidia_gpus() -> list[int]:
    try:
        return sorted(int(name[6:]) for name in os.listdir("/dev") if re.fullmatch(r"nvidia\d+", name))
    except OSError:
        return []


def raise_file_limit(wanted: int = 65536) -> int:
    """Raise this process's limit of open files, as far as it may; return what it is then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return wanted if soft == resource.RLIM_INFINITY else soft


def processes_for(files: int) -> int:
    """Return how many workers a daemon may have that may open so many files: it watches each, and has a connection to it."""
    return max(1, (files - _FILES_OF_NODE) // _FILES_OF_WORKER)


def too_low(num_cpus: int) -> str:
    """Return which limit of this machine leaves no room for a node; empty when none does."""
    files = _FILES_OF_NODE + 2 * _FILES_OF_WORKER * num_cpus
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < files:
        return f"Only {hard} files may be open (ulimit -n); at least {files} are needed for {num_cpus} CPUs."
    processes = num_cpus + 4
    left = processes_left()
    if left is not None and left < processes:
        return f"The cgroup allows only {left} more processes (pids.max); at least {processes} are needed for {num_cpus} CPUs."
    return ""


def processes_left() -> int | None:
    """Return how many more processes the cgroup allows; None when it sets no limit."""
    left = None
    for folder in ("/sys/fs/cgroup", f"/sys/fs/cgroup{_own_cgroup()}", "/sys/fs/cgroup/pids"):
        most, now = _read(f"{folder}/pids.max"), _read(f"{folder}/pids.current")
        if most.isdigit() and now.isdigit():
            room = max(0, int(most) - int(now))
            left = room if left is None else min(left, room)
    return left


def _own_cgroup() -> str:
    for line in _read("/proc/self/cgroup").splitlines():
        number, _, path = line.split(":", 2)
        if number == "0":
            return "" if path == "/" else path
    return ""


def file_of_kills() -> str:
    """Return the file in which the kernel counts the processes that it has ended for lack of memory.

    That of our own cgroup, where it can be seen: what is ended in others, be it another container, says nothing of us.
    """
    folders, names = [], []
    for line in _read("/proc/self/cgroup").splitlines():
        number, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            folders, names = [f"/sys/fs/cgroup/memory{path}", "/sys/fs/cgroup/memory"], ["memory.oom_control"]
            break
        if number == "0":
            folders, names = [f"/sys/fs/cgroup{path}", "/sys/fs/cgroup"], ["memory.events.local", "memory.events"]
    # In a container the path may be that of the host, and what is mounted its own group.
    files = [f"{folder}/{name}" for folder in folders for name in names]
    return next((file for file in files if "oom_kill " in _read(file)), "/proc/vmstat")


def has_address(address: str) -> bool:
    """Tell whether an IP address is one of this machine's."""
    import socket  # noqa: PLC0415 - `import nbray` comes by here

    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True


def addresses() -> list[str]:
    """Return the IPv4 addresses of this machine."""
    found = re.findall(r"\|-- (\S+)\n\s+/32 host LOCAL", _read("/proc/net/fib_trie"))
    return sorted(set(found)) or ["127.0.0.1"]


def gpu_kind() -> str:
    """Return the kind of this machine's GPUs as Ray calls it ("H100"), or nothing."""
    try:
        cards = sorted(os.listdir(_NVIDIA_CARDS))
    except OSError:
        return ""
    model = (
        re.search(r"^Model:\s*(.+)$", _read(f"{_NVIDIA_CARDS}/{cards[0]}/information"), re.MULTILINE) if cards else None
    )
    words = re.split(r"[\s-]+", model[1]) if model else []
    return next((word for word in words if word not in ("NVIDIA", "Tesla", "GeForce")), "")


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip()
    except (OSError, ValueError):
        return ""
