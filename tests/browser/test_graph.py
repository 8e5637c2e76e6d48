"""The graph, the timeline and the table of tasks in a real JupyterLab, found as a person or a screen reader would."""

from __future__ import annotations

GRAPH_CELL = """\
import nbray
@nbray.remote
def load(i):
    return i
@nbray.remote
def clean(x):
    if x == 3:
        raise ValueError("empty file")
    return x
@nbray.remote
def search(n):
    return sum(nbray.get([load.remote(i) for i in range(n)]))
cleaned = [clean.remote(load.remote(i)) for i in range(12)]
nbray.get(search.remote(5)), len(nbray.wait(cleaned, num_returns=12)[0])"""

WAITING_CELL = """\
import os, time
@nbray.remote
def held(path):
    while not os.path.exists(path):
        time.sleep(0.01)
refs = [held.remote("go-on") for _ in range(6)]"""


def test_groups_edges_and_what_failed(lab):
    """The six names in the notebook become four groups; the failed task is one click from its group."""
    lab.new_notebook()
    lab.show_panel("main")
    assert lab.run_cell(GRAPH_CELL) == "(10, 12)"
    lab.group("load, 12 tasks, 12 done")
    lab.group("search, 1 task, 1 done")
    lab.group("load, 5 tasks, 5 done")  # those that search started are a group of their own
    clean = lab.group("clean, 12 tasks, 11 done, 1 failed")
    clean.focus()
    lab.page.keyboard.press("Enter")
    details = lab.panel.get_by_role("complementary", name="clean")
    details.get_by_role("button", name="clean[3]").click()
    task = lab.panel.get_by_role("complementary", name="clean[3]")
    assert "failed" in task.inner_text()
    assert "cell 1" in task.inner_text()
    task.get_by_role("button", name="load[3]").click()  # its input
    assert "done" in lab.panel.get_by_role("complementary", name="load[3]").inner_text()
    lab.panel.get_by_role("button", name="Close details").click()
    assert lab.panel.get_by_role("complementary").count() == 0


def test_the_tasks_are_drawn_listed_and_found(lab):
    lab.new_notebook()
    lab.show_panel("main")
    lab.run_cell(GRAPH_CELL)
    lab.group("clean, 12 tasks")
    drawn = lab.page.evaluate(
        """() => {
          const canvas = document.querySelector('.nbray-graph canvas');
          const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
          return data.some((value, i) => i % 4 === 3 && value > 0);
        }"""
    )
    assert drawn
    lab.show_tab("Tasks")
    table = lab.panel.get_by_role("grid", name="Tasks")
    table.get_by_text("30 of 30 tasks").wait_for()
    lab.panel.get_by_role("searchbox", name="Find tasks").fill("clean")
    table.get_by_text("12 of 30 tasks").wait_for()
    table.get_by_role("columnheader", name="task").click()
    first = table.get_by_role("row").nth(1)
    assert first.inner_text().startswith("clean[0]")
    first.click()
    lab.panel.get_by_role("complementary", name="clean[0]").wait_for()
    first.focus()
    for key, name in (("ArrowDown", "clean[1]"), ("End", "clean[11]"), ("Home", "clean[0]"), ("ArrowDown", "clean[1]")):
        lab.page.keyboard.press(key)
        lab.page.wait_for_function("name => document.activeElement.textContent.startsWith(name)", arg=name)
    lab.page.keyboard.press("Enter")
    lab.panel.get_by_role("complementary", name="clean[1]").wait_for()
    lab.show_tab("Timeline")
    lab.panel.get_by_role("tree", name="Timeline").wait_for(state="attached")
    lab.page.wait_for_selector(".nbray-timeline canvas")


def test_running_and_waiting_tasks_while_they_do(lab, server):
    lab.new_notebook()
    lab.show_panel()
    lab.run_cell("import nbray\nnbray.init(num_cpus=2)\n1")
    lab.run_cell(WAITING_CELL + "\n2")
    lab.group("held, 6 tasks, 2 running, 4 waiting for a place")
    (server.folder / "work" / "go-on").touch()
    lab.group("held, 6 tasks, 6 done")
