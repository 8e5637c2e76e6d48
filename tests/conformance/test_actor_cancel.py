"""``cancel`` of calls of actors: queued, running, and what they submitted."""

import asyncio
import time

import pytest


@pytest.fixture(scope="module")
def Plain(ray):
    @ray.remote
    class Plain:
        def until_cancelled(self, ledger):
            ledger.add("began")
            while not ray.get_runtime_context().is_canceled():
                time.sleep(0.005)
            ledger.add("saw")
            return "a value"

        def block(self, ledger, gate):
            ledger.add("blocked")
            gate.wait()
            return "done"

        def mark(self, ledger, mark):
            ledger.add(mark)
            return mark

        def submit(self, other, ledger):
            return ray.get(other.until_cancelled.remote(ledger))

    return Plain


@pytest.fixture(scope="module")
def Async(ray):
    @ray.remote
    class Async:
        async def sleep(self, ledger):
            ledger.add("began")
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                ledger.add("cancelled")
                raise

        async def swallow(self, ledger):
            ledger.add("began")
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                return "swallowed"

        async def await_other(self, other, ledger):
            return await other.sleep.remote(ledger)

        async def alive(self):
            return True

        def block(self, ledger, gate):
            ledger.add("blocked")
            gate.wait()
            return "done"

    return Async


@pytest.mark.parametrize("options", [{}, {"max_concurrency": 2}], ids=["plain", "threaded"])
def test_a_running_call_can_ask(ray, Plain, ledger, options):
    actor = Plain.options(**options).remote()
    ref = actor.until_cancelled.remote(ledger)
    ledger.wait_for(1)
    ray.cancel(ref)
    with pytest.raises(ray.exceptions.TaskCancelledError):
        ray.get(ref)
    assert ledger.wait_for(2) == ["began", "saw"]
    assert ray.get(actor.mark.remote(ledger, "after")) == "after"


def test_the_next_call_is_not_cancelled(ray, Plain, ledger):
    @ray.remote
    class Actor:
        def first(self):
            ledger.add()
            while not ray.get_runtime_context().is_canceled():
                time.sleep(0.005)

        def second(self):
            return ray.get_runtime_context().is_canceled()

    actor = Actor.remote()
    ref = actor.first.remote()
    ledger.wait_for(1)
    ray.cancel(ref)
    with pytest.raises(ray.exceptions.TaskCancelledError):
        ray.get(ref)
    assert ray.get(actor.second.remote()) is False


def test_a_queued_call_of_a_threaded_actor(ray, Plain, gate, ledger):
    actor = Plain.options(max_concurrency=2).remote()
    blocked = [actor.block.remote(ledger, gate) for _ in range(2)]
    ledger.wait_for(2)
    queued = actor.mark.remote(ledger, "queued")
    last = actor.mark.remote(ledger, "last")
    ray.cancel(queued)
    gate.open()
    with pytest.raises(ray.exceptions.TaskCancelledError):
        ray.get(queued)
    assert ray.get(blocked) == ["done", "done"]
    assert ray.get(last) == "last"
    assert "queued" not in ledger.marks()


def test_a_running_coroutine(ray, Async, ledger):
    actor = Async.remote()
    ref = actor.sleep.remote(ledger)
    ledger.wait_for(1)
    ray.cancel(ref)
    with pytest.raises(ray.exceptions.TaskCancelledError):
        ray.get(ref)
    assert ledger.wait_for(2) == ["began", "cancelled"]
    assert ray.get(actor.alive.remote())


def test_a_coroutine_that_does_not_mind(ray, Async, ledger):
    actor = Async.remote()
    ref = actor.swallow.remote(ledger)
    ledger.wait_for(1)
    ray.cancel(ref)
    with pytest.raises(ray.exceptions.TaskCancelledError):
        ray.get(ref)
    assert ray.get(actor.alive.remote())


def test_one_coroutine_of_many(ray, Async, ledger):
    actor = Async.remote()
    refs = [actor.sleep.remote(ledger) for _ in range(10)]
    ledger.wait_for(10)
    ray.cancel(refs[3])
    with pytest.raises(ray.exceptions.TaskCancelledError):
        ray.get(refs[3])
    assert ray.wait(refs[:3] + refs[4:], timeout=0.1) == ([], refs[:3] + refs[4:])
    assert ledger.wait_for(11).count("cancelled") == 1


