"""Keep interrupts out of the kernel's own code.

ipykernel takes SIGINT as a KeyboardInterrupt from the moment that it begins with a message until it is through, and ignores it
otherwise. In between there is code of its own, and IPython's on the way to the cell: an exception there costs the reply (the
cell then seems to run for ever), tears a message of several parts, or leaves the event loop, and the kernel ends. So such an interrupt is put off for a moment, and strikes when what the message asked
for runs; when that is over it has nothing left to stop.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import signal
import threading
from types import FrameType
from typing import Any

AGAIN_S = 0.02
_OWN = ("ipykernel", "IPython", "jupyter_client", "zmq", "tornado", "traitlets")


_HERE = (lambda: None).__code__.co_filename  # what is called before and after a message is the kernel's own, too


class KernelInterrupts:
    """What SIGINT does while the kernel handles a message.

    Parameters
    ----------
    kernel : ipykernel.kernelbase.Kernel
    """

    def __init__(self, kernel: Any) -> None:
        self._kernel = kernel
        self._main = threading.main_thread().ident or 0
        self._handled = 0  # messages that are handled now; one may begin while another one awaits something
        self._messages = 0  # begun or ended: an interrupt that is put off is for none but its own
        folders = {os.path.dirname(os.path.abspath(str(importlib.import_module(name).__file__))) for name in _OWN}
        standard = os.path.dirname(os.path.dirname(os.path.abspath(asyncio.__file__)))
        self._own_folders = tuple(folder + os.sep for folder in folders)
        self._standard, self._others = standard + os.sep, os.path.join(standard, "site-packages") + os.sep
        kernel.pre_handler_hook = self._begin
        kernel.post_handler_hook = self._end
        if threading.get_ident() == self._main:  # the message that loads us is being handled
            self._handled = 1
            signal.signal(signal.SIGINT, self._on_signal)

    def close(self) -> None:
        """Leave it to the kernel again, from the next message on."""
        for name in ("pre_handler_hook", "post_handler_hook"):
            self._kernel.__dict__.pop(name, None)

    # Messages of a subshell are handled in a thread of its own, which no signal interrupts.

    def _begin(self) -> None:
        if threading.get_ident() != self._main:
            return
        previous = signal.signal(signal.SIGINT, self._on_signal)
        if not self._handled:
            self._kernel.saved_sigint_handler = previous  # under the kernel's name: see interrupt.py
        self._handled += 1
        self._messages += 1

    def _end(self) -> None:
        if threading.get_ident() != self._main:
            return
        self._messages += 1
        self._handled = max(0, self._handled - 1)
        if not self._handled:
            signal.signal(signal.SIGINT, self._kernel.saved_sigint_handler)

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        __tracebackhide__ = True
        if self.may_strike(frame):
            signal.default_int_handler(signum, frame)
        timer = threading.Timer(AGAIN_S, self._again, (self._messages,))
        timer.daemon = True
        timer.start()

    def may_strike(self, frame: FrameType | None) -> bool:
        """Tell whether something runs that is neither the kernel's own, nor IPython's, nor Python's."""
        while frame is not None and frame.f_code.co_name != "dispatch_shell":
            file = frame.f_code.co_filename
            # (What a named tuple is made by has come from a string; what a cell executes of those has the cell above it.)
            standard = file.startswith(("<frozen ", "<string>")) or (
                file.startswith(self._standard) and not file.startswith(self._others)
            )
            if not standard and file != _HERE and not file.startswith(self._own_folders):
                return True
            frame = frame.f_back
        return False

    def _again(self, messages: int) -> None:
        if self._messages == messages and self._handled:
            signal.pthread_kill(self._main, signal.SIGINT)


def install(shell: Any) -> KernelInterrupts | None:
    """Take over from the kernel of ``shell``; None when it has none, or one that sees to this in a way of its own."""
    kernel = getattr(shell, "kernel", None)
    if kernel is None:
        return None
    from ipykernel.kernelbase import Kernel  # noqa: PLC0415 - loaded, as there is a kernel

    if any(
        getattr(type(kernel), name, None) is not getattr(Kernel, name, 0)
        for name in ("pre_handler_hook", "post_handler_hook")
    ):
        return None
    return KernelInterrupts(kernel)
