"""The graph, the timeline and the table of tasks in a real JupyterLab, found as a person or a screen reader would."""

from __future__ import annotations

import json
import re
from typing import Any

from .lab import LabPage, saved

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

# Whether something of the first cell, where its tasks are made, can be seen.
IN_VIEW = """() => {
  const isNotebook = one => one.isVisible && one.content?.widgets !== undefined; // the panel may be in front
  const notebook = [...window.jupyterapp.shell.widgets('main')].find(isNotebook).content;
  const [cell, box] = [notebook.widgets[0].node, notebook.outerNode].map(node => node.getBoundingClientRect());
  return cell.height > 0 && cell.bottom > box.top + 10 && cell.top < box.bottom - 10;
}"""

WIDE_PICTURE = """\
from IPython.display import HTML, display
from nbray.notebook.widgets import drawing, style
wide = drawing.Piece(3000, 60, "").svg("a wide picture")
display(HTML(f'{style.HTML_STYLE}<div class="{style.CLASS}"><div class="nb-wide">{wide}</div></div>'))"""

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
    lab.run_cell("\n" * 100 + "1")
    lab.page.wait_for_function(f"() => !({IN_VIEW})()")
    clean.focus()
    lab.page.keyboard.press("Enter")
    lab.page.wait_for_function(IN_VIEW)  # the cell that made it has come
    details = lab.panel.get_by_role("complementary", name="clean")
    # Numbers are given as tasks become known: where loads end in another order, it is not the third.
    details.get_by_role("region", name="Failed").get_by_role("button", name=re.compile(r"^clean\[\d+\]")).click()
    task = lab.panel.get_by_role("complementary", name=re.compile(r"^clean\[\d+\]"))
    task.get_by_text("failed").first.wait_for()
    task.get_by_text("cell 1").first.wait_for()
    task.get_by_role("button", name=re.compile(r"^load\[\d+\]")).click()  # its input
    lab.panel.get_by_role("complementary", name=re.compile(r"^load\[\d+\]")).get_by_text("done").first.wait_for()
    lab.panel.get_by_role("button", name="Cancel: it is over").wait_for()
    lab.panel.get_by_role("button", name="Close details").click()
    lab.panel.get_by_role("complementary").wait_for(state="detached")
    # One that is done is found at its group, too.
    lab.group("search, 1 task, 1 done").focus()
    lab.page.keyboard.press("Enter")
    search = lab.panel.get_by_role("complementary", name="search")
    search.get_by_role("region", name="Done").get_by_role("button", name="search[0]").wait_for()
    lab.page.keyboard.press("Escape")  # from the graph, too
    search.wait_for(state="detached")


def test_the_tasks_are_drawn_listed_and_found(lab):
    lab.new_notebook()
    lab.page.locator(".jp-NotebookPanel [data-jp-item-name='nbray-panel'] [data-command='nbray:open-panel']").click()
    lab.panel.wait_for()
    lab.show_panel("main")
    lab.run_cell(GRAPH_CELL)
    lab.group("clean, 12 tasks")
    lab.page.wait_for_function(
        """() => {
          const canvas = document.querySelector('.nbray-graph canvas');
          if (!canvas?.width || !canvas.height) return false;
          const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
          return data.some((value, i) => i % 4 === 3 && value > 0);
        }"""
    )
    # On a page from right to left the words on the canvas begin where they are put, all the same.
    direction = lab.page.evaluate(
        """() => {
          document.documentElement.dir = 'rtl';
          const { direction } = getComputedStyle(document.querySelector('.nbray-graph canvas'));
          document.documentElement.dir = 'ltr';
          return direction;
        }"""
    )
    assert direction == "ltr"
    lab.show_tab("Tasks")
    table = lab.panel.get_by_role("grid", name="Tasks")
    table.get_by_text("30 of 30 tasks").wait_for()
    lab.panel.get_by_role("searchbox", name="Find tasks").fill("clean")
    table.get_by_text("12 of 30 tasks").wait_for()
    table.get_by_role("columnheader", name="task").click()
    first = table.get_by_role("row").nth(1)
    first.filter(has_text=re.compile(r"^\s*clean\[0\]")).wait_for()
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
    every_task_by_keyboard(lab)


