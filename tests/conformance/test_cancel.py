"""cancel: tasks that wait or run, with and without force."""

import time

import pytest

CLUSTER = {"num_cpus": 2, "resources": {"slot": 1}}


@pytest.fixture
def sleeper(ray, ledger):
    """Marks that it started, then sleeps in small steps, for much longer than any test."""

    @ray.remote(max_retries=3)
    def sleeper(*_):
        ledger.add("started")
        for _ in range(100_000):
            time.sleep(0.01)
        ledger.add("finished")

    return sleeper


def test_a_running_task(ray, sleeper, ledger):
    ref = sleeper.remote()
    ledger.wait_for(1)
    ray.cancel(ref)
    with pytest.raises(ray.exceptions.TaskCancelledError):
        ray.get(ref)


def test_a_cancelled_task_is_not_retried(ray, sleeper, ledger):
    ref = sleeper.options(retry_exceptions=True).remote()
    ledger.wait_for(1)
    ray.cancel(ref)
    with pytest.raises(ray.exceptions.TaskCancelledError):
        ray.get(ref)
    assert ledger.marks() == ["started"]


def test_a_queued_task_never_runs(ray, gate, ledger):
    @ray.remote(resources={"slot": 1})
    def holder():
        ledger.add("holder")
        gate.wait()

    @ray.remote(resources={"slot": 1})
    def queued():
        ledger.add("queued")

    first = holder.remote()
    ledger.wait_for(1)
    second = queued.remote()
    ray.cancel(second)
    with pytest.raises(ray.exceptions.TaskCancelledError):
        ray.get(second)
    gate.open()
    ray.get(first)
    assert ledger.marks() == ["holder"]


def test_with_force_the_worker_ends(ray, ledger):
    @ray.remote
    def stubborn():
        ledger.add()
        while True:
            try:
                time.sleep(1000)
            except KeyboardInterrupt:
                pass

    ref = stubborn.remote()
    ledger.wait_for(1)
    ray.cancel(ref, force=True)
    with pytest.raises(ray.exceptions.TaskCancelledError):
        ray.get(ref)
    assert len(ledger.marks()) == 1


def test_what_ran_when_it_was_cancelled_is_an_error_of_the_task(ray, ledger):
    @ray.remote
    def sleeps():
        ledger.add()
        for _ in range(1000):
            time.sleep(0.05)

    ref = sleeps.remote()
    ledger.wait_for(1)
    ray.cancel(ref)
    with pytest.raises(ray.exceptions.RayTaskError) as caught:
        ray.get(ref)
    assert isinstance(caught.value, ray.exceptions.TaskCancelledError)
    assert isinstance(caught.value.cause, ray.exceptions.TaskCancelledError)


def test_a_put_ref_is_left_alone(ray):
    ref = ray.put(1)
    ray.cancel(ref)
    assert ray.get(ref) == 1


@pytest.mark.parametrize("wrong", [1, None, "ref", [], {}], ids=repr)
def test_other_things_than_refs(ray, wrong):
    with pytest.raises(TypeError):
        ray.cancel(wrong)


def test_dependents_of_a_cancelled_task_fail_too(ray, sleeper, ledger):
    @ray.remote
    def dependent(x):
        return x

    first = sleeper.remote()
    second = dependent.remote(first)
    third = dependent.remote(second)
    ledger.wait_for(1)
    ray.cancel(first)
    for ref in (first, second, third):
        with pytest.raises((ray.exceptions.TaskCancelledError, ray.exceptions.RayTaskError)):
            ray.get(ref)


def test_children_are_cancelled_with_their_parent(ray, sleeper, ledger):
    @ray.remote
    def parent():
        ray.get([sleeper.remote() for _ in range(1)])

    ref = parent.remote()
    ledger.wait_for(1)
    ray.cancel(ref, recursive=True)
    with pytest.raises((ray.exceptions.TaskCancelledError, ray.exceptions.RayTaskError)):
        ray.get(ref)

    @ray.remote(num_cpus=2)
    def needs_everything():
        return "free again"

    assert ray.get(needs_everything.remote()) == "free again"
    assert ledger.marks() == ["started"]


