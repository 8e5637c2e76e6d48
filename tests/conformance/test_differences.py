"""Where nbray goes further than Ray 2.60 on purpose, so that the original cannot judge these tests."""

import os
import signal
import sys
import threading

import numpy as np
import pytest

from .kit import LIBRARY, process_is_alive, wait_until

pytestmark = pytest.mark.skipif(LIBRARY == "ray", reason="Ray 2.60 crashes or behaves otherwise, as each test says")

# Ray 2.60 aborts the driver (reference_counter.cc:624) when the dependency of a cancelled task becomes ready: the
# next three tests.


def test_a_task_that_waits_for_a_dependency(ray, gate, ledger):
    @ray.remote
    def late():
        gate.wait()

    @ray.remote
    def dependent(_):
        ledger.add()

    dependency = late.remote()
    ref = dependent.remote(dependency)
    ray.cancel(ref)
    with pytest.raises(ray.exceptions.TaskCancelledError):
        ray.get(ref)
    gate.open()
    ray.get(dependency)
    assert ledger.marks() == []


def test_force_on_a_queued_task(ray, gate, ledger):
    @ray.remote
    def late():
        gate.wait()

    @ray.remote
    def dependent(_):
        ledger.add()

    ref = dependent.remote(late.remote())
    ray.cancel(ref, force=True)
    with pytest.raises((ray.exceptions.TaskCancelledError, ray.exceptions.WorkerCrashedError)):
        ray.get(ref)
    assert ledger.marks() == []


def test_cancelling_a_dependent_leaves_the_dependency(ray, gate):
    @ray.remote
    def late():
        gate.wait()
        return "kept"

    @ray.remote
    def dependent(x):
        return x

    first = late.remote()
    second = dependent.remote(first)
    ray.cancel(second)
    with pytest.raises(ray.exceptions.TaskCancelledError):
        ray.get(second)
    gate.open()
    assert ray.get(first) == "kept"


# Ray 2.60 aborts the driver now and then when a task that is done is cancelled (task_manager.cc:1329, within some
# dozen tries); else it passes the next two tests.


@pytest.mark.parametrize("force", [False, True])
def test_a_finished_task_keeps_its_result(ray, force):
    @ray.remote
    def quick():
        return "kept"

    ref = quick.remote()
    assert ray.get(ref) == "kept"
    ray.cancel(ref, force=force)
    assert ray.get(ref) == "kept"


def test_cancelling_twice_and_afterwards(ray, gate, ledger):
    @ray.remote
    def waits():
        ledger.add()
        gate.wait()

    ref = waits.remote()
    ledger.wait_for(1)
    ray.cancel(ref)
    ray.cancel(ref)
    for _ in range(2):
        with pytest.raises(ray.exceptions.TaskCancelledError):
            ray.get(ref)
        ray.cancel(ref)


def test_a_cancelled_call_of_an_actor_never_runs(ray, gate, ledger):
    """And the next one does. Ray may run the cancelled one all the same, or keep the next one waiting for 30 s."""

    @ray.remote
    class Actor:
        def block(self):
            ledger.add("blocked")
            gate.wait()
            return "done"

        def mark(self):
            ledger.add("marked")

    actor = Actor.remote()
    first = actor.block.remote()
    ledger.wait_for(1)
    second = actor.mark.remote()
    ray.cancel(second)
    with pytest.raises(ray.exceptions.TaskCancelledError):
        ray.get(second)
    gate.open()
    assert ray.get(first) == "done"
    ray.get(actor.mark.remote())
    assert ledger.marks() == ["blocked", "marked"]


# In Ray an object is lost with the process that owns it (OwnerDiedError). In nbray a ref that left its owner has its
# value in the node's store: the next three tests.


@pytest.mark.parametrize("value", ["small", np.arange(2**20)], ids=["small", "large"])
def test_an_object_outlives_the_worker_that_put_it(ray, value):
    @ray.remote
    def make():
        return os.getpid(), [ray.put(value)]

    pid, (ref,) = ray.get(make.remote())
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not process_is_alive(pid), "the end of the worker")
    assert np.array_equal(ray.get(ref), value)


@pytest.mark.parametrize("value", ["small", np.arange(2**20)], ids=["small", "large"])
def test_an_object_outlives_the_actor_that_put_it(ray, value):
    @ray.remote
    class Maker:
        def make(self):
            return os.getpid(), [ray.put(value)]

    maker = Maker.remote()
    pid, (ref,) = ray.get(maker.make.remote())
    ray.kill(maker)
    wait_until(lambda: not process_is_alive(pid), "the end of the actor")
    assert np.array_equal(ray.get(ref), value)


