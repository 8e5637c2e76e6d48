"""The notebooks of notebooks/, executed with small parameters: what they claim holds, except for what they claim of time.

The parameters of a notebook stand in its cell with the tag "parameters", as papermill has it. `make test-notebooks` runs
them at their own size instead.
"""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path
from typing import Any

import nbformat
import pytest
from kit import ROOT, headless
from nbclient import NotebookClient
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

FOLDER = ROOT / "notebooks"
FULL_SIZE = bool(os.environ.get("NBRAY_NOTEBOOKS_FULL"))
CELL_LIMIT_S = 900 if FULL_SIZE else 400


# What the notebook has ended takes a moment until it is gone. What joblib's processes come from is there until the kernel ends,
# and so is PySpark's virtual machine, after its session has stopped.
LOOK_FOR_PROCESSES = """
import json, psutil, time
def command(process):
    try:
        return " ".join(process.cmdline()) if process.status() != psutil.STATUS_ZOMBIE else ""
    except psutil.Error:
        return ""
end, left = time.monotonic() + 60, [""]
while left and time.monotonic() < end:
    time.sleep(0.05)
    left = [line for line in map(command, psutil.Process().children(recursive=True)) if line and not any(one in line for one in ("resource_tracker", "forkserver", "pyspark-shell"))]
"""


class Executed:
    """A notebook after its run, and the values that its kernel had then; those of its parameters, too."""

    def __init__(self, name: str, small: dict[str, Any], values: dict[str, str], folder: Path) -> None:
        notebook = load_notebook_node(str(FOLDER / f"{name}.ipynb"))
        if not FULL_SIZE:
            notebook = parameterize_notebook(notebook, small)
        asked = {name: name for name in small} | values
        wanted = ", ".join(f"{key!r}: {expression}" for key, expression in asked.items())
        look = LOOK_FOR_PROCESSES + f"print(json.dumps({{{wanted}, 'left': left}}))"
        notebook.cells.append(nbformat.v4.new_code_cell(look))
        # Not in notebooks/ itself: a run must not leave files there, and needs none but the modules beside it.
        for module in FOLDER.glob("*.py"):
            (folder / module.name).symlink_to(module)
        NotebookClient(
            notebook,
            timeout=CELL_LIMIT_S,
            kernel_name="python3",
            resources={"metadata": {"path": str(folder)}},
            config=headless(),
        ).execute()
        printed = notebook.cells.pop().outputs  # in as many pieces as the kernel pleases
        self.values = json.loads("".join(o["text"] for o in printed if o.get("name") == "stdout"))
        assert not self.values["left"], "the notebook ends its cluster"
        assert FULL_SIZE or {name: self.values[name] for name in small} == small
        self.outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
        self.text = "".join(o["text"] for o in self.outputs if o["output_type"] == "stream" and o["name"] == "stdout")

    @property
    def pictures(self) -> int:
        return sum("image/png" in output.get("data", {}) for output in self.outputs)

    def __getitem__(self, key: str) -> Any:
        return self.values[key]


@pytest.fixture
def execute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Execute a notebook by name with these parameters, and evaluate these expressions at its end."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")])))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    work = tmp_path / "work"
    work.mkdir()
    return lambda name, small, values: Executed(name, small, values, work)


def test_hyperparameters(execute: Any) -> None:
    small = {"candidate_count": 9, "epochs": 9, "joblib_candidates": 3, "calls": 100}
    book = execute(
        "01-hyperparameters",
        small,
        {
            "full": "max(curve[-1] for curve in serial)",
            "halving": "history[best][-1]",
            "spent": "spent",
            "all": "len(candidates) * epochs",
            "test": "test_accuracy",
            "joblib": "found['ray'] == found['multiprocessing']",
        },
    )
    assert book["spent"] < book["all"]
    assert book["halving"] >= book["full"] - 0.1
    assert book["test"] > 0.8
    assert book["joblib"]
    assert book.pictures == 1
    assert "one warm task, there and back" in book.text


def test_pong(execute: Any) -> None:
    small = {"players": 2, "games": 64, "steps": 200, "rounds": 20, "compared": 2, "match_games": 50}
    values = {"random": "random_score", "learned": "learned_score", "same": "bool(same)", "curve": "len(curve)"}
    book = execute("02-pong", small, values)
    assert book["learned"] > book["random"] + 2, "it has learned something"
    assert book["same"], "actors and the serial run arrive at the same weights"
    assert book["curve"] == book["rounds"]
    assert book.pictures == 1


