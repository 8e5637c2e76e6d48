"""One driver with many threads, and workers that have threads of their own."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest


@pytest.fixture(scope="module")
def echo(ray):
    @ray.remote
    def echo(x):
        return x

    return echo


def test_many_threads_submit_and_get(ray, echo):
    def work(who):
        return ray.get([echo.remote((who, i)) for i in range(50)]) == [(who, i) for i in range(50)]

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))


def test_many_threads_one_task_at_a_time(ray, echo):
    def work(who):
        return [ray.get(echo.remote(i)) for i in range(30)] == list(range(30))

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(work, range(6)))


def test_many_threads_get_the_same_ref(ray, gate):
    @ray.remote
    def late():
        gate.wait()
        return "late"

    ref = late.remote()
    with ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(ray.get, ref) for _ in range(8)]
        gate.open()
        assert [f.result() for f in futures] == ["late"] * 8


def test_a_ref_made_in_one_thread_and_got_in_another(ray, echo):
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:
        ref = one.submit(echo.remote, "over").result()
        assert other.submit(ray.get, ref).result() == "over"


def test_threads_put_and_drop(ray):
    import numpy as np

    def work(who):
        for i in range(30):
            array = ray.get(ray.put(np.full(50_000, who * 100 + i)))
            if not (array == who * 100 + i).all():
                return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(4)))


def test_threads_wait(ray, echo):
    def work(who):
        pending, seen = [echo.remote(i) for i in range(20)], []
        while pending:
            ready, pending = ray.wait(pending)
            seen += ray.get(ready)
        return sorted(seen)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(4))) == [list(range(20))] * 4


def test_a_waiting_thread_does_not_stop_the_others(ray, echo, gate):
    @ray.remote(num_cpus=0)
    def blocked():
        gate.wait()
        return "done"

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(lambda: ray.get(blocked.remote()))
        assert ray.get([echo.remote(i) for i in range(20)]) == list(range(20))
        assert not waiting.done()
        gate.open()
        assert waiting.result() == "done"


def test_threads_share_an_actor(ray):
    @ray.remote
    class Counter:
        def __init__(self):
            self.n = 0

        def add(self):
            self.n += 1
            return self.n

    counter = Counter.remote()
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: ray.get(counter.add.remote()), range(80)))
    assert sorted(results) == list(range(1, 81))


def test_threads_make_actors(ray):
    @ray.remote
    class A:
        def one(self):
            return 1

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(lambda _: ray.get(A.remote().one.remote()), range(3))) == [1] * 3


def test_threads_of_a_task_use_the_library(ray, echo):
    @ray.remote
    def f():
        with ThreadPoolExecutor(4) as pool:
            return list(pool.map(lambda i: ray.get(echo.remote(i)), range(20)))

    assert ray.get(f.remote()) == list(range(20))


def test_a_timeout_in_a_thread(ray, gate):
    @ray.remote
    def blocked():
        gate.wait()

    ref = blocked.remote()

    def work():
        with pytest.raises(ray.exceptions.GetTimeoutError):
            ray.get(ref, timeout=0.1)
        return True

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(work).result()


def test_errors_arrive_in_the_thread_that_asked(ray):
    @ray.remote(max_retries=0)
    def fail(i):
        raise ValueError(f"number {i}")

    def work(i):
        with pytest.raises(ValueError, match=f"number {i}"):
            ray.get(fail.remote(i))
        return True

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(12)))


def test_a_daemon_thread_that_still_waits_at_the_end(run_script):
    done = run_script(
        """
        import threading, time
        ray.init(num_cpus=1)

        @ray.remote
        def sleep():
            time.sleep(1000)

        ref = sleep.remote()
        threading.Thread(target=ray.get, args=[ref], daemon=True).start()
        print("end")
        """
    )
    assert done.stdout.split()[-1] == "end"


def test_refs_dropped_in_threads(ray, echo):
    """Dropping the last ref from any thread, also while others submit, harms nobody."""
    stop = threading.Event()

    def churn():
        while not stop.is_set():
            ray.put(b"x" * 1000)

    threads = [threading.Thread(target=churn) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        assert ray.get([echo.remote(i) for i in range(100)]) == list(range(100))
    finally:
        stop.set()
        for thread in threads:
            thread.join()
