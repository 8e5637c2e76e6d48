"""What the details of a task say, in the words that a person reads."""

from __future__ import annotations

import re

import pytest

CRASHES = """\
import os, time
import nbray
nbray.init(num_cpus=2)
@nbray.remote(max_retries=3)
def fragile():
    with open("runs", "a") as file:
        file.write("x")
    if len(open("runs").read()) < 3:
        os.kill(os.getpid(), 9)
    while not os.path.exists("go-on"):
        time.sleep(0.01)
ref = fragile.remote()
'submitted'"""

ACTOR = """\
@nbray.remote(num_cpus=1)
class Trainer:
    def train(self):
        while not os.path.exists("go-on"):
            time.sleep(0.01)
trainer = Trainer.remote()
call = trainer.train.remote()
@nbray.remote
def evaluate(n):
    return n
waiting = [evaluate.remote(n) for n in range(3)]
2"""

# What would be cut of the cells of a table that can be seen.
CUT = """label => [...document.querySelectorAll(`[role=grid][aria-label="${label}"] [role=gridcell]`)]
  .filter(cell => cell.scrollWidth > cell.clientWidth).map(cell => cell.textContent)"""


def details(lab, name):
    """Open the details of a task, found in the table."""
    lab.show_tab("Tasks")
    lab.panel.get_by_role("searchbox", name="Find tasks").fill(name)
    lab.panel.get_by_role("grid", name="Tasks").get_by_role("row", name=name).click()
    return lab.panel.get_by_role("complementary", name=name, exact=True)


def test_tries_holders_and_who_is_first(lab, server):
    lab.new_notebook()
    lab.show_panel()
    # Beside it stands, as soon as it is known, that a try has failed: before the cell's end or after it.
    assert "'submitted'" in lab.run_cell(CRASHES)
    fragile = details(lab, "fragile[0]")
    fragile.get_by_text("3 of 4", exact=True).wait_for()
    tries = fragile.get_by_text(re.compile(r"^try \d in process \d+ failed: WorkerCrashedError: "))
    tries.nth(1).wait_for()
    assert [text[:6] for text in tries.all_inner_texts()] == ["try 1 ", "try 2 "]

    assert lab.run_cell(ACTOR) == "2"
    waits = details(lab, "evaluate[2]")
    why = waits.get_by_role("region", name="Why")
    # In the order of names; the actor is a link to its calls, and so is what it runs.
    lasts = r"for ([\d.]+ m?s|\d+ min \d+ s)"
    why.get_by_text(
        re.compile(
            rf"^Needs 1 CPU; 0 of 2 free; held by fragile\[0\] from cell 1 {lasts}, actor Trainer 1 from cell 2, "
            rf"running Trainer\.train\[0\] {lasts}\. 2 tasks stand before this one\.$"
        )
    ).wait_for()
    why.get_by_role("button", name="actor Trainer 1").click()
    lab.panel.get_by_role("complementary", name="Trainer.train").get_by_text("1 running").wait_for()
    # In the graph, too, a task is found.
    lab.show_tab("Graph")
    find = lab.panel.get_by_role("searchbox", name="Find tasks")
    nothing = lab.panel.locator(".nbray-graph .nbray-none")
    find.fill("evaluate[3]")
    nothing.wait_for()
    find.fill("evaluate[2]")
    nothing.wait_for(state="detached")
    (server.folder / "work" / "go-on").touch()
    lab.wait_for_count("FINISHED", 5)
    facts = details(lab, "fragile[0]").locator("dl").first
    facts.filter(has_text=re.compile(r"try\s*3$")).wait_for()


def test_a_selection_stays_while_more_comes_and_after_the_page_has_fallen_behind(lab):
    lab.new_notebook()
    lab.show_panel()
    lab.run_cell("import nbray\n@nbray.remote\ndef double(x):\n    return 2 * x\nnbray.get(double.remote(1))")
    task = details(lab, "double[0]")
    task.get_by_text("It is done").wait_for()
    # As a page does that begins to look again: the kernel sends everything anew, and goes on from there.
    again = """() => {
      const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
      const comms = [...kernel._comms.values()].filter(comm => comm.targetName === 'nbray.panel');
      comms.forEach(comm => comm.send({ v: 1, tasks: true }));
      return comms.length;
    }"""
    for many in (5, 6, 7):
        assert lab.page.evaluate(again) == 1
        lab.run_cell(f"len(nbray.get([double.remote(n) for n in range({many})]))")
        lab.panel.get_by_role("searchbox", name="Find tasks").fill("")
        lab.panel.get_by_role("grid", name="Tasks").get_by_text(f"{1 + sum(range(5, many + 1))} of").wait_for()
        task.get_by_text("It is done").wait_for()
        assert lab.panel.get_by_role("complementary").count() == 1


