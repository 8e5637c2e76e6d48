"""Whole programs in a fresh interpreter: auto-init, `__main__`, modules, exit codes, what is printed at the end."""

import os
import subprocess
import sys

import pytest

from .kit import LIBRARY, process_is_alive, wait_until

# Starting a cluster takes the original seconds, so one program checks several things of a kind.


def test_auto_init_by_a_task(run_script):
    done = run_script(
        """
        @ray.remote
        def f():
            return "automatic"

        assert not ray.is_initialized()
        print(ray.get(f.remote()))
        assert ray.is_initialized()
        """
    )
    assert "automatic" in done.stdout.split()


@pytest.mark.parametrize("call", ["ray.put(1)", "A.remote()", "ray.get_runtime_context()"])
def test_auto_init_by_other_calls(run_script, call):
    run_script(
        f"""
        @ray.remote
        class A:
            pass

        assert not ray.is_initialized()
        {call}
        assert ray.is_initialized()
        """
    )


def test_importing_does_not_start_anything(run_script):
    run_script("assert not ray.is_initialized(); ray.shutdown()")


def test_a_program_ends_cleanly_without_shutdown(run_script):
    done = run_script(
        """
        import atexit

        ray.init(num_cpus=2)

        @ray.remote
        def f(x):
            return x

        @ray.remote
        class A:
            def f(self):
                return 1

        a = A.remote()
        kept = [f.remote(i) for i in range(100)]
        assert ray.get(a.f.remote()) == 1
        atexit.register(lambda: print("at exit"))
        print("last line")
        """
    )
    assert "last line" in done.stdout
    assert "at exit" in done.stdout
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_an_error_of_the_driver_is_its_own(run_script):
    done = run_script(
        """
        ray.init(num_cpus=1)

        @ray.remote
        def f():
            return 1

        ray.get(f.remote())
        raise SystemError("of the driver")
        """,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.count("Traceback (most recent call last)") == 1
    assert "SystemError: of the driver" in done.stderr


def test_the_exit_code_of_the_driver(run_script):
    assert run_script("import sys; ray.init(num_cpus=1); ray.put(1); sys.exit(7)", check=False).returncode == 7


def test_workers_end_with_their_driver(run_script):
    done = run_script(
        """
        import os
        ray.init(num_cpus=2)

        @ray.remote
        def pid():
            return os.getpid()

        @ray.remote
        class A:
            def pid(self):
                return os.getpid()

        a = A.remote()
        print("pids", *ray.get([pid.remote(), a.pid.remote()]))
        """
    )
    line = next(line for line in done.stdout.splitlines() if line.startswith("pids"))
    for pid in line.split()[1:]:
        wait_until(lambda pid=int(pid): not process_is_alive(pid), f"the end of worker {pid}")


def test_workers_end_with_a_driver_that_is_killed(run_script):
    done = run_script(
        """
        import os, signal, sys
        ray.init(num_cpus=2)

        @ray.remote
        def pid():
            return os.getpid()

        print("pids", ray.get(pid.remote()))
        sys.stdout.flush()
        os.kill(os.getpid(), signal.SIGKILL)
        """,
        check=False,
    )
    assert done.returncode == -9
    line = next(line for line in done.stdout.splitlines() if line.startswith("pids"))
    pid = int(line.split()[1])
    wait_until(lambda: not process_is_alive(pid), "the end of the worker")


def test_everything_defined_in_main(run_script):
    run_script(
        """
        import dataclasses, enum, collections
        ray.init(num_cpus=2)

        CONSTANT = 5
        table = {"a": 1}

        class Base:
            def hello(self):
                return "hello"

        class Derived(Base):
            def __init__(self, x):
                self.x = x

            def hello(self):
                return super().hello() + " derived"

            def __eq__(self, other):
                return type(self) is type(other) and self.x == other.x

        @dataclasses.dataclass
        class Data:
            a: int
            b: list

        class Kind(enum.Enum):
            ONE = 1

        Tuple = collections.namedtuple("Tuple", "x y")

        class MyError(Exception):
            def __init__(self, code):
                super().__init__(f"code {code}")
                self.code = code

        def helper(x):
            return x + CONSTANT

        def recursive(n):
            return 0 if n == 0 else 1 + recursive(n - 1)

        square = lambda x: x * x

        @ray.remote
        def echo(x):
            return x

        @ray.remote
        def use(x):
            return helper(x), recursive(5), square(3), table["a"]

        @ray.remote
        def fails():
            raise MyError(3)

        @ray.remote
        class Actor:
            def __init__(self):
                self.data = Data(1, [])

            def add(self, x):
                self.data.b.append(helper(x))
                return self.data

        for value in (Derived(1), Data(1, [2]), Kind.ONE, Tuple(1, 2), Derived, [Derived(2)]):
            result = ray.get(echo.remote(value))
            assert result == value, (result, value)
            assert type(result) is type(value)
            assert ray.get(ray.put(value)) == value
        assert ray.get(echo.remote(Derived(1))).hello() == "hello derived"
        assert ray.get(use.remote(1)) == (6, 5, 9, 1)
        actor = Actor.remote()
        ray.get(actor.add.remote(1))
        assert ray.get(actor.add.remote(2)) == Data(1, [6, 7])
        try:
            ray.get(fails.remote())
        except MyError as error:
            assert isinstance(error, ray.exceptions.RayTaskError)
        else:
            raise AssertionError("no error")
        """
    )


def test_globals_are_those_of_the_time_of_definition_or_first_call(run_script):
    """A task changes its own copy of a global; the driver's stays."""
    run_script(
        """
        ray.init(num_cpus=1)
        counter = 0

        @ray.remote
        def change():
            global counter
            counter += 1
            return counter

        assert ray.get(change.remote()) >= 1
        assert counter == 0
        """
    )


def test_redefinition_with_identical_source(run_script):
    run_script(
        """
        ray.init(num_cpus=2)
        source = '''
        @ray.remote
        def f():
            return value
        '''
        import textwrap
        results = []
        for value in (1, 2, 3):
            exec(textwrap.dedent(source), globals())
            results.append(ray.get(f.remote()))
        assert results == [1, 2, 3], results

        class_source = '''
        @ray.remote
        class A:
            def get(self):
                return value
        '''
        results = []
        for value in (1, 2):
            exec(textwrap.dedent(class_source), globals())
            results.append(ray.get(A.remote().get.remote()))
        assert results == [1, 2], results
        """
    )


def test_modules_beside_the_program(run_script, tmp_path):
    (tmp_path / "beside.py").write_text(
        "VALUE = 3\n\n\ndef triple(x):\n    return VALUE * x\n\n\nclass Thing:\n    x = 1\n"
    )
    folder = tmp_path / "package"
    folder.mkdir()
    (folder / "__init__.py").write_text("from .inner import inside\n")
    (folder / "inner.py").write_text("def inside():\n    return 'inside'\n")
    run_script(
        """
        import beside
        import package
        ray.init(num_cpus=1)

        @ray.remote
        def f(x):
            return beside.triple(x), package.inside()

        @ray.remote
        def late_import():
            import beside
            return beside.VALUE

        assert ray.get(f.remote(2)) == (6, "inside")
        assert ray.get(late_import.remote()) == 3
        assert ray.get(ray.remote(beside.triple).remote(5)) == 15
        assert ray.get(ray.put(beside.Thing())).x == 1
        """
    )


def test_working_directory_and_environment(run_script, tmp_path):
    run_script(
        f"""
        import os
        os.environ["SET_BEFORE_INIT"] = "seen"
        ray.init(num_cpus=1)

        @ray.remote
        def where():
            return os.getcwd(), os.environ.get("SET_BEFORE_INIT"), os.environ.get("SET_OUTSIDE")

        assert ray.get(where.remote()) == ({str(tmp_path)!r}, "seen", "outside"), ray.get(where.remote())
        """,
        env={"SET_OUTSIDE": "outside"},
    )


def test_prints_of_tasks_reach_the_driver(start_script):
    program = start_script(
        """
        import sys
        ray.init(num_cpus=1)

        @ray.remote
        def f():
            print("from the task")
            print("error from the task", file=sys.stderr)
            return 1

        @ray.remote
        class A:
            def f(self):
                print("from the actor")

        assert ray.get(f.remote()) == 1
        a = A.remote()
        ray.get(a.f.remote())
        sys.stdin.read()  # lines come on their own time; the driver stays until the test has seen them
        """
    )
    missing = {"from the task", "error from the task", "from the actor"}
    while missing:
        line = program.stdout.readline()
        assert line, f"the program ended without {missing}"
        missing = {words for words in missing if words not in line}


def test_prints_may_be_switched_off(run_script):
    done = run_script(
        """
        import time
        ray.init(num_cpus=1, log_to_driver=False)

        @ray.remote
        def f():
            print("from the task")

        ray.get(f.remote())
        time.sleep(1)
        """
    )
    assert "from the task" not in done.stdout + done.stderr


def test_a_program_with_argument_and_main_guard(run_script):
    run_script(
        """
        import sys

        @ray.remote
        def arguments():
            return __name__

        def main():
            ray.init(num_cpus=1)
            assert ray.get(arguments.remote()) == "__main__"

        if __name__ == "__main__":
            main()
        """
    )


def test_keyboard_interrupt_during_get(run_script):
    """The driver leaves `get`, and the cluster serves on."""
    run_script(
        """
        import os, signal, threading, time
        ray.init(num_cpus=2)

        @ray.remote
        def sleep(seconds):
            time.sleep(seconds)
            return "slept"

        ref = sleep.remote(1000)
        try:
            threading.Timer(0.5, os.kill, [os.getpid(), signal.SIGINT]).start()
            ray.get(ref)
        except KeyboardInterrupt:
            print("interrupted")
        else:
            raise AssertionError("not interrupted")
        assert ray.get(sleep.remote(0)) == "slept"
        """
    )


def test_timeline(run_script, tmp_path):
    run_script(
        """
        import json, time
        ray.init(num_cpus=1)

        @ray.remote
        def a_task_to_see(i):
            return i

        ray.get([a_task_to_see.remote(i) for i in range(3)])
        deadline = time.time() + 30
        while time.time() < deadline:
            events = ray.timeline()
            if any("a_task_to_see" in str(event) for event in events):
                break
            time.sleep(0.2)
        else:
            raise AssertionError("the task is not in the timeline")
        assert all("ph" in event and "pid" in event for event in events)
        ray.timeline("trace.json")
        assert json.load(open("trace.json"))
        """
    )


def test_the_library_is_what_it_says(run_script):
    done = run_script("print(ray.__name__)")
    assert done.stdout.split()[-1] == LIBRARY
    assert os.environ.get("NBRAY_CONFORMANCE", "nbray") == LIBRARY


def test_what_is_registered_for_the_exit_before_init_still_has_the_cluster(run_script):
    done = run_script(
        """
        import atexit

        @ray.remote
        def f():
            return 41

        atexit.register(lambda: print("at the exit:", ray.is_initialized(), ray.get(f.remote()) + 1))
        ray.init(num_cpus=1)
        """
    )
    assert "at the exit: True 42" in done.stdout


def test_no_cluster_starts_by_itself_when_that_is_forbidden(run_script):
    run_script(
        """
        @ray.remote
        def f():
            return 1

        for call in (lambda: ray.put(1), f.remote, lambda: ray.wait([])):
            try:
                call()
            except ray.exceptions.RaySystemError:
                assert not ray.is_initialized()
            else:
                raise AssertionError("it started")
        """,
        env={"RAY_ENABLE_AUTO_CONNECT": "0"},
    )


def test_retries_by_the_environment(run_script):
    run_script(
        """
        import os, tempfile

        ray.init(num_cpus=1)
        runs = os.path.join(tempfile.mkdtemp(), "runs")

        @ray.remote
        def f():
            with open(runs, "a") as file:
                file.write("x")
            os._exit(1)

        try:
            ray.get(f.remote())
        except ray.exceptions.WorkerCrashedError:
            assert len(open(runs).read()) == 2
        else:
            raise AssertionError("it returned")
        """,
        env={"RAY_TASK_MAX_RETRIES": "1"},
    )


def test_a_program_that_is_a_module_of_a_package(tmp_path):
    """Its folder is on nobody's path: a module there may have the name of one of the standard library."""
    package = tmp_path / "package"
    package.mkdir()
    for name in ("__init__", "colorsys"):
        (package / f"{name}.py").write_text("")
    (package / "program.py").write_text(
        f"""
import {LIBRARY} as ray

@ray.remote
def f():
    import colorsys
    import package
    return colorsys.rgb_to_hsv(0, 0, 0), package.__name__

ray.init(num_cpus=1)
assert ray.get(f.remote()) == ((0, 0, 0), "package")
"""
    )
    done = subprocess.run(
        [sys.executable, "-m", "package.program"], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
