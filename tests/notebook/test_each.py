"""``%%remote --each x=ITER``: the cell once per item, side by side."""

from __future__ import annotations

from pathlib import Path

from kit import Cell, Kernel


def test_lists_in_the_order_of_the_items(kernel: Kernel) -> None:
    kernel.ok("offset = 100\ndef f(v): return v * v + offset")
    cell = kernel.ok(
        "%%remote --each x=range(6)\nimport time, math\ntime.sleep(0.02 * (6 - x))\ny = f(x)\n_hidden = 1\n"
        "def g(v): return offset + v\n-x"
    )
    assert cell.value == "[0, -1, -2, -3, -4, -5]"
    assert kernel.ok("y, math.pi > 3, g(1), '_hidden' in globals(), 'x' in globals()").value == (
        "([100, 101, 104, 109, 116, 125], True, 101, False, False)"
    )


def test_they_run_side_by_side(kernel: Kernel) -> None:
    kernel.ok(
        "%%remote --each i=range(2) --num-cpus 1\nimport os, time\nopen(f'meet{i}', 'w').close()\n"
        "end = time.monotonic() + 30\n"
        "while not os.path.exists(f'meet{1 - i}') and time.monotonic() < end: time.sleep(0.01)\n"
        "met = os.path.exists(f'meet{1 - i}')\npid = os.getpid()"
    )
    assert kernel.ok("met, len(set(pid))").value == "([True, True], 2)"


def test_items_of_all_kinds(kernel: Kernel) -> None:
    kernel.ok("import numpy as np\nrefs = [nbray.put(1), nbray.put(2)]")
    assert kernel.ok("%%remote --each i,name=enumerate(['a b', 'c'])\nf'{i}{name}'").value == "['0a b', '1c']"
    assert kernel.ok("%%remote --each r=refs\nr + 1").value == "[2, 3]"
    assert kernel.ok("%%remote --each a=[np.ones(300_000), np.zeros(3)]\nfloat(a.sum())").value == "[300000.0, 0.0]"
    assert kernel.ok("%%remote --each x=[]\ny = x").value in (None, "[]")
    assert kernel.ok("w = %remote --each x=range(3) x + 1\nw").value == "[1, 2, 3]"


def test_an_item_may_be_changed_by_its_cell(kernel: Kernel) -> None:
    kernel.ok(
        "import numpy as np, pandas as pd\nframe = pd.DataFrame({'g': list('abab'), 'x': [1.0, 2.0, 3.0, 4.0]})\n"
        "large = [np.zeros(300_000), np.ones(300_000)]; stored = [nbray.put(np.zeros(3))]\ndef fill(a): a[:] = 1"
    )
    kernel.ok(
        "%%remote --each g,part=frame.groupby('g')\npart['y'] = part.x * 2\npart.loc[:, 'x'] = 0\nm = float(part.y.mean())"
    )
    assert kernel.ok("m, frame.x.tolist()").value == "([4.0, 6.0], [1.0, 2.0, 3.0, 4.0])"
    assert kernel.ok("%%remote --each a=np.zeros((2, 3))\nfill(a); float(a.sum())").value == "[3.0, 3.0]"
    assert kernel.ok("%%remote --each a=large\na -= 1; a[0] = 5\nfloat(a.sum())").value == "[-299994.0, 5.0]"
    assert kernel.ok("%%remote --each a=stored\na[1] = 5\na.tolist()").value == "[[0.0, 5.0, 0.0]]"
    assert kernel.ok("float(large[0].sum()), nbray.get(stored[0]).tolist()").value == "(0.0, [0.0, 0.0, 0.0])"
    cell = kernel.run("%%remote --each a=large\nfill(a)")
    assert cell.error["ename"] == "ValueError" and "copy()" in cell.traceback


def test_names_that_some_items_do_not_bind(kernel: Kernel) -> None:
    kernel.ok("%%remote --each x=range(3)\nif x != 1:\n    found = x")
    assert kernel.ok("found").value == "[0, None, 2]"