def every_task_by_keyboard(lab: LabPage) -> None:
    """Of many tasks the trees have a page at a time, and items that lead to the others."""
    lab.show_panel("right")  # the notebook is in front again
    lab.run_cell("@nbray.remote\ndef many(i):\n    return i\nnbray.get([many.remote(i) for i in range(401)])[-1]")
    page, press, panel = lab.page, lab.page.keyboard.press, lab.panel
    focused = "words => document.activeElement.ariaLabel?.startsWith(words)"
    lab.show_tab("Graph")
    lab.group("many, 401 tasks, 401 done").focus()
    press("ArrowRight")
    for more, task in (
        ("201 later ones", "many[200]"),
        ("1 later one", "many[400]"),
        ("400 earlier ones", "many[399]"),
    ):
        lab.group(more).focus()
        press("Enter")
        page.wait_for_function(focused, arg=task)
    assert panel.get_by_role("treeitem", name=re.compile(r"^many\[")).count() == 200
    lab.show_tab("Timeline")
    tree = panel.get_by_role("tree", name="Timeline")
    lane = tree.get_by_role("treeitem", name=re.compile("^worker .* tasks")).first
    lane.focus()
    press("ArrowRight")  # opens
    first = lane.get_by_role("treeitem").first
    first.wait_for(state="attached")
    name = first.get_attribute("aria-label").split(",")[0]
    press("ArrowRight")  # into it
    page.wait_for_function(focused, arg=name)
    press("Enter")
    panel.get_by_role("complementary", name=name, exact=True).wait_for()
    press("ArrowLeft")  # out of it
    page.wait_for_function("() => document.activeElement.ariaExpanded === 'true'")
    press("ArrowLeft")  # closes
    page.wait_for_function("() => document.activeElement.ariaExpanded === 'false'")
    assert panel.locator(".nbray-follow").get_attribute("aria-pressed") == "true"  # the axis has stayed
    press("Shift+ArrowLeft")
    panel.locator(".nbray-follow[aria-pressed='false']").wait_for()


def test_a_picture_wider_than_its_cell_is_whole(lab):
    """JupyterLab would make it narrower, and with that cut it off at the right and at the bottom."""
    lab.new_notebook()
    lab.run_cell(WIDE_PICTURE)
    picture = lab.page.get_by_role("img", name="a wide picture")
    assert picture.evaluate("e => [e.clientWidth, e.clientHeight, e.parentElement.clientWidth < 3000]") == [
        3000,
        60,
        True,
    ]
    # On a page from right to left, too: the words of a picture begin where they are put.
    words = """e => {
      document.documentElement.dir = 'rtl';
      const { direction } = getComputedStyle(e);
      document.documentElement.dir = 'ltr';
      return direction;
    }"""
    assert picture.evaluate(words) == "ltr"


