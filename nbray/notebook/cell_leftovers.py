"""What cells leave under their names without anybody wanting it back: closed files, matches, the streams of progress bars.

They do not pickle, but nothing is lost when they are made anew.
"""

from __future__ import annotations

import io
import re
from typing import Any

BINARY_FILES = (io.BufferedReader, io.BufferedWriter, io.BufferedRandom)


class _Nothing(io.BytesIO):
    """Stands below a closed file, and knows its name."""

    def __init__(self, name: Any) -> None:
        super().__init__()
        self.name = name


def closed_file(kind: type, name: Any, mode: str = "", encoding: str | None = None) -> Any:
    """Return a closed file, of which only its name and mode are left."""
    if kind is io.TextIOWrapper:
        file: Any = io.TextIOWrapper(_Nothing(name), encoding=encoding)
        file.mode = mode
    else:
        file = kind(_Nothing(name))
    file.close()
    return file


class _NoBar:
    """Whom the stream of a bar would tell that nobody reads it."""


def stream_of_bar(kind: Any, stream: Any) -> Any:
    """Return what ``tqdm`` writes to, anew: it wraps functions of its own, and cannot be read back from a pickle."""
    return kind(stream, _NoBar())


def found_again(pattern: re.Pattern[Any], text: Any, pos: int, endpos: int, start: int) -> Any:
    """Return the match that begins at ``start``: the first one, or one further on (``finditer``)."""
    match = pattern.search(text, pos, endpos)
    if match is None or match.start() != start:
        match = pattern.match(text, start, endpos)
    return match


def is_found_again(match: re.Match[Any]) -> bool:
    """Whether ``found_again`` finds the same groups."""
    other = found_again(match.re, match.string, match.pos, match.endpos, match.start())
    return other is not None and other.regs == match.regs
