"""What C code and child processes write to descriptors 1 and 2 of a worker: where it lies until the worker has sent it.

Descriptor 2 is the worker's log, descriptor 1 a file beside it, so that the two can be told apart. The first page of that
file says how far both have been read. The worker has the page mapped: what it had not sent any more is known after its death.
"""

from __future__ import annotations

import contextlib
import os
import struct
from typing import IO

SUFFIX = ".stdout"  # behind the name of the log
BEGIN = 4096  # of what is written, behind the page
STDOUT, STDERR = 0, 1  # words of the page, u64: position up to which the file, or the log, has been read
LAST_BYTES = 16 * 1024  # of what a dead worker has not sent: so much is told
_LOGGED_BYTES = 1024 * 1024  # and so much of descriptor 1 goes into its log

_POSITIONS = struct.Struct("=QQ")


def create(log_path: str) -> int:
    """Make the file for descriptor 1 of the worker with this log; returns a descriptor that appends to it.

    Raises
    ------
    OSError
        When there can be none.
    """
    file = os.open(log_path + SUFFIX, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        if os.fstat(file).st_size < BEGIN:
            os.ftruncate(file, BEGIN)
    except BaseException:
        os.close(file)
        raise
    return file


def empty(log_path: str) -> None:
    """Drop what stands in the file, of a worker that lives."""
    os.truncate(log_path + SUFFIX, BEGIN)


def take_rest(log_path: str) -> dict[str, str]:
    """Return the end of what a dead worker had not sent, by stream; descriptor 1's goes into its log, and the file away."""
    found: dict[str, str] = {}
    path = log_path + SUFFIX
    with contextlib.suppress(OSError, struct.error):
        with open(path, "rb") as file, open(log_path, "ab+") as log:
            read_out, read_log = _POSITIONS.unpack(file.read(_POSITIONS.size))
            err = _end(log, read_log, LAST_BYTES)
            out = _end(file, max(read_out, BEGIN), _LOGGED_BYTES)
            if out:
                log.write(out)
            for stream, data in (("stdout", out[-LAST_BYTES:]), ("stderr", err)):
                if data:
                    found[stream] = data.decode("utf-8", "replace")
        os.unlink(path)
    return found


def _end(file: IO[bytes], begin: int, most: int) -> bytes:
    """Return what stands in a file from a place on, of much the end."""
    descriptor = file.fileno()
    size = os.fstat(descriptor).st_size
    return os.pread(descriptor, most, max(begin, size - most)) if size > begin else b""
