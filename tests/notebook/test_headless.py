"""Without a front end: nbclient, and IPython in a terminal."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from kit import ROOT, headless
from nbclient import NotebookClient

pytestmark = pytest.mark.slow


def environment(folder: Path) -> dict[str, str]:
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, "PYTHONPATH": path, "IPYTHONDIR": str(folder / "ipython")}


def test_nbclient_gets_all_outputs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name, value in environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    sources = [
        "%load_ext nbray\nimport nbray",
        "@nbray.remote\ndef say(text):\n    print(text)",
        "nbray.get([say.remote('from a task')])\nNone",
        "%%remote --quiet\nprint('from a cell')\nimport matplotlib.pyplot as plt\nplt.plot([1, 2])\n6 * 7",
        "nbray.shutdown()",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    # A line may come in two pieces when its kernel was held up in between; in files they are one, as in a browser.
    NotebookClient(
        notebook,
        timeout=120,
        kernel_name="python3",
        resources={"metadata": {"path": str(tmp_path)}},
        coalesce_streams=True,
        config=headless(),
    ).execute()
    # Where the first worker takes its time, there is a line under the cell as well.
    assert [output["text"] for output in notebook.cells[2].outputs if "text" in output] == ["from a task\n"]
    kinds = [output["output_type"] for output in notebook.cells[3].outputs]
    assert sorted(kinds) == ["display_data", "execute_result", "stream"]
    assert notebook.cells[3].outputs[0]["text"] == "from a cell\n"
    nbformat.validate(notebook)
    assert "nbray" not in caplog.text, "nothing of ours that nobody listens for"


# Makes the file once a line stands under the cell: what is quicker than that has none.
WHEN_SHOWN = """
import threading, time
def make_when_shown(path, lines=get_ipython()._nbray_extension.magics.cells.lines):
    while not any(line.shown and not line._done for line in list(lines._lines)): time.sleep(0.01)
    open(path, 'w').close()
threading.Thread(target=make_when_shown, args=['shown'], daemon=True).start()
"""
UNTIL_SHOWN = "import os, time\nwhile not os.path.exists('shown'): time.sleep(0.01)\n"

SOURCES = [
    "steps = 2",
    "%load_ext nbray\nimport nbray\nnbray.init(num_cpus=2)" + WHEN_SHOWN,
    "%%remote --each x=range(steps)\n" + UNTIL_SHOWN + "y = x + 1",
    "%%remote --async\nprint('in the background')\nimport time\ntime.sleep(0.8)\nz = sum(y)",
    "nbray.get(z)",
    "%%remote --actor keeper\nimport threading\nlock = threading.Lock()\ntotal = z",
    "%%remote --actor keeper\nlock.locked(), total",
    "nbray.shutdown()",
]


def check_outputs(cells: list) -> None:  # type: ignore[type-arg]
    """What both nbclient and papermill must have kept of ``SOURCES``."""
    (progress,) = cells[0].outputs
    assert " items in " in progress["data"]["text/plain"]
    # What a cell prints, and how it ended, comes after it has ended here.
    lines = [output["data"]["text/plain"] for output in cells[1].outputs if output["output_type"] == "display_data"]
    assert " is done, " in lines[0]
    assert "in the background" in str(cells[1].outputs)
    assert cells[4].outputs[-1]["data"]["text/plain"].startswith("(False, ")


def test_nbclient_keeps_what_is_true_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in SOURCES])
    NotebookClient(
        notebook,
        timeout=120,
        kernel_name="python3",
        resources={"metadata": {"path": str(tmp_path)}},
        config=headless(),
    ).execute()
    check_outputs(notebook.cells[2:])
    assert notebook.cells[2].outputs[0]["data"]["text/plain"].startswith("2 of 2 items")
    nbformat.validate(notebook)


def test_papermill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import papermill

    for name, value in environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    cells = [nbformat.v4.new_code_cell(source) for source in SOURCES]
    cells[0].metadata["tags"] = ["parameters"]
    source, target = tmp_path / "in.ipynb", tmp_path / "out.ipynb"
    kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernelspec}), source)
    made = papermill.execute_notebook(
        str(source), str(target), {"steps": 3}, kernel_name="python3", progress_bar=False, cwd=str(tmp_path),
        config=headless(),
    )  # fmt: skip
    check_outputs(made.cells[3:])
    assert made.cells[3].outputs[0]["data"]["text/plain"].startswith("3 of 3 items")


def test_ipython_in_a_terminal(tmp_path: Path) -> None:
    (tmp_path / "when_shown.ipy").write_text(WHEN_SHOWN)
    script = tmp_path / "session.ipy"
    script.write_text(
        "%load_ext nbray\nimport nbray\n"
        "ip = get_ipython()\n"
        "ip.run_cell('def helper(v):\\n    return 1 / v')\n"
        "ip.run_cell(\"%%remote\\nprint('from the worker')\\nx = 5\\nx + 1\")\n"
        "print('x is', x)\n"
        "ip.run_cell('%%remote\\nhelper(0)')\n"
        "ip.run_cell('%%remote\\ndisplay({1: 2})')\n"
        "%run when_shown.ipy\n"  # only now: a cell before may have had a line, because it waited for a worker
        f"ip.run_cell({'%%remote --each i=range(3)' + chr(10) + UNTIL_SHOWN + 'j = i'!r})\n"
        "print('j is', j)\n"
        "ip.run_cell('%%remote --async\\nk = 7')\n"
        "print('k is', nbray.get(k))\n"
        "ip.run_cell('%nbray')\n"
        "nbray.shutdown()\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "IPython", "--colors=NoColor", "--quick", str(script)],
        env=environment(tmp_path), cwd=tmp_path, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    out = done.stdout + done.stderr
    assert "from the worker\n" in out
    assert "x is 5" in out
    assert "{1: 2}" in out
    assert "----> 2 helper(0)" in out
    assert "2     return 1 / v" in out
    assert "j is [0, 1, 2]" in out
    assert "nbray: 3 of 3 items in " in out
    assert "k is 7" in out
    assert "object store" in out
