"""Actors that die with calls in flight: restarts, retries, order, names."""

import contextlib
import os
import random
import signal
import threading
import time

import cluster_kit as kit
import pytest

# Whoever kills at random may hit workers that start, several in a row: that is no node on which none starts.
CLUSTER = {"num_cpus": 4, "object_store_memory": 64 * 2**20, "_system_config": {"start_failures": 30}}


def await_death(pid):
    kit.eventually(lambda: not kit.start_time(pid), f"process {pid} is dead")


def test_a_worker_that_dies_before_it_makes_its_actor_is_not_missed(ray):
    """That was no life of the actor: it is made by another worker, without restarts, and once."""
    idle = ray.get(ray.remote(os.getpid).remote())
    kit.eventually(lambda: ray.available_resources().get("CPU") == 4, "the worker is idle")
    os.kill(idle, signal.SIGSTOP)  # it does not read that it is to be an actor

    @ray.remote(num_cpus=0, max_restarts=0)
    class Actor:
        def pid(self):
            return os.getpid()

    actor = Actor.options(name="unmissed").remote()  # returns when the daemon has placed it
    os.kill(idle, signal.SIGKILL)
    with kit.no_hang():
        assert ray.get(actor.pid.remote()) != idle
    (row,) = [row for row in ray.util.state.list_actors(detail=True) if row.name == "unmissed"]
    assert int(row.num_restarts) == 0


def test_a_worker_that_dies_while_it_makes_its_actor_counts(ray, ledger, gate):
    @ray.remote(num_cpus=0, max_restarts=1)
    class Actor:
        def __init__(self):
            ledger.add("made")
            while not gate.is_open():
                time.sleep(0.002)
            os._exit(3)

    actor = Actor.remote()
    ready = actor.__ray_ready__.remote()
    gate.open()  # now: a call that is made while an actor restarts fails at once
    with kit.no_hang(), pytest.raises(ray.exceptions.ActorDiedError):
        ray.get(ready)
    assert ledger.lines() == ["made"] * 2


def test_what_an_actor_said_before_it_ended_is_heard_before_its_death(ray):
    """Otherwise one that left with exit_actor() would be restarted."""

    @ray.remote(num_cpus=0, max_restarts=-1)
    class Actor:
        def pid(self):
            return os.getpid()

        def leave(self):
            ray.actor.exit_actor()

    actors = [Actor.remote() for _ in range(4)]
    pids = ray.get([actor.pid.remote() for actor in actors])
    daemon = kit.daemon_pid()
    os.kill(daemon, signal.SIGSTOP)  # when it goes on there is all to read at once: the messages, and the deaths
    try:
        last = [actor.leave.remote() for actor in actors]
        for pid in pids:
            await_death(pid)
    finally:
        os.kill(daemon, signal.SIGCONT)
    with kit.no_hang():
        for actor, ref in zip(actors, last, strict=True):
            with pytest.raises(ray.exceptions.ActorDiedError, match="exit_actor"):
                ray.get(ref)
            with pytest.raises(ray.exceptions.ActorDiedError):
                ray.get(actor.pid.remote())


@pytest.mark.parametrize("way", ["SIGKILL", "kill()", "exit", "SIGSEGV"])
def test_calls_in_flight_without_restarts(ray, ledger, gate, way):
    """The running call may have been executed in part, those behind it were not."""

    @ray.remote
    class Actor:
        def pid(self):
            return os.getpid()

        def block(self):
            ledger.add("in block")
            while not gate.is_open():
                time.sleep(0.005)
            os._exit(5)

        def quick(self, i):
            ledger.add(f"quick {i}")
            return i

    actor = Actor.remote()
    pid = ray.get(actor.pid.remote())
    running = actor.block.remote()
    behind = [actor.quick.remote(i) for i in range(20)]
    ledger.await_lines(1)
    if way == "kill()":
        ray.kill(actor)
    elif way == "exit":
        gate.open()
    else:
        os.kill(pid, getattr(signal, way))
    with kit.no_hang():
        with pytest.raises(ray.exceptions.ActorDiedError) as caught:
            ray.get(running)
        assert caught.value.maybe_executed
        for ref in behind:
            with pytest.raises(ray.exceptions.ActorDiedError) as caught:
                ray.get(ref)
            assert not caught.value.maybe_executed
        with pytest.raises(ray.exceptions.ActorDiedError):
            ray.get(actor.quick.remote(99))
    assert ledger.lines() == ["in block"]
    await_death(pid)


