"""Row 32: children that tasks and actors fork and that come to the end of the user's code. They are no workers."""

import os
import sys
import threading
import time

import pytest

WAYS = {"return": 0, "raise": 1, "exit": 3, "interrupt": 130}
CHILD_S = 60.0


def fork(way):
    """Fork; in the child leave the code of the user in some way, here return how the child ended."""
    child = os.fork()
    if child:
        return wait_for(child)
    if way == "raise":
        raise LookupError("raised in the child")
    if way == "exit":
        sys.exit(3)
    if way == "interrupt":
        raise KeyboardInterrupt
    return None


def wait_for(child):
    deadline = time.monotonic() + CHILD_S
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline:
            os.kill(child, 9)
            os.waitpid(child, 0)
            return "it did not end"
        time.sleep(0.005)


class Plain:
    def __init__(self, way="", notes=None):
        self.notes = notes
        self.made = fork(way) if way else None

    def how_made(self):
        return self.made

    def fork(self, way):
        return fork(way), os.getpid()

    def __ray_shutdown__(self):
        if self.notes is not None:
            (self.notes / f"shutdown-{os.getpid()}").touch()


class Async(Plain):
    async def fork(self, way):
        return fork(way), os.getpid()


@pytest.mark.parametrize("way", WAYS)
def test_of_a_task(ray, way):
    assert ray.get(ray.remote(max_retries=0)(fork).remote(way), timeout=90) == WAYS[way]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("cls", "options"), [(Plain, {}), (Plain, {"max_concurrency": 2}), (Async, {})], ids=["plain", "threaded", "async"]
)
def test_of_an_actor(ray, cls, options, way, tmp_path):
    """The actor goes on, and nobody has called what it has to call at its end."""
    actor = ray.remote(num_cpus=0, **options)(cls).remote(notes=tmp_path)
    ended, pid = ray.get(actor.fork.remote(way), timeout=90)
    assert ended == WAYS[way]
    assert ray.get(actor.fork.remote("return"), timeout=90) == (0, pid)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("way", WAYS)
def test_of_a_constructor(ray, way):
    actor = ray.remote(num_cpus=0)(Plain).remote(way)
    assert ray.get(actor.how_made.remote(), timeout=90) == WAYS[way]


def test_of_a_thread(ray):
    """What it prints at its end starts no thread of the worker's that would keep it."""

    @ray.remote
    def forks():
        ended = []
        thread = threading.Thread(target=lambda: ended.append(fork("raise")))
        thread.start()
        thread.join()
        return ended

    assert ray.get(forks.remote(), timeout=90) == [0]  # as in Python: only what the main thread raises counts
