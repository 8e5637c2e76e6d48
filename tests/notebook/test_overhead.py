"""What ``%%remote`` adds to the same cell run here; its time is a case of the benchmarks (``remote_cell``)."""

from __future__ import annotations

import ast

from kit import Kernel

# Calls of Python functions that a cell adds, of many cells the fewest: one that waits for long looks up now and then, and
# so does the garbage collector. 400 were measured, however busy the machine is. They are no measure of time: that the cell
# adds 2 ms at most is for the benchmark to say.
BUDGET_CALLS = 450

# By cProfile, which holds no names of the frames that it sees: the library asks who holds what.
MEASURE = """
import cProfile
def calls(source, n=20):
    shell, counts = get_ipython(), []
    for _ in range(n):
        profile = cProfile.Profile(builtins=False)
        profile.enable()
        try:
            shell.run_cell(source, store_history=False)
        finally:
            profile.disable()
        counts.append(sum(entry.callcount for entry in profile.getstats()))
    return min(counts)
"""


def test_a_cell_of_pass(kernel: Kernel) -> None:
    kernel.ok(MEASURE)
    kernel.ok("%%remote\npass")
    more = ast.literal_eval(kernel.ok("calls('%%remote\\npass') - calls('pass')").value or "")
    assert 0 < more < BUDGET_CALLS, f"{more} calls"


def test_loading_starts_nothing(fresh_kernel: Kernel) -> None:
    before = fresh_kernel.ok(
        "import threading, psutil\nthreading.active_count(), len(psutil.Process().children())"
    ).value
    fresh_kernel.ok("%load_ext nbray")
    assert fresh_kernel.ok("threading.active_count(), len(psutil.Process().children())").value == before


def test_import_of_the_package_loads_no_ipython() -> None:
    import subprocess
    import sys

    code = "import sys, nbray, nbray.notebook; print([m for m in ('IPython', 'numpy', 'ipywidgets', 'nbray.notebook.magics') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "[]"
