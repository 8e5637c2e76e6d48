"""Interrupting a remote cell: the work stops, the prompt is back, nothing else breaks."""

from __future__ import annotations

import time
from pathlib import Path

from kit import Kernel

# It tells its process where it cannot be interrupted any more.
STUBBORN = (
    "%%remote\nimport os, time\nsay = iter([f'{os.getpid()}\\n'])\n"
    "while True:\n    try:\n        print(next(say, ''), end='')\n        time.sleep(0.01)\n"
    "    except KeyboardInterrupt:\n        pass"
)
PROMPT_S = 0.2


def test_the_cell_is_cancelled_where_it_was(kernel: Kernel) -> None:
    with kernel.patient():
        cell = kernel.start(
            "%%remote\nbefore = 5; say = iter(['go'])\nimport time\n\nwhile True:\n"
            "    print(next(say, ''), end=''); time.sleep(0.01)"
        )
        kernel.until(lambda: cell.text() == "go")
        kernel.interrupt()
        kernel.finish(cell)
    assert cell.error["ename"] == "KeyboardInterrupt"
    assert "----> 6     print(next(say, ''), end=''); time.sleep(0.01)" in cell.traceback
    assert kernel.ok("before").value == "5"
    assert kernel.ok("%%remote\n1").value == "1"


def test_a_cell_interrupts_itself(kernel: Kernel) -> None:
    for first in ("%%remote", "%%remote --actor Own"):
        cell = kernel.run(f"{first}\nimport signal\nsignal.raise_signal(signal.SIGINT)\nnever = 1")
        assert cell.error["ename"] == "KeyboardInterrupt"
        assert "----> 3 signal.raise_signal(signal.SIGINT)" in cell.traceback
    assert kernel.run("never").error["ename"] == "NameError"
    caught = kernel.ok(
        "%%remote\nimport os, time\ntry:\n    os.kill(os.getpid(), signal.SIGINT)\n    while True:\n        time.sleep(0.002)\n"
        "except KeyboardInterrupt:\n    caught = 'caught'\ncaught"
    )
    assert caught.value == "'caught'"


def test_a_handler_of_a_cell_ends_with_it(kernel: Kernel) -> None:
    cell = kernel.ok(
        "%%remote\nimport signal\nbefore = signal.signal(signal.SIGINT, lambda *about: print('mine'))\n"
        "signal.raise_signal(signal.SIGINT)"
    )
    assert cell.text() == "mine\n" and not cell.text("stderr")
    assert kernel.ok("before is signal.getsignal(signal.SIGINT)").value == "True"
    with kernel.patient():
        cell = kernel.start("%%remote\nimport time\nprint('go')\nwhile True:\n    time.sleep(0.002)")
        kernel.until(lambda: cell.text() == "go\n")
        kernel.interrupt()
        kernel.finish(cell)
    assert cell.error["ename"] == "KeyboardInterrupt"
    assert "mine" not in cell.text()


def test_the_prompt_is_back_soon(kernel: Kernel) -> None:
    taken: list[float] = []
    while not taken or min(taken) >= PROMPT_S:  # a machine that stands still for a moment says nothing of the prompt
        assert len(taken) < 20, taken
        cell = kernel.start("%%remote\nimport time\nprint('go')\ntime.sleep(100)")
        kernel.until(lambda cell=cell: cell.text() == "go\n")  # type: ignore[misc]
        begun = time.perf_counter()
        kernel.interrupt()
        kernel.finish(cell)
        taken.append(time.perf_counter() - begun)
    assert min(taken) < PROMPT_S, taken


def test_a_worker_that_ignores_it_is_killed(kernel: Kernel) -> None:
    cell = kernel.start(STUBBORN)
    kernel.until(lambda: cell.text().endswith("\n"))
    worker = int(cell.text())
    begun = time.monotonic()
    kernel.interrupt()
    kernel.finish(cell)
    assert cell.error["ename"] == "KeyboardInterrupt"
    assert kernel.ok("1 + 1").value == "2"
    wait_for_end(worker, 60)
    assert time.monotonic() - begun > 1  # it had its time to stop
    assert kernel.ok("%%remote\n1").value == "1"


def test_a_second_interrupt_kills_at_once(kernel: Kernel) -> None:
    taken: list[float] = []
    while not taken or taken[-1] >= 2:  # it would be killed after 3 s anyway
        assert len(taken) < 5, taken
        cell = kernel.start(STUBBORN)
        kernel.until(lambda cell=cell: cell.text().endswith("\n"))  # type: ignore[misc]
        worker = int(cell.text())
        kernel.interrupt()
        kernel.finish(cell)
        begun = time.monotonic()
        kernel.interrupt()
        wait_for_end(worker, 60)
        taken.append(time.monotonic() - begun)
    assert kernel.ok("%%remote\n1").value == "1"
    # And the idle kernel ignores interrupts as it did before.
    kernel.interrupt()
    assert kernel.ok("1 + 1").value == "2"


