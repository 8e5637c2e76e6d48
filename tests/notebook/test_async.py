"""``%%remote --async``: refs at once, outputs and errors later under the same cell."""

from __future__ import annotations

import re
from typing import Any

from kit import Cell, Kernel

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
    cell = kernel.ok("%%remote --async\nimport os\nos._exit(1)\nlost = 1")
    kernel.until(lambda: bool(cell.of("error")))
    assert cell.error["ename"] == "WorkerCrashedError"
    assert "----> 1 %%remote --async" in cell.traceback and "nbray/core" not in cell.traceback
    assert kernel.run("nbray.get(lost)").error["ename"] == "WorkerCrashedError"


def test_what_became_of_an_input_is_told_under_its_own_name(kernel: Kernel) -> None:
    kernel.ok(
        "import os\nbad = nbray.remote(lambda: os._exit(3)).options(max_retries=0).remote()\n"
        "@nbray.remote\ndef raises(): raise ValueError('boo')\nwrong = raises.remote()"
    )
    for options in ("", " --async", " --async --each x=range(3)"):
        cell = kernel.run(f"%%remote{options}\nprint(bad)")
        kernel.until(lambda cell=cell: bool(cell.of("error")))
        assert cell.error["ename"] == "WorkerCrashedError"
        assert "did not run, as an input of it could not be computed." in cell.traceback
        assert "nbray/core" not in cell.traceback
        cell = kernel.run(f"%%remote{options}\nprint(wrong)")
        kernel.until(lambda cell=cell: bool(cell.of("error")))
        assert cell.error["ename"] == "ValueError"
        assert f"----> 1 %%remote{options}" in cell.traceback and "raise ValueError('boo')" in cell.traceback


def test_cancel(kernel: Kernel) -> None:
    cell = kernel.ok("%%remote --async\nimport time\nprint('go')\ntime.sleep(100)\nnever = 1")
    kernel.until(lambda: cell.text() == "go\n")
    kernel.ok("nbray.cancel(never)")
    kernel.until(lambda: bool(cell.of("error")))
    assert cell.error["ename"] in ("KeyboardInterrupt", "TaskCancelledError")


def test_refs_flow_into_the_next_cell(kernel: Kernel) -> None:
    kernel.ok("%%remote --async\nfirst = list(range(3))")
    assert kernel.ok("%%remote\nsum(first)").value == "3"


VIEW = "application/vnd.jupyter.widget-view+json"


def displays(cell: Cell) -> tuple[dict[str, Any], dict[str, Any]]:
    """What began the displays of the button and of the live line: the button stands above."""
    button, line = cell.of("display_data")
    assert button["data"] == {"text/plain": ""}, "nothing to see until it is there"
    return button, line


def updates(cell: Cell) -> list[dict[str, Any]]:
    """The contents of the live line, in order."""
    return cell.display(displays(cell)[1])


def buttons(cell: Cell) -> list[str | None]:
    """The model of the button, as it is drawn and taken away."""
    shown = [content["data"].get(VIEW) for content in cell.display(displays(cell)[0])]
    return [view["model_id"] if view else None for view in shown]


def lines(cell: Cell) -> list[str]:
    return [c["data"]["text/plain"] for c in updates(cell)]


def test_a_live_line_is_replaced_when_it_is_done(kernel: Kernel) -> None:
    cell = kernel.ok("%%remote --async\n" + GATE.format(name="line-gate") + "over = 1")
    number = cell.of("execute_input")[0]["execution_count"]
    assert "nbray.cancel(Out[" in lines(cell)[0]
    shown = cell.of("execute_result")[0]["data"]["text/html"]
    assert "of a cell in the background" in shown and "running" not in shown, "what is saved stays true"
    assert (cell.value or "").startswith("ObjectRef(")  # Out[n] is a ref also without a last expression
    kernel.until(lambda: any(f"cell {number} runs" in line for line in lines(cell)))
    # With widgets a button comes beside the line, which goes on in all its forms: what is saved meanwhile is true.
    kernel.until(lambda: bool(buttons(cell)[-1]))
    n_before = len(updates(cell))
    kernel.until(lambda: len(updates(cell)) > n_before)
    assert list(updates(cell)[-1]["data"]) == ["text/plain", "text/html", "image/svg+xml"]
    kernel.ok("open('line-gate', 'w').close()\nnbray.get(over)")
    kernel.until(lambda: lines(cell)[-1].startswith(f"cell {number} is done, "))
    assert list(updates(cell)[-1]["data"]) == ["text/plain", "text/html", "image/svg+xml"]
    assert buttons(cell)[-1] is None, "it is gone when there is nothing to stop"


