"""Errors of tasks: their classes, causes, ways through dependencies, and retries."""

import builtins
import os
import pickle
import sys
import threading
import traceback

import pytest

from .kit import Gate


class CustomError(Exception):
    """With a constructor that takes other arguments than it passes on."""

    def __init__(self, code, *, detail):
        super().__init__(f"code {code}: {detail}")
        self.code = code
        self.detail = detail


class PlainError(ValueError):
    pass


class Unpicklable(Exception):
    def __init__(self, message):
        super().__init__(message)
        self.lock = threading.Lock()


class FailsToUnpickle(Exception):
    def __reduce__(self):
        return (_refuse, ())


def _refuse():
    raise RuntimeError("cannot be unpickled")


@pytest.fixture
def raising(ray):
    def make(error, **options):
        def f(*_):
            raise error

        return ray.remote(**{"max_retries": 0, **options})(f)

    return make


@pytest.mark.parametrize(
    "kind",
    [
        ValueError,
        KeyError,
        TypeError,
        ZeroDivisionError,
        RuntimeError,
        AssertionError,
        OSError,
        StopIteration,
        NotImplementedError,
    ],
)
def test_an_error_is_of_its_own_class_and_of_rays(ray, raising, kind):
    with pytest.raises(kind) as caught:
        ray.get(raising(kind("what happened")).remote())
    assert isinstance(caught.value, ray.exceptions.RayTaskError)
    assert isinstance(caught.value, ray.exceptions.RayError)
    assert isinstance(caught.value, Exception)
    assert type(caught.value.cause) is kind
    assert caught.value.cause.args == ("what happened",)


def test_the_message_has_the_remote_traceback(ray):
    @ray.remote(max_retries=0)
    def the_function():
        return 1 / 0  # a line of the function

    with pytest.raises(ZeroDivisionError) as caught:
        ray.get(the_function.remote())
    text = str(caught.value)
    assert "the_function" in text
    assert "return 1 / 0  # a line of the function" in text
    assert "ZeroDivisionError: division by zero" in text


def test_a_subclass_is_caught_by_its_bases(ray, raising):
    with pytest.raises(ValueError, match="plain"):
        ray.get(raising(PlainError("plain")).remote())
    with pytest.raises(LookupError):
        ray.get(raising(KeyError("k")).remote())


def test_a_class_of_this_module(ray, raising):
    with pytest.raises(PlainError) as caught:
        ray.get(raising(PlainError("mine")).remote())
    assert isinstance(caught.value.cause, PlainError)


def test_a_local_class(ray):
    class Local(Exception):
        pass

    @ray.remote(max_retries=0)
    def f():
        raise Local("local")

    with pytest.raises(Exception, match="local") as caught:
        ray.get(f.remote())
    assert isinstance(caught.value, ray.exceptions.RayTaskError)
    assert type(caught.value.cause).__name__ == "Local"


def test_attributes_of_the_cause(ray, raising):
    error = ValueError("text", 42)
    error.extra = "extra"
    with pytest.raises(ValueError) as caught:
        ray.get(raising(error).remote())
    assert caught.value.cause.args == ("text", 42)
    assert caught.value.cause.extra == "extra"


@pytest.mark.parametrize(
    "make",
    [lambda: CustomError(7, detail="d"), lambda: Unpicklable("locked"), lambda: FailsToUnpickle("reduce")],
    ids=["constructor", "lock", "reduce"],
)
def test_errors_that_do_not_pickle(ray, make):
    """Never a second error: the class, the text and the traceback arrive in words."""

    @ray.remote(max_retries=0)
    def f():
        raise make()

    name = type(make()).__name__
    with pytest.raises(ray.exceptions.RayError) as caught:
        ray.get(f.remote())
    assert name in str(caught.value)

    @ray.remote
    def fine():
        return 1

    assert ray.get(fine.remote()) == 1


def test_a_chained_error(ray):
    @ray.remote(max_retries=0)
    def f():
        try:
            {}["missing"]
        except KeyError as error:
            raise ValueError("while looking") from error

    with pytest.raises(ValueError) as caught:
        ray.get(f.remote())
    text = str(caught.value)
    assert "KeyError" in text
    assert "while looking" in text


