"""Actors: state, order, handles, names, several returns and what their classes look like."""

import abc
import os
import threading

import pytest


@pytest.fixture
def Counter(ray):
    @ray.remote
    class Counter:
        def __init__(self, start=0):
            self.n = start

        def add(self, by=1):
            self.n += by
            return self.n

        def value(self):
            return self.n

    return Counter


def test_state_is_kept(ray, Counter):
    counter = Counter.remote()
    assert ray.get(counter.add.remote()) == 1
    assert ray.get(counter.add.remote(5)) == 6
    assert ray.get(counter.add.remote(by=-1)) == 5


def test_constructor_arguments(ray, Counter):
    assert ray.get(Counter.remote(10).value.remote()) == 10
    assert ray.get(Counter.remote(start=20).value.remote()) == 20
    assert ray.get(Counter.remote(ray.put(30)).value.remote()) == 30


def test_each_actor_has_its_own_process_and_state(ray):
    @ray.remote
    class A:
        def pid(self):
            return os.getpid()

    actors = [A.remote() for _ in range(3)]
    pids = ray.get([a.pid.remote() for a in actors])
    assert len({*pids, os.getpid()}) == 4
    assert ray.get([a.pid.remote() for a in actors]) == pids


def test_a_class_without_constructor(ray):
    @ray.remote
    class Empty:
        pass

    handle = Empty.remote()
    assert ray.get(handle.__ray_ready__.remote())


def test_remote_applied_to_a_class(ray):
    class Plain:
        def one(self):
            return 1

    assert ray.get(ray.remote(Plain).remote().one.remote()) == 1
    assert ray.get(ray.remote(num_cpus=1)(Plain).remote().one.remote()) == 1
    assert Plain().one() == 1


def test_calls_run_in_the_order_they_were_made(ray):
    @ray.remote
    class Log:
        def __init__(self):
            self.seen = []

        def add(self, i):
            self.seen.append(i)

        def all(self):
            return self.seen

    log = Log.remote()
    for i in range(500):
        log.add.remote(i)
    assert ray.get(log.all.remote()) == list(range(500))


def test_order_is_kept_when_a_dependency_is_late(ray, gate):
    @ray.remote
    def late():
        gate.wait()
        return "late"

    @ray.remote
    class Log:
        def __init__(self):
            self.seen = []

        def add(self, x):
            self.seen.append(x)
            return self.seen

    log = Log.remote()
    log.add.remote("first")
    log.add.remote(late.remote())
    last = log.add.remote("last")
    assert ray.wait([last], timeout=0.2) == ([], [last])
    gate.open()
    assert ray.get(last) == ["first", "late", "last"]


def test_another_caller_may_overtake_a_late_dependency(ray, gate):
    @ray.remote
    def late():
        gate.wait()
        return "late"

    @ray.remote
    class Log:
        def __init__(self):
            self.seen = []

        def add(self, x):
            self.seen.append(x)
            return self.seen

    @ray.remote
    def other_caller(log):
        return ray.get(log.add.remote("other"))

    log = Log.remote()
    mine = log.add.remote(late.remote())
    assert ray.get(other_caller.remote(log)) == ["other"]
    gate.open()
    assert ray.get(mine) == ["other", "late"]


def test_refs_as_arguments_of_methods(ray, Counter):
    counter = Counter.remote()
    assert ray.get(counter.add.remote(ray.put(4))) == 4
    assert ray.get(counter.add.remote(by=counter.value.remote())) == 8


def test_calls_before_the_actor_is_up(ray, Counter):
    counter = Counter.remote()
    refs = [counter.add.remote() for _ in range(100)]
    assert ray.get(refs) == list(range(1, 101))


def test_a_thousand_calls(ray, Counter):
    counter = Counter.remote()
    assert ray.get([counter.add.remote() for _ in range(1000)])[-1] == 1000


def test_a_handle_passed_to_tasks(ray, Counter):
    @ray.remote
    def use(counter, n):
        return ray.get([counter.add.remote() for _ in range(n)])[-1]

    counter = Counter.remote()
    ray.get([use.remote(counter, 10) for _ in range(4)])
    assert ray.get(counter.value.remote()) == 40


def test_a_handle_inside_a_container(ray, Counter):
    @ray.remote
    def use(things):
        return ray.get(things["counter"][0].add.remote(7))

    counter = Counter.remote()
    assert ray.get(use.remote({"counter": [counter]})) == 7
    assert ray.get(ray.get(ray.put([counter]))[0].value.remote()) == 7


def test_a_handle_captured_by_a_function(ray, Counter):
    counter = Counter.remote()

    @ray.remote
    def use():
        return ray.get(counter.add.remote(3))

    assert ray.get(use.remote()) == 3


