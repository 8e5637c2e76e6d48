"""What the error of a task is: its classes, its arguments, what it takes over from the cause."""

import pickle
import threading

import numpy as np
import pytest


class Fault(Exception):
    def __init__(self, code, place):
        self.code, self.place = code, place
        super().__init__(code, place)


class Wordy(Exception):
    """Cannot be rebuilt from its arguments."""

    def __init__(self, first, second):
        super().__init__(f"{first} and {second}")


class Locked(Exception):
    """Cannot be pickled."""

    def __init__(self):
        super().__init__("locked in")
        self.lock = threading.Lock()


class WithOwnCause(Exception):
    cause = "of its own"
    pid = "not of a process"


@pytest.fixture
def failing(ray):
    @ray.remote(max_retries=0)
    def fail(make):
        raise make()

    def caught(make):
        with pytest.raises(BaseException) as info:
            ray.get(fail.remote(make))
        return info.value

    return caught


@pytest.mark.parametrize(
    "make",
    [
        lambda: ValueError("text", 3), lambda: KeyError("key"), lambda: Fault(7, "here"), lambda: MemoryError("no room"),
        lambda: StopIteration(4), lambda: AssertionError(),
    ],
)  # fmt: skip
def test_the_arguments_are_the_cause(failing, make):
    error = failing(make)
    original = make()
    assert isinstance(error, type(original))
    assert [type(error.args[0]), error.args[0].args] == [type(original), original.args] and len(error.args) == 1
    assert error.cause is error.args[0]


def test_attributes_are_those_of_the_cause(ray, failing):
    error = failing(lambda: Fault(7, "here"))
    assert isinstance(error, ray.exceptions.RayTaskError) and (error.code, error.place) == (7, "here")
    with pytest.raises(AttributeError):
        error.nothing_of_the_kind


def test_attributes_of_the_users_class_win(ray, failing):
    error = failing(lambda: WithOwnCause("x"))
    assert isinstance(error.cause, WithOwnCause) and error.pid == "not of a process"


@pytest.mark.parametrize("name", ["RayActorError", "GetTimeoutError", "TaskCancelledError"])
def test_an_error_of_the_library_raised_by_a_task(ray, failing, name):
    error = failing(getattr(ray.exceptions, name))
    assert isinstance(error, ray.exceptions.RayTaskError) and isinstance(error, getattr(ray.exceptions, name))


def test_one_that_cannot_be_rebuilt(ray, failing):
    error = failing(lambda: Wordy(1, 2))
    assert isinstance(error, ray.exceptions.UnserializableException)
    assert "1 and 2" in str(error)


@pytest.mark.parametrize("size", [1_000, 100_000, 10_000_000])
def test_one_that_carries_an_array(failing, size):
    error = failing(lambda: Fault(np.ones(size, np.uint8), "here"))
    assert isinstance(error, Fault)
    assert error.cause.code.sum() == size and error.place == "here"


def test_one_that_carries_refs(ray):
    """The values live as long as somebody has the error, or a ref of it."""

    @ray.remote(max_retries=0)
    def fail():
        error = Fault(ray.put(np.ones(100_000)), "here")
        error.small = ray.put(3)
        raise error

    @ray.remote
    def hand_on(value):
        return value

    @ray.remote
    def submit():
        return [fail.remote()]

    @ray.remote
    def caught():
        with pytest.raises(Fault) as info:
            ray.get(fail.remote())
        return info.value

    @ray.remote
    class Keeper:
        def keep(self, refs):
            self.refs = refs

        def look(self):
            with pytest.raises(Fault) as info:
                ray.get(self.refs[0])
            return ray.get(info.value.cause.code).sum()

    def check(ref):
        with pytest.raises(Fault) as info:
            ray.get(ref)
        cause = info.value.cause
        del info
        assert ray.get(cause.code).sum() == 100_000 and ray.get(cause.small) == 3

    check(fail.remote())
    check(hand_on.remote(fail.remote()))
    check(ray.get(submit.remote())[0])
    check(caught.remote())
    keeper = Keeper.remote()
    early = fail.remote()
    ray.get(keeper.keep.remote([early]))
    del early
    assert ray.get(keeper.look.remote()) == 100_000
    late = fail.remote()
    ray.wait([late])
    ray.get(keeper.keep.remote([late]))
    del late
    assert ray.get(keeper.look.remote()) == 100_000


