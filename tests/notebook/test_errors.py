"""Errors look as if the cell had run here: right lines, right names, nothing of nbray."""

from __future__ import annotations

import re
import sys

import pytest
from kit import Kernel, strip_ansi

# Of CPython 3.13.0, print_last looks for the error in the wrong place.
PRINT_LAST = f"traceback.print_{'exception(sys.last_value)' if sys.version_info[:3] == (3, 13, 0) else 'last()'}"


def arrows(traceback: str) -> list[str]:
    """Return the lines that a traceback points at."""
    return [line.split("> ", 1)[1].strip() for line in traceback.splitlines() if line.startswith("-") and "> " in line]


def test_lines_of_the_cell_and_of_other_cells(kernel: Kernel) -> None:
    helper = kernel.ok("y = 3\ndef helper(v, *rest, w=1):\n    w = 3\n\n    return 10 / v")
    cell = kernel.run("%%remote\n# comment\nbefore = 1\nhelper(0)")
    assert cell.error["ename"] == "ZeroDivisionError"
    assert arrows(cell.traceback) == ["4 helper(0)", "5     return 10 / v"]
    numbers = [c.of("execute_input")[0]["execution_count"] for c in (cell, helper)]
    assert f"Cell In[{numbers[0]}], line 4" in cell.traceback
    assert f"Cell In[{numbers[1]}], line 5, in helper(v, w, *rest)" in cell.traceback
    assert "nbray" not in cell.traceback
    assert "IPython" not in cell.traceback
    # Names bound before the error came back.
    assert kernel.ok("before").value == "1"


def test_the_same_as_local(kernel: Kernel) -> None:
    kernel.ok(
        "import json\nclass Text:\n    def parse(self, text):\n        return json.loads(text)\nparse = Text().parse"
    )
    local, remote = kernel.run("#\nparse('{')"), kernel.run("%%remote\nparse('{')")
    normal = [re.sub(r"In\[\d+\]|#|%%remote", "", cell.traceback) for cell in (local, remote)]
    assert [line.rstrip() for line in normal[0].splitlines()] == [line.rstrip() for line in normal[1].splitlines()]


def test_chains(kernel: Kernel) -> None:
    cell = kernel.run("%%remote\ntry:\n    {}['k']\nexcept KeyError as error:\n    raise ValueError('v') from error")
    assert arrows(cell.traceback) == ["3     {}['k']", "5     raise ValueError('v') from error"]
    assert "The above exception was the direct cause" in cell.traceback


def test_tb_shows_it_again(kernel: Kernel) -> None:
    cell = kernel.run("%%remote\n1 / 0")
    assert kernel.run("%tb").traceback == cell.traceback


def test_module_frames_are_kept(kernel: Kernel) -> None:
    cell = kernel.run("%%remote\nimport json\njson.loads('{')")
    assert "json/decoder.py" in cell.traceback
    assert cell.error["ename"] == "JSONDecodeError"


def test_own_classes_and_odd_ones(kernel: Kernel) -> None:
    kernel.ok(
        "class Mine(Exception):\n    def __init__(self, a, b):\n        super().__init__(f'{a}-{b}')\n        self.a = a"
    )
    cell = kernel.run("%%remote\nraise Mine(1, 2)")
    assert (cell.error["ename"], cell.error["evalue"]) == ("Mine", "1-2")
    assert kernel.ok("import sys\nisinstance(sys.last_value, Mine), sys.last_value.a").value == "(True, 1)"
    cell = kernel.run("%%remote\nimport threading\nclass Odd(Exception): pass\nraise Odd(threading.Lock())")
    assert cell.error["ename"] == "Odd"
    assert "lock" in cell.error["evalue"]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="exception groups came with Python 3.11")
def test_groups(kernel: Kernel) -> None:
    cell = kernel.run(
        "%%remote\ndef fail(): raise TypeError('b')\ntry:\n    fail()\nexcept TypeError as e:\n    kept = e\nraise ExceptionGroup('both', [ValueError('a'), kept])"
    )
    text = cell.text("stderr")
    assert "ExceptionGroup: both (2 sub-exceptions)" in text
    assert "ValueError: a" in text
    assert "line 2, in fail" in text
    assert "nbray" not in text


def test_syntax_error(kernel: Kernel) -> None:
    cell = kernel.run("%%remote\nx = 1\ndef f(:\n    pass")
    assert cell.error["ename"] == "SyntaxError"
    assert "line 3" in cell.traceback
    assert "def f(:" in cell.traceback
    assert "nbray" not in cell.traceback


