"""Threaded actors and the concurrency groups of actors, threaded and async."""

import asyncio
import threading
import time

import pytest

from .kit import wait_until


@pytest.fixture(scope="module")
def Grouped(ray):
    @ray.remote(concurrency_groups={"io": 2, "compute": 4})
    class Grouped:
        """Each method counts how many calls of its kind run at the same time."""

        def __init__(self):
            self.lock = threading.Lock()
            self.inside = {}
            self.most = {}

        def meet(self, kind, gate):
            with self.lock:
                self.inside[kind] = self.inside.get(kind, 0) + 1
                self.most[kind] = max(self.most.get(kind, 0), self.inside[kind])
            gate.wait()
            with self.lock:
                self.inside[kind] -= 1
            return kind

        @ray.method(concurrency_group="io")
        def io(self, gate):
            return self.meet("io", gate)

        @ray.method(concurrency_group="compute")
        def compute(self, gate):
            return self.meet("compute", gate)

        def default(self, gate):
            return self.meet("default", gate)

        @ray.method(concurrency_group="io", num_returns=2)
        def two(self):
            return 1, 2

        @ray.method(concurrency_group="compute")
        def counts(self):
            return dict(self.inside), dict(self.most)

    return Grouped


def test_each_group_has_its_own_threads(ray, Grouped, gate):
    actor = Grouped.remote()
    refs = [actor.io.remote(gate) for _ in range(4)] + [actor.compute.remote(gate) for _ in range(3)]
    refs += [actor.default.remote(gate) for _ in range(2)]
    expected = {"io": 2, "compute": 3, "default": 1}
    wait_until(lambda: ray.get(actor.counts.remote())[0] == expected, "full groups")
    gate.open()
    assert ray.get(refs) == ["io"] * 4 + ["compute"] * 3 + ["default"] * 2
    assert ray.get(actor.counts.remote())[1] == expected


def test_a_group_that_is_full_leaves_the_others_alone(ray, Grouped, gate, tmp_path):
    actor = Grouped.remote()
    stuck = [actor.io.remote(gate) for _ in range(3)]
    opened = type(gate)(tmp_path / "opened")
    opened.open()
    assert ray.get(actor.default.remote(opened)) == "default"
    assert ray.get(actor.compute.remote(opened)) == "compute"
    gate.open()
    ray.get(stuck)


def test_a_call_may_choose_its_group(ray, Grouped, gate):
    actor = Grouped.remote()
    in_group = actor.default.options(concurrency_group="io")
    refs = [in_group.remote(gate) for _ in range(3)]
    wait_until(lambda: ray.get(actor.counts.remote())[0] == {"default": 2}, "two calls of the default method")
    gate.open()
    ray.get(refs)
    assert ray.get(actor.counts.remote())[1] == {"default": 2}


def test_the_default_group_has_max_concurrency(ray, Grouped, gate):
    actor = Grouped.options(max_concurrency=3).remote()
    refs = [actor.default.remote(gate) for _ in range(5)]
    wait_until(lambda: ray.get(actor.counts.remote())[0] == {"default": 3}, "three calls")
    gate.open()
    ray.get(refs)


def test_max_concurrency_of_zero_is_the_default(ray):
    @ray.remote(max_concurrency=0)
    class One:
        running = 0

        def alone(self):
            self.running += 1
            time.sleep(0.001)
            self.running -= 1
            return self.running, threading.current_thread() is threading.main_thread()

    actor = One.remote()
    assert ray.get([actor.alone.remote() for _ in range(20)]) == [(0, True)] * 20
    assert ray.get(One.options(max_concurrency=0).remote().alone.remote()) == (0, True)


def test_other_options_of_a_method_in_a_group(ray, Grouped):
    assert ray.get(Grouped.remote().two.remote()) == [1, 2]


def test_groups_are_given_at_the_definition(ray, Grouped):
    with pytest.raises(ValueError, match="concurrency_groups"):
        Grouped.options(concurrency_groups={"more": 1})


@pytest.mark.parametrize("wrong", ["io", 5])
def test_groups_of_a_wrong_type(ray, wrong):
    with pytest.raises(TypeError, match="concurrency_groups"):

        @ray.remote(concurrency_groups=wrong)
        class Actor:
            pass


def test_groups_of_an_async_actor(ray):
    @ray.remote(concurrency_groups={"io": 2})
    class Actor:
        def __init__(self):
            self.most = self.inside = 0
            self.go = threading.Event()

        @ray.method(concurrency_group="io")
        async def io(self):
            self.inside += 1
            self.most = max(self.most, self.inside)
            while not self.go.is_set():
                await asyncio.sleep(0.005)
            self.inside -= 1
            return threading.get_ident()

        @ray.method(concurrency_group="io")
        def plain(self):
            return threading.get_ident()

        async def default(self):
            return threading.get_ident()

        async def count(self):
            return self.inside

        def let_go(self):
            self.go.set()
            return self.most

    actor = Actor.remote()
    refs = [actor.io.remote() for _ in range(4)]
    wait_until(lambda: ray.get(actor.count.remote()) == 2, "two calls inside")
    assert ray.get(actor.let_go.remote()) == 2
    threads = set(ray.get(refs))
    assert threads == {ray.get(actor.plain.remote())}
    assert ray.get(actor.default.remote()) not in threads


def test_a_blocked_loop_leaves_other_groups_alone(ray, gate):
    @ray.remote(concurrency_groups={"other": 1})
    class Actor:
        async def block(self):
            gate.wait()
            return "done"

        @ray.method(concurrency_group="other")
        async def answer(self):
            return "here"

    actor = Actor.remote()
    blocked = actor.block.remote()
    assert ray.get(actor.answer.remote()) == "here"
    gate.open()
    assert ray.get(blocked) == "done"