def test_restarts_are_counted(ray):
    @ray.remote(max_restarts=2)
    class Actor:
        def pid(self):
            return os.getpid()

    actor = Actor.remote()
    pids = []
    with kit.no_hang():
        for _ in range(3):
            pids.append(call_until_alive(ray, actor.pid))
            os.kill(pids[-1], signal.SIGKILL)
            await_death(pids[-1])
        with pytest.raises(ray.exceptions.ActorDiedError) as caught:
            call_until_alive(ray, actor.pid)
    assert len(set(pids)) == 3
    assert "SIGKILL" in str(caught.value)


def test_calls_in_a_loop_hear_that_the_actor_is_back(ray):
    """They never wait, and so leave no other thread of the process the time to hear it for them."""

    @ray.remote
    def nothing():
        pass

    @ray.remote(max_restarts=1)
    class Actor:
        def pid(self):
            return os.getpid()

    actor = Actor.remote()
    pid = call_until_alive(ray, actor.pid)
    busy, over = threading.Event(), threading.Event()
    nothing.remote()._on_completed(lambda value: (busy.set(), over.wait()))  # the one thread that listens meanwhile
    try:
        assert busy.wait(30)
        with kit.no_hang():
            os.kill(pid, signal.SIGKILL)
            assert call_until_alive(ray, actor.pid) != pid
    finally:
        over.set()


def call_until_alive(ray, method):
    """Call until the actor answers; only ActorUnavailableError may come before."""
    while True:
        try:
            return ray.get(method.remote())
        except ray.exceptions.ActorUnavailableError:
            continue


def test_calls_in_flight_are_unavailable_without_task_retries(ray, ledger, gate):
    @ray.remote(max_restarts=1)
    class Actor:
        def pid(self):
            return os.getpid()

        def block(self):
            ledger.add("in block")
            while not gate.is_open():
                time.sleep(0.005)

        def quick(self, i):
            return i

    actor = Actor.remote()
    pid = ray.get(actor.pid.remote())
    running = actor.block.remote()
    ledger.await_lines(1)
    os.kill(pid, signal.SIGKILL)
    with kit.no_hang():
        with pytest.raises(ray.exceptions.ActorUnavailableError) as caught:
            ray.get(running)
        assert caught.value.maybe_executed
        assert call_until_alive(ray, actor.pid) != pid
        assert ray.get([actor.quick.remote(i) for i in range(10)]) == list(range(10))


def test_task_retries_keep_the_order(ray, ledger, gate):
    """With retries all calls arrive, in order of submission, also across restarts."""
    count = kit.scaled(300)
    deadly = (count // 10, count // 2)

    def runs_of(i):
        return [int(line.split()[0]) for line in ledger.lines() if line.split()[1] == str(i)]

    @ray.remote(max_restarts=-1, max_task_retries=-1)
    class Actor:
        def pid(self):
            return os.getpid()

        def step(self, i):
            ledger.add(f"{os.getpid()} {i}")
            if i in deadly and len(runs_of(i)) == 1:
                gate.wait()  # it dies here
            time.sleep(0.001)
            return i

    actor = Actor.remote()
    with kit.no_hang():
        ray.get(actor.pid.remote())
        refs = [actor.step.remote(i) for i in range(count)]
        for i in deadly:
            (pid,) = kit.eventually(lambda i=i: runs_of(i), f"call {i}")
            os.kill(pid, signal.SIGKILL)
        assert ray.get(refs) == list(range(count))
    runs = {}
    for line in ledger.lines():
        pid, i = line.split()
        runs.setdefault(pid, []).append(int(i))
    assert len(runs) == 3
    done = set()
    for numbers in runs.values():  # in each life without a gap and in order
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), numbers
        done |= set(numbers)
    assert done == set(range(count))
    doubled = sum(map(len, runs.values())) - count
    assert doubled <= 2 * 40, "only what was at the actor when it died runs again"


