"""Many threads, event loops, futures, callbacks and forks in one driver (J7, J9)."""

import asyncio
import concurrent.futures
import os
import pickle
import random
import subprocess
import sys
import threading
import time

import cluster_kit as kit
import pytest

from nbray.core import current


def in_threads(count, function):
    """Run ``function(number)`` in threads at the same time; re-raise what any of them raised."""
    barrier = threading.Barrier(count)

    def run(number):
        barrier.wait()
        return function(number)

    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        return [future.result(60) for future in [pool.submit(run, number) for number in range(count)]]


def test_eight_threads_submit_get_and_wait(ray):
    @ray.remote
    def f(x):
        return x

    @ray.remote
    class Counter:
        def __init__(self):
            self.n = 0

        def add(self, who, i):
            self.n += 1
            return who, i

    counter = Counter.remote()
    rounds = kit.scaled(10)

    def work(number):
        dice = random.Random(number)
        for round_ in range(rounds):
            refs = [f.remote((number, i)) for i in range(40)]
            calls = [counter.add.remote(number, i) for i in range(10)]
            stored = ray.put(bytes([number]) * 50_000)
            rest, got = list(refs), []
            while rest:
                done, rest = ray.wait(rest, num_returns=min(len(rest), dice.randint(1, 9)))
                got += ray.get(done)
            assert sorted(got) == [(number, i) for i in range(40)]
            assert ray.get(calls) == [(number, i) for i in range(10)]
            assert ray.get(f.remote(stored)) == bytes([number]) * 50_000
            i = round_ % len(refs)
            assert ray.get(refs[i]) == (number, i)

    with kit.no_hang():
        in_threads(8, work)
        assert ray.get(counter.add.remote(9, 9)) == (9, 9)


def test_threads_wait_for_the_same_ref(ray, gate):
    @ray.remote
    def gated():
        gate.wait()
        return [1, 2, 3]

    ref = gated.remote()
    waiting = threading.Semaphore(0)

    def get(number):
        waiting.release()
        return ray.get(ref)

    def open_gate():
        for _ in range(8):
            waiting.acquire()
        gate.open()

    opener = threading.Thread(target=open_gate)
    opener.start()
    with kit.no_hang():
        values = in_threads(8, get)
    opener.join()
    assert values == [[1, 2, 3]] * 8


def test_a_thread_waits_long_while_others_work(ray, gate):
    """Whoever waits drains for all: the other threads' results do not stay with it."""
    slow = ray.remote(lambda: gate.wait() or "slow").remote()
    f = ray.remote(lambda i: i)
    thread = concurrent.futures.ThreadPoolExecutor(1)
    waiter = thread.submit(ray.get, slow)
    with kit.no_hang():
        for _ in range(20):
            assert in_threads(4, lambda n: ray.get([f.remote(i) for i in range(20)])) == [list(range(20))] * 4
        gate.open()
        assert waiter.result(kit.PATIENCE_S) == "slow"
    thread.shutdown()


def test_threads_inside_a_task(ray):
    @ray.remote
    def leaf(i):
        return i

    @ray.remote
    def threaded():
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            jobs = [pool.submit(lambda n=n: ray.get([leaf.remote(n * 10 + i) for i in range(10)])) for n in range(4)]
            return [job.result() for job in jobs]

    wanted = [list(range(n * 10, n * 10 + 10)) for n in range(4)]
    with kit.no_hang():
        assert ray.get([threaded.remote() for _ in range(3)]) == [wanted] * 3


def test_await_of_refs(ray):
    @ray.remote
    def f(i):
        return i

    @ray.remote
    def fails():
        raise ValueError("mine")

    @ray.remote
    class Actor:
        def add(self, i):
            return i + 1

    async def main():
        assert await f.remote(1) == 1
        assert await ray.put([1]) == [1]
        actor = Actor.remote()
        assert await actor.add.remote(1) == 2
        with pytest.raises(ValueError, match="mine"):
            await fails.remote()
        values = await asyncio.gather(*[f.remote(i) for i in range(1000)])
        assert values == list(range(1000))
        ref = f.remote(5)
        assert await asyncio.gather(ref, ref, ref) == [5, 5, 5]
        done, _ = await asyncio.wait([asyncio.ensure_future(wrap(f.remote(i))) for i in range(50)])
        assert sorted(task.result() for task in done) == list(range(50))

    async def wrap(ref):
        return await ref

    with kit.no_hang():
        asyncio.run(main())