def test_a_handle_passed_to_an_actor(ray, Counter):
    @ray.remote
    class User:
        def __init__(self, counter):
            self.counter = counter

        def use(self):
            return ray.get(self.counter.add.remote())

    counter = Counter.remote()
    users = [User.remote(counter) for _ in range(2)]
    assert sorted(ray.get([u.use.remote() for u in users])) == [1, 2]


def test_an_actor_makes_an_actor(ray, Counter):
    @ray.remote
    class Parent:
        def __init__(self):
            self.child = Counter.remote(100)

        def ask(self):
            return ray.get(self.child.add.remote())

        def child_handle(self):
            return self.child

    parent = Parent.remote()
    assert ray.get(parent.ask.remote()) == 101
    child = ray.get(parent.child_handle.remote())
    assert ray.get(child.add.remote()) == 102


def test_an_actor_submits_tasks(ray):
    @ray.remote
    def square(x):
        return x * x

    @ray.remote
    class Mapper:
        def map(self, n):
            return ray.get([square.remote(i) for i in range(n)])

    assert ray.get(Mapper.remote().map.remote(5)) == [0, 1, 4, 9, 16]


def test_an_actor_passes_its_own_handle(ray):
    @ray.remote
    class Echo:
        def __init__(self):
            self.n = 0

        def me(self):
            return ray.get_runtime_context().current_actor

        def count(self):
            self.n += 1
            return self.n

    echo = Echo.remote()
    again = ray.get(echo.me.remote())
    assert ray.get(echo.count.remote()) == 1
    assert ray.get(again.count.remote()) == 2


def test_several_returns_of_a_method(ray):
    @ray.remote
    class A:
        @ray.method(num_returns=2)
        def two(self):
            return 1, 2

        def plain(self):
            return 1, 2

    a = A.remote()
    assert ray.get(a.two.remote()) == [1, 2]
    assert ray.get(a.plain.remote()) == (1, 2)
    assert ray.get(a.plain.options(num_returns=2).remote()) == [1, 2]
    assert a.plain.options(num_returns=0).remote() is None


def test_kinds_of_methods(ray):
    class Base:
        def inherited(self):
            return "base"

        def overridden(self):
            return "base"

    @ray.remote
    class A(Base):
        constant = "constant"

        def overridden(self):
            return "derived, over " + super().overridden()

        @staticmethod
        def static(x):
            return x + 1

        @classmethod
        def of_class(cls):
            return cls.constant

        def calls_another(self):
            return self.inherited()

    a = A.remote()
    assert ray.get(a.inherited.remote()) == "base"
    assert ray.get(a.overridden.remote()) == "derived, over base"
    assert ray.get(a.static.remote(1)) == 2
    assert ray.get(a.of_class.remote()) == "constant"
    assert ray.get(a.calls_another.remote()) == "base"


def test_special_methods(ray):
    @ray.remote
    class A:
        def __init__(self):
            self.items = [1, 2, 3]

        def __len__(self):
            return len(self.items)

        def __getitem__(self, i):
            return self.items[i]

    a = A.remote()
    assert ray.get(a.__len__.remote()) == 3
    assert ray.get(a.__getitem__.remote(1)) == 2


def test_dir_of_a_handle(ray, Counter):
    assert {"add", "value"} <= set(dir(Counter.remote()))


def test_dir_of_a_class(ray, Counter):
    public = {name for name in dir(Counter) if not name.startswith("_")}
    assert {"add", "value", "remote", "options"} <= public


def test_representation_of_a_handle(ray, Counter):
    counter = Counter.remote()
    assert repr(counter).startswith("Actor(Counter")

    @ray.remote(num_cpus=0)
    class Nested:
        pass

    assert repr(Nested.remote()).startswith(f"Actor({Nested.__ray_actor_class__.__qualname__}, ")


def test_wrong_uses_are_refused(ray, Counter):
    counter = Counter.remote()
    with pytest.raises(TypeError, match="remote"):
        Counter()
    with pytest.raises(TypeError, match="remote"):
        counter.add()
    with pytest.raises(TypeError):
        Counter.remote(1, 2)
    with pytest.raises(TypeError):
        counter.add.remote(1, 2)
    with pytest.raises(TypeError):
        counter.add.remote(nothing=1)
    with pytest.raises(AttributeError, match="subtract"):
        counter.subtract.remote()
    assert ray.get(counter.add.remote()) == 1


def test_an_abstract_class_is_refused(ray):
    class Abstract(abc.ABC):
        @abc.abstractmethod
        def size(self): ...

    class Concrete(Abstract):
        def size(self):
            return 3

    with pytest.raises(TypeError, match="abstract"):
        ray.remote(Abstract).remote()
    assert ray.get(ray.remote(Concrete).remote().size.remote()) == 3


def test_inheriting_from_an_actor_class_is_refused(ray, Counter):
    with pytest.raises(TypeError, match="Counter"):

        class Derived(Counter):
            pass


