"""Actors with an ``async def``: one event loop, many calls at a time."""

import asyncio
import os
import queue
import threading

import pytest

from .kit import wait_until


@pytest.fixture(scope="module")
def Async(ray):
    @ray.remote
    class Async:
        def __init__(self):
            self.home = threading.get_ident()
            self.go = asyncio.Event()
            self.inside = 0

        async def wait(self):
            self.inside += 1
            await self.go.wait()
            self.inside -= 1
            return threading.get_ident()

        async def let_go(self):
            self.go.set()

        async def echo(self, x):
            return x

        def plain(self, x):
            return x

        def threads(self):
            return self.home, threading.get_ident()

        async def count(self):
            return self.inside

    return Async


def test_a_call(ray, Async):
    actor = Async.remote()
    assert ray.get(actor.echo.remote(1)) == 1
    assert ray.get([actor.echo.remote(i) for i in range(100)]) == list(range(100))


def test_everything_runs_on_one_thread(ray, Async):
    actor = Async.remote()
    ref = actor.wait.remote()
    ray.get(actor.let_go.remote())
    home, plain = ray.get(actor.threads.remote())
    assert home == plain == ray.get(ref)


def test_calls_wait_side_by_side(ray, Async):
    actor = Async.remote()
    refs = [actor.wait.remote() for _ in range(50)]
    wait_until(lambda: ray.get(actor.count.remote()) == 50, "50 calls inside")
    ray.get(actor.let_go.remote())
    assert len(set(ray.get(refs))) == 1


def test_thousands_of_coroutines(ray, Async):
    """More than the interpreter's recursion limit, twice."""
    actor = Async.options(max_concurrency=2500).remote()
    refs = [actor.wait.remote() for _ in range(2200)]
    wait_until(lambda: ray.get(actor.count.remote()) == 2200, "2200 calls inside")
    ray.get(actor.let_go.remote())
    assert len(ray.get(refs)) == 2200


def test_max_concurrency_bounds_an_async_actor(ray):
    @ray.remote(max_concurrency=3)
    class Actor:
        def __init__(self):
            self.inside = self.most = 0

        async def work(self):
            self.inside += 1
            self.most = max(self.most, self.inside)
            while self.most < 3:  # the others come
                await asyncio.sleep(0.005)
            await asyncio.sleep(0.005)
            self.inside -= 1
            return self.most

    actor = Actor.remote()
    assert max(ray.get([actor.work.remote() for _ in range(20)])) == 3


def test_a_plain_method_of_an_async_actor(ray, Async):
    actor = Async.remote()
    assert ray.get([actor.plain.remote(i) for i in range(20)]) == list(range(20))


def test_a_running_loop_in_every_method(ray):
    @ray.remote
    class Actor:
        async def loop(self):
            return id(asyncio.get_running_loop())

        async def task(self):
            return asyncio.current_task() is not None

        async def spawn(self):
            async def inner():
                await asyncio.sleep(0)
                return "inner"

            return await asyncio.create_task(inner())

    actor = Actor.remote()
    assert ray.get(actor.loop.remote()) == ray.get(actor.loop.remote())
    assert ray.get(actor.task.remote())
    assert ray.get(actor.spawn.remote()) == "inner"


def test_an_async_constructor(ray):
    @ray.remote
    class Slow:
        async def __init__(self, x):
            await asyncio.sleep(0)
            self.loop = asyncio.get_running_loop()
            if x is None:
                raise ValueError("nothing to begin with")
            self.x = x

        def get(self):
            return self.x

        async def same_loop(self):
            return asyncio.get_running_loop() is self.loop

    actor = Slow.remote(5)
    assert ray.get([actor.get.remote(), actor.same_loop.remote()]) == [5, True]
    with pytest.raises(ray.exceptions.ActorDiedError, match="nothing to begin with"):
        ray.get(Slow.remote(None).get.remote())


def test_an_error(ray):
    @ray.remote
    class Actor:
        async def fails(self):
            await asyncio.sleep(0)
            raise ValueError("a reason")

        async def fine(self):
            return 1

    actor = Actor.remote()
    with pytest.raises(ValueError, match="a reason"):
        ray.get(actor.fails.remote())
    assert ray.get(actor.fine.remote()) == 1


