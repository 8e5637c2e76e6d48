"""A child that the user's code forks inside a worker: where that code is over, so is the child, as in any program.

It has the worker's memory, but nothing of the worker is its own: not the calls, the actor, the exit handlers or the
sockets. So in the child every way out of the user's code leads to its end, and the worker itself pays nothing for that.
"""

from __future__ import annotations

import os
import sys
import traceback
from typing import Any, NoReturn

from nbray.serialization.error_value import WORKER
from nbray.worker.executor_state import ExecutorState

INTERRUPTED = 130  # the exit status of a program that Ctrl-C ends


def make_child(executor: ExecutorState) -> None:
    """Runs in the child: it is no worker any more."""
    ways_out: Any = executor
    ways_out._answer = ways_out._reply = _returned
    ways_out._failed = lambda chan, number, name, error: end(error)
    ways_out._exit_actor = ways_out._made = end


def _returned(*_: object, **__: object) -> NoReturn:
    os._exit(0)


def end(error: BaseException | None = None, *_: object) -> NoReturn:
    """End the child as Python ends a program whose main function has returned, or has raised ``error``."""
    status = 0
    try:
        if isinstance(error, SystemExit):
            status = _asked(error.code)
        elif error is not None:
            status = INTERRUPTED if isinstance(error, KeyboardInterrupt) else 1
            frames = error.__traceback__
            while frames is not None and WORKER in frames.tb_frame.f_code.co_filename:
                frames = frames.tb_next
            traceback.print_exception(type(error), error, frames)
    finally:
        os._exit(status)


def _asked(code: object) -> int:
    """Return the exit status that a SystemExit asks for."""
    if code is None or isinstance(code, int):
        return (code or 0) & 0xFF
    print(code, file=sys.stderr)
    return 1