def test_an_attempt_that_carried_a_ref_is_followed_by_one_that_succeeds(ray, ledger):
    @ray.remote(max_retries=1, retry_exceptions=[Fault])
    def second_time():
        ledger.add()
        if len(ledger.marks()) == 1:
            raise Fault(ray.put(np.zeros(100_000)), "here")
        return np.ones(100_000)

    assert ray.get(second_time.remote()).sum() == 100_000


def test_one_that_cannot_be_pickled(ray, failing):
    error = failing(Locked)
    assert isinstance(error, ray.exceptions.RayTaskError) and isinstance(error.cause, ray.exceptions.RayError)
    assert "isn't serializable" in str(error.cause) + str(error) and "locked in" in str(error)


def test_interrupted_by_itself(ray, failing):
    error = failing(KeyboardInterrupt)
    assert isinstance(error, ray.exceptions.TaskCancelledError) and isinstance(error, ray.exceptions.RayTaskError)


def test_sys_exit(ray, failing):
    assert isinstance(failing(lambda: SystemExit(3)), ray.exceptions.WorkerCrashedError)


def test_the_text_of_one_that_a_program_makes(ray):
    error = ray.exceptions.RayTaskError("f", "what was said", ValueError("v"))
    assert str(error) == "what was said" and error.args[:2] == ("f", "what was said")
    assert error.args[2] is error.cause
    dual = error.as_instanceof_cause()
    assert isinstance(dual, ValueError) and str(dual) == "what was said"
    assert type(pickle.loads(pickle.dumps(error))) is ray.exceptions.RayTaskError


def test_no_frames_of_the_library(ray):
    @ray.remote(max_retries=0)
    def inner():
        raise ValueError("deep")

    @ray.remote(max_retries=0)
    def outer():
        ray.get(inner.remote())

    with pytest.raises(ValueError) as info:
        ray.get(outer.remote())
    assert "in outer" in str(info.value) and "in inner" in str(info.value) and "waiting.py" not in str(info.value)


def test_a_generator_keeps_what_it_yielded(ray):
    @ray.remote(num_returns=3, max_retries=0)
    def parts(n):
        yield from range(n)
        raise LookupError("no more")

    first, second, third = parts.remote(2)
    assert ray.get([first, second]) == [0, 1]
    with pytest.raises(LookupError):
        ray.get(third)
    for ref in parts.remote(0):
        with pytest.raises(LookupError):
            ray.get(ref)


def test_too_few_and_too_many_values(ray):
    @ray.remote(num_returns=3)
    def yields():
        yield 1

    @ray.remote(num_returns=3)
    def returns(n):
        return list(range(n))

    first, *others = yields.remote()
    assert ray.get(first) == 1
    for ref in others:
        with pytest.raises(ValueError, match="Task returned 1 objects, but num_returns=3"):
            ray.get(ref)
    for n in (2, 4):
        for ref in returns.remote(n):
            with pytest.raises(ValueError, match=f"Task returned {n} objects, but num_returns=3"):
                ray.get(ref)


def test_the_decorator_with_nothing_in_its_parentheses(ray):
    with pytest.raises(AssertionError):
        ray.remote()
    with pytest.raises(AssertionError):
        ray.remote(1)


def test_wait_takes_a_whole_float(ray):
    refs = [ray.put(i) for i in range(4)]
    ready, rest = ray.wait(refs, num_returns=len(refs) / 2)
    assert (len(ready), len(rest)) == (2, 2)
