"""Shields of several clusters of one process: none calls another."""

import os
import signal
import threading
import types

import pytest

from nbray.core.interrupts import InterruptShield


@pytest.fixture
def handler():
    """A handler of the program's own, and the list of what it got."""
    got = []
    before = signal.signal(signal.SIGINT, lambda signum, frame: got.append(signum))
    yield got
    signal.signal(signal.SIGINT, before)


def shield():
    core = types.SimpleNamespace(role="driver", pid=os.getpid(), session=types.SimpleNamespace(attached=False))
    return InterruptShield(core, (threading.RLock(),))


def test_shields_that_install_themselves_again_and_again_reach_the_program_once(handler):
    first, second = shield(), shield()
    for _ in range(3):
        first.install()
        second.install()
    signal.raise_signal(signal.SIGINT)
    assert handler == [signal.SIGINT]
    second.remove()
    signal.raise_signal(signal.SIGINT)
    assert handler == [signal.SIGINT] * 2


def test_many_shields_that_were_never_removed(handler):
    for _ in range(2000):
        shield().install()
    signal.raise_signal(signal.SIGINT)
    assert handler == [signal.SIGINT]
