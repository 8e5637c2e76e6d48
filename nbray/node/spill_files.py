"""Files of objects that have no room in memory: several in one file, each with a checksum.

A record is a head of 64 bytes (magic, id, length, CRC-32 of id, length and bytes) and the
bytes. A file is finished at ``file_bytes`` and removed when nothing in it is wanted any more.

Nothing here outlives the node, so nothing is synced to the disk, and the files have no names of
their own: when the daemon dies, however it dies, the kernel gives back what they hold. What lies in the
folder of links leads to the open files, for people and tools to see; who removes one has removed the file.
"""

from __future__ import annotations

import contextlib
import errno
import os
import struct
import zlib
from collections.abc import Callable
from typing import NamedTuple

from nbray._cstore import lib

_HEAD = struct.Struct("<8s28sQI16x")
_MAGIC = b"NBSPILL1"
HEAD_BYTES = _HEAD.size
_PUNCH_BYTES = 64 * 1024  # smaller objects wait for the end of their file
_BLOCK = 4096  # larger ones have blocks of the disk for themselves, so that all of these can be given back
_MOST_FILES = 64  # of equal size; each is a descriptor of the daemon, so later ones are larger
_AT_ONCE = 16 << 20  # written or read by one system call; who waits for it sees it move


class DiskFullError(OSError):
    """The disk has no room to spill to, or would be filled beyond its share."""


class DamagedError(Exception):
    """What was read is not what was written."""


class Place(NamedTuple):
    """Where the bytes of an object lie."""

    file: int  # number of the file
    offset: int  # of the head
    size: int  # bytes of the object


