"""What the machine has, within its container."""

import os

import pytest

from nbray.config import Limits
from nbray.exceptions import SharedMemoryTooSmallError
from nbray.node import launcher, machine


@pytest.mark.parametrize(
    ("files", "cpus"),
    [
        ({}, 8),
        ({machine._CGROUP_CPU: "max 100000"}, 8),
        ({machine._CGROUP_CPU: "150000 100000"}, 2),
        ({machine._CGROUP_CPU: "10000 100000"}, 1),
        ({machine._CGROUP1_QUOTA: "-1", machine._CGROUP1_PERIOD: "100000"}, 8),
        ({machine._CGROUP1_QUOTA: "400000", machine._CGROUP1_PERIOD: "100000"}, 4),
    ],
)
def test_cpus(monkeypatch, files, cpus):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    monkeypatch.setattr(machine, "_read", lambda path: files.get(path, ""))
    assert machine.count_cpus() == cpus


@pytest.mark.parametrize(
    ("visible", "gpus"),
    [
        (None, [0, 1, 2]),
        ("1,2", [1, 2]),
        ("", []),
        ("-1", []),
        ("0,GPU-abc", [0]),
        (" 2 ", [2]),
        ("GPU-a, MIG-b,1", [0, 1]),
    ],
)
def test_gpus(monkeypatch, visible, gpus):
    monkeypatch.setattr(os, "listdir", lambda path: ["nvidia1", "nvidia0", "nvidia2", "nvidiactl", "null"])
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert machine.gpu_ids() == gpus


def test_capacity():
    available = 1 << 30
    assert launcher._capacity(0, available, "", Limits()) == int(available * 0.3) // 4096 * 4096
    assert launcher._capacity(100 << 20, available, "", Limits()) == 100 << 20
    for asked, have in ((2 << 30, available), (1 << 20, available), (0, 1 << 20)):
        with pytest.raises(SharedMemoryTooSmallError, match="object_store_memory"):
            launcher._capacity(asked, have, "figures", Limits())


def test_a_store_that_does_not_fit_is_answered_with_a_size_that_does():
    available = 1 << 30
    with pytest.raises(SharedMemoryTooSmallError, match=f"object_store_memory={available // 2} or less"):
        launcher._capacity(2 << 30, available, "figures", Limits())
    for little in (0, 20 << 20):
        with pytest.raises(SharedMemoryTooSmallError, match="Free memory") as caught:
            launcher._capacity(100 << 20, little, "figures", Limits())
        assert "or less" not in str(caught.value)


def test_totals(monkeypatch):
    monkeypatch.setattr(machine, "gpu_ids", lambda: [4, 7])
    monkeypatch.setattr(machine, "count_cpus", lambda: 3)
    totals, gpus = launcher._totals({"disk": 5}, 1000, 300, "10.0.0.1")
    assert (totals["CPU"], totals["GPU"], gpus, totals["disk"]) == (30000, 20000, [4, 7], 5)
    assert totals["memory"] == 700 * 10000 and totals["object_store_memory"] == 300 * 10000
    assert totals["node:10.0.0.1"] == 10000
    totals, gpus = launcher._totals({"CPU": 0, "GPU": 10000}, 1000, 300, "h")
    assert "CPU" not in totals and gpus == [4]
    assert launcher._totals({"GPU": 30000}, 1000, 300, "h")[1] == [4, 7, 0]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, "/proc/vmstat"),
        ({"/proc/self/cgroup": "0::/"}, "/proc/vmstat"),  # no container: the machine's own group counts nothing
        (
            {"/proc/self/cgroup": "0::/a", "/sys/fs/cgroup/a/memory.events": "oom 0\noom_kill 2"},
            "/sys/fs/cgroup/a/memory.events",
        ),
        (
            {"/proc/self/cgroup": "0::/of/the/host", "/sys/fs/cgroup/memory.events.local": "oom_kill 0"},
            "/sys/fs/cgroup/memory.events.local",
        ),
        (
            {
                "/proc/self/cgroup": "4:cpu,memory:/b\n0::/",
                "/sys/fs/cgroup/memory/b/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 1",
            },
            "/sys/fs/cgroup/memory/b/memory.oom_control",
        ),
        (
            {"/proc/self/cgroup": "4:memory:/b", "/sys/fs/cgroup/memory/b/memory.oom_control": "oom_kill_disable 0"},
            "/proc/vmstat",  # an old kernel
        ),
    ],
)
def test_whom_the_kernel_has_ended_in_our_own_group(monkeypatch, files, expected):
    monkeypatch.setattr(machine, "_read", lambda path: files.get(path, ""))
    assert machine.file_of_kills() == expected
