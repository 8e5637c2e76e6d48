"""The graph, the timeline and the table of tasks in a real JupyterLab, found as a person or a screen reader would."""

from __future__ import annotations

import json
import re

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
    task.get_by_text("failed").first.wait_for()
    task.get_by_text("cell 1").first.wait_for()
    task.get_by_role("button", name="load[3]").click()  # its input
    lab.panel.get_by_role("complementary", name="load[3]").get_by_text("done").first.wait_for()
    lab.panel.get_by_role("button", name="Close details").click()
    lab.panel.get_by_role("complementary").wait_for(state="detached")


def test_the_tasks_are_drawn_listed_and_found(lab):
    lab.new_notebook()
    lab.show_panel("main")
    lab.run_cell(GRAPH_CELL)
    lab.group("clean, 12 tasks")
    lab.page.wait_for_function(
        """() => {
          const canvas = document.querySelector('.nbray-graph canvas');
          const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
          return data.some((value, i) => i % 4 === 3 && value > 0);
        }"""
    )
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


def test_running_and_waiting_tasks_while_they_do(lab, server):
    lab.new_notebook()
    lab.show_panel()
    lab.run_cell("import nbray\nnbray.init(num_cpus=2)\n1")
    lab.run_cell(WAITING_CELL + "\n2")
    lab.group("held, 6 tasks, 2 running, 4 waiting for a place")
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
names = json.loads(open("names.json").read())
@nbray.remote(max_retries=0)
def fails(text):
    raise ValueError(text)
@nbray.remote(num_cpus=0)
class Actor:
    def call(self, text):
        return text
# A name has at most 1000 characters and no NUL; the message of an error has what it likes.
refs = [fails.options(name=name.replace(chr(0), "")[:1000]).remote(name) for name in names]
actors = [Actor.options(name=name).remote() for name in names[:2]]
kept = nbray.get([actor.call.remote(name) for actor in actors for name in names])
held = {name: nbray.put(name) for name in names}
len(nbray.wait(refs, num_returns=len(refs))[0])"""

# What no name may bring about: an element that runs or loads, a wider panel, a row of another height.
HARM = """() => {
  const panel = document.querySelector('.nbray-panel');
  const made = panel.querySelectorAll('img, script, iframe, object, embed, a, link, meta, base, style, form, details, math');
  const rows = [...panel.querySelectorAll('.nbray-rows [role=row]')].filter(row => row.offsetHeight !== 26);
  return [window.hostile ?? null, made.length, rows.length, panel.scrollWidth > panel.clientWidth + 1];
}"""


def test_names_that_want_to_be_more_than_names(lab, server):
    """Fifty of them, as names of tasks and actors, messages of errors and values; none runs, none breaks the layout."""
    assert len(HOSTILE) == 50
    (server.folder / "work" / "names.json").write_text(json.dumps(HOSTILE))
    lab.new_notebook()
    lab.show_panel()
    assert lab.run_cell(HOSTILE_CELL) == "50"
    lab.wait_for_count("FAILED", 50)
    lab.panel.get_by_role("button", name="Objects", exact=True).click()
    for name in ("Graph", "Timeline", "Tasks", "Actors", "Objects", "Nodes", "Tasks"):
        lab.show_tab(name)
        lab.page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        assert lab.page.evaluate(HARM) == [None, 0, 0, False], name
    # The error of each, as its details say it.
    grid = lab.panel.get_by_role("grid", name="Tasks")
    lab.panel.get_by_role("searchbox", name="Find tasks").fill("onerror")
    grid.get_by_text("<img src=x onerror=window.hostile=1>[0]", exact=True).click()
    details = lab.panel.get_by_role("complementary", name=HOSTILE[0])
    details.get_by_role("region", name="Why").get_by_text(f"ValueError: {HOSTILE[0]}").wait_for()
    assert lab.page.evaluate(HARM) == [None, 0, 0, False]
