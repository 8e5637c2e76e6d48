"""``nbray.dashboard()`` and the line under a cell that waits, with real kernels and with nbclient."""

from __future__ import annotations

import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nbformat
import pytest
from kit import ROOT, Cell, Kernel, headless
from nbclient import NotebookClient
from test_headless import environment

GATE = "import os, time\nwhile not os.path.exists({name!r}): time.sleep(0.01)\n"
TASKS = """\
import os, time
@nbray.remote
def held(path):
    while not os.path.exists(path): time.sleep(0.01)
@nbray.remote
def after(x): raise ValueError('on purpose')
"""


def states(cell: Cell) -> list[dict[str, Any]]:
    """The displays of a cell that widgets made, as they were sent; updates come with whatever cell runs."""
    first = [c for c in cell.of("display_data") if c["metadata"].get("nbray") and "image/svg+xml" in c["data"]]
    return [c["data"] for begun in first for c in cell.display(begun)]


def texts(cell: Cell) -> list[str]:
    return [data["text/plain"] for data in states(cell)]


def say(text: str) -> str:
    """A cell that sets a gate: a file in the kernel's folder."""
    return f"open({text!r}, 'w').close()"


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)


def check_bundle(data: dict[str, Any]) -> None:
    """Every form says something, and the picture is well formed."""
    assert data["text/plain"]
    tags = Tags()
    tags.feed(data["text/html"])
    assert "svg" in tags.tags
    assert not {"script", "img"} & tags.tags
    ET.fromstring(data["image/svg+xml"])


def test_what_a_saved_notebook_keeps_is_how_things_were_when_its_last_cell_ended(kernel: Kernel) -> None:
    board = kernel.ok(
        "from nbray.notebook import dashboard\nwaits = dashboard.CELL_END_S, dashboard.DRAW_S\n"
        "dashboard.CELL_END_S, dashboard.DRAW_S = 30.0, 1e9\n"
        "@nbray.remote\ndef quick(i): return i\nboard = nbray.dashboard()"
    )
    kernel.ok("sum(nbray.get([quick.remote(i) for i in range(20)]))")
    last = states(board)[-1]
    assert "quick" in last["text/plain"] and "20 of 20" in last["text/plain"]
    assert "20 of 20" in last["image/svg+xml"]
    kernel.ok("1 + 1")
    assert states(board)[-1] is last  # nothing is new
    kernel.ok("board.close()\ndashboard.CELL_END_S, dashboard.DRAW_S = waits")


def test_it_follows_the_tasks_until_it_is_closed(kernel: Kernel) -> None:
    kernel.ok(TASKS)
    cell = kernel.ok("board = nbray.dashboard()\nrefs = [after.remote(held.remote('gate-a')) for _ in range(3)]")
    kernel.until(lambda: "held" in texts(cell)[-1] and "3 wait for input" in texts(cell)[-1])
    kernel.ok(say("gate-a"))
    # The daemon may know of the last failure before the notebook has taken in what was raised.
    kernel.until(lambda: "3 failed" in texts(cell)[-1] and "after ×3" in texts(cell)[-1].split("\n")[2])
    lines = texts(cell)[-1].split("\n")
    assert "after ×3" in lines[2] and "ValueError: on purpose" in lines[2]  # errors first
    assert "CPU" in texts(cell)[-1]
    check_bundle(states(cell)[-1])
    kernel.ok("board.close()")
    kernel.until(lambda: "Closed." in texts(cell)[-1])
    assert kernel.ok("board").of("display_data")[0]["data"]["text/plain"] == texts(cell)[-1]
    assert "nbray" in (kernel.ok("repr(board)").value or "")


def test_its_buttons(kernel: Kernel) -> None:
    kernel.ok(TASKS)
    cell = kernel.ok("board = nbray.dashboard()\nrefs = [held.remote('never') for _ in range(4)]\nimport ipywidgets")
    assert any("application/vnd.jupyter.widget-view+json" in c["data"] for c in cell.of("display_data"))
    kernel.until(lambda: "0 of 4" in texts(cell)[-1])  # also those that no worker has been sent
    kernel.ok("from nbray.notebook import dashboard as module\nmodule.SURE_S = 600")  # from one click to the other
    kernel.ok("hold, cancel = board._buttons._hold, board._buttons._cancel\nhold.value = True\nassert board.held")
    kernel.ok(
        "hold.value = False\ncancel.click()\nassert 'Cancel 4 tasks?' == cancel.description, cancel.description\n"
        "cancel.click()\nassert len(nbray.wait(refs, num_returns=4, timeout=60)[0]) == 4"
    )
    kernel.until(lambda: "4 cancelled" in texts(cell)[-1])
    kernel.ok("board.close()")
    assert (
        kernel.ok("len([w for w in ipywidgets.Widget.widgets.values() if type(w) is ipywidgets.Button])").value == "0"
    )


