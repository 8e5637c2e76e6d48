"""How actors end and come back: kill, last handle, exit, restart, failing constructors."""

import os
import signal
import sys

import pytest

from .kit import process_is_alive, wait_until


@pytest.fixture
def Actor(ray):
    @ray.remote
    class Actor:
        def __init__(self):
            self.n = 0

        def pid(self):
            return os.getpid()

        def add(self):
            self.n += 1
            return self.n

        def block(self, gate):
            gate.wait()

        def exit(self, code=1):
            os._exit(code)

    return Actor


def gone(pid):
    wait_until(lambda: not process_is_alive(pid), f"the end of process {pid}")


def test_kill_ends_the_process(ray, Actor):
    actor = Actor.remote()
    pid = ray.get(actor.pid.remote())
    ray.kill(actor)
    gone(pid)
    with pytest.raises(ray.exceptions.ActorDiedError):
        ray.get(actor.add.remote())
    with pytest.raises(ray.exceptions.RayActorError):
        ray.get(actor.add.remote())


def test_kill_ends_running_and_queued_calls(ray, Actor, gate):
    actor = Actor.remote()
    ray.get(actor.pid.remote())
    refs = [actor.block.remote(gate), *[actor.add.remote() for _ in range(5)]]
    ray.kill(actor)
    for ref in refs:
        with pytest.raises(ray.exceptions.RayActorError):
            ray.get(ref)


def test_kill_twice(ray, Actor):
    actor = Actor.remote()
    ray.get(actor.add.remote())
    ray.kill(actor)
    ray.kill(actor)
    with pytest.raises(ray.exceptions.ActorDiedError):
        ray.get(actor.add.remote())


def test_results_from_before_the_death_are_kept(ray, Actor):
    actor = Actor.remote()
    ref = actor.add.remote()
    ray.wait([ref])
    ray.kill(actor)
    assert ray.get(ref) == 1


@pytest.mark.parametrize("wrong", [1, None, "actor"], ids=repr)
def test_kill_of_other_things(ray, wrong):
    with pytest.raises(ValueError):
        ray.kill(wrong)


def test_kill_of_a_ref(ray):
    with pytest.raises(ValueError):
        ray.kill(ray.put(1))


def test_an_actor_may_be_killed_from_a_task(ray, Actor):
    @ray.remote
    def killer(actor):
        ray.kill(actor)

    actor = Actor.remote()
    pid = ray.get(actor.pid.remote())
    ray.get(killer.remote(actor))
    gone(pid)


def test_a_name_is_free_after_the_death(ray, Actor):
    for _ in range(3):
        actor = Actor.options(name="again").remote()
        pid = ray.get(actor.pid.remote())
        ray.kill(actor)
        gone(pid)

        def is_free():
            try:
                ray.get_actor("again")
            except ValueError:
                return True
            return False

        wait_until(is_free, "the name")


def test_the_last_handle_ends_the_actor(ray, Actor):
    actor = Actor.remote()
    pid = ray.get(actor.pid.remote())
    del actor
    gone(pid)


def test_calls_made_before_the_last_handle_went_still_run(ray, Actor, ledger):
    @ray.remote
    class Marker:
        def mark(self, i):
            ledger.add(i)
            return i

    actor = Marker.remote()
    refs = [actor.mark.remote(i) for i in range(20)]
    del actor
    assert ray.get(refs) == list(range(20))


def test_a_call_on_a_temporary_handle(ray, Actor):
    assert ray.get(Actor.remote().add.remote()) == 1


def test_a_handle_elsewhere_keeps_the_actor(ray, Actor):
    @ray.remote
    class Keeper:
        def keep(self, actor):
            self.actor = actor

        def use(self):
            return ray.get(self.actor.add.remote())

        def drop(self):
            self.actor = None

    keeper, actor = Keeper.remote(), Actor.remote()
    pid = ray.get(actor.pid.remote())
    ray.get(keeper.keep.remote(actor))
    del actor
    assert ray.get(keeper.use.remote()) == 1
    assert process_is_alive(pid)
    ray.get(keeper.drop.remote())
    gone(pid)