def test_a_result_outlives_the_worker_that_submitted_its_task(ray):
    @ray.remote
    def inner():
        return "inner"

    @ray.remote
    def outer():
        ref = inner.remote()
        ray.wait([ref])
        return os.getpid(), [ref]

    pid, (ref,) = ray.get(outer.remote())
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not process_is_alive(pid), "the end of the worker")
    assert ray.get(ref) == "inner"


# In Ray an actor ends with the process that made it. In nbray it lives as long as somebody has its handle.


def test_an_actor_outlives_the_actor_that_made_it(ray):
    @ray.remote
    class Child:
        def name(self):
            return "child"

    @ray.remote
    class Parent:
        def make(self):
            return os.getpid(), Child.remote()

    parent = Parent.remote()
    pid, child = ray.get(parent.make.remote())
    ray.kill(parent)
    wait_until(lambda: not process_is_alive(pid), "the end of the parent")
    assert ray.get(child.name.remote()) == "child"


# Ray 2.60 leaves a group that no node can ever have pending without a word.


def test_a_group_that_no_node_can_have_is_refused(ray):
    with pytest.raises(ray.exceptions.TaskUnschedulableError, match="Bundle 1"):
        ray.util.placement_group([{"CPU": 1}, {"CPU": 100}])
    with pytest.raises(ray.exceptions.TaskUnschedulableError, match="STRICT_SPREAD"):
        ray.util.placement_group([{"CPU": 1}] * 2, strategy="STRICT_SPREAD")


# Ray 2.60 runs a task again whose group is removed, for which there is no place any more; one that is submitted
# after the removal waits without end.


def test_a_task_ends_with_its_group(ray, gate, ledger):
    from nbray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    @ray.remote
    def hold():
        ledger.add()
        gate.wait()

    group = ray.util.placement_group([{"CPU": 1}])
    inner = hold.options(scheduling_strategy=PlacementGroupSchedulingStrategy(group))
    running = inner.remote()
    ledger.wait_for(1)
    ray.util.remove_placement_group(group)
    for ref in (running, inner.remote()):
        with pytest.raises(ray.exceptions.TaskPlacementGroupRemoved):
            ray.get(ref)


# Ray 2.60 takes folders for the job alone.


def test_a_task_may_bring_its_own_working_directory(ray, tmp_path):
    (tmp_path / "note.txt").write_text("here")

    @ray.remote
    def read():
        with open("note.txt") as file:
            return file.read()

    assert ray.get(read.options(runtime_env={"working_dir": str(tmp_path)}).remote()) == "here"


# Ray 2.60 takes a hook for the job alone, and when it raises says that the worker crashed, after as many retries as the
# task has.


def test_a_hook_that_raises_is_told(ray):
    def hook():
        raise ValueError("the hook said no")

    @ray.remote
    def task():
        return 1

    with pytest.raises(ray.exceptions.RuntimeEnvSetupError, match="the hook said no"):
        ray.get(task.options(runtime_env={"worker_process_setup_hook": hook}).remote())


# Ray 2.60 ends the worker, and after the last try tells nothing of the exit.


def test_sys_exit_ends_the_task_alone(ray):
    @ray.remote(max_retries=0)
    def task(leave):
        if leave:
            sys.exit("no more")
        return os.getpid()

    with pytest.raises(ray.exceptions.WorkerCrashedError, match="no more") as caught:
        ray.get(task.remote(True))
    assert isinstance(caught.value.cause, SystemExit)


# Ray 2.60 writes what is larger than its whole store to a file of its folder under /tmp, from where it is mapped: slow,
# and counted nowhere. In nbray the store's size is a promise.


def test_a_value_larger_than_the_store_is_refused(ray):
    with pytest.raises(ray.exceptions.ObjectStoreFullError, match="larger than the store"):
        ray.put(np.zeros(300 * 2**20, np.uint8))


# In Ray 2.60 a ref counts as read when somebody has waited for it.


def test_waiting_for_an_error_is_not_reading_it(start_script):
    process = start_script(
        """
        import sys
        ray.init(num_cpus=1)

        @ray.remote(max_retries=0)
        def fails():
            raise ValueError("waited for")

        ray.wait([fails.remote()])
        sys.stdin.read()
        """
    )
    assert any("ValueError: waited for" in line for line in process.stdout)


# Ray 2.60's pools: a TypeError from inside when `imap` is to choose the size of its chunks (`None`); an exception is
# yielded as if it were a result; an `error_callback` is given a `PoolTaskError` with the exception in it. Here all is as in
# the standard library: the next three tests.


@pytest.fixture(scope="module")
def pool(ray):
    with ray.util.multiprocessing.Pool(processes=2) as pool:
        yield pool


