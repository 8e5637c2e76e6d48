"""Rows 3, 5, 31, 32, 54, 55, 56, 66, 67, 68: captures, sizes, recursion, what tasks do to their process, habits that cost."""

import contextlib
import os
import pickle
import resource
import signal
import sys
import threading
import time
import warnings

import psutil
import pytest

from nbray.exceptions import ObjectFreedError, PerformanceWarning

numpy = pytest.importorskip("numpy")


def test_row_3_a_captured_lock(ray):
    my_lock = threading.Lock()

    @ray.remote
    def uses():
        return my_lock

    with pytest.raises(TypeError) as caught:
        uses.remote()
    assert "my_lock" in str(caught.value)
    assert "captures" in str(caught.value)


def test_row_3_a_captured_runtime_context(ray):
    client = {"connection": (i for i in range(3))}

    @ray.remote
    class Uses:
        def call(self):
            return client

    with pytest.raises(TypeError) as caught:
        Uses.remote()
    assert "client" in str(caught.value)


def test_row_5_a_large_closure(ray):
    data = bytes(11 * 2**20)

    @ray.remote
    def uses():
        return len(data)

    with pytest.warns(UserWarning, match=r"data \(11.0 MiB\).*put\(\)"):
        assert ray.get(uses.remote()) == 11 * 2**20


@pytest.mark.parametrize(
    "make",
    [
        lambda: bytes(300 * 2**20),
        lambda: numpy.zeros(300 * 2**17),
        lambda: [os.urandom(2**16) for _ in range(16 * 300)],
    ],
    ids=["bytes", "array", "parts"],
)
def test_row_5_a_closure_that_is_too_large(ray, make):
    """It is refused at once; 600 MiB took 2 to 5 s, as they were serialized twice before anybody looked at their size."""
    data = make()

    @ray.remote
    def uses():
        return len(data)

    @ray.remote
    class Uses:
        def size(self):
            return len(data)

    for large in (uses, Uses):
        begin = time.thread_time()
        with pytest.raises(ValueError, match=r"too large: .*[0-9]+ MiB.*at most 95.0 MiB.* data \(.*MiB\).*put\(\)"):
            large.remote()
        assert time.thread_time() - begin < 1.0


@pytest.mark.parametrize("make", [lambda: bytes(11 * 2**20), lambda: numpy.zeros(11 * 2**17)], ids=["bytes", "array"])
def test_row_5_a_large_argument(ray, make):
    @ray.remote
    def size(x):
        return len(x)

    with pytest.warns(PerformanceWarning, match=r"11.0 MiB.*put\(\)") as caught:
        assert ray.get(size.remote(make())) > 0
    assert [warning.filename for warning in caught if "11.0 MiB" in str(warning.message)] == [__file__]


def test_row_31_recursion_without_end(ray):
    @ray.remote(max_retries=0)
    def forever(n):
        return forever_inside(n)

    def forever_inside(n):
        return forever_inside(n + 1)

    with pytest.raises(RecursionError):
        ray.get(forever.remote(0), timeout=60)


def test_row_31_the_stack_overflows(ray):
    @ray.remote(max_retries=0)
    def overflow():
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        nested = iter([1])
        for _ in range(10**6):
            nested = map(int, nested)  # each asks the one inside of it, in C
        return next(nested)

    with pytest.raises(ray.exceptions.WorkerCrashedError, match="SIGSEGV"):
        ray.get(overflow.remote(), timeout=60)


def is_alive(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _ignores_signals():
    for signo in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGCHLD):
        signal.signal(signo, signal.SIG_IGN)


def _closes_descriptors():
    os.closerange(3, 1000)


def _closes_its_output():
    for descriptor in (0, 1, 2):
        os.close(descriptor)


def _goes_elsewhere():
    os.chdir("/")
    os.environ.clear()
    sys.path.clear()


def _forks():
    if os.fork() == 0:
        os._exit(0)


def _leaves_its_session():
    if os.getpid() != os.getpgid(0):
        os.setsid()


def _sets_an_alarm():
    signal.alarm(1)


@pytest.mark.parametrize(
    "what",
    [
        _ignores_signals, _closes_descriptors, _closes_its_output, _goes_elsewhere, _forks, _leaves_its_session,
        _sets_an_alarm,
    ],
)  # fmt: skip
def test_row_32_what_a_task_does_to_its_process(ray, what):
    @ray.remote(max_retries=0)
    def rude():
        what()
        return os.getpid()

    @ray.remote
    def next_one(i):
        time.sleep(0.01)
        return i

    worker = 0
    with contextlib.suppress(ray.exceptions.WorkerCrashedError):
        worker = ray.get(rude.remote(), timeout=60)
    while True:
        assert ray.get([next_one.remote(i) for i in range(40)], timeout=60) == list(range(40))
        if what is not _sets_an_alarm or not is_alive(worker):  # it strikes here, and no later test
            break


def test_row_32_a_forked_child_that_returns(ray):
    @ray.remote(max_retries=0)
    def forks():
        return os.fork()

    child = ray.get(forks.remote(), timeout=60)
    assert child > 0

    deadline = time.monotonic() + 60
    while is_alive(child):
        assert time.monotonic() < deadline, "the child plays the worker"
        time.sleep(0.02)


