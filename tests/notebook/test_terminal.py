"""IPython in a real terminal: what a cell with ``%%remote`` shows there is what it would show without."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from terminal_kit import COLUMNS, LINES, Terminal

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def terminal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    terminal = Terminal(tmp_path_factory.mktemp("terminal"))
    family = terminal.family()
    yield terminal
    terminal.leave()
    _, alive = psutil.wait_procs(family, 60)
    assert not alive


def test_a_cell_has_the_width_of_the_terminal(terminal: Terminal) -> None:
    look = "import os, shutil, sys\nprint(tuple(shutil.get_terminal_size()), sys.stdout.isatty(), sys.stderr.isatty())\n!stty size"
    wanted = f"({COLUMNS}, {LINES}) True True\n{LINES} {COLUMNS}"
    assert wanted in terminal.run(look)
    assert wanted in terminal.run("%%remote\n" + look)
    assert wanted in terminal.run("%%remote --actor keeper\n" + look)
    bar = "from tqdm import tqdm\nbar = tqdm(range(3))\nprint('columns', bar.format_dict['ncols'])"
    assert f"columns {COLUMNS - 1}" in terminal.run(bar)
    assert f"columns {COLUMNS - 1}" in terminal.run("%%remote\n" + bar + "\nfrom os import get_terminal_size as size")
    # What came back goes on here: a stream of the worker's would not.
    assert "ignored in" not in terminal.run("for _ in bar: pass\ndel bar")
    assert f"columns={COLUMNS}" in terminal.run("import os\nsize(), os.get_terminal_size is size")
    quiet = terminal.run(
        "%%remote --each i=[1]\nimport sys, shutil\nprint(shutil.get_terminal_size().columns, sys.stdout.isatty())"
    )
    assert f"{COLUMNS} False" in quiet  # items print in turn
    assert "False" in terminal.run("'COLUMNS' in os.environ")
    terminal.run("%%capture kept\n%%remote\nprint(sys.stdout.isatty())")
    assert "False" in terminal.run("None\nkept.stdout")


def test_the_debugger_after_a_remote_error(terminal: Terminal) -> None:
    terminal.run("def divide(v):\n    kept = v + 1\n    return kept / v")
    shown = terminal.run("%%remote\nzero = 0\ndivide(zero)")
    assert "3 divide(zero)" in shown and "3     return kept / v" in shown
    terminal.type("%debug")
    terminal.answer("p v, kept")
    assert "(0, 1)" in terminal.answer("up")
    terminal.answer("p zero + 40")
    assert "40" in terminal.answer("q")
    terminal.prompt()
    terminal.run("%pdb on\nNone")
    terminal.type("%%remote\ndivide(0)")
    terminal.answer("p kept + 40")
    assert "41" in terminal.answer("q")
    terminal.prompt()
    terminal.run("%pdb off\nNone")


def test_an_interrupt_gives_the_prompt_back(terminal: Terminal) -> None:
    terminal.type("%%remote\nimport time\nprint('it ' + 'sleeps')\ntime.sleep(3600)")
    terminal.until("it sleeps")
    terminal.interrupt()
    shown = terminal.prompt()
    assert "KeyboardInterrupt" in shown and "4 time.sleep(3600)" in shown
    assert "42" in terminal.run("%%remote\n6 * 7")


def test_what_comes_later_stands_above_the_prompt(terminal: Terminal) -> None:
    terminal.type(
        "%%remote --async\nimport os, time\nwhile not os.path.exists('gate'): time.sleep(0.01)\nprint('came ' + 'later')"
    )
    terminal.prompt()
    terminal.type("open('gate', 'w').close()")
    terminal.until("came later\r?\n")


def test_exit_ends_what_runs(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path)
    terminal.run("%%remote --async\nimport time\ntime.sleep(3600)")
    family = terminal.family()
    assert family
    terminal.leave()
    assert terminal.process.exitstatus == 0
    _, alive = psutil.wait_procs(family, 60)
    assert not alive
