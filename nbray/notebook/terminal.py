"""The terminal that the notebook's shell runs in, as a cell finds it on a worker: how large it is, and which streams are shown there.

Whoever breaks lines or draws a bar asks for it (``print`` of a frame, tqdm, ``!command``), and for colours.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from nbray.core import output

from .quick_pickle import quickly_pickled


@quickly_pickled
@dataclass(slots=True)
class Terminal:
    """A terminal, as programs ask for it."""

    columns: int
    lines: int
    streams: tuple[str, ...]  # that are shown there


def here(one_stream: bool) -> Terminal | None:
    """Return the terminal of this process; None: it has none.

    Parameters
    ----------
    one_stream
        What the cell prints comes in one piece: no other cell, and no prompt, is amid it.
    """
    try:
        columns, lines = os.get_terminal_size(sys.__stdout__.fileno())  # type: ignore[union-attr]
    except (AttributeError, ValueError, OSError):
        return None
    streams = [name for name in ("stdout", "stderr") if one_stream and _is_terminal(getattr(sys, name))]
    return Terminal(columns, lines, tuple(streams))


def _is_terminal(stream: object) -> bool:
    try:
        return bool(stream.isatty())  # type: ignore[attr-defined]
    except (AttributeError, ValueError):
        return False


@contextmanager
def as_in_notebook(terminal: Terminal | None) -> Iterator[None]:
    """Meanwhile, in a worker: say that there is this terminal. Its size is in the environment, where child processes find it too."""
    if terminal is None:
        yield
        return
    os.environ.setdefault("COLUMNS", str(terminal.columns))
    os.environ.setdefault("LINES", str(terminal.lines))
    output.set_terminals(terminal.streams)
    size_of = os.get_terminal_size
    os.get_terminal_size = _answering(size_of, terminal)
    try:
        yield
    finally:  # (the environment is put back whole, after the cell)
        os.get_terminal_size = size_of
        output.set_terminals(())


def _answering(size_of: Callable[[int], os.terminal_size], terminal: Terminal) -> Callable[..., os.terminal_size]:
    """Return what answers for the standard streams as the notebook's process would; it goes by the name of the library's own."""

    def get_terminal_size(fd: int = 1, /) -> os.terminal_size:
        try:
            return size_of(fd)
        except OSError:
            if fd not in (0, 1, 2):
                raise
            return os.terminal_size((terminal.columns, terminal.lines))

    get_terminal_size.__module__, get_terminal_size.__qualname__ = "os", "get_terminal_size"
    return get_terminal_size