def test_row_54_a_ref_pickled_by_hand(ray, tmp_path):
    ref = ray.put([1, 2, 3])
    path = tmp_path / "ref"
    with pytest.warns(UserWarning, match="outside of a task.*kept until the end of the session") as caught:
        path.write_bytes(pickle.dumps(ref))
    assert [warning.filename for warning in caught if "outside of a task" in str(warning.message)] == [__file__]
    del ref
    assert ray.get(pickle.loads(path.read_bytes())) == [1, 2, 3]


def test_row_54_and_loaded_in_another_session(ray, tmp_path, run_script):
    path = tmp_path / "ref"
    with pytest.warns(UserWarning):
        path.write_bytes(pickle.dumps(ray.put(1)))
    text = f"""
    import pickle
    ray.init(num_cpus=1)
    ref = pickle.load(open({str(path)!r}, "rb"))
    try:
        ray.get(ref, timeout=60)
    except ray.exceptions.ObjectLostError as error:
        assert "another cluster" in str(error)
        print("lost")
    """
    assert "lost" in run_script(text).stdout


def test_row_55_put_of_a_ref(ray):
    ref = ray.put(1)
    with pytest.raises(TypeError, match="wrap the ObjectRef in a list"):
        ray.put(ref)
    inside = ray.get(ray.put({"a": {"b": [ref]}}))["a"]["b"][0]
    assert ray.get(inside) == 1


def test_row_56_use_after_free(ray):
    free = ray.internal.free
    small, large = ray.put(1), ray.put(numpy.ones(2**20))
    free([small, large])
    for ref in (small, large):
        with pytest.raises(ObjectFreedError, match="freed"):
            ray.get(ref)

    @ray.remote
    def use(x):
        return x

    with pytest.raises(ObjectFreedError, match="freed"):
        ray.get(use.remote(large))
    with pytest.raises(TypeError, match="free"):
        free([1])


def test_row_66_very_many_calls(ray):
    @ray.remote
    def nothing(i):
        return i

    n = int(50_000 * float(os.environ.get("NBRAY_FAULT_SCALE", "1")))  # with 20: a million
    refs = [nothing.remote(i) for i in range(n)]
    assert ray.get(refs[:: n // 10]) == list(range(0, n, n // 10))
    ray.wait(refs, num_returns=n)


def test_row_66_more_than_the_limit(ray, monkeypatch, tmp_path):
    from nbray.core import current

    monkeypatch.setitem(current.core.store.pressure.limits.changed, "queued_tasks", 500)

    @ray.remote
    def brief():
        time.sleep(0.001)

    with pytest.warns(PerformanceWarning, match=r"tasks of this process are queued.*remote\(\) waits"):
        refs = [brief.remote() for _ in range(2000)]
        assert all(len(pool.queue) <= 600 for pool in current.core.pools.values())
    ray.get(refs)


@pytest.fixture
def warnings_of_threads():
    """All warnings, also those that a thread of the runtime gives; and advice starts anew."""
    from nbray.core import current

    current.core.advice._said.clear()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield caught


def seen(caught, words, seconds):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for warning in list(caught):
            if words in str(warning.message):
                assert warning.category is PerformanceWarning
                return warning
        yield


def test_row_67_one_get_after_the_other(ray, warnings_of_threads):
    @ray.remote
    def slow(i):
        time.sleep(0.02)
        return i

    found = None
    steps = seen(warnings_of_threads, "get the list", 60)
    for i in range(1000):
        ray.get(slow.remote(i))
        try:
            next(steps)
        except StopIteration as end:
            found = end.value
            break
    assert found is not None
    assert found.filename == __file__


def test_row_67_no_warning_for_lists(ray, warnings_of_threads):
    @ray.remote
    def slow(i):
        time.sleep(0.02)
        return i

    for _ in range(20):
        ray.get([slow.remote(i) for i in range(4)])
    assert not [w for w in warnings_of_threads if w.category is PerformanceWarning]


def test_row_67_no_warning_for_lists_of_uneven_tasks(ray, warnings_of_threads):
    @ray.remote
    def slow(i):
        time.sleep(0.11 * (i == 3))
        return i

    for _ in range(14):  # most of the time the longest of a list is alone in flight
        ray.get([slow.remote(i) for i in range(4)])
    assert not [str(w.message) for w in warnings_of_threads if w.category is PerformanceWarning]


def test_row_68_tiny_tasks(ray, warnings_of_threads):
    @ray.remote
    def tiny(i):
        return i

    found = None
    steps = seen(warnings_of_threads, "many items", 60)
    while found is None:
        ray.get([tiny.remote(i) for i in range(2000)])
        try:
            next(steps)
        except StopIteration as end:
            found = end.value
            break
    assert found is not None


def test_row_68_very_many_arguments(ray):
    @ray.remote
    def count(*values):
        return len(values)

    one = ray.put(1)
    with pytest.warns(PerformanceWarning, match="1500 arguments"):
        assert ray.get(count.remote(*[one] * 1500)) == 1500
