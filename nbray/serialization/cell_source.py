"""The text of cells goes with their code: tracebacks and ``inspect.getsource`` find it in every process.

The code of a cell is compiled as a file that never was; IPython keeps its text in ``linecache``.
"""

from __future__ import annotations

import linecache
import types
from collections.abc import Callable, Iterable
from typing import Any

MAX_TEXT_CHARS = 100_000  # a longer cell is data; its code goes alone

_texts: dict[
    str, tuple[list[str], str]
] = {}  # file name -> its lines in linecache, and the text: one object for all pickles


def text_of(filename: str) -> str | None:
    """Return the text of a file that is only in ``linecache``; None: it is no such file."""
    entry = linecache.cache.get(filename)
    if entry is None or len(entry) != 4 or entry[1] is not None:
        return None
    lines = entry[2]
    known = _texts.get(filename)
    if known is None or known[0] is not lines:
        known = _texts[filename] = lines, "".join(lines)
    return known[1]


def texts_of(filenames: Iterable[str]) -> dict[str, str]:
    """Return the texts of those of the files that are cells."""
    texts = {filename: text_of(filename) for filename in dict.fromkeys(filenames)}
    return {filename: text for filename, text in texts.items() if text is not None and len(text) <= MAX_TEXT_CHARS}


def remember(filename: str, text: str) -> None:
    """Make the text of a cell known in this process."""
    entry = linecache.cache.get(filename)
    if entry is None or len(entry) != 4 or entry[0] != len(text):
        linecache.cache[filename] = len(text), None, text.splitlines(True), filename


def with_text(make: Callable[..., types.CodeType], arguments: tuple[Any, ...], filename: str) -> Any:
    """Return what pickles a code object together with the text it was compiled from, where that is a cell."""
    text = text_of(filename)
    if text is None or len(text) > MAX_TEXT_CHARS:
        return make, arguments
    return _code_of_cell, (filename, text, make, arguments)


def _code_of_cell(
    filename: str, text: str, make: Callable[..., types.CodeType], arguments: tuple[Any, ...]
) -> types.CodeType:
    remember(filename, text)
    return make(*arguments)
