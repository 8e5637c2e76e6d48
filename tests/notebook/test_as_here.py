"""The same cell here and with ``%%remote``: what a user sees of it is the same."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from kit import Cell, Kernel, strip_ansi

KINDS = ("stream", "execute_result", "display_data", "update_display_data", "clear_output", "comm_msg")

# Each is run here, and then on the cluster.
CELLS = [
    "len?",
    "helper??",
    "lst.append?",
    "l*t?",
    "%pdoc helper",
    "%page lst",
    "%who_ls",
    "%%capture cap\nprint('x'); display(5); 1",
    "cap.stdout, len(cap.outputs)",
    "%%bash\necho from $FOO",
    "got = !echo one; echo two\ngot",
    "%sx echo a",
    "!echo {lst} $lst",
    "%%script python3\nprint('sub')",
    "%run script.py",
    "made_by_script",
    "%load script.py",
    "v = %timeit -n 1 -r 1 -q -o helper(2)\ntype(v).__name__",
    "%prun -q helper(1)",
    "display(1, 'a'); display({'text/plain': 'raw'}, raw=True)\n5",
    "h = display('x', display_id=True); print(type(h).__name__)",
    "1; 2;",
    "3 # comment;",
    "plt.plot([1, 2])",
    "fig, ax = plt.subplots(); plt.show(); print('after')",
    "async def gen():\n    for i in range(3): yield i\nasync for i in gen(): print(i)\nawait asyncio.sleep(0)\ni",
    "task = asyncio.create_task(asyncio.sleep(0, 'done')); asyncio.get_running_loop().time() > 0\nawait task",
    "later = asyncio.create_task(asyncio.sleep(0, 'late')); later.cancelled()",
    "await later, later.result()",
    "@functools.singledispatch\ndef kind(x): return 'any'\n@kind.register\ndef _(x: int): return 'int'\nkind(1), kind('')",
    "kind(1), kind('')",
    "import sys; sys.exit(3)",
    "assert 1 == 2, 'msg'",
    "match [1, 2]:\n    case [a, *b]: print(a, b)",
    "from math import *\nsqrt(4), (n := 10), n",
    "class Point(typing.NamedTuple):\n    x: int\n    def double(self): return self.x * 2\np = Point(4)\np",
    "p.double(), p == Point(4), type(p) is Point",
    "with open('left.txt', 'w') as left: left.write('x')\nwith open('left.txt', 'rb') as raw: raw.read()",
    "left, left.closed, raw.name",
    "m = re.search('b(c)', 'abc'); several = list(re.finditer('.', 'xy'))\nm",
    "m.group(1), several[1]",
    "log.debug('details'); logging.info('news'); logging.getLogger('quiet').debug('nothing')",
    "class Outer:\n    class Inner: pass\nOuter.Inner, Outer.Inner()",
    "%%bash\nexit 2",
    "class Bad:\n    def __repr__(self): raise ValueError('bad repr')\nBad()",
]


@pytest.fixture(scope="module")
def ready(kernel: Kernel) -> Iterator[Kernel]:
    kernel.ok(
        "import asyncio, functools, logging, os, re, typing\nlogging.basicConfig(level='INFO', format='%(levelname)s|%(message)s')\n"
        "log = logging.getLogger('mine'); log.setLevel('DEBUG')\n"
        "import matplotlib.pyplot as plt\nlst = [1, 2]\nos.environ['FOO'] = 'foo'\n"
        "open('script.py', 'w').write('made_by_script = 4\\nprint(5)\\n')\n"
        "def helper(x):\n    'Doc here.'\n    # a comment\n    return 1 / x"
    )
    kernel.ok("%%remote --quiet\nplt.figure().savefig('warm.png'); plt.close()")
    yield kernel


def seen(cell: Cell) -> list[object]:
    """What a cell shows, without what differs from run to run."""
    parts: list[object] = []
    for message in cell.messages:
        kind, content = message["msg_type"], message["content"]
        if kind == "stream" and parts and isinstance(parts[-1], list) and parts[-1][0] == content["name"]:
            parts[-1][1] += content["text"]
        elif kind == "stream":
            parts.append([content["name"], content["text"]])
        elif kind == "error":
            parts.append((content["ename"], content["evalue"]))
        elif kind in KINDS and "nbray-live" not in str(content):
            data = content.get("data", {})
            parts.append((kind, sorted(data), re.sub("0x[0-9a-f]+", "0x", str(data.get("text/plain")))))
    assert cell.reply is not None
    pages = [strip_ansi(str(payload.get("data", payload.get("text")))) for payload in cell.reply.get("payload", [])]
    return [*(part for part in parts if "To exit: use" not in str(part)), *pages]


@pytest.mark.parametrize("code", CELLS)
def test_a_cell_shows_what_it_shows_here(ready: Kernel, code: str) -> None:
    here, there = seen(ready.run(code)), seen(ready.run("%%remote --quiet\n" + code))
    assert there == here


def test_magics_of_the_notebook(ready: Kernel) -> None:
    ready.ok(
        "from IPython.core.magic import register_line_magic, register_cell_magic\nbase = 10\n"
        "@register_line_magic\ndef plus(line): return base + int(line)\n"
        "@register_cell_magic\ndef shout(line, cell): print(line, cell.upper())\n"
        "%alias greet echo hello %s\n"
        "open('own_extension.py', 'w').write('def load_ipython_extension(shell):\\n"
        '    shell.register_magic_function(lambda line: line[::-1], magic_name="turn")\\n\')\n%load_ext own_extension'
    )
    for code in ("%plus 5", "%%shout a\nb", "%greet you", "%turn abc"):
        assert seen(ready.ok("%%remote --quiet\n" + code)) == seen(ready.ok(code))


@pytest.mark.parametrize(
    ("setting", "code"),
    [
        ("all", "lst\nfor i in range(2):\n    i * 10\n7"),
        ("all", "lst\n7;"),
        ("last", "for i in range(2): i"),
        ("none", "7"),
        ("last_expr_or_assign", "total = 9"),
        ("last_expr_or_assign", "total = 9;"),
        ("last_expr_or_assign", "a, b = 1, 2"),
    ],
)
def test_what_of_a_cell_is_shown_follows_the_setting(ready: Kernel, setting: str, code: str) -> None:
    ready.ok(f"get_ipython().ast_node_interactivity = {setting!r}")
    try:
        here, there = seen(ready.ok(code)), seen(ready.ok("%%remote\n" + code))
    finally:
        ready.ok("get_ipython().ast_node_interactivity = 'last_expr'")
    assert there == here


@pytest.mark.parametrize("code", ["%history", "%%debug\n1 / 0", "%reset -f", "%%remote\n1"])
def test_magics_about_the_notebook_itself_are_refused(ready: Kernel, code: str) -> None:
    cell = ready.run("%%remote\n" + code)
    assert "use it in a cell without %%remote" in cell.text("stderr") + str(cell.reply)


def test_format_of_figures_is_that_of_the_notebook_and_comes_back(ready: Kernel) -> None:
    ready.ok("%config InlineBackend.figure_format = 'svg'")
    try:
        figure = ready.ok("%%remote --quiet\nplt.plot([1, 2]);").of("display_data")[-1]["data"]
        assert "image/svg+xml" in figure and "image/png" not in figure
        ready.ok("%%remote --quiet\n%config InlineBackend.figure_format = 'jpeg'")
        assert "image/jpeg" in ready.ok("plt.plot([1, 2]);").of("display_data")[-1]["data"]
    finally:
        ready.ok("%config InlineBackend.figure_format = 'png'")


def test_process_is_as_the_cell_left_it(ready: Kernel) -> None:
    ready.ok("import sys; sys.argv = ['program', '--rate', '2']; path = list(sys.path); known = 5")
    ready.ok(
        "open('loud.py', 'w').write('print(1)')\ndef lazily():\n    import argparse\n    parser = argparse.ArgumentParser()\n"
        "    parser.add_argument('--rate', type=int)\n    return parser.parse_args().rate"
    )
    assert ready.ok("%%remote\nsys.path.append('/somewhere')\n!exit 3\nimport loud\nlazily()").text() == "1\n"
    assert ready.ok("sys.path == [*path, '/somewhere'], _exit_code, loud.__name__").value == "(True, 3, 'loud')"
    ready.ok("%%remote\nsys.argv.append('more'); sys.path.remove('/somewhere')")
    assert ready.ok("sys.argv[1:], sys.path == path").value == "(['--rate', '2', 'more'], True)"
    assert ready.ok("%%remote\nget_ipython().user_ns['known'], get_ipython().ev('known + 1')").value == "(5, 6)"


def test_directory_and_environment_are_those_that_the_cell_left(ready: Kernel) -> None:
    ready.ok("home = os.getcwd(); os.makedirs('deeper', exist_ok=True); os.environ['GOES'] = '1'")
    assert "deeper" in ready.ok("%%remote\n%cd deeper\n%env STAYS=yes\ndel os.environ['GOES']").text()
    assert ready.ok("os.getcwd() == home + '/deeper', os.environ['STAYS'], 'GOES' in os.environ").value == (
        "(True, 'yes', False)"
    )
    assert ready.ok("%%remote\n%cd -\nos.getcwd() == home").value == "True"
    assert ready.ok("os.getcwd() == home, nbray.get(nbray.remote(os.getcwd).remote()) != home + '/deeper'").value == (
        "(True, True)"
    )


def test_logging_is_that_of_the_notebook_and_comes_back(ready: Kernel) -> None:
    ready.ok("%%remote\nlogging.root.setLevel('ERROR')")
    assert ready.ok("level = logging.root.level; logging.root.setLevel('INFO')\nlevel").value == "40"
    elsewhere = "nbray.get(nbray.remote(lambda: (logging.root.level, logging.root.handlers)).remote())"
    assert ready.ok(elsewhere).value == "(30, [])"


def test_source_of_functions_of_the_notebook(ready: Kernel) -> None:
    # No cell of the cluster has had this one.
    ready.ok("import inspect\ndef inverse(x):\n    # a comment\n    return 1 / x")
    ready.ok(
        "@nbray.remote\ndef source(): return inspect.getsource(inverse)\n"
        "@nbray.remote\ndef where():\n    import traceback\n    try: inverse(0)\n"
        "    except Exception: return traceback.format_exc()"
    )
    text = "def inverse(x):\n    # a comment\n    return 1 / x\n"
    assert ready.ok(f"nbray.get(source.remote()) == {text!r}").value == "True"
    found = ready.ok("print(nbray.get(where.remote()))").text()
    assert "try: inverse(0)" in found and "return 1 / x" in found
    mine = "def mine():\n    return 8\n"
    there = ready.ok(f"%%remote\n{mine}inspect.getsource(inverse) + inspect.getsource(mine)")
    assert there.value == repr(text + mine)
    assert ready.ok("inspect.getsource(mine)").value == repr(mine)


def test_what_is_wrong_with_the_text_is_shown_at_its_line(ready: Kernel) -> None:
    cell = ready.run("%%remote\nif True:\n  pass\n 1")
    assert cell.error["ename"] == "IndentationError"
    assert "line 4" in cell.traceback and "nbray" not in cell.traceback


def test_weak_references_go_with_what_they_refer_to(ready: Kernel) -> None:
    ready.ok("import weakref\nclass Node: pass\nhere = Node(); seen = weakref.ref(here)")
    cell = ready.ok(
        "%%remote\nnode = Node(); ref = weakref.ref(node); names = weakref.WeakValueDictionary(a=node)\n"
        "dead = weakref.ref(Node()); seen() is here"
    )
    assert cell.value == "True" and cell.text("stderr") == ""
    assert ready.ok("ref() is node, names['a'] is node, dead(), seen() is here").value == "(True, True, None, True)"
    ready.ok("class Ring: pass\nring = Ring(); ring.me = weakref.proxy(ring); ring.gone = weakref.proxy(Node())")
    ready.ok("%%remote\nring.n = 1; ring.me.m = 2; made = Ring(); made.gone, made.me = ring.gone, weakref.proxy(made)")
    assert ready.ok("made.me.n = 3; ring.me.n, ring.m, made.n, type(made.gone)").value == "(1, 2, 3, weakref.ProxyType)"
    ready.ok("%%remote\nhere.found = seen().__class__ is Node")
    assert ready.ok("here.found, seen() is here").value == "(True, True)"


def test_what_a_with_statement_has_ended_is_not_missed(ready: Kernel) -> None:
    cell = ready.ok("%%remote\nfrom selectors import EpollSelector\nwith EpollSelector() as chosen: pass")
    assert cell.text("stderr") == ""
    assert "stayed on the worker" in str(ready.ok("chosen").value)


def test_a_command_is_read_at_its_pace_and_interrupted(ready: Kernel) -> None:
    text = ready.ok("%%remote --quiet\n!seq 1 60000").text().replace("\r", "")
    assert text == "".join(f"{n}\n" for n in range(1, 60_001))
    with ready.patient():
        cell = ready.start("%%remote --quiet\n!echo begun; sleep 1000\nended = _exit_code")
        ready.until(lambda: "begun" in cell.text())
        ready.interrupt()
        ready.finish(cell)
    assert "^C" in cell.text()


def test_values_are_shown_as_the_user_has_said_on_both_sides(ready: Kernel) -> None:
    html = "get_ipython().display_formatter.formatters['text/html']"
    ready.ok(f"class Cat: pass\n{html}.for_type(Cat, lambda cat: '<b>cat</b>')")
    cell = ready.ok(
        f"%%remote --quiet\nfrom fractions import Fraction\nclass Dog: pass\n{html}.for_type(Dog, lambda dog: '<b>dog</b>')\n"
        f"{html}.for_type_by_name('fractions', 'Fraction', lambda part: '<sub>part</sub>')\ndisplay(Cat(), Fraction(1, 2))"
    )
    assert [content["data"]["text/html"] for content in cell.of("display_data")] == ["<b>cat</b>", "<sub>part</sub>"]
    assert ready.ok("Dog()").of("execute_result")[0]["data"]["text/html"] == "<b>dog</b>"
    ready.ok(f"for kind in (Cat, Dog, 'fractions.Fraction'): {html}.pop(kind)")
    shown = ready.ok("%%remote --quiet\ndisplay(Cat(), Dog(), Fraction(1, 2))").of("display_data")
    assert not any("text/html" in content["data"] for content in shown)


def test_widgets_stay_connected(ready: Kernel) -> None:
    ready.ok(
        "import ipywidgets\nslider = ipywidgets.IntSlider(5); box = ipywidgets.VBox([slider]); heard = []\n"
        "slider.observe(lambda change: heard.append(change.new), 'value')"
    )
    # Without nbray's own line, which a cell gets that waits for long: it has a widget too.
    cell = ready.ok("%%remote --quiet\nbox.children[0].value += 2\nnew = ipywidgets.HBox([box])\ndisplay(new)")
    assert {content["data"]["state"]["value"] for content in cell.of("comm_msg")} == {
        7
    }  # there, and in the object here
    shown = cell.of("display_data")[0]["data"]["application/vnd.jupyter.widget-view+json"]["model_id"]
    assert shown in [content["comm_id"] for content in cell.of("comm_open")]
    assert ready.ok("slider.value, heard, new.children[0] is box, new.model_id").value == f"(7, [7], True, {shown!r})"


def test_observers_that_a_cell_gives_to_widgets_come_back(ready: Kernel) -> None:
    ready.ok("import ipywidgets\nold = ipywidgets.IntSlider(5); button = ipywidgets.Button(); heard = []; clicks = []")
    ready.ok(
        "%%remote\nnew = ipywidgets.IntSlider(1)\nnew.observe(lambda change: heard.append(change.new), 'value')\n"
        "old.observe(lambda change: heard.append(-change.new))\nbutton.on_click(clicks.append)\n"
        "chosen = ipywidgets.interactive(lambda x: x * 2, x=(0, 9))"
    )
    ready.ok("%%remote\nold.max")  # once more there and back: nobody is told twice
    ready.ok("new.value = 3; old.value = 4; button.click(); chosen.children[0].value = 7")
    assert ready.ok("heard, clicks == [button], chosen.result").value == "([3, -4], True, 14)"


def test_modules_that_the_notebook_made_by_hand(kernel: Kernel) -> None:
    kernel.ok(
        "import sys, types\nmade = types.ModuleType('made_here')\n"
        "exec('items = [1]\\ncalls = 0\\nclass Box: pass\\ndef add(x):\\n    global calls\\n    calls += 1; items.append(x)', vars(made))\n"
        "sys.modules['made_here'] = made"
    )
    assert kernel.ok("%%remote\nmade.add(2)\nmade.later = made.Box()\nmade.items, made.calls").value == "([1, 2], 1)"
    cell = kernel.ok(
        "%%remote\nimport made_here\nfrom made_here import add\nadd(3)\nbox = made_here.Box()\nmade_here is made"
    )
    assert cell.value == "True"
    assert kernel.ok("made.items, made.calls, add is made.add, type(box) is type(made.later) is made.Box").value == (
        "([1, 2, 3], 2, True, True)"
    )
    kernel.ok("%%remote\nbox.n = 1\nadd(4)")  # which takes it along without its name
    assert kernel.ok("made is made_here is sys.modules['made_here'], box.n").value == "(True, 1)"
    kernel.ok("plain = types.ModuleType('nowhere')\nplain.items = []")
    assert kernel.ok("%%remote\nfrom __main__ import plain as same\nsame.items.append(1)\nsame.items").value == "[1]"
    assert kernel.ok("plain.items, same is plain").value == "([1], True)"


def test_cells_are_told_by_their_own_numbers(kernel: Kernel) -> None:
    kernel.ok("%%remote\ntold = 1")
    again = kernel.run("get_ipython().run_cell_magic('remote', '', '1/0')")
    assert again.reply is not None and f"Cell In[{again.reply['execution_count']}], line 2" in again.traceback
    again = kernel.run("%%time\n%%remote\n1/0")
    assert again.reply is not None and f"Cell In[{again.reply['execution_count']}], line 3" in again.traceback
