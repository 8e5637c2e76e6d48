"""Runs the command `nbray` beside the server: nothing of a cluster is ever mapped or read in the server itself."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Sequence

ANSWER_S = 60.0  # for a command to end; starting a cluster on a busy machine takes seconds
END_S = 5.0  # for a feed to end once nobody listens
MAX_LINE = 4 * 1024 * 1024  # bytes; of a list of clusters

# As `python -m nbray`, but the folder that the server was started in provides no modules.
_MAIN = "import sys; sys.path[:] = [p for p in sys.path if p]; from nbray.cli.main import main; sys.exit(main())"


class CommandError(Exception):
    """The command said no: its text is for the person who asked."""


async def run(*arguments: str) -> str:
    """Run a command and return what it wrote.

    Raises
    ------
    CommandError
        When it failed, or did not end in time.
    """
    process = await _start(arguments, stdin=DEVNULL, stderr=PIPE)
    try:
        output, errors = await asyncio.wait_for(process.communicate(), ANSWER_S)
    except asyncio.TimeoutError:
        await end(process)
        raise CommandError(f"nbray {arguments[0]} did not end within {ANSWER_S:g} s.") from None
    if process.returncode:
        raise CommandError(errors.decode("utf-8", "replace").strip() or f"nbray {arguments[0]} failed.")
    return output.decode("utf-8", "replace")


async def follow(*arguments: str) -> Process:
    """Start a command whose output is read while it goes on; end it with ``end``."""
    return await _start(arguments, stdin=PIPE, stderr=DEVNULL)


async def end(process: Process) -> None:
    """End a command and wait for that."""
    if process.stdin is not None:
        process.stdin.close()  # a feed ends by itself then
    if process.returncode is None:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(process.wait(), END_S if process.stdin is not None else 0.01)
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _start(arguments: Sequence[str], stdin: int, stderr: int) -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", _MAIN, *arguments, stdin=stdin, stdout=PIPE, stderr=stderr, limit=MAX_LINE
    )
