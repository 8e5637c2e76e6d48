"""A way from the kernel to the worker of a running cell, for what the front end sends to its widgets.

The runtime takes output from a worker at any time, but what it brings there waits until the cell is over. So a worker whose cell
opens a comm listens at a socket of the abstract kind, which has no file and is gone with the process. Both ends look at the
user of the other one. Messages are msgpack behind their length.
"""

from __future__ import annotations

import os
import secrets
import socket
import struct
import threading
from collections.abc import Callable
from typing import Any

import msgspec

MAX_BYTES = 1 << 30  # of one message: the front end may upload a file
SEND_TIMEOUT_S = 1.0  # of a worker that does not read
_LENGTH = struct.Struct("<Q")
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid

Message = tuple[str, str, Any, list[bytes]]  # comm, message, data, buffers


def _is_ours(connection: socket.socket) -> bool:
    found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return bool(_CREDENTIALS.unpack(found)[1] == os.getuid())


class Listener:
    """The worker's end: calls ``handle`` for each message, on a thread of its own."""

    def __init__(self, handle: Callable[[Message], None]) -> None:
        self._handle = handle
        self.address = f"nbray-{os.getpid()}-{secrets.token_hex(8)}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind("\0" + self.address)
        self._socket.listen()
        threading.Thread(target=self._run, name="nbray-comms", daemon=True).start()

    def _run(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            with connection:
                if _is_ours(connection):
                    self._serve(connection)

    def _serve(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as file:
            while len(head := file.read(_LENGTH.size)) == _LENGTH.size:
                (length,) = _LENGTH.unpack(head)
                data = file.read(length) if length <= MAX_BYTES else b""
                if len(data) < length:
                    return  # the kernel has died
                self._handle(msgspec.msgpack.decode(data, type=Message))


class Link:
    """The kernel's end, connected at the first message."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket: socket.socket | None = None
        self._lock = threading.Lock()
        self.broken = False

    def send(self, message: Message) -> bool:
        """Send a message; False: the worker is gone, or does not read."""
        data = msgspec.msgpack.encode(message)
        with self._lock:
            if self.broken:
                return False
            try:
                if self._socket is None:
                    self._socket = self._connect()
                self._socket.sendall(_LENGTH.pack(len(data)) + data)
                return True
            except OSError:
                self._close()
                return False

    def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(SEND_TIMEOUT_S)
            connection.connect("\0" + self.address)
            if not _is_ours(connection):
                raise ConnectionRefusedError(f"@{self.address} belongs to somebody else")
        except BaseException:
            connection.close()
            raise
        return connection

    def _close(self) -> None:
        self.broken = True
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def close(self) -> None:
        with self._lock:
            self._close()
