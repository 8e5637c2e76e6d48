"""Let others see the stacks of this process: on a signal they are written to a file, from C.

That works while the process is busy in C code and gives no byte of it to Python. The signal
is a real-time one that nobody else uses; it is sent only to processes that have asked for it.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import threading
import time
from typing import Any

from nbray._cstore import lib
from nbray.session_layout import STACKS

SIGNAL = signal.SIGRTMIN + 6
_LOOK_S = 0.005  # between two looks at a dump
_SETTLED_LOOKS = (
    40  # one that has not grown in so many is whole; its writer may be without a processor, or the machine stand still
)


class StackDump:
    """Answers SIGNAL as long as it is open.

    Parameters
    ----------
    session_dir : str
    """

    def __init__(self, session_dir: str) -> None:
        self._file: Any = None
        self._path = ""
        folder = os.path.join(session_dir, STACKS)
        with contextlib.suppress(OSError, RuntimeError, ValueError):  # without it only `nbray stack` is poorer
            os.makedirs(folder, mode=0o700, exist_ok=True)
            self._path = os.path.join(folder, str(os.getpid()))
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_TRUNC, 0o600)
            self._file = open(descriptor, "w")  # noqa: SIM115 - open until close()
            if threading.current_thread() is threading.main_thread():
                signal.signal(SIGNAL, signal.SIG_IGN)  # what close() goes back to: a late signal ends nobody
            faulthandler.register(SIGNAL, file=self._file, all_threads=True)

    def close(self) -> None:
        """Answer no more."""
        file, self._file = self._file, None
        if file is not None:
            faulthandler.unregister(SIGNAL)
            with contextlib.suppress(OSError):
                os.unlink(self._path)
            file.close()


def answers(pid: int) -> bool:
    """Tell whether a process has asked for the signal."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii") as file:
            for line in file:
                if line.startswith("SigCgt:"):
                    return bool(int(line.split()[1], 16) >> (SIGNAL - 1) & 1)
    except (OSError, ValueError):
        pass
    return False


def ask(session_dir: str, seg: Any, peer: int, pid: int, timeout_s: float = 10.0) -> str:
    """Return the stacks of a process; an empty string when it does not answer."""
    path = os.path.join(session_dir, STACKS, str(pid))
    if not answers(pid):
        return ""
    before = _size(path)
    if lib.nbs_signal(seg, peer, SIGNAL) != 0:
        return ""
    deadline = time.monotonic() + timeout_s
    last, settled = before, 0
    while time.monotonic() < deadline:
        now = _size(path)
        if now != last:
            last, settled = now, 0
        elif last > before:
            settled += 1
            if settled > _SETTLED_LOOKS:
                break
        time.sleep(_LOOK_S)
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            file.seek(before)
            return file.read().strip()
    except OSError:
        return ""


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