def test_syntax_error_in_what_a_cell_runs(kernel: Kernel) -> None:
    cell = kernel.run("%%remote\ndef run(): exec('y = = 3')\nrun()")
    assert cell.error["ename"] == "SyntaxError"
    assert "line 3\n    run()" in cell.traceback and "line 2 in run" in cell.traceback
    assert "y = = 3\n" in cell.traceback
    assert "nbray" not in cell.traceback


def test_error_of_a_nested_task(kernel: Kernel) -> None:
    kernel.ok("@nbray.remote\ndef divide(n):\n    return 1 / n")
    cell = kernel.run("%%remote\n\nnbray.get(divide.remote(0))")
    assert cell.error["ename"] == "ZeroDivisionError"
    assert arrows(cell.traceback) == ["3 nbray.get(divide.remote(0))", "3     return 1 / n"]
    kernel.ok("failed = divide.remote(0)")
    assert arrows(kernel.run("%%remote\n\nfailed + 1").traceback) == ["1 %%remote", "3     return 1 / n"]
    local = kernel.run("nbray.get(divide.remote(0))")
    assert local.error["ename"] == "ZeroDivisionError"
    assert arrows(local.traceback) == ["1 nbray.get(divide.remote(0))", "3     return 1 / n"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--num-cpu 1", "did you mean --num-cpus"),
        ("--num-cpus lots", "takes a number"),
        ("--num-cpus -1", "out of range"),
        ("1 + 1", "next line"),
    ],
)
def test_a_wrong_option_is_a_usage_error(kernel: Kernel, line: str, words: str) -> None:
    cell = kernel.run(f"%%remote {line}\npass")
    assert cell.text("stderr").startswith("UsageError: %%remote: ")
    assert words in cell.text("stderr")
    assert cell.of("error") == []


def test_impossible_resources_are_refused_at_once(kernel: Kernel) -> None:
    cell = kernel.run("%%remote --num-cpus 1000\npass")
    assert cell.error["ename"] == "TaskUnschedulableError"
    assert "1000" in cell.error["evalue"]


def test_unpicklable_inputs_are_named(kernel: Kernel) -> None:
    kernel.ok("cfg = {'a': {'handle': open('written.txt', 'w')}}\nimport threading\nlock = threading.Lock()")
    cell = kernel.run("%%remote\nprint(1)\nprint(cfg)")
    assert cell.error["ename"] == "TypeError"
    assert "cfg['a']['handle']: TextIOWrapper, line 3" in cell.error["evalue"]
    assert arrows(cell.traceback) == ["3 print(cfg)"]
    assert cell.text() == ""
    kernel.ok("cfg['a']['handle'] = open('written.txt')")  # which cloudpickle would take for its text
    assert "cfg['a']['handle']: TextIOWrapper, line 2" in kernel.run("%%remote\ncfg").error["evalue"]
    assert "lock: lock, line 2" in kernel.run("%%remote\nlock").error["evalue"]
    kernel.ok(
        "class Own:\n    def __init__(self): self.gen, self.plan = (i for i in ()), cfg['a']['handle']\n    def __getstate__(self): return {'plan': self.plan}"
    )
    kernel.ok("own = Own()")
    assert "own.plan: TextIOWrapper, line 2" in kernel.run("%%remote\nown").error["evalue"]
    assert kernel.ok("%%remote\nlock = 5\nlock").value == "5"  # not needed: the cell binds it itself


def test_unpicklable_results_do_not_cost_the_others(kernel: Kernel) -> None:
    cell = kernel.ok(
        "%%remote\ngood = 1\ngen = (i for i in range(3))\nimport threading\nbad = {'l': [threading.Lock()]}"
    )
    text = cell.text("stderr")
    assert "gen did not come back" in text
    assert "make a list of it" in text
    assert "bad['l'][0] did not come back" in text
    assert kernel.ok("good").value == "1"
    assert "stayed on the worker" in (kernel.ok("gen").value or "")


def test_a_value_that_cannot_come_back_is_shown_and_says_so_when_it_is_used(kernel: Kernel) -> None:
    cell = kernel.ok("%%remote\nimport sqlite3\nsqlite3.connect(':memory:').execute('select 1')")
    assert (cell.value or "").startswith("<sqlite3.Cursor ") and cell.text("stderr") == ""
    assert "did not come back from the worker: Cursor" in kernel.run("_.fetchall()").error["evalue"]
    kernel.ok("%%remote --quiet\ngen = (i for i in range(3))")
    assert "make a list of it" in kernel.run("next(gen)").error["evalue"]


