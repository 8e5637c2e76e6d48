"""What others than Python's streams write to descriptors 1 and 2 of a worker: C code, and child processes.

Where it lies says ``core/raw_output.py``. Nothing waits for what is written: the files are looked at now and then, and before
the result of a task that ran long enough to have started a process, which costs one that writes nothing at most two system calls.
"""

from __future__ import annotations

import codecs
import mmap
import os
from collections.abc import Iterator
from typing import Any

from nbray._cstore import ffi, lib
from nbray.core.raw_output import BEGIN, STDERR, STDOUT

CHUNK_BYTES = 16 * 1024
FREE_BYTES = 1024 * 1024  # what was read is given back in steps of this


class _Appended:
    """What is appended to a file, from a position on; the position is a word of ``positions``."""

    def __init__(self, descriptor: int, positions: Any, index: int, begin: int) -> None:
        self.descriptor = descriptor
        self.own: list[tuple[int, int]] = []  # (begin, end) of what is ours beyond what was seen
        self._positions = positions
        self._index = index
        self._begin = begin
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    @property
    def seen(self) -> int:
        found: int = self._positions[self._index]
        return found

    @seen.setter
    def seen(self, position: int) -> None:
        self._positions[self._index] = position

    def skip(self) -> None:
        """Leave out all that is there."""
        self.own.clear()
        self.seen = os.fstat(self.descriptor).st_size
        self._decoder.reset()

    def grew(self) -> bool:
        """Tell whether there is something to look at, or what was seen is gone."""
        return os.fstat(self.descriptor).st_size != self.seen

    def state(self) -> tuple[int, int]:
        """Return (when it was last written to, how many bytes there are to look at)."""
        found = os.fstat(self.descriptor)
        if found.st_size < self.seen:  # it was emptied; what is ours beyond its end is gone, the rest has come since
            self.own = [place for place in self.own if place[1] <= found.st_size]
            self.seen = self._begin
        return found.st_mtime_ns, max(0, found.st_size - self.seen)

    def text(self, end: int) -> Iterator[str]:
        """Yield what others have written since the last time, up to a place in the file."""
        while True:
            seen = self.seen
            if self.own and self.own[0][0] <= seen:
                self.seen = max(seen, self.own.pop(0)[1])
                continue
            if seen >= end:
                return
            stop = min(end, self.own[0][0] if self.own else end, seen + CHUNK_BYTES)
            data = os.pread(self.descriptor, stop - seen, seen)
            if not data:
                return  # it was emptied meanwhile
            if text := self._decoder.decode(data):
                yield text
            self.seen = seen + len(data)  # only now: who dies before has not told it


class ForeignOutput:
    """Reads what others write; made once, in a worker whose descriptors 1 and 2 are its file and its log.

    What this process logs of its own goes to the log by a descriptor with a position of its own, which tells where it came to
    lie, and is left out.

    Raises
    ------
    OSError, ValueError
        When the descriptors are something else, as on a full disk.
    """

    def __init__(self) -> None:
        self._log = os.open("/proc/self/fd/2", os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        self._file = os.open("/proc/self/fd/1", os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        self.pid = os.getpid()
        self._page = mmap.mmap(self._file, BEGIN)
        positions = memoryview(self._page).cast("Q")
        self._stdout = _Appended(self._file, positions, STDOUT, BEGIN)
        self._stderr = _Appended(self._log, positions, STDERR, 0)
        self._stdout.skip()
        self._stderr.skip()
        self._free_to = BEGIN

    def before_results(self, segment: Any) -> None:
        """Have results of long tasks wait for what is to be read; see nbs_watch_words."""
        lib.nbs_watch_words(segment, self._file, self._log, ffi.from_buffer("uint64_t[]", self._page))

    def begin(self) -> None:
        """Leave out what is there: it is not of the cell that begins now. Descriptor 1 is as it was, whatever the user did to it."""
        for text in self._stdout.text(self._stdout.seen + self._stdout.state()[1]):
            os.write(self._log, text.encode("utf-8", "replace"))
        self._free()
        self._stderr.skip()
        os.dup2(self._file, 1)

    def write_own(self, stream: str, data: bytes) -> None:
        """Append to the log what is sent in another way."""
        written = os.write(self._log, data)
        end = os.lseek(self._log, 0, os.SEEK_CUR)
        stderr = self._stderr
        if not stderr.own and end - written == stderr.seen:  # nobody else has written in between
            stderr.seen = end
        else:
            stderr.own.append((end - written, end))

    def waits(self) -> bool:
        """Whether others have written something that comes before what this process writes next, as far as one look tells.

        What they wrote to descriptor 2 is only found by ``write_own``, which then leaves something to ``read``: ``left``.
        """
        return self._stdout.grew()

    @property
    def left(self) -> bool:
        """Whether the last ``write_own`` came after something that others wrote to descriptor 2."""
        return bool(self._stderr.own)

    def grew(self) -> bool:
        """Whether there is something to read."""
        return self._stdout.grew() or self._stderr.grew()

    def log_began_anew(self) -> None:
        """The log was emptied."""
        self._stderr.skip()

    def begin_of_log(self) -> int:
        """Return where in the log that begins which is read next."""
        return self._stderr.seen

    def read(self, most: int) -> Iterator[tuple[str, str]]:
        """Yield (stream, text) of what others have written until now since the last time, up to ``most`` bytes of each."""
        if os.getpid() != self.pid:
            return
        parts = [("stdout", self._stdout), ("stderr", self._stderr)]
        # Which of them wrote first is not known, only which wrote last.
        found = {name: part.state() for name, part in parts}
        if not any(size for _, size in found.values()):
            return
        parts.sort(key=lambda part: found[part[0]][0])
        ends = {name: part.seen + min(found[name][1], most) for name, part in parts}
        for name, part in parts:
            for text in part.text(ends[name]):
                yield name, text
                if part is self._stdout:
                    self.write_own("stdout", text.encode("utf-8", "replace"))
        self._free()

    def _free(self) -> None:
        """Give back the disk under what was read; not every file system can do that."""
        seen = self._stdout.seen
        if seen - self._free_to > FREE_BYTES:
            lib.nbs_punch_hole(self._file, self._free_to, seen - self._free_to)
            self._free_to = seen
        elif seen < self._free_to:  # it was emptied
            self._free_to = BEGIN
