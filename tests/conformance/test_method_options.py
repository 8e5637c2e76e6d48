"""``@method`` and ``handle.method.options``: returns, retries, names."""

import os

import pytest


@pytest.fixture(scope="module")
def Tries(ray):
    @ray.remote(num_cpus=0, max_restarts=3, max_task_retries=2)
    class Tries:
        def __init__(self, ledger):
            self.ledger = ledger

        @ray.method(num_returns=3)
        def three(self):
            return 1, 2, 3

        def fail_until(self, count, error=ValueError):
            self.ledger.add("try")
            if len(self.ledger.marks()) < count:
                raise error("not yet")
            return len(self.ledger.marks())

        @ray.method(retry_exceptions=True)
        def stubborn(self, count):
            return self.fail_until(count)

        @ray.method(retry_exceptions=[KeyError])
        def picky(self, count, error):
            return self.fail_until(count, error)

        @ray.method(max_task_retries=0)
        def die_once(self):
            self.ledger.add("die")
            if len(self.ledger.marks()) < 2:
                os._exit(1)
            return "alive"

        def die_twice(self):
            self.ledger.add("die")
            if len(self.ledger.marks()) < 3:
                os._exit(1)
            return "alive"

        def name(self):
            return ray.get_runtime_context().get_task_name()

    return Tries


def test_number_of_returns(ray, Tries, ledger):
    actor = Tries.remote(ledger)
    refs = actor.three.remote()
    assert len(refs) == 3
    assert ray.get(refs) == [1, 2, 3]
    assert ray.get(actor.three.options(num_returns=1).remote()) == (1, 2, 3)


def test_exceptions_are_not_retried_by_default(ray, Tries, ledger):
    with pytest.raises(ValueError, match="not yet"):
        ray.get(Tries.remote(ledger).fail_until.remote(2))
    assert ledger.marks() == ["try"]


def test_a_method_that_retries_exceptions(ray, Tries, ledger):
    assert ray.get(Tries.remote(ledger).stubborn.remote(3)) == 3


def test_no_more_retries_than_allowed(ray, Tries, ledger):
    with pytest.raises(ValueError, match="not yet"):
        ray.get(Tries.remote(ledger).stubborn.remote(10))
    assert len(ledger.marks()) == 3


def test_only_some_exceptions(ray, Tries, ledger):
    actor = Tries.remote(ledger)
    with pytest.raises(ValueError, match="not yet"):
        ray.get(actor.picky.remote(2, ValueError))
    assert len(ledger.marks()) == 1
    assert ray.get(actor.picky.remote(3, KeyError)) == 3


def test_options_of_one_call(ray, Tries, ledger):
    actor = Tries.remote(ledger)
    assert ray.get(actor.fail_until.options(retry_exceptions=True).remote(2)) == 2
    with pytest.raises(ValueError, match="not yet"):
        ray.get(actor.stubborn.options(retry_exceptions=False).remote(9))
    assert len(ledger.marks()) == 3


def test_retries_after_a_death(ray, Tries, ledger):
    assert ray.get(Tries.remote(ledger).die_twice.remote()) == "alive"
    assert len(ledger.marks()) == 3


def test_a_method_without_retries(ray, Tries, ledger):
    actor = Tries.remote(ledger)
    with pytest.raises(ray.exceptions.RayActorError):
        ray.get(actor.die_once.remote())
    assert len(ledger.marks()) == 1


def test_more_retries_for_one_call(ray, Tries, ledger):
    assert ray.get(Tries.remote(ledger).die_once.options(max_task_retries=1).remote()) == "alive"


@pytest.mark.parametrize(
    "wrong", [{"num_cpus": 1}, {"max_retries": 1}, {"unknown": 1}, {"num_returns": -1}], ids=lambda o: next(iter(o))
)
def test_options_that_methods_do_not_have(ray, wrong):
    with pytest.raises((ValueError, AssertionError, TypeError)):

        @ray.remote
        class Actor:
            @ray.method(**wrong)
            def f(self):
                return 1


def test_an_unknown_option_of_a_method_is_an_assertion_error(ray):
    with pytest.raises(AssertionError, match="unknown"):
        ray.method(unknown=1)


@pytest.mark.parametrize("decorate", [lambda ray: ray.method, lambda ray: ray.method()], ids=["bare", "empty"])
def test_a_method_decorated_without_options(ray, decorate):
    @ray.remote
    class Actor:
        @decorate(ray)
        def f(self):
            return 1

    assert ray.get(Actor.remote().f.remote()) == 1


def test_static_and_class_methods(ray):
    @ray.remote
    class Actor:
        base = 1

        @staticmethod
        def fixed(x):
            return x

        @classmethod
        def of_class(cls, x):
            return cls.base + x

    actor = Actor.remote()
    assert ray.get([actor.fixed.remote(2), actor.of_class.remote(2)]) == [2, 3]


@pytest.mark.parametrize("kind", ["plain", "threaded", "async"])
def test_names_of_calls(ray, kind):
    class Actor:
        def names(self):
            context = ray.get_runtime_context()
            return context.get_task_name(), context.get_task_function_name().rpartition(".")[2]

        async def names_async(self):
            return self.names()

    if kind != "async":
        del Actor.names_async
    actor = ray.remote(Actor).options(max_concurrency=2 if kind == "threaded" else None).remote()
    for called in ("names", "names_async") if kind == "async" else ("names",):
        method = getattr(actor, called)
        assert ray.get(method.remote()) == (f"Actor.{called}", called)
        assert ray.get(method.options(name="given").remote()) == ("given", called)
        assert ray.get(method.remote()) == (f"Actor.{called}", called)


def test_an_option_that_there_is_not(ray, Tries, ledger):
    actor = Tries.remote(ledger)
    with pytest.raises(TypeError):
        actor.three.options(num_returned=1).remote()
    with pytest.raises(TypeError):
        actor.three._remote((), {}, num_cpus=1)


def test_how_many_values_a_method_has(ray, Tries, ledger):
    """Packages look at it (sunray)."""

    @ray.remote(num_cpus=0)
    class Streams:
        def items(self):
            yield 1

    actor = Tries.remote(ledger)
    assert (actor.three._num_returns, actor.name._num_returns) == (3, 1)
    assert Streams.remote().items._num_returns == "streaming"
