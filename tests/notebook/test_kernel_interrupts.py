"""Where an interrupt of the kernel may strike, and what is told of one that struck where no line is."""

from __future__ import annotations

import asyncio
import functools
import os
import signal
import sys
import threading
import types
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import ipykernel
import IPython
import pytest

from nbray.notebook import error_record, stand_in_frames, tracebacks
from nbray.notebook.kernel_interrupts import KernelInterrupts

SOURCE = """
def dispatch_shell(inner):
    return middle(inner)
def middle(inner):
    return inner(sys._getframe())
"""


@pytest.fixture
def interrupts() -> Iterator[KernelInterrupts]:
    before = signal.getsignal(signal.SIGINT)
    kernel = SimpleNamespace(saved_sigint_handler=signal.SIG_IGN)
    taken = KernelInterrupts(kernel)
    try:
        yield taken
    finally:
        taken.close()
        signal.signal(signal.SIGINT, before)


def handled_by(filename: str, inner: Any) -> Any:
    """Call ``inner`` as a message is handled by code of this file."""
    namespace: dict[str, Any] = {"sys": sys}
    exec(compile(SOURCE, filename, "exec"), namespace)
    return namespace["dispatch_shell"](inner)


def test_it_strikes_what_the_message_asked_for_and_not_the_kernel(interrupts: KernelInterrupts) -> None:
    own = os.path.join(os.path.dirname(str(ipykernel.__file__)), "kernelbase.py")
    hooks = KernelInterrupts._begin.__code__.co_filename
    shell = os.path.join(os.path.dirname(str(IPython.__file__)), "core", "interactiveshell.py")
    for filename in (own, shell, hooks, str(asyncio.events.__file__), "<frozen importlib._bootstrap>", "<string>"):
        assert not handled_by(filename, interrupts.may_strike), filename
    for filename in ("<ipython-input-1>", os.path.join(os.path.dirname(str(pytest.__file__)), "x.py"), __file__):
        assert handled_by(filename, interrupts.may_strike), filename


def test_the_handler_of_the_idle_kernel_is_in_force_again_when_all_messages_are_through(
    interrupts: KernelInterrupts,
) -> None:
    kernel = interrupts._kernel
    kernel.post_handler_hook()  # of the message that loaded it
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    kernel.pre_handler_hook()
    kernel.pre_handler_hook()  # while the first one awaits something
    kernel.post_handler_hook()
    assert signal.getsignal(signal.SIGINT) == interrupts._on_signal
    kernel.post_handler_hook()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_messages_of_a_subshell_change_nothing(interrupts: KernelInterrupts) -> None:
    """They are handled in another thread, while a cell runs in the main one."""
    kernel = interrupts._kernel
    for hook in (kernel.pre_handler_hook, kernel.post_handler_hook) * 2:
        subshell = threading.Thread(target=hook)
        subshell.start()
        subshell.join()
    assert interrupts._handled == 1
    assert signal.getsignal(signal.SIGINT) == interrupts._on_signal
    kernel.post_handler_hook()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_one_that_strikes_in_ipython_shows_no_frame_of_nbray(
    interrupts: KernelInterrupts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interrupts, "may_strike", lambda frame: True)  # one that IPython itself lets through
    shell = os.path.join(os.path.dirname(str(IPython.__file__)), "core", "interactiveshell.py")
    with pytest.raises(KeyboardInterrupt) as caught:
        handled_by(shell, functools.partial(interrupts._on_signal, signal.SIGINT))
    assert caught.tb.tb_next is not None
    caught.value.__traceback__ = caught.tb.tb_next.tb_next  # without the test's
    made = tracebacks._of_the_user(caught.value)
    files = set()
    while made is not None:
        files.add(made.tb_frame.f_code.co_filename)
        made = made.tb_next
    assert shell in files
    assert not any(file.startswith(tracebacks.PACKAGE_DIR) for file in files)


def test_an_error_where_python_knows_of_no_line() -> None:
    def fail() -> None:
        raise ValueError("somewhere")

    nowhere = types.FunctionType(fail.__code__.replace(co_linetable=b""), {})
    with pytest.raises(ValueError) as caught:
        nowhere()
    records = error_record.capture(caught.value, lambda value: b"", lambda error: "")
    for record in records:
        made = stand_in_frames.make_traceback(record.frames)
        while made is not None:
            assert made.tb_lineno >= 1
            made = made.tb_next