def test_one_error_and_what_had_ended(kernel: Kernel) -> None:
    # Item 3 fails when item 0 has ended: its worker has another item since, or this one.
    kernel.ok(
        "import os, time\nfrom glob import glob\ndef after_item_0(x):\n    open(f'item-{os.getpid()}-{x}', 'w').close()\n"
        "    while x == 3:\n        pids = [name.split('-')[1] for name in glob('item-*-0')]\n"
        "        if pids and len(glob(f'item-{pids[0]}-*')) > 1: break\n        time.sleep(0.01)"
    )
    cell = kernel.run(
        "%%remote --each x=range(40)\nafter_item_0(x); y = x\n\nz = 1 / (x - 3)\nimport time\ntime.sleep(0.02)"
    )
    assert len(cell.of("error")) == 1
    assert cell.error["ename"] == "ZeroDivisionError"
    assert "----> 4 z = 1 / (x - 3)" in cell.traceback
    assert "Item 3 of 40" in cell.traceback
    assert kernel.ok("len(y), y[0], y[3]").value == "(40, 0, None)"


def test_changes_of_inputs_are_refused_or_told(kernel: Kernel) -> None:
    kernel.ok("found = {}\ntotal = 10\nlst = []")
    error = kernel.run("%%remote --each x=range(3)\n\nfound[x] = 1").error
    assert error["ename"] == "TypeError"
    assert "line 3" in error["evalue"]
    cell = kernel.ok("%%remote --each x=range(3)\ntotal += x\nlst.append(x)")
    assert cell.text("stderr").count("lst was changed by the items") == 1
    assert kernel.ok("total, lst").value == "([10, 11, 12], [])"


def test_a_bad_iterable(kernel: Kernel) -> None:
    cell = kernel.run("%%remote --each x=nothing_of_the_kind\n1")
    assert cell.error["ename"] == "NameError"
    assert "----> 1 %%remote --each" in cell.traceback
    for iterable, name, words in (
        ("5", "TypeError", "--each x=5: an int has no items. Give what has, such as range(5)."),
        ("print()", "TypeError", "--each x=print(): the value is None"),
        ("range", "TypeError", "Call it, if it returns them: range()."),
        ("3.5", "TypeError", "object is not iterable. Give what has items"),
        ("__import__('itertools').count()", "ValueError", "more than 1,000,000 items came of a count"),
    ):
        cell = kernel.run(f"%%remote --each x={iterable}\n1")
        assert cell.error["ename"] == name and words in cell.error["evalue"]
        assert "----> 1 %%remote --each" in cell.traceback and "File" not in cell.traceback
    kernel.ok("def broken():\n    yield 1\n    raise KeyError('inside')")
    cell = kernel.run("%%remote --each x=broken()\n1")
    assert "----> 1 %%remote --each" in cell.traceback and "----> 3     raise KeyError" in cell.traceback
    assert "x is each of its 8 letters" in kernel.ok("%%remote --each x='range(3)'\n1").text("stderr")
    cell = kernel.run("%%remote --each a,b=[1]\n1")
    assert "item 0 of --each has no parts for a, b: int 1" in cell.error["evalue"]
    assert (
        "item 0 of --each has 3 parts, not 2 for a, b" in kernel.run("%%remote --each a,b=['abc']\n1").error["evalue"]
    )


def test_names_that_are_asked_for(kernel: Kernel) -> None:
    missing = "-o mistyped: there is no such name at the end of the cell"
    cell = kernel.ok(
        "%%remote --each x=range(2) -o wanted,_private,mistyped,sometimes\nwanted = _private = x\nif x: sometimes = 1"
    )
    assert cell.text("stderr").count("-o ") == cell.text("stderr").count(missing) == 1
    assert kernel.ok("wanted, _private, sometimes").value == "([0, 1], [0, 1], [None, 1])"
    cell = kernel.ok("%%remote --each x=() -o wanted,_private,mistyped\nwanted = _private = x")
    assert cell.text("stderr").count("-o ") == cell.text("stderr").count("-o mistyped: the cell does not bind it") == 1
    assert kernel.ok("wanted, _private").value == "([], [])"
    cell = kernel.ok("%%remote --async --each x=range(2) -o wanted,_private,mistyped\nwanted = _private = x")
    assert cell.text("stderr").count("-o mistyped: the cell does not bind it") == 1
    assert kernel.ok("nbray.get(_private), 'mistyped' in globals()").value == "([0, 1], False)"