def test_an_idle_dashboard_sends_next_to_nothing(kernel: Kernel) -> None:
    """The machine's figures may move every 5 s; nothing else does. Looked at while no task of the node moves."""
    kernel.ok("board = nbray.dashboard()\nlines = get_ipython()._nbray_extension.magics.cells.lines")
    kernel.ok("watch = board._watch\nwatch.look(at_once=True)\nwatch.look(at_once=True)")
    # Looks without a change neither ask the daemon nor draw. The thread that looks by itself is kept out meanwhile.
    code = (
        "from nbray.notebook.widgets import watch as watches\nbefore = watches._signature(watch.core)\n"
        "with watch._lock:\n    calls = []\n    keep = watch._feed.poll\n    watch._feed.poll = lambda *a: calls.append(a)\n"
        "    watch._asked_usage_at = 1e18\n    version = watch.version\n"
        "    for _ in range(20):\n        watch._looked_at = 0\n        watch.look()\n"
        "    watch._feed.poll = keep\n    watch._asked_usage_at = 0\n    found = (len(calls) <= 2, watch.version == version)\n"
        "found if watches._signature(watch.core) == before else 'a worker has gone or come meanwhile'"
    )
    end = time.monotonic() + 60
    while "meanwhile" in (found := kernel.ok(code).value or ""):
        assert time.monotonic() < end
    assert found == "(True, True)"
    kernel.ok("board.close()")


def test_hostile_names(kernel: Kernel) -> None:
    cell = kernel.ok(
        "def evil(): raise ValueError('<img src=x onerror=alert(1)>')\n"
        "ref = nbray.remote(evil).options(name='<script>alert(1)</script>').remote()\nnbray.wait([ref])\n"
        "board = nbray.dashboard()"
    )
    kernel.until(lambda: "<script>" in texts(cell)[-1] and "<img" in texts(cell)[-1])
    check_bundle(states(cell)[-1])
    kernel.ok("board.close()")


def test_a_cell_that_waits_here_for_tasks_shows_them(kernel: Kernel) -> None:
    kernel.ok(TASKS + "refs = [held.remote('gate-b') for _ in range(5)]")
    cell = kernel.start("nbray.get(refs)\n'through'")
    kernel.until(lambda: bool(states(cell)))
    assert "0 of 5 tasks" in texts(cell)[0]
    check_bundle(states(cell)[0])
    Path(f"/proc/{kernel.pid}/cwd/gate-b").touch()
    assert kernel.finish(cell).value == "'through'"
    kernel.until(lambda: texts(cell)[-1].startswith("5 of 5 tasks in "))
    # A short cell has none.
    assert states(kernel.ok("nbray.get(refs)")) == []


def test_how_it_ended_is_told_when_a_slow_daemon_has_answered(kernel: Kernel) -> None:
    kernel.ok(
        TASKS + "refs = [held.remote('gate-d') for _ in range(5)]\n"
        "feed = get_ipython()._nbray_extension.magics.cells.lines_of.watch._feed\nkeep = feed.poll\ndef slow(*a):\n"
        "    if os.path.exists('slow'): raise nbray.exceptions.RaySystemError('no answer')\n    keep(*a)\nfeed.poll = slow"
    )
    folder = Path(f"/proc/{kernel.pid}/cwd")
    try:
        cell = kernel.start("nbray.get(refs)\n'through'")
        kernel.until(lambda: bool(states(cell)))
        (folder / "slow").touch()
        (folder / "gate-d").touch()
        kernel.finish(cell)
        assert "0 of 5 tasks in " in texts(cell)[-1]
        (folder / "slow").unlink()
        kernel.until(lambda: texts(cell)[-1].startswith("5 of 5 tasks in "))
    finally:
        (folder / "gate-d").touch()
        (folder / "slow").unlink(missing_ok=True)
        kernel.ok("feed.poll = keep")


