"""Shields of several clusters of one process: none calls another. What is put off is delivered when it may strike."""

import os
import signal
import threading
import types

import pytest

from nbray.core.interrupts import InterruptShield, uninterrupted
from nbray.serialization.error_value import ErrorValue


@pytest.fixture
def handler():
    """A handler of the program's own, and the list of what it got."""
    got = []
    before = signal.signal(signal.SIGINT, lambda signum, frame: got.append(signum))
    yield got
    signal.signal(signal.SIGINT, before)


def shield():
    session = types.SimpleNamespace(attached=False)
    core = types.SimpleNamespace(role="driver", pid=os.getpid(), session=session, lock=threading.RLock())
    return InterruptShield(core, (core.lock,))


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


def test_a_signal_that_was_put_off_is_not_sent_into_what_it_would_have_to_wait_for(handler):
    """Sent at once, it was put off again and sent again, each time within the handler of the one before, to no end."""
    own = shield()
    own.install()
    asked, must_wait = [], own.must_wait
    own.must_wait = lambda signum, frame: asked.append(signum) or must_wait(signum, frame)

    def serve():
        thread = threading.Thread(target=own.deliver)
        thread.start()
        thread.join()

    @uninterrupted
    def write():
        signal.raise_signal(signal.SIGINT)
        assert own.pending == signal.SIGINT
        serve()
        assert own.pending == signal.SIGINT and len(asked) == 1
        return list(handler)

    assert write() == []
    serve()
    assert handler == [signal.SIGINT] and own.pending == 0


def test_none_strikes_where_python_would_swallow_it(handler):
    """In the ``__del__`` of an object of the library, which runs wherever the last name of it goes."""
    own = shield()
    own.install()

    class Unread:
        def append(self, entry):
            signal.raise_signal(signal.SIGINT)

    error = ErrorValue(b"")
    error.unread = Unread(), None
    del error
    assert own.pending == signal.SIGINT and handler == []
    own.deliver()
    assert handler == [signal.SIGINT]
