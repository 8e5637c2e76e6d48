"""Errors of the library that a program does not raise but hands on: returned, yielded, put, passed as an argument.

Whoever gets such a value gets the error; inside a container it is a value as any other, and so are all other exceptions.
"""

import asyncio

import pytest


@pytest.fixture(params=["library", "task", "own"])
def error(ray, request):
    """Make one, of the library's, of a task's or of a class of the program's; what ``get`` raises is a ValueError for the second."""
    exceptions = ray.exceptions

    class Own(exceptions.RayError):
        pass

    return {
        "library": lambda: exceptions.RaySystemError("it said so"),
        "task": lambda: exceptions.RayTaskError("f", "it said so", ValueError("v")),
        "own": lambda: Own("it said so"),
    }[request.param]


@pytest.fixture
def expect(ray, error):
    cls = ValueError if type(error()) is ray.exceptions.RayTaskError else ray.exceptions.RayError

    def raises(ref):
        with pytest.raises(cls, match="it said so") as caught:
            ray.get(ref)
        assert isinstance(caught.value, type(error())) or type(caught.value).__name__ == "Own"

    return raises


def test_returned_by_a_task(ray, error, expect):
    @ray.remote
    def one():
        return error()

    @ray.remote(num_returns=2)
    def two():
        return error(), "fine"

    ref = one.remote()
    assert ray.wait([ref]) == ([ref], [])
    expect(ref)
    expect([one.remote(), ray.put(1)])
    first, second = two.remote()
    assert ray.get(second) == "fine"
    expect(first)


def test_returned_by_an_actor(ray, error, expect):
    @ray.remote
    class Plain:
        def one(self):
            return error()

    @ray.remote
    class OnLoop:
        async def one(self):
            return error()

    expect(Plain.remote().one.remote())
    expect(OnLoop.remote().one.remote())


def test_put(ray, error, expect):
    ref = ray.put(error())
    expect(ref)

    @ray.remote
    def fetch(refs):
        return ray.get(refs[0])

    with pytest.raises(ray.exceptions.RayTaskError, match="it said so"):
        ray.get(fetch.remote([ref]))


@pytest.mark.parametrize("num_returns", ["streaming", "dynamic"])
def test_yielded(ray, error, expect, num_returns):
    @ray.remote(num_returns=num_returns)
    def items():
        yield 1
        yield error()
        yield 3

    refs = items.remote() if num_returns == "streaming" else ray.get(items.remote())
    first, second, third = refs
    assert ray.get([first, third]) == [1, 3]
    expect(second)


def test_as_an_argument(ray, error, ledger):
    """Whether a ref brings it or it comes as it is: the function does not run."""

    @ray.remote
    def returned():
        return error()

    @ray.remote
    def reads(x, y=None):
        ledger.add()

    for ref in (
        reads.remote(error()),
        reads.remote(1, y=error()),
        reads.remote(ray.put(error())),
        reads.remote(returned.remote()),
    ):
        with pytest.raises(ray.exceptions.RayTaskError, match="it said so"):
            ray.get(ref)
    assert ledger.marks() == []


def test_as_an_argument_of_a_constructor(ray, error):
    @ray.remote
    class Holder:
        def __init__(self, x):
            self.x = x

        def ready(self):
            return True

    for x in (error(), ray.put(error())):
        with pytest.raises(ray.exceptions.ActorDiedError, match="it said so"):
            ray.get(Holder.remote(x).ready.remote())


def test_awaited_and_as_a_future(ray, error, expect):
    @ray.remote
    def one():
        return error()

    async def wait_for(ref):
        return await ref

    with pytest.raises(ray.exceptions.RayError, match="it said so"):
        asyncio.run(wait_for(one.remote()))
    with pytest.raises(ray.exceptions.RayError, match="it said so"):
        one.remote().future().result()


def test_inside_a_container_it_is_a_value(ray, error):
    @ray.remote
    def inside():
        return [error()]

    @ray.remote
    def read(errors):
        return str(errors[0])

    assert isinstance(ray.get(inside.remote())[0], ray.exceptions.RayError)
    assert isinstance(ray.get(ray.put({"e": error()}))["e"], ray.exceptions.RayError)
    assert "it said so" in ray.get(read.remote([error()]))


def test_a_task_that_returns_one_has_not_failed(ray, error, expect, ledger):
    """So it does not run again."""

    @ray.remote(max_retries=3, retry_exceptions=True)
    def returns():
        ledger.add()
        return error()

    expect(returns.remote())
    assert len(ledger.marks()) == 1


@pytest.mark.parametrize("num_returns", [1, 2])
def test_one_that_is_large_and_has_a_ref(ray, num_returns):
    @ray.remote(num_returns=num_returns)
    def returns():
        error = ray.exceptions.RayError("long" * 100_000)
        error.ref = ray.put("kept")
        return error if num_returns == 1 else (error, 2)

    refs = returns.remote()
    with pytest.raises(ray.exceptions.RayError) as caught:
        ray.get(refs if num_returns == 1 else refs[0])
    assert len(str(caught.value)) == 400_000
    assert ray.get(caught.value.ref) == "kept"
