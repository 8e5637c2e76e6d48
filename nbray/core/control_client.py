"""The process's connection to its node daemon: a ZeroMQ DEALER, used under one lock.

The daemon rings this process's doorbell after each message, so nobody blocks on the
socket: whoever wakes up calls ``poll``.
"""

from __future__ import annotations

import itertools
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import zmq

from nbray.exceptions import RaySystemError
from nbray.wire.codec import ProtocolError, decode, encode
from nbray.wire.messages import Message

MAX_MESSAGE_BYTES = 1 << 20
_LOOK_AGAIN_MS = 0.5


class ControlClient:
    """Sends control messages and hands the answers to ``handler``.

    Parameters
    ----------
    endpoint : str
        Of the daemon's ROUTER.
    identity : bytes
        Name of this process at the ROUTER.
    handler : callable
        Called with the deque of messages that have arrived and are not the answer to
        ``request``; it takes them from the left, in order, under a lock of its own. It runs
        in whichever thread polls, without the socket's lock.
    """

    def __init__(self, endpoint: str, identity: bytes, handler: Callable[[deque[Message]], None]) -> None:
        self._context = zmq.Context(io_threads=1)
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.IDENTITY, identity)
        self._socket.setsockopt(zmq.LINGER, 200)
        self._socket.setsockopt(zmq.SNDHWM, 100_000)
        self._socket.setsockopt(zmq.RCVHWM, 100_000)
        self._socket.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE_BYTES)
        self._socket.setsockopt(zmq.HANDSHAKE_IVL, 3000)
        self._socket.connect(endpoint)
        self._descriptor: int = self._socket.FD
        self.lock = threading.RLock()
        self._handler = handler
        self._inbox: deque[Message] = deque()  # arrived, not handled
        self._replies: dict[int, tuple[int, list[Any]]] = {}  # request id -> thread that waits, answers
        self.answered: Callable[[], None] | None = None  # called when this thread took the answer to another's request
        self._arrived = 0  # messages, ever
        self._soon: list[Message] = []  # not sent yet, see send_soon
        self._ids = itertools.count(1)
        self.closed = False

    def send_soon(self, message: Message) -> None:
        """Send before the next message, or at the next ``flush``: for what nobody waits for.

        A message by itself costs a system call here and wakes two threads elsewhere.
        """
        with self.lock:
            self._soon.append(message)

    @property
    def unsent(self) -> bool:
        """Whether ``flush`` has something to send."""
        return bool(self._soon)

    def flush(self) -> None:
        """Send what was to be sent soon."""
        if self._soon:
            with self.lock:
                waiting, self._soon = self._soon, []
                for message in waiting:
                    self._send(message)

    def send(self, message: Message) -> None:
        """Send without waiting for anything."""
        self.flush()
        self._send(message)

    def _send(self, message: Message) -> None:
        with self.lock:
            if self.closed:
                return
            frame = encode(message)
            try:
                decode(frame)  # the daemon would refuse what it cannot read, and the answer never come
            except ProtocolError as error:
                raise RaySystemError(
                    f"nbray met a bug: its {type(message).__name__} is none that the node daemon reads ({error})."
                ) from None
            try:
                self._socket.send(frame, zmq.NOBLOCK)
            except zmq.Again:
                raise RaySystemError("The node daemon does not take messages any more (its queue is full).") from None

    def poll(self) -> bool:
        """Handle all messages that have arrived; True when there was one."""
        some = for_others = False
        with self.lock:
            while not self.closed:
                try:
                    frame = self._socket.recv(zmq.NOBLOCK)
                except zmq.Again:
                    break
                some = True
                self._arrived += 1
                message = decode(frame)
                request_id = getattr(message, "request_id", 0)
                waiting = self._replies.get(request_id) if request_id else None
                if waiting is not None:
                    waiting[1].append(message)
                    for_others = for_others or waiting[0] != threading.get_ident()
                else:
                    self._inbox.append(message)
        if self._inbox:
            self._handler(self._inbox)
        if for_others and self.answered is not None:
            self.answered()
        return some

    def poll_soon(self, timeout_ms: int) -> bool:
        """As ``poll``, but wait a little for the first message.

        The doorbell is quicker than ZeroMQ's threads: when it wakes somebody, the message is
        on its way. Others may send meanwhile, so the lock is not held; the descriptor tells of
        changes only, and may have told another thread, so it is looked again now and then.
        """
        arrived = self._arrived
        deadline = time.monotonic() + timeout_ms / 1000
        while not self.poll():
            left = deadline - time.monotonic()
            if left <= 0 or self.closed or self._arrived != arrived:
                return False
            changes = select.poll()
            changes.register(self._descriptor, select.POLLIN)
            changes.poll(min(left * 1000, _LOOK_AGAIN_MS))
        return True

    def next_id(self) -> int:
        """Return a number for a request that this process has not used."""
        return next(self._ids)

    def request(
        self, message: Any, wait: Callable[[float], None], timeout_s: float = 10.0,
        complete: Callable[[list[Any]], bool] = bool,
    ) -> list[Any]:  # fmt: skip
        """Send a request and return its answers.

        Other messages that arrive meanwhile go to the handler.

        Parameters
        ----------
        message : Message
            With a ``request_id`` from ``next_id``.
        wait : callable
            Called with a number of seconds; sleeps until something may have arrived.
        timeout_s : float
        complete : callable
            Tells whether these answers are all.

        Raises
        ------
        RaySystemError
            When the daemon does not answer in time.
        """
        answers: list[Any] = []
        self._replies[message.request_id] = (threading.get_ident(), answers)
        deadline = time.monotonic() + timeout_s
        try:
            self.send(message)
            while not complete(answers):
                self.poll()
                if complete(answers):
                    break
                left = deadline - time.monotonic()
                if left <= 0:
                    raise RaySystemError(
                        f"The node daemon did not answer {type(message).__name__} within {timeout_s:g} s."
                    )
                wait(min(left, 0.05))
            return answers
        finally:
            self._replies.pop(message.request_id, None)

    def close(self) -> None:
        """Close; messages already sent get 200 ms to leave."""
        with self.lock:
            if not self.closed:
                self.flush()
                self.closed = True
                self._socket.close()
                self._context.term()