class SpillFiles:
    """The spill files of a node.

    Parameters
    ----------
    folder, links : str
        Of the files, and of links to them. Made when the first object is written; then only their owner can look inside.
    file_bytes : int
        A file is finished when it is this large, or holds a 64th of all that has been written.
    disk_share : float
        Part of the disk that may be full after a write.
    moved : callable
        Called after each part of an object that was written or read.
    """

    def __init__(self, folder: str, links: str, file_bytes: int, disk_share: float, moved: Callable[[], None]) -> None:
        self.folder = folder
        self._links = links
        self._moved = moved
        self._file_bytes = file_bytes
        self._disk_share = disk_share
        self._wanted: dict[int, int] = {}  # number of a file -> objects in it that are wanted
        self._open: dict[int, int] = {}  # number of a file -> its descriptor, as long as something in it is wanted
        self._current = -1  # descriptor of the file that grows; in _open, too
        self._number = 0
        self._end = 0
        self.bytes_written = 0

    def path(self, number: int) -> str:
        """Return the path of the link to a file."""
        return os.path.join(self._links, f"objects-{number}.spill")

    def write(self, object_id: bytes, data: memoryview, leave: float = 1.0) -> Place:
        """Append an object, and leave alone ``leave`` of what the disk is to keep free.

        Raises
        ------
        DiskFullError
            Then nothing was written.
        OSError
            For all else that the disk refuses.
        """
        size = data.nbytes
        self._check_disk(HEAD_BYTES + size, leave)
        most = max(self._file_bytes, self.bytes_written // _MOST_FILES)
        full = self._end and self._end + HEAD_BYTES + size > most
        if self._current < 0 or full or not os.path.lexists(self.path(self._number)):  # somebody has removed it
            self._next_file()
        place = Place(self._number, _blocks(self._end) if size >= _PUNCH_BYTES else self._end, size)
        try:
            self._write_all(_head(object_id, data), place.offset)
            self._write_all(data, place.offset + HEAD_BYTES)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._current, self._end)
            if error.errno == errno.EFBIG and place.offset:  # a limit of this process or of the file system
                self._next_file()
                return self.write(object_id, data, leave)
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise DiskFullError(error.errno, error.strerror, self.folder) from None
            raise
        end = place.offset + HEAD_BYTES + size
        self._end = _blocks(end) if size >= _PUNCH_BYTES else end
        self.bytes_written += HEAD_BYTES + size
        self._wanted[self._number] = self._wanted.get(self._number, 0) + 1
        return place

    def _write_all(self, data: bytes | memoryview, offset: int) -> None:
        view = memoryview(data)
        while view:
            done = os.pwrite(self._current, view[:_AT_ONCE], offset)
            view, offset = view[done:], offset + done
            self._moved()

    def _check_disk(self, size: int, leave: float) -> None:
        for folder in (self.folder, self._links):
            os.makedirs(folder, mode=0o700, exist_ok=True)
        if not self._has_room(size, leave):
            self._give_back_removed()
            if not self._has_room(size, leave):
                raise DiskFullError(errno.ENOSPC, os.strerror(errno.ENOSPC), self.folder)

    def _has_room(self, size: int, leave: float) -> bool:
        disk = os.statvfs(self.folder)
        free = disk.f_bavail * disk.f_frsize
        kept = disk.f_blocks * disk.f_frsize * (1.0 - self._disk_share) * leave
        return free - size >= kept

    def _give_back_removed(self) -> None:
        """Close the files whose links somebody has removed: he wants their room, and they hold it while they are open."""
        for number in list(self._open):
            if not os.path.lexists(self.path(number)):
                self._give_back(number)

    def _next_file(self) -> None:
        if self._current >= 0:
            self._current = -1
            self._remove_if_done(self._number)
        self._number += 1
        path = self.path(self._number)
        descriptor = _nameless_file(self.folder)
        try:
            os.symlink(f"/proc/{os.getpid()}/fd/{descriptor}", path)
        except OSError:
            os.close(descriptor)
            raise
        self._current = self._open[self._number] = descriptor
        self._end = 0

    def read(self, object_id: bytes, place: Place, target: memoryview) -> None:
        """Read an object back into ``target``, which has its size.

        Raises
        ------
        DamagedError
            When the file is gone, or one bit of it has changed.
        OSError
            When it cannot be read now.
        """
        descriptor = self._open.get(place.file, -1)
        if not os.path.lexists(self.path(place.file)):
            self._give_back(place.file)
            descriptor = -1
        if descriptor < 0:
            raise DamagedError("its spill file is gone")
        try:
            head = os.pread(descriptor, HEAD_BYTES, place.offset)
            got = 0
            while got < place.size:
                part = target[got : got + _AT_ONCE]
                done = os.preadv(descriptor, [part], place.offset + HEAD_BYTES + got)
                if not done:
                    raise DamagedError("its spill file is too short")
                got += done
                self._moved()
        except OSError as error:
            if error.errno == errno.EIO:
                raise DamagedError("the disk cannot read its spill file") from None
            raise
        if head != _head(object_id, target):
            raise DamagedError("its checksum is wrong")

    def drop(self, place: Place) -> None:
        """Forget an object: its part of the disk is given back, and the file with the last one in it."""
        self._wanted[place.file] -= 1
        descriptor = self._open.get(place.file, -1)
        if not self._remove_if_done(place.file) and place.size >= _PUNCH_BYTES and descriptor >= 0:
            lib.nbs_punch_hole(descriptor, place.offset, _blocks(HEAD_BYTES + place.size))

    def _remove_if_done(self, number: int) -> bool:
        if self._wanted.get(number, 0):
            return False
        if number == self._number and self._current >= 0:
            with contextlib.suppress(OSError):  # it is written to next
                os.ftruncate(self._current, 0)
            self._end = 0
            return True
        self._wanted.pop(number, None)
        self._give_back(number)
        return True

    def _give_back(self, number: int) -> None:
        """Remove the link to a file, and close it, with which its bytes are gone."""
        with contextlib.suppress(OSError):
            os.unlink(self.path(number))  # first: a link is never there without its file
        descriptor = self._open.pop(number, -1)
        if descriptor >= 0:
            os.close(descriptor)
        if descriptor == self._current:
            self._current = -1

    def close(self) -> None:
        """Remove all files and the folder of the links."""
        for number in list(self._open):
            self._give_back(number)
        with contextlib.suppress(OSError):
            for name in os.listdir(self._links):
                os.unlink(os.path.join(self._links, name))
            os.rmdir(self._links)


def _nameless_file(folder: str) -> int:
    """Return a descriptor of a new file in ``folder`` that nobody finds by a name."""
    with contextlib.suppress(OSError):  # not every file system can
        return os.open(folder, os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC, 0o600)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    path = os.path.join(folder, f"nbray-{os.urandom(8).hex()}.spill")
    descriptor = os.open(path, flags, 0o600)
    os.unlink(path)
    return descriptor


def _blocks(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK


def _head(object_id: bytes, data: memoryview) -> bytes:
    crc = zlib.crc32(data, zlib.crc32(object_id + data.nbytes.to_bytes(8, "little")))
    return _HEAD.pack(_MAGIC, object_id, data.nbytes, crc)