def test_await_a_ref_in_an_actor(ray):
    @ray.remote
    def add(x, y):
        return x + y

    @ray.remote
    class Actor:
        async def one(self):
            return await add.remote(1, 2)

        async def many(self):
            return await asyncio.gather(*[add.remote(i, i) for i in range(10)])

        async def fails(self, ref):
            try:
                await ref[0]
            except ZeroDivisionError:
                return "caught"

    @ray.remote(max_retries=0)
    def fail():
        return 1 / 0

    actor = Actor.remote()
    assert ray.get(actor.one.remote()) == 3
    assert ray.get(actor.many.remote()) == [2 * i for i in range(10)]
    assert ray.get(actor.fails.remote([fail.remote()])) == "caught"


def test_async_actors_call_each_other(ray):
    @ray.remote
    class Ping:
        async def ping(self, other, n):
            return 0 if n == 0 else 1 + await other.pong.remote(ray.get_runtime_context().current_actor, n - 1)

    @ray.remote
    class Pong:
        async def pong(self, other, n):
            return 0 if n == 0 else 1 + await other.ping.remote(ray.get_runtime_context().current_actor, n - 1)

    assert ray.get(Ping.remote().ping.remote(Pong.remote(), 10)) == 10


def test_an_actor_awaits_its_own_method(ray):
    @ray.remote
    class Actor:
        async def outer(self):
            return await ray.get_runtime_context().current_actor.inner.remote() + 1

        async def inner(self):
            return 1

    assert ray.get(Actor.remote().outer.remote()) == 2


def test_the_context_belongs_to_the_coroutine(ray):
    @ray.remote
    class Actor:
        def __init__(self):
            self.inside = 0

        async def ask(self):
            before = ray.get_runtime_context().get_task_id()
            self.inside += 1
            while self.inside < 5:
                await asyncio.sleep(0.001)
            context = ray.get_runtime_context()
            return before, context.get_task_id(), context.get_task_name()

    actor = Actor.remote()
    refs = [actor.ask.remote() for _ in range(5)]
    for ref, (before, after, name) in zip(refs, ray.get(refs), strict=True):
        assert before == after == ref.task_id().hex()
        assert name == "Actor.ask"


def test_sockets_in_an_async_actor(ray):
    """The loop waits for descriptors and for calls at the same time."""

    @ray.remote
    class Server:
        async def start(self):
            async def answer(reader, writer):
                writer.write((await reader.readline()).upper())
                await writer.drain()
                writer.close()

            self.server = await asyncio.start_server(answer, "127.0.0.1", 0)
            return self.server.sockets[0].getsockname()[1]

        async def talk(self, port, text):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(text.encode() + b"\n")
            answer = await reader.readline()
            writer.close()
            return answer.decode().strip()

        async def here(self):
            return os.getpid()

    server, client = Server.remote(), Server.remote()
    port = ray.get(server.start.remote())
    for i in range(5):
        assert ray.get(client.talk.remote(port, f"words{i}")) == f"WORDS{i}"
        assert ray.get(server.talk.remote(port, f"own{i}")) == f"OWN{i}"
        assert len({ray.get(server.here.remote()), ray.get(client.here.remote())}) == 2


def test_work_in_threads_of_the_loop(ray):
    @ray.remote
    class Actor:
        async def run(self, n):
            loop = asyncio.get_running_loop()
            return sum(await asyncio.gather(*[loop.run_in_executor(None, lambda i=i: i) for i in range(n)]))

    assert ray.get([Actor.remote().run.remote(20) for _ in range(3)]) == [190] * 3


def test_timers(ray):
    @ray.remote
    class Actor:
        async def nap(self, seconds):
            await asyncio.sleep(seconds)
            return seconds

        async def too_long(self):
            try:
                await asyncio.wait_for(asyncio.sleep(60), 0.01)
            except asyncio.TimeoutError:
                return "timed out"

    actor = Actor.remote()
    naps = [actor.nap.remote(0.02 * (i % 3)) for i in range(9)]
    assert ray.get(actor.too_long.remote()) == "timed out"
    assert ray.get(naps) == [0.02 * (i % 3) for i in range(9)]


