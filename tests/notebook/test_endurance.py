"""Many cells, many interrupts, restarts and sudden ends: nothing leaks, nothing hangs.

The numbers are those of a quick run; ``NBRAY_FAULTS_FULL=1`` (make test-faults) takes the long one.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from pathlib import Path

import psutil
from conftest import is_zombie, processes_of
from kit import Kernel

FULL = os.environ.get("NBRAY_FAULTS_FULL") == "1"
N_INTERRUPTS = 200 if FULL else 25
N_RESTARTS = 50 if FULL else 4

CELLS = [
    "%%remote\nx = 1\nx + 1",
    "%%remote\nimport numpy as np\narr = np.ones(300_000)\nprint('out')",
    "%%remote\nfloat(arr.sum())",
    "%%remote --async\nlater = 5",
    "nbray.get(later)",
    "%%remote --each i=range(3)\ny = i",
    "%%remote --actor leak\nn = 1\nn",
    "%%remote --lazy\nlazy = list(range(10))",
    "nbray.get(lazy)\n%xdel lazy",
    "try:\n    get_ipython().run_cell_magic('remote', '', '1 / 0')\nexcept ZeroDivisionError:\n    pass",
    "%%remote\nfrom IPython.display import display\ndisplay('shown')",
    "%remote 6 * 7",
]
COUNT = """
def nbray_counts():
    import gc, psutil, threading
    from nbray.core import current
    gc.collect()
    me = psutil.Process()
    return [me.num_fds(), threading.active_count(), len(me.children(recursive=True)), current.core.store.stats().used]
nbray_counts()
"""


def test_a_hundred_and_fifty_cells_leave_nothing_behind(kernel: Kernel) -> None:
    def run(rounds: int) -> None:
        for _ in range(rounds):
            for code in CELLS:
                kernel.ok(code)

    def least(looks: int, best: list[int]) -> list[int]:
        """The least that was seen of each: idle workers and leases go back, live lines end."""
        for _ in range(looks):
            counts = [int(part) for part in (kernel.ok(COUNT).value or "[]").strip("[]").split(",")]
            best = [min(pair) for pair in zip(best, counts, strict=True)] if best else counts
            time.sleep(0.1)
        return best

    run(4)
    first = least(20, [])
    run(9)
    assert 13 * len(CELLS) >= 150
    most = [fewest + more for fewest, more in zip(first, (2, 1, 1, 8 << 20), strict=True)]
    last, end = least(1, []), time.monotonic() + 60
    while any(after > limit for after, limit in zip(last, most, strict=True)):
        assert time.monotonic() < end, f"descriptors, threads, processes, bytes: {first} before, {last} after"
        last = least(1, last)


def test_interrupts_at_random_moments(kernel: Kernel) -> None:
    kernel.ok("import numpy as np\nvalues = np.ones(200_000)")
    seed = random.randrange(1 << 30)
    print("seed", seed)
    chance = random.Random(seed)
    kinds = [
        "%%remote\ntotal = sum(range(20_000))\nmade = values * 2\ntotal",
        "%%remote --each i=range(6)\nsum(range(20_000))",
        "%%remote --actor hit\nstate = sum(range(20_000))",
        "%%remote --async --quiet\ngone = sum(range(50_000))",
    ]
    for number in range(N_INTERRUPTS):
        cell = kernel.start(kinds[number % len(kinds)])
        time.sleep(chance.random() * 0.03)
        kernel.interrupt()
        answers_again(kernel)
        for content in cell.of("error"):
            assert content["ename"] in ("KeyboardInterrupt", "TaskCancelledError"), "\n".join(content["traceback"])
    assert kernel.ok("%%remote --actor hit\n7").value == "7"
    assert kernel.ok("%%remote --each i=range(2)\ni").value == "[0, 1]"


def answers_again(kernel: Kernel) -> None:
    """Run a cell after an interrupt. One that strikes ipykernel's own code costs what ipykernel has in hand: a cell."""
    for _ in range(4):
        cell = kernel.start("%%remote\n6 * 7")
        with contextlib.suppress(AssertionError):
            kernel.until(lambda cell=cell: cell.idle, 20)  # type: ignore[misc]
        if cell.value == "42":
            return
        assert all(content["ename"] == "KeyboardInterrupt" for content in cell.of("error")), cell.traceback
    raise AssertionError("no cell runs any more")


def test_restarts_leave_no_process_behind(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path)
    try:
        for _ in range(N_RESTARTS):
            assert kernel.ok("%%remote\n1").value == "1"
            kernel.ok("%%remote --async\nimport time\ntime.sleep(100)")
            family = processes_of(kernel)
            kernel.restart()
            wait_until_gone(family)
        assert kernel.ok("%%remote\n2").value == "2"
    finally:
        family = processes_of(kernel)
        kernel.close()
    wait_until_gone(family)


def test_a_killed_kernel_takes_its_cluster_with_it(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path)
    kernel.ok("%%remote --async --num-cpus 0\nimport time\ntime.sleep(100)")
    kernel.ok("%%remote --actor a\n1")
    family = processes_of(kernel)
    assert len(family) >= 3
    os.kill(kernel.pid, signal.SIGKILL)
    wait_until_gone(family)
    kernel.close()


def test_two_kernels_on_one_cluster(kernel: Kernel, tmp_path: Path) -> None:
    address = kernel.ok("nbray.init(ignore_reinit_error=True)['address']").value or ""
    other = Kernel(tmp_path, load=False)
    try:
        other.ok(f"%load_ext nbray\nimport nbray\nnbray.init(address={address})\nNone")
        mine = kernel.start("%%remote\nwho = 'first'\nprint(who)\nwho")
        theirs = other.ok("%%remote\nwho = 'second'\nprint(who)\nwho")
        kernel.finish(mine)
        assert (mine.text(), mine.value) == ("first\n", "'first'")
        assert (theirs.text(), theirs.value) == ("second\n", "'second'")
    finally:
        other.close()
    assert kernel.ok("%%remote\nwho").value == "'first'"


def wait_until_gone(processes: list[psutil.Process]) -> None:
    end = time.monotonic() + 60
    while alive := [process for process in processes if process.is_running() and not is_zombie(process)]:
        assert time.monotonic() < end, f"left behind: {alive}"
        time.sleep(0.05)