def test_the_button_cancels(kernel: Kernel) -> None:
    cell = kernel.ok("%%remote --async\nimport time\ntime.sleep(100)")
    kernel.until(lambda: bool(buttons(cell)[-1]))
    kernel.ok(
        f"import ipywidgets\nbutton = ipywidgets.Widget.widgets[{buttons(cell)[-1]!r}]\nbutton.click()\n"
        "assert button.disabled and button.layout.width == 'auto'"  # pressed once; its word is never cut off
    )
    kernel.until(lambda: "was cancelled after" in lines(cell)[-1])
    # Closed as soon as the line is shown that does without it.
    kernel.ok(
        "import time\nbuttons = lambda: [w for w in ipywidgets.Widget.widgets.values() if type(w) is ipywidgets.Button]"
    )
    kernel.ok("end = time.monotonic() + 60\nwhile buttons() and time.monotonic() < end: time.sleep(0.01)")
    assert kernel.ok("len(buttons())").value == "0"


def test_without_widgets_the_line_says_how_to_stop_the_work(kernel: Kernel) -> None:
    kernel.ok(
        "import sys\nthere = sys.modules.get('ipywidgets')\nsys.modules['ipywidgets'] = None  # as where it is not installed"
    )
    cell = kernel.ok("%%remote --async\nimport time\ntime.sleep(1000)")
    kernel.ok("del sys.modules['ipywidgets']\nif there: sys.modules['ipywidgets'] = there")
    (line,) = cell.of("display_data")
    number = cell.of("execute_input")[0]["execution_count"]
    for form in ("text/plain", "text/html"):
        assert f"nbray.cancel(Out[{number}]) stops it" in line["data"][form]
    kernel.ok(f"nbray.cancel(Out[{number}])")
    kernel.until(lambda: "was cancelled after" in cell.display(line)[-1]["data"]["text/plain"])
    assert "stops it" not in cell.display(line)[-1]["data"]["text/html"]


def test_a_background_cell_that_waits_says_so(kernel: Kernel) -> None:
    first = kernel.ok("%%remote --async --quiet --num-cpus 2\nprint('holds')\n" + GATE.format(name="wait-gate"))
    kernel.until(lambda: first.text() == "holds\n")  # before, the second may get a worker that is not given back yet
    cell = kernel.ok("%%remote --async\nthrough = 1")
    kernel.until(lambda: any("is waiting for 1 CPU: 0 of 2 free, held by cell " in line for line in lines(cell)))
    kernel.until(lambda: ", 2 s" in lines(cell)[-1])
    assert kernel.ok("open('wait-gate', 'w').close()\nnbray.get(through)").value == "1"
    kernel.until(lambda: " is done, " in lines(cell)[-1])
    assert re.search(r", waited \d\.\d s \(for 1 CPU\)$", lines(cell)[-1]), lines(cell)[-1]


def test_quiet_shows_no_line(kernel: Kernel) -> None:
    assert kernel.ok("%%remote --async --quiet\nq = 1").of("display_data") == []


def test_what_names_share_stays_one_object(kernel: Kernel) -> None:
    kernel.ok(
        "%%remote --async --quiet\nrow = [1]; grid = {'row': row, 'rows': [row, row]}; again = grid; alone = [0]; n = 5"
    )
    one_get = "r, g, a, x, m = nbray.get([row, grid, again, alone, n])\ng['row'] is r is g['rows'][1], a is g, x, m"
    assert kernel.ok(one_get).value == "(True, True, [0], 5)"
    assert kernel.ok("nbray.get(row) is nbray.get(row), nbray.get([row, row])[0] is r").value == "(False, False)"
    assert (
        kernel.ok("@nbray.remote\ndef same(a, b): return b['row'] is a\nnbray.get(same.remote(row, grid))").value
        == "True"
    )
    # A later cell: names that only hold what it changes are changed with it.
    told = kernel.ok("%%remote\nrow.append(2); assert grid['row'] is row\nalone.append(row)")
    assert not told.text("stderr")
    assert kernel.ok("grid['rows'][0] is row is alone[1], row, type(n).__name__").value == "(True, [1, 2], 'ObjectRef')"


def test_what_a_cell_stores_into_is_shared_too(kernel: Kernel) -> None:
    kernel.ok("%%remote --async --quiet\nimport numpy as np\nrow = np.zeros(40_000); held = {'row': row}; rest = [1]")
    kernel.ok("other = held")
    told = kernel.ok("%%remote\nrow[0] = 7; held['row'][1] = 8; assert held['row'] is row")
    assert not told.text("stderr")
    assert kernel.ok("held['row'] is row, row[:2].tolist(), other is held, type(rest).__name__").value == (
        "(True, [7.0, 8.0], True, 'ObjectRef')"
    )