def test_a_value_that_cannot_be_made_here_does_not_cost_the_others(kernel: Kernel) -> None:
    cell = kernel.ok(
        "%%remote\nclass Odd:\n    def __reduce__(self): return made, (1, 2)\ndef made(one): pass\n"
        "odd = Odd(); parts = [1, Odd(), 3]; after = 7\nafter"
    )
    assert cell.value == "7"
    text = cell.text("stderr")
    assert "odd did not come back" in text and "a part of parts did not come back" in text and "takes 1 pos" in text
    assert kernel.ok("after, parts[0], parts[2]").value == "(7, 1, 3)"


def test_errors_are_values_too(kernel: Kernel) -> None:
    kernel.ok(
        "%%remote\nclass Coded(Exception):\n    def __init__(self, code, text):\n        super().__init__(text)\n"
        "        self.code = code\nfound = []\ntry: raise Coded(4, 'four')\nexcept Coded as error: found.append(error)"
    )
    assert kernel.ok("%%remote\nfound[0].code, str(found[0])").value == "(4, 'four')"
    assert kernel.ok("found[0].code, str(found[0]), type(found[0]) is Coded").value == "(4, 'four', True)"


def test_input_is_refused(kernel: Kernel) -> None:
    cell = kernel.run("%%remote\nname = input('?')")
    assert cell.error["ename"] == "StdinNotImplementedError"
    assert arrows(cell.traceback) == ["2 name = input('?')"]
    cell = kernel.run("%%remote\nfrom getpass import getpass\ngetpass()")
    assert cell.error["ename"] == "StdinNotImplementedError"


def test_a_worker_that_dies(kernel: Kernel) -> None:
    cell = kernel.run("%%remote\nimport os\nos._exit(3)")
    assert cell.error["ename"] == "WorkerCrashedError"
    assert kernel.ok("%%remote\n1").value == "1"


def test_system_exit(kernel: Kernel) -> None:
    cell = kernel.run("%%remote\nimport sys\nsys.exit(2)")
    assert cell.reply["status"] == "error"  # type: ignore[index]
    assert kernel.ok("%%remote\n1").value == "1"


def test_debug_works_on_the_frames(kernel: Kernel) -> None:
    kernel.ok("def inner(v):\n    return 1 / v\ndef outer(v):\n    return inner(v)")
    kernel.run("%%remote\nouter(0)")
    cell = kernel.debug(["w", "u", "p 6 * 7", "q"])
    text = strip_ansi(cell.text())
    assert "return inner(v)" in text
    assert "return 1 / v" in text
    assert "42" in text
    assert "nbray" not in text


def test_debug_has_the_variables(kernel: Kernel) -> None:
    kernel.ok(
        "import numpy as np\nlarge = np.arange(500_000)\nclass Walker:\n    step = 1\n"
        "    def go(self, *far, key=2, **more):\n        seen = [1, 2]\n        return divide(self.step, seen)\n"
        "def divide(v, seen):\n    known, own = large, np.zeros(1_000_000)\n    gen, same = (i for i in ()), seen\n    return seen[5] / v"
    )
    kernel.run("%%remote\nstart = 3\nwalker = Walker()\nwalker.go(5, other=6)")
    cell = kernel.debug(
        [
            "p v, known is large, same",
            "p own.nbytes",
            "p own",
            "p gen",
            "u",
            "p self is walker, far, key, more, seen",
            "u",
            "p start",
            "q",
        ]
    )
    text = strip_ansi(cell.text())
    assert "(1, True, [1, 2])" in text and "array([0., 0., 0." in text and "<generator object" in text
    assert "has stayed on the worker" in text  # only its text came
    assert "(True, (5,), 2, {'other': 6}, [1, 2])" in text and "\n3\n" in text
    kernel.ok("import sys, pdb, traceback\nassert sys.last_value.__traceback__ is sys.last_traceback")
    assert "in divide" in kernel.ok(PRINT_LAST).text("stderr")
    kernel.ok("%xmode Verbose")
    shown = kernel.run("%tb").traceback
    kernel.ok("%xmode Context")
    assert "divide(v=1, seen=[1, 2])" in shown and "key=2" in shown, shown


def test_frames_of_a_recursion_are_alike_for_whoever_shows_them_once(kernel: Kernel) -> None:
    kernel.run("%%remote\ndef deeper(n):\n    return deeper(n + 1)\ndeeper(0)")
    look = "import sys, traceback\nframes = [(f.f_code, line) for f, line in traceback.walk_tb(sys.last_traceback)]"
    assert kernel.ok(look + "\nlen(frames) > 100, len(set(frames))").value == "(True, 2)"


