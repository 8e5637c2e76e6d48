"""What the pointer does in the graph and the timeline, what lights up, what the palette has, and a notebook that opens the panel."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from .lab import LabPage

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"

CHAIN = """\
import nbray
@nbray.remote
def first(x):
    return x
@nbray.remote
def second(x):
    return x
@nbray.remote
def third(x):
    return x
sum(nbray.get([third.remote(second.remote(first.remote(i))) for i in range(4)]))"""

# Without a cluster that runs: what stops, scales or joins one is there all the same.
COMMANDS = {
    "Cancel the Selected Task",
    "Connect This Notebook to a Cluster…",
    "Copy the Selection as Code",
    "Run This Cell on the Cluster (%%remote)",
    "Save a Report of the Run (HTML)",
    "Save the Task Graph as PNG",
    "Save the Task Graph as SVG",
    "Save the Tasks as a Trace (Perfetto, Chrome)",
    "Scale a Cluster…",
    "Show Cluster",
    "Show Cluster Below the Notebook",
    "Show Cluster in a Tab",
    "Show the Cell of the Selected Task",
    "Start a Cluster",
    "Start a Cluster in This Notebook",
    "Stop a Cluster…",
}

# Whether something of this cell can be seen.
IN_VIEW = """n => {
  const notebook = window.jupyterapp.shell.currentWidget.content;
  const [cell, box] = [notebook.widgets[n].node, notebook.outerNode].map(node => node.getBoundingClientRect());
  return cell.height > 0 && cell.bottom > box.top + 10 && cell.top < box.bottom - 10;
}"""


def told_around(lab: LabPage, x: float, y: float) -> str:
    """What the pointer is told around a place of the page; empty: nothing."""
    hint = lab.panel.get_by_role("tooltip")
    for dx, dy in ((0, 0), (-40, 0), (-80, 0), (40, 0), (80, 0), (0, -20), (0, 20), (-60, -20), (60, 20)):
        lab.hover(x + dx, y + dy)
        if hint.count() > 0:
            return hint.inner_text()
    return ""


def test_the_minimap_moves_what_is_seen(lab):
    """A click at its right end brings the last card, a drag to its left end the first; nothing is selected by either."""
    lab.new_notebook()
    lab.show_panel("below")
    assert lab.run_cell(CHAIN) == "6"
    lab.group("third, 4 tasks, 4 done").focus()
    for _ in range(8):
        lab.page.keyboard.press("+")
    box = lab.panel.locator(".nbray-graph canvas").bounding_box()
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    # It is 92 x 70 in the corner at the lower right; what it shows of three cards in a row is at its top.
    left, right, top = box["x"] + box["width"] - 96, box["x"] + box["width"] - 24, box["y"] + box["height"] - 75
    lab.page.mouse.click(right, top)
    assert told_around(lab, *middle).startswith("third")
    lab.page.mouse.move(right, top)
    lab.page.mouse.down()
    lab.page.mouse.move(left, top, steps=4)
    lab.page.mouse.up()
    assert told_around(lab, *middle).startswith("first")
    assert lab.panel.get_by_role("complementary").count() == 0


def test_a_cell_lights_up_its_tasks_and_a_node_brings_its_cell(lab):
    lab.new_notebook()
    lab.show_panel()
    assert lab.run_cell(CHAIN) == "6"
    lab.run_cell("@nbray.remote\ndef other():\n    return 1\nnbray.get(other.remote())")
    lab.run_cell("\n" * 100 + "1")
    lab.group("other, 1 task, 1 done")
    canvas = lab.panel.locator(".nbray-graph canvas")
    lit = "names => names.join() === [...document.querySelectorAll('.nbray-graph [aria-current=true]')]"
    lit += ".map(item => item.ariaLabel.split(',')[0]).join()"
    lab.page.wait_for_function(lit, arg=[])
    dark = canvas.evaluate("e => e.toDataURL()")
    cells = lab.page.locator(".jp-NotebookPanel .jp-Cell .jp-InputPrompt")
    cells.nth(0).click()
    lab.page.wait_for_function(lit, arg=["first", "second", "third"])
    lab.page.wait_for_function("([e, dark]) => e.toDataURL() !== dark", arg=[canvas.element_handle(), dark])
    cells.nth(1).click()
    lab.page.wait_for_function(lit, arg=["other"])

    # By the pointer in the picture: the card of the first cell brings it back into view.
    notebook = lab.page.locator(".jp-NotebookPanel .jp-WindowedPanel-outer").bounding_box()
    lab.page.mouse.move(notebook["x"] + 20, notebook["y"] + 200)
    lab.page.mouse.wheel(0, 1500)
    lab.page.wait_for_function(f"() => !({IN_VIEW})(0)")
    box = canvas.bounding_box()
    hint = lab.panel.get_by_role("tooltip")
    for y in range(40, int(box["height"]), 20):
        lab.hover(box["x"] + 60, box["y"] + y)
        if hint.count() > 0 and hint.inner_text().startswith("first"):
            break
    lab.page.mouse.click(box["x"] + 60, box["y"] + y)
    lab.panel.get_by_role("complementary", name="first").wait_for()
    lab.page.wait_for_function(IN_VIEW, arg=0)


@pytest.mark.parametrize("lab", [{"permissions": ["clipboard-read", "clipboard-write"]}], indirect=True)
def test_an_id_is_copied_and_the_pointer_reads_the_curves(lab):
    lab.new_notebook()
    lab.show_panel()
    assert lab.run_cell(CHAIN) == "6"
    lab.show_tab("Tasks")
    lab.panel.get_by_role("row", name="second[2]").click()
    details = lab.panel.get_by_role("complementary", name="second[2]", exact=True)
    details.get_by_role("button", name="Copy id", exact=True).click()
    details.get_by_role("status").get_by_text("Its id is in the clipboard.").wait_for()
    copied = lab.page.evaluate("() => navigator.clipboard.readText()")
    state = "from nbray.util.state import get_task\n"
    assert lab.run_cell(f"{state}task = get_task({copied!r})\n(task.name, task.state)") == "('second', 'FINISHED')"
    details.get_by_role("button", name="Close details").click()

    lab.show_tab("Timeline")
    lab.panel.get_by_role("treeitem", name=re.compile(r"^CPU, \d+ %")).wait_for(state="attached")
    canvas = lab.panel.locator(".nbray-timeline .nbray-canvas")
    hint = lab.panel.get_by_role("tooltip")
    told: set[str] = set()
    reads = re.compile(r"^(CPU · \d+ %|memory · .+ of .+|object store · .+ of .+) · at [\d.]+ (us|ms|s)$")
    box = canvas.bounding_box()
    for x in range(140, int(box["width"]), 40):
        for y in range(60, int(box["height"]), 25):
            lab.hover(box["x"] + x, box["y"] + y)
            if hint.count() > 0 and reads.match(words := hint.inner_text()):
                told.add(words.split(" ·")[0])
                y_of_curve = y
    assert told == {"CPU", "memory", "object store"}
    # Where the pointer is at the right edge, what it is told stands at its left, in one line.
    for x in range(int(box["width"]) - 2, 140, -10):
        lab.hover(box["x"] + x, box["y"] + y_of_curve)
        if hint.count() > 0:
            break
    beside = hint.bounding_box()
    assert beside["x"] + beside["width"] <= box["x"] + x and beside["height"] < 32, (beside, x)
    # The line at the pointer goes when the pointer does.
    picture = "e => e.toDataURL()"
    with_line = canvas.evaluate(picture)
    lab.page.mouse.move(5, 5)
    lab.page.wait_for_function(
        "([e, with_line]) => e.toDataURL() !== with_line", arg=[canvas.element_handle(), with_line]
    )
    assert hint.count() == 0


# Where something is drawn that is furthest left on the axis: in the row below the times (the tick of zero), and in each
# chart (its first sample); from the left edge of the names.
ZERO = """() => {
  const host = document.querySelector('.nbray-timeline-canvas');
  const left = host.getBoundingClientRect().left;
  const first = (canvas, from, top, height) => {
    const ratio = canvas.width / canvas.clientWidth;
    const { data, width } = canvas.getContext('2d').getImageData(0, top * ratio, canvas.width, height * ratio);
    let x = from * ratio;
    while (x < width && !data.some((value, i) => i % 4 === 3 && value > 0 && (i >> 2) % width === x)) x++;
    return canvas.getBoundingClientRect().left - left + x / ratio;
  };
  const charts = [...host.querySelectorAll('.nbray-curve canvas')];
  return [first(host.querySelector('.nbray-canvas'), 120, 24, 2), ...charts.map(one => first(one, 0, 0, one.clientHeight))];
}"""


def test_lanes_and_curves_have_one_axis(lab):
    """Where the first sample is, all of them have zero: as it grows, moved and scaled over a curve, and in less room."""
    lab.new_notebook()
    lab.show_panel()
    lab.set_panel_width(560)
    lab.run_cell("import nbray\nnbray.init(num_cpus=1)\n1")
    lab.show_tab("Timeline")
    page, mouse = lab.page, lab.page.mouse
    page.wait_for_function(f"() => {{ const all = ({ZERO})(); return all.length === 4 && Math.max(...all) < 140; }}")
    curve = lab.panel.locator(".nbray-curve").nth(1).bounding_box()
    x, y = curve["x"] + 100, curve["y"] + curve["height"] / 2

    def zero() -> float:
        lab.wait_until_drawn()
        all_of_them = page.evaluate(ZERO)
        assert max(all_of_them) - min(all_of_them) <= 2, all_of_them
        return all_of_them[0]

    start = zero()
    mouse.move(x, y)
    mouse.down()
    mouse.move(x + 60, y, steps=4)
    mouse.up()
    lab.panel.locator(".nbray-follow[aria-pressed='false']").wait_for()
    moved = zero()
    assert abs(moved - start - 60) <= 2, (start, moved)
    mouse.move(x + 100, y)
    mouse.wheel(0, -200)
    page.wait_for_function(f"moved => Math.abs(({ZERO})()[0] - moved) > 5", arg=moved)
    scaled = zero()
    lab.set_panel_width(420)
    assert zero() != scaled
    # The moment at the pointer is marked on the curves; nothing is where nobody has looked yet.
    marks = lab.panel.locator(".nbray-curve .u-cursor-pt:not(.u-off)")
    lab.panel.get_by_role("button", name="Follow").click()
    box = lab.panel.locator(".nbray-curve").nth(1).bounding_box()
    mouse.move(box["x"] + box["width"] / 2, y)
    page.wait_for_function("() => document.querySelectorAll('.nbray-curve .u-cursor-pt:not(.u-off)').length === 3")
    mouse.move(box["x"] - 40, y)
    marks.first.wait_for(state="detached")
    # The lines of the last minute are charts, too.
    lab.show_tab("Nodes")
    page.wait_for_function(
        """() => {
          const charts = [...document.querySelectorAll('.nbray-line canvas')];
          const isDrawn = chart => {
            const { data } = chart.getContext('2d').getImageData(0, 0, chart.width, chart.height);
            return data.some((value, i) => i % 4 === 3 && value > 0);
          };
          return charts.length === 2 && charts.every(isDrawn);
        }"""
    )


def test_what_is_drawn_is_sharp_on_another_screen(lab):
    """Where a pixel of the page has more pixels of the screen, though the panel is as large as it was."""
    lab.new_notebook()
    lab.show_panel()
    assert lab.run_cell(CHAIN) == "6"
    sharp = """ratio => {
      const canvas = document.querySelector('.nbray-panel .nbray-canvas');
      return devicePixelRatio === ratio && canvas?.width === Math.round(canvas.clientWidth * ratio);
    }"""
    screen = lab.page.context.new_cdp_session(lab.page)
    for tab, item in (("Graph", "first, 4 tasks"), ("Timeline", "worker 1")):
        lab.show_tab(tab)
        lab.group(item).focus()
        lab.page.wait_for_function(sharp, arg=1)
        for ratio in (2, 1.5, 1):
            size = {**lab.page.viewport_size, "deviceScaleFactor": ratio, "mobile": False}
            screen.send("Emulation.setDeviceMetricsOverride", size)
            lab.page.keyboard.press("+")  # something is drawn
            lab.page.wait_for_function(sharp, arg=ratio)


def test_the_palette_has_every_command(lab):
    lab.run_command("apputils:activate-command-palette")
    lab.page.wait_for_function(
        """names => {
          const input = document.querySelector('#command-palette input');
          input.value = 'nbray';
          input.dispatchEvent(new Event('input', { bubbles: true }));
          const found = [...document.querySelectorAll('#command-palette .lm-CommandPalette-itemLabel')];
          return names.every(name => found.some(label => label.textContent === name));
        }""",
        arg=sorted(COMMANDS),
    )


def test_the_demo_opens_with_the_panel(lab, server):
    """Once: who closes it is left alone when the notebook comes to the front again; other notebooks do not open it."""
    shutil.copy(NOTEBOOKS / "01-hyperparameters.ipynb", server.folder / "work" / "demo.ipynb")
    lab.new_notebook()
    other = lab.notebook_path()
    assert lab.panel.count() == 0
    lab.run_command("docmanager:open", path="demo.ipynb")
    lab.wait_for_panel("This kernel has not loaded nbray.")  # its first cell does
    lab.page.wait_for_function(
        "() => document.activeElement.closest('.jp-NotebookPanel') !== null"
    )  # one goes on there
    lab.page.evaluate("() => window.jupyterapp.shell.collapseRight()")
    lab.panel.wait_for(state="detached")
    for path in (other, "demo.ipynb"):
        lab.run_command("docmanager:open", path=path)
        lab.page.wait_for_function("path => window.jupyterapp.shell.currentWidget.context?.path === path", arg=path)
        lab.wait_until_drawn()
    assert lab.panel.count() == 0
