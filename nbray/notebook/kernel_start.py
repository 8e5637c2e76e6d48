"""What the kernelspec of nbray adds to the extension: the name ``nbray``, and a node that is there before its first use."""

from __future__ import annotations

import contextlib
import os
from typing import Any

import nbray
from nbray.api import runtime

VARIABLE = "NBRAY_KERNEL"  # which the kernelspec sets; for this process alone, not for those that it starts


def begin(shell: Any) -> None:
    """Do it, if the kernel was started by that kernelspec."""
    if os.environ.pop(VARIABLE, "") == "1":
        shell.push({"nbray": nbray})
        with contextlib.suppress(Exception):  # the first use tells what is wrong
            runtime.start_ahead()
