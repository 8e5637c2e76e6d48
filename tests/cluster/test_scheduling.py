"""Who runs where and when, shown by events: gates and marks decide, not clocks."""

import fcntl
import os
import random
import time

import cluster_kit as kit
import pytest

from nbray.core import current
from nbray.core.scaling import set_cpus

CLUSTER = {"num_cpus": 4, "num_gpus": 2, "resources": {"widget": 2}, "object_store_memory": 128 * 2**20}


def hold(gate, ledger, line):
    """Say that it began and wait for the gate."""
    ledger.add(line)
    gate.wait()
    return line


def test_a_short_task_never_waits_behind_a_long_one(ray, gate, ledger):
    """The long one holds the gate closed until all short ones are done: any that stood behind it would hang."""

    @ray.remote
    def task(i, wait):
        if wait:
            hold(gate, ledger, i)
        return i

    ray.get([task.remote(i, False) for i in range(200)])  # short so far: many are sent ahead into a lane
    for round_ in range(kit.scaled(5)):
        longs = {0: 7, 1: 0, 2: 150, 3: 60, 4: 199}[round_ % 5]
        refs = [task.remote(i, i == longs) for i in range(200)]
        with kit.no_hang():
            assert ray.get([ref for i, ref in enumerate(refs) if i != longs]) == [i for i in range(200) if i != longs]
        gate.open()
        with kit.no_hang():
            assert ray.get(refs[longs]) == longs
        os.unlink(gate.path)


def test_three_long_ones_leave_one_worker_for_all_short_ones(ray, gate, ledger):
    @ray.remote
    def task(i, wait):
        if wait:
            hold(gate, ledger, i)
        return i

    longs = {3, 50, 51}
    refs = [task.remote(i, i in longs) for i in range(300)]
    with kit.no_hang():
        assert ray.get([r for i, r in enumerate(refs) if i not in longs]) == [i for i in range(300) if i not in longs]
    gate.open()
    with kit.no_hang():
        assert ray.get(refs) == list(range(300))


def test_what_stands_behind_a_blocked_get_moves_on(ray, gate, ledger):
    """A task that waits for another lends its CPU, and tasks sent ahead into its lane run elsewhere."""

    @ray.remote
    def quick(i):
        return i

    @ray.remote
    def gated():
        gate.wait()
        return "gated"

    @ray.remote
    def waits():
        ledger.add("waits")
        return ray.get(gated.remote())

    waiting = [waits.remote() for _ in range(6)]  # more than there are CPUs
    refs = [quick.remote(i) for i in range(100)]
    with kit.no_hang():
        ledger.await_lines(4)
        gate.open()
        assert ray.get(refs) == list(range(100))
        assert ray.get(waiting) == ["gated"] * 6


def test_deep_nesting(ray):
    @ray.remote
    def down(n):
        return 0 if n == 0 else 1 + ray.get(down.remote(n - 1))

    with kit.no_hang():
        assert ray.get(down.remote(40)) == 40


def test_wide_nesting(ray):
    @ray.remote
    def leaf(i):
        return i

    @ray.remote
    def branch(n):
        return sum(ray.get([leaf.remote(i) for i in range(n)]))

    with kit.no_hang():
        assert ray.get([branch.remote(20) for _ in range(20)]) == [190] * 20


