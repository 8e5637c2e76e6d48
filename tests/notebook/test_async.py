"""``%%remote --async``: refs at once, outputs and errors later under the same cell."""

from __future__ import annotations

from kit import Kernel

GATE = "import os, time\nwhile not os.path.exists({name!r}): time.sleep(0.01)\n"


def test_names_and_value_are_refs(kernel: Kernel) -> None:
    kernel.ok("y = 2")
    cell = kernel.ok("%%remote --async\nprint('later')\na = y + 3\nb = a + 1\na * 10")
    assert (cell.value or "").startswith("ObjectRef(")
    assert kernel.ok("nbray.get([a, b]), nbray.get(_)").value == "([5, 6], 50)"
    kernel.until(lambda: cell.text() == "later\n")


def test_it_returns_before_the_work_is_done(kernel: Kernel) -> None:
    cell = kernel.ok("%%remote --async\n" + GATE.format(name="gate") + "print('through')\ndone = 1")
    assert cell.idle
    assert cell.text() == ""
    later = kernel.ok("open('gate', 'w').close()\nnbray.get(done)")
    assert later.value == "1"
    kernel.until(lambda: cell.text() == "through\n")
    assert later.text() == ""


def test_errors_come_under_the_cell(kernel: Kernel) -> None:
    cell = kernel.ok("%%remote --async\nq = 1\nr = q / 0")
    kernel.until(lambda: bool(cell.of("error")))
    assert cell.error["ename"] == "ZeroDivisionError"
    assert "----> 3 r = q / 0" in cell.traceback
    text = kernel.ok("try:\n    nbray.get(r)\nexcept ZeroDivisionError as error:\n    print('caught')").text()
    assert text == "caught\n"


def test_a_crash_is_shown_under_the_cell(kernel: Kernel) -> None:
    cell = kernel.ok("%%remote --async\nimport os\nos._exit(1)")
    kernel.until(lambda: bool(cell.of("error")))
    assert cell.error["ename"] == "WorkerCrashedError"


def test_cancel(kernel: Kernel) -> None:
    cell = kernel.ok("%%remote --async\nimport time\nprint('go')\ntime.sleep(100)\nnever = 1")
    kernel.until(lambda: cell.text() == "go\n")
    kernel.ok("nbray.cancel(never)")
    kernel.until(lambda: bool(cell.of("error")))
    assert cell.error["ename"] in ("KeyboardInterrupt", "TaskCancelledError")


def test_refs_flow_into_the_next_cell(kernel: Kernel) -> None:
    kernel.ok("%%remote --async\nfirst = list(range(3))")
    assert kernel.ok("%%remote\nsum(first)").value == "3"
