"""``breakpoint()`` in tasks and actors, and ``nbray debug``, by which a person looks into them."""

import bdb
import subprocess
import sys

import cluster_kit as kit
import pytest

from nbray.worker import debugger


@pytest.fixture
def session(ray):
    return ray.get_runtime_context().gcs_address


@pytest.fixture
def debug(session):
    """``nbray debug`` with what is typed, and what it shows."""

    def run(*arguments, typed="", code=0):
        done = subprocess.run(
            [sys.executable, "-m", "nbray", "debug", "--address", session, *arguments], input=typed, text=True,
            capture_output=True, timeout=60, cwd=kit.ROOT,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr

    return run


@pytest.fixture
def wait_for(session):
    def wait(count=1):
        kit.eventually(lambda: len(debugger.waiting(session)) == count, f"{count} at a breakpoint")
        return debugger.waiting(session)

    return wait


@pytest.fixture
def stopping(ray):
    @ray.remote(max_retries=0)
    def stopping(x):
        y = x + 1
        breakpoint()
        return y * 2

    return stopping


def test_a_task_is_looked_into(ray, stopping, wait_for, debug):
    ref = stopping.remote(3)
    (one,) = wait_for()
    assert one.what == "stopping" and one.file == __file__
    shown = debug(typed="p y * 1000\ny = 50\nc\n")
    assert "4000" in shown and "\n-> " in shown and f"{__file__}:{one.line}" in shown
    assert ray.get(ref) == 100
    wait_for(0)


@pytest.mark.parametrize("options", [{"num_cpus": 0}, {"max_concurrency": 2}], ids=["plain", "threaded"])
def test_an_actor_goes_on_when_the_person_leaves(ray, wait_for, debug, options):
    @ray.remote(**options)
    class Actor:
        def method(self):
            for number in range(3):
                if number == 1:
                    ray.util.pdb.set_trace()
            return number

    actor = Actor.remote()
    ref = actor.method.remote()
    wait_for()
    assert "Actor.method" in debug("--list")
    assert "1" in debug(typed="p number\nb nowhere\n")
    assert ray.get(ref) == 2


def test_it_stops_again_at_breakpoints_that_were_set(ray, wait_for, debug):
    @ray.remote
    def loop():
        total = 0
        breakpoint()
        for number in range(3):
            total += number
        return total

    ref = loop.remote()
    (one,) = wait_for()
    shown = debug(typed=f"b {one.line + 2}\nc\nc\np 'number', number\ncl 1\nc\n")
    assert "('number', 1)" in shown
    assert ray.get(ref) == 3


def test_the_person_ends_the_task(ray, stopping, wait_for, debug):
    ref = stopping.remote(3)
    wait_for()
    debug(typed="q\n")
    with pytest.raises(bdb.BdbQuit):
        ray.get(ref)


def test_one_of_several(ray, stopping, wait_for, debug):
    refs = [stopping.remote(1), stopping.remote(2)]
    assert len({one.pid for one in wait_for(2)}) == 2
    assert "no number 2" in debug("2", code=1)
    for left in (1, 0):
        debug("0", typed="c\n")
        wait_for(left)
    assert ray.get(refs) == [4, 6]
    assert "nothing waits" in debug(code=1)


def test_a_task_that_waits_can_be_cancelled(ray, stopping, wait_for):
    ref = stopping.remote(3)
    wait_for()
    ray.cancel(ref)
    with pytest.raises(ray.exceptions.TaskCancelledError):
        ray.get(ref)
    wait_for(0)


def test_breakpoints_are_switched_off(ray, stopping):
    assert ray.get(stopping.options(runtime_env={"env_vars": {"PYTHONBREAKPOINT": "0"}}).remote(3)) == 8
