"""No message stops a daemon; what it says about itself; events."""

import os
import random
import signal
import socket
import subprocess
import sys

import msgspec
import pytest
import zmq
from daemon_kit import Driver, wait_for_dump, wait_until
from nbray._cstore import lib

from nbray.session_layout import LOGS, OWNER_FILE, RUN, SEGMENT_SOCKET
from nbray.wire import messages as m
from nbray.wire.channel import identity_of
from nbray.wire.codec import decode, encode

pytestmark = pytest.mark.slow


@pytest.fixture
def raw(driver):
    """A DEALER of its own that may send anything."""
    context = zmq.Context()
    dealer = context.socket(zmq.DEALER)
    dealer.linger = 0
    dealer.routing_id = b"worker-12345"
    dealer.connect(driver.node.control_endpoint)
    yield dealer
    context.destroy(linger=0)


def answer(dealer):
    assert dealer.poll(60_000)
    return decode(dealer.recv())


def test_garbage_is_refused_and_the_daemon_goes_on(driver, raw):
    rng = random.Random(1)
    for _ in range(300):
        raw.send(rng.randbytes(rng.randrange(0, 300)))
        assert isinstance(answer(raw), m.RefusedNotice)
    raw.send_multipart([b"x"] * 7)
    assert "one frame" in answer(raw).reason
    raw.send(encode(m.LeaseRequest(1, {"CPU": 1}, 1)))
    assert "not registered" in answer(raw).reason
    raw.send(encode(m.RegisterReply()))
    assert isinstance(answer(raw), m.RefusedNotice)
    assert driver.state().nodes


def test_messages_that_are_not_for_a_daemon_or_not_possible(driver):
    for message in (
        m.LeaseReply(1),
        m.StopNotice(),
        m.LeaseRequest(1, {"CPU": -5}, 1),
        m.LeaseRequest(1, {f"r{number}": 1 for number in range(200)}, 1),
        m.CreateActorRequest("", b"", "C", {}, {}),
        m.CreateActorRequest("x", b"", "C", {}, {"CPU": 1}),
    ):
        driver.send(message)
        assert driver.expect(m.RefusedNotice).reason
    # Unknown numbers are no error: the thing may just have ended.
    for message in (
        m.LeaseReturnNotice(99), m.KillWorkerRequest(99), m.CancelTaskNotice(99, 1), m.BlockedNotice(), m.UnblockedNotice(),
        m.KillActorRequest("no"), m.ActorReadyNotice("no", 0), m.ActorExitNotice("no"), m.ActorHandlesGoneNotice("no"),
    ):  # fmt: skip
        driver.send(message)
    assert driver.state().nodes
    assert not [message for message in driver.kept if isinstance(message, m.RefusedNotice)]


def random_value(rng, kind):
    info = msgspec.inspect
    if isinstance(kind, info.IntType):
        return rng.choice([0, 1, 2, 10000, 2**31, 2**63 - 1, -1])
    if isinstance(kind, info.StrType):
        return rng.choice(["", "CPU", "a" * 32, "x\0y", "n" * 3000])
    if isinstance(kind, info.BytesType):
        return rng.choice([b"", b"ok", b"raise", b"exit:1", rng.randbytes(28)])
    if isinstance(kind, info.BoolType):
        return rng.random() < 0.5
    if isinstance(kind, info.DictType):
        return {rng.choice(["CPU", "GPU", "zz"]): rng.choice([0, 1, 10000, 2**62]) for _ in range(rng.randrange(3))}
    if isinstance(kind, info.ListType):
        return []
    return None if isinstance(kind, info.NoneType) else random_value(rng, getattr(kind, "types", [info.NoneType()])[0])


def test_well_formed_nonsense_does_not_stop_the_daemon(start):
    """Messages of every kind with values that fit the types and nothing else."""
    driver = start(limits={"stop_grace_s": 0.1})
    rng = random.Random(7)
    kinds = [cls for cls in m.MESSAGES if cls not in (m.ShutdownRequest, m.GoodbyeNotice, m.EventsReply)]
    for number in range(600):
        cls = rng.choice(kinds)
        fields = msgspec.inspect.type_info(cls).fields
        driver.send(
            cls(
                **{
                    field.name: random_value(rng, field.type)
                    for field in fields
                    if rng.random() < 0.8 or field.required
                }
            )
        )
        if number % 50 == 49:
            driver.state()
    os.kill(driver.node.pid, signal.SIGUSR1)
    assert wait_for_dump(driver.node)["invariants"] == ""
    assert driver.node.is_alive()


