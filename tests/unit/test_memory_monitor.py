"""Whose death the kernel's lack of memory explains."""

import signal
from types import SimpleNamespace

import pytest

from nbray.node import memory_monitor
from nbray.node.worker_processes import UNKNOWN_STATUS


@pytest.fixture
def kernel(monkeypatch):
    """The kernel's count of processes that it has ended."""
    count = SimpleNamespace(kills=7)
    monkeypatch.setattr(memory_monitor, "_kernel_kills", lambda: count.kills)
    return count


def make_monitor():
    segment = SimpleNamespace(memory_limit=lambda: (1 << 30, 0))
    node = SimpleNamespace(
        limits=SimpleNamespace(memory_limit_share=0.0), processes=SimpleNamespace(by_token={}), segment=segment
    )
    return memory_monitor.MemoryMonitor(node)


def dies(monitor, status=signal.SIGKILL):
    worker = SimpleNamespace(stop_reason="", out_of_memory=False)
    monitor.explain_death(worker, status)
    return worker.out_of_memory


def test_a_worker_that_takes_its_time_to_die_was_ended_by_the_kernel(kernel):
    for looks in range(25):  # whenever the count is taken
        monitor = make_monitor()
        kernel.kills += 1
        for _ in range(looks):
            monitor.look()
        assert dies(monitor), looks
        assert not dies(monitor), "each is told of once"


def test_two_that_the_kernel_ended_at_once(kernel):
    """The first may be dead, and be told of, before the second has given its memory back."""
    for looks in range(25):
        monitor = make_monitor()
        kernel.kills += 2
        assert dies(monitor)
        for _ in range(looks):
            monitor.look()
        assert dies(monitor), looks
        assert not dies(monitor)


def test_who_was_killed_by_hand_was_not(kernel):
    monitor = make_monitor()
    assert not dies(monitor)
    kernel.kills += 1  # somebody else
    for _ in range(100):
        monitor.look()
    assert not dies(monitor)


def test_of_whom_nobody_knows_how_he_ended_the_kernels_count_tells(kernel):
    monitor = make_monitor()
    assert not dies(monitor, UNKNOWN_STATUS)
    kernel.kills += 1
    assert not dies(monitor, 0)  # it exited
    assert dies(monitor, UNKNOWN_STATUS)
