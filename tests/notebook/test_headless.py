"""Without a front end: nbclient, and IPython in a terminal."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from kit import ROOT
from nbclient import NotebookClient

pytestmark = pytest.mark.slow


def environment(folder: Path) -> dict[str, str]:
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, "PYTHONPATH": path, "IPYTHONDIR": str(folder / "ipython")}


def test_nbclient_gets_all_outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    sources = [
        "%load_ext nbray\nimport nbray",
        "@nbray.remote\ndef say(text):\n    print(text)",
        "nbray.get([say.remote('from a task')])\nNone",
        "%%remote\nprint('from a cell')\nimport matplotlib.pyplot as plt\nplt.plot([1, 2])\n6 * 7",
        "nbray.shutdown()",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    assert notebook.cells[2].outputs[0]["text"] == "from a task\n"
    kinds = [output["output_type"] for output in notebook.cells[3].outputs]
    assert sorted(kinds) == ["display_data", "execute_result", "stream"]
    assert notebook.cells[3].outputs[0]["text"] == "from a cell\n"
    nbformat.validate(notebook)


def test_ipython_in_a_terminal(tmp_path: Path) -> None:
    script = tmp_path / "session.ipy"
    script.write_text(
        "%load_ext nbray\nimport nbray\n"
        "ip = get_ipython()\n"
        "ip.run_cell('def helper(v):\\n    return 1 / v')\n"
        "ip.run_cell(\"%%remote\\nprint('from the worker')\\nx = 5\\nx + 1\")\n"
        "print('x is', x)\n"
        "ip.run_cell('%%remote\\nhelper(0)')\n"
        "ip.run_cell('%%remote\\ndisplay({1: 2})')\n"
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