def test_the_loop_stays_responsive(ray, gate):
    """While refs are awaited the loop runs: a task of the loop opens the gate they wait for."""
    slow = ray.remote(lambda: gate.wait() or "slow").remote()

    async def opener():
        for _ in range(5):
            await asyncio.sleep(0.001)
        gate.open()

    async def main():
        value, _ = await asyncio.gather(slow, opener())
        return value

    with kit.no_hang():
        assert asyncio.run(main()) == "slow"


def test_an_await_that_is_cancelled_or_timed_out(ray, gate):
    async def main():
        ref = ray.remote(lambda: gate.wait() or "slow").remote()
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(ref.as_future(), 0.05)
        gate.open()
        return await ref

    with kit.no_hang():
        assert asyncio.run(main()) == "slow"


def test_a_loop_that_is_gone_before_the_value_comes(ray, gate):
    ref = ray.remote(lambda: gate.wait() or "slow").remote()

    async def main():
        ref.as_future()
        await asyncio.sleep(0)

    asyncio.run(main())
    gate.open()
    with kit.no_hang():
        assert ray.get(ref) == "slow"
        assert ray.get(ray.remote(lambda: 1).remote()) == 1


def test_futures_and_callbacks(ray, gate):
    refs = [ray.remote(lambda i: gate.wait() or i).remote(i) for i in range(20)]
    futures = [ref.future() for ref in refs]
    called = []
    for ref in refs:
        ref._on_completed(called.append)
    assert not any(future.done() for future in futures)
    gate.open()
    with kit.no_hang():
        done, rest = concurrent.futures.wait(futures, kit.PATIENCE_S)
        assert not rest
        assert sorted(future.result() for future in done) == list(range(20))
        kit.eventually(lambda: len(called) == 20, "all callbacks ran")
    assert sorted(called) == list(range(20))
    again = refs[0].future()
    assert again.result(kit.PATIENCE_S) == 0


def test_a_callback_comes_though_nobody_waits(ray):
    """The service thread sees to it."""
    event = threading.Event()
    with kit.no_hang():
        for _ in range(20):
            event.clear()
            ray.remote(lambda: 1).remote()._on_completed(lambda value: event.set())
            assert event.wait(kit.PATIENCE_S)


def test_callbacks_that_use_the_runtime(ray):
    f = ray.remote(lambda i: i)
    results = []

    def chain(value):
        if value < 20:
            f.remote(value + 1)._on_completed(chain)
        else:
            results.append(ray.get(f.remote("end")))

    with kit.no_hang():
        f.remote(0)._on_completed(chain)
        kit.eventually(lambda: results, "the chain of callbacks ended")
    assert results == ["end"]


def test_a_callback_that_fails_hurts_nobody(ray, capfd):
    f = ray.remote(lambda i: i)

    def bad(value):
        raise ZeroDivisionError("in the callback")

    with kit.no_hang():
        for i in range(10):
            ref = f.remote(i)
            ref._on_completed(bad)
            assert ray.get(ref) == i
        assert ray.get([f.remote(i) for i in range(50)]) == list(range(50))


