"""Rows 9, 10, 24, 25, 26, 63 and 71: calls of actors that are dead, full, unknown, waiting, or of other code."""

import os
import signal
import time
import warnings

import pytest

WAITS = {"NBRAY_WAIT_TOLD_S": "0.5", "NBRAY_WAIT_WARNED_S": "1.5"}  # in place of 4 and 8 s
WAIT_UNTIL_TOLD = """
import io, sys

class Heard(io.StringIO):
    def write(self, text):
        sys.__stderr__.write(text)
        return super().write(text)

    def fileno(self):
        return sys.__stderr__.fileno()

sys.stderr = heard = Heard()

def wait_until_told(ref, word):
    for _ in range(20):
        try:
            ray.get(ref, timeout=2.5)
        except ray.exceptions.GetTimeoutError:
            if word in heard.getvalue():
                print("timed out")
                return
"""


def test_row_9_get_inside_an_async_actor(run_script):
    done = run_script(
        """
        import os, time
        ray.init(num_cpus=1)

        @ray.remote
        def slow():
            time.sleep(0.1)
            return 1

        @ray.remote
        def held():
            while not os.path.exists("go-on"):
                time.sleep(0.005)
            return 1

        @ray.remote(num_cpus=0)
        class Actor:
            async def blocks(self):
                return ray.get(held.remote())

            async def awaits(self):
                return await slow.remote()

        actor = Actor.remote()
        assert ray.get(actor.awaits.remote()) == 1
        time.sleep(0.2)
        print("--", flush=True)
        blocked = actor.blocks.remote()
        deadline = time.monotonic() + 60
        while "return ray.get(held.remote())" not in heard.getvalue() and time.monotonic() < deadline:
            time.sleep(0.01)
        open("go-on", "w").close()
        assert ray.get(blocked) == 1
        """,
        before=WAIT_UNTIL_TOLD,
    )
    before, _, _ = (done.stdout + done.stderr).partition("--")
    assert "RuntimeWarning" not in before
    text = done.stdout + done.stderr
    assert "RuntimeWarning" in text
    assert "await the ref" in text
    assert "return ray.get(held.remote())" in text  # the line that blocks


def test_row_10_actors_that_wait_for_each_other(run_script):
    done = run_script(
        """
        ray.init(num_cpus=1)

        @ray.remote(num_cpus=0)
        class Partner:
            def meet(self, other):
                self.other = other

            def ping(self):
                return ray.get(self.other.pong.remote())

            def pong(self):
                return ray.get(self.other.ready.remote())

            def ready(self):
                return True

        one, two = Partner.remote(), Partner.remote()
        ray.get([one.meet.remote(two), two.meet.remote(one)])
        wait_until_told(one.ping.remote(), "Deadlock")
        """,
        env=WAITS,
        before=WAIT_UNTIL_TOLD,
    )
    text = done.stdout + done.stderr
    assert "timed out" in done.stdout
    for words in ("Deadlock", "Partner.ping", "waits for Partner.pong", "waits for Partner.ready", "max_concurrency"):
        assert words in text, text


def test_row_10_nested_tasks_go_on(run_script):
    """All processors wait: the tasks they wait for run all the same, and nobody is warned."""
    done = run_script(
        """
        import time
        ray.init(num_cpus=1)

        @ray.remote
        def nested(depth):
            if depth == 0:
                time.sleep(2)
                return 0
            return 1 + ray.get(nested.remote(depth - 1))

        assert ray.get(nested.remote(5)) == 5
        """,
        env=WAITS,
    )
    assert "Warning" not in done.stdout + done.stderr


def test_row_10_nested_deeper_than_workers_may_be_started(run_script):
    done = run_script(
        """
        ray.init(num_cpus=1, _system_config={"extra_workers": 3})

        @ray.remote
        def nested(depth):
            return 1 + ray.get(nested.remote(depth - 1)) if depth else 0

        assert ray.get(nested.remote(3)) == 3
        wait_until_told(nested.remote(20), "extra_workers")
        """,
        env=WAITS,
        before=WAIT_UNTIL_TOLD,
    )
    text = done.stdout + done.stderr
    assert "timed out" in done.stdout
    for words in ("may wait for ever", "nested waits for a worker", "4 are there", "NBRAY_EXTRA_WORKERS=6"):
        assert words in text, text


def test_row_10_more_actors_than_processes_may_be_started(run_script):
    done = run_script(
        """
        ray.init(num_cpus=2, _system_config={"max_processes": 2})

        @ray.remote(num_cpus=0)
        class Actor:
            def ready(self):
                return True

        actors = [Actor.remote() for _ in range(3)]
        assert ray.get([actor.ready.remote() for actor in actors[:2]]) == [True, True]
        wait_until_told(actors[2].ready.remote(), "max_processes")
        """,
        env=WAITS,
        before=WAIT_UNTIL_TOLD,
    )
    text = done.stdout + done.stderr
    assert "timed out" in done.stdout
    for words in (
        "may wait for ever",
        "Actor.ready waits for a worker",
        "all 2 that it may have",
        "NBRAY_MAX_PROCESSES=4",
    ):
        assert words in text, text


