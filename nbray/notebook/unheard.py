"""What one thread prints while it imports what has been imported on the other side: the user has seen it there.

Other threads go on printing meanwhile: those that the user has started, and the one that shows the output of cells.
"""

from __future__ import annotations

import contextlib
import io
import sys
import threading
from collections.abc import Iterator
from typing import Any


class _Unheard(io.TextIOBase):
    """Stands for a stream, and takes in what its thread writes."""

    def __init__(self, stream: Any) -> None:
        super().__init__()
        self.stream = stream
        self._thread = threading.get_ident()

    def write(self, text: str) -> int:
        if threading.get_ident() != self._thread:
            self.stream.write(text)
        return len(text)

    def flush(self) -> None:
        if threading.get_ident() != self._thread:
            self.stream.flush()

    @property
    def encoding(self) -> Any:  # type: ignore[override]
        return getattr(self.stream, "encoding", None)

    def isatty(self) -> bool:
        return bool(self.stream.isatty())

    def fileno(self) -> int:
        return int(self.stream.fileno())


@contextlib.contextmanager
def unheard() -> Iterator[None]:
    """Let nobody hear what this thread prints."""
    with contextlib.redirect_stdout(_Unheard(sys.stdout)), contextlib.redirect_stderr(_Unheard(sys.stderr)):
        yield


def heard(stream: Any) -> Any:
    """Return the stream that another one stands for; itself, if for none."""
    while isinstance(stream, _Unheard):
        stream = stream.stream
    return stream
