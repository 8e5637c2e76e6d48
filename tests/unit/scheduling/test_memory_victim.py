"""Whom the memory monitor ends."""

from nbray.scheduling.memory_victim import Candidate, choose


def candidate(peer, size, started=0.0, **how):
    return Candidate(peer, 100 + peer, f"task{peer}", size, started, **how)


def test_nobody():
    assert choose([]) is None
    assert choose([candidate(1, 0)]) is None


def test_the_youngest_that_may_run_again():
    old, young = candidate(1, 100, 1.0, retriable=True), candidate(2, 100, 2.0, retriable=True)
    youngest = candidate(3, 100, 3.0)
    assert choose([old, young, youngest]) is young


def test_small_ones_are_left_alone():
    hog, small = candidate(1, 1000, 1.0), candidate(2, 10, 2.0, retriable=True)
    assert choose([hog, small]) is hog
    assert choose([hog, candidate(3, 250, 2.0, retriable=True)]).peer == 3


def test_actors_come_last():
    actor, task = candidate(1, 1000, 5.0, is_actor=True), candidate(2, 300, 1.0)
    assert choose([actor, task]) is task
    assert choose([actor]) is actor
