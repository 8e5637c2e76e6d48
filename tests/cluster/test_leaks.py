"""Nothing leaks: memory of the store, descriptors, threads, processes, memory of the driver."""

import gc
import os
import signal
import threading
import time
import zlib

import cluster_kit as kit
import pytest
from nbray._cstore import ffi, lib

import nbray
from nbray.core import current, upkeep

numpy = pytest.importorskip("numpy")

CLUSTER = {"num_cpus": 2, "object_store_memory": 64 * 2**20}
MEG = 2**20


def settled_use():
    kit.settle()
    return kit.used()


def drops_to(before, seconds=kit.RECOVERY_S):
    gc.collect()
    try:
        kit.eventually(lambda: kit.used() <= before, f"use of the store is back at {before}", seconds)
    except AssertionError as error:
        raise AssertionError(f"{error}: {kit.used()}: {kit.listing()}") from None


def test_results_that_are_dropped(ray):
    @ray.remote
    def make(n):
        return numpy.ones(n, numpy.uint8)

    before = settled_use()
    for _ in range(kit.scaled(30)):
        refs = [make.remote(MEG) for _ in range(10)]  # in all five times the store
        ray.get(refs)
        del refs
    drops_to(before)


def test_a_ref_in_an_error_that_names_itself(ray):
    """The exception, its traceback and the frame that raised it hold each other, in a worker that has nothing more to do."""

    @ray.remote
    def fail():
        error = ValueError()
        error.ref = ray.put(numpy.ones(MEG, numpy.uint8))
        raise error

    before = settled_use()
    with pytest.raises(ValueError) as caught:
        ray.get(fail.remote())
    assert ray.get(caught.value.cause.ref).sum() == MEG
    del caught
    drops_to(before)


def test_results_that_nobody_ever_looks_at(ray):
    @ray.remote
    def make():
        return bytes(MEG)

    before = settled_use()
    for _ in range(kit.scaled(20)):
        for _ in range(5):
            make.remote()
        ray.get(make.remote())
    kit.settle()
    drops_to(before)


def test_puts_that_are_dropped(ray):
    before = settled_use()
    for _ in range(kit.scaled(300)):
        ray.put(numpy.ones(MEG, numpy.uint8))
    assert kit.used() <= before + 2 * MEG
    drops_to(before)


def test_views_outlive_their_refs_unchanged(ray):
    """S22: the array lives, its ref does not, and the store is filled many times over."""
    before = settled_use()
    arrays = [ray.get(ray.put(numpy.full(MEG, i, numpy.uint8))) for i in range(5)]
    part = arrays[0][1000:2000:2]
    sums = [zlib.crc32(array) for array in arrays]
    for i in range(kit.scaled(300)):
        ray.put(numpy.full(MEG, 255 - i % 200, numpy.uint8))
    assert [zlib.crc32(array) for array in arrays] == sums
    assert kit.used() >= before + 5 * MEG
    with pytest.raises(ValueError, match="read-only"):
        arrays[0][0] = 1
    del arrays
    gc.collect()
    assert before + MEG <= kit.used() <= before + 2 * MEG, "a slice keeps its object, and only that"
    assert (part == 0).all()
    del part
    drops_to(before)