def test_a_worker_that_owns_tasks_gets_its_share(ray, ledger, gate):
    """A driver with a long queue does not starve a worker that submits, and the other way round."""

    @ray.remote
    def work(who, i):
        end = time.perf_counter() + 0.005
        while time.perf_counter() < end:
            pass
        ledger.add(who)
        return i

    @ray.remote
    def owner(n):
        ledger.add("owner")
        gate.wait()
        return len(ray.get([work.remote("worker", i) for i in range(n)]))

    other = owner.remote(120)
    ledger.await_lines(1)
    refs = [work.remote("driver", i) for i in range(400)]
    ledger.await_lines(2)  # both compete: else the worker's, which hold up a task, come first for as long as a second
    gate.open()
    with kit.no_hang():  # the driver's queue never ends before the worker's tasks do, however slow the worker is
        rest = refs
        while not ray.wait([other], timeout=0)[0]:
            _, rest = ray.wait(rest, num_returns=20)
            more = [work.remote("driver", i) for i in range(len(refs), len(refs) + 400 - len(rest))]
            refs, rest = refs + more, rest + more
        assert ray.get(other) == 120
        assert ray.get(refs) == list(range(len(refs)))
    lines = ledger.lines()
    done = lines[: len(lines) - lines[::-1].index("worker")]  # until the worker's last one
    done_of_driver = done.count("driver")
    print("of", len(done), "tasks", done_of_driver, "were the driver's when the worker's 120 were done")
    assert done_of_driver > 10, "the driver's tasks were not all behind the worker's, nor the other way round"


def test_leases_return_when_idle(ray):
    f = ray.remote(lambda i: i)
    g = ray.remote(lambda i: i).options(num_cpus=0.5)
    h = ray.remote(lambda i: i).options(resources={"widget": 1}, num_cpus=2)
    for _ in range(3):
        ray.get([f.remote(1) for _ in range(50)] + [g.remote(1) for _ in range(50)] + [h.remote(1) for _ in range(5)])
        kit.eventually(kit.is_idle, "all resources are free")
        assert ray.available_resources() == ray.cluster_resources()


def test_custom_resources_limit_what_runs_at_a_time(ray, gate, ledger):
    task = ray.remote(hold).options(resources={"widget": 1}, num_cpus=0)
    refs = [task.remote(gate, ledger, i) for i in range(5)]
    ledger.await_lines(2)
    kit.eventually(lambda: kit.state().leases_waiting, "the third waits")
    assert len(ledger.lines()) == 2
    assert "widget" not in ray.available_resources()
    gate.open()
    with kit.no_hang():
        assert ray.get(refs) == list(range(5))


def test_gpus_are_numbered_and_never_shared(ray, gate, ledger):
    @ray.remote(num_gpus=1, num_cpus=0)
    def whole(i):
        hold(gate, ledger, i)
        return os.environ["CUDA_VISIBLE_DEVICES"], ray.get_gpu_ids()

    refs = [whole.remote(i) for i in range(2)]
    ledger.await_lines(2)
    gate.open()
    with kit.no_hang():
        seen = ray.get(refs)
    assert sorted(visible for visible, _ in seen) == ["0", "1"]
    assert all(visible == ",".join(map(str, ids)) for visible, ids in seen)


