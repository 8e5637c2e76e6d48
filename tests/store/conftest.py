"""Fixtures of the store's tests: a segment, and the promise that nothing is left behind."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from nbray.store.segment import Segment


def open_fds() -> set[str]:
    """Return what the open descriptors of this process lead to."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            found.add(f"{name} {os.readlink(f'/proc/self/fd/{name}')}")
        except OSError:  # the one of listdir itself
            continue
    return found


def segments_mapped() -> int:
    """Return how many mappings of segments this process has."""
    with open("/proc/self/maps") as maps:
        return sum("memfd:nbray" in line for line in maps)


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Fail a test that leaves a descriptor or a mapping of a segment."""
    fds, maps = open_fds(), segments_mapped()
    yield
    assert open_fds() - fds == set()
    assert segments_mapped() == maps


@pytest.fixture
def segment() -> Iterator[Segment]:
    """A store of 8 MiB that is whole after the test."""
    with Segment.make(8 << 20) as s:
        yield s
        s.validate()


@pytest.fixture
def in_child() -> Callable[[Callable[[], None]], int]:
    """Run a function in a forked child; returns its exit status, or minus its signal."""

    def run(body: Callable[[], None]) -> int:
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                body()
                status = 0
            finally:
                os._exit(status)
        _, code = os.waitpid(pid, 0)
        return os.waitstatus_to_exitcode(code)

    return run
