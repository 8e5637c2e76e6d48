"""Channels between real processes: tasks, results, deaths on either side, a full ring."""

from __future__ import annotations

import os
import signal
import struct
import time
from collections.abc import Callable

import pytest
from nbray._cstore import ffi, lib

from nbray.store.segment import Segment, create

NULL = ffi.NULL
SLICE_NS = 50_000_000


class Worker:
    """A forked process that serves one channel with a function of (message, payload)."""

    def __init__(self, fd: int, serve: Callable[[Segment, object, bytes], None]) -> None:
        read_end, write_end = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                segment = Segment(fd)
                os.write(write_end, struct.pack("<Q", segment.peer))
                message, payload = ffi.new("nbs_msg *"), ffi.new("void **")
                while True:
                    if lib.nbs_take(segment.handle, message, payload) == 1:
                        serve(segment, message, bytes(ffi.buffer(payload[0], message.len)))
                    else:
                        lib.nbs_wait(segment.handle, lib.NBS_READY_SERVED, SLICE_NS)
            finally:
                os._exit(1)
        (self.peer,) = struct.unpack("<Q", os.read(read_end, 8))
        os.close(read_end)
        os.close(write_end)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


class Owner:
    """This process's end of one channel."""

    def __init__(self, segment: Segment, worker: int, ring_bytes: int = 0) -> None:
        self.segment, self.buffer = segment, ffi.new("char[]", 1 << 18)
        out = ffi.new("uint32_t *")
        assert lib.nbs_chan_open(segment.handle, worker, ring_bytes, out) == 0
        self.chan = out[0]

    def send(self, seq: int, payload: bytes, kind: int = lib.NBS_MSG_TASK) -> int:
        return lib.nbs_send(
            self.segment.handle, self.chan, kind, 0, seq, 0, 0, payload, len(payload), NULL, 0, NULL
        )  # fmt: skip

    def receive(self, count: int) -> list[tuple[int, int, bytes]]:
        """Return `count` messages as (seq, flags, payload)."""
        found: list[tuple[int, int, bytes]] = []
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            size = lib.nbs_recv_many(self.segment.handle, self.buffer, len(self.buffer))
            assert size >= 0
            at = 0
            while at < size:
                head = ffi.cast("nbs_msg *", self.buffer + at)
                found.append((head.seq, head.flags, bytes(ffi.buffer(self.buffer + at + 32, head.len))))
                at += 32 + (head.len + 7) // 8 * 8
            if len(found) >= count:
                return found
            if size == 0:
                lib.nbs_wait(self.segment.handle, lib.NBS_READY_OWNED, SLICE_NS)
        raise AssertionError(f"{len(found)} of {count} messages came")


def echo(segment: Segment, message, payload: bytes) -> None:
    while True:
        status = lib.nbs_send(
            segment.handle, message.chan, lib.NBS_MSG_RESULT, 0, message.seq, 0, 0, payload, len(payload), NULL, 0, NULL
        )  # fmt: skip
        if status != lib.NBS_EAGAIN:
            return
        os.sched_yield()


@pytest.fixture
def node():
    fd = create(1 << 20)
    with Segment(fd) as segment:
        yield segment, fd
        segment.validate()
        assert segment.stats()["n_slots"] == 1
        assert segment.stats()["n_channels"] == 0
    os.close(fd)


def counters(segment: Segment) -> list[int]:
    out = ffi.new("int64_t[]", lib.NBS_N_COUNTERS)
    assert lib.nbs_counters(segment.handle, out) == 0
    return list(out)


def test_tasks_and_results(node):
    segment, fd = node
    worker = Worker(fd, echo)
    owner = Owner(segment, worker.peer)
    sent = 0
    results: list[tuple[int, int, bytes]] = []
    while len(results) < 5000:  # a ring holds far less: back-pressure
        while sent < 5000 and owner.send(sent, b"%d" % sent * 20) == 0:
            sent += 1
        results += owner.receive(1)
    assert [seq for seq, _, _ in results] == list(range(5000))
    assert all(payload == b"%d" % seq * 20 for seq, _, payload in results)
    assert counters(segment)[:6] == [5000, 5000, 0, 0, 5000, 5000]
    worker.kill()
    segment.recover(worker.peer)
    assert counters(segment)[:6] == [5000, 5000, 0, 0, 5000, 5000]
    assert owner.send(1, b"") == lib.NBS_EDEAD
    assert lib.nbs_chan_close(segment.handle, owner.chan) == 0