def test_a_value_that_cannot_travel_costs_no_other(kernel: Kernel) -> None:
    cell = kernel.ok(
        "%%remote --async\na = [1]\ncannot = {'same': a, 'deep': (i for i in a)}\ndef double(x): return 2 * x\nwith_a = (a, 5)\n7"
    )
    assert kernel.ok("first, second = nbray.get([a, with_a]); second, second[0] is first").value == "(([1], 5), True)"
    assert kernel.ok("nbray.get(double)(4)").value == "8"
    assert kernel.run("nbray.get(cannot)").error["evalue"].startswith("Could not serialize cannot['deep']: generator")
    assert kernel.ok("%%remote\na + [double(2)]").value == "[1, 4]"
    kernel.until(lambda: "is done" in str(cell.messages) + str(kernel.messages))
    assert not cell.of("error")


def test_what_the_cell_imports_is_bound_here(kernel: Kernel) -> None:
    kernel.ok("import json, sys\ntabnanny_before = 'tabnanny' in sys.modules")
    kernel.ok(
        "%%remote --async\nimport json as j, os.path, tabnanny\nfrom math import sqrt as root\nfrom this_is_nowhere import z"
    )
    assert kernel.ok("j.dumps(1), os.path.sep, root(4)").value == "('1', '/', 2.0)"
    kernel.ok("import time\nwhile 'tabnanny' not in globals(): time.sleep(0.01)")
    assert kernel.ok("tabnanny_before, tabnanny.__name__, 'z' in globals()").value == "(False, 'tabnanny', False)"


def test_what_a_cell_sets_in_modules_and_builtins_leaves_their_names_alone(kernel: Kernel) -> None:
    kernel.ok("import os, types\nholder = types.SimpleNamespace()")
    cell = kernel.ok(
        "%%remote --async\nos.environ['SET'] = '1'; globals()['by_text'] = 3; vars(holder)['q'] = 1\n"
        "get_ipython().user_ns['z'] = 1; sorted([1])[0] = 2\nholder.x = 1\nos.environ['SET']"
    )
    assert kernel.ok("nbray.get(_), nbray.get(holder).x").value == "('1', 1)"
    bound = [
        f"isinstance({name}, nbray.ObjectRef)" for name in ("os", "globals", "vars", "sorted", "get_ipython", "holder")
    ]
    assert kernel.ok(f"[{', '.join(bound)}]").value == "[False, False, False, False, False, True]"
    assert cell.text("stderr") == ""


def test_what_a_cell_changes_in_place_is_told_to_stay_there(kernel: Kernel) -> None:
    kernel.ok("kept = [1]; other = {}\nclass Count: n = 0\ndef bump(): Count.n += 1")
    cell = kernel.ok("%%remote --async\nkept.append(2); bump(); fresh = list(kept)\nother['x'] = 1")
    kernel.until(lambda: "nbray: the cell changed Count, kept only for itself" in cell.text("stderr"))
    assert kernel.ok("nbray.get([fresh, other]), kept, Count.n").value == "([[1, 2], {'x': 1}], [1], 0)"
    quiet = kernel.ok("%%remote --async --quiet\nkept.append(2)")
    kernel.ok("nbray.get(_)")
    assert quiet.text("stderr") == ""
    refused = kernel.run("%%remote --async\nx = 1\nCount.n = 5").traceback
    assert "Count is changed in line 3, but a cell of --async has its own copy of it" in refused


def test_names_that_are_asked_for(kernel: Kernel) -> None:
    cell = kernel.ok(
        "%%remote --async -o wanted,_private,_js,mistyped\nimport json as _js\nwanted = _private = unasked = 3"
    )
    assert cell.text("stderr") == "nbray: -o mistyped: the cell does not bind it.\n"
    found = "nbray.get(wanted), nbray.get(_private), _js.__name__, {'mistyped', 'unasked'} & {*globals()}"
    assert kernel.ok(found).value == "(3, 3, 'json', set())"
    cell = kernel.ok("%%remote --async -o by_text,unknown\nexec('by_text = 4')")  # only there it is found
    kernel.until(lambda: "-o unknown: there is no such name at the end of the cell" in cell.text("stderr"))
    assert kernel.ok("nbray.get(by_text)").value == "4"
    assert kernel.ok("%%remote --async --quiet -o mistyped\n1").text("stderr") == ""