def test_an_error_in_a_method_leaves_the_actor_alive(ray):
    @ray.remote
    class A:
        def __init__(self):
            self.n = 0

        def fail(self):
            self.n += 1
            raise ValueError("in a method")

        def count(self):
            return self.n

    a = A.remote()
    with pytest.raises(ValueError, match="in a method"):
        ray.get(a.fail.remote())
    assert ray.get(a.count.remote()) == 1


def test_named_actors(ray, Counter):
    counter = Counter.options(name="the counter").remote()
    ray.get(counter.add.remote())
    assert ray.get(ray.get_actor("the counter").add.remote()) == 2
    ray.kill(counter)


def test_a_named_actor_from_a_task(ray, Counter):
    @ray.remote
    def find():
        return ray.get(ray.get_actor("found by tasks").add.remote())

    counter = Counter.options(name="found by tasks").remote()
    assert ray.get(find.remote()) == 1
    ray.kill(counter)


@pytest.mark.parametrize("name", ["", "nobody", None])
def test_names_that_no_actor_has(ray, name):
    with pytest.raises(ValueError):
        ray.get_actor(name)


def test_a_name_in_use(ray, Counter):
    first = Counter.options(name="taken").remote()
    with pytest.raises(ValueError, match="taken"):
        Counter.options(name="taken").remote()
    assert ray.get(first.add.remote()) == 1
    ray.kill(first)


def test_an_empty_name(ray, Counter):
    with pytest.raises(ValueError):
        Counter.options(name="").remote()


def test_the_order_of_threads_with_one_handle(ray):
    """Every thread's calls keep their order among themselves."""

    @ray.remote
    class Log:
        def __init__(self):
            self.seen = {}

        def add(self, who, i):
            self.seen.setdefault(who, []).append(i)

        def all(self):
            return self.seen

    log = Log.remote()

    def call(who):
        for i in range(100):
            log.add.remote(who, i)

    threads = [threading.Thread(target=call, args=[who]) for who in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ray.get(log.all.remote()) == {who: list(range(100)) for who in range(4)}


def test_methods_bound_in_a_variable(ray, Counter):
    counter = Counter.remote()
    add = counter.add
    assert ray.get([add.remote() for _ in range(3)]) == [1, 2, 3]


def test_an_actor_waits_for_an_actor(ray, gate):
    @ray.remote
    class Slow:
        def work(self):
            gate.wait()
            return "slow"

    @ray.remote
    class Waiter:
        def wait(self, slow):
            return ray.get(slow.work.remote())

    ref = Waiter.remote().wait.remote(Slow.remote())
    gate.open()
    assert ray.get(ref) == "slow"


def test_more_actors_than_processors(ray, Counter):
    """An actor needs no processor while it lives unless it asks for one."""
    counters = [Counter.remote(i) for i in range(10)]
    assert ray.get([c.value.remote() for c in counters]) == list(range(10))


def test_tasks_run_while_actors_live(ray, Counter):
    counters = [Counter.remote() for _ in range(5)]
    ray.get([c.add.remote() for c in counters])
    assert ray.get([ray.remote(lambda i=i: i).remote() for i in range(8)]) == list(range(8))


def test_actor_state_with_threads_of_its_own(ray):
    @ray.remote
    class Background:
        def __init__(self):
            self.event = threading.Event()
            self.thread = threading.Thread(target=self.event.set)
            self.thread.start()

        def ready(self):
            return self.event.wait(30)

    assert ray.get(Background.remote().ready.remote())


def test_private_methods_are_callable_remotely(ray):
    @ray.remote
    class A:
        def _hidden(self):
            return "hidden"

    assert ray.get(A.remote()._hidden.remote()) == "hidden"


def test_an_actor_that_makes_actors_of_its_own_class(ray):
    @ray.remote(num_cpus=0)
    class Node:
        def __init__(self, depth=0):
            self.depth = depth

        def deepest(self, more):
            return ray.get(Node.remote(self.depth + 1).deepest.remote(more - 1)) if more else self.depth

    assert ray.get(Node.remote(depth=1).deepest.remote(3)) == 4


@pytest.mark.parametrize("options", [{}, {"max_concurrency": 2}])
def test_an_attribute_with_the_name_of_a_method(ray, options):
    """Calls reach the method all the same."""

    @ray.remote(num_cpus=0)
    class A:
        def __init__(self):
            self.done = False
            self.fixed = self.made = 5

        def done(self):
            return self.done

        @staticmethod
        def fixed(x):
            return x

        @classmethod
        def made(cls):
            return cls.__name__

    actor = A.options(**options).remote()
    assert ray.get([actor.done.remote(), actor.fixed.remote(2), actor.made.remote()]) == [False, 2, "A"]
