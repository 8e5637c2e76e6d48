"""The ZeroMQ sockets of the control path; the only module that imports zmq.

A daemon has one Router, every other process one Dealer. A process is known by its
identity, ``role-peer``. ZeroMQ may lose what it cannot deliver, so the Router keeps what
did not fit in a bounded queue of its own and counts what it had to drop.
"""

from __future__ import annotations

import os
from collections import deque
from typing import Any

import zmq

from nbray.config import Limits
from nbray.wire.codec import ProtocolError, decode, encode
from nbray.wire.messages import Message

IN = zmq.POLLIN


def identity_of(role: str, peer: int) -> bytes:
    """Return the name under which a process connects."""
    return f"{role}-{peer}".encode("ascii")


class Router:
    """The daemon's end: receives from all, sends to each by its identity.

    Parameters
    ----------
    endpoint : str
        ``ipc://`` path in a 0700 directory.
    limits : Limits
    """

    def __init__(self, endpoint: str, limits: Limits) -> None:
        self.endpoint = endpoint
        self.context = zmq.Context(io_threads=1)
        self.socket = self.context.socket(zmq.ROUTER)
        self.socket.setsockopt(zmq.LINGER, limits.linger_ms)
        self.socket.setsockopt(zmq.MAXMSGSIZE, limits.max_message_bytes)
        self.socket.setsockopt(zmq.SNDHWM, limits.send_queue_messages)
        self.socket.setsockopt(zmq.RCVHWM, limits.send_queue_messages)
        self.socket.setsockopt(zmq.HANDSHAKE_IVL, 3000)
        self.socket.setsockopt(zmq.BACKLOG, 1024)
        self.socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self.socket.setsockopt(zmq.IPC_FILTER_UID, os.geteuid())  # others are refused, by their socket's credentials
        self.socket.bind(endpoint)
        if endpoint.startswith("ipc://"):
            os.chmod(endpoint.removeprefix("ipc://"), 0o600)
        self.counts = {"received": 0, "sent": 0, "refused": 0, "unreachable": 0, "dropped": 0}
        self._max_frames = limits.max_frames
        self._max_backlog = limits.backlog_messages
        self._backlog: dict[bytes, deque[bytes]] = {}

    def receive(self) -> tuple[bytes, Message] | tuple[bytes, ProtocolError] | None:
        """Return the next (identity, message), (identity, error) for a bad one, or None."""
        try:
            frames = self.socket.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return None
        identity, payload = frames[0], frames[1:]
        if len(payload) != 1:
            self.counts["refused"] += 1
            wanted = f"a message is one frame, at most {self._max_frames} with its envelope"
            return identity, ProtocolError(f"{wanted}; got {len(payload)}")
        try:
            message = decode(payload[0])
        except ProtocolError as error:
            self.counts["refused"] += 1
            return identity, error
        self.counts["received"] += 1
        return identity, message

    def send(self, identity: bytes, message: Message) -> bool:
        """Send, or keep for later when the receiver is slow; False when it is not there."""
        frame = encode(message)
        waiting = self._backlog.get(identity)
        if waiting is not None:
            if len(waiting) >= self._max_backlog:
                self.counts["dropped"] += 1
                return False
            waiting.append(frame)
            return True
        return self._push(identity, frame)

    def _push(self, identity: bytes, frame: bytes) -> bool:
        try:
            self.socket.send_multipart((identity, frame), zmq.NOBLOCK)
        except zmq.Again:
            self._backlog[identity] = deque([frame])
            return True
        except zmq.ZMQError as error:
            self.counts["unreachable" if error.errno == zmq.EHOSTUNREACH else "dropped"] += 1
            return False
        self.counts["sent"] += 1
        return True

    def flush(self) -> list[bytes]:
        """Try again to send what was kept; return whom something was sent to."""
        reached = []
        for identity in list(self._backlog):
            waiting = self._backlog.pop(identity)
            while waiting:
                if not self._push(identity, waiting[0]):
                    break
                if identity in self._backlog:  # full again
                    self._backlog[identity] = waiting
                    break
                waiting.popleft()
                reached.append(identity)
        return reached

    @property
    def behind(self) -> bool:
        """True while something is kept for a slow receiver."""
        return bool(self._backlog)

    def is_connected(self, identity: bytes) -> bool:
        """Tell whether the connection of a process that is dead still has to be read to its end.

        When not, all that it has sent can be received now. ZeroMQ tells of that only when one sends.
        """
        try:
            self.socket.send_multipart((identity, b""), zmq.NOBLOCK)  # nobody reads it
        except zmq.ZMQError as error:
            return error.errno != zmq.EHOSTUNREACH
        return True

    def forget(self, identity: bytes) -> None:
        """Drop what is kept for a process that is gone."""
        self._backlog.pop(identity, None)

    def close(self) -> None:
        """Close the socket and end the context."""
        self.context.destroy(linger=0)


class Dealer:
    """A process's end: one connection to its daemon.

    Not thread-safe: the caller makes sure that one thread at a time uses it.
    """

    def __init__(self, endpoint: str, role: str, peer: int, limits: Limits | None = None) -> None:
        limits = limits or Limits()
        self.context = zmq.Context(io_threads=1)
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.setsockopt(zmq.LINGER, limits.linger_ms)
        self.socket.setsockopt(zmq.MAXMSGSIZE, limits.max_message_bytes)
        self.socket.setsockopt(zmq.SNDHWM, limits.send_queue_messages)
        self.socket.setsockopt(zmq.RCVHWM, limits.send_queue_messages)
        self.socket.setsockopt(zmq.HANDSHAKE_IVL, 3000)
        self.socket.setsockopt(zmq.ROUTING_ID, identity_of(role, peer))
        self.socket.connect(endpoint)

    def send(self, message: Message) -> None:
        """Send; raises zmq.Again when a thousand messages wait already."""
        self.socket.send(encode(message), zmq.NOBLOCK)

    def receive(self, timeout_ms: int = 0) -> Message | None:
        """Return the next message, or None after ``timeout_ms``."""
        if timeout_ms and not self.socket.poll(timeout_ms):
            return None
        try:
            return decode(self.socket.recv(zmq.NOBLOCK))
        except zmq.Again:
            return None

    def close(self) -> None:
        """Close the connection."""
        self.context.destroy(linger=0)


def new_poller() -> Any:
    """Return a zmq.Poller for a loop that mixes sockets and descriptors."""
    return zmq.Poller()
