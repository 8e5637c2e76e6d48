"""Hand the segment's descriptor from the daemon to the processes of the node.

A unix socket in the session directory. Whoever connects, runs as the same user, and is
thereby allowed to map the segment, gets the descriptor by SCM_RIGHTS with a line of JSON.
"""

from __future__ import annotations

import array
import contextlib
import json
import os
import socket
import struct

_UCRED = struct.Struct("3i")
_PART = 4096
_NO_FILES = b'{"error": "it has as many files open as it may (ulimit -n)"}\n'


def listen(path: str) -> socket.socket:
    """Return the daemon's listening socket at ``path`` (0600, not blocking)."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        listener.bind(path)
        os.chmod(path, 0o600)
        listener.listen(1024)
    except BaseException:
        listener.close()
        raise
    return listener


def serve_one(listener: socket.socket, segment_fd: int, greeting: dict[str, object], last_file: int = 1 << 30) -> int:
    """Accept one connection and hand over the descriptor; not when the connection's own is above ``last_file``.

    Returns
    -------
    int
        The pid that got it, 0 when nobody was there, -1 when it was refused.
    """
    try:
        connection, _ = listener.accept()
    except OSError:  # nobody, or gone again
        return 0
    with connection:
        pid, uid, _gid = _UCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
        if uid != os.geteuid():
            return -1
        if connection.fileno() > last_file:
            with contextlib.suppress(OSError):
                connection.sendall(_NO_FILES)
            return -1
        with contextlib.suppress(OSError):
            send_descriptor(connection, segment_fd, greeting)
        return pid


def send_descriptor(connection: socket.socket, descriptor: int, greeting: dict[str, object]) -> None:
    """Send one descriptor along with the line ``greeting``."""
    rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]).tobytes())
    line = json.dumps(greeting).encode("utf-8") + b"\n"
    rest = line[connection.sendmsg([line], [rights]) :]
    if rest:  # who has all of it may be gone
        connection.sendall(rest)


def receive_descriptor(connection: socket.socket) -> tuple[int, dict[str, object]]:
    """Return (descriptor, greeting); the descriptor is -1 when none came along.

    Raises
    ------
    ConnectionError
        When the other side closed without a word.
    """
    data, ancillary, _flags, _address = connection.recvmsg(
        _PART, socket.CMSG_SPACE(struct.calcsize("i")), socket.MSG_CMSG_CLOEXEC
    )
    received = array.array("i")
    for level, kind, payload in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            received.frombytes(payload[: len(payload) - len(payload) % received.itemsize])
    while data and not data.endswith(b"\n"):  # JSON has none inside
        more = connection.recv(_PART)
        if not more:
            break
        data += more
    if not data:
        raise ConnectionError("the node daemon closed the connection")
    return (received[0] if received else -1), json.loads(data)


def receive_segment(path: str, timeout_s: float = 10.0) -> int:
    """Connect to the daemon's socket at ``path`` and return the segment's descriptor.

    The caller owns it. Raises OSError when the daemon is not there.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_s)
        connection.connect(path)
        descriptor, greeting = receive_descriptor(connection)
    if descriptor < 0:
        raise ConnectionError(greeting.get("error") or f"no segment came from {path}")
    return descriptor
