"""A working set that is larger than the store: what does not fit lies on disk, and comes back bit by bit."""

import contextlib
import hashlib
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time

import cluster_kit as kit
import numpy as np
import pytest

from nbray.core import current
from nbray.session_layout import SPILLED

MIB = 2**20
FULL = os.environ.get("NBRAY_FAULTS_FULL") == "1"
CAPACITY = (256 if FULL else 64) * MIB
WORKING_SET = (2048 if FULL else 384) * MIB
CLUSTER = {"num_cpus": 2, "object_store_memory": CAPACITY}


def figures():
    stats = current.core.store.stats()
    return {name: int(getattr(stats, name)) for name in ("used", "n_spilled", "n_spilled_total", "n_restored_total")}


def spill_files():
    folder = os.path.join(current.core.session_dir, SPILLED)
    return [os.path.join(folder, name) for name in os.listdir(folder)] if os.path.isdir(folder) else []


def pattern(seed, size):
    return np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)


def digest(array):
    return hashlib.blake2b(array, digest_size=16).digest()


def force_out(ray, refs):
    """Press on the store until all of ``refs`` are on disk."""
    n = max(1, CAPACITY // (8 * MIB))
    filler = [ray.put(np.zeros(8 * MIB, np.uint8)) for _ in range(2 * n)]
    kit.eventually(lambda: all(is_spilled(ref) for ref in refs), "the objects are spilled")
    return filler


def is_spilled(ref):
    return bool(current.core.store.info((ref._hold or ref._data.hold).obj).meta & 4)


def tenths(ray, count):
    """Put arrays of a tenth of the store each."""
    return [ray.put(np.full(CAPACITY // 10 - 4096, n, np.uint8)) for n in range(count)]


def test_what_was_brought_back_stays_until_it_is_seen(ray):
    """Nearly all of the store is in use here: what is asked for is not the first to be spilled again."""
    refs = tenths(ray, 20)
    seen = []
    with kit.no_hang():
        with pytest.raises(ray.exceptions.ObjectStoreFullError, match="in use"):
            for ref in refs:
                seen.append(ray.get(ref))
        assert len(seen) >= 9
        assert [int(array[0]) for array in seen] == list(range(len(seen)))
        last = seen[-1][0] + 1
        del seen[:]
        assert ray.get(refs[last])[0] == last


def test_tasks_that_have_half_of_each_other_s_memory(ray):
    """Both fit, but not side by side: one lets go of the arguments that it has."""

    @ray.remote
    def total(*arrays):
        return sum(int(array[0]) for array in arrays)

    refs = tenths(ray, 28)
    with kit.no_hang():
        assert ray.get([total.remote(*refs[start : start + 7]) for start in range(0, 28, 7)]) == [21, 70, 119, 168]


def test_arguments_that_do_not_fit_together(ray):
    @ray.remote
    def count(*arrays):
        return len(arrays)

    refs = tenths(ray, 14)
    with kit.no_hang(), pytest.raises(ray.exceptions.ObjectStoreFullError, match="together with other arguments"):
        ray.get(count.remote(*refs))
    with kit.no_hang():
        assert ray.get(count.remote(*refs[:5])) == 5


@pytest.mark.limit(300)
def test_a_working_set_eight_times_the_store(ray):
    rng = np.random.default_rng(1)
    sizes, total = [], 0
    while total < WORKING_SET:
        sizes.append(int(MIB * 24 ** rng.random() * CAPACITY / (256 * MIB)))
        total += sizes[-1]
    refs, digests = [], []
    for seed, size in enumerate(sizes):
        array = pattern(seed, size)
        digests.append(digest(array))
        refs.append(ray.put(array))
    assert figures()["n_spilled"] > 0

    @ray.remote
    def digest_of(array):
        return digest(array)

    order = list(rng.permutation(len(refs)))
    for index in order[: len(order) // 3]:
        assert digest(ray.get(refs[index])) == digests[index]
    rest = order[len(order) // 3 :]
    assert ray.get([digest_of.remote(refs[i]) for i in rest]) == [digests[i] for i in rest]
    assert figures()["n_restored_total"] > 0
    del refs, order
    kit.eventually(lambda: figures()["n_spilled"] == 0, "no object is on disk")
    kit.eventually(lambda: sum(map(kit.size_of, spill_files())) == 0, "no spill file is left")


@pytest.mark.limit(300)
def test_workers_are_killed_while_the_store_spills(ray):
    """Producers hold more than the store can; whoever is killed at whatever moment loses nothing of others."""
    size = CAPACITY // 16

    @ray.remote(max_retries=-1)
    def make(seed):
        return pattern(seed, size), os.getpid()

    @ray.remote(max_retries=-1)
    def check(pair):
        return digest(pair[0])

    count = WORKING_SET // size // 2
    refs = [make.remote(seed) for seed in range(count)]
    rng = np.random.default_rng(2)
    for _ in range(count // 4):
        time.sleep(0.05)
        workers = [worker["pid"] for worker in kit.workers().values()]
        if workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(rng.choice(workers)), signal.SIGKILL)
    checks = ray.get([check.remote(ref) for ref in refs])
    assert checks == [digest(pattern(seed, size)) for seed in range(count)]
    assert figures()["n_spilled_total"] > 0


def test_nobody_reads_what_is_only_listed(ray):
    """Refs inside containers, arguments and values that are waited for, all on disk."""
    child = ray.put(pattern(1, MIB))
    box = ray.put([child, pattern(2, 2 * MIB)])
    made = ray.remote(lambda: pattern(3, MIB)).remote()
    ray.wait([made])
    expected = digest(pattern(1, MIB))
    filler = force_out(ray, [child, box, made])
    assert ray.wait([box, made], num_returns=2, timeout=0)[1] == []
    assert is_spilled(made)  # to wait is not to look
    del child
    opened = ray.get(box)
    assert digest(opened[1]) == digest(pattern(2, 2 * MIB))
    assert digest(ray.get(opened[0])) == expected
    reader = ray.remote(lambda box, other: digest(ray.get(box[0])) + digest(other))
    assert ray.get(reader.remote(box, made)) == expected + digest(pattern(3, MIB))
    del filler, opened, box, made


def test_a_view_stays_where_it_is(ray):
    view = ray.get(ray.put(pattern(5, 4 * MIB)))
    before = digest(view)
    for seed in range(3 * CAPACITY // (4 * MIB)):
        kept = ray.put(pattern(seed, 4 * MIB))
        assert digest(view) == before
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 1
    del view, kept


def test_producer_and_consumer_with_a_full_store(ray):
    """Each needs room that only the other's progress gives."""
    size = CAPACITY // 5

    @ray.remote
    def produce(seed):
        return pattern(seed, size)

    @ray.remote
    def consume(array):
        return digest(array), pattern(int(array[0]), size)

    with kit.no_hang():
        firsts = [produce.remote(seed) for seed in range(12)]
        seconds = [consume.remote(ref) for ref in firsts]
        for seed, ref in enumerate(seconds):
            assert ray.get(ref)[0] == digest(pattern(seed, size))


def test_a_task_waits_for_memory_that_another_task_uses(fresh, gate, ledger):
    fresh.init(**CLUSTER, _system_config={"room_wait_s": 0.5})
    refs = [fresh.put(pattern(seed, 2 * CAPACITY // 3)) for seed in range(2)]

    @fresh.remote
    def slow(array, wait):
        ledger.add("began")
        wait()
        return digest(array)

    slow_one = slow.remote(refs[0], lambda: time.sleep(2.0))
    ledger.await_lines(1)
    assert fresh.get(slow.remote(refs[1], int)) == digest(pattern(1, 2 * CAPACITY // 3))
    assert fresh.get(slow_one) == digest(pattern(0, 2 * CAPACITY // 3))
    slow_one = slow.remote(refs[0], gate.wait)
    ledger.await_lines(3)
    waits = slow.remote(refs[1], int)
    size, capacity = rf"{2 * CAPACITY / 3 / MIB:.1f} MiB", rf"{CAPACITY / MIB:.1f} MiB"
    room = (
        rf"slow is at worker pid \d+ since \d+\.\d s and has not begun: it waits for room in the object store for an "
        rf"argument of {size}: of the store's {capacity} other processes use {size}\."
    )
    kit.eventually(lambda: re.fullmatch(room, fresh.why(waits)), lambda: f"{room!r} in {fresh.why(waits)!r}")
    fresh.cancel(waits)
    with pytest.raises(fresh.exceptions.TaskCancelledError), kit.no_hang():
        fresh.get(waits)
    gate.open()
    fresh.get(slow_one)


def test_row_13_all_memory_is_in_use(ray):
    views = [ray.get(ray.put(pattern(seed, CAPACITY // 8))) for seed in range(7)]
    begin = time.monotonic()
    with pytest.raises(ray.exceptions.ObjectStoreFullError) as caught:
        ray.put(pattern(9, CAPACITY // 4))
    assert time.monotonic() - begin < 60
    text = str(caught.value)
    assert f"of {CAPACITY // MIB}.0 MiB are in use" in text
    assert text.count("made at test_spilling.py:") == 5
    assert f"{CAPACITY // 8 / MIB:.1f} MiB made at" in text and "in use)" in text
    del views
    assert len(ray.get(ray.put(pattern(9, CAPACITY // 4)))) == CAPACITY // 4


def test_room_that_comes_while_somebody_waits(ray):
    views = [ray.get(ray.put(pattern(seed, CAPACITY // 8))) for seed in range(7)]
    timer = threading.Timer(1.0, views.clear)
    timer.start()
    ref = ray.put(pattern(9, CAPACITY // 4))
    assert digest(ray.get(ref)) == digest(pattern(9, CAPACITY // 4))
    timer.join()


def test_objects_of_dead_workers_stay(ray):
    @ray.remote(max_retries=0)
    def put_and_tell():
        return [ray.put(pattern(7, MIB))], os.getpid()

    box, pid = ray.get(put_and_tell.remote())
    filler = force_out(ray, box)
    os.kill(pid, signal.SIGKILL)
    kit.eventually(lambda: kit.start_time(pid) == 0, "the worker is dead")
    assert digest(ray.get(box[0])) == digest(pattern(7, MIB))
    del filler


@pytest.mark.limit(120)
def test_row_14_the_disk_is_full(fresh):
    """A disk of its own: 32 MiB."""
    script = """
        import sys, time
        import numpy as np
        import nbray as ray
        MIB = 2**20
        ray.init(num_cpus=1, object_store_memory=32 * MIB, object_spilling_directory=sys.argv[1])
        refs = []
        begin = time.monotonic()
        try:
            for seed in range(100):
                begin = time.monotonic()
                refs.append(ray.put(np.full(MIB, seed, np.uint8)))
        except ray.exceptions.OutOfDiskError as error:
            assert time.monotonic() - begin < 60, time.monotonic() - begin
            print(len(refs), error)
        for seed in range(0, len(refs), 6):
            assert ray.get(refs[seed])[-1] == seed
        del refs[: len(refs) // 2]
        for seed in range(10):
            refs.append(ray.put(np.full(MIB, seed, np.uint8)))
        print("goes on")
        ray.shutdown()
    """
    mount = 'mount -t tmpfs -o size=32m tmpfs "$0" && exec "$@"'
    folder = f"{os.environ.get('TMPDIR', '/tmp')}/small-disk-{os.getpid()}"
    os.mkdir(folder)
    try:
        done = subprocess.run(
            ["unshare", "-m", "sh", "-c", mount, folder, sys.executable, "-c", textwrap.dedent(script), folder],
            capture_output=True, text=True, timeout=100, check=False, env={**os.environ, "PYTHONPATH": kit.ROOT},
        )  # fmt: skip
    finally:
        os.rmdir(folder)
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"needs root and mount namespaces: {done.stderr.strip()}")
    assert "goes on" in done.stdout, done.stdout + done.stderr
    count, text = done.stdout.split(" ", 1)
    assert 40 < int(count) < 64
    assert folder in text and "free" in text and "needed: 1.0 MiB" in text


def test_more_values_at_once_than_the_store_takes_are_refused_while_others_go_on(ray):
    """What a thread's get has so far it cannot let go; that others make and drop objects gives it no room."""
    stop = threading.Event()

    def go_on():
        while not stop.is_set():
            del_me = [ray.put(np.zeros(MIB // 4, np.uint8)) for _ in range(4)]
            assert ray.get(del_me[0]).nbytes == MIB // 4
            del del_me
            time.sleep(0.01)

    others = threading.Thread(target=go_on)
    others.start()
    try:
        refs = [ray.put(np.full(CAPACITY // 6, i, np.uint8)) for i in range(8)]
        with pytest.raises(ray.exceptions.ObjectStoreFullError):
            ray.get(refs)
        assert [int(ray.get(ref)[0]) for ref in refs] == list(range(8))
    finally:
        stop.set()
        others.join()