def test_a_threaded_actor_runs_calls_side_by_side(ray):
    @ray.remote(max_concurrency=3)
    class Actor:
        def __init__(self):
            self.meeting = threading.Barrier(3, timeout=60)

        def meet(self):
            self.meeting.wait()
            return threading.get_ident()

    actor = Actor.remote()
    assert len(set(ray.get([actor.meet.remote() for _ in range(3)]))) == 3


def test_calls_of_a_threaded_actor_start_in_order(ray, ledger):
    @ray.remote(max_concurrency=2)
    class Actor:
        def __init__(self):
            self.lock = threading.Lock()

        def first(self, i):
            with self.lock:
                ledger.add(i)

    actor = Actor.options(max_concurrency=1).remote()
    ray.get([actor.first.remote(i) for i in range(50)])
    assert ledger.marks() == [str(i) for i in range(50)]


@pytest.mark.parametrize(
    "options", [{"allow_out_of_order_execution": True}, {"max_concurrency": 2}], ids=["asked for", "threaded"]
)
def test_a_late_argument_is_overtaken(ray, gate, ledger, options):
    @ray.remote
    def late():
        gate.wait()
        return "late"

    @ray.remote
    class Actor:
        def add(self, mark):
            ledger.add(mark)
            return mark

    actor = Actor.options(**options).remote()
    first = actor.add.remote(late.remote())
    assert ray.get(actor.add.remote("quick")) == "quick"
    gate.open()
    assert ray.get(first) == "late"
    assert ledger.marks() == ["quick", "late"]


def test_order_cannot_be_had_where_calls_run_side_by_side(ray):
    @ray.remote
    class Plain:
        def f(self):
            return 1

    @ray.remote
    class Async:
        async def f(self):
            return 1

    with pytest.raises(ValueError, match="allow_out_of_order_execution"):
        Plain.options(max_concurrency=2, allow_out_of_order_execution=False).remote()
    with pytest.raises(ValueError, match="allow_out_of_order_execution"):
        Async.options(allow_out_of_order_execution=False).remote()
    with pytest.raises(TypeError, match="allow_out_of_order_execution"):
        Plain.options(allow_out_of_order_execution=1)


def test_a_dead_dependency_of_a_call_that_may_be_overtaken(ray):
    @ray.remote(max_retries=0)
    def fails():
        raise KeyError("no")

    @ray.remote(max_concurrency=2)
    class Actor:
        def f(self, x):
            return x

    actor = Actor.remote()
    with pytest.raises(KeyError):
        ray.get(actor.f.remote(fails.remote()))
    assert ray.get(actor.f.remote(1)) == 1


def test_pending_calls_are_limited(ray, gate):
    @ray.remote(max_pending_calls=3)
    class Actor:
        def wait(self):
            gate.wait()

    def is_taken():
        try:
            ray.get(actor.wait.remote())
        except ray.exceptions.PendingCallsLimitExceeded:
            return False  # Ray goes on counting a call for a moment whose result is here
        return True

    actor = Actor.remote()
    refs = []
    with pytest.raises(ray.exceptions.PendingCallsLimitExceeded, match="3"):
        for _ in range(5):
            refs.append(actor.wait.remote())
    assert len(refs) == 3
    gate.open()
    ray.get(refs)
    wait_until(is_taken, "a call that is taken again")


def test_the_context_belongs_to_the_thread_of_a_call(ray):
    @ray.remote(max_concurrency=2)
    class Actor:
        def __init__(self):
            self.meeting = threading.Barrier(2, timeout=60)

        def ask(self):
            context = ray.get_runtime_context()
            before = context.get_task_id()
            self.meeting.wait()
            return before, ray.get_runtime_context().get_task_id(), context.get_task_name()

    actor = Actor.remote()
    refs = [actor.ask.remote() for _ in range(2)]
    for ref, (before, after, name) in zip(refs, ray.get(refs), strict=True):
        assert before == after == ref.task_id().hex()
        assert name == "Actor.ask"


def test_an_error_in_one_thread(ray):
    @ray.remote(max_concurrency=2)
    class Actor:
        def f(self, x):
            return 1 / x

    actor = Actor.remote()
    refs = [actor.f.remote(i % 2) for i in range(10)]
    for i, ref in enumerate(refs):
        if i % 2:
            assert ray.get(ref) == 1
        else:
            with pytest.raises(ZeroDivisionError):
                ray.get(ref)


def test_the_constructor_runs_in_the_loop_of_the_default_group(ray):
    """What it makes there (a lock, a queue, a task) is of use to the methods."""

    @ray.remote(concurrency_groups={"io": 1})
    class Actor:
        def __init__(self):
            self.loop = asyncio.get_running_loop()
            self.thread = threading.get_ident()

        def here(self):
            return asyncio.get_running_loop() is self.loop, threading.get_ident() == self.thread

        async def there(self):
            return self.here()

    actor = Actor.remote()
    assert ray.get([actor.here.remote(), actor.there.remote()]) == [(True, True)] * 2
    assert ray.get(actor.there.options(concurrency_group="io").remote()) == (False, False)


def test_a_constructor_in_a_loop_of_its_own_that_raises(ray):
    @ray.remote(concurrency_groups={"io": 1})
    class Actor:
        def __init__(self):
            raise KeyError("not today")

        async def f(self):
            return 1

    with pytest.raises(ray.exceptions.ActorDiedError, match="not today"):
        ray.get(Actor.remote().f.remote())