def test_an_error_goes_through_dependents(ray, raising, ledger):
    @ray.remote
    def dependent(x):
        ledger.add()
        return x

    first = raising(KeyError("origin")).remote()
    ref = first
    for _ in range(3):
        ref = dependent.remote(ref)
    with pytest.raises(KeyError, match="origin"):
        ray.get(ref)
    with pytest.raises(ray.exceptions.RayTaskError):
        ray.get(ref)
    assert ledger.marks() == []


def test_an_error_among_several_arguments(ray, raising):
    @ray.remote
    def add(*values):
        return sum(values)

    with pytest.raises(KeyError):
        ray.get(add.remote(1, ray.put(2), raising(KeyError()).remote(), 3))


def test_an_error_of_a_keyword_argument(ray, raising):
    @ray.remote
    def f(x=None):
        return x

    with pytest.raises(KeyError):
        ray.get(f.remote(x=raising(KeyError()).remote()))


def test_the_error_names_the_tasks_that_did_not_run(ray, raising):
    @ray.remote
    def first(x):
        return x

    @ray.remote
    class Last:
        def method(self, x):
            return x

    failing = raising(KeyError("origin")).options(name="raiser").remote()
    with pytest.raises(KeyError) as caught:
        ray.get(Last.remote().method.remote(first.options(name="between").remote(first.remote(failing))))
    names = ("Last.method()", "between()", "first()", "raiser()", "KeyError")
    places = [str(caught.value).find(name) for name in names]
    assert places == sorted(places) and places[0] >= 0


@pytest.mark.parametrize("how", ["death", "actor", "cancelled", "cancelled while it ran"])
def test_an_argument_that_the_runtime_failed(ray, how, gate, tmp_path):
    """Its class stays, and it is the error of a task, too."""

    @ray.remote(max_retries=0)
    def die():
        os._exit(1)

    @ray.remote
    class Actor:
        def die(self):
            os._exit(1)

    runs = Gate(tmp_path / "runs")

    @ray.remote
    def wait(before=None):
        runs.open()
        gate.wait()

    @ray.remote
    def dependent(x):
        return x

    errors = ray.exceptions
    if how == "death":
        ref, expected = die.remote(), errors.WorkerCrashedError
    elif how == "actor":
        ref, expected = Actor.remote().die.remote(), errors.ActorDiedError
    else:
        first = wait.remote()
        runs.wait()
        ref, expected = (first if "ran" in how else wait.remote(first)), errors.TaskCancelledError
    last = dependent.options(name="second").remote(dependent.remote(ref))
    if "cancelled" in how:
        ray.cancel(ref)
    with pytest.raises(expected) as caught:
        ray.get(last)
    assert isinstance(caught.value, errors.RayTaskError) and type(caught.value.cause) is expected
    assert 0 <= str(caught.value).find("second()") < str(caught.value).find("dependent()")


@pytest.mark.parametrize("how", ["raises", "cancelled"])
def test_an_argument_that_failed_with_what_its_task_got(ray, how, gate, raising, tmp_path):
    runs = Gate(tmp_path / "runs")

    @ray.remote
    def wait():
        runs.open()
        gate.wait()

    @ray.remote
    def get(refs):
        return ray.get(refs[0])

    @ray.remote
    def dependent(x):
        return x

    inner = raising(KeyError("origin")).remote() if how == "raises" else wait.remote()
    last = dependent.options(name="second").remote(dependent.remote(get.remote([inner])))
    if how == "cancelled":
        runs.wait()
        ray.cancel(inner)
    with pytest.raises(KeyError if how == "raises" else ray.exceptions.TaskCancelledError) as caught:
        ray.get(last)
    assert 0 <= str(caught.value).find("second()") < str(caught.value).find("dependent()")


def test_an_error_inside_a_container_is_not_raised(ray, raising):
    @ray.remote
    def f(refs):
        try:
            ray.get(refs[0])
        except KeyError:
            return "handled"

    assert ray.get(f.remote([raising(KeyError()).remote()])) == "handled"


def test_each_return_of_a_failing_task_fails(ray, raising):
    refs = raising(ValueError("all"), num_returns=3).remote()
    for ref in refs:
        with pytest.raises(ValueError, match="all"):
            ray.get(ref)


def test_a_returned_exception_is_a_value(ray):
    @ray.remote
    def f():
        return ValueError("a value")

    result = ray.get(f.remote())
    assert type(result) is ValueError
    assert result.args == ("a value",)
    assert type(ray.get(ray.put(KeyError("k")))) is KeyError


