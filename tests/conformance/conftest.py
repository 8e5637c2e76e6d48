"""One suite, two libraries: every test gets `ray`, which is nbray or the real Ray.

The environment variable NBRAY_CONFORMANCE names the library to import ("nbray" when unset, "ray" for the original).
A test that fails on the original is wrong; a test that fails on nbray alone is a difference that users will meet.
"""

import faulthandler
import importlib
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from .kit import LIBRARY, Gate, Ledger

TIME_LIMIT_S = int(os.environ.get("NBRAY_CONFORMANCE_LIMIT_S", 150))
# What a module gets unless it defines CLUSTER itself. The processors are counted, not real.
DEFAULT_CLUSTER = {"num_cpus": 4, "num_gpus": 2, "resources": {"widget": 2}, "object_store_memory": 200 * 2**20}

# The conftest above is not read here: programs that are interrupted must not inherit that a shell ignores it for what runs
# in the background.
signal.signal(signal.SIGINT, signal.default_int_handler)

if LIBRARY == "ray":
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # Ray tells its workers of the program's folder but not of what pytest added to sys.path.
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])


class TestTimeout(BaseException):
    """Raised in the test's main thread when it has run for TIME_LIMIT_S."""

    __test__ = False


@pytest.fixture(scope="session")
def library():
    """The library under test, not initialised."""
    return importlib.import_module(LIBRARY)


@pytest.fixture(scope="module")
def ray(library, request):
    """The library under test with a cluster that the tests of one module share."""
    options = getattr(request.module, "CLUSTER", DEFAULT_CLUSTER)
    library.init(**options)
    yield library
    library.shutdown()


@pytest.fixture
def fresh(library):
    """The library for tests that start and stop clusters themselves; none runs before and none after."""
    library.shutdown()
    yield library
    library.shutdown()


@pytest.fixture
def gate(tmp_path):
    """A closed gate that tasks can wait at; opened at the end so that nothing stays blocked."""
    gate = Gate(tmp_path / "gate")
    yield gate
    gate.open()


@pytest.fixture
def ledger(tmp_path):
    """An empty list of marks that processes append to and the test reads."""
    return Ledger(tmp_path / "ledger")


@pytest.fixture
def start_script(tmp_path):
    """Start a program in a fresh interpreter, with `ray` imported in it; returns the process, ended with the test."""
    started = []

    def start(text, env=None, **options):
        path = tmp_path / "program.py"
        path.write_text(f"import {LIBRARY} as ray\n" + textwrap.dedent(text))
        options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, **options}
        started.append(
            subprocess.Popen(
                [sys.executable, str(path)], text=True, cwd=tmp_path, env={**os.environ, **(env or {})}, **options
            )
        )
        return started[-1]

    yield start
    for process in started:
        with process:
            if process.stdin:
                process.stdin.close()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()


@pytest.fixture
def run_script(start_script):
    """Run such a program to its end; returns the completed process."""

    def run(text, check=True, env=None):
        env = {"PYTHONFAULTHANDLER": "1", **(env or {})}
        process = start_script(text, env, stdin=None, stderr=subprocess.PIPE)
        try:
            stdout, stderr = process.communicate(timeout=TIME_LIMIT_S)
        except BaseException:
            process.send_signal(signal.SIGABRT)  # it says where it stands
            print(*process.communicate(timeout=10), sep="\n")
            raise
        if check:
            assert process.returncode == 0, f"exit code {process.returncode}\n{stdout}\n{stderr}"
        return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)

    return run


@pytest.fixture(autouse=True)
def _time_limit(request):
    """End a test that hangs, and give the next one a new cluster."""
    expired = False

    def expire(signum, frame):
        nonlocal expired
        expired = True
        raise TestTimeout(f"no result after {TIME_LIMIT_S} s")

    previous = signal.signal(signal.SIGALRM, expire)
    faulthandler.dump_traceback_later(2 * TIME_LIMIT_S + 30, exit=True)
    signal.alarm(TIME_LIMIT_S)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, previous)
    faulthandler.cancel_dump_traceback_later()
    if expired and "ray" in request.fixturenames:
        library = request.getfixturevalue("library")
        library.shutdown()
        library.init(**getattr(request.module, "CLUSTER", DEFAULT_CLUSTER))