def test_row_10_a_gpu_that_the_waiting_task_holds(run_script):
    done = run_script(
        """
        ray.init(num_cpus=2, num_gpus=1)

        @ray.remote(num_gpus=1)
        def inner():
            return 1

        @ray.remote(num_gpus=1)
        def outer():
            return ray.get(inner.remote())

        wait_until_told(outer.remote(), "inner needs")
        """,
        env=WAITS,
        before=WAIT_UNTIL_TOLD,
    )
    text = done.stdout + done.stderr
    assert "timed out" in done.stdout
    assert "inner needs" in text
    assert "which waits itself" in text
    assert "outer" in text


def test_row_71_a_forgotten_actor_has_the_processors(run_script):
    done = run_script(
        """
        import warnings
        ray.init(num_cpus=1)

        @ray.remote(num_cpus=1)
        class Forgotten:
            def ready(self):
                return True

        actor = Forgotten.remote()  # the line that is named
        ray.get(actor.ready.remote())

        @ray.remote
        def task():
            return 1

        wait_until_told(task.remote(), "task needs")
        del actor
        assert ray.get(task.remote()) == 1
        """,
        env=WAITS,
        before=WAIT_UNTIL_TOLD,
    )
    text = done.stdout + done.stderr
    assert "timed out" in done.stdout
    for words in ("RuntimeWarning", "task needs", "0 of 1 CPU", "actor Forgotten", "made in program.py:", "nbray.kill"):
        assert words in text, text


def in_time(ray, ref, error, limit_s=60):
    """Get a ref, which must raise this error in time; returns the error."""
    began = time.monotonic()
    with pytest.raises(error) as caught:
        ray.get(ref)
    assert time.monotonic() - began < limit_s
    return caught.value


def test_row_24_an_actor_that_was_killed(ray):
    @ray.remote
    class Victim:
        def pid(self):
            return os.getpid()

    actor = Victim.remote()
    pid = ray.get(actor.pid.remote())
    ray.kill(actor)
    error = in_time(ray, actor.pid.remote(), ray.exceptions.ActorDiedError)
    assert error.maybe_executed is False
    for words in ("Victim", "killed by kill()", "did not run", "died at", f"on node {ray.nodes()[0]['NodeID'][:8]}"):
        assert words in str(error)
    del pid


def await_files(folder, count):
    """Wait until so many calls have made their file."""
    deadline = time.monotonic() + 60
    while len(list(folder.iterdir())) < count:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_row_24_an_actor_whose_process_died(ray, tmp_path):
    @ray.remote
    class Victim:
        def pid(self):
            return os.getpid()

        def wait(self):
            (tmp_path / "began").touch()
            time.sleep(60)

    actor = Victim.remote()
    pid = ray.get(actor.pid.remote())
    running, behind = actor.wait.remote(), actor.pid.remote()
    await_files(tmp_path, 1)
    os.kill(pid, signal.SIGKILL)
    error = in_time(ray, running, ray.exceptions.ActorDiedError)
    assert error.maybe_executed is True
    assert "SIGKILL" in str(error)
    assert "may have run" in str(error)
    assert in_time(ray, behind, ray.exceptions.ActorDiedError).maybe_executed is False


def test_row_24_side_by_side_every_call_that_began_may_have_run(ray, tmp_path):
    @ray.remote(max_concurrency=3)
    class Victim:
        def pid(self):
            return os.getpid()

        def wait(self, number):
            (tmp_path / f"began{number}").touch()
            time.sleep(60)

    actor = Victim.remote()
    pid = ray.get(actor.pid.remote())
    refs = [actor.wait.remote(number) for number in range(3)]
    await_files(tmp_path, 3)
    os.kill(pid, signal.SIGKILL)
    assert [in_time(ray, ref, ray.exceptions.ActorDiedError).maybe_executed for ref in refs] == [True] * 3


def test_row_24_an_actor_that_restarts(ray, tmp_path):
    @ray.remote(max_restarts=1)
    class Phoenix:
        def pid(self):
            return os.getpid()

        def wait(self):
            (tmp_path / "began").touch()
            time.sleep(60)

    actor = Phoenix.remote()
    pid = ray.get(actor.pid.remote())
    running = actor.wait.remote()
    await_files(tmp_path, 1)
    os.kill(pid, signal.SIGKILL)
    error = in_time(ray, running, ray.exceptions.ActorUnavailableError)
    assert error.maybe_executed is True
    for words in ("restarted", "SIGKILL", "try it again"):
        assert words in str(error)
    assert ray.get(actor.pid.options(max_task_retries=-1).remote(), timeout=60) != pid
    ray.kill(actor)


