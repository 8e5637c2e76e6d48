"""Kernels for the notebook tests; each leaves no process behind, and that is checked."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from kit import Kernel


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "kernel" in getattr(item, "fixturenames", ()) or "fresh_kernel" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """A kernel that the tests of a module share."""
    yield from _kernel(tmp_path_factory.mktemp("kernel"), load=True)


@pytest.fixture
def fresh_kernel(tmp_path: Path) -> Iterator[Kernel]:
    """A kernel of its own, without the extension."""
    yield from _kernel(tmp_path, load=False)


def _kernel(cwd: Path, load: bool) -> Iterator[Kernel]:
    kernel = Kernel(cwd, load)
    try:
        yield kernel
    finally:
        family = processes_of(kernel)
        kernel.close()
        end = time.monotonic() + 60
        while alive := [process for process in family if process.is_running() and not is_zombie(process)]:
            assert time.monotonic() < end, f"left behind: {alive}"
            time.sleep(0.05)


def processes_of(kernel: Kernel) -> list[psutil.Process]:
    """The kernel, its daemon, zygote and workers (some are in sessions of their own)."""
    return psutil.Process(kernel.pid).children(recursive=True)


def is_zombie(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
