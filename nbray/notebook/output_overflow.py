"""The file that takes what of a cell's output is too much for the front end."""

from __future__ import annotations

import os
import tempfile
from typing import IO

MAX_FILE_BYTES = 1 << 30
TAIL_CHARS = 2_000

_folder = ""  # of this process; it stays, for what it holds was promised to the user


class Overflow:
    """One cell's file, made when it is first needed.

    Attributes
    ----------
    path : str
    size : int
        Bytes of output in it, or dropped behind its end.
    tail : str
        The last lines that were written.
    """

    def __init__(self, label: str) -> None:
        self.path = os.path.join(_make_folder(), f"{label}.txt")
        self.size = 0
        self.tail = ""
        self.tail_name = "stdout"
        self._file: IO[bytes] | None = open(self.path, "ab", buffering=0)  # noqa: SIM115 - closed by close()

    def write(self, name: str, text: str) -> None:
        """Add text of stream ``name``."""
        data = text.encode("utf-8", "backslashreplace")
        if self._file is not None and self.size < MAX_FILE_BYTES:
            try:
                self._file.write(data)
            except OSError:  # the disk is full: the front end still gets the last lines
                self._file.close()
                self._file = None
        self.size += len(data)
        self.tail, self.tail_name = (self.tail + text)[-TAIL_CHARS:], name

    def last_lines(self) -> str:
        """Return whole lines of the end, and forget them."""
        tail, self.tail = self.tail, ""
        cut = tail.find("\n", 0, -1)
        return tail[cut + 1 :] if len(tail) == TAIL_CHARS and cut >= 0 else tail

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _make_folder() -> str:
    global _folder
    if not _folder or not os.path.isdir(_folder):
        _folder = tempfile.mkdtemp(prefix="nbray-output-")
    return _folder
