"""Errors as values: what they say of tasks that did not run because of them."""

import pickle

import nbray
from nbray.serialization import error_value


def of_dependents(error, names):
    for name in names:
        error = error.of_dependent(name)
    return error_value.ErrorValue(error.blob)  # as it arrives elsewhere


def test_dependents_are_named_outermost_first():
    failed = error_value.ErrorValue(error_value.from_exception("f", KeyError("origin")))
    passed_on = of_dependents(of_dependents(failed, ["a", "b"]), ["c"])
    error = passed_on.exception()
    assert error.dependents == ("c", "b", "a") and error.function_name == "f"
    assert isinstance(error, KeyError)
    again = pickle.loads(pickle.dumps(error))
    assert again.dependents == error.dependents and str(again) == str(error)
    assert error_value.source(passed_on.blob).startswith("c() did not run")
    assert error_value.facts(passed_on.blob)["traceback"].startswith("c() did not run")
    assert failed.exception().dependents == ()


def test_of_many_dependents_the_first_and_the_last_are_named():
    failed = error_value.ErrorValue(error_value.from_exception("f", KeyError("origin")))
    names = [f"task{index}" for index in range(1000)]
    error = of_dependents(of_dependents(failed, names[:500]), names[500:]).exception()
    named = error.dependents
    assert len(named) == error_value.MAX_DEPENDENTS
    assert named[0] == "task999" and named[-1] == "task0" and named.count("...") == 1


def test_an_error_of_the_runtime_becomes_the_cause():
    failed = error_value.from_system_error(nbray.exceptions.WorkerCrashedError("it died", 7))
    error = of_dependents(failed, ["a", "b"]).exception()
    assert isinstance(error, nbray.exceptions.RayTaskError) and isinstance(error, nbray.exceptions.WorkerCrashedError)
    assert error.dependents == ("b", "a") and error.cause.pid == 7
    assert str(error).endswith("WorkerCrashedError: it died")


def test_the_dependents_error_is_the_one_to_be_read():
    unread = []
    failed = error_value.ErrorValue(error_value.from_exception("f", KeyError("origin")))
    failed.unread = (unread, "f")
    dependent = failed.of_dependent("a")
    del failed
    assert unread == []
    dependent.unread = (unread, "a")
    del dependent
    assert [about for about, _ in unread] == ["a"]


def test_facts_of_an_actors_error_name_its_class_and_what_happened():
    failed = error_value.from_system_error(nbray.exceptions.ActorDiedError(cause="it was killed"))
    facts = error_value.facts(failed.blob)
    assert facts["type"] == "ActorDiedError" and "it was killed" in facts["message"]
    cancelled = error_value.from_system_error(nbray.exceptions.ForciblyCancelledError("t1", "stopped"))
    assert error_value.facts(cancelled.blob)["type"] == "TaskCancelledError"
