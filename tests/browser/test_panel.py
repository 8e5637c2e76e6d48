"""The panel in a real JupyterLab, with the installed nbray and real clusters."""

from __future__ import annotations

import contextlib
import json
import re
import time

import pytest

from .lab import browser_tab_beside

FIRST_CELL = """\
import nbray
@nbray.remote
def double(x):
    return 2 * x
len(nbray.get([double.remote(i) for i in range(200)]))"""

# Whether anything can be seen of the graph.
GRAPH_IS_DRAWN = """() => {
  const canvas = document.querySelector('.nbray-graph canvas');
  if (!canvas?.width || !canvas.height) return false;
  const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height / 2);
  return data.some((value, i) => i % 4 === 3 && value > 0);
}"""

# Stays in the middle of a cell while the workers go on.
LONG_CELL = """\
import time
end = time.monotonic() + {seconds}
while time.monotonic() < end:
    nbray.get([double.remote(i) for i in range(50)])
    time.sleep(0.02)
"""


def test_says_that_there_is_no_cluster_and_what_to_do(lab):
    lab.new_notebook()
    lab.show_panel()
    lab.wait_for_panel("No cluster yet. It starts with the first %%remote cell.")
    lab.panel.get_by_role("button", name="Insert a %%remote cell").click()
    text = lab.page.evaluate("() => window.jupyterapp.shell.currentWidget.content.activeCell.model.sharedModel.source")
    assert text == "%%remote\n"


def test_counts_after_the_first_tasks(lab):
    lab.new_notebook()
    lab.show_panel()
    assert lab.run_cell(FIRST_CELL) == "200"
    assert lab.wait_for_count("FINISHED", 200) >= 200
    assert lab.count("FAILED") == 0
    assert lab.run_cell("len(nbray.get([double.remote(i) for i in range(10_000)]))") == "10000"
    lab.wait_for_count("FINISHED", 10_200)
    lab.panel.get_by_role("treeitem", name=re.compile(r"^double, [\d,]{5,} tasks")).first.wait_for(state="attached")
    assert lab.fact("node") == 1
    assert "CPU" in lab.panel.locator(".nbray-cluster").inner_text()
    lab.page.locator(".nbray-status-button").wait_for()


def test_a_remote_cell_starts_the_cluster(lab):
    lab.new_notebook()
    lab.show_panel()
    lab.wait_for_panel("No cluster yet.")
    assert lab.run_cell("%%remote\n6 * 7") == "42"
    assert lab.wait_for_count("FINISHED", 1) >= 1


def test_counts_move_while_a_cell_runs(lab):
    lab.new_notebook()
    lab.show_panel()
    lab.run_cell(FIRST_CELL)
    before = lab.wait_for_count("FINISHED", 200)
    lab.start_cell(LONG_CELL.format(seconds=300))
    lab.wait_for_count("FINISHED", before + 100)
    assert lab.is_running()
    lab.interrupt()


def test_counts_are_back_after_a_reload_in_mid_cell(lab):
    lab.new_notebook()
    lab.show_panel()
    lab.run_cell(FIRST_CELL)
    lab.wait_for_count("FINISHED", 200)
    lab.save()
    lab.start_cell(LONG_CELL.format(seconds=300))
    lab.wait_for_count("FINISHED", 300)
    seen = lab.count("FINISHED")
    lab.reload()
    lab.show_panel()
    lab.wait_for_count("FINISHED", seen)
    now = lab.count("FINISHED")
    lab.wait_for_count("FINISHED", now + 50)  # and they move: the cell still runs
    lab.interrupt()


def test_follows_a_restart_of_the_kernel(lab):
    lab.new_notebook()
    lab.show_panel()
    lab.run_cell(FIRST_CELL)
    lab.wait_for_count("FINISHED", 200)
    lab.restart_kernel()
    lab.wait_for_panel("No cluster yet.")
    lab.run_cell(FIRST_CELL)
    lab.wait_for_count("FINISHED", 200)


def test_follows_a_kernel_that_died_and_was_started_again(lab):
    lab.new_notebook()
    lab.show_panel()
    lab.run_cell(FIRST_CELL)
    lab.wait_for_count("FINISHED", 200)
    lab.start_cell("import os; os.kill(os.getpid(), 9)")
    lab.wait_for_panel("No cluster yet.")
    lab.page.get_by_role("button", name="Ok", exact=True).click()  # JupyterLab says that the kernel died
    lab.run_cell(FIRST_CELL)
    lab.wait_for_count("FINISHED", 200)