def walk_by_keyboard(lab: LabPage) -> None:
    """Without the mouse: tabs, tree, details, their actions and back; by the names that a screen reader says."""
    page, press = lab.page, lab.page.keyboard.press
    focused = "words => (e => (e.ariaLabel ?? e.textContent).startsWith(words))(document.activeElement)"
    page.wait_for_function(
        "() => document.querySelector('.nbray-panel li[data-state=RUNNING]')?.ariaLabel === '2 running'"
    )
    panel = page.get_by_role("region", name="nbray", exact=True)
    panel.get_by_label("2 running", exact=True).wait_for()
    panel.get_by_label("4 waiting for a place", exact=True).wait_for()
    tabs = panel.get_by_role("tab")
    assert tabs.all_inner_texts() == ["Graph", "Timeline", "Tasks", "Actors", "Objects", "Nodes"]
    panel.get_by_role("tab", name="Graph").focus()
    for _ in range(6):  # all round
        press("ArrowRight")
        page.wait_for_function("() => document.activeElement.ariaSelected === 'true'")
        panel.get_by_role("tabpanel").wait_for()
    assert panel.get_by_role("tab", selected=True).inner_text() == "Graph"
    for words in ("Export", "Find tasks", "Objects", "Fit", "held, 6 tasks"):
        press("Tab")
        page.wait_for_function(focused, arg=words)
    assert page.evaluate("() => getComputedStyle(document.querySelector('.nbray-graph')).outlineStyle") == "solid"
    for key in ("+", "-", "0"):
        press(key)
    press("ArrowRight")  # opens
    lab.group("held[5], waits for a place")
    for key, words in (("ArrowRight", "held[0]"), ("ArrowLeft", "held, 6 tasks")):  # into it, and out again
        press(key)
        page.wait_for_function(focused, arg=words)
    for words in ("held[0], runs", "held[1], runs", "held[2], waits for a place"):
        press("ArrowDown")
        page.wait_for_function(focused, arg=words)
    press("Enter")
    details = panel.get_by_role("complementary", name="held[2]", exact=True)
    for heading in ("Why", "History", "Log", "Who holds"):
        details.get_by_role("heading", name=heading, exact=True).wait_for()
    holder = r"held\[\d\] from cell 2 for ([\d.]+ m?s|\d+ min \d+ s)"
    held = rf"Needs 1 CPU; 0 of 2 free; held by {holder}, {holder}\."
    details.get_by_role("region", name="Why").get_by_text(re.compile(held)).wait_for()
    for words in ("Close details", "cell 2", "Cancel"):
        press("Tab")
        page.wait_for_function(focused, arg=words)
    press("Escape")
    details.wait_for(state="detached")
    page.wait_for_function(focused, arg="held[2]")  # where the keyboard was
    page.get_by_role("button", name="cell 2: 0 of 6 done").wait_for()
    # The menu of what can be saved.
    panel.get_by_role("button", name="Export").focus()
    press("Enter")
    page.get_by_role("menuitem", name="Save a Report of the Run (HTML)").wait_for()
    page.wait_for_function("() => document.activeElement.closest('.lm-Menu') !== null")  # a moment after it is seen
    press("Escape")
    page.get_by_role("menuitem", name="Save a Report of the Run (HTML)").wait_for(state="detached")
    page.wait_for_function(focused, arg="Export")  # where the keyboard was
    # A table is one stop for Tab, however many links are in it.
    lab.run_cell("kept = [nbray.put(bytes(200_000)) for _ in range(3)]\n3")
    lab.show_tab("Objects")
    panel.get_by_role("grid", name="Objects").get_by_role("row", name="kept[2]").wait_for()
    panel.get_by_role("columnheader", name="cell").get_by_role("button").focus()
    for words in ("kept[0]", "cell 3"):
        press("Tab")
        page.wait_for_function(focused, arg=words)
    press("Tab")
    page.wait_for_function("() => document.activeElement.closest('.nbray-rows') === null")
    # A stretch of the timeline is chosen by the mouse, and by keys; then it does not follow any more.
    lab.show_tab("Timeline")
    follow = panel.get_by_role("button", name="Follow")
    panel.get_by_role("treeitem", name="worker 1").wait_for(state="attached")
    lab.wait_until_drawn()  # the axis is as wide as the panel
    box = panel.locator(".nbray-canvas").bounding_box()
    page.mouse.move(box["x"] + 150, box["y"] + 8)
    page.mouse.down()
    page.mouse.move(box["x"] + 220, box["y"] + 8, steps=3)
    page.mouse.up()
    panel.locator(".nbray-follow[aria-pressed='false']").wait_for()
    follow.click()
    panel.locator(".nbray-follow[aria-pressed='true']").wait_for()
    panel.get_by_role("treeitem", name="worker 1").focus()
    press("ArrowLeft")
    panel.locator(".nbray-follow[aria-pressed='false']").wait_for()
    press("0")
    panel.locator(".nbray-follow[aria-pressed='true']").wait_for()
    # The graph is as it was left.
    lab.show_tab("Graph")
    panel.get_by_role("treeitem", name="held, 6 tasks", expanded=True).wait_for(state="attached")


def test_running_and_waiting_tasks_while_they_do(lab, server):
    lab.new_notebook()
    lab.show_panel()
    lab.run_cell("import nbray\nnbray.init(num_cpus=2)\n1")
    lab.run_cell(WAITING_CELL + "\n2")
    lab.group("held, 6 tasks, 2 running, 4 waiting for a place")
    walk_by_keyboard(lab)
    (server.folder / "work" / "go-on").touch()
    lab.group("held, 6 tasks, 6 done")