def test_a_progress_line(kernel: Kernel) -> None:
    def lines_of(cell: Cell) -> list[str]:
        return [c["data"]["text/plain"] for c in cell.of("display_data", "update_display_data")]

    cell = kernel.start(
        "%%remote --each x=range(4) --num-cpus 2\nimport os, time\nwhile not os.path.exists('seen'): time.sleep(0.01)"
    )
    kernel.until(lambda: any(" of 4 items, " in line for line in lines_of(cell)))
    Path(f"/proc/{kernel.pid}/cwd/seen").touch()
    kernel.finish(cell)
    assert cell.reply is not None and cell.reply["status"] == "ok"
    lines = lines_of(cell)
    assert lines[-1].startswith("4 of 4 items in ")
    assert any(" of 4 items, " in line for line in lines[:-1])
    quiet = kernel.ok("%%remote --each x=range(4) --num-cpus 2 --quiet\ntime.sleep(0.2)")
    assert quiet.of("display_data") == []


def test_interrupt_stops_all(kernel: Kernel) -> None:
    cell = kernel.start("%%remote --each x=range(20)\nimport time\nprint('go', flush=True)\ntime.sleep(100)")
    kernel.until(lambda: "go" in cell.text())
    kernel.interrupt()
    kernel.finish(cell)
    assert cell.error["ename"] == "KeyboardInterrupt"
    assert kernel.ok("%%remote --each x=range(2)\nx").value == "[0, 1]"


def test_async_makes_lists_of_refs(kernel: Kernel) -> None:
    cell = kernel.ok("%%remote --each x=range(3) --async\nprint(x)\nsquare = x * x\nx")
    assert kernel.ok("nbray.get(square), nbray.get(_)").value == "([0, 1, 4], [0, 1, 2])"
    kernel.until(lambda: sorted(cell.text().split()) == ["0", "1", "2"])
    cell = kernel.ok("%%remote --each x=range(3) --async\n1 / x")
    kernel.until(lambda: bool(cell.of("error")))
    assert cell.error["ename"] == "ZeroDivisionError"


def test_what_runs_in_the_background_says_what_it_waits_for_and_is_stopped_by_its_button(kernel: Kernel) -> None:
    def said(cell: Cell) -> str:
        """What the line says; the button's display is the first."""
        return cell.display(cell.of("display_data")[1])[-1]["data"]["text/plain"]

    view = "application/vnd.jupyter.widget-view+json"
    first = kernel.ok("%%remote --async --quiet --num-cpus 2\nprint('holds')\nimport time\ntime.sleep(1000)\nheld = 1")
    kernel.until(lambda: first.text() == "holds\n")
    cell = kernel.ok("%%remote --each x=range(3) --async\nprint('begun')\ntime.sleep(1000)\nslept = x")
    kernel.until(lambda: "waiting for 1 CPU: 0 of 2 free, held by cell " in said(cell))
    kernel.ok("nbray.cancel(held)")
    kernel.until(lambda: cell.text() == "begun\nbegun\n")
    kernel.until(lambda: "waiting" not in said(cell))
    (model,) = {c["data"][view]["model_id"] for c in cell.display(cell.of("display_data")[0]) if view in c["data"]}
    kernel.ok(f"import ipywidgets\nipywidgets.Widget.widgets[{model!r}].click()")
    kernel.until(lambda: "0 of 3 items in " in said(cell))
    assert said(cell).endswith(", 3 cancelled") and len(cell.of("error")) == 1
    assert kernel.run("nbray.get(slept)").error["ename"] == "TaskCancelledError"


def test_no_items(kernel: Kernel) -> None:
    cell = kernel.ok("%%remote --each x=[]\ny = x\nimport wave\ndef of_nothing(): pass\nz: int = 1\n_p = 1\ny")
    assert cell.value == "[]"
    assert kernel.ok("y, z, [n for n in ('wave', 'of_nothing', '_p', 'x') if n in globals()]").value == "([], [], [])"
    kernel.ok("%%remote --each x=iter(()) -o chosen\nchosen = other = x")
    assert kernel.ok("chosen, 'other' in globals()").value == "([], False)"


def test_settings_of_modules_are_for_the_items_and_a_deleted_name_is_gone(kernel: Kernel) -> None:
    kernel.ok("import os\ngone = kept = 1")
    cell = kernel.ok(
        "%%remote --each i=range(2)\nos.environ['ITEM'] = str(i)\ndel gone\nif i: del kept\nos.environ['ITEM']"
    )
    assert cell.value == "['0', '1']"
    assert kernel.ok("'gone' in globals(), kept, 'ITEM' in os.environ").value == "(False, 1, False)"
