"""What a process says to its daemon is something that the daemon reads; else whoever says it hears of it."""

import pytest
import zmq

from nbray.core.control_client import ControlClient
from nbray.exceptions import RaySystemError
from nbray.wire import messages as m
from nbray.wire.codec import decode


@pytest.fixture
def daemon(tmp_path):
    context = zmq.Context()
    socket = context.socket(zmq.ROUTER)
    socket.bind(f"ipc://{tmp_path}/control")
    yield socket
    context.destroy(linger=0)


@pytest.fixture
def client(daemon):
    client = ControlClient(daemon.getsockopt_string(zmq.LAST_ENDPOINT), b"driver-1", lambda messages: messages.clear())
    yield client
    client.close()


def test_a_message_that_the_daemon_cannot_read_is_an_error_at_once(daemon, client):
    unreadable = m.LeaseRequest(request_id=1, resources={"CPU": "two"}, count=1)
    with pytest.raises(RaySystemError, match=r"LeaseRequest.*resources"):
        client.send(unreadable)
    with pytest.raises(RaySystemError, match="LeaseRequest"):  # and nobody waits for the answer
        client.request(unreadable, wait=lambda seconds: pytest.fail("waits"))
    good = m.LeaseRequest(request_id=2, resources={"CPU": 20_000}, count=1)
    client.send(good)
    assert daemon.poll(10_000)
    assert decode(daemon.recv_multipart()[-1]) == good