def test_debug_has_the_variables_of_what_waits_here_for_a_task(kernel: Kernel) -> None:
    kernel.ok(
        "@nbray.remote\ndef fail(v): return 1 / v\ndef ask(v):\n    kept = v + 1\n    return nbray.get(fail.remote(v))"
    )
    kernel.run("ask(0)")
    cell = kernel.debug(["u", "p v, kept", "q"])
    assert "(0, 1)" in strip_ansi(cell.text())


def test_warnings_name_the_cell(kernel: Kernel) -> None:
    kernel.ok("@nbray.remote\ndef length(x):\n    return len(x)")
    call = "nbray.get(length.remote(bytes(11 << 20)));"
    for above, line in (("", 1), ("%%remote\n", 2)):
        cell = kernel.ok(above + call)
        number = cell.of("execute_input")[0]["execution_count"]
        assert f"cell {number}:{line}: PerformanceWarning" in cell.text("stderr")


@pytest.mark.parametrize(
    "code, name",
    [
        ("nbray.get(3)", "ValueError"),
        ("nbray.remote(num_cpus='two')(len)", "TypeError"),
        ("nbray.remote(3)", "TypeError"),
    ],
)
def test_wrong_input_is_named_by_a_class_that_people_know(kernel: Kernel, code: str, name: str) -> None:
    assert kernel.run(f"import nbray\n{code}").error["ename"] == name


@pytest.mark.parametrize("code", ["ref + 1", "%%remote\nnbray.put(1) + 1"])
def test_a_ref_that_is_taken_for_its_value(kernel: Kernel, code: str) -> None:
    kernel.ok("import nbray\nref = nbray.put(1)")
    cell = kernel.run(code)
    assert cell.error["ename"] == "TypeError"
    shown = cell.text("stderr") + "\n".join(cell.error["traceback"])
    assert shown.count("nbray.get(ref) returns that") == 1


def test_what_nbray_refuses_is_shown_without_its_own_frames(kernel: Kernel) -> None:
    kernel.ok("%%remote --actor keeper\nkept = (i for i in range(3))")
    for code, name in (
        ("def use(v):\n    return v.name\nuse(kept)", "AttributeError"),
        ("next(kept)", "TypeError"),
        ("nbray.get(5)", "ValueError"),
        ("nbray.get(nbray.remote(print).options(num_cpus=1).remote, timeout=0)", "ValueError"),
        ("nbray.remote(num_cpus='x')(print)", "TypeError"),
        ("nbray.get_actor('nobody')", "ActorHandleNotFoundError"),
        ("nbray.remote(num_cpus=99)(print).remote()", "TaskUnschedulableError"),
    ):
        cell = kernel.run(code)
        assert cell.error["ename"] == name
        assert "Cell In[" in cell.traceback and "File " not in cell.traceback, cell.traceback
    kernel.run(code)
    assert "File " not in kernel.run("%tb").traceback


def test_functions_of_tasks_are_shown_with_what_they_take(kernel: Kernel) -> None:
    kernel.ok(
        "class Where:\n    @staticmethod\n    def deep(a, /, b=(1,\n             2), *more,\n             k, **rest) -> int:\n        raise ValueError(b)\n"
        "@nbray.remote\ndef outer(x): return Where.deep(x, k=1)"
    )
    found = kernel.run("nbray.get(outer.remote(1))").traceback
    assert "in outer(x)" in found
    assert "in Where.deep(a, b, k, *more, **rest)" in found or "in deep(a, b, k, *more, **rest)" in found, found


def test_an_error_of_tasks_within_tasks_is_shown_to_where_it_was_raised(kernel: Kernel) -> None:
    kernel.ok(
        "@nbray.remote\ndef nested(n):\n    if n == 0:\n        raise KeyError('deep')\n    return nbray.get(nested.remote(n - 1))\n"
        "@nbray.remote\nclass Through:\n    def ask(self): return nbray.get(nested.remote(0))\nthrough = Through.remote()"
    )
    for cell, lines in (
        ("nbray.get(nested.remote(2))", [1, 5, 5, 4]),
        ("%%remote\nnbray.get(nested.remote(1))", [2, 5, 4]),
        ("nbray.get(through.ask.remote())", [1, 8, 4]),
        ("%%remote --actor nests\nnbray.get(through.ask.remote())", [2, 8, 4]),
    ):
        shown = kernel.run(cell)
        assert shown.error["ename"] == "KeyError"
        assert [int(line) for line in re.findall(r"Cell In\[\d+\], line (\d+)", shown.traceback)] == lines, (
            shown.traceback
        )
        assert "File " not in shown.traceback