def test_a_named_actor_too_ends_with_its_last_handle(ray, Actor):
    actor = Actor.options(name="mortal").remote()
    pid = ray.get(actor.pid.remote())
    del actor
    gone(pid)


def test_terminate_lets_earlier_calls_finish(ray, Actor):
    actor = Actor.remote()
    pid = ray.get(actor.pid.remote())
    refs = [actor.add.remote() for _ in range(10)]
    actor.__ray_terminate__.remote()
    assert ray.get(refs) == list(range(1, 11))
    gone(pid)


def test_exit_actor(ray):
    @ray.remote
    class Quits:
        def pid(self):
            return os.getpid()

        def quit(self):
            ray.actor.exit_actor()

    actor = Quits.remote()
    pid = ray.get(actor.pid.remote())
    with pytest.raises(ray.exceptions.RayActorError):
        ray.get(actor.quit.remote())
    gone(pid)
    with pytest.raises(ray.exceptions.ActorDiedError):
        ray.get(actor.pid.remote())


def test_an_error_in_the_constructor(ray):
    @ray.remote
    class Fails:
        def __init__(self):
            raise ValueError("no such luck")

        def method(self):
            return 1

    actor = Fails.remote()
    for _ in range(2):
        with pytest.raises(ray.exceptions.ActorDiedError, match="no such luck"):
            ray.get(actor.method.remote())


def test_a_constructor_that_returns_something(ray):
    @ray.remote
    class Wrong:
        def __init__(self):
            return 5

        def method(self):
            return 1

    with pytest.raises(ray.exceptions.ActorDiedError, match="TypeError"):
        ray.get(Wrong.remote().method.remote())


def test_the_constructor_is_given_a_failed_dependency(ray):
    @ray.remote
    def failing():
        raise KeyError("dependency")

    @ray.remote
    class A:
        def __init__(self, x):
            pass

        def method(self):
            return 1

    with pytest.raises(ray.exceptions.RayError):
        ray.get(A.remote(failing.remote()).method.remote())


def test_a_method_is_given_a_failed_dependency(ray, Actor):
    @ray.remote
    def failing():
        raise KeyError("dependency")

    @ray.remote
    class Echo:
        def echo(self, x):
            return x

    echo = Echo.remote()
    with pytest.raises(KeyError, match="dependency"):
        ray.get(echo.echo.remote(failing.remote()))
    assert ray.get(echo.echo.remote(1)) == 1


@pytest.mark.parametrize("how", ["os._exit", "sys.exit", "SIGKILL", "SIGSEGV"])
def test_the_death_of_the_process(ray, how):
    @ray.remote
    class A:
        def pid(self):
            return os.getpid()

        def die(self):
            if how == "os._exit":
                os._exit(3)
            elif how == "sys.exit":
                sys.exit(3)
            os.kill(os.getpid(), getattr(signal, how))

    actor = A.remote()
    pid = ray.get(actor.pid.remote())
    with pytest.raises(ray.exceptions.RayActorError):
        ray.get(actor.die.remote())
    gone(pid)
    with pytest.raises(ray.exceptions.ActorDiedError):
        ray.get(actor.pid.remote())


def test_a_death_from_outside(ray, Actor, gate):
    actor = Actor.remote()
    pid = ray.get(actor.pid.remote())
    ref = actor.block.remote(gate)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(ray.exceptions.RayActorError):
        ray.get(ref)


def test_restart_after_a_crash(ray, Actor):
    actor = Actor.options(max_restarts=1).remote()
    first = ray.get(actor.pid.remote())
    assert ray.get(actor.add.remote()) == 1
    os.kill(first, signal.SIGKILL)
    gone(first)
    second = eventually(ray, actor.pid)
    assert second != first
    assert ray.get(actor.add.remote()) == 1, "the state is that of a new object"
    os.kill(second, signal.SIGKILL)
    gone(second)
    with pytest.raises(ray.exceptions.ActorDiedError):
        eventually(ray, actor.pid)


