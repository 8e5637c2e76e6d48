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
