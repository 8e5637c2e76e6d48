"""What a person does to a table: columns are made wider, rows are copied, links are followed, by pointer and by keyboard."""

from __future__ import annotations

import re

import pytest

MANY = """\
import nbray
nbray.init(num_cpus=2)
@nbray.remote
def measure(x):
    return x
weights = nbray.put(bytes(200_000))
len(nbray.get([measure.remote(n) for n in range(120)]))"""

# Twenty tasks of a name come when there is a file of this name.
LATER = """\
import os, threading, time
def submit():
    for name in ("zeta", "alpha", "beta"):
        while not os.path.exists(name):
            time.sleep(0.01)
        nbray.get([measure.options(name=name).remote(n) for n in range(20)])
threading.Thread(target=submit, daemon=True).start()"""

# The colours that are drawn where an element lies, the most frequent first.
COLOURS = """element => {
  const canvas = element.closest('[role=grid]').querySelector('canvas');
  const [place, box] = [canvas.getBoundingClientRect(), element.getBoundingClientRect()];
  const ratio = canvas.width / place.width;
  const at = [box.left - place.left, box.top - place.top, box.width, box.height].map(one => Math.round(one * ratio));
  const { data } = canvas.getContext('2d').getImageData(...at);
  const counts = new Map();
  for (let i = 0; i < data.length; i += 4) {
    const colour = data.slice(i, i + 3).join();
    counts.set(colour, (counts.get(colour) ?? 0) + 1);
  }
  return [...counts].sort((a, b) => b[1] - a[1]).map(([colour]) => colour);
}"""

COPIES = pytest.mark.parametrize("lab", [{"permissions": ["clipboard-read"]}], indirect=True)


def tasks(lab):
    """A notebook with 120 tasks, and their table."""
    lab.new_notebook()
    lab.show_panel()
    assert lab.run_cell(MANY) == "120"
    lab.wait_for_count("FINISHED", 120)
    lab.show_tab("Tasks")
    table = lab.panel.get_by_role("grid", name="Tasks")
    table.get_by_text("120 of 120 tasks").wait_for()
    return table


def widths(table):
    """How wide the columns are, as their names and the cells below them say."""
    heads = [head.bounding_box()["width"] for head in table.get_by_role("columnheader").all()]
    cells = [cell.bounding_box()["width"] for cell in table.get_by_role("row").nth(1).get_by_role("gridcell").all()]
    assert heads == cells
    return heads


def edge(table, column):
    """Where the right edge of a column can be taken."""
    head = table.get_by_role("columnheader", name=column, exact=True).bounding_box()
    return head["x"] + head["width"] + 2, head["y"] + head["height"] / 2


def colours(table, text):
    """The colours in which the row with this text is drawn."""
    return table.get_by_role("gridcell", name=text, exact=True).first.evaluate(COLOURS)


def copied(lab):
    """What Ctrl+C puts into the clipboard, as cells."""
    lab.page.keyboard.press("ControlOrMeta+c")
    return [line.split("\t") for line in lab.page.evaluate("() => navigator.clipboard.readText()").split("\n")]


def test_a_column_is_as_wide_as_a_person_makes_it(lab):
    table, mouse = tasks(lab), lab.page.mouse
    before = widths(table)
    # By the edge, which says so; nothing is sorted by it.
    x, y = edge(table, "task")
    mouse.move(x, y)
    assert table.locator(".nbray-over").evaluate("layer => getComputedStyle(layer).cursor") == "ew-resize"
    mouse.down()
    mouse.move(x + 30, y, steps=4)
    mouse.move(x - 40, y, steps=4)
    mouse.up()
    lab.page.wait_for_function("() => document.querySelector('[role=grid] [role=columnheader]').offsetWidth < 200")
    lab.wait_until_drawn()
    after = widths(table)
    assert after[0] == before[0] - 40 and sum(after) == sum(before)
    assert table.get_by_role("columnheader", name="task").get_attribute("aria-sort") == "none"
    # By keys.
    table.get_by_role("columnheader", name="task").get_by_role("button").focus()
    for _ in range(3):
        lab.page.keyboard.press("Shift+ArrowRight")
    lab.wait_until_drawn()
    assert widths(table)[0] == after[0] + 30
    # It stays so while tasks come and while the table is sorted; wider than there is room, it is scrolled sideways.
    lab.run_cell("len(nbray.get([measure.remote(n) for n in range(10)]))")
    table.get_by_text("130 of 130 tasks").wait_for()
    table.get_by_role("columnheader", name="state").click()
    assert widths(table)[0] == after[0] + 30
    x, y = edge(table, "task")
    mouse.move(x, y)
    mouse.down()
    mouse.move(x + 400, y, steps=4)
    mouse.up()
    box = table.locator(".nbray-rows")
    lab.page.wait_for_function("box => box.scrollWidth > box.clientWidth", arg=box.element_handle())
    box.evaluate("box => { box.scrollLeft = 1e6; }")
    lab.wait_until_drawn()
    last = table.get_by_role("columnheader", name="ran").bounding_box()
    inside = table.bounding_box()
    assert last["x"] + last["width"] <= inside["x"] + inside["width"]
    assert len(colours(table, "done")) > 3  # it is drawn where it is said to be
    # Twice on the edge: as wide as what stands in it.
    mouse.dblclick(*edge(table, "task"))
    lab.page.wait_for_function("() => document.querySelector('[role=grid] [role=columnheader]').offsetWidth < 120")
    lab.wait_until_drawn()
    name = table.get_by_role("gridcell", name=re.compile("measure")).first
    assert name.evaluate("cell => cell.scrollWidth <= cell.clientWidth")


