"""Rows 4, 11, 41, 42, 64, 69, 72 and 74: odd exceptions, time-outs, sizes, captured values, output, odd machines."""

import os
import subprocess
import sys
import tempfile
import textwrap
import warnings

import pytest

from nbray.exceptions import SharedMemoryTooSmallError


class NeedsTwo(Exception):
    def __init__(self, text, code):
        super().__init__(text)
        self.code = code


class HoldsALock(Exception):
    def __init__(self, text):
        import threading

        super().__init__(text)
        self.lock = threading.Lock()


class CannotBeReduced(Exception):
    def __reduce__(self):
        raise RuntimeError("this is not to be pickled")


class HasNoText(Exception):
    def __str__(self):
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    "make", [lambda: NeedsTwo("first", 2), lambda: HoldsALock("held"), lambda: CannotBeReduced("r"), HasNoText]
)
def test_row_4_exceptions_that_cannot_travel(ray, make):
    @ray.remote
    def fail():
        raise make()

    with pytest.raises(ray.exceptions.RayTaskError) as caught:
        ray.get(fail.remote(), timeout=60)
    text = str(caught.value)
    for words in (type(make()).__name__, "in fail", "worker pid="):
        assert words in text, text


class AnswersNothing(Exception):
    def __getattribute__(self, name):
        raise RuntimeError(f"no {name}")


class EndsWhenAsked(Exception):
    def __str__(self):
        raise SystemExit(3)


class EndsWhenRebuilt(Exception):
    def __reduce__(self):
        return exit, (3,)


class HasNoHeirs(Exception):
    def __init_subclass__(cls):
        raise RuntimeError("no classes of this one")


@pytest.mark.parametrize("cls", [AnswersNothing, EndsWhenAsked, EndsWhenRebuilt, HasNoHeirs])
@pytest.mark.parametrize("kind", ["task", "stream", "method", "in a thread", "coroutine", "constructor"])
def test_row_4_exceptions_whose_own_code_fails(ray, cls, kind):
    def fail(self=None, begin=None):
        raise cls()

    async def fail_later(self):
        raise cls()

    def fail_on_the_way():
        yield 1
        raise cls()

    def made(method, init=object.__init__):
        return type("Odd", (), {"__init__": init, "work": method, "other": lambda self: 1})

    others = None
    if kind == "task":
        ref = ray.remote(max_retries=0)(fail).remote()
    elif kind == "stream":
        items = ray.remote(max_retries=0, num_returns="streaming")(fail_on_the_way).remote()
        assert ray.get(next(items), timeout=60) == 1
        ref = next(items)
    elif kind == "constructor":
        ref = ray.remote(made(fail, fail)).remote().work.remote()
    else:
        limit = {"max_concurrency": 2} if kind == "in a thread" else {}
        actor = ray.remote(num_cpus=0, **limit)(made(fail_later if kind == "coroutine" else fail)).remote()
        ref, others = actor.work.remote(), actor.other
    with pytest.raises(ray.exceptions.RayError) as caught:
        ray.get(ref, timeout=60)
    assert isinstance(
        caught.value, ray.exceptions.ActorDiedError if kind == "constructor" else ray.exceptions.RayTaskError
    )
    text = str(caught.value)
    assert cls.__name__ in text and "Traceback" in text, text
    if others is not None:
        assert ray.get(others.remote(), timeout=60) == 1


class AnswersOnlySome:
    def __getattr__(self, name):
        raise KeyError(name)

    def __reduce__(self):
        return AnswersOnlySome, ()


def test_values_that_answer_with_errors_are_values_of_async_actors_too(ray):
    @ray.remote
    class Gives:
        async def later(self):
            return AnswersOnlySome()

        def plainly(self):
            return AnswersOnlySome()

    gives = Gives.remote()
    for value in ray.get([gives.later.remote(), gives.plainly.remote()], timeout=60):
        assert type(value) is AnswersOnlySome


def test_row_11_a_timeout_says_what_is_where(ray, tmp_path):
    stop = tmp_path / "stop"

    @ray.remote
    def running():
        import time

        (tmp_path / "runs").touch()
        while not stop.exists():
            time.sleep(0.005)

    @ray.remote
    def queued():
        return 1

    first = running.options(num_cpus=2).remote()
    ray.wait([first], timeout=0)
    while not (tmp_path / "runs").exists():
        ray.wait([first], timeout=0.005)
    second = queued.remote()
    try:
        with pytest.raises(ray.exceptions.GetTimeoutError) as caught:
            ray.get([first, second], timeout=0.1)
        text = str(caught.value)
        for words in (first.hex(), second.hex(), "running is at worker pid", "queued needs 1 CPU", "node ", "0.1 s"):
            assert words in text, text
        assert "and no other task is" in text
        assert isinstance(caught.value, TimeoutError)
    finally:
        stop.touch()
    assert ray.get(second, timeout=60) == 1


@pytest.mark.parametrize("size", [0, -1, "1 GB", 1.5, True, float("nan"), float("inf"), b"1"])
def test_row_42_sizes_that_are_none(run_script, size):
    done = run_script(
        f"""
        nan, inf = float("nan"), float("inf")
        try:
            ray.init(object_store_memory={size!r})
        except ValueError as error:
            assert "int" in str(error) and "object_store_memory" in str(error), error
            print("refused")
        ray.init(num_cpus=1, object_store_memory=32 * 2**20)
        print(ray.get(ray.put("works")))
        """
    )
    assert done.stdout.split() == ["refused", "works"]