def test_a_debugger_is_refused_where_nobody_can_type(kernel: Kernel) -> None:
    for code in ("breakpoint()", "import pdb; pdb.set_trace()", "from pdb import set_trace\nset_trace()"):
        cell = kernel.run("%%remote\n" + code)
        assert cell.error["evalue"].startswith("breakpoint() cannot stop here")
        assert "bdb.py" not in cell.traceback and cell.text() == ""
    kernel.run("%%remote\nfrom pdb import set_trace\nfrom getpass import getpass\nset_trace()")
    assert (
        kernel.ok("import getpass as g, pdb\nset_trace is pdb.set_trace, getpass == g.getpass").value == "(True, True)"
    )
    assert kernel.ok("%%remote\nimport pdb\nvars(pdb)['set_' + 'trace'].__module__").value == "'pdb'"


def test_a_cell_whose_worker_dies_is_told_with_its_own_last_words_alone(kernel: Kernel) -> None:
    kernel.ok("%%remote\nprint('of a cell before')")
    cell = kernel.run("%%remote\nimport os\nos._exit(3)")
    assert cell.error["ename"] == "WorkerCrashedError" and "of a cell before" not in cell.error["evalue"]
    cell = kernel.run("%%remote\nimport os\nprint('its own')\nos.write(2, b'and of C')\nos._exit(3)")
    assert "its own" in cell.error["evalue"] and "and of C" in cell.error["evalue"]


def test_lambdas_are_shown_with_what_they_take(kernel: Kernel) -> None:
    here = kernel.run("#%%remote\nlist(map(lambda t, *a: t + not_there, range(3)))")
    there = kernel.run("%%remote\nlist(map(lambda t, *a: t + not_there, range(3)))")
    assert "in <lambda>(t, *a)" in here.traceback and "in <lambda>(t, *a)" in there.traceback


def test_the_last_error_is_there_in_a_cell_that_speaks_of_it(kernel: Kernel) -> None:
    look = f"import sys, traceback\n{PRINT_LAST}\nsys.last_value, sys.last_type is type(sys.last_value)"
    kernel.run("def invert(v):\n    return 1 / v\ninvert(0)")
    for code in (look, "%%remote\n" + look, "%%remote --async\n" + look):
        cell = kernel.ok(code)
        kernel.until(lambda cell=cell: "ZeroDivisionError: " in cell.text("stderr"))  # type: ignore[misc]
        assert "line 3, in <module>\n    invert(0)\n" in cell.text("stderr")
        assert "line 2, in invert\n    return 1 / v\n" in cell.text("stderr")
        assert "--async" in code or cell.value == "(ZeroDivisionError('division by zero'), True)"
    kernel.run("%%remote\ninvert('x')")
    assert kernel.ok("%%remote\nimport sys\nstr(sys.last_value)").value == kernel.ok("str(sys.last_value)").value
    kernel.run("import threading\nerror = KeyError(threading.Lock())\nraise error")  # which cannot travel
    assert kernel.ok("%%remote\nimport sys\nsys.last_type.__name__").value == "'KeyError'"
    assert kernel.run("%%remote\nimport pdb\npdb.pm()").error["evalue"].startswith("breakpoint() cannot stop here")
    kernel.ok("import sys\ndel sys.last_value, sys.last_type, sys.last_traceback\nvars(sys).pop('last_exc', 0)")
    assert kernel.ok("%%remote\nimport sys\nhasattr(sys, 'last_value')").value == "False"


def test_an_error_that_was_shown_goes_into_the_next_cell(kernel: Kernel) -> None:
    kernel.ok("%%remote\ntry:\n    raise ValueError('deep')\nexcept ValueError as error:\n    kept = error")
    assert kernel.run("%%remote\nraise kept").error["evalue"] == "deep"
    assert (
        kernel.ok("%%remote\nimport traceback\ntraceback.format_exception(kept)[-1]").value == r"'ValueError: deep\n'"
    )
    kernel.ok("@nbray.remote\ndef tell(error): return str(error)")
    assert (
        kernel.ok("import sys\nnbray.get(tell.remote(kept)), nbray.get(nbray.put(sys.last_value)).args").value
        == "('deep', ('deep',))"
    )