def in_a_fork(function):
    """Return what ``function`` returns or raises in a forked child, and how long that took."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            start = time.monotonic()
            try:
                outcome = ("returned", function(), "")
            except BaseException as error:
                outcome = ("raised", type(error).__name__, str(error))
            os.write(writer, pickle.dumps((*outcome, time.monotonic() - start)))
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        data = pipe.read()
    os.waitpid(pid, 0)
    return pickle.loads(data)


@pytest.mark.parametrize("call", ["get", "get done", "get list", "put", "wait", "submit", "actor", "future", "state"])
def test_a_forked_child_is_told_quickly(ray, call):
    @ray.remote
    def f(i):
        return i

    @ray.remote
    class Actor:
        def add(self, i):
            return i

    actor = Actor.remote()
    done, stored = f.remote(1), ray.put(bytes(100_000))
    ray.get([done, actor.add.remote(1)])
    pending = f.remote(2)
    calls = {
        "get": lambda: ray.get(pending),
        "get done": lambda: ray.get(stored),
        "get list": lambda: ray.get([pending, done]),
        "put": lambda: ray.put(bytes(100_000)),
        "wait": lambda: ray.wait([pending, done], num_returns=2),
        "submit": lambda: f.remote(3),
        "actor": lambda: actor.add.remote(3),
        "future": lambda: pending.future().result(60),
        "state": ray.available_resources,
    }
    with kit.no_hang():
        kind, name, text, seconds = in_a_fork(calls[call])
        assert (kind, name) == ("raised", "ForkedProcessError"), (kind, name, text)
        assert seconds < 30
        assert ray.get([pending, done]) == [2, 1]
        assert ray.get([f.remote(i) for i in range(50)]) == list(range(50))
        assert ray.get(actor.add.remote(5)) == 5
        assert ray.get(stored) == bytes(100_000)


def test_forks_under_load(ray):
    """Children that drop inherited refs, run exit handlers or exec do not disturb the parent."""
    f = ray.remote(lambda x: x)
    kept = [ray.put(bytes([i]) * 50_000) for i in range(10)]

    def fork_often(number):
        for _ in range(kit.scaled(10)):
            pid = os.fork()
            if pid == 0:
                try:
                    kept.clear()
                finally:
                    os._exit(0)
            os.waitpid(pid, 0)

    def work(number):
        for _ in range(kit.scaled(10)):
            assert ray.get([f.remote(ref) for ref in kept]) == [bytes([i]) * 50_000 for i in range(10)]

    with kit.no_hang():
        in_threads(4, lambda number: fork_often(number) if number == 0 else work(number))
    assert ray.get(kept) == [bytes([i]) * 50_000 for i in range(10)]


def test_a_program_started_by_the_driver_has_no_segment(ray):
    code = "import os; print(sorted(os.readlink(f'/proc/self/fd/{n}') for n in os.listdir('/proc/self/fd') if n > '2'))"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, close_fds=False, check=False)
    assert "memfd" not in output.stdout
    assert "socket" not in output.stdout


def test_shutdown_while_threads_wait(fresh, gate):
    """Each of them ends with a typed error, none hangs, none crashes."""
    fresh.init(num_cpus=2, object_store_memory=64 * 2**20)
    slow = fresh.remote(lambda: gate.wait(100)).remote()
    f = fresh.remote(lambda i: i)
    fresh.get(f.remote(1))
    outcomes, started = [], threading.Semaphore(0)

    def wait_for_it(call):
        started.release()
        try:
            outcomes.append(call())
        except BaseException as error:
            outcomes.append(error)

    def loop():
        while True:
            fresh.get([f.remote(i) for i in range(10)])

    calls = [lambda: fresh.get(slow), lambda: fresh.wait([slow]), lambda: slow.future().result(20)]
    threads = [threading.Thread(target=wait_for_it, args=(call,), daemon=True) for call in calls]
    for thread in threads:
        thread.start()
    for _ in threads:
        started.acquire()
    kit.eventually(lambda: len(current.core.waiters) >= 2, "those in get and in wait do wait")
    with kit.no_hang():
        fresh.shutdown()
        for thread in threads[:2]:
            thread.join(kit.PATIENCE_S)
            assert not thread.is_alive()
    assert len(outcomes) >= 2
    assert all(isinstance(outcome, fresh.exceptions.RayError) for outcome in outcomes[:2]), outcomes
    fresh.init(num_cpus=1, object_store_memory=64 * 2**20)
    assert fresh.get(fresh.remote(lambda: 5).remote()) == 5


def test_a_program_ends_while_its_daemon_threads_wait(tmp_path):
    """The exit never crashes, and is silent for threads that wait already; one that comes too late is told."""
    program = tmp_path / "program.py"
    program.write_text(
        "import atexit, sys, time\n"
        "if sys.argv[1] == 'all wait':\n"
        "    atexit.register(time.sleep, 2)  # after nbray's own handler: threads see that the daemon is gone\n"
        "import threading, nbray\n"
        "nbray.init(num_cpus=1, object_store_memory=64 * 2**20)\n"
        "ref = nbray.remote(lambda: time.sleep(1000)).remote()\n"
        "calls = (lambda: nbray.get(ref), lambda: nbray.wait([ref]), lambda: nbray.get(nbray.put(b'x' * 2**20)))\n"
        "threads = [threading.Thread(target=call, daemon=True) for call in calls]\n"
        "for thread in threads:\n"
        "    thread.start()\n"
        "if sys.argv[1] == 'all wait':\n"
        "    threads.pop().join()\n"
        "    while len(nbray.core.current.core.waiters) < 2:\n"
        "        time.sleep(0.001)\n"
        "else:\n"
        "    time.sleep(float(sys.argv[1]))\n"
    )
    for moment in ("0", "0.001", "0.01", "all wait"):
        done = subprocess.run(
            [sys.executable, program, moment], capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, (moment, done.stderr)
        assert not done.stderr or (moment != "all wait" and "has been shut down" in done.stderr), (moment, done.stderr)
