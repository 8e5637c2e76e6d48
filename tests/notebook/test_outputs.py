"""What tasks print and display appears under the cell that submitted them."""

from __future__ import annotations

from pathlib import Path

from kit import Kernel

PLAIN_TASK = "@nbray.remote\ndef say(text, times=1):\n    for i in range(times): print(text)\n    return text\n"


def test_prints_of_a_cell_are_complete_and_in_order(kernel: Kernel) -> None:
    cell = kernel.ok(
        "%%remote\nimport sys\nfor i in range(1000):\n    print(i)\nprint('oops', file=sys.stderr)\nprint('end')"
    )
    assert cell.text() == "".join(f"{i}\n" for i in range(1000)) + "end\n"
    assert cell.text("stderr") == "oops\n"
    assert len(cell.of("stream")) < 50  # coalesced


def test_prints_are_live(kernel: Kernel) -> None:
    cell = kernel.start(
        "%%remote\nimport time, os\nprint('begun')\nwhile not os.path.exists('go'): time.sleep(0.01)\nprint('over')"
    )
    kernel.until(lambda: cell.text() == "begun\n")
    assert not cell.idle
    from pathlib import Path

    cwd = Path(f"/proc/{kernel.pid}/cwd").resolve()
    (cwd / "go").touch()
    assert kernel.finish(cell).text() == "begun\nover\n"
    (cwd / "go").unlink()


def test_local_prints_keep_their_place(kernel: Kernel) -> None:
    kernel.ok(PLAIN_TASK)
    cell = kernel.ok("print('first')\nnbray.get(say.remote('second'))\nprint('third')")
    assert cell.text() == "first\nsecond\nthird\n"


def test_display_update_and_clear(kernel: Kernel) -> None:
    cell = kernel.ok(
        "%%remote --quiet\nfrom IPython.display import HTML, clear_output\nhandle = display('one', display_id='here')\n"
        "handle.update('two')\ndisplay(HTML('<b>x</b>'))\nclear_output(wait=True)\nprint('after')"
    )
    kinds = [m["msg_type"] for m in cell.messages if m["msg_type"] not in ("status", "execute_input")]
    assert kinds == ["display_data", "update_display_data", "display_data", "clear_output", "stream"]
    first, second, third = cell.of("display_data", "update_display_data")
    assert first["transient"] == second["transient"] == {"display_id": "here"}
    assert second["data"]["text/plain"] == "'two'"
    assert third["data"]["text/html"] == "<b>x</b>"
    assert cell.of("clear_output") == [{"wait": True}]


def test_figures(kernel: Kernel) -> None:
    cell = kernel.ok(
        "%%remote --quiet\nimport matplotlib.pyplot as plt\nfig, ax = plt.subplots()\nax.plot([1, 2])\nprint('drawn')"
    )
    (figure,) = cell.of("display_data")
    assert figure["data"]["image/png"].startswith("iVBOR")
    assert cell.text() == "drawn\n"
    # It came back as an object, without being drawn a second time.
    assert kernel.ok("type(fig).__name__").of("display_data") == []
    shown = kernel.ok("fig").of("execute_result")
    assert "image/png" in shown[0]["data"]


def test_output_stays_with_its_cell_when_later_cells_run(kernel: Kernel) -> None:
    kernel.ok(
        "import os\n@nbray.remote\ndef held(tag):\n    import time\n"
        "    while not os.path.exists('released-' + tag): time.sleep(0.01)\n    print('from', tag)"
    )
    first = kernel.ok("a = held.remote('a')")
    second = kernel.ok("b = held.remote('b')")
    third = kernel.ok("for tag in 'ab': open('released-' + tag, 'w').close()\nnbray.get([a, b])\nNone")
    kernel.until(lambda: bool(first.text() and second.text()))
    assert (first.text(), second.text(), third.text()) == ("from a\n", "from b\n", "")


def test_nested_tasks_print_under_the_cell(kernel: Kernel) -> None:
    kernel.ok(
        PLAIN_TASK
        + "@nbray.remote\ndef outer():\n    print('outer')\n    nbray.get(say.remote('inner'))\n    print('outer again')"
    )
    assert kernel.ok("nbray.get(outer.remote())\nNone").text() == "outer\ninner\nouter again\n"
    cell = kernel.ok("%%remote\nprint('cell')\nnbray.get(outer.remote())\nprint('end')")
    assert cell.text() == "cell\nouter\ninner\nouter again\nend\n"


def test_carriage_returns_pass(kernel: Kernel) -> None:
    cell = kernel.ok("%%remote\nfor i in range(3):\n    print(f'\\r{i}', end='', flush=True)\nprint()")
    assert cell.text() == "\r0\r1\r2\n"