def test_interrupt_of_a_cell_that_waits_for_a_worker(kernel: Kernel) -> None:
    kernel.ok(
        "import os, time\n@nbray.remote(num_cpus=2)\ndef hold():\n    open('holding', 'w').close()\n    time.sleep(100)\n"
        "holder = hold.remote()\nend = time.monotonic() + 60\n"
        "while not os.path.exists('holding'):\n    assert time.monotonic() < end\n    time.sleep(0.01)"
    )
    cell = kernel.start("print('asked', flush=True)\n%remote 1 + 1")
    kernel.until(lambda: cell.text() == "asked\n")
    kernel.interrupt()
    kernel.finish(cell)
    assert cell.error["ename"] == "KeyboardInterrupt"
    kernel.ok("nbray.cancel(holder, force=True)")
    assert kernel.ok("%%remote\n1").value == "1"


def wait_for_end(pid: int, limit_s: float) -> None:
    end = time.monotonic() + limit_s
    while True:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:  # it has ended, perhaps since the file was opened
            return
        if state in "ZX":
            return
        assert time.monotonic() < end, f"process {pid} still runs"
        time.sleep(0.01)


def test_interrupt_while_a_value_is_pickled_or_read(kernel: Kernel) -> None:
    kernel.ok(
        "import os\nhere = os.getpid()\ndef hang(where):\n    print('begun', flush=True)\n    while where == os.getpid(): pass\n"
        "class In:\n    def __reduce__(self):\n        hang(here); return (In, ())\n"
        "class Out:\n    def __reduce__(self):\n        if os.getpid() != here: hang(os.getpid())\n        return (Out, ())\n"
        "class Back:\n    def __reduce__(self):\n        return (hang, (here,))\nvalue = In()"
    )
    for code in ("value", "made = Out()\n'x'", "made = Back()\n'x'"):
        with kernel.patient():
            cell = kernel.start("%%remote\n" + code)
            kernel.until(lambda cell=cell: "begun" in cell.text())
            kernel.interrupt()
            kernel.finish(cell)
        assert cell.error["ename"] == "KeyboardInterrupt"
        assert "nbray/" not in cell.traceback and "cloudpickle" not in cell.traceback
        assert "go on" not in cell.traceback + cell.text("stderr")
    assert kernel.ok("%%remote\n1").value == "1"


def test_an_interrupt_while_results_are_bound_waits_for_that(kernel: Kernel) -> None:
    """Here it comes when a dictionary has been emptied, and is to be filled again."""
    kernel.ok(
        "import collections, os, signal\nhome = os.getpid()\nclass D(collections.OrderedDict):\n    def clear(self):\n"
        "        super().clear()\n        if os.getpid() == home: os.kill(home, signal.SIGINT)\n"
        "d, others = D(a=1), [0]\nheld = [d]"
    )
    cell = kernel.run("%%remote\nd['b'] = 2\nothers.append(1)\nmade = 3\n")
    assert cell.error["ename"] == "KeyboardInterrupt"
    assert kernel.ok("dict(d), held[0] is d, others, made").value == "({'a': 1, 'b': 2}, True, [0, 1], 3)"


def test_an_interrupt_while_results_are_read_binds_all_or_nothing(kernel: Kernel) -> None:
    kernel.ok(
        "class Waits:\n    def __setstate__(self, state):\n        self.__dict__.update(state)\n"
        "        if os.getpid() == home: os.kill(home, signal.SIGINT)\n"
        "waits, numbers, made = Waits(), [0], []\nwaits.n = 1"
    )
    cell = kernel.run(
        "%%remote\nwaits.n = 2\nnumbers.append(1)\nmade = [Waits() for _ in range(3)]\nfor each in made: each.n = 1"
    )
    assert cell.error["ename"] == "KeyboardInterrupt"
    assert kernel.ok("waits.n, numbers, [each.n for each in made]").value == "(1, [0], [])"


def test_an_interrupt_while_a_class_changes_leaves_it_whole(kernel: Kernel) -> None:
    kernel.ok(
        "class Meta(type):\n    def __setattr__(cls, name, value):\n        super().__setattr__(name, value)\n"
        "        if os.getpid() == home: os.kill(home, signal.SIGINT)\nclass K(metaclass=Meta): pass\n"
    )
    cell = kernel.run("%%remote\nK.a = 1\nK.b = 2\nK.c = 3\nmade = [K()]")
    assert cell.error["ename"] == "KeyboardInterrupt"
    assert kernel.ok("[hasattr(K, name) for name in 'abc']").value in ("[True, True, True]", "[False, False, False]")


def test_who_interrupts_again_ends_what_does_not_end(kernel: Kernel) -> None:
    kernel.ok(
        "import time\nfrom nbray.core import interrupts_later\n"
        "patience, interrupts_later.PATIENCE_S = interrupts_later.PATIENCE_S, 0.0\n"
        "class Hangs:\n    def __reduce__(self): return hang, ()\n"
        "def hang():\n    later = signal.getsignal(signal.SIGINT).__self__\n    print('reading')\n"
        "    while later._came is None: time.sleep(0.01)\n    print('noted')\n    while True: time.sleep(0.01)\n"
        "import numpy as np\nbefore, array = 1, np.zeros(1)"
    )
    cell = kernel.start("%%remote\narray[0] = 1\nbefore = 2\nhangs = Hangs()")
    for said in ("reading", "noted"):
        kernel.until(lambda said=said: said in cell.text())  # type: ignore[misc]
        kernel.interrupt()
    kernel.finish(cell)
    assert cell.error["ename"] == "KeyboardInterrupt"
    kernel.ok("interrupts_later.PATIENCE_S = patience")
    assert kernel.ok("before, array").value == "(1, array([1.]))"