def test_children_go_on_when_not_recursive(ray, gate, ledger):
    @ray.remote
    def child():
        ledger.add("child started")
        gate.wait()
        ledger.add("child finished")

    @ray.remote
    def parent():
        ray.get(child.remote())

    ref = parent.remote()
    ledger.wait_for(2)
    ray.cancel(ref, recursive=False)
    with pytest.raises((ray.exceptions.TaskCancelledError, ray.exceptions.RayTaskError)):
        ray.get(ref)
    gate.open()
    assert ledger.wait_for(4) == ["child", "started", "child", "finished"]


def test_one_of_several_returns_cancels_the_task(ray, sleeper, ledger):
    refs = sleeper.options(num_returns=2).remote()
    ledger.wait_for(1)
    ray.cancel(refs[1])
    for ref in refs:
        with pytest.raises(ray.exceptions.TaskCancelledError):
            ray.get(ref)


def test_the_worker_serves_on(ray, sleeper, ledger):
    @ray.remote
    def quick(i):
        return i

    for i in range(5):
        ref = sleeper.remote()
        ledger.wait_for(i + 1)
        ray.cancel(ref)
        with pytest.raises(ray.exceptions.TaskCancelledError):
            ray.get(ref)
        assert ray.get([quick.remote(j) for j in range(10)]) == list(range(10))


def test_the_clean_up_of_a_cancelled_task_runs(ray, ledger):
    @ray.remote
    def careful():
        try:
            ledger.add("started")
            while True:
                time.sleep(0.01)
        finally:
            ledger.add("cleaned")

    ref = careful.remote()
    ledger.wait_for(1)
    ray.cancel(ref)
    with pytest.raises(ray.exceptions.TaskCancelledError):
        ray.get(ref)
    assert ledger.wait_for(2) == ["started", "cleaned"]


def sleep_for_long():
    """In pieces: Ray does not interrupt a sleep."""
    for _ in range(12_000):
        time.sleep(0.01)


def test_what_a_cancelled_task_submits_to_clean_up_is_not_cancelled(ray, ledger):
    """Nor is it waited for: a cancel ends the children that the task has, when it comes."""

    @ray.remote(num_cpus=0)
    def tidy():
        time.sleep(0.3)  # long enough for a cancel that comes late
        ledger.add("tidied")

    @ray.remote(num_cpus=0)
    def child():
        ledger.add("child")
        sleep_for_long()

    @ray.remote
    def parent():
        try:
            child.remote()
            sleep_for_long()
        finally:
            tidy.remote()

    ref = parent.remote()
    ledger.wait_for(1)
    ray.cancel(ref)
    with pytest.raises(ray.exceptions.TaskCancelledError):
        ray.get(ref, timeout=60)
    assert ledger.wait_for(2) == ["child", "tidied"]


def test_the_children_of_a_task_that_cleans_up_for_long_end_at_once(ray, ledger):
    @ray.remote(num_cpus=0)
    def child():
        try:
            ledger.add("child")
            sleep_for_long()
        finally:
            ledger.add("ended")

    @ray.remote
    def parent():
        try:
            child.remote()
            sleep_for_long()
        finally:
            ledger.wait_for(2)

    ref = parent.remote()
    ledger.wait_for(1)
    ray.cancel(ref)
    with pytest.raises(ray.exceptions.TaskCancelledError):
        ray.get(ref, timeout=60)
    assert ledger.marks() == ["child", "ended"]


def test_a_get_that_waits_is_woken(ray, sleeper, ledger):
    import threading

    ref = sleeper.remote()
    ledger.wait_for(1)
    timer = threading.Timer(0.2, ray.cancel, [ref])
    timer.start()
    with pytest.raises(ray.exceptions.TaskCancelledError):
        ray.get(ref)
    timer.join()