HOSTILE = [
    "<img src=x onerror=window.hostile=1>",
    "<script>window.hostile=1</script>",
    "</script><script>window.hostile=1</script>",
    "<svg onload=window.hostile=1>",
    "<svg><script>window.hostile=1</script></svg>",
    "<iframe srcdoc='<script>parent.hostile=1</script>'></iframe>",
    "<object data=javascript:window.hostile=1>",
    "<embed src=javascript:window.hostile=1>",
    "<a href=javascript:window.hostile=1>click</a>",
    "javascript:window.hostile=1",
    "data:text/html,<script>window.hostile=1</script>",
    "<body onload=window.hostile=1>",
    "<details open ontoggle=window.hostile=1>",
    "<input autofocus onfocus=window.hostile=1>",
    "<style>*{display:none}</style>",
    "<link rel=stylesheet href=//example.invalid/x.css>",
    "<meta http-equiv=refresh content=0>",
    "<base href=//example.invalid/>",
    "<form action=//example.invalid><button>go</button></form>",
    "<math><mtext><img src=x onerror=window.hostile=1></mtext></math>",
    "<!--", "-->", "<![CDATA[", "]]>", "&lt;img src=x onerror=window.hostile=1&gt;",
    "&#60;script&#62;window.hostile=1&#60;/script&#62;", "\\u003cscript\\u003e",
    "'\"><img src=x onerror=window.hostile=1>", "\" onmouseover=\"window.hostile=1", "' onfocus='window.hostile=1",
    "`${window.hostile=1}`", "{{constructor.constructor('window.hostile=1')()}}", "${7*7}", "%1 %2 %%s %n",
    "__proto__", "constructor", "toString", "",
    "\0NUL\0in the middle", "line\nbreak\r\nand\ttab", "\x1b[31mred\x1b[0m\x07", "\u202eright to left\u202c",
    "\u2066isolated\u2069\u200b\u200d\ufeff", "\u0001\u0002\u007f", "a" * 5000, "\u0301" * 300, "\U0001f469\u200d\U0001f680" * 40,
    "\u05e2\u05d1\u05e8\u05d9\u05ea \u0627\u0644\u0639\u0631\u0628\u064a\u0629", "../../../etc/passwd", "'; DROP TABLE tasks; --",
]  # fmt: skip

HOSTILE_CELL = """\
import json, nbray
from nbray.notebook.panel_answers import tables
from nbray.util.placement_group import placement_group
names = json.loads(open("names.json").read())
nbray.init(num_cpus=2, _node_name=names[0])
# A name has at most 1000 characters and no NUL; the message of an error has what it likes.
short = [name.replace(chr(0), "")[:1000] for name in names]
def fails(kind, text):
    raise type(kind, (ValueError,), {})(text)
fails = nbray.remote(max_retries=0)(fails)
@nbray.remote(num_cpus=0)
class Actor:
    def call(self, text):
        return text
refs = [fails.options(name=one).remote(one, name) for one, name in zip(short, names)]
actors = [Actor.options(name=one).remote() for one in short[:2]]
kept = nbray.get([actors[n % 2].call.remote(one) for n, one in enumerate(short)])
held = {name: nbray.put(name) for name in names}
groups = [placement_group([{"CPU": 0.001}], name=one[:200]) for one in short]
# One node and one actor stand for fifty: a machine has no room for more, and the page cannot tell.
def many(kind, told):
    def answer(*args):
        found = told(*args)
        row = found[kind][0]
        found[kind] += [{**row, "id": str(n), "peer": str(n), "name": name, "class": name} for n, name in enumerate(names)]
        return found
    return answer
tables.nodes, tables.actors = many("nodes", tables.nodes), many("actors", tables.actors)
len(nbray.wait(refs, num_returns=len(refs))[0])"""

