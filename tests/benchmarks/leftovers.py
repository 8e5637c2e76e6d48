"""What a library leaves running when its program has ended is not to slow down what is measured next.

Ray's dashboard takes a processor for one to three seconds after `shutdown()`.
"""

from __future__ import annotations

import contextlib
import os
import time

import psutil
from nbray._cstore import lib

LIMIT_S = 30.0


def adopt() -> None:
    """Become the parent of what the programs that are measured leave behind, so that it can be waited for."""
    lib.nbs_adopt_orphans()


def wait_for_end() -> list[str]:
    """Wait until nothing runs any more that this process has started; returns the names of what still does after ``LIMIT_S``."""
    until = time.monotonic() + LIMIT_S
    while left := psutil.Process().children(recursive=True):
        for process in left:
            with contextlib.suppress(ChildProcessError):  # a grandchild
                os.waitpid(process.pid, os.WNOHANG)
        if time.monotonic() > until:
            names = []
            for process in left:
                with contextlib.suppress(psutil.NoSuchProcess):
                    names.append(process.name())
            return names
        time.sleep(0.05)
    return []