def test_follows_a_console_too(lab):
    lab.run_command("console:create", kernelPreference={"name": "nbray"})
    lab.page.wait_for_selector(".jp-CodeConsole")
    lab.show_panel()
    lab.wait_for_panel("No cluster yet.")
    lab.panel.get_by_role("button", name="Insert a %%remote cell").click()
    lab.page.wait_for_function(
        "() => window.jupyterapp.shell.currentWidget.console.promptCell.model.sharedModel.source === '%%remote\\n'"
    )
    lab.panel.get_by_role("button", name="Start a cluster").click()
    lab.wait_for_count("FINISHED", 0)
    lab.page.evaluate(
        "code => void window.jupyterapp.shell.currentWidget.console.inject(code)", FIRST_CELL.replace("len(", "print(")
    )
    lab.wait_for_count("FINISHED", 200)


def test_the_console_of_a_notebook_shows_the_same_cluster(lab):
    lab.new_notebook()
    lab.show_panel()
    lab.run_cell(FIRST_CELL)
    lab.wait_for_count("FINISHED", 200)
    lab.run_command("notebook:create-console")
    lab.page.wait_for_selector(".jp-CodeConsole")
    lab.panel.get_by_title("The panel follows the console in front").wait_for()
    lab.wait_for_count("FINISHED", 200)


def test_a_kernel_without_nbray_is_left_alone_until_it_loads_it(lab):
    lab.new_notebook("python3")
    lab.show_panel()
    lab.wait_for_panel("This kernel has not loaded nbray.")
    lab.run_cell("%load_ext nbray\n1")
    lab.wait_for_panel("No cluster yet.")
    # Nothing was asked that the kernel would complain of on its stderr.
    assert "No such comm" not in lab.server.log_path.read_text()


def test_follows_the_notebook_in_front(lab):
    lab.new_notebook()
    lab.show_panel()
    lab.run_cell(FIRST_CELL)
    lab.wait_for_count("FINISHED", 200)
    # A person looks at some other place of the graph; the graph of another notebook begins where it can be seen.
    lab.group("double, 200 tasks, 200 done")
    box = lab.panel.locator(".nbray-graph canvas").bounding_box()
    lab.page.mouse.move(box["x"] + 10, box["y"] + box["height"] - 20)
    lab.page.mouse.down()
    lab.page.mouse.move(box["x"] + 10, box["y"] - 2000, steps=3)
    lab.page.mouse.up()
    lab.page.wait_for_function(f"() => !({GRAPH_IS_DRAWN})()")
    badge = lab.page.locator(".nbray-badge[aria-label='cell 1: 200 of 200 done']")
    badge.wait_for()
    lab.new_notebook()
    lab.wait_for_panel("No cluster yet.")
    assert badge.count() == 1  # what is over is so for good
    lab.run_cell(FIRST_CELL)
    lab.page.wait_for_function(GRAPH_IS_DRAWN)
    lab.run_command("application:activate-previous-tab")
    lab.wait_for_count("FINISHED", 200)


def test_says_that_the_cluster_has_died(lab):
    """What it did can still be looked at; another is one click away."""
    lab.new_notebook()
    lab.show_panel()
    lab.run_cell(FIRST_CELL)
    lab.wait_for_count("FINISHED", 200)
    lab.run_cell("import os; os.kill(nbray.nodes()[0]['pid'], 9)")
    lab.panel.get_by_text("has ended", exact=True).wait_for()
    assert lab.count("FINISHED") == 200
    lab.panel.get_by_role("button", name="Start another").click()
    lab.panel.get_by_text("has ended", exact=True).wait_for(state="detached")
    lab.wait_for_count("FINISHED", 0)
    lab.run_cell(FIRST_CELL)
    lab.wait_for_count("FINISHED", 200)


def test_says_that_the_connection_is_lost(lab):
    lab.new_notebook()
    lab.show_panel()
    lab.wait_for_panel("No cluster yet.")
    kernel = "window.jupyterapp.shell.currentWidget.sessionContext.session.kernel"
    lab.page.context.set_offline(True)
    lab.page.evaluate(f"() => void {kernel}.reconnect().catch(() => 0)")
    lab.wait_for_panel("There is no connection to the kernel now.")
    assert lab.panel.get_by_role("button").count() == 0
    lab.page.context.set_offline(False)
    lab.page.evaluate(f"() => void {kernel}.reconnect().catch(() => 0)")  # JupyterLab does so by itself, later
    lab.wait_for_panel("No cluster yet.")
    lab.run_cell(FIRST_CELL)
    lab.wait_for_count("FINISHED", 200)
    assert lab.panel.get_by_text("no connection").count() == 0
    lab.page.context.set_offline(True)
    lab.page.evaluate(f"() => void {kernel}.reconnect().catch(() => 0)")
    lab.panel.get_by_text("no connection").wait_for()
    lab.page.context.set_offline(False)
    lab.page.evaluate(f"() => void {kernel}.reconnect().catch(() => 0)")  # JupyterLab does so by itself, later
    lab.panel.get_by_text("no connection").wait_for(state="detached")
    lab.run_cell("len(nbray.get([double.remote(i) for i in range(10)]))")
    lab.wait_for_count("FINISHED", 210)


