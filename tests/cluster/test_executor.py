"""``nbray.Executor``. CPython's own tests of executors run as well, in tests/packages/cpython."""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import operator
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import nbray
from nbray.util.multiprocessing import Pool


@pytest.fixture(scope="module")
def executor():
    nbray.init(num_cpus=2, object_store_memory=100 * 2**20)
    with nbray.Executor(2) as executor:
        yield executor
    nbray.shutdown()


def fail(text):
    raise LookupError(text)


def test_submit(executor):
    assert executor.submit(pow, 2, 8).result() == 256
    assert executor.submit(lambda x, *, y: x - y, 5, y=3).result() == 2
    assert executor.submit(os.getpid).result(timeout=60) != os.getpid()


def test_map(executor):
    assert list(executor.map(operator.mul, range(100), range(100))) == [x * x for x in range(100)]
    assert list(executor.map(lambda x: x + 1, range(10), chunksize=4)) == list(range(1, 11))
    assert list(executor.map(abs, [-1, -2, -3], buffersize=1)) == [1, 2, 3]


def test_an_error_has_its_own_type_and_its_traceback(executor):
    error = executor.submit(fail, "text").exception()
    assert type(error) is LookupError and error.args == ("text",)
    assert "raise LookupError(text)" in str(error.__cause__)
    with pytest.raises(SystemExit):
        executor.submit(sys.exit, 3).result()
    assert executor.submit(abs, -1).result() == 1


@pytest.mark.parametrize("name", ["RayError", "RayActorError", "RayTaskError"])
def test_an_error_of_the_library_that_is_returned_is_a_result(executor, name):
    """And no failure of the call, or of its process, as from a task."""
    cls = getattr(nbray.exceptions, name)
    assert type(executor.submit(cls).result()) is cls
    assert executor.submit(type, cls("given")).result() is cls
    assert executor.submit(pow, 2, 8).result() == 256


def test_what_cannot_be_pickled(executor):
    with pytest.raises(TypeError):
        executor.submit(id, (x for x in ())).result()
    with pytest.raises(TypeError):
        executor.submit(lambda: (x for x in ())).result()
    assert executor.submit(abs, -1).result() == 1


def test_arrays(executor):
    array = np.arange(1_000_000)
    doubled = executor.submit(operator.mul, array, 2).result()
    assert np.array_equal(doubled, 2 * array)


def test_cancel(executor, tmp_path):
    go = tmp_path / "go"

    def wait():
        while not go.exists():
            time.sleep(0.005)

    running = [executor.submit(wait) for _ in range(2)]
    waiting = [executor.submit(abs, -x) for x in range(10)]
    assert all(future.cancel() for future in waiting[::2])
    assert all(future.cancelled() for future in waiting[::2])
    go.touch()
    assert [future.result() for future in waiting[1::2]] == [1, 3, 5, 7, 9]
    assert [future.result() for future in running] == [None, None]
    assert not running[0].cancel()


def test_short_calls_behind_a_long_one_go_elsewhere(executor, tmp_path):
    go = tmp_path / "go"

    def step(x):
        while x == 50 and not go.exists():
            time.sleep(0.005)
        return x

    list(executor.map(step, range(50)))  # they are short: many are sent ahead
    futures = [executor.submit(step, x) for x in range(50, 150)]
    assert [future.result(60) for future in futures[1:]] == list(range(51, 150))
    go.touch()
    assert futures[0].result() == 50


def test_waiting_in_other_ways(executor):
    futures = [executor.submit(abs, -x) for x in range(20)]
    assert sorted(f.result() for f in concurrent.futures.as_completed(futures)) == list(range(20))
    done, rest = concurrent.futures.wait([executor.submit(abs, -1)])
    assert len(done) == 1 and not rest
    seen = []
    executor.submit(abs, -7).add_done_callback(lambda f: seen.append(f.result()))
    executor.submit(abs, 0).result()

    async def run():
        return await asyncio.get_running_loop().run_in_executor(executor, abs, -5)

    assert asyncio.run(run()) == 5
    deadline = time.monotonic() + 60
    while not seen and time.monotonic() < deadline:
        time.sleep(0.005)
    assert seen == [7]


def test_in_a_task(executor):
    @nbray.remote
    def task():
        with nbray.Executor(1) as inner:
            return list(inner.map(abs, [-1, -2]))

    assert nbray.get(task.remote()) == [1, 2]


def test_a_process_that_dies_breaks_it(executor):
    with nbray.Executor(2) as broken:
        pid = broken.submit(os.getpid).result()
        future = broken.submit(signal.pause)
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(concurrent.futures.BrokenExecutor, match="SIGKILL"):
            future.result(60)
        with pytest.raises(concurrent.futures.BrokenExecutor):
            broken.submit(abs, 1)
    assert executor.submit(abs, -1).result() == 1


def test_initializer(executor):
    def initialize(value):
        os.environ["EXECUTOR_TEST"] = value

    with nbray.Executor(2, initializer=initialize, initargs=("set",)) as other:
        assert set(other.map(os.getenv, ["EXECUTOR_TEST"] * 8)) == {"set"}


told = None  # what follows goes to the processes by value, as the functions of a program do


def hear(value):
    global told, told_too
    told = value
    told_too = [value]


def repeat(*_):
    return told


def repeat_by_another(*_):
    return repeat(), told_too


@pytest.mark.parametrize("make", [nbray.Executor, Pool], ids=["executor", "pool"])
def test_functions_see_the_globals_that_the_initializer_has_set(executor, make):
    with make(2, initializer=hear, initargs=("set",)) as other:
        assert set(other.map(repeat, range(8))) == {"set"}
        assert list(other.map(repeat_by_another, range(2))) == [("set", ["set"])] * 2
        assert set(other.map(functools.partial(repeat, 1), range(8))) == {"set"}
        assert set(other.map(lambda _: told, range(8))) == {"set"}
    assert told is None


def test_two_executors_share_no_process(executor):
    with nbray.Executor(1) as other:
        mine = {executor.submit(os.getpid).result() for _ in range(10)}
        assert other.submit(os.getpid).result() not in mine


def test_after_its_end(executor):
    other = nbray.Executor(1)
    other.submit(time.sleep, 0.1)
    rest = [other.submit(abs, -x) for x in range(20)]
    other.shutdown(cancel_futures=True)
    assert all(future.done() for future in rest)
    with pytest.raises(RuntimeError, match="after shutdown"):
        other.submit(abs, 1)


def test_what_is_submitted_is_done_before_the_program_ends(tmp_path):
    program = f"""
import nbray, time
nbray.init(num_cpus=1)
def write():
    time.sleep(0.3)
    open({str(tmp_path / "written")!r}, "w").close()
nbray.Executor(1).submit(write)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and not done.stderr
    assert (tmp_path / "written").exists()


def test_when_the_cluster_ends_first():
    nbray.shutdown()
    nbray.init(num_cpus=1)
    executor = nbray.Executor(1)
    future = executor.submit(time.sleep, 60)
    nbray.shutdown()
    with pytest.raises(concurrent.futures.BrokenExecutor):
        future.result(60)
    done, _ = concurrent.futures.wait([future], timeout=60)
    assert done