def eventually(ray, method):
    """The result of a call, tried again while the actor is between two lives."""
    result = []

    def answers():
        try:
            result.append(ray.get(method.remote()))
        except ray.exceptions.ActorDiedError:
            raise
        except ray.exceptions.RayActorError:
            return False
        return True

    wait_until(answers, "an answer of the restarted actor")
    return result[0]


def test_the_constructor_runs_again_with_its_arguments(ray, ledger):
    @ray.remote(max_restarts=2)
    class A:
        def __init__(self, value, *, key):
            ledger.add(f"{value}-{key}")
            self.value = value, key

        def get(self):
            return self.value

        def pid(self):
            return os.getpid()

    actor = A.remote(ray.put("v"), key="k")
    assert ray.get(actor.get.remote()) == ("v", "k")
    os.kill(ray.get(actor.pid.remote()), signal.SIGKILL)
    ledger.wait_for(2)
    assert eventually(ray, actor.get) == ("v", "k")
    assert ledger.marks() == ["v-k", "v-k"]


def test_kill_does_not_restart(ray, Actor):
    actor = Actor.options(max_restarts=-1).remote()
    pid = ray.get(actor.pid.remote())
    ray.kill(actor)
    gone(pid)
    with pytest.raises(ray.exceptions.ActorDiedError):
        ray.get(actor.pid.remote())


def test_kill_may_restart(ray, Actor):
    actor = Actor.options(max_restarts=1).remote()
    pid = ray.get(actor.pid.remote())
    ray.kill(actor, no_restart=False)
    gone(pid)
    assert eventually(ray, actor.pid) != pid


def test_a_restarted_actor_keeps_its_name_and_handles(ray, Actor):
    @ray.remote
    def use(actor):
        return eventually(ray, actor.pid)

    actor = Actor.options(max_restarts=1, name="phoenix").remote()
    first = ray.get(actor.pid.remote())
    os.kill(first, signal.SIGKILL)
    gone(first)
    second = eventually(ray, actor.pid)
    assert ray.get(ray.get_actor("phoenix").pid.remote()) == second
    assert ray.get(use.remote(actor)) == second
    ray.kill(actor)


def test_calls_are_repeated_after_a_restart_when_asked(ray, ledger):
    @ray.remote(max_restarts=1, max_task_retries=1)
    class A:
        def die_once(self):
            ledger.add()
            if len(ledger.marks()) == 1:
                os._exit(1)
            return "second time"

    assert ray.get(A.remote().die_once.remote()) == "second time"


def test_calls_during_a_restart(ray, gate, ledger):
    @ray.remote(max_restarts=1)
    class A:
        def __init__(self):
            ledger.add()
            if len(ledger.marks()) == 2:
                gate.wait()

        def pid(self):
            return os.getpid()

    for retries in (0, 2):
        ledger.path.unlink(missing_ok=True)
        gate.path.unlink(missing_ok=True)
        actor = A.options(max_task_retries=retries).remote()
        first = ray.get(actor.pid.remote())
        os.kill(first, signal.SIGKILL)
        ledger.wait_for(2)
        if not retries:
            for _ in range(2):
                with pytest.raises(ray.exceptions.ActorUnavailableError):
                    ray.get(actor.pid.remote())
            gate.open()
            assert eventually(ray, actor.pid) != first
        else:
            ref = actor.pid.remote()
            gate.open()
            assert ray.get(ref) != first
        ray.kill(actor)


def test_an_actor_with_unlimited_restarts(ray, Actor):
    actor = Actor.options(max_restarts=-1).remote()
    pid = ray.get(actor.pid.remote())
    for _ in range(3):
        os.kill(pid, signal.SIGKILL)
        gone(pid)
        following = eventually(ray, actor.pid)
        assert following != pid
        pid = following


def test_resources_of_a_dead_actor_are_free_again(ray, Actor):
    for _ in range(4):
        actor = Actor.options(resources={"widget": 2}).remote()
        assert ray.get(actor.add.remote()) == 1
        ray.kill(actor)


def test_the_error_tells_which_actor(ray, Actor):
    actor = Actor.remote()
    ray.get(actor.pid.remote())
    with pytest.raises(ray.exceptions.RayActorError) as caught:
        ray.get(actor.exit.remote())
    assert "Actor" in str(caught.value)
