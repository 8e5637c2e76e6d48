"""What a worker that ends owes the user's code: hooks, exit handlers, destructors."""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import gc
import os
import sys
import threading
import traceback
from typing import Any

SHUTDOWN_HOOK = "__ray_shutdown__"


def run_hooks(executor: Any, limit_s: float) -> None:
    """Call an actor's ``__ray_shutdown__``, then the exit handlers, then let go of the actor.

    What they raise is in the worker's log and changes nothing. A worker that was killed or crashed runs none of them.

    Parameters
    ----------
    executor : Executor
        Its loop has ended.
    limit_s : float
        After so long the process ends all the same; its log shows where it stood.
    """
    status = executor.exit_status
    watch = threading.Timer(limit_s, _give_up, (limit_s, status))
    watch.daemon = True
    watch.start()
    hook = getattr(executor.actor, SHUTDOWN_HOOK, None)
    if hook is not None:
        _guarded(hook)
    _guarded(atexit._run_exitfuncs)
    has_destructor = hasattr(type(executor.actor), "__del__")
    executor.actor = executor.concurrent = executor.function = None
    if has_destructor:
        _guarded(gc.collect)
    watch.cancel()


def _guarded(function: Any) -> None:
    try:
        function()
    except BaseException:  # the process ends anyway
        traceback.print_exc()


def _give_up(limit_s: float, status: int) -> None:
    with contextlib.suppress(Exception):
        print(f"Exit handlers did not end within {limit_s:g} s:", file=sys.__stderr__, flush=True)
        faulthandler.dump_traceback(2)
    os._exit(status)