def fail_at_three(x):
    if x == 3:
        raise KeyError(x)
    return x


def test_imap_chooses_a_size(pool):
    assert list(pool.imap(str, range(10), None)) == [str(x) for x in range(10)]


def test_an_error_of_imap_comes_in_its_place(pool):
    results = pool.imap(fail_at_three, range(5), chunksize=2)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(KeyError):
        next(results)
    assert next(results) == 4


def test_an_error_callback_gets_the_exception(pool):
    told = []
    pool.apply_async(fail_at_three, (3,), error_callback=told.append).wait()
    wait_until(lambda: told, "the callback")
    assert type(told[0]) is KeyError


# Ray 2.60's `ray_dask_get_sync` does not know today's expressions of Dask.


def test_a_graph_of_dask_in_one_process(ray):
    dask = pytest.importorskip("dask")
    from nbray.util.dask import ray_dask_get_sync

    graph = dask.delayed(sum)([dask.delayed(abs)(-1), 2])
    assert graph.compute(scheduler=ray_dask_get_sync) == 3


# Ray 2.60 runs an async actor in a thread of its own, where signal handlers cannot be set and libraries that insist on
# the main thread fail.


def test_an_async_actor_has_the_main_thread(ray):
    @ray.remote
    class Actor:
        def __init__(self):
            self.threads = [threading.current_thread()]

        def plain(self):
            self.threads.append(threading.current_thread())

        async def look(self):
            return [thread is threading.main_thread() for thread in [*self.threads, threading.current_thread()]]

    actor = Actor.remote()
    ray.get(actor.plain.remote())
    assert ray.get(actor.look.remote()) == [True] * 3


# Ray's graphs that are bound first and run later are no part of nbray: calls make the graph as they come.


def test_nothing_can_be_bound(ray):
    @ray.remote
    def function():
        pass

    @ray.remote
    class Actor:
        def method(self):
            pass

    actor = Actor.remote()
    things = [function, function.options(num_cpus=1), Actor, Actor.options(num_cpus=1), actor.method]
    for thing in things:
        with pytest.raises(NotImplementedError, match=r"\.remote\(\)"):
            thing.bind()


# In Ray 2.60 `get_objects` returns None for an object that nobody knows, though it says that it returns a list.


def test_references_to_an_unknown_object_are_no_rows(ray):
    from nbray.util import state

    assert state.get_objects("f" * 56) == []


# In Ray 2.60 what child processes write comes from a log that is read now and then; a program that ends at once shows nothing of it.


def test_what_a_child_process_writes_comes_before_the_result(run_script):
    done = run_script("""
    import os, subprocess

    @ray.remote
    def speak():
        subprocess.run(["echo", "of a child"], check=True)

    ray.init(num_cpus=1)
    ray.get(speak.remote())
    print("got it")
    os._exit(0)
    """)
    first, second = done.stdout.splitlines()
    assert first.startswith("(speak pid=") and first.endswith(") of a child")
    assert second == "got it"


# Ray's name for itself is not in question.


def test_the_import_line_of_the_readme(run_script):
    run_script("import nbray as ray; assert ray.__version__")


# Ray lets such tasks wait for ever.


def test_nothing_new_runs_in_a_group_that_is_removed(ray):
    @ray.remote(num_cpus=0)
    def f():
        return 1

    for _ in range(10):
        group = ray.util.placement_group([{"CPU": 1}])
        inside = ray.util.scheduling_strategies.PlacementGroupSchedulingStrategy(group)
        inner = f.options(scheduling_strategy=inside)
        ray.get([inner.remote() for _ in range(3)])  # the worker that ran them is still there
        ray.util.remove_placement_group(group)
        for again in (inner, f.options(scheduling_strategy=inside)):
            with pytest.raises(ray.exceptions.TaskPlacementGroupRemoved):
                ray.get(again.remote(), timeout=60)


# Ray 2.60 gives the class of the driver the attributes that the worker's copy has when an object of it arrives: a list that
# others hold is another one afterwards, and its methods see the driver's globals no more.


def test_an_object_of_a_task_leaves_the_class_of_the_driver_as_it_is(run_script):
    run_script("""
    def helper():
        return "old"

    class Made:
        kept = []

        def tell(self):
            return helper()

    @ray.remote
    def make():
        Made.kept.append("there")
        return Made()

    ray.init(num_cpus=1)
    kept, tell = Made.kept, Made.tell
    made = ray.get(make.remote())

    def helper():
        return "new"

    assert type(made) is Made
    assert made.tell() == "new"
    assert Made.kept is kept == []
    assert Made.tell is tell
    """)