def test_a_line_is_shown_once_the_end_of_its_cell_can_finish_it(kernel: Kernel) -> None:
    kernel.ok(
        TASKS + "refs = [held.remote('gate-e') for _ in range(5)]\n"
        "lines = get_ipython()._nbray_extension.magics.cells.lines\nkept_add = lines.add\n"
        "def late(origin, describe):\n    ticks = []\n    def counted():\n        ticks.append(1)\n"
        "        if len(ticks) == 3: open('ticked', 'w').close()\n        return describe()\n"
        "    line = kept_add(origin, counted)\n    while not os.path.exists('let'): time.sleep(0.01)\n    return line\n"
        "import time\nlines.add = late"
    )
    folder = Path(f"/proc/{kernel.pid}/cwd")
    try:
        cell = kernel.start("nbray.get(refs)\n'through'")
        kernel.until(lambda: (folder / "ticked").exists())
        assert states(cell) == []
        (folder / "let").touch()
        kernel.until(lambda: bool(states(cell)))
        (folder / "gate-e").touch()
        kernel.finish(cell)
        assert " of 5 tasks in " in texts(cell)[-1]
    finally:
        (folder / "let").touch()
        (folder / "gate-e").touch()
        kernel.ok("lines.add = kept_add")


def test_a_remote_cell_of_more_than_two_seconds_shows_the_tasks_it_starts(kernel: Kernel) -> None:
    kernel.ok(TASKS)
    cell = kernel.start(
        "%%remote\nrefs = [held.remote('gate-c') for _ in range(3)]\n" + GATE.format(name="gate-c") + "nbray.wait(refs, num_returns=3)\n1"
    )  # fmt: skip
    kernel.until(lambda: bool(states(cell)) and "held" in texts(cell)[-1])
    number = cell.of("execute_input")[0]["execution_count"]
    assert f"cell {number} runs" in texts(cell)[-1]
    Path(f"/proc/{kernel.pid}/cwd/gate-c").touch()
    kernel.finish(cell)
    assert texts(cell)[-1].startswith(f"cell {number} is done, ")
    kernel.until(lambda: "3 of 3" in texts(cell)[-1])  # after the cell, where the daemon is slow
    assert texts(cell)[-1].startswith(f"cell {number} is done, ")
    check_bundle(states(cell)[-1])


def test_the_end_of_the_cluster_is_the_end_of_it(kernel: Kernel) -> None:
    cell = kernel.ok(
        "done = nbray.get([nbray.remote(lambda: 1).remote() for _ in range(7)])\nboard = nbray.dashboard()"
    )
    background = [
        kernel.ok(f"%%remote --async{more}\nprint('begun')\nimport time\ntime.sleep(1000)")
        for more in ("", " --each x=range(3)")
    ]
    kernel.until(lambda: "begun" in background[0].text())
    kernel.ok("nbray.shutdown()")
    for one in background:  # nobody will hear how they end
        kernel.until(
            lambda one=one: "the cluster has ended" in one.display(one.of("display_data")[1])[-1]["data"]["text/plain"]
        )
    kernel.until(lambda: "The cluster has ended." in texts(cell)[-1])
    assert "7 of 7" in texts(cell)[-1]
    assert kernel.ok("board.closed").value == "True"
    waiting = kernel.ok("board = nbray.dashboard()")
    assert "No cluster yet" in texts(waiting)[-1]
    assert kernel.ok("nbray.is_initialized()").value == "False"
    kernel.ok("nbray.init(num_cpus=2)\nnbray.get([nbray.remote(lambda: 1).remote() for _ in range(3)])")
    kernel.until(lambda: "3 of 3" in texts(waiting)[-1])
    kernel.ok("board.close()")


@pytest.mark.slow
def test_nbclient_keeps_a_picture_and_the_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    sources = [
        "import nbray\nnbray.init(num_cpus=2)\n@nbray.remote\ndef work(x): return x\nNone",
        "board = nbray.dashboard()",
        "nbray.get([work.remote(i) for i in range(6)])\nNone",
        "board.refresh()\nnbray.shutdown()",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources=resources, config=headless()).execute()
    nbformat.validate(notebook)
    (data,) = [o["data"] for o in notebook.cells[1].outputs if "image/svg+xml" in o.get("data", {})]
    assert "6 of 6" in data["text/plain"] and "The cluster has ended." in data["text/plain"]
    check_bundle(data)


@pytest.mark.slow
def test_without_a_notebook_it_is_printed_once(tmp_path: Path) -> None:
    code = "import nbray\nnbray.init(num_cpus=1)\nf = nbray.remote(lambda: 1)\nnbray.get(f.remote())\nboard = nbray.dashboard()\nassert board.closed"
    script = tmp_path / "program.py"
    script.write_text(f"if __name__ == '__main__':\n    {code.replace(chr(10), chr(10) + '    ')}\n")
    for front in ([], ["-m", "IPython", "--colors=NoColor", "--quick"]):
        text = code if not front else code.replace("assert board.closed", "board.close()")
        script.write_text(text + "\n")
        done = subprocess.run(
            [sys.executable, *front, str(script)], env=environment(tmp_path), cwd=ROOT, capture_output=True, text=True, timeout=120
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("1 of 1") == 1, done.stdout + done.stderr
