"""Descriptors that are watched, and their numbers, which are used again."""

import os

import pytest

from nbray.node.descriptors import Descriptors


@pytest.fixture
def pipes():
    """Return a function that makes a pipe; what is open at the end is closed."""
    made = []

    def make(readable):
        ends = os.pipe()
        made.extend(ends)
        if readable:
            os.write(ends[1], b"x")
        return ends[0]

    yield make
    for descriptor in made:
        try:
            os.close(descriptor)
        except OSError:
            continue


@pytest.mark.parametrize("order", ["first", "second"])
def test_a_new_descriptor_is_not_taken_for_the_one_whose_number_it_got(pipes, order):
    descriptors, called = Descriptors(), []
    pair = [pipes(readable=True), pipes(readable=True)]
    one, other = pair if order == "first" else reversed(pair)

    def replace():
        """As when a process is reaped and the next is forked."""
        descriptors.unwatch(other)
        os.close(other)
        fresh = os.dup2(pipes(readable=False), other)
        descriptors.watch(fresh, lambda: called.append("fresh"))

    descriptors.watch(one, replace)
    descriptors.watch(other, lambda: called.append("other"))
    descriptors.serve()
    assert "fresh" not in called
    descriptors.unwatch(one)
    descriptors.serve()
    assert "fresh" not in called


def test_who_is_not_watched_any_more_is_not_called(pipes):
    descriptors, called = Descriptors(), []
    pair = [pipes(readable=True), pipes(readable=True)]

    def end(number):
        called.append(number)
        descriptors.unwatch(pair[1 - number])

    descriptors.watch(pair[0], lambda: end(0))
    descriptors.watch(pair[1], lambda: end(1))
    descriptors.serve()
    assert len(called) == 1
    descriptors.unwatch(pair[0])
    descriptors.unwatch(12345)