def test_row_24_a_call_during_a_restart(ray, tmp_path):
    @ray.remote(max_restarts=1)
    class Phoenix:
        def __init__(self):
            if ray.get_runtime_context().was_current_actor_reconstructed:
                while not (tmp_path / "go").exists():
                    time.sleep(0.005)

        def pid(self):
            return os.getpid()

    actor = Phoenix.remote()
    pid = ray.get(actor.pid.remote())
    waits = actor.pid.options(max_task_retries=-1)
    os.kill(pid, signal.SIGKILL)
    refs, error = [waits.remote()], None
    while "is being restarted" not in str(error):  # the first ones may go to the process that dies
        error = in_time(ray, actor.pid.remote(), ray.exceptions.ActorUnavailableError)
        refs.append(waits.remote())
    assert error.maybe_executed is False
    for words in ("Phoenix", "SIGKILL", "has not begun", "try it again", "max_task_retries"):
        assert words in str(error)
    (tmp_path / "go").touch()
    (second,) = set(ray.get(refs, timeout=60))
    assert second != pid
    ray.kill(actor)


def test_row_25_names_of_actors(ray):
    @ray.remote
    class Named:
        def ready(self):
            return True

    first = Named.options(name="taken", namespace="here").remote()
    ray.get(first.ready.remote())
    with pytest.raises(ray.exceptions.ActorAlreadyExistsError) as caught:
        Named.options(name="taken", namespace="here").remote()
    assert isinstance(caught.value, ValueError)
    assert "taken" in str(caught.value)
    assert "here" in str(caught.value)
    with pytest.raises(ray.exceptions.ActorHandleNotFoundError) as caught:
        ray.get_actor("taken", namespace="elsewhere")
    assert isinstance(caught.value, ValueError)
    assert "'here'" in str(caught.value)  # the namespace that has it
    with pytest.raises(ValueError, match="nobody"):
        ray.get_actor("nobody")


def test_row_26_too_many_pending_calls(ray, tmp_path):
    @ray.remote(max_pending_calls=2)
    class Busy:
        def wait(self, path):
            while not os.path.exists(path):
                time.sleep(0.005)
            return path

    gate = tmp_path / "gate"
    actor = Busy.remote()
    ray.get(actor.wait.remote(tmp_path))
    refs = [actor.wait.remote(gate) for _ in range(2)]
    with pytest.raises(ray.exceptions.PendingCallsLimitExceeded) as caught:
        actor.wait.remote(gate)
    gate.touch()
    for words in ("Busy.wait", "max_pending_calls is 2", "2 pending calls"):
        assert words in str(caught.value)
    assert ray.get(refs) == [gate, gate]
    assert ray.get(actor.wait.remote(gate)) == gate


def test_row_26_a_call_that_is_repeated_is_not_counted_twice(ray):
    @ray.remote(max_pending_calls=1, max_task_retries=3)
    class Fails:
        def __init__(self):
            self.tries = 0

        @ray.method(retry_exceptions=True)
        def sometimes(self):
            self.tries += 1
            if self.tries < 3:
                raise ValueError("not yet")
            return self.tries

    assert ray.get(Fails.remote().sometimes.remote()) == 3


def told(caught):
    """The warnings of a class that was defined anew; a busy machine, or the garbage collector, may have others given."""
    return [warning for warning in caught if "defined anew" in str(warning.message)]


def test_row_63_a_class_that_is_defined_anew(ray):
    def define(text):
        class Counter:
            def say(self):
                return text

            def other(self):
                return 0

        return ray.remote(Counter)

    def define_anew():
        class Counter:
            def say(self):
                return "new code"

            def other(self):
                return 1

        Counter.__qualname__ = first._class.__qualname__
        return ray.remote(Counter)

    first = define("old")
    actor = first.remote()
    assert ray.get(actor.say.remote()) == "old"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        define("old")  # the same code, as when a cell runs again unchanged
        assert ray.get(actor.say.remote()) == "old"
    assert not told(caught)
    second = define_anew()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert ray.get([actor.say.remote(), actor.other.remote(), actor.say.remote()]) == ["old", 0, "old"]
    (warning,) = told(caught)
    assert warning.category is RuntimeWarning
    assert warning.filename == __file__
    for words in ("Counter", "defined anew", "Make a new actor"):
        assert words in str(warning.message)
    assert ray.get(second.remote().say.remote()) == "new code"


def test_an_undefined_concurrency_group(ray):
    with pytest.raises(ValueError, match=r"'disk'.*'net'"):

        @ray.remote(concurrency_groups={"net": 1})
        class Wrong:
            @ray.method(concurrency_group="disk")
            def f(self):
                return 1

    @ray.remote(concurrency_groups={"net": 1})
    class Right:
        def f(self):
            return 1

    actor = Right.remote()
    with pytest.raises(ValueError, match=r"'disk'.*'net'"):
        actor.f.options(concurrency_group="disk")
    assert ray.get(actor.f.options(concurrency_group="net").remote()) == 1


@pytest.mark.parametrize("groups", [{"io": 0}, {"io": -1}, {"io": "two"}, {"": 1}, {3: 1}, [("io", 2)]], ids=repr)
def test_wrong_concurrency_groups(ray, groups):
    with pytest.raises((ValueError, TypeError), match="concurrency_groups"):

        @ray.remote(concurrency_groups=groups)
        class Actor:
            pass