@pytest.mark.parametrize("way", ["coroutine", "method"])
def test_exit_actor_of_an_async_actor(ray, way, ledger):
    @ray.remote(max_restarts=1)
    class Actor:
        async def coroutine(self):
            ray.actor.exit_actor()

        def method(self):
            ray.actor.exit_actor()

        async def running(self):
            ledger.add()
            await asyncio.sleep(0.05)
            return "done"

    actor = Actor.remote()
    running = actor.running.remote()
    ledger.wait_for(1)
    with pytest.raises(ray.exceptions.RayActorError):
        ray.get(getattr(actor, way).remote())
    assert ray.get(running) == "done"

    def is_dead():
        try:
            ray.get(actor.running.remote())
        except ray.exceptions.ActorDiedError:
            return True
        return False

    wait_until(is_dead, "the end of the actor")


def test_exit_actor_of_a_threaded_actor(ray, gate, ledger):
    @ray.remote(max_concurrency=2, max_restarts=1)
    class Actor:
        def leave(self):
            ray.actor.exit_actor()

        def running(self):
            ledger.add()
            gate.wait()
            return "done"

    actor = Actor.remote()
    running = actor.running.remote()
    ledger.wait_for(1)
    leaving = actor.leave.remote()
    gate.open()
    assert ray.get(running) == "done"
    with pytest.raises(ray.exceptions.RayActorError):
        ray.get(leaving)


def test_an_async_constructor_argument(ray, Async):
    @ray.remote
    class Holder:
        def __init__(self, value):
            self.value = value

        async def get(self):
            return self.value

    assert ray.get(Holder.remote(ray.put("put")).get.remote()) == "put"


def test_an_error_in_the_constructor_of_an_async_actor(ray):
    @ray.remote
    class Actor:
        def __init__(self):
            raise ValueError("not today")

        async def f(self):
            return 1

    with pytest.raises(ray.exceptions.RayActorError, match="not today"):
        ray.get(Actor.remote().f.remote())


def test_large_values(ray, Async):
    actor = Async.remote()
    value = os.urandom(300_000)
    assert ray.get([actor.echo.remote(value) for _ in range(5)]) == [value] * 5


def test_several_callers(ray, Async):
    @ray.remote
    def call(actor, n):
        return sum(ray.get([actor.echo.remote(i) for i in range(n)]))

    actor = Async.remote()
    assert ray.get([call.remote(actor, 50) for _ in range(3)]) == [1225] * 3


def test_an_async_task_is_refused(ray):
    with pytest.raises(ValueError, match="async"):

        @ray.remote
        async def task():
            return 1


def test_a_ref_that_a_method_returns_is_its_value(ray, gate):
    """It was awaited where the method is no coroutine, so that the caller got the value in its place, or nothing for ever."""

    @ray.remote(num_cpus=0)
    def held():
        gate.wait()
        return "of the task"

    class Awaitable:
        def __await__(self):
            raise AssertionError("nobody is to await this")

    @ray.remote(num_cpus=0)
    class Actor:
        async def coroutine(self):
            return held.remote()

        def method(self):
            return held.remote()

        def awaitable(self):
            return Awaitable()

    actor = Actor.remote()
    refs = ray.get([actor.coroutine.remote(), actor.method.remote()], timeout=60)
    assert [type(ref) for ref in refs] == [ray.ObjectRef] * 2
    assert type(ray.get(actor.awaitable.remote())).__name__ == "Awaitable"
    gate.open()
    assert ray.get(refs) == ["of the task"] * 2


def test_a_thread_of_the_constructor_submits(ray):
    @ray.remote
    def double(x):
        return 2 * x

    @ray.remote
    class Starter:
        def __init__(self):
            self.refs = queue.Queue()
            threading.Thread(target=lambda: self.refs.put(double.remote(21)), daemon=True).start()

        async def result(self):
            return await asyncio.get_running_loop().run_in_executor(None, self.refs.get, True, 30)

    assert ray.get(ray.get(Starter.remote().result.remote())) == 42
