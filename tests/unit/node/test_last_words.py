"""What a process said before it died is waited for: for a moment, but not less where the machine stands still meanwhile."""

import itertools
from types import SimpleNamespace

import pytest

from nbray.node import daemon


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes on by a second from look to look."""
    seconds = itertools.count()
    monkeypatch.setattr(daemon, "time", SimpleNamespace(monotonic=lambda: next(seconds), sleep=lambda seconds: None))


def looks_at(connected):
    """Hear a dead process out whose connection is there at these looks; returns how often messages were served."""
    looks, served = iter(connected), []
    router = SimpleNamespace(is_connected=lambda identity: next(looks))
    node = SimpleNamespace(node=SimpleNamespace(router=router), _serve_messages=served.append)
    daemon.NodeDaemon.hear_out(node, b"worker-7")
    return len(served)


def test_messages_are_served_once_more_when_the_connection_has_ended(clock):
    assert looks_at([True] * 4 + [False]) == 5


def test_a_connection_that_a_child_keeps_is_not_waited_for_long(clock):
    assert looks_at([True] * 1000) == daemon.LAST_WORDS_LOOKS