def test_two_tabs_show_the_same(lab):
    from .lab import LabPage

    lab.new_notebook()
    lab.show_panel()
    lab.run_cell(FIRST_CELL)
    lab.save()
    count = lab.wait_for_count("FINISHED", 200)
    second = LabPage(lab.page.context.new_page(), lab.server)
    second.open("/lab/workspaces/second/tree/" + lab.notebook_path())
    second.page.wait_for_selector(".jp-NotebookPanel")
    second.show_panel()
    assert second.wait_for_count("FINISHED", count) == count


def test_two_clients_of_one_kernel(lab):
    """Another person's browser: it shows the same, and follows a restart that was asked for elsewhere."""
    lab.new_notebook()
    lab.show_panel()
    lab.run_cell(FIRST_CELL)
    lab.save()
    with browser_tab_beside(lab) as other:
        other.open("/lab/workspaces/other/tree/" + lab.notebook_path())
        other.page.wait_for_selector(".jp-NotebookPanel")
        other.show_panel()
        other.wait_for_count("FINISHED", 200)
        # Which cell made what it has from the kernel: this page saw no cell run.
        other.page.get_by_role("button", name="cell 1: 200 of 200 done").click()
        other.group("double, 200 tasks, 200 done").focus()
        other.page.keyboard.press("Enter")
        other.panel.get_by_role("complementary", name="double").get_by_role("button", name="cell 1").click()
        other.page.wait_for_function("() => window.jupyterapp.shell.currentWidget.content.activeCellIndex === 0")
        lab.restart_kernel()
        lab.run_cell(FIRST_CELL + "\n@nbray.remote\ndef halve(x):\n    return x / 2\nnbray.get(halve.remote(1))")
        for one in (lab, other):
            one.group("halve, 1 task, 1 done")
            assert one.wait_for_count("FINISHED", 201) == 201  # the counts come by another message than the graph


def written_layout(server):
    """What the main area has, as the server knows it."""
    found = ""
    for file in (server.folder / "workspaces").iterdir():
        with contextlib.suppress(ValueError, KeyError):  # it is being written
            found += json.dumps(json.loads(file.read_text())["data"]["layout-restorer:data"]["main"])
    return found


def test_its_tab_has_a_name_also_after_a_reload(lab, server):
    lab.new_notebook()
    lab.show_panel("main")
    name = "() => [...window.jupyterapp.shell.widgets('main')].find(one => one.id === 'nbray-panel')?.title.label"
    assert lab.page.evaluate(name) == "Cluster"
    deadline = time.monotonic() + 60
    while '"nbray-panel"' not in written_layout(server):  # JupyterLab writes it down a little later
        assert time.monotonic() < deadline
        time.sleep(0.05)
    lab.page.reload()
    lab.panel.wait_for()
    assert lab.page.evaluate(name) == "Cluster"


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_fits_420_pixels_and_a_whole_tab(lab, theme):
    lab.new_notebook()
    lab.set_theme(theme)
    lab.show_panel()
    lab.run_cell(FIRST_CELL)
    lab.wait_for_count("FINISHED", 200)
    # As JupyterLab opens it: the tabs have one line all the same.
    lines = "() => new Set([...document.querySelectorAll('.nbray-panel [role=tab]')].map(tab => tab.offsetTop)).size"
    lab.page.wait_for_function(f"() => ({lines})() === 1")
    lab.set_panel_width(420)
    for area in ("right", "main"):
        lab.show_panel(area)
        # What is inside follows the new width a frame later.
        lab.page.wait_for_function("e => e.scrollWidth <= e.clientWidth", arg=lab.panel.element_handle())
        # Colours of the states come through in either theme.
        colour = lab.panel.locator("li[data-state='FINISHED'] svg").evaluate("e => getComputedStyle(e).color")
        assert colour == ("rgb(0, 158, 115)" if "Light" in theme else "rgb(47, 199, 155)")


@pytest.mark.parametrize("lab", [{"reduced_motion": "reduce"}], indirect=True)
def test_nothing_moves_for_those_who_want_it_still(lab):
    lab.new_notebook()
    lab.show_panel()
    lab.run_cell(FIRST_CELL)
    lab.start_cell("nbray.get(nbray.remote(lambda: __import__('time').sleep(600)).remote())")
    lab.wait_for_count("RUNNING", 1)
    animated = lab.panel.locator("li[data-state='RUNNING'] svg").evaluate("e => getComputedStyle(e).animationName")
    assert animated == "none"
    lab.interrupt()