@pytest.mark.limit(60)
def test_actor_chaos(ray, ledger):
    """F16: actors killed at random, as fast as they get on; with retries every call arrives, in order per caller."""
    seed = random.randrange(2**32)
    print("seed", seed)
    dice = random.Random(seed)

    @ray.remote(max_restarts=-1, max_task_retries=-1)
    class Actor:
        def __init__(self):
            self.seen = []

        def pid(self):
            return os.getpid()

        def add(self, i):
            assert not self.seen or i == self.seen[-1] + 1, (self.seen[-3:], i)
            self.seen.append(i)
            ledger.add(i)
            time.sleep(0.001)
            return i

    actors = [Actor.remote() for _ in range(3)]
    count = kit.scaled(400)
    ray.get([actor.pid.remote() for actor in actors])
    refs = [[actor.add.remote(i) for i in range(count)] for actor in actors]
    stop = threading.Event()
    zygote = kit.zygote_pid()
    kills = []

    def kill():
        calls = -1
        while not stop.wait(0.15):
            if len(ledger.lines()) <= calls:
                continue
            calls = len(ledger.lines())
            victims = kit.children(zygote)
            if victims:
                victim = dice.choice(victims)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(victim, signal.SIGKILL)
                    kills.append(victim)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    try:
        with kit.no_hang():
            for of_one in refs:
                assert ray.get(of_one) == list(range(count))
    finally:
        stop.set()
        killer.join()
    print("killed", len(kills))


def test_no_call_runs_twice_without_task_retries(ray, ledger):
    """P11: an error may mean "executed or not", but never twice."""

    @ray.remote(max_restarts=-1)
    class Actor:
        def pid(self):
            return os.getpid()

        def step(self, i):
            ledger.add(i)
            return i

    actor = Actor.remote()
    outcomes = {}
    with kit.no_hang():
        for number in range(kit.scaled(5)):
            pid = call_until_alive(ray, actor.pid)
            refs = {i: actor.step.remote(i) for i in range(number * 200, number * 200 + 200)}
            ledger.await_lines(1)
            os.kill(pid, signal.SIGKILL)
            for i, ref in refs.items():
                try:
                    outcomes[i] = ray.get(ref)
                except ray.exceptions.ActorUnavailableError as error:
                    outcomes[i] = error.maybe_executed
            await_death(pid)
    lines = [int(line) for line in ledger.lines()]
    assert len(lines) == len(set(lines)), "no call ran twice"
    for i, outcome in outcomes.items():
        if outcome is False:
            assert i not in lines, "it was said not to have begun"
        elif outcome is not True:
            assert i in lines


def test_the_name_is_free_after_kill(ray):
    @ray.remote
    class Actor:
        def pid(self):
            return os.getpid()

    for _ in range(kit.scaled(5)):
        actor = Actor.options(name="the one").remote()
        pid = ray.get(actor.pid.remote())
        assert ray.get(ray.get_actor("the one").pid.remote()) == pid
        with pytest.raises(ray.exceptions.ActorAlreadyExistsError):
            Actor.options(name="the one").remote()
        ray.kill(actor)
        with kit.no_hang():
            kit.eventually(lambda: name_is_free(ray), "the name is free")
        await_death(pid)


def name_is_free(ray):
    try:
        ray.get_actor("the one")
    except ValueError:
        return True
    return False


def test_kill_with_restart(ray):
    @ray.remote(max_restarts=1, max_task_retries=1)
    class Actor:
        def pid(self):
            return os.getpid()

    actor = Actor.remote()
    with kit.no_hang():
        pid = ray.get(actor.pid.remote())
        ray.kill(actor, no_restart=False)
        await_death(pid)
        second = call_until_alive(ray, actor.pid)
        assert second != pid
        ray.kill(actor, no_restart=False)
        await_death(second)
        with pytest.raises(ray.exceptions.ActorDiedError):
            call_until_alive(ray, actor.pid)