@COPIES
def test_rows_that_are_marked_are_copied(lab):
    table, mouse, press = tasks(lab), lab.page.mouse, lab.page.keyboard.press
    table.get_by_role("columnheader", name="task").click()
    rows = table.get_by_role("row")
    rows.nth(1).filter(has_text="measure[0]").click()
    details = lab.panel.get_by_role("complementary", name="measure[0]")
    details.wait_for()
    [[name, state, *_]] = copied(lab)
    assert (name, state) == ("measure[0]", "done")
    # By dragging, which chooses none; beyond the edge it scrolls.
    from_, to = rows.nth(3).bounding_box(), rows.nth(6).bounding_box()
    mouse.move(from_["x"] + 30, from_["y"] + 10)
    mouse.down()
    mouse.move(to["x"] + 60, to["y"] + 10, steps=5)
    mouse.up()
    names = [f"measure[{n}]" for n in range(2, 6)]
    assert [name for name, *_ in copied(lab)] == names
    marked = table.get_by_role("row", selected=True)
    assert marked.count() == 1 + len(names)  # and the one whose details are shown
    details.wait_for()
    # With Shift and a click, and with Ctrl; those stay marked when others come between them.
    rows.nth(3).click()
    rows.nth(5).click(modifiers=["Shift"])
    rows.nth(8).click(modifiers=["ControlOrMeta"])
    assert [name for name, *_ in copied(lab)] == [*names[:3], "measure[7]"]
    table.get_by_role("columnheader", name="ran").click()
    assert {name for name, *_ in copied(lab)} == {*names[:3], "measure[7]"}
    # With the keyboard.
    table.get_by_role("columnheader", name="task").click()
    rows.nth(1).filter(has_text="measure[0]").click()
    for key in ("ArrowDown", "Shift+ArrowDown", "Shift+ArrowDown"):
        press(key)
    assert [name for name, *_ in copied(lab)] == ["measure[0]", "measure[1]", "measure[2]", "measure[3]"]
    press("ControlOrMeta+a")
    assert len(copied(lab)) == 120


def test_what_a_person_is_at_stays_while_tasks_come(lab, server):
    table = tasks(lab)
    lab.run_cell(LATER)
    table.get_by_role("columnheader", name="task").click()
    box = table.locator(".nbray-rows")
    box.evaluate("box => { box.scrollTop = 60 * 26; }")
    row = table.get_by_role("row", name="measure[65]")
    row.click()
    lab.panel.get_by_role("complementary", name="measure[65]").wait_for()
    place, many = row.bounding_box(), 120
    # Those that come after it, and those that come before it.
    for name, top in (("zeta", 60), ("alpha", 80), ("beta", 100)):
        (server.folder / "work" / name).touch()
        many += 20
        table.get_by_text(f"{many} of {many} tasks").wait_for()
        lab.page.wait_for_function("([box, top]) => box.scrollTop === top", arg=[box.element_handle(), top * 26])
        lab.wait_until_drawn()
        assert row.bounding_box() == place
        assert row.evaluate("row => row === document.activeElement && row.ariaSelected") == "true"
    assert table.get_by_role("row", selected=True).count() == 1
    # What is drawn is what is said: the marked row and no other has its colour.
    lab.wait_until_drawn()
    assert colours(table, "measure[65]")[0] != colours(table, "measure[66]")[0]


def test_links_in_cells_are_followed(lab):
    tasks(lab)
    lab.show_tab("Objects")
    table = lab.panel.get_by_role("grid", name="Objects")
    row = table.get_by_role("row", name="weights")
    link = row.get_by_role("button", name="cell 1")
    assert link.evaluate("link => getComputedStyle(link).cursor") == "pointer"
    lab.run_cell("\n".join(f"print({n})" for n in range(300)))
    shown = "() => { const r = document.querySelector('.jp-Notebook .jp-Cell').getBoundingClientRect(); return r.bottom > 60; }"
    lab.page.wait_for_function(f"() => !({shown})()")
    link.click()
    lab.page.wait_for_function(shown)
    lab.panel.get_by_role("complementary").wait_for()  # the row is chosen, too, as a click anywhere in it does
    lab.page.evaluate("() => window.jupyterapp.shell.currentWidget.content.widgets.at(-1).node.scrollIntoView()")
    lab.page.wait_for_function(f"() => !({shown})()")
    row.focus()
    lab.page.keyboard.press("Tab")
    lab.page.wait_for_function("() => document.activeElement.textContent === 'cell 1'")
    lab.page.keyboard.press("Enter")
    lab.page.wait_for_function(shown)


def test_it_is_drawn_in_the_colours_of_the_theme(lab):
    table = tasks(lab)
    lab.wait_until_drawn()
    light = colours(table, "measure[119]")
    assert light[0] == "255,255,255"
    lab.set_theme("JupyterLab Dark")
    background = "() => getComputedStyle(document.body).getPropertyValue('--jp-layout-color1')"
    lab.page.wait_for_function(f"() => ({background})() !== 'white'")
    name = table.get_by_role("gridcell", name="measure[119]", exact=True)
    lab.page.wait_for_function(f"cell => ({COLOURS})(cell)[0] !== '255,255,255'", arg=name.element_handle())
    dark = colours(table, "measure[119]")
    assert max(int(one) for one in dark[0].split(",")) < 60 and dark[1:] != light[1:]
    # The row under the pointer stands out.
    name.hover()
    lab.wait_until_drawn()
    assert colours(table, "measure[119]")[0] not in (dark[0], colours(table, "measure[118]")[0])