def test_views_in_workers(ray, gate, ledger):
    """A task that keeps a view of its argument keeps the object, until its process drops it."""

    @ray.remote
    class Keeper:
        def keep(self, array):
            self.array = array
            return zlib.crc32(array)

        def check(self):
            return zlib.crc32(self.array)

        def drop(self):
            del self.array

    before = settled_use()
    keeper = Keeper.remote()
    with kit.no_hang():
        ref = ray.put(numpy.arange(MEG // 8))
        wanted = ray.get(keeper.keep.remote(ref))
        level = kit.used()
        del ref
        for i in range(100):
            ray.put(numpy.full(MEG, i, numpy.uint8))
        assert ray.get(keeper.check.remote()) == wanted
        assert kit.used() >= level - 4096
        ray.get(keeper.drop.remote())
        ray.get(keeper.keep.remote(numpy.zeros(1)))
        drops_to(before + 64 * 1024)
        del keeper
    kit.settle()
    drops_to(before)


def test_refs_inside_containers(ray):
    @ray.remote
    def make():
        return [ray.put(numpy.ones(MEG, numpy.uint8)) for _ in range(3)]

    @ray.remote
    def use(box):
        return [int(array[0]) for array in ray.get(box["refs"])]

    before = settled_use()
    for _ in range(kit.scaled(5)):
        inner = [ray.put(numpy.full(MEG, i, numpy.uint8)) for i in range(3)]
        outer = ray.put({"refs": inner})
        assert ray.get(use.remote(outer)) == [0, 1, 2]
        assert ray.get(use.remote({"refs": inner})) == [0, 1, 2]
        del inner
        again = ray.get(outer)["refs"]
        assert [int(array[0]) for array in ray.get(again)] == [0, 1, 2]
        del outer, again
        made = make.remote()
        refs = ray.get(made)
        del made
        assert int(ray.get(refs[0])[0]) == 1
        del refs
    kit.settle()
    drops_to(before)


def test_deeply_nested_containers(ray):
    before = settled_use()
    ref = ray.put(bytes(MEG))
    for _ in range(50):
        ref = ray.put([ref])
    assert kit.used() > before + MEG
    for _ in range(50):
        ref = ray.get(ref)[0]
    assert ray.get(ref) == bytes(MEG)
    del ref
    drops_to(before)


def test_arguments_through_the_store(ray):
    @ray.remote
    def size(*args, **kwargs):
        return sum(map(len, args)) + sum(map(len, kwargs.values()))

    before = settled_use()
    for _ in range(kit.scaled(20)):
        refs = [size.remote(bytes(MEG), numpy.zeros(MEG, numpy.uint8), key=bytes(100_000)) for _ in range(5)]
        assert ray.get(refs) == [2 * MEG + 100_000] * 5
        del refs
    kit.settle()
    drops_to(before)


def test_values_as_arguments_of_chains(ray):
    @ray.remote
    def make(i):
        return numpy.full(MEG, i, numpy.uint8)

    @ray.remote
    def add(a, b):
        return a + b

    before = settled_use()
    for _ in range(kit.scaled(5)):
        refs = [make.remote(1) for _ in range(8)]
        while len(refs) > 1:
            refs = [add.remote(a, b) for a, b in zip(refs[::2], refs[1::2], strict=True)]
        assert int(ray.get(refs[0])[0]) == 8
        del refs
    kit.settle()
    drops_to(before)


def test_failed_tasks(ray):
    @ray.remote
    def fail(array, box):
        kept = ray.put(array + 1)
        raise ValueError(kept.hex())

    before = settled_use()
    for _ in range(kit.scaled(20)):
        ref = fail.remote(numpy.zeros(MEG, numpy.uint8), [ray.put(bytes(MEG))])
        with pytest.raises(ValueError):
            ray.get(ref)
        del ref
    kit.settle()
    drops_to(before)


def test_cancelled_tasks(ray, gate, ledger):
    @ray.remote
    def work(array, box):
        kept = [ray.put(array + 1), ray.get(box[0])]
        ledger.add(len(kept))
        while True:
            time.sleep(0.001)

    before = settled_use()
    for number in range(kit.scaled(5)):
        refs = [work.remote(numpy.zeros(MEG, numpy.uint8), [ray.put(bytes(MEG))]) for _ in range(4)]
        ledger.await_lines(2 * number + 1)
        for ref in refs:
            ray.cancel(ref)
        for ref in refs:
            with kit.no_hang():
                with pytest.raises(ray.exceptions.TaskCancelledError):
                    ray.get(ref)
        del refs, ref
    kit.settle()
    drops_to(before)


def test_killed_workers_and_actors(ray, ledger):
    @ray.remote(max_retries=0)
    def dying(array, box):
        kept = [ray.put(array + 1), ray.get(box[0])]
        ledger.add(len(kept))
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60)

    @ray.remote
    class Actor:
        def __init__(self, array):
            self.kept = [array, ray.put(array + 1)]

        def give(self):
            return [ray.put(bytes(MEG)), bytes(MEG)]

    before = settled_use()
    for _ in range(kit.scaled(3)):
        with pytest.raises(ray.exceptions.WorkerCrashedError):
            ray.get(dying.remote(numpy.zeros(MEG, numpy.uint8), [ray.put(bytes(MEG))]))
        actor = Actor.remote(numpy.zeros(MEG, numpy.uint8))
        value = ray.get(actor.give.remote())
        assert ray.get(value[0]) == bytes(MEG)
        ray.kill(actor)
        del actor, value
    kit.settle()
    drops_to(before)


def test_large_errors_and_outputs(ray, capfd):
    @ray.remote
    def noisy(n):
        print("x" * n)
        raise ValueError("y" * n)

    before = settled_use()
    for _ in range(3):
        try:
            ray.get(noisy.remote(300_000))
        except ValueError as error:
            assert error.cause.args == ("y" * 300_000,)  # the whole of it
    kit.settle()
    drops_to(before + 4 * MEG)  # workers keep the last pieces of their output for a while


def test_several_values_of_which_some_are_dropped(ray):
    @ray.remote(num_returns=3)
    def three():
        return bytes(MEG), b"small", bytes(2 * MEG)

    before = settled_use()
    for _ in range(kit.scaled(5)):
        a, b, c = three.remote()
        del a
        assert ray.get(b) == b"small"
        assert len(ray.get(c)) == 2 * MEG
        del b, c
    drops_to(before)


def test_a_full_store_is_told_and_recovers(ray):
    before = settled_use()
    kept = []
    with pytest.raises(ray.exceptions.ObjectStoreFullError):
        for _ in range(200):
            kept.append(ray.get(ray.put(numpy.ones(MEG, numpy.uint8))))  # viewed: it cannot be spilled
    assert len(kept) > 40
    with pytest.raises(ray.exceptions.ObjectStoreFullError):
        with kit.no_hang():
            ray.get(ray.remote(lambda: bytes(30 * MEG)).remote())
    del kept
    drops_to(before)
    assert len(ray.get(ray.remote(lambda: bytes(30 * MEG)).remote())) == 30 * MEG


def figures():
    daemon = kit.daemon_pid()
    return {
        "driver fds": len(kit.descriptors()),
        "driver threads": kit.status_of("self", "Threads"),
        "daemon fds": len(kit.descriptors(daemon)),
        "daemon threads": kit.status_of(daemon, "Threads"),
        "zygote fds": len(kit.descriptors(kit.zygote_pid())),
    }


def one_cycle(ray):
    @ray.remote
    def f(x):
        return x

    @ray.remote
    class Actor:
        def add(self, x):
            return x

    @ray.remote(max_retries=0)
    def dies():
        os._exit(1)

    actor = Actor.remote()
    ray.get([f.remote(i) for i in range(10)] + [actor.add.remote(1), f.remote(bytes(50_000))])
    with pytest.raises(ray.exceptions.WorkerCrashedError):
        ray.get(dies.remote())
    ref = f.remote(2).future()
    ref.result(kit.PATIENCE_S)
    ray.kill(actor)


def test_descriptors_and_threads_stay_flat(ray):
    """50 cycles with new functions, actors and dying workers."""
    for _ in range(5):
        one_cycle(ray)
    kit.settle()
    before = kit.eventually(figures)
    channels = int(current.core.store.stats().n_channels)
    for _ in range(kit.scaled(50)):
        with kit.no_hang():
            one_cycle(ray)
    kit.settle()
    slack = 4  # workers come and go
    core = current.core

    def more_than_there_may_be():
        """What is left of the last actors and workers goes when their deaths have been heard of."""
        after, stats = figures(), core.store.stats()
        most = {name: (after[name], before[name] + slack) for name in before}
        most |= {
            "channels": (stats.n_channels, channels + slack), "slots": (stats.n_slots, 16), "links": (len(core.links), 8),
            "actors": (len(core.actors), 2), "channels of actors": (len(core.actor_channels), 2),
            "leases": (len(core.leases), 2),
        }  # fmt: skip
        return {name: (now, limit) for name, (now, limit) in most.items() if now > limit}

    try:
        kit.eventually(lambda: not more_than_there_may_be(), "all is as before", kit.RECOVERY_S)
    except AssertionError as error:
        raise AssertionError(f"{error}: {more_than_there_may_be()}") from None


def test_memory_of_the_driver_stays_bounded(ray):
    """100,000 tasks at full scale: no record, no id, no name stays behind."""
    f = ray.remote(lambda i: i)

    def rounds(count):
        for _ in range(count):
            assert ray.get([f.remote(i) for i in range(1000)]) == list(range(1000))

    daemon = kit.daemon_pid()
    rounds(10)
    gc.collect()
    before = kit.private_kib(os.getpid()), kit.private_kib(daemon)
    rounds(kit.scaled(40, 100))
    gc.collect()
    after = kit.private_kib(os.getpid()), kit.private_kib(daemon)
    print("driver", before[0], "->", after[0], "KiB; daemon", before[1], "->", after[1], "KiB")
    assert after[0] - before[0] < 8 * 1024
    assert after[1] - before[1] < 40 * 1024, "the daemon keeps at most 32 MiB of events"


def test_cycles_of_init_and_shutdown(fresh):
    """J1: no process, thread, descriptor or mapping stays."""

    def cycle():
        fresh.init(num_cpus=2, object_store_memory=32 * 2**20)
        assert fresh.get(fresh.remote(lambda x: x).remote(5)) == 5
        fresh.put(numpy.ones(MEG, numpy.uint8))
        fresh.shutdown()

    cycle()
    cycle()
    gc.collect()
    kit.eventually(lambda: not kit.descendants(os.getpid()), "the kernel has ended them")
    before = len(kit.descriptors()), threading.active_count(), len(kit.descendants(os.getpid()))
    slowest = 0.0
    for _ in range(kit.scaled(12, 100)):
        start = time.monotonic()
        with kit.no_hang():
            cycle()
        slowest = max(slowest, time.monotonic() - start)
    gc.collect()
    kit.eventually(lambda: not kit.descendants(os.getpid()), "the kernel has ended them")
    assert (len(kit.descriptors()), threading.active_count(), len(kit.descendants(os.getpid()))) == before
    assert not kit.segment_of(os.getpid())
    print(f"the slowest cycle took {slowest:.2f} s")


@pytest.mark.filterwarnings("ignore:.* is large")
def test_functions_outlive_a_shutdown_and_keep_no_memory(fresh):
    """A function or class whose code lies in the store holds on to no segment, and goes on in the next cluster."""
    table = bytes(MEG)

    @fresh.remote
    def size():
        return len(table)

    @fresh.remote
    class Actor:
        def size(self):
            return len(table)

    for _ in range(2):
        fresh.init(num_cpus=1, object_store_memory=32 * MEG)
        with kit.no_hang():
            assert fresh.get(size.remote()) == MEG
            assert fresh.get(Actor.remote().size.remote()) == MEG
            Actor.remote()  # its creation is still in flight when all ends
            fresh.shutdown()
        assert not kit.segment_of(os.getpid())
        assert not [target for target in kit.descriptors().values() if "memfd:" in target]


def test_values_outlive_a_shutdown(fresh):
    """Arrays that were got stay valid; refs tell that their cluster is gone."""
    fresh.init(num_cpus=1, object_store_memory=32 * 2**20)
    ref = fresh.put(numpy.arange(MEG // 8))
    small = fresh.put(5)
    array = fresh.get(ref)
    wanted = zlib.crc32(array)
    pending = fresh.remote(lambda: time.sleep(60)).remote()
    fresh.shutdown()
    assert zlib.crc32(array) == wanted
    fresh.init(num_cpus=1, object_store_memory=32 * 2**20)
    with kit.no_hang():
        for i in range(20):
            fresh.put(numpy.full(MEG, i, numpy.uint8))
        assert zlib.crc32(array) == wanted
        for old in (ref, pending):
            with pytest.raises(nbray.exceptions.RayError):
                fresh.get(old)
            with pytest.raises(ValueError, match="another cluster"):
                fresh.remote(lambda x: x).remote(old)
            with pytest.raises(nbray.exceptions.RayTaskError, match="another cluster") as caught:
                fresh.get(fresh.remote(lambda box: fresh.get(box[0])).remote([old]))
            assert isinstance(caught.value.cause, nbray.exceptions.ObjectLostError)
            del caught
        assert fresh.get(fresh.remote(lambda x: x).remote(7)) == 7
    del ref, small, pending, array, old
    gc.collect()
    assert kit.used() < MEG


def test_channels_to_workers_that_died_when_nobody_had_leased_them(ray):
    """A driver is not told of these; each would keep a channel, of which a node has 4096."""
    pid = ray.remote(os.getpid)
    for _ in range(3):
        worker = ray.get(pid.remote())
        kit.settle()
        os.kill(worker, signal.SIGKILL)
        kit.eventually(lambda worker=worker: worker not in kit.workers(), "its death is known")
    kit.eventually(lambda: current.core.store.stats().n_channels == 0, "no channel is left")


def test_channels_that_lie_idle_where_few_are_left(ray, monkeypatch):
    """As on machines with many processors, whose workers submit tasks to each other."""
    core = current.core
    tasks = ray.remote(lambda x: (os.getpid(), x))
    assert ray.get(tasks.remote(1))[1] == 1
    kit.settle()
    assert core.links
    monkeypatch.setattr(upkeep, "MANY_CHANNELS", 0)
    monkeypatch.setattr(upkeep, "MANY_IDLE_LINKS", 1)
    kit.eventually(lambda: not core.links, "the driver has closed them")
    kit.eventually(lambda: core.store.stats().n_channels == 0, "the workers, too")
    with kit.no_hang():
        assert [x for _, x in ray.get([tasks.remote(i) for i in range(50)])] == list(range(50))


def test_what_was_told_through_channels_that_are_over(ray, start_driver):
    """A worker forgets functions, methods and contexts of callers that are gone."""

    @ray.remote
    class Shared:
        def told(self):
            executor = current.core.executor
            return len(executor.contexts), len(executor.methods), len(executor._peers)

    shared = Shared.options(name="shared", namespace="told", max_concurrency=2).remote()
    before = ray.get(shared.told.remote())
    address = current.core.session_dir
    for _ in range(3):
        driver = start_driver(
            """
            ray.init(address=sys.argv[1], namespace="told")
            say("told", ray.get(ray.get_actor("shared").told.remote())[0])
            """,
            address,
        )
        driver.expect("told")
        driver.finish()
    # The last one's may be there until the next one comes.
    now = ray.get(shared.told.remote())
    assert all(after <= first + 1 for after, first in zip(now, before, strict=True)), (before, now)


def test_workers_outlive_that_no_channel_can_be_had(ray):
    """4096 of them are open: what needs one more waits for it, and no worker is taken for dead."""
    core = current.core
    fresh = {"env_vars": {"FRESH_WORKERS": "yes"}}  # to others this process may have a channel from before

    @ray.remote(runtime_env=fresh)
    class Actor:
        def pid(self):
            return os.getpid()

    peer = next(row["peer"] for row in kit.workers().values())
    opened = []
    with core.lock:
        while (channel := open_channel(core.seg, peer)) > 0:
            opened.append(channel)
    assert len(opened) > 4000
    actor = Actor.remote()
    kit.eventually(lambda: core.actors[actor._actor_id.hex()].state == "ALIVE", "the actor lives")
    workers = set(kit.workers())
    task, call = ray.remote(os.getpid).options(runtime_env=fresh).remote(), actor.pid.remote()
    assert ray.wait([task, call], timeout=0.5)[0] == []
    assert workers <= set(kit.workers())
    for channel in opened:
        lib.nbs_chan_close(core.seg, channel)
    with kit.no_hang():
        assert set(ray.get([task, call])) <= set(kit.workers())


def open_channel(seg, peer):
    """Open the smallest channel; its number, or a negative status."""
    number = ffi.new("uint32_t *")
    status = lib.nbs_chan_open(seg, peer, 1, number)
    return number[0] if status == lib.NBS_OK else status
