"""What the kernelspec of nbray adds to the extension: the name ``nbray``, and what a cluster runs on, loaded before its first use."""

from __future__ import annotations

import contextlib
import importlib
import os
import threading
from typing import Any

import nbray

VARIABLE = "NBRAY_KERNEL"  # which the kernelspec sets; for this process alone, not for those that it starts
LOADED_AHEAD = ("nbray.api.driver", "nbray.core.actor_calls", "nbray.core.core_worker", "nbray.core.joining")


def begin(shell: Any) -> None:
    """Do it, if the kernel was started by that kernelspec."""
    if os.environ.pop(VARIABLE, "") == "1":
        shell.push({"nbray": nbray})
        threading.Thread(target=_load, name="nbray-ahead", daemon=True).start()


def _load() -> None:
    with contextlib.suppress(Exception):  # the first use tells what is wrong
        for name in LOADED_AHEAD:
            importlib.import_module(name)
