"""What stands around the panel: clusters at the left, badges and the switch at cells, what can be saved."""

from __future__ import annotations

import json
import re
import tempfile
import time
from collections.abc import Iterator

import pytest

from .lab import LabServer, saved

TASKS = """\
import nbray
@nbray.remote
def halve(x):
    if x == 3:
        raise ValueError("<b>odd</b>")
    return x / 2
refs = [halve.remote(i) for i in range(5)]
len(nbray.wait(refs, num_returns=5)[0])"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabServer]:
    """A JupyterLab whose clusters nobody else sees."""
    with tempfile.TemporaryDirectory(prefix="nbx") as sessions:
        server = LabServer(tmp_path_factory.mktemp("lab"), XDG_RUNTIME_DIR=sessions)
        yield server
        server.stop()


def test_badges_the_switch_and_what_can_be_saved(lab):
    """A cell says what became of its tasks, also after a reload; the run is saved in four forms."""
    lab.new_notebook()
    assert lab.run_cell(TASKS) == "5"
    badge = lab.page.get_by_role("button", name="cell 1: 4 of 5 done, 1 failed")
    badge.wait_for()
    lab.save()
    lab.reload()
    badge.wait_for()
    badge.click()
    lab.group("halve, 5 tasks, 4 done, 1 failed")  # the panel has opened

    trace = json.loads(saved(lab, "nbray:export-trace"))
    assert [event["name"] for event in trace["traceEvents"] if event["ph"] == "X"] == ["halve"] * 5
    svg = saved(lab, "nbray:export-graph").decode()
    assert svg.startswith("<svg") and ">halve<" in svg
    assert saved(lab, "nbray:export-graph", format="png").startswith(b"\x89PNG")
    report = saved(lab, "nbray:export-report").decode()
    assert "halve[3]" in report and "1 failed" in report and "<script" not in report

    # Who clears what a cell has shown is not told of its tasks any more, also not after a reload.
    lab.page.evaluate("() => { window.jupyterapp.shell.currentWidget.content.activeCellIndex = 0; }")
    lab.run_command("notebook:clear-cell-output")
    badge.wait_for(state="detached")
    lab.save()
    lab.reload()
    lab.show_panel()  # JupyterLab writes down a second later that it was open
    lab.group("halve, 5 tasks, 4 done, 1 failed")
    lab.wait_idle()
    assert lab.page.locator(".nbray-badge").count() == 0
    assert saved(lab, "nbray:export-report").decode().count("cell 1") > 0  # its tasks know where they come from

    lab.page.evaluate("() => { window.jupyterapp.shell.currentWidget.content.activeCellIndex = 1; }")
    lab.set_cell("x = 1")
    switch = lab.page.get_by_role("button", name="%%remote")
    reads = "text => window.jupyterapp.shell.currentWidget.content.activeCell.model.sharedModel.source === text"
    switch.click()
    lab.page.wait_for_function(reads, arg="%%remote\nx = 1")
    lab.page.locator(".nbray-remote-switch [aria-pressed='true']").wait_for()
    switch.click()
    lab.page.wait_for_function(reads, arg="x = 1")

    # A cell of one line has room for its badge.
    assert lab.run_cell("nbray.get(nbray.remote(lambda x: x / 2).remote(8))") == "4.0"
    lab.page.wait_for_function(
        """() => {
          const badge = [...document.querySelectorAll('.nbray-badge')].find(e => e.ariaLabel.endsWith(': 1 of 1 done'));
          const [inner, outer] = [badge, badge?.closest('.jp-Cell-inputWrapper')].map(e => e?.getBoundingClientRect().bottom);
          return inner <= outer;
        }"""
    )


def test_a_cluster_without_a_kernel(lab):
    """Started in the list at the left, joined by a notebook, shown in the panel, stopped."""
    lab.new_notebook()
    lab.show_panel()
    lab.run_command("nbray:start-cluster", num_cpus=1, object_store_memory=200_000_000)
    clusters = lab.page.get_by_role("region", name="nbray clusters")
    card = clusters.get_by_role("listitem", name=re.compile("session_"))
    card.get_by_text("0 of 1 in use").wait_for()
    card.get_by_text("memory").wait_for()
    card.get_by_role("button", name="Scale").click()
    dialog = lab.page.get_by_role("dialog")
    dialog.get_by_role("spinbutton").fill("2")
    dialog.get_by_role("button", name="Scale").click()
    card.get_by_text("0 of 2 in use").wait_for()
    card.get_by_role("button", name="Connect notebook").click()
    lab.page.wait_for_function(
        "() => window.jupyterapp.shell.currentWidget.content.widgets[0].model.executionCount > 0"
    )
    assert "nbray.init(address=" in lab.page.evaluate(
        "() => window.jupyterapp.shell.currentWidget.content.widgets[0].model.sharedModel.source"
    )
    assert lab.run_cell(TASKS) == "5"
    card.get_by_role("button", name="Show").click()
    lab.panel.get_by_text(re.compile("^session_")).wait_for()
    lab.group("halve, 5 tasks, 4 done, 1 failed")  # as the server's side tells it
    lab.show_tab("Nodes")
    lab.panel.get_by_role("grid", name="Nodes").get_by_role("row", name="alive").wait_for()
    lab.panel.get_by_role("grid", name="Workers").get_by_role("row", name="driver").wait_for()
    lab.show_tab("Graph")
    card.get_by_role("button", name="Back to the notebook").click()
    lab.panel.get_by_text("Untitled").first.wait_for()
    lab.group("halve, 5 tasks, 4 done, 1 failed")
    # One more, told apart by its name; its end leaves the first as it is, and a way back.
    first = card.get_attribute("aria-label")
    lab.run_command("nbray:start-cluster", num_cpus=1, object_store_memory=200_000_000)
    other = clusters.locator(f"li.nbray-cluster-card:not([aria-label='{first}'])")
    other.get_by_text(re.compile("^session_")).wait_for()
    inside = "e => e.getBoundingClientRect().right <= e.closest('.nbray-clusters').getBoundingClientRect().right"
    assert other.evaluate(inside)
    other.get_by_role("button", name="Show").click()
    lab.panel.get_by_text(other.get_attribute("aria-label")).wait_for()
    other.get_by_role("button", name="Stop").click()
    lab.page.get_by_role("dialog").get_by_role("button", name="Stop").click()
    other.wait_for(state="detached")
    lab.panel.get_by_text("This cluster has ended.").wait_for()
    lab.panel.get_by_role("button", name="Back to the notebook").click()
    lab.group("halve, 5 tasks, 4 done, 1 failed")
    card.get_by_role("button", name="Stop").click()
    lab.page.get_by_role("dialog").get_by_role("button", name="Stop").click()
    clusters.get_by_text("No cluster is running").wait_for()


def test_settings_take_effect_at_once(lab, server):
    """Each is changed where JupyterLab changes settings, by a form."""
    page = lab.page
    lab.new_notebook()
    lab.show_panel()
    assert lab.run_cell(TASKS) == "5"
    lab.run_command("settingeditor:open", query="nbray")
    form = page.locator(".jp-SettingsPanel")

    def field(name: str):
        return form.locator(f"[id$='panel_{name}']")

    badge = page.locator(".nbray-badge")
    badge.wait_for(state="attached")
    field("cellBadges").click()
    badge.wait_for(state="detached")
    field("cellBadges").click()
    badge.wait_for(state="attached")
    color = "color => getComputedStyle(document.body).getPropertyValue('--nbray-run') === color"
    page.wait_for_function(color, arg="#0072b2")
    field("colors_RUNNING").fill("#ff00ff")
    page.wait_for_function(color, arg="#ff00ff")
    field("reportTasks").fill("2")
    stored = server.folder / "settings" / "nbray-labextension" / "panel.jupyterlab-settings"
    deadline = time.monotonic() + 60
    while not re.search(r'"reportTasks": 2\b', stored.read_text()):  # the form saves a moment later
        assert time.monotonic() < deadline
        time.sleep(0.05)
    field("updatesPerSecond").fill("5")  # what was stored before is in force once this is
    while '"updatesPerSecond": 5' not in stored.read_text():
        assert time.monotonic() < deadline, stored.read_text()
        time.sleep(0.05)
    assert b"3 more are not listed" in saved(lab, "nbray:export-report")
    # The panel that is open goes where it is wanted.
    place = "area => [...window.jupyterapp.shell.widgets(area)].some(one => one.id === 'nbray-panel' && one.isVisible)"
    for choice, area in (("below", "main"), ("main", "main"), ("right", "right")):
        field("area").select_option(label=choice)
        page.wait_for_function(place, arg=area)
    form.get_by_role("button", name="Restore to Defaults").click()
    page.wait_for_function(color, arg="#0072b2")


def test_notebook_7_has_the_panel_too(lab, server):
    """The classic notebook's successor: no status bar, no tabs, the same panel and badges."""
    notebook = {"cells": [], "metadata": {"kernelspec": {"name": "nbray"}}, "nbformat": 4, "nbformat_minor": 5}
    (server.folder / "work" / "seven.ipynb").write_text(json.dumps(notebook))
    lab.page.goto(f"{server.url}/notebooks/seven.ipynb")
    lab.page.wait_for_selector(".jp-NotebookPanel")
    lab.page.wait_for_function("() => window.jupyterapp")
    lab.wait_idle()
    lab.show_panel()
    assert lab.run_cell(TASKS) == "5"
    lab.group("halve, 5 tasks, 4 done, 1 failed")
    lab.page.get_by_role("button", name="cell 1: 4 of 5 done, 1 failed").wait_for()
    items = "() => [...document.querySelectorAll('.jp-NotebookPanel-toolbar > *')].map(e => e.dataset.jpItemName)"
    names = lab.page.evaluate(items)
    assert names[names.index("cellType") + 1] == "nbray-remote", names

    # Below the document, too; it is there again after a reload; where it is narrow, its tabs stand in one line.
    lab.show_panel("below")
    assert lab.panel.bounding_box()["height"] >= 300
    lab.save()
    lab.reload()
    lab.group("halve, 5 tasks, 4 done, 1 failed")
    assert lab.panel.bounding_box()["width"] > 1000
    lab.show_panel("main")  # there are no tabs beside the document
    lab.page.wait_for_function(
        """() => {
          const panel = document.querySelector('#jp-right-stack .nbray-panel');
          const tabs = [...(panel?.querySelectorAll('[role=tab]') ?? [])];
          return tabs.length > 0 && new Set(tabs.map(tab => tab.offsetTop)).size === 1
            && panel.getBoundingClientRect().right < window.innerWidth + 1;
        }"""
    )
    lab.page.evaluate("() => window.jupyterapp.shell.collapseRight()")
    lab.reload()
    lab.page.get_by_role("button", name="cell 1: 4 of 5 done, 1 failed").wait_for()
    assert lab.panel.count() == 0  # it was closed