def test_an_unpicklable_result(ray):
    @ray.remote(max_retries=0)
    def f():
        return threading.Lock()

    with pytest.raises(TypeError) as caught:
        ray.get(f.remote())
    assert isinstance(caught.value, ray.exceptions.RayTaskError)


@pytest.mark.parametrize("argument", [threading.Lock(), (i for i in range(3))], ids=["lock", "generator"])
def test_an_unpicklable_argument(ray, argument):
    @ray.remote
    def f(x):
        return 1

    with pytest.raises(TypeError):
        f.remote(argument)
    with pytest.raises(TypeError):
        f.remote(x=[{"deep": argument}])
    assert ray.get(f.remote(0)) == 1


def test_an_unpicklable_closure(ray):
    lock = threading.Lock()

    @ray.remote
    def f():
        return lock

    with pytest.raises(TypeError):
        f.remote()


def test_sys_exit_in_a_task_is_an_error(ray):
    @ray.remote(max_retries=0)
    def f():
        import sys

        sys.exit(1)

    with pytest.raises(ray.exceptions.RayError):
        ray.get(f.remote())


@pytest.mark.parametrize(
    "options", [{}, {"max_retries": 1}, {"max_retries": 1, "retry_exceptions": [KeyError]}], ids=str
)
def test_a_task_that_exits_is_tried_again(ray, ledger, options):
    @ray.remote
    def exits():
        ledger.add()
        sys.exit(0)

    with pytest.raises(ray.exceptions.WorkerCrashedError):
        ray.get(exits.options(**options).remote())
    assert len(ledger.marks()) == 1 + options.get("max_retries", 3)


def test_recursion_without_end(ray):
    @ray.remote(max_retries=0)
    def f():
        def deeper():
            return deeper()

        return deeper()

    with pytest.raises(RecursionError):
        ray.get(f.remote())


def test_the_error_can_be_printed_and_formatted(ray, raising):
    with pytest.raises(ValueError) as caught:
        ray.get(raising(ValueError("printed")).remote())
    assert "printed" in str(caught.value)
    assert "ValueError" in repr(caught.value)
    assert "printed" in "".join(traceback.format_exception(caught.value))


def test_the_error_can_be_raised_again(ray, raising):
    with pytest.raises(ValueError):
        try:
            ray.get(raising(ValueError("once more")).remote())
        except ray.exceptions.RayTaskError as error:
            raise error.as_instanceof_cause() from None


def test_an_error_raised_again_by_another_task(ray, raising):
    @ray.remote(max_retries=0)
    def outer():
        ray.get(raising(KeyError("inner")).remote())

    with pytest.raises(KeyError) as caught:
        ray.get(outer.remote())
    assert "inner" in str(caught.value)


@pytest.mark.skipif(not hasattr(builtins, "ExceptionGroup"), reason="Python 3.10 has no exception groups")
def test_an_exception_group(ray, raising):
    group = builtins.ExceptionGroup
    with pytest.raises(group) as caught:
        ray.get(raising(group("several", [ValueError("a"), KeyError("b")])).remote())
    assert "several" in str(caught.value)


def test_base_exceptions_do_not_kill_the_driver(ray):
    @ray.remote(max_retries=0)
    def f():
        raise KeyboardInterrupt

    with pytest.raises(Exception):
        ray.get(f.remote())


def test_a_class_is_raised_without_arguments(ray):
    @ray.remote(max_retries=0)
    def f():
        raise NotImplementedError

    with pytest.raises(NotImplementedError):
        ray.get(f.remote())


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_retries_on_exceptions(ray, ledger, retries):
    @ray.remote(max_retries=retries, retry_exceptions=True)
    def f():
        ledger.add()
        raise ValueError("always")

    with pytest.raises(ValueError):
        ray.get(f.remote())
    assert len(ledger.marks()) == retries + 1


def test_exceptions_are_not_retried_unless_asked(ray, ledger):
    @ray.remote(max_retries=5)
    def f():
        ledger.add()
        raise ValueError("once")

    with pytest.raises(ValueError):
        ray.get(f.remote())
    assert len(ledger.marks()) == 1


def test_a_retry_may_succeed(ray, ledger):
    @ray.remote(max_retries=5, retry_exceptions=True)
    def f():
        ledger.add()
        if len(ledger.marks()) < 3:
            raise ValueError("not yet")
        return len(ledger.marks())

    assert ray.get(f.remote()) == 3