def test_row_41_more_than_the_machine_has(run_script):
    done = run_script(
        """
        try:
            ray.init(object_store_memory=10**15)
        except ray.exceptions.RayError as error:
            print(type(error).__name__, "|", error)
        """
    )
    name, _, text = done.stdout.partition(" | ")
    assert name == SharedMemoryTooSmallError.__name__
    for words in ("1,000,000,000,000,000", "MemAvailable", "cgroup", "object_store_memory="):
        assert words in text, text


def test_row_64_captured_values_are_named(ray):
    table = bytes(3 << 20)
    small = 1

    @ray.remote
    def uses():
        return len(table) + small

    @ray.remote
    class Uses:
        def size(self):
            return len(table)

    for submit, name in ((uses.remote, "uses"), (Uses.remote, "Uses")):
        with pytest.warns(
            UserWarning, match=f"{name} is large: 3.0 MiB.*captures.*table \\(3.0 MiB\\).*put\\(\\)"
        ) as caught:
            kept = submit()
        (warning,) = [warning for warning in caught if "is large" in str(warning.message)]
        assert "small" not in str(warning.message)
        assert warning.filename == __file__
        del kept
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it is said once
        assert ray.get(uses.remote()) == (3 << 20) + 1


def test_row_69_odd_output(run_script):
    """Control characters, carriage returns, undecodable and huge text harm nobody, and lose nothing in small amounts."""
    done = run_script(
        r"""
        ray.init(num_cpus=1, object_store_memory=64 * 2**20)

        @ray.remote
        def odd():
            import os, sys
            print("\x1b[31mred\x1b[0m", "a\rb", "nul\0nul", "\ud800 lone")
            sys.stderr.write("no newline")
            os.write(1, b"\xff\xfe raw\n")
            for part in (b"bytes \xe2\x82", bytearray(b"\xac \xff\n")):
                sys.stdout.buffer.write(part)
            sys.stdout.reconfigure(line_buffering=True)
            print("x" * 5_000_000)
            print("the end")
            return 1

        assert ray.get(odd.remote()) == 1
        """
    )
    assert "\x1b[31mred\x1b[0m" in done.stdout
    assert "nul\0nul" in done.stdout
    assert "bytes \u20ac \\xff\n" in done.stdout
    assert "the end" in done.stdout
    assert done.stdout.count("x") >= 5_000_000
    assert "no newline" in done.stderr


def in_namespace(script, program):
    """Run a program as `$PROGRAM` of a shell script that has mounts of its own."""
    environment = {**os.environ, "PROGRAM": textwrap.dedent(program)}
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    if done.stderr.startswith(("unshare:", "mount:")):
        pytest.skip(f"needs root and mount namespaces: {done.stderr.strip()}")
    return done


def test_row_72_the_disk_for_logs_is_full():
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="nb") as folder:  # short: sockets are made in it
        _on_a_full_disk(folder)


def _on_a_full_disk(folder):
    done = in_namespace(
        f'mount -t tmpfs -o size=1m tmpfs {folder} && exec {sys.executable} -c "$PROGRAM" {folder}',
        """
        import sys
        import nbray as ray
        ray.init(num_cpus=1, object_store_memory=64 * 2**20, _temp_dir=sys.argv[1], log_to_driver=False)

        @ray.remote
        def chatty(i):
            print("x" * 100_000)
            return i

        assert ray.get([chatty.remote(i) for i in range(50)]) == list(range(50))

        @ray.remote(max_retries=0)
        def dies():
            import os
            os._exit(3)

        try:
            ray.get(dies.remote())
        except ray.exceptions.WorkerCrashedError as error:
            assert "3" in str(error)
        print(ray.get(chatty.remote(7)))
        """,
    )
    assert done.stdout.strip() == "7", done.stderr


FORBID_MEMFD = """
import ctypes, os, platform, struct
number = {"x86_64": 319, "aarch64": 279}[platform.machine()]
load, equal, give = 0x20, 0x15, 0x06  # BPF: load word; jump if equal; return
filters = [(load, 0, 0, 0), (equal, 0, 1, number), (give, 0, 0, 0x00050001), (give, 0, 0, 0x7FFF0000)]  # EPERM, allow
code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *f) for f in filters))
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]
program = Program(len(filters), ctypes.addressof(code))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
assert libc.prctl(22, 2, ctypes.byref(program), 0, 0) == 0  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
"""


def test_row_74_memfd_is_forbidden(run_script):
    done = run_script(
        FORBID_MEMFD
        + textwrap.dedent(
            """
            try:
                ray.init(num_cpus=1)
            except Exception as error:
                print(type(error).__name__, "|", error)
            """
        )
    )
    name, _, text = done.stdout.partition(" | ")
    assert name == "RaySystemError", done.stdout + done.stderr
    assert "memfd_create" in text and "Operation not permitted" in text, text


def test_row_74_another_operating_system(run_script):
    done = subprocess.run(
        [sys.executable, "-c", "import sys; sys.platform = 'win32'; import nbray"],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "ImportError: nbray runs on Linux" in done.stderr and "win32" in done.stderr
