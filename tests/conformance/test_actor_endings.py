"""How actors and workers end, and what of the user's code still runs then."""

import asyncio
import atexit
import os
import sys

import pytest

from .kit import process_is_alive, wait_until


@pytest.fixture(scope="module")
def Noting(ray):
    @ray.remote
    class Noting:
        def __init__(self, ledger):
            self.ledger = ledger
            atexit.register(ledger.add, "handler")

        def __ray_shutdown__(self):
            self.ledger.add("hook")

        def __del__(self):
            self.ledger.add("destructor")

        def pid(self):
            return os.getpid()

        def exit(self):
            ray.actor.exit_actor()

    return Noting


def ended(pid):
    wait_until(lambda: not process_is_alive(pid), "the end of the process")


@pytest.mark.parametrize("how", ["last handle", "terminate", "exit_actor"])
@pytest.mark.parametrize("options", [{}, {"max_concurrency": 2}], ids=["plain", "threaded"])
def test_what_runs_at_the_end(ray, Noting, ledger, how, options):
    actor = Noting.options(**options).remote(ledger)
    pid = ray.get(actor.pid.remote())
    if how == "last handle":
        del actor
    elif how == "terminate":
        actor.__ray_terminate__.remote()
    else:
        actor.exit.remote()
    ended(pid)
    assert sorted(ledger.marks()) == ["destructor", "handler", "hook"]
    assert ledger.marks()[0] == "hook"


def test_nothing_runs_after_a_kill(ray, Noting, ledger):
    actor = Noting.remote(ledger)
    pid = ray.get(actor.pid.remote())
    ray.kill(actor)
    ended(pid)
    assert ledger.marks() == []


def test_exit_handlers_that_raise(ray, ledger):
    @ray.remote
    class Careless:
        def __init__(self):
            atexit.register(ledger.add)
            atexit.register(int, "not a number")

        def __ray_shutdown__(self):
            raise ValueError("on purpose")

        def pid(self):
            return os.getpid()

    actor = Careless.remote()
    pid = ray.get(actor.pid.remote())
    del actor
    ended(pid)
    assert ledger.marks() == ["x"]


def test_exit_handlers_of_tasks(ray, ledger):
    @ray.remote(max_calls=1)
    def register():
        atexit.register(ledger.add)
        return os.getpid()

    ended(ray.get(register.remote()))
    assert ledger.marks() == ["x"]


@pytest.mark.parametrize("status", [1, 5, "a text"])
@pytest.mark.parametrize("options", [{}, {"max_concurrency": 2}], ids=["plain", "threaded"])
def test_another_exit_status_than_0_is_a_death(ray, ledger, status, options):
    @ray.remote(max_restarts=1, max_task_retries=1, **options)
    class Leaves:
        def __init__(self):
            ledger.add("made")

        def leave(self):
            if len(ledger.marks()) == 1:
                sys.exit(status)
            return "stayed"

    assert ray.get(Leaves.remote().leave.remote()) == "stayed"
    assert ledger.marks() == ["made", "made"]


def test_exit_status_0_is_no_death(ray, ledger):
    @ray.remote(max_restarts=1)
    class Leaves:
        def __init__(self):
            ledger.add("made")

        def leave(self):
            sys.exit(0)

    actor = Leaves.remote()
    for _ in range(2):
        with pytest.raises(ray.exceptions.RayActorError):
            ray.get(actor.leave.remote())
    assert ledger.marks() == ["made"]


def test_an_exit_in_the_constructor_is_a_death(ray, ledger):
    @ray.remote(max_restarts=1, max_task_retries=-1)
    class Leaves:
        def __init__(self):
            ledger.add("begun")
            if len(ledger.marks()) == 1:
                sys.exit(3)

        def name(self):
            return "made"

    assert ray.get(Leaves.remote().name.remote()) == "made"
    assert ledger.marks() == ["begun", "begun"]


def test_exit_actor_in_the_constructor(ray, ledger):
    @ray.remote(max_restarts=1)
    class Leaves:
        def __init__(self):
            ledger.add("begun")
            ray.actor.exit_actor()

        def name(self):
            return "made"

    with pytest.raises(ray.exceptions.ActorDiedError):
        ray.get(Leaves.remote().name.remote())
    assert ledger.marks() == ["begun"]


def test_an_async_actor_takes_no_calls_after_its_exit(ray, ledger, gate):
    @ray.remote
    class Leaves:
        async def wait(self):
            ledger.add("waits")
            while not gate.is_open():
                await asyncio.sleep(0.01)
            return "done"

        async def leave(self):
            ledger.add("leaves")
            ray.actor.exit_actor()

        async def late(self):
            ledger.add("late")

    actor = Leaves.remote()
    first = actor.wait.remote()
    ledger.wait_for(1)
    actor.leave.remote()
    ledger.wait_for(2)
    late = [actor.late.remote() for _ in range(3)]
    gate.open()
    assert ray.get(first) == "done"
    for ref in late:
        with pytest.raises(ray.exceptions.RayActorError):
            ray.get(ref)
    assert ledger.marks() == ["waits", "leaves"]


@pytest.mark.parametrize("kind", ["plain", "threaded", "async"])
def test_an_actor_ends_although_the_exception_of_exit_actor_is_caught(ray, kind):
    class Quitter:
        def quit(self):
            try:
                ray.actor.exit_actor()
            except BaseException:
                return "still here"

        def pid(self):
            return os.getpid()

    class AsyncQuitter(Quitter):
        async def quit(self):
            return super().quit()

    cls = AsyncQuitter if kind == "async" else Quitter
    actor = ray.remote(num_cpus=0, max_concurrency=1 if kind == "plain" else 2)(cls).remote()
    pid = ray.get(actor.pid.remote())
    with pytest.raises(ray.exceptions.RayActorError):
        ray.get(actor.quit.remote())
    ended(pid)


@pytest.mark.parametrize("where", ["call", "constructor"])
def test_exit_actor_in_a_task_that_the_actor_began(ray, where, ledger):
    @ray.remote(num_cpus=0)
    class Beginner:
        def __init__(self):
            if where == "constructor":
                self.task = asyncio.get_running_loop().create_task(self.leave())

        async def leave(self):
            ray.actor.exit_actor()
            ledger.add("went on")

        async def begin(self):
            if where == "call":
                self.task = asyncio.create_task(self.leave())

    actor = Beginner.remote()
    with pytest.raises(ray.exceptions.RayActorError):
        while True:
            ray.get(actor.begin.remote())
    assert not ledger.marks()