# What no name may bring about: an element that runs or loads, more than fits into the panel's width, a row of another height.
HARM = """() => {
  const panel = document.querySelector('.nbray-panel');
  const ours = [panel, ...document.querySelectorAll('.nbray-clusters, .nbray-badge, .nbray-status-button, .jp-Dialog')];
  const kinds = 'img, script, iframe, object, embed, a, link, meta, base, style, math, mtext, form:not(.nbray-start)';
  const made = ours.flatMap(node => [...node.querySelectorAll(kinds)]);
  const armed = [...document.querySelectorAll('*')].filter(node => [...node.attributes].some(({ name, value }) =>
    /^(on.*|src|srcdoc|href|data|action|http-equiv)$/.test(name) && /hostile|example\\.invalid/.test(value)));
  const rows = [...panel.querySelectorAll('.nbray-rows [role=row]')].filter(row => row.offsetHeight !== 26);
  const wide = [panel, ...panel.querySelectorAll('.nbray-details, .nbray-nodes, .nbray-rows')];
  const wider = wide.filter(node => node.scrollWidth > node.clientWidth + 1).map(node => node.className);
  return [window.hostile ?? null, made.length, armed.length, rows.length, wider];
}"""
NO_HARM = [None, 0, 0, 0, []]

# Goes through all rows of a table, and waits for the details of each; returns how many titles it found, of those whose
# sheet is not wider than the panel.
WALK = """async ([grid, ready]) => {
  const frame = () => new Promise(requestAnimationFrame);
  const until = async found => { while (!found()) await frame(); return found(); };
  const titles = new Set();
  const table = document.querySelector(`.nbray-panel [role=grid][aria-label="${grid}"]`);
  const box = table.querySelector('.nbray-rows');
  for (let n = 2; n <= Number(table.ariaRowCount); n++) {
    box.scrollTop = (n - 2) * 26;
    (await until(() => box.querySelector(`[aria-rowindex="${n}"]`))).click();
    await until(() => document.querySelector(ready));
    const sheet = document.querySelector('.nbray-details');
    if (sheet.scrollWidth <= sheet.clientWidth) titles.add(sheet.querySelector('h2').textContent);
    document.querySelector('.nbray-close').click();
    await until(() => !document.querySelector('.nbray-details'));
  }
  return titles.size;
}"""