def test_a_queued_coroutine_never_begins(ray, Async, gate, ledger):
    actor = Async.remote()
    blocked = actor.block.remote(ledger, gate)
    ledger.wait_for(1)
    ref = actor.sleep.remote(ledger)
    ray.cancel(ref)
    gate.open()
    with pytest.raises(ray.exceptions.TaskCancelledError):
        ray.get(ref)
    assert ray.get(blocked) == "done"
    assert ray.get(actor.alive.remote())
    assert "began" not in ledger.marks() or "cancelled" in ledger.marks()


def test_a_coroutine_that_raises_cancelled_error_itself(ray):
    @ray.remote
    class Actor:
        async def give_up(self):
            raise asyncio.CancelledError

    with pytest.raises(ray.exceptions.TaskCancelledError):
        ray.get(Actor.remote().give_up.remote())


def test_children_of_a_coroutine(ray, Async, ledger):
    outer, inner = Async.remote(), Async.remote()
    ref = outer.await_other.remote(inner, ledger)
    ledger.wait_for(1)
    ray.cancel(ref)
    with pytest.raises(ray.exceptions.TaskCancelledError):
        ray.get(ref)
    assert ledger.wait_for(2) == ["began", "cancelled"]


def test_children_go_on_when_not_recursive(ray, Async, ledger):
    outer, inner = Async.remote(), Async.remote()
    ref = outer.await_other.remote(inner, ledger)
    ledger.wait_for(1)
    ray.cancel(ref, recursive=False)
    with pytest.raises(ray.exceptions.TaskCancelledError):
        ray.get(ref)
    assert ray.get(inner.alive.remote())
    assert ledger.marks() == ["began"]


def test_children_of_a_method(ray, Plain, ledger):
    outer, inner = Plain.remote(), Plain.remote()
    ref = outer.submit.remote(inner, ledger)
    ledger.wait_for(1)
    ray.cancel(ref)
    with pytest.raises(ray.exceptions.TaskCancelledError):
        ray.get(ref)
    assert ledger.wait_for(2) == ["began", "saw"]


@pytest.mark.parametrize("kind", ["plain", "async"])
def test_force_is_refused(ray, Plain, Async, ledger, gate, kind):
    actor = (Plain if kind == "plain" else Async).remote()
    ref = actor.block.remote(ledger, gate)
    ledger.wait_for(1)
    with pytest.raises(ValueError, match="force"):
        ray.cancel(ref, force=True)
    gate.open()
    assert ray.get(ref) == "done"


def test_a_call_that_is_done(ray, Async):
    actor = Async.remote()
    ref = actor.alive.remote()
    assert ray.get(ref)
    ray.cancel(ref)
    assert ray.get(ref)


def test_an_error_raised_after_the_cancel(ray, ledger):
    @ray.remote
    class Actor:
        def f(self):
            ledger.add()
            while not ray.get_runtime_context().is_canceled():
                time.sleep(0.005)
            raise KeyError("cleaning up failed")

    ref = Actor.remote().f.remote()
    ledger.wait_for(1)
    ray.cancel(ref)
    with pytest.raises((KeyError, ray.exceptions.TaskCancelledError)):
        ray.get(ref)


def test_what_a_cancelled_call_submits_to_clean_up_is_not_cancelled(ray, ledger):
    """A cancel ends the children that the call has; it was meant for those, too, that it began when it was told."""

    @ray.remote(num_cpus=0)
    def tidy(i):
        time.sleep(0.2)  # long enough for a cancel that comes late
        ledger.add(f"tidied-{i}")

    @ray.remote(num_cpus=0)
    class Actor:
        async def wait(self, i):
            try:
                ledger.add(f"began-{i}")
                await asyncio.sleep(120)
            except asyncio.CancelledError:
                await tidy.remote(i)
                raise

    actor = Actor.remote()
    for i in range(5):
        ref = actor.wait.remote(i)
        ledger.wait_for(2 * i + 1)
        ray.cancel(ref)
        with pytest.raises(ray.exceptions.TaskCancelledError):
            ray.get(ref, timeout=60)
    assert ledger.marks() == [f"{word}-{i}" for i in range(5) for word in ("began", "tidied")]
