"""The two sockets of the control path: slow receivers, absent ones, bad frames."""

import os
import time
from pathlib import Path

import pytest
import zmq

from nbray.config import Limits
from nbray.wire import messages as m
from nbray.wire.channel import Dealer, Router, identity_of
from nbray.wire.codec import ProtocolError, encode


@pytest.fixture
def router():
    path = Path("/tmp") / f"nbc{os.getpid()}-{time.monotonic_ns() % 10**8}"
    made = Router(f"ipc://{path}", Limits({"send_queue_messages": 10, "backlog_messages": 50}))
    yield made
    made.close()
    path.unlink(missing_ok=True)


def joined(router, peer=7):
    """Return a dealer that the router knows."""
    dealer = Dealer(router.endpoint, "worker", peer, Limits({"send_queue_messages": 10}))
    dealer.send(m.StateRequest(1))
    while (received := router.receive()) is None:
        router.socket.poll(1000)
    assert received == (identity_of("worker", peer), m.StateRequest(1))
    return dealer


def test_there_and_back(router):
    dealer = joined(router)
    assert router.send(b"worker-7", m.LeaseRevokeNotice(3))
    assert dealer.receive(60_000) == m.LeaseRevokeNotice(3)
    assert dealer.receive() is None
    dealer.close()


def test_an_absent_receiver_is_told_at_once(router):
    assert not router.send(b"worker-99", m.LeaseRevokeNotice(3))
    assert router.counts["unreachable"] == 1 and not router.behind


def test_a_slow_receiver_gets_all_in_order_up_to_the_limit(router):
    dealer = joined(router)
    big = "x" * 100_000  # so that the kernel's buffers fill as well
    sent = 0
    while router.send(b"worker-7", m.RefusedNotice(f"{sent}:{big}")):
        sent += 1
        assert sent < 1000
    assert router.behind and router.counts["dropped"] == 1
    got = 0
    deadline = time.monotonic() + 60
    while got < sent:
        assert time.monotonic() < deadline
        message = dealer.receive(50)
        if message is not None:
            assert message.reason.startswith(f"{got}:")
            got += 1
        router.flush()
    assert not router.behind
    assert dealer.receive(20) is None
    dealer.close()


def test_what_is_kept_for_the_dead_is_forgotten(router):
    dealer = joined(router)
    while not router.behind:
        router.send(b"worker-7", m.RefusedNotice("x" * 100_000))
    dealer.close()
    router.forget(b"worker-7")
    assert not router.behind


def test_all_that_a_dead_process_said_is_there_when_its_connection_has_ended(router):
    for peer in range(20):
        dealer = joined(router, peer)
        identity = identity_of("worker", peer)
        assert router.is_connected(identity)
        for number in range(8):
            dealer.socket.send(encode(m.LeaseRevokeNotice(number)))
        dealer.context.destroy(linger=10_000)  # all of it is in the kernel, or further; it is less than a queue holds
        deadline = time.monotonic() + 60
        said, connected = [], True
        while connected:
            assert time.monotonic() < deadline
            connected = router.is_connected(identity)
            while (received := router.receive()) is not None:
                said.append(received)
        assert said == [(identity, m.LeaseRevokeNotice(number)) for number in range(8)]


def test_bad_frames(router):
    dealer = joined(router)
    for frames in ([b""], [b"\xc1"], [b"a", b"b"], [b"x"] * 20):
        dealer.socket.send_multipart(frames)
        assert router.socket.poll(60_000)
        identity, error = router.receive()
        assert identity == b"worker-7" and isinstance(error, ProtocolError)
    assert router.counts["refused"] == 4
    with pytest.raises(zmq.Again):
        for _ in range(100_000):
            dealer.send(m.RefusedNotice("y" * 100_000))
    dealer.close()