@pytest.mark.parametrize("moment", ["placed", "in __init__", "queued"])
def test_killed_before_it_is_ready(ray, ledger, gate, moment):
    @ray.remote(num_cpus=3)
    class Slow:
        def __init__(self):
            ledger.add(os.getpid())
            gate.wait()

        def quick(self):
            return 1

    others = [Slow.remote()] if moment == "queued" else []
    if others:
        ledger.await_lines(1)
    actor = Slow.remote()
    ref = actor.quick.remote()
    if moment == "in __init__":
        ledger.await_lines(1)
    ray.kill(actor)
    with kit.no_hang():
        with pytest.raises(ray.exceptions.ActorDiedError):
            ray.get(ref)
    for other in others:
        ray.kill(other)


def test_a_constructor_that_dies_is_tried_again(ray, ledger):
    @ray.remote(max_restarts=2, max_task_retries=-1)
    class Fragile:
        def __init__(self):
            ledger.add(os.getpid())
            if len(ledger.lines()) <= 2:
                os._exit(1)

        def pid(self):
            return os.getpid()

    with kit.no_hang():
        actor = Fragile.remote()
        assert ray.get(actor.pid.remote()) == int(ledger.lines()[2])


def test_a_constructor_that_always_dies(ray, ledger, gate):
    @ray.remote(max_restarts=2)
    class Hopeless:
        def __init__(self):
            ledger.add(os.getpid())
            while not gate.is_open():
                time.sleep(0.005)
            os._exit(7)

        def quick(self):
            return 1

    with kit.no_hang():
        ref = Hopeless.remote().quick.remote()  # before it dies: later, between two lives, it would be refused
        gate.open()
        with pytest.raises(ray.exceptions.ActorDiedError) as caught:
            ray.get(ref)
    assert len(ledger.lines()) == 3
    assert "code 7" in str(caught.value)


def test_handles_in_other_processes_learn_of_the_death(ray, ledger, gate):
    @ray.remote
    class Actor:
        def block(self):
            ledger.add(f"pid {os.getpid()}")
            while not gate.is_open():
                time.sleep(0.005)

    @ray.remote(num_cpus=1)
    def caller(actor):
        ref = actor.block.remote()
        try:
            ray.get(ref)
        except ray.exceptions.ActorDiedError:
            return "told"

    actor = Actor.remote()
    refs = [caller.remote(actor) for _ in range(2)]
    (line,) = ledger.await_lines(1)
    kit.eventually(lambda: sum(row["blocked"] for row in kit.state().workers) == 2, "both callers wait")
    os.kill(int(line.split()[1]), signal.SIGKILL)
    with kit.no_hang():
        assert ray.get(refs) == ["told", "told"]


def test_a_caller_dies_and_the_actor_goes_on(ray, ledger, gate):
    @ray.remote
    class Actor:
        def quick(self):
            return 1

        def block(self):
            ledger.add("in block")
            while not gate.is_open():
                time.sleep(0.005)
            return "done"

    @ray.remote(max_retries=0)
    def caller(actor):
        refs = [actor.block.remote() for _ in range(3)]
        ledger.add(f"pid {os.getpid()}")
        ray.get(refs)

    actor = Actor.remote()
    ref = caller.remote(actor)
    lines = ledger.await_lines(2)
    os.kill(next(int(line.split()[1]) for line in lines if line.startswith("pid")), signal.SIGKILL)
    with kit.no_hang():
        with pytest.raises(ray.exceptions.WorkerCrashedError):
            ray.get(ref)
        gate.open()
        assert ray.get(actor.quick.remote()) == 1
    ray.kill(actor)  # its handle was passed on, so it would live as long as the job


def test_a_dead_actor_gives_its_resources_and_memory_back(ray):
    @ray.remote(num_cpus=2, max_restarts=1)
    class Actor:
        def __init__(self, array):
            self.kept = [ray.put(bytes(300_000)), array]

        def pid(self):
            return os.getpid()

    before = kit.used()
    for _ in range(3):
        actor = Actor.remote(bytes(500_000))
        with kit.no_hang():
            pid = ray.get(actor.pid.remote())
            os.kill(pid, signal.SIGKILL)
            await_death(pid)
            call_until_alive(ray, actor.pid)
            assert kit.state().available["CPU"] == 20000
            ray.kill(actor)
        del actor
        kit.settle(before)
