"""Rows 23, 28 and 29: constructors that fail, workers that die, and sys.exit."""

import os
import signal
import sys
import time

import pytest


def test_row_23_a_failing_constructor(ray):
    @ray.remote
    class Fragile:
        def __init__(self):
            self.connect()

        def connect(self):
            raise ConnectionRefusedError("no server there")

        def method(self):
            return 1

    actor = Fragile.remote()
    for _ in range(2):
        with pytest.raises(ray.exceptions.ActorDiedError) as caught:
            ray.get(actor.method.remote())
        error = caught.value
        text = str(error)
        for words in ("Fragile", "ConnectionRefusedError", "no server there", "in connect", "Traceback"):
            assert words in text, text
        cause = error.__cause__ or getattr(error, "cause", None)
        assert isinstance(cause, ConnectionRefusedError)


@pytest.mark.parametrize("name", ["SIGKILL", "SIGSEGV", "SIGABRT", "SIGBUS"])
def test_row_28_signals(ray, name):
    @ray.remote(max_retries=0)
    def a_task_that_dies():
        print(f"about to be ended by {name}")
        sys.stdout.flush()
        os.kill(os.getpid(), getattr(signal, name))
        time.sleep(60)

    start = time.monotonic()
    with pytest.raises(ray.exceptions.WorkerCrashedError) as caught:
        ray.get(a_task_that_dies.remote())
    assert time.monotonic() - start < 30
    text = str(caught.value)
    for words in (
        "a_task_that_dies",
        name,
        f"about to be ended by {name}",
        ray.get_runtime_context().get_node_id()[:8],
    ):
        assert words in text, text
    assert str(caught.value.pid) in text
    assert caught.value.pid > 0
    assert caught.value.signal_name == name


@pytest.mark.parametrize("code", [0, 1, 77])
def test_row_28_exit_codes(ray, code):
    @ray.remote(max_retries=0)
    def leaves():
        os._exit(code)

    with pytest.raises(ray.exceptions.WorkerCrashedError) as caught:
        ray.get(leaves.remote())
    assert caught.value.exit_code == code
    assert f"code {code}" in str(caught.value)


def test_row_28_the_last_lines_of_the_log(ray):
    @ray.remote(max_retries=0)
    def talks_and_dies():
        for i in range(100):
            print(f"line number {i}.")
        sys.stdout.flush()
        print("a line of the error stream", file=sys.stderr)
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60)

    with pytest.raises(ray.exceptions.WorkerCrashedError) as caught:
        ray.get(talks_and_dies.remote())
    text = str(caught.value)
    assert "line number 99." in text
    assert "a line of the error stream" in text
    assert "line number 50." not in text, "the last twenty lines, not all"


def test_row_28_a_worker_killed_while_idle_tasks_wait(ray):
    @ray.remote(max_retries=0)
    def sleep():
        time.sleep(60)

    @ray.remote
    def quick(i):
        return i

    @ray.remote(max_retries=0)
    def die():
        os._exit(3)

    with pytest.raises(ray.exceptions.WorkerCrashedError):
        ray.get([quick.remote(1), die.remote()])
    assert ray.get([quick.remote(i) for i in range(50)]) == list(range(50))


@pytest.mark.parametrize("argument", [None, 0, 3, "a message"], ids=repr)
def test_row_29_sys_exit(ray, argument):
    @ray.remote(num_cpus=2)
    def pid():
        return os.getpid()

    @ray.remote(max_retries=0, num_cpus=2)
    def leave():
        sys.exit(argument)

    before = ray.get(pid.remote())
    with pytest.raises(ray.exceptions.RayTaskError) as caught:
        ray.get(leave.remote())
    assert isinstance(caught.value.cause, SystemExit)
    assert isinstance(caught.value, ray.exceptions.WorkerCrashedError), "what Ray raises"
    assert "SystemExit" in str(caught.value)
    os.kill(before, 0)
    assert ray.get(pid.remote()) == before, "the worker survives"