@pytest.mark.parametrize(("raised", "times"), [(ValueError, 3), (PlainError, 3), (KeyError, 1)])
def test_only_the_named_exceptions_are_retried(ray, ledger, raised, times):
    @ray.remote(max_retries=2, retry_exceptions=[ValueError, OSError])
    def f():
        ledger.add()
        raise raised("named or not")

    with pytest.raises(raised):
        ray.get(f.remote())
    assert len(ledger.marks()) == times


def test_options_of_retries_at_the_call(ray, ledger):
    @ray.remote
    def f():
        ledger.add()
        raise ValueError

    with pytest.raises(ValueError):
        ray.get(f.options(max_retries=2, retry_exceptions=[ValueError]).remote())
    assert len(ledger.marks()) == 3


def test_hierarchy(ray):
    e = ray.exceptions
    assert issubclass(e.RayError, Exception)
    assert issubclass(e.RayTaskError, e.RayError)
    assert issubclass(e.GetTimeoutError, (e.RayError, TimeoutError))
    assert issubclass(e.GetTimeoutError, TimeoutError)
    assert issubclass(e.ActorDiedError, e.RayActorError)
    assert issubclass(e.ActorUnavailableError, e.RayActorError)
    assert issubclass(e.RayActorError, e.RayError)
    assert issubclass(e.ObjectLostError, e.RayError)
    assert issubclass(e.OwnerDiedError, e.ObjectLostError)
    assert issubclass(e.ObjectFreedError, e.ObjectLostError)
    for name in (
        "WorkerCrashedError",
        "TaskCancelledError",
        "ObjectStoreFullError",
        "OutOfMemoryError",
        "RaySystemError",
        "PendingCallsLimitExceeded",
        "TaskUnschedulableError",
        "ActorUnschedulableError",
        "RuntimeEnvSetupError",
    ):
        assert issubclass(getattr(e, name), e.RayError), name


def test_errors_of_the_library_pickle(ray):
    for error in (ray.exceptions.GetTimeoutError("t"), ray.exceptions.WorkerCrashedError()):
        assert type(pickle.loads(pickle.dumps(error))) is type(error)


def test_errors_that_a_program_makes_itself(library):
    """The order of what goes by position, and what becomes of it."""
    errors = library.exceptions
    made = errors.RayActorError("ab" * 16, "it is gone", True, True)
    assert (made.actor_id, made.error_msg, str(made)) == ("ab" * 16, "it is gone", "it is gone")
    assert (made.actor_init_failed, made.preempted) == (True, True)
    assert str(errors.RayActorError()) == errors.RayActorError.BASE_ERROR_MSG
    assert str(errors.ActorDiedError()) == errors.ActorDiedError.BASE_ERROR_MSG
    raised = errors.RayTaskError("f", "the traceback", ValueError("no"))
    died = errors.ActorDiedError.from_task_error(raised)
    assert died.actor_init_failed and "creation task" in str(died) and "the traceback" in str(died)
    away = errors.ActorUnavailableError("it restarts", b"\x01" * 16)
    assert away.actor_id == "01" * 16 and "it restarts" in str(away)
    names = [
        "ObjectLostError",
        "ObjectFreedError",
        "OwnerDiedError",
        "ObjectFetchTimedOutError",
        "ReferenceCountingAssertionError",
    ]
    for name in names:
        lost = getattr(errors, name)("cd" * 28, b"", "here.py:3")
        assert (lost.object_ref_hex, lost.owner_address, lost.call_site) == ("cd" * 28, b"", "here.py:3")
        assert "cd" * 28 in str(lost) and "here.py:3" in str(lost)
    lost = errors.ObjectReconstructionFailedError("cd" * 28, None, "no tries left")
    assert lost.reason_message == "no tries left" and "no tries left" in str(lost)
    system = errors.RaySystemError("what", "where")
    assert (system.client_exc, system.traceback_str) == ("what", "where")
    assert "what" in str(system) and "where" in str(system)
    assert (errors.RpcError("not sent", 14).rpc_code, str(errors.RpcError("not sent", 14))) == (14, "not sent")
    for name in [
        "RuntimeEnvSetupError",
        "TaskUnschedulableError",
        "ActorUnschedulableError",
        "ActorAlreadyExistsError",
    ]:
        assert getattr(errors, name)("why").error_message == "why"
    assert "has been removed" in str(errors.TaskPlacementGroupRemoved())
    assert "failed to set up" in str(errors.RuntimeEnvSetupError()).lower()
    for error in (made, away, lost, system):
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is type(error) and str(again) == str(error)
