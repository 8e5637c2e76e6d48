"""Mistakes of the first hours with Ray's API: the message says what was meant."""

import functools
import pickle
import re
import subprocess
import sys

import pytest

import nbray


@nbray.remote
def double(x):
    return 2 * x


@nbray.remote(num_cpus=0)
class Counter:
    def __init__(self, n=0):
        self.n = n

    def value(self):
        return self.n


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        (lambda: nbray.get(double), "It is not called yet: .remote(...) returns a ref."),
        (lambda: nbray.get(double.options(num_cpus=1)), "It is not called yet"),
        (lambda: nbray.get(Counter), "It is not called yet"),
        (lambda: nbray.get(double.remote), ".remote is not called yet: write .remote(...)."),
        (lambda: nbray.get(Counter.remote()), "An actor has no value, its methods do"),
        (lambda: nbray.get(Counter.remote().value), "It is not called yet"),
        (lambda: nbray.get({"a": double.remote(1)}), "dict(zip(refs, get(list(refs.values()))))"),
        (lambda: nbray.get({double.remote(1)}), "get(list(refs))"),
        (lambda: nbray.get((double.remote(1), double.remote(2))), "get(list(refs))"),
        (lambda: nbray.get(double.remote(i) for i in range(2)), "get(list(refs))"),
        (lambda: double(1), "try 'double.remote()', which runs it as a task; double._function() runs it here"),
        (lambda: double.options(num_cpus=1)(1), "try 'double.options(...).remote()'"),
        (lambda: double.options(max_restarts=1), "It is an option of actors. Did you mean 'max_retries'?"),
        (lambda: Counter.options(max_retries=1), "It is an option of tasks. Did you mean 'max_task_retries'?"),
        (lambda: Counter.options(num_returns=2), "It is an option of tasks and methods."),
        (lambda: Counter.remote().options(name="n"), "Counter.options(...).remote()"),
        (lambda: Counter.remote().remote(), "handle.method.remote(...)"),
        (lambda: Counter.remote().n, "Its methods: value. What the instance holds, a method has to return."),
        (lambda: nbray.remote(3), "Got 3."),
        (lambda: nbray.remote(functools.partial(max, 1)), "a function that calls it can be decorated"),
        (lambda: nbray.kill("counter"), "kill(get_actor('counter'))"),
        (lambda: nbray.util.ActorPool([Counter]), "Counter.remote()"),
        (lambda: double.options(memory="1GB"), "give the bytes as a number"),
        (lambda: nbray.get_actor("nobody"), "actor with name 'nobody'. There is none in namespace"),
    ],
)
def test_the_message_says_what_was_meant(ray, mistake, words):
    with pytest.raises(Exception, match=re.escape(words)) as caught:
        mistake()
    assert str(caught.value).count("num_gpus") < 2  # no misleading guess, and each option once


def test_what_is_not_called_yet_says_what_it_is(ray):
    assert repr(Counter.remote().value) == "ActorMethod(Counter.value)"


def test_options_that_stand_for_nothing_else_are_not_guessed(ray):
    with pytest.raises(ValueError, match=r"actors\. It is an option of tasks and methods\.$"):
        Counter.options(num_returns=2)


def test_what_is_private_is_not_offered(ray):
    with pytest.raises(TypeError) as caught:
        nbray.remote(3)
    assert "'_" not in str(caught.value)


@pytest.mark.parametrize(
    ("mistake", "shown", "also"),
    [
        ("ray.get(3)", ValueError, TypeError),
        ("ray.remote(3)", TypeError, AssertionError),
        ("ray.remote(num_cpus='two')(len)", TypeError, ValueError),
        ("ray.method(frob=1)(len)", ValueError, AssertionError),
        ("ray.init(local_mode=True)", RuntimeError, ValueError),
    ],
)
def test_wrong_input_is_shown_as_a_class_of_python(ray, run_script, mistake, shown, also):
    """A traceback named classes that nobody knows: nbray.api.objects._TypeAndValueError."""
    with pytest.raises(shown) as caught:
        exec(mistake, {"ray": ray})
    assert isinstance(caught.value, also)
    again = pickle.loads(pickle.dumps(caught.value))
    assert type(again) is type(caught.value) and again.args == caught.value.args
    last = [line for line in run_script(mistake, check=False).stderr.splitlines() if "Error" in line][-1]
    assert last.startswith(f"{shown.__name__}: ")


HINT = "An ObjectRef is not the value itself: nbray.get(ref) returns that."


@pytest.mark.parametrize(
    "use", ["ref + 1", "ref[0]", "ref.shape", "a, b = ref", "len(ref)", "f'{ref:.2f}'", "range(ref)", "open(ref)"]
)
def test_a_driver_that_takes_a_ref_for_its_value(run_script, use):
    done = run_script(f"ref = ray.put(1)\n{use}\n", check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(HINT)


def test_a_task_that_takes_a_ref_for_its_value(ray):
    @ray.remote
    def total(values):
        return sum(values)

    with pytest.raises(TypeError, match=re.escape(HINT)) as caught:
        ray.get(total.remote([ray.put(1)]))
    assert str(caught.value).count(HINT) == 1


@pytest.mark.parametrize("other", ["ray.put(ray.put(1))", "ray.wait(ray.put(1))", "ray.get([1])"])
def test_words_of_nbray_itself_need_no_hint(run_script, other):
    assert HINT not in run_script(other, check=False).stderr


def test_a_failing_test_shows_its_own_lines(tmp_path):
    """pytest showed 60 lines of nbray between the test and the error of its task."""
    program = tmp_path / "test_of_a_user.py"
    program.write_text(
        "import nbray\n\n@nbray.remote\ndef divide(x):\n    return 1 / x\n\n"
        "def test_it():\n    nbray.get(divide.remote(0))\n\ndef test_many():\n    nbray.get([divide.remote(0)])\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(program)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=150, cwd=tmp_path)
    assert done.stdout.count("ZeroDivisionError: division by zero") >= 2, done.stdout + done.stderr
    assert "waiting.py" not in done.stdout and "objects.py" not in done.stdout
