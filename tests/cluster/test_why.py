"""why(ref): one sentence on what a ref waits for."""

import asyncio
import os
import re
import signal

import cluster_kit as kit
import pytest

CLUSTER = {"num_cpus": 2, "num_gpus": 1, "object_store_memory": 64 * 2**20}


@pytest.fixture
def hold(ray, gate, ledger):
    @ray.remote
    def hold(*_, mark=None):
        ledger.add(mark or "x")
        while not gate.is_open():
            kit.time.sleep(0.005)
        return os.getpid()

    yield hold
    gate.open()


def said(ray, ref, pattern, again=True):
    """Wait until why() says so; nothing to wait for would be better, but the daemon learns of things a moment later."""
    kit.eventually(lambda: re.search(pattern, ray.why(ref)), lambda: f"{pattern!r} in {ray.why(ref)!r}")
    if not again:
        return ""
    text = ray.why(ref)
    assert type(text) is str
    assert text.endswith(".")
    assert "\n" not in text
    return text


def test_what_is_ready(ray):
    @ray.remote(max_retries=0)
    def fails():
        raise KeyError("no")

    assert "is ready" in ray.why(ray.put(1))
    ref = fails.remote()
    ray.wait([ref])
    assert "KeyError" in ray.why(ref)


def test_what_is_no_ref(ray):
    with pytest.raises(TypeError, match="ObjectRef"):
        ray.why(3)


def test_a_running_task_and_what_waits_for_it(ray, hold, ledger, gate):
    first = hold.remote()
    ledger.await_lines(1)
    second = hold.remote(first)
    third = hold.remote(second, 1)
    assert re.fullmatch(r"hold runs on worker pid \d+ since \d+\.\d s\.", said(ray, first, "runs on"))
    assert "hold waits for an argument: hold runs on worker pid" in ray.why(second)
    assert ray.why(third).count("waits for an argument") == 2
    gate.open()
    ray.get(third)
    assert "ready" in ray.why(second)


def test_a_task_without_resources(ray, hold, ledger):
    @ray.remote(num_gpus=1)
    class Model:
        def ready(self):
            return True

    model = Model.remote()
    ray.get(model.ready.remote())
    text = said(ray, hold.options(num_gpus=1).remote(), "waits for resources")
    assert "GPU: 1" in text
    assert "0 of 1 GPU free" in text
    assert re.search(r"actor Model 1 \(pid \d+, made in test_why\.py:\d+\) with \{GPU: 1\}", text)
    ray.kill(model)


def test_an_actor_without_resources(ray, hold, ledger):
    @ray.remote
    class Actor:
        def ready(self):
            return True

    running = [hold.remote() for _ in range(2)]
    ledger.await_lines(2)
    actor = Actor.options(num_cpus=2).remote()
    text = said(ray, actor.ready.remote(), "being created: it waits for resources")
    assert "CPU: 2" in text
    del running


def test_calls_of_an_actor(ray, hold, ledger, gate):
    @ray.remote(num_cpus=0)
    class Actor:
        def wait(self):
            ledger.add("in wait")
            while not gate.is_open():
                kit.time.sleep(0.005)

        def quick(self, *_):
            return True

    actor, other = Actor.remote(), Actor.remote()
    running, behind = actor.wait.remote(), [actor.quick.remote() for _ in range(2)]
    ledger.await_lines(1)
    assert "Actor.wait runs on worker pid" in said(ray, running, "runs on")
    assert "behind 2 others; Actor.wait runs there since" in said(ray, behind[1], "queued")
    late = other.quick.remote(hold.remote())
    after = other.quick.remote()
    assert "Actor.quick waits for an argument: hold" in ray.why(late)
    assert "behind Actor.quick, whose arguments are not there yet" in said(ray, after, "behind")
    gate.open()
    ray.get([running, *behind, late, after])


def test_an_actor_that_restarts(ray, gate):
    @ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)  # without retries calls do not wait for it
    class Actor:
        def __init__(self):
            if ray.get_runtime_context().was_current_actor_reconstructed:
                while not gate.is_open():
                    kit.time.sleep(0.005)

        def pid(self):
            return os.getpid()

    actor = Actor.remote()
    os.kill(ray.get(actor.pid.remote()), signal.SIGKILL)
    kit.eventually(lambda: "restarting" in ray.why(actor.pid.remote()), "the restart")
    assert "SIGKILL" in ray.why(actor.pid.remote())
    gate.open()
    kit.eventually(lambda: ray.get(actor.pid.remote()), "the actor is back")


def test_a_task_of_another_process(ray, hold):
    @ray.remote(num_cpus=0)
    class Owner:
        def submit(self):
            self.ref = hold.remote()
            return [self.ref]

    owner = Owner.remote()
    (ref,) = ray.get(owner.submit.remote())
    assert "another process (worker pid=" in ray.why(ref)


def test_no_worker_may_be_started(fresh):
    fresh.init(num_cpus=1, object_store_memory=32 * 2**20, _system_config={"extra_workers": 2})

    @fresh.remote(num_cpus=0)
    class Never:
        async def come(self):
            await asyncio.Event().wait()

    @fresh.remote
    def waits(box):
        fresh.get(box[0])

    never = Never.remote().come.remote()
    refs = [waits.remote([never]) for _ in range(4)]
    # Each of the three may have come to its wait, or not yet, whenever one asks: all words have to be in one answer.
    said(
        fresh,
        refs[-1],
        r"(?s)waits waits for a worker, and none may be started: 3 are there.*'extra_workers': 4",
        again=False,
    )


def test_no_process_may_be_started(fresh, gate, ledger):
    fresh.init(num_cpus=4, object_store_memory=32 * 2**20, _system_config={"max_processes": 3})

    @fresh.remote(num_cpus=0)
    class Actor:
        def ready(self):
            return True

    @fresh.remote
    def hold():
        ledger.add("x")
        while not gate.is_open():
            kit.time.sleep(0.005)

    actor = Actor.remote()
    fresh.get(actor.ready.remote())
    running = [hold.remote() for _ in range(3)]
    ledger.await_lines(2)
    full = r"none may be started: the node has all 3 that it may have, 1 of them as actors.*'max_processes': 6"
    said(fresh, running[-1], f"hold waits for a worker, and {full}")
    second = Actor.remote()
    call = second.ready.remote()
    said(fresh, call, f"being created: it waits for a worker, and {full}")
    fresh.kill(actor)
    assert fresh.get(call)  # what the sentence advises helps
    gate.open()
    fresh.get(running)
