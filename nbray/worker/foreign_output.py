"""What others than Python's streams write to descriptors 1 and 2 of a worker: C code, and child processes.

Both descriptors are the worker's log. While the cell of a notebook runs, descriptor 1 is a file in memory instead, so that the
two can be told apart; descriptor 2 stays the log, so that the last words of a process that dies are in it. Nothing waits for
what is written: the files are looked at now and then, which costs a cell that writes nothing a few system calls.
"""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterator

CHUNK_BYTES = 16 * 1024
FREE_BYTES = 1024 * 1024  # what was read is given back in steps of this
_KEEP_SIZE, _PUNCH_HOLE = 1, 2  # of fallocate(2)


class _Appended:
    """What is appended to a file, from a position on."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.seen = 0
        self.own: list[tuple[int, int]] = []  # (begin, end) of what is ours beyond what was seen
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def skip(self) -> None:
        """Leave out all that is there."""
        self.seen = os.fstat(self.descriptor).st_size
        self.own.clear()
        self._decoder.reset()

    def state(self) -> tuple[int, int]:
        """Return (when it was last written to, how many bytes there are to look at)."""
        found = os.fstat(self.descriptor)
        if found.st_size < self.seen:  # the log began anew
            self.seen = 0
            self.own.clear()
        return found.st_mtime_ns, found.st_size - self.seen

    def data(self) -> bytes:
        """Return a part of what others have written since the last time; b"" when that was all."""
        while True:
            _, size = self.state()
            end = self.seen + size
            if self.own and self.own[0][0] <= self.seen:
                self.seen = max(self.seen, self.own.pop(0)[1])
                continue
            end = min(end, self.own[0][0] if self.own else end, self.seen + CHUNK_BYTES)
            if end <= self.seen:
                return b""
            data = os.pread(self.descriptor, end - self.seen, self.seen)
            self.seen += len(data)
            return data

    def text(self) -> Iterator[str]:
        """Yield what others have written since the last time."""
        while data := self.data():
            if text := self._decoder.decode(data):
                yield text


class ForeignOutput:
    """Reads what others write; made once, in a worker whose descriptors 1 and 2 are its log.

    What this process logs of its own goes to the log by a descriptor with a position of its own, which tells where it came to
    lie, and is left out.
    """

    def __init__(self) -> None:
        self._log = os.open("/proc/self/fd/2", os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        self._pid = os.getpid()
        self._stderr = _Appended(self._log)
        memory = os.memfd_create("nbray-stdout")
        # By a name, as it is to append.
        self._memory = os.open(f"/proc/self/fd/{memory}", os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        os.close(memory)
        self._stdout = _Appended(self._memory)
        self._free_to = 0
        self.on = False

    def begin(self) -> None:
        """Tell the descriptors apart from now on."""
        self._keep_late_words()
        self._stderr.skip()
        os.dup2(self._memory, 1)
        self.on = True

    def end(self) -> None:
        """Both are the log again."""
        os.dup2(self._log, 1)
        self.on = False

    def write_own(self, stream: str, data: bytes) -> None:
        """Append to the log what is sent in another way."""
        if os.getpid() != self._pid:  # a child that was forked has the same position
            os.write(1 if stream == "stdout" else 2, data)
            return
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
        return os.fstat(self._memory).st_size != self._stdout.seen

    @property
    def left(self) -> bool:
        """Whether the last ``write_own`` came after something that others wrote to descriptor 2."""
        return bool(self._stderr.own)

    def log_began_anew(self) -> None:
        """The log was emptied."""
        self._stderr.skip()

    def read(self) -> Iterator[tuple[str, str]]:
        """Yield (stream, text) of what others have written since the last time."""
        if os.getpid() != self._pid:
            return
        parts = [("stdout", self._stdout), ("stderr", self._stderr)]
        # Which of them wrote first is not known, only which wrote last.
        found = {name: part.state() for name, part in parts}
        if not any(size for _, size in found.values()):
            return
        parts.sort(key=lambda part: found[part[0]][0])
        for name, part in parts:
            for text in part.text():
                yield name, text
                if part is self._stdout:
                    self.write_own("stdout", text.encode("utf-8", "replace"))
        self._free()

    def _keep_late_words(self) -> None:
        """Log what children of the last cell have written since."""
        while data := self._stdout.data():
            os.write(self._log, data)
        self._free()

    def _free(self) -> None:
        """Give back the memory of what was read."""
        stdout = self._stdout
        if stdout.seen - self._free_to > FREE_BYTES:
            _free_range(self._memory, self._free_to, stdout.seen - self._free_to)
            self._free_to = stdout.seen


def _free_range(descriptor: int, begin: int, length: int) -> None:
    import ctypes  # noqa: PLC0415 - only workers whose cells write much that way need it

    libc = ctypes.CDLL(None)
    length_t, offset_t = ctypes.c_int64(length), ctypes.c_int64(begin)
    getattr(libc, "fallocate64", libc.fallocate)(descriptor, _KEEP_SIZE | _PUNCH_HOLE, offset_t, length_t)