def test_nothing_is_cut_where_there_is_hardly_any_room(lab):
    lab.new_notebook()
    lab.show_panel()
    lab.run_cell(
        "import nbray\n@nbray.remote\ndef measure(x):\n    return x\n"
        "weights = nbray.put(bytes(200_000))\nlen(nbray.get([measure.remote(weights) for _ in range(120)]))"
    )
    lab.wait_for_count("FINISHED", 120)
    lab.set_panel_width(320)
    for tab, row in (("Tasks", "measure[119]"), ("Objects", "weights"), ("Nodes", "alive")):
        lab.show_tab(tab)
        lab.panel.get_by_role("grid", name=tab).get_by_role("row", name=row).first.wait_for()
        lab.page.wait_for_function(f"label => ({CUT})(label).length === 0", arg=tab)


def test_nothing_is_cut_in_larger_letters(lab):
    """JupyterLab's settings have a size of letters."""
    lab.new_notebook()
    lab.show_panel()
    lab.run_cell(
        "import nbray\nnbray.init(num_cpus=1)\n@nbray.remote\ndef measure(x):\n    return x\n"
        "@nbray.remote(num_cpus=1)\nclass Holder:\n    def hold(self): return 1\n"
        "holder = Holder.remote(); nbray.get(holder.hold.remote())\n"
        "waiting = [measure.remote(n) for n in range(20)]"
    )
    lab.set_panel_width(640)
    lab.show_tab("Tasks")
    columns = lab.panel.get_by_role("grid", name="Tasks").get_by_role("columnheader")
    lab.panel.get_by_role("row", name="measure[19]").get_by_text("waits for a place").wait_for()
    names = columns.all_inner_texts()
    setting = "document.documentElement.style"
    for size in (16, 19):
        lab.page.evaluate(f"() => {setting}.setProperty('--jp-ui-font-size1', '{size}px')")
        lab.page.wait_for_function(f"label => ({CUT})(label).length === 0", arg="Tasks")
    assert len(columns.all_inner_texts()) <= len(names)
    lab.page.evaluate(f"() => {setting}.removeProperty('--jp-ui-font-size1')")
    lab.page.wait_for_function(
        "names => document.querySelectorAll('[role=grid][aria-label=Tasks] [role=columnheader]').length === names.length",
        arg=names,
    )


@pytest.mark.parametrize("lab", [{"reduced_motion": "no-preference"}], indirect=True)
def test_an_error_pulses_once(lab):
    lab.new_notebook()
    lab.show_panel()
    lab.run_cell("import nbray\n@nbray.remote\ndef fail():\n    1 / 0\nlen(nbray.wait([fail.remote()])[0])")
    lab.panel.locator(".nbray-failures .nbray-mod-new").wait_for()
    lab.show_tab("Tasks")
    lab.show_tab("Graph")
    lab.panel.locator(".nbray-failures button").wait_for()
    assert lab.panel.locator(".nbray-failures .nbray-mod-new").count() == 0


def test_the_way_in_and_what_the_mouse_finds(lab):
    """The launcher's card opens it; the pointer is told of a card and of a task; the wheel makes it larger."""
    page = lab.page
    page.locator(".jp-LauncherCard").filter(has_text=re.compile(r"^\s*nbray\s*$")).click()
    lab.panel.wait_for()
    lab.new_notebook()
    lab.show_panel("below")
    lab.wait_for_panel("No cluster yet.")
    lab.run_cell(
        "import nbray\n@nbray.remote\ndef make(n):\n    return bytes(n)\nkept = nbray.put(1)\nref = make.remote(70_000)"
    )
    lab.group("make, 1 task, 1 done")
    canvas = lab.panel.locator(".nbray-graph canvas")
    box = canvas.bounding_box()
    hint = lab.panel.get_by_role("tooltip")

    def at(words):
        """Move the pointer to where it is told this."""
        for y in range(40, 200, 6):
            for x in range(20, 160, 12):
                lab.hover(box["x"] + x, box["y"] + y)
                if hint.count() > 0 and words in hint.inner_text():
                    return
        raise AssertionError(f"nothing says {words!r}")

    at("1 done")
    assert "make" in hint.inner_text() and "cell 1" in hint.inner_text()
    picture = "e => e.toDataURL()"
    before = canvas.evaluate(picture)
    page.mouse.wheel(0, -300)
    page.wait_for_function("([e, before]) => e.toDataURL() !== before", arg=[canvas.element_handle(), before])
    lab.panel.get_by_role("button", name="Fit").click()
    lab.group("make, 1 task, 1 done").focus()
    page.keyboard.press("ArrowRight")
    lab.group("make[0], done")
    at("make[0]")
    hint.get_by_text(re.compile(r"done · [\d.]+ [mu]?s · cell 1")).wait_for()
    hint.get_by_text("results: 70 KB").wait_for()  # once the pointer has rested there