# The kinds of elements in a document that was saved, and whether anything in it would run or load.
KINDS = """([text, type]) => {
  const parsed = new DOMParser().parseFromString(text, type);
  const all = [...parsed.querySelectorAll('*')];
  const armed = all.filter(node => [...node.attributes].some(({ name }) => /^(on.*|src|srcdoc|href|action)$/.test(name)));
  return [[...new Set(all.map(node => node.localName))].sort(), armed.length, parsed.documentElement.textContent];
}"""
IN_SVG = {"svg", "rect", "path", "g", "title", "clipPath", "text", "tspan", "circle"}
IN_REPORT = {"html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "table", "tbody", "tr", "th", "td"}


def test_names_that_want_to_be_more_than_names(lab, server):
    """Fifty of them as names of tasks, actors, nodes, errors, groups and values: no view and no export makes an element of one."""
    assert len(HOSTILE) == 50
    (server.folder / "work" / "names.json").write_text(json.dumps(HOSTILE))
    page, seen = lab.page, 0

    def more_nodes(socket: Any) -> None:
        """The list of clusters, as it would tell of fifty nodes."""

        def change(message: Any) -> None:
            nonlocal seen
            rows = json.loads(message)
            for row in rows:
                row["nodes"] = [{**row["nodes"][0], "name": name} for name in HOSTILE] if row["nodes"] else []
                row["error"] = HOSTILE[0]
                seen += len(row["nodes"])
            socket.send(json.dumps(rows))

        socket.connect_to_server().on_message(change)

    page.route_web_socket(re.compile("/nbray/clusters/feed"), more_nodes)
    lab.open()  # what is open already is not routed
    lab.new_notebook()
    lab.show_panel()
    assert lab.run_cell(HOSTILE_CELL) == "50"
    lab.wait_for_count("FAILED", 50)
    lab.panel.get_by_role("button", name="Objects", exact=True).click()
    lab.panel.get_by_role("treeitem", name=f"{HOSTILE[0]}, 25 calls, 25 done").wait_for(state="attached")  # a lane
    lab.panel.get_by_role("treeitem", name="held, object of").wait_for(state="attached")
    box = lab.panel.locator("canvas").bounding_box()
    for x in range(30, int(box["width"]), 60):  # hints
        page.mouse.move(box["x"] + x, box["y"] + box["height"] / 2)
    for name in ("Graph", "Timeline", "Tasks", "Actors", "Objects", "Nodes"):
        lab.show_tab(name)
        if name == "Nodes":
            lab.panel.get_by_role("grid", name="Nodes").get_by_text("51 of 51").wait_for()
            lab.panel.get_by_role("grid", name="Placement groups").get_by_text("50 of 50").wait_for()
        lab.wait_until_drawn()
        assert page.evaluate(HARM) == NO_HARM, name

    # The details of every failed task, actor and value; harm would stay in `window.hostile`.
    lab.show_tab("Tasks")
    lab.panel.get_by_role("searchbox", name="Find tasks").fill("failed")
    lab.panel.get_by_role("grid", name="Tasks").get_by_text("50 of 100 tasks").wait_for()
    assert page.evaluate(WALK, ["Tasks", ".nbray-details .nbray-error"]) == 50
    lab.panel.get_by_role("searchbox", name="Find tasks").fill("")
    lab.show_tab("Actors")
    lab.panel.get_by_role("grid", name="Actors").get_by_text("52 of 52").wait_for()
    assert page.evaluate(HARM) == NO_HARM
    assert page.evaluate(WALK, ["Actors", ".nbray-details h2"]) >= 50
    lab.show_tab("Objects")
    values = lab.panel.get_by_role("grid", name="Objects")
    values.get_by_role("row", name="held['<img").first.click()
    lab.panel.get_by_role("complementary").get_by_role("button", name="Free").click()
    page.get_by_role("dialog").get_by_text("Free held['<img").wait_for()
    assert page.evaluate(HARM) == NO_HARM
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    # The error of each, as its details say it.
    lab.show_tab("Tasks")
    lab.panel.get_by_role("searchbox", name="Find tasks").fill("onerror")
    grid = lab.panel.get_by_role("grid", name="Tasks")
    grid.get_by_text("<img src=x onerror=window.hostile=1>[0]", exact=True).first.click()
    details = lab.panel.get_by_role("complementary", name=HOSTILE[0])
    details.get_by_role("region", name="Why").get_by_text(f"{HOSTILE[0]}: {HOSTILE[0]}").wait_for()
    page.get_by_role("button", name="cell 1: 50 of 100 done, 50 failed").wait_for()  # the badge
    # The list of clusters.
    page.evaluate("() => window.jupyterapp.shell.activateById('nbray-clusters')")
    page.get_by_role("region", name="nbray clusters").get_by_text(HOSTILE[1], exact=True).first.wait_for()
    assert seen >= 50
    assert page.evaluate(HARM) == NO_HARM
    # What is saved, opened: what the graph shows.
    lab.show_tab("Graph")
    lab.panel.get_by_role("treeitem", name="held, object of").wait_for(state="attached")
    svg = saved(lab, "nbray:export-graph").decode()
    kinds, armed, text = page.evaluate(KINDS, [svg, "image/svg+xml"])
    assert set(kinds) <= IN_SVG and armed == 0 and HOSTILE[0] in text and "held" in text
    png = saved(lab, "nbray:export-graph", format="png")
    size = "async data => { const b = await createImageBitmap(new Blob([new Uint8Array(data)])); return b.width; }"
    assert page.evaluate(size, list(png)) > 500
    report = saved(lab, "nbray:export-report").decode()
    kinds, armed, text = page.evaluate(KINDS, [report, "text/html"])
    assert set(kinds) <= IN_SVG | IN_REPORT and armed == 0 and HOSTILE[0] in text and "held" in text
    names = {event["args"].get("task") for event in json.loads(saved(lab, "nbray:export-trace"))["traceEvents"]}
    assert f"{HOSTILE[0]}[0]" in names
    (server.folder / "report.html").write_text(report)
    page.goto((server.folder / "report.html").as_uri())
    page.get_by_role("heading", name="Tasks").wait_for()
    assert page.evaluate("() => window.hostile === undefined")