def test_a_task_blocked_in_get_is_cancelled(ray, gate, ledger):
    @ray.remote
    def late():
        gate.wait()

    @ray.remote
    def waits(refs):
        ledger.add()
        ray.get(refs[0])

    dependency = late.remote()
    ref = waits.remote([dependency])
    ledger.wait_for(1)
    ray.cancel(ref)
    with pytest.raises(ray.exceptions.TaskCancelledError):
        ray.get(ref)
    gate.open()
    ray.get(dependency)


def test_many_queued_tasks(ray, gate, ledger):
    @ray.remote(resources={"slot": 1})
    def holder():
        ledger.add("holder")
        gate.wait()

    @ray.remote(resources={"slot": 1})
    def queued(i):
        return i

    first = holder.remote()
    ledger.wait_for(1)
    refs = [queued.remote(i) for i in range(100)]
    for ref in refs[::2]:
        ray.cancel(ref)
    gate.open()
    ray.get(first)
    for ref in refs[::2]:
        with pytest.raises(ray.exceptions.TaskCancelledError):
            ray.get(ref)
    assert ray.get(refs[1::2]) == list(range(1, 100, 2))


def test_a_queued_actor_task(ray, gate, ledger):
    @ray.remote
    class Actor:
        def block(self):
            ledger.add()
            gate.wait()
            return "done"

        def queued(self):
            return "queued"

    actor = Actor.remote()
    first = actor.block.remote()
    ledger.wait_for(1)
    second = actor.queued.remote()
    ray.cancel(second)
    gate.open()
    with pytest.raises(ray.exceptions.TaskCancelledError):
        ray.get(second)
    assert ray.get(first) == "done"


def test_force_on_an_actor_task_is_refused(ray, gate):
    @ray.remote
    class Actor:
        def block(self):
            gate.wait()
            return "done"

    actor = Actor.remote()
    ref = actor.block.remote()
    with pytest.raises(ValueError, match="force"):
        ray.cancel(ref, force=True)
    gate.open()
    assert ray.get(ref) == "done"


def test_by_a_process_that_was_given_the_ref(ray, sleeper, ledger):
    @ray.remote
    def cancels(refs):
        ray.cancel(refs[0])

    ref = sleeper.remote()
    ledger.wait_for(1)
    ray.get(cancels.remote([ref]))
    with pytest.raises(ray.exceptions.TaskCancelledError):
        ray.get(ref)


def test_a_chain_of_children(ray, sleeper, ledger):
    @ray.remote(num_cpus=0)
    def parent(depth):
        ledger.add("parent")
        return ray.get(parent.remote(depth - 1) if depth else sleeper.remote())

    ref = parent.remote(2)
    ledger.wait_for(4)
    ray.cancel(ref)
    with pytest.raises((ray.exceptions.TaskCancelledError, ray.exceptions.RayTaskError)):
        ray.get(ref)

    @ray.remote(num_cpus=2)
    def needs_everything():
        return "free again"

    assert ray.get(needs_everything.remote()) == "free again"
    assert "finished" not in ledger.marks()


def test_a_task_that_catches_the_interrupt(ray, ledger):
    @ray.remote
    def catches():
        try:
            ledger.add("started")
            while True:
                time.sleep(0.01)
        except KeyboardInterrupt:
            return "caught"

    ref = catches.remote()
    ledger.wait_for(1)
    ray.cancel(ref)
    try:
        assert ray.get(ref) == "caught"
    except ray.exceptions.TaskCancelledError:
        pass


def test_twice_is_as_once(ray, sleeper, ledger):
    ref = sleeper.remote()
    ledger.wait_for(1)
    ray.cancel(ref)
    ray.cancel(ref)
    with pytest.raises(ray.exceptions.TaskCancelledError):
        ray.get(ref)
    ray.cancel(ref)
    with pytest.raises(ray.exceptions.TaskCancelledError):
        ray.get(ref)
