"""Interrupts that wait until something is done."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from nbray.core import interrupts_later
from nbray.core.interrupts_later import InterruptsLater


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_it_strikes_after_the_block() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), InterruptsLater():
        interrupt()
        done.append(1)
    assert done == [1]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_nothing_strikes_without_one() -> None:
    with InterruptsLater():
        pass
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize(("strikes", "gets"), [("at once", []), ("when repeated", [1]), ("later", [1, 2])])
def test_who_goes_on_to_interrupt_is_heard_where_that_does_no_harm(
    monkeypatch: pytest.MonkeyPatch, strikes: interrupts_later.Strikes, gets: list[int]
) -> None:
    monkeypatch.setattr(interrupts_later, "PATIENCE_S", 0.0)
    done = []
    with pytest.raises(KeyboardInterrupt), InterruptsLater(strikes):
        interrupt()
        done.append(1)
        interrupt()
        done.append(2)
    assert done == gets
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_one_soon_after_waits_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interrupts_later, "PATIENCE_S", float("inf"))
    done = []
    with pytest.raises(KeyboardInterrupt), InterruptsLater("when repeated"):
        interrupt()
        interrupt()
        done.append(1)
    assert done == [1]


def test_other_threads_have_none_to_put_off() -> None:
    seen = []

    def look() -> None:
        with InterruptsLater():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler]
