"""What stands under cells, in JupyterLab and in Notebook 7: a button that can be pressed, and what a saved notebook shows."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .lab import LabPage

WORK = "%%remote --async\nimport time\nprint('begun')\ntime.sleep(1000)\nnever = 1"


def open_notebook(lab: LabPage, address: str, name: str) -> None:
    """A new notebook there."""
    notebook = {"cells": [], "metadata": {"kernelspec": {"name": "nbray"}}, "nbformat": 4, "nbformat_minor": 5}
    (lab.server.folder / "work" / name).write_text(json.dumps(notebook))
    look_at(lab, address + name)


def look_at(lab: LabPage, address: str) -> None:
    """Open a notebook by its address."""
    lab.page.goto(lab.server.url + address)
    lab.page.wait_for_selector(".jp-NotebookPanel")
    lab.page.wait_for_function("() => window.jupyterapp")
    lab.wait_idle()


AS_OF = "() => [...document.querySelectorAll('.nb-old')].map(one => getComputedStyle(one).visibility)"
# At one moment: the line is drawn anew four times a second.
BESIDE = """() => {
  const row = document.querySelector('.nbray-live .nb-row')?.getBoundingClientRect();
  const words = document.querySelector('.nbray-live .nb-row > span:first-child')?.getBoundingClientRect();
  const button = document.querySelector('button.widget-button')?.getBoundingClientRect();
  return row && words && button && button.height > 10
    && button.top >= row.top - 4 && button.bottom <= row.bottom + 4 && words.right <= button.left;
}"""


def button(lab: LabPage) -> Any:
    """The button of the line."""
    return lab.page.get_by_role("button", name="Cancel", exact=True)


@pytest.mark.parametrize("address", ["/lab/tree/", "/notebooks/"])
def test_the_button_stands_beside_its_line_and_stops_the_work(lab: LabPage, address: str) -> None:
    open_notebook(lab, address, f"button-{address.split('/')[1]}.ipynb")
    lab.start_cell(WORK)
    lab.page.get_by_text("begun", exact=True).wait_for()
    button(lab).wait_for()
    lab.page.wait_for_function(BESIDE)
    button(lab).click()
    lab.page.get_by_text("cell 1 was cancelled after").wait_for()
    button(lab).wait_for(state="detached")
    assert "TaskCancelledError" in lab.run_cell("nbray.get(never)")


@pytest.mark.parametrize("address", ["/lab/tree/", "/notebooks/"])
def test_a_notebook_that_was_saved_while_it_ran_says_so_without_its_kernel(lab: LabPage, address: str) -> None:
    name = f"saved-{address.split('/')[1]}.ipynb"
    open_notebook(lab, address, name)
    lab.run_cell("import nbray\nboard = nbray.dashboard()")
    lab.start_cell(WORK)
    button(lab).wait_for()
    lab.page.get_by_text("2 s").first.wait_for()
    lab.save()
    saved = json.loads((lab.server.folder / "work" / name).read_text())
    _, line = (output for output in saved["cells"][1]["outputs"] if output.get("metadata", {}).get("nbray"))
    assert sorted(line["data"]) == ["image/svg+xml", "text/html", "text/plain"]
    said = "".join(line["data"]["text/plain"])
    assert "; as of 20" in said
    assert said.startswith("cell 2 runs, ") and not said.startswith("cell 2 runs, 0 s")  # as it was by then
    lab.page.wait_for_function(f"() => ({AS_OF})().join() === 'hidden'")  # as long as somebody tells how it goes on
    lab.shut_down_kernels()
    lab.page.get_by_text("the cluster has ended", exact=False).first.wait_for()
    look_at(lab, address + name)  # as it was saved
    lab.page.get_by_text("cell 2 runs").wait_for()
    lab.page.wait_for_function(
        """() => {
          const outputs = [...document.querySelectorAll('.jp-OutputArea-output.jupyter-widgets')];
          return outputs.length === 2 && outputs.every(one => /model not found/.test(one.textContent) && !one.offsetHeight);
        }"""
    )
    lab.page.wait_for_function(f"() => ({AS_OF})()[0] === 'visible'")