def test_gpus_that_go_by_names(fresh, monkeypatch):
    """As a cluster's scheduler or a container names them; a number would be another GPU."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-8932f937,MIG-5c1d")
    fresh.init(num_cpus=2, num_gpus=2, object_store_memory=32 * 2**20)

    @fresh.remote(num_gpus=1)
    class Actor:
        def shown(self):
            context = fresh.get_runtime_context()
            return os.environ["CUDA_VISIBLE_DEVICES"], fresh.get_gpu_ids(), context.get_accelerator_ids()["GPU"]

    @fresh.remote(num_gpus=2)
    def both():
        return os.environ["CUDA_VISIBLE_DEVICES"]

    assert fresh.get(both.remote()) == "GPU-8932f937,MIG-5c1d"
    actors = [Actor.remote() for _ in range(2)]
    shown = sorted(fresh.get([actor.shown.remote() for actor in actors]))
    assert shown == [(name, [name], [name]) for name in ("GPU-8932f937", "MIG-5c1d")]


def test_fractions_of_gpus_fill_one_after_the_other(ray, gate, ledger):
    @ray.remote(num_gpus=0.25, num_cpus=0)
    def quarter(i):
        hold(gate, ledger, i)
        return os.environ["CUDA_VISIBLE_DEVICES"]

    refs = [quarter.remote(i) for i in range(9)]
    ledger.await_lines(8)
    kit.eventually(lambda: kit.state().leases_waiting, "the ninth waits")
    assert "GPU" not in ray.available_resources()
    gate.open()
    with kit.no_hang():
        seen = ray.get(refs)
    assert sorted(seen[:8]) in (["0"] * 4 + ["1"] * 4,) or sorted(seen).count("0") >= 4
    assert set(seen) == {"0", "1"}


def test_two_gpus_need_two_whole_ones(ray, gate, ledger):
    """Half of each of two GPUs is not one GPU."""

    @ray.remote(num_gpus=0.6, num_cpus=0)
    def most(i):
        hold(gate, ledger, i)
        return os.environ["CUDA_VISIBLE_DEVICES"]

    @ray.remote(num_gpus=0.7, num_cpus=0)
    def more():
        ledger.add("more")
        return os.environ["CUDA_VISIBLE_DEVICES"]

    refs = [most.remote(i) for i in range(2)]
    ledger.await_lines(2)
    late = more.remote()
    kit.eventually(lambda: kit.state().leases_waiting, "it waits, although 0.8 are free in all")
    assert "more" not in ledger.lines()
    gate.open()
    with kit.no_hang():
        assert sorted(ray.get(refs)) == ["0", "1"]
        assert ray.get(late) in ("0", "1")


def test_tasks_without_gpu_see_none(ray):
    @ray.remote
    def without():
        return os.environ.get("CUDA_VISIBLE_DEVICES"), ray.get_gpu_ids()

    @ray.remote(num_gpus=1)
    def with_one():
        return os.environ["CUDA_VISIBLE_DEVICES"]

    with kit.no_hang():
        for _ in range(5):
            assert ray.get(with_one.remote()) in ("0", "1")
            visible, ids = ray.get(without.remote())
            assert ids == []
            assert visible in (None, "")


def test_gpu_of_an_actor(ray):
    @ray.remote(num_gpus=1)
    class Actor:
        def visible(self):
            return os.environ["CUDA_VISIBLE_DEVICES"]

    actors = [Actor.remote() for _ in range(2)]
    with kit.no_hang():
        assert sorted(ray.get([actor.visible.remote() for actor in actors])) == ["0", "1"]
    third = Actor.remote()
    ref = third.visible.remote()
    assert ray.wait([ref], timeout=0.1)[0] == []
    ray.kill(actors[0])
    with kit.no_hang():
        assert ray.get(ref) in ("0", "1")


def test_tasks_without_cpus_run_beside_a_full_node(ray, gate, ledger):
    full = [ray.remote(hold).remote(gate, ledger, i) for i in range(4)]
    ledger.await_lines(4)
    free = ray.remote(lambda i: i).options(num_cpus=0)
    with kit.no_hang():
        assert ray.get([free.remote(i) for i in range(50)]) == list(range(50))
    gate.open()
    ray.get(full)


def test_a_large_request_is_not_starved_by_small_ones(ray, gate, ledger):
    """All are asked for while the processors are held: who is how fast at asking decides nothing."""

    @ray.remote
    def small(i):
        end = time.perf_counter() + 0.003
        while time.perf_counter() < end:
            pass
        ledger.add("small")
        return i

    @ray.remote(num_cpus=4)
    def large():
        ledger.add("large")
        return "large"

    ray.get([small.remote(i) for i in range(20)])  # short, so that many are sent ahead
    held = [ray.remote(hold).remote(gate, ledger, "held") for _ in range(4)]
    kit.eventually(lambda: ledger.lines().count("held") == 4, "all processors are held")
    before = len(ledger.lines())
    refs = [small.remote(i) for i in range(1500)]
    ref = large.remote()
    gate.open()
    with kit.no_hang():
        assert ray.get(ref) == "large"
        position = ledger.lines().index("large") - before
        assert ray.get(held) == ["held"] * 4
        assert ray.get(refs) == list(range(1500))
    print("the large one was number", position, "of 1501")
    assert position < 1495, "it did not wait for all the small ones"


def test_a_thousand_refs_as_arguments(ray):
    @ray.remote
    def make(i):
        return i

    @ray.remote
    def total(*values):
        return sum(values)

    refs = [make.remote(i) for i in range(1000)]
    with kit.no_hang():
        assert ray.get(total.remote(*refs)) == sum(range(1000))
        assert ray.get(total.remote(*[ray.put(i) for i in range(1000)])) == sum(range(1000))


def test_deep_dependencies(ray):
    @ray.remote
    def add(value, n):
        return value + n

    ref = ray.put(0)
    for _ in range(1000):
        ref = add.remote(ref, 1)
    with kit.no_hang():
        assert ray.get(ref) == 1000


def test_wait_under_load(ray):
    """Each ref comes out of wait once; order is kept; a time-out of 0 does not wait."""
    dice = random.Random(11)

    @ray.remote
    def task(i, seconds):
        if seconds:
            time.sleep(seconds)
        return i

    refs = [task.remote(i, dice.choice([0, 0, 0, 0.002])) for i in range(kit.scaled(1000))]
    index = {ref: i for i, ref in enumerate(refs)}
    seen = set()
    rest = refs
    with kit.no_hang():
        while rest:
            wanted = min(len(rest), dice.randint(1, 10))
            timeout = dice.choice([None, None, 0, 0.001])
            ready, rest_now = ray.wait(rest, num_returns=wanted, timeout=timeout)
            assert len(ready) <= wanted
            if timeout is None:
                assert len(ready) == wanted
            assert len(ready) + len(rest_now) == len(rest)
            assert [index[r] for r in rest_now] == sorted(index[r] for r in rest_now)
            assert not seen & set(ready)
            seen |= set(ready)
            for ref in ready:
                assert ray.get(ref, timeout=0) == index[ref]
            rest = rest_now
    assert len(seen) == len(refs)


def test_impossible_requests_are_refused_and_hold_nobody_up(ray):
    f = ray.remote(lambda: 1)
    for options in ({"num_cpus": 5}, {"num_gpus": 3}, {"resources": {"wigdet": 1}}, {"resources": {"widget": 3}}):
        with kit.no_hang():
            with pytest.raises(ray.exceptions.TaskUnschedulableError):
                ray.get(f.options(**options).remote())
    assert ray.get(f.remote()) == 1


def test_many_shapes_at_once(ray):
    """Each shape has a pool of leases of its own: all of them make progress."""
    f = ray.remote(lambda i: i)
    with kit.no_hang():
        refs = []
        for i in range(kit.scaled(200)):
            refs.append(f.options(num_cpus=(1 + i % 20) / 10, resources={"widget": (i % 3) / 2}).remote(i))
        assert ray.get(refs) == list(range(len(refs)))


def test_scaled_while_it_runs(ray, gate, ledger):
    """Up: who waits begins. Down: what runs goes on, and then no more than that run side by side."""
    core = current.core
    task = ray.remote(hold)
    try:
        first = [task.remote(gate, ledger, i) for i in range(6)]
        ledger.await_lines(4)
        assert set_cpus(core, 6) == 6
        ledger.await_lines(6)
        assert ray.cluster_resources()["CPU"] == 6
        kit.eventually(lambda: core.totals["CPU"] == 60_000, "the driver knows, too")
        assert set_cpus(core, 2) == 2
        gate.open()
        assert sorted(ray.get(first)) == list(range(6))
        side_by_side, counter = ray.remote(together), f"{ledger.path}.count"
        assert max(ray.get([side_by_side.remote(counter) for i in range(60)])) <= 2
        with pytest.raises(ray.exceptions.TaskUnschedulableError, match="2"):
            ray.get(task.options(num_cpus=3).remote(gate, ledger, 9))
        with pytest.raises(ValueError, match="1 or more"):
            set_cpus(core, 0)
    finally:
        set_cpus(core, 4)


def together(path):
    """Return how many run at once, this one included: counted in a file."""
    with open(path, "ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(b"+")
    time.sleep(0.01)  # the others have time to begin
    with open(path, "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        text = file.read()
        file.write(b"-")
    return text.count(b"+") - text.count(b"-")