def test_what_child_processes_and_c_code_write_appears_in_its_place(kernel: Kernel, tmp_path: Path) -> None:
    cell = kernel.ok(
        "%%remote\nimport os, subprocess\nprint('one')\nsubprocess.run(['sh', '-c', 'echo two; echo oops >&2'])\n"
        "print('three')\nos.write(2, 'f\u00fcnf\\n'.encode())\nprint('six', end='')"
    )
    assert (cell.text(), cell.text("stderr")) == ("one\ntwo\nthree\nsix", "oops\nf\u00fcnf\n")
    assert "".join(content["text"] for content in cell.of("stream")) == "one\ntwo\noops\nthree\nf\u00fcnf\nsix"
    forked = kernel.ok(
        "%%remote --quiet\nimport sys, warnings\nwarnings.simplefilter('ignore', DeprecationWarning)\n"  # 3.12 on: of fork
        "print('parent')\nif not os.fork():\n    print('child')\n"
        "    print('child too', file=sys.stderr)\n    os._exit(0)\nos.wait();"
    )
    assert (forked.text(), forked.text("stderr")) == ("parent\nchild\n", "child too\n")
    gate = tmp_path / "gate"
    child = f"echo begun; until test -e {gate}; do sleep 0.01; done; echo over"
    cell = kernel.start(f"%%remote --quiet\nimport subprocess\nsubprocess.run(['sh', '-c', {child!r}]);")
    kernel.until(lambda: cell.text() == "begun\n")  # while it runs
    gate.touch()
    assert kernel.finish(cell).text() == "begun\nover\n"
    assert kernel.ok("%%remote\nprint('alone')").text() == "alone\n"


def test_what_child_processes_of_tasks_write_is_under_the_cell_that_submitted_them(
    kernel: Kernel, tmp_path: Path
) -> None:
    kernel.ok(
        "import subprocess\n@nbray.remote\ndef child(text):\n    subprocess.run(['sh', '-c', text], check=True)\n"
        "@nbray.remote\nclass Speaker:\n    def child(self, text):\n        subprocess.run(['sh', '-c', text], check=True)"
    )
    cell = kernel.ok("nbray.get(child.remote('echo one; echo oops >&2'))\nprint('two')")
    assert (cell.text(), cell.text("stderr")) == ("one\ntwo\n", "oops\n")
    gate = tmp_path / "gate"
    late = f"(until test -e {gate}; do sleep 0.01; done; echo late) &"
    cell = kernel.ok(f"speaker = Speaker.remote()\nnbray.get(speaker.child.remote({late!r}))")
    assert cell.text() == ""
    other = kernel.ok("nbray.get(child.remote('echo three'))\ngate = open('/dev/null')\nprint('four')")
    gate.touch()
    kernel.until(lambda: cell.text() == "late\n")
    assert other.text() == "three\nfour\n"
    kernel.ok("del speaker")


def test_what_tasks_print_while_names_are_bound_is_shown(kernel: Kernel) -> None:
    # The notebook imports the module too, and what that prints is not shown again; here it waits for the task.
    kernel.ok(
        "import os, time\nos.environ['IMPORTS'] = str(os.getpid())\n"
        "open('slow_module.py', 'w').write('import os, time\\nprint(\"loaded\")\\nif os.environ[\"IMPORTS\"] == str(os.getpid()):\\n'\n"
        '    \'    open("begun", "w")\\n    while not os.path.exists("said"): time.sleep(0.01)\\n    time.sleep(0.3)\\n\')\n'
        "@nbray.remote\n"
        "def say():\n"
        "    while not os.path.exists('begun'): time.sleep(0.01)\n"
        "    print('said')\n"
        "    open('said', 'w')\nNone"
    )
    cell = kernel.ok("%%remote --quiet\nimport slow_module\nsaid = say.remote()")
    kernel.ok("nbray.get(said)")
    kernel.until(lambda: cell.text() == "loaded\nsaid\n")
    kernel.ok("del os.environ['IMPORTS'], said; os.unlink('begun'); os.unlink('said')")


def test_figures_in_a_cell_that_looks_into_globals(fresh_kernel: Kernel) -> None:
    fresh_kernel.ok("%load_ext nbray\nimport nbray; nbray.init(num_cpus=1)\nNone")
    fresh_kernel.ok("import matplotlib.pyplot as plt, pandas as pd, numpy as np")
    draw = "figure, axes = plt.subplots(); axes.bar(['a'], [1]);"
    for code in (draw, f"len(globals())\n{draw}", draw):
        # Without nbray's own line, which a cell gets that runs for long.
        cell = fresh_kernel.ok(f"%%remote --quiet\n{code}")
        assert [set(each["data"]) for each in cell.of("display_data")] == [{"image/png", "text/plain"}]
