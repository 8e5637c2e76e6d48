"""``nbray debug``: look into a task that waits at a breakpoint."""

from __future__ import annotations

import argparse
import codecs
import contextlib
import socket
import sys
import threading

from nbray.util.state import collect
from nbray.worker import debugger


def debug(given: argparse.Namespace) -> int:
    """Connect this terminal with a task that waits, or list those that do."""
    with collect.source(given.address) as where:
        session_dir = where.session_dir
    found = debugger.waiting(session_dir)
    for number, one in enumerate(found):
        print(f"{number}: {one.what} (pid={one.pid}) at {one.file}:{one.line}")
    if given.list:
        return 0
    if not found:
        raise LookupError("nothing waits at a breakpoint: breakpoint() in a task or actor makes it wait.")
    number = given.number
    if number is None:
        number = 0 if len(found) == 1 else _ask(len(found))
    if not 0 <= number < len(found):
        raise LookupError(f"there is no number {number}: {len(found)} wait.")
    with debugger.connect(session_dir, found[number]) as line:
        return _talk(line)


def _ask(count: int) -> int:
    given = input(f"Which one (0 to {count - 1})? ").strip()
    if not given.isdecimal():
        raise LookupError(f"{given!r} is no number of the list.")
    return int(given)


def _talk(line: socket.socket) -> int:
    """Copy lines of this terminal to the task, and what it says to this terminal, until it goes on."""
    threading.Thread(target=_speak, args=(line,), daemon=True).start()
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    with contextlib.suppress(ConnectionResetError):
        while heard := line.recv(65536):
            sys.stdout.write(decoder.decode(heard))
            sys.stdout.flush()
    print("\nIt goes on.")
    return 0


def _speak(line: socket.socket) -> None:
    with contextlib.suppress(OSError, ValueError):
        for text in sys.stdin:
            line.sendall(text.encode())
        line.shutdown(socket.SHUT_WR)
