"""What the launcher does while the daemon starts: touch the store's first memory."""

import os
import socket

import pytest

from nbray.config import Limits
from nbray.exceptions import SharedMemoryTooSmallError
from nbray.node import launcher, machine
from nbray.node.segment import make_segment

MIB = 1 << 20
STORE, AHEAD = 64 * MIB, 8 * MIB


@pytest.fixture
def segment():
    descriptor = make_segment(STORE)
    yield descriptor
    os.close(descriptor)


@pytest.fixture
def daemon():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def touched_by(segment, call):
    def blocks():
        return os.fstat(segment).st_blocks * 512

    before = blocks()
    call()
    return blocks() - before


def test_memory_is_touched_until_the_daemon_answers(segment, daemon, monkeypatch):
    monkeypatch.setattr(machine, "count_cpus", lambda: 2)
    ours, theirs = daemon
    assert touched_by(segment, lambda: launcher._fill(segment, AHEAD, ours)) == AHEAD
    theirs.send(b"ready")
    assert touched_by(segment, lambda: launcher._fill(segment, 2 * AHEAD, ours)) == 0


def test_the_only_processor_is_the_daemons(segment, daemon, monkeypatch):
    monkeypatch.setattr(machine, "count_cpus", lambda: 1)
    assert touched_by(segment, lambda: launcher._fill(segment, AHEAD, daemon[0])) == 0


def test_no_more_is_touched_than_the_store_has(segment, daemon, monkeypatch):
    monkeypatch.setattr(machine, "count_cpus", lambda: 2)
    assert STORE <= touched_by(segment, lambda: launcher._fill(segment, 1 << 40, daemon[0])) < STORE + MIB


def test_the_store_takes_a_part_of_what_is_available():
    assert launcher._capacity(0, 1000 * MIB, "", Limits()) == 300 * MIB
    assert launcher._capacity(0, 1000 * MIB, "", Limits({"object_store_share": 0.5})) == 500 * MIB
    with pytest.raises(SharedMemoryTooSmallError, match=r"52,428,800 bytes are available \(figures\), 30% of that"):
        launcher._capacity(0, 50 * MIB, "figures", Limits())