def test_a_huge_message_ends_its_connection_only(driver, raw):
    raw.send(b"x" * (3 << 20))
    assert driver.state().nodes


def test_the_segment_socket_gives_nothing_else_and_survives(driver):
    for _ in range(50):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.connect(driver.node.segment_socket)
    assert driver.state().nodes
    for name in (LOGS, RUN, SEGMENT_SOCKET, OWNER_FILE):
        assert os.stat(os.path.join(driver.node.session_dir, name)).st_mode & 0o077 == 0
    assert os.stat(driver.node.session_dir).st_mode & 0o077 == 0
    for name in os.listdir(os.path.join(driver.node.session_dir, LOGS)):
        assert os.stat(os.path.join(driver.node.session_dir, LOGS, name)).st_mode & 0o077 == 0


STRANGER = """
import os, signal, sys
from nbray.store.segment import Segment
from nbray.wire.segment_socket import receive_segment
segment = Segment(receive_segment(sys.argv[1], 10.0))
segment.put(os.urandom(28), b"x" * (4 << 20))
print(segment.peer, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_process_held_that_died_before_it_registered_is_given_back(driver):
    done = subprocess.run(
        [sys.executable, "-c", STRANGER, driver.node.segment_socket], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    stranger = int(done.stdout)
    wait_until(lambda: lib.nbs_peer_at(driver.seg, stranger & 0xFFFFFFFF) != stranger)


def test_nothing_secret_is_in_the_command_line(driver):
    with open(f"/proc/{driver.node.pid}/cmdline", "rb") as file:
        line = file.read().decode()
    assert driver.node.session_dir not in line and driver.node.node_id not in line


def test_sigusr1_dumps_the_state(driver):
    driver.lease(name="f")
    os.kill(driver.node.pid, signal.SIGUSR1)
    dump = wait_for_dump(driver.node)
    assert dump["invariants"] == ""
    assert len(dump["leases"]) == 1


def test_events_come_back_with_their_names(driver):
    driver.send(m.DefineNotice(driver.peer, 3, "f" * 5000, origin="In [3]"))
    for number in range(100):
        assert lib.nbs_event_put(driver.seg, lib.NBS_EV_OTHER, 0, number, 3, 0) == 0
    driver.send(m.EventsRequest(5))
    block, definitions = b"", []
    while True:
        reply = driver.expect(m.EventsReply, request_id=5)
        block += reply.block
        definitions += reply.definitions
        if reply.last:
            break
    assert len(block) == 100 * 64 and reply.dropped == 0
    assert [definition.number for definition in definitions] == [3]
    assert len(definitions[0].name) == 200
    assert reply.monotonic_offset_ns > 0


def test_many_events_are_bounded_and_counted(start):
    driver = start(limits={"event_bytes": 64 * 1000})
    for number in range(5000):
        lib.nbs_event_put(driver.seg, lib.NBS_EV_OTHER, 0, number, 0, 0)
        if number % 500 == 0:
            driver.state()
    driver.send(m.EventsRequest(5))
    replies = []
    while not replies or not replies[-1].last:
        replies.append(driver.expect(m.EventsReply))
    kept = sum(len(reply.block) for reply in replies) // 64
    assert kept + replies[-1].dropped == 5000


def test_a_second_driver_shares_the_node_and_its_end_disturbs_nobody(driver):
    other = Driver(driver.node)
    try:
        assert other.registered.job_id == 2
        mine, theirs = driver.lease(), other.lease()
        assert mine.pid != theirs.pid
        other.send(m.LeaseReturnNotice(mine.lease_id))  # not its own: nothing happens
        assert driver.state().available["CPU"] == 0
        assert identity_of("driver", other.peer) != identity_of("driver", driver.peer)
    finally:
        other.close()