def test_dynamic_graphs(execute: Any) -> None:
    small = {"opening": "23422611227525715555", "budget": 1000, "looks": 40, "solved": 18}
    values = {
        "exact": "exact == found",
        "tasks": "tasks",
        "moves": "len(exact)",
        "best": "[tree.best() in winning for _, tree, _ in results.values()]",
        "visits": "[tree.root.visits for _, tree, _ in results.values()]",
    }
    book = execute("04-dynamic-graphs", small, values)
    assert book["exact"], "tasks and the serial run find the same values"
    assert book["tasks"] > book["moves"], "tasks have started tasks"
    assert book["best"][:2] == [True] * 2, "these two ways are the same in each run"
    assert book["visits"] == [book["looks"]] * 3
    assert book.pictures == 1


def test_serving(execute: Any) -> None:
    small = {"cars": 2, "decisions": 300, "models": 5, "reports_per_update": 25}
    values = {
        "cautious": "cautious_cost",
        "learned": "learned_cost",
        "answers": "[len(car) for car in waits]",
        "versions": "[sorted(car) == list(car) for car in versions]",
        "updates": "put_into_service",
    }
    book = execute("06-serving", small, values)
    assert book["learned"] < book["cautious"] / 2
    assert book["answers"] == [book["decisions"]] * book["cars"]
    assert book["versions"] == [True] * book["cars"], "no answer is older than the one before"
    assert book["updates"] >= 1, "put into service while it served"
    assert book.pictures == 1
    assert "p99" in book.text


def test_walker(execute: Any) -> None:
    small = {"generations": 8, "tries": 24, "moments": 100, "noise_size": 100_000}
    values = {
        "same": "same",
        "first": "float(first)",
        "last": "float(last)",
        "film": "len(film)",
        "curve": "len(curve)",
    }
    book = execute("03-walker", small, values)
    assert book["same"], "tasks and the serial run make the same robot"
    assert book["last"] > book["first"], "it gets further than without a plan"
    assert book["film"] == book["moments"]
    assert book["curve"] == book["generations"]
    assert book.pictures == 1


def test_iterative(execute: Any) -> None:
    small = {"points": 8000, "pages": 2000, "passes": 3, "turns": 1, "jobs": 40}
    if not FULL_SIZE:
        small["spark"] = "no"
    values = {
        "centres": "same_centres",
        "ranks": "same_ranks",
        "sum": "float(ranks['nbray'].sum())",
        "ours": "len(ours)",
        "theirs": "len(theirs)",
        "code": "other.returncode",
    }
    book = execute("07-iterative", small, values)
    assert book["centres"] and book["ranks"], "the same as the serial run, bit by bit"
    assert book["sum"] == pytest.approx(1)
    assert book["ours"] == book["theirs"]
    assert book["code"] == 0
    assert book.pictures == 2
    assert "PySpark" in book.text, "run, or said that it is left out"


def test_tensorflow_and_pytorch(execute: Any) -> None:
    there = [name for name in ("tensorflow", "torch") if importlib.util.find_spec(name)]
    if not there:
        pytest.skip("no TensorFlow and no PyTorch here: make test-notebooks installs them")
    small = {"rounds": 60, "batch": 64, "hidden": 64, "pause_s": 0.02, "turns": 1}
    values = {
        "networks": "list(networks)",
        "left_out": "left_out",
        "elsewhere": "same_answers",
        "same": "same_weights",
        "accuracy": "[*step_accuracy.values(), *server_accuracy.values()]",
        "steps": "list(steps_made.values())",
        "gradients": "rounds * learners",
    }
    book = execute("05-tensorflow", small, values)
    assert len(book["networks"]) == len(there)
    assert all(f"{name} is left out" in book.text for name in book["left_out"])
    assert list(book["elsewhere"].values()) == [True] * len(there), "weights make the same network in another process"
    assert list(book["same"].values()) == [True] * len(there), (
        "learners in step and the serial run arrive at the same weights"
    )
    assert min(book["accuracy"]) > (0.8 if FULL_SIZE else 0.4)
    assert book["steps"] == [book["gradients"]] * len(there), "no gradient is lost"
    assert book.pictures == 1


def notebooks() -> list[Path]:
    return sorted(FOLDER.glob("*.ipynb"))


@pytest.mark.parametrize("path", notebooks(), ids=lambda path: path.stem)
def test_what_is_committed(path: Path) -> None:
    """Outputs of one whole run in order, small, without a trace of the machine; and the list of notebooks has it."""
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1)), "run once, from top to bottom"
    assert sum("parameters" in cell.metadata.get("tags", []) for cell in code) == 1
    pictures = 0
    for cell in code:
        for output in cell.outputs:
            assert output["output_type"] != "error"
            assert output.get("name") != "stderr", output["text"]
            picture = output.get("data", {}).get("image/png", "")
            pictures += bool(picture)
            assert len(picture) * 3 / 4 < 100_000
            shown = json.dumps(output.get("data", {}).get("text/plain", output.get("text", "")))
            assert str(ROOT) not in shown and "/home/" not in shown and "/tmp/" not in shown
            assert "Warning" not in shown
    assert pictures >= 1
    assert f"({path.name})" in (FOLDER / "README.md").read_text()