def test_full_ring_and_largest_message(node):
    segment, fd = node
    worker = Worker(fd, echo)
    os.kill(worker.pid, signal.SIGSTOP)
    owner = Owner(segment, worker.peer, 8192)
    largest = lib.nbs_chan_max_payload(segment.handle, owner.chan)
    assert owner.send(0, bytes(largest + 1)) == lib.NBS_ETOOBIG
    count = 0
    while owner.send(count, bytes([count]) * largest) == 0:
        count += 1
    assert count >= 2
    assert owner.send(count, bytes(largest)) == lib.NBS_EAGAIN
    os.kill(worker.pid, signal.SIGCONT)
    assert owner.receive(count) == [(i, 0, bytes([i]) * largest) for i in range(count)]
    assert lib.nbs_chan_close(segment.handle, owner.chan) == 0
    worker.kill()
    segment.recover(worker.peer)


def test_worker_killed_in_a_task(node):
    segment, fd = node

    def answer_then_die(s, message, payload):
        if message.seq == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        echo(s, message, payload)

    worker = Worker(fd, answer_then_die)
    owner = Owner(segment, worker.peer)
    for seq in range(6):
        assert owner.send(seq, b"x") == 0
    os.waitpid(worker.pid, 0)
    seq = ffi.new("uint64_t *")
    assert lib.nbs_running(segment.handle, owner.chan, seq, NULL) == 1
    assert seq[0] == 3
    assert not segment.alive(worker.peer)
    segment.recover(worker.peer)
    assert lib.nbs_wait(segment.handle, lib.NBS_READY_OWNED, SLICE_NS) == lib.NBS_READY_OWNED
    assert [r[0] for r in owner.receive(3)] == [0, 1, 2]  # what it had answered is not lost
    assert lib.nbs_chan_peer(segment.handle, owner.chan) == 0
    assert counters(segment)[4] == counters(segment)[5] == 4  # nothing runs any more
    assert lib.nbs_chan_close(segment.handle, owner.chan) == 0


def test_owner_killed(node):
    segment, fd = node
    read_end, write_end = os.pipe()

    def tell(s, message, payload):
        os.write(write_end, b"t")

    worker = Worker(fd, tell)
    pid = os.fork()
    if pid == 0:
        mine = Segment(fd)
        Owner(mine, worker.peer).send(1, b"x")
        os.write(write_end, struct.pack("<Q", mine.peer))
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    seen = b""
    while len(seen) < 9:
        seen += os.read(read_end, 9)
    (peer,) = struct.unpack("<Q", seen.replace(b"t", b"", 1) if seen[:1] == b"t" else seen[:8])
    segment.recover(peer)
    deadline = time.monotonic() + 60
    while segment.stats()["n_channels"] and time.monotonic() < deadline:  # the worker lets go by itself
        lib.nbs_wait(segment.handle, lib.NBS_READY_RING, SLICE_NS)
    assert segment.stats()["n_channels"] == 0
    worker.kill()
    segment.recover(worker.peer)
    os.close(read_end)
    os.close(write_end)


def test_cancel_reaches_only_the_running_task(node):
    segment, fd = node
    read_end, write_end = os.pipe()

    def interruptible(s, message, payload):
        caught: list[int] = []
        signal.signal(signal.SIGUSR1, lambda *_: caught.append(lib.nbs_cancel_wanted(s.handle)))
        os.write(write_end, b"r")
        while not caught:
            signal.pause()
        echo(s, message, b"cancelled" if caught[0] else b"not meant")

    worker = Worker(fd, interruptible)
    owner = Owner(segment, worker.peer)
    assert lib.nbs_cancel_running(segment.handle, owner.chan, 1, signal.SIGUSR1) == lib.NBS_ESTATE
    assert owner.send(1, b"") == 0
    assert os.read(read_end, 1) == b"r"
    assert lib.nbs_cancel_running(segment.handle, owner.chan, 2, signal.SIGUSR1) == lib.NBS_ESTATE
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:  # the first may come between the look and the pause
        assert lib.nbs_cancel_running(segment.handle, owner.chan, 1, signal.SIGUSR1) in (0, lib.NBS_ESTATE)
        if lib.nbs_wait(segment.handle, lib.NBS_READY_OWNED, SLICE_NS):
            break
    assert owner.receive(1) == [(1, 0, b"cancelled")]
    worker.kill()
    segment.recover(worker.peer)
    assert lib.nbs_chan_close(segment.handle, owner.chan) == 0
    os.close(read_end)
    os.close(write_end)
