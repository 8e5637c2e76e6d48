"""Run what ``!command`` asks for, as IPython does, at the pace of the command.

IPython reads a terminal through pexpect's search, which looks at all of the output again every 50 ms: a command that writes 20 MB
takes minutes. Here each part is passed on as it comes.
"""

from __future__ import annotations

import codecs
import os
import shutil
import sys
from collections.abc import Callable

CHUNK_BYTES = 1 << 16
INTERRUPTED_S = 2.0  # what a command has to end after Ctrl-C, as in IPython


def run(command: str, write: Callable[[str], object]) -> int:
    """Run a command in a shell with a terminal of its own.

    Parameters
    ----------
    write
        Gets the output, both streams in the order in which the command wrote.

    Returns
    -------
    The exit status, or the number of the signal that ended it, negative.
    """
    import pexpect  # type: ignore[import-untyped]  # noqa: PLC0415 - IPython brings it along; few cells need it

    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    columns, lines = shutil.get_terminal_size()
    child = pexpect.spawn(os.environ.get("SHELL", "sh"), ["-c", command], dimensions=(lines, columns))

    def pass_on(timeout: float | None) -> None:
        while True:
            try:
                data = child.read_nonblocking(CHUNK_BYTES, timeout)
            except (pexpect.EOF, pexpect.TIMEOUT):
                return
            write(decoder.decode(data))

    try:
        pass_on(None)
    except KeyboardInterrupt:
        child.sendline(chr(3))  # what Ctrl-C is to a terminal
        try:
            pass_on(INTERRUPTED_S)
        except KeyboardInterrupt:
            pass
        finally:
            child.terminate(force=True)
    if rest := decoder.decode(b"", final=True):
        write(rest)
    sys.stdout.flush()
    child.isalive()  # by which pexpect learns how it ended
    if child.exitstatus is None:
        return -(child.signalstatus or 0)
    status: int = child.exitstatus
    return -(status - 128) if status > 128 else status
