"""What holds for all tests: nothing is left behind, no skip goes unnoticed.

After each test file: the threads, processes, descriptors and files in /dev/shm of before, and no more. A file and
not a test, because tests of one file may share a cluster. A test that has a reason to leave something says so with
`@pytest.mark.leaky("reason")`; then its file is not checked.
"""

from __future__ import annotations

import contextlib
import gc
import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

# A shell that starts this in the background has SIGINT ignored, and all children inherit that; the
# tests of interrupts need what a person at a terminal has.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Everything that descends from this run carries this in its environment, also when its parents are gone.
RUN_KEY = "NBRAY_TEST_RUN"
RUN_ID = f"{os.getpid()}-{time.monotonic_ns()}"
os.environ[RUN_KEY] = RUN_ID

# nbray promises that everything ends within 5 s of its driver; a machine may stand still for longer.
GRACE_S = 30.0

# What is said once per user has been said: the output of a test must not depend on whether it is the first.
with contextlib.suppress(ImportError):
    from nbray.node import cache_folder

    cache_folder.first_time("root")

# How long an example takes says how busy the machine is. Not everywhere where tests run there is hypothesis.
with contextlib.suppress(ImportError):
    import hypothesis

    hypothesis.settings.register_profile(
        "nbray", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
    )
    hypothesis.settings.load_profile("nbray")

# Skips that are all right, as regular expressions for their reasons. Any other one fails the run.
EXPECTED_SKIPS = [
    r"needs (a|an NVIDIA) GPU",
    r"needs cgroup",
    r"needs root",
    r"no (TensorFlow|PyTorch|TensorFlow and no PyTorch) here",
    r"only on the original Ray",
    r"needs a kernel with subshells",
    r"came with Python 3\.11",
    r"History range not supported",  # of a session that runs; nor does ipykernel
]

_skips: list[tuple[str, str]] = []


# ---- leaks ----


HELPER = "from multiprocessing.resource_tracker import"  # of tests that use multiprocessing here: ends with its parent


def _parent(process: Path) -> int:
    return int((process / "stat").read_text().rpartition(")")[2].split()[1])


def _processes() -> dict[str, str]:
    """Processes of this run: pid -> command line. Without this one, and without those that are over."""
    wanted = f"{RUN_KEY}={RUN_ID}".encode()
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            if wanted in (entry / "environ").read_bytes().split(b"\0"):
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                if command and not (HELPER in command and _parent(entry) == os.getpid()):  # a zombie has none
                    found[entry.name] = command[:200]
    return found


def _threads() -> dict[str, str]:
    """Threads of nbray, and all threads that would keep the process from ending."""
    return {
        str(thread.ident): thread.name
        for thread in threading.enumerate()
        if thread is not threading.main_thread() and (not thread.daemon or "nbray" in thread.name)
    }


def _descriptors() -> dict[str, str]:
    """Descriptors of segments and of the files and sockets of nbray."""
    found = {}
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            target = os.readlink(entry)
            if "memfd:" in target or "nbray" in Path(target).name:
                found[entry.name] = target
    return found


def _shared_memory() -> dict[str, str]:
    """Files in /dev/shm that name this run's processes or nbray."""
    with contextlib.suppress(OSError):
        return {name: "/dev/shm/" + name for name in os.listdir("/dev/shm") if "nbray" in name}
    return {}


LOOKS = {"process": _processes, "thread": _threads, "descriptor": _descriptors, "shared memory": _shared_memory}


def _inventory() -> dict[tuple[str, str], str]:
    return {(kind, key): text for kind, look in LOOKS.items() for key, text in look().items()}


@pytest.fixture(scope="module", autouse=True)
def no_leaks(request: pytest.FixtureRequest) -> Iterator[None]:
    """Nothing is there after a file that was not there before."""
    before = _inventory()
    yield
    reasons = [
        mark.args[0]
        for item in request.session.items
        if item.path == request.path
        for mark in item.iter_markers("leaky")
    ]
    if reasons:
        return
    deadline = time.monotonic() + GRACE_S
    while True:
        left = {key: text for key, text in _inventory().items() if before.get(key) != text}
        if not left:
            return
        if time.monotonic() > deadline:
            lines = [f"  {kind} {key}: {text}" for (kind, key), text in sorted(left.items())]
            pytest.fail("left behind by this file:\n" + "\n".join(lines), pytrace=False)
        gc.collect()
        time.sleep(0.05)


# ---- skips ----


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        _skips.append((report.nodeid, reason.removeprefix("Skipped: ")))


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        _skips.append((report.nodeid, reason.removeprefix("Skipped: ")))


def unexpected_skips() -> list[tuple[str, str]]:
    """Skips whose reason is not in the list."""
    return [(node, why) for node, why in _skips if not any(re.search(pattern, why) for pattern in EXPECTED_SKIPS)]


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if unexpected_skips() and exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    bad = unexpected_skips()
    if bad:
        terminalreporter.section("skips that nobody expects", red=True, bold=True)
        for node, why in bad:
            terminalreporter.line(f"{node}: {why}")
        terminalreporter.line("Make the test run, or add the reason to EXPECTED_SKIPS in tests/conftest.py.")
