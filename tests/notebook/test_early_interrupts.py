"""Interrupts that come while a cell is being sent: nothing of it goes on unseen."""

from __future__ import annotations

import pytest
from kit import Kernel

# An interrupt at the very end of the submission of the n-th task: it is on its way, the ref is in nobody's hands yet.
AT_SUBMISSION = """
from nbray.core.core_worker import CoreWorker
def interrupt_at(n, ended=0, submit=CoreWorker.submit):
    submitted = []
    def interrupted(core, *args, **kwargs):
        refs = submit(core, *args, **kwargs)
        submitted.append(refs)
        if len(submitted) == n:
            CoreWorker.submit = submit
            nbray.wait(submitted[:ended], num_returns=ended) if ended else None
            raise KeyboardInterrupt
        return refs
    CoreWorker.submit = interrupted
"""
SLEEP = "open(f'begun-{os.getpid()}', 'w').close()\ntime.sleep(1000)"


@pytest.mark.parametrize("n", [1, 2, 5])
@pytest.mark.parametrize("options", ["--each x=range(8)", "--each x=range(8) --async"])
def test_items_that_were_being_submitted_are_stopped(kernel: Kernel, options: str, n: int) -> None:
    kernel.ok(f"import os, time{AT_SUBMISSION}\ninterrupt_at({n})")
    assert kernel.run(f"%%remote {options}\n{SLEEP}").error["ename"] == "KeyboardInterrupt"
    assert kernel.ok("%%remote --num-cpus 2\n'all CPUs are free again'").value == "'all CPUs are free again'"


@pytest.mark.parametrize("options", ["", "--async", "--name sleeper"])
def test_a_cell_that_was_being_submitted_is_stopped(kernel: Kernel, options: str) -> None:
    kernel.ok(f"import os, time{AT_SUBMISSION}\ninterrupt_at(1)")
    assert kernel.run(f"%%remote {options}\n{SLEEP}").error["ename"] == "KeyboardInterrupt"
    assert kernel.ok("%%remote --num-cpus 2\n'all CPUs are free again'").value == "'all CPUs are free again'"


def test_items_that_ended_before_are_in_the_lists(kernel: Kernel) -> None:
    kernel.ok(f"{AT_SUBMISSION}\ninterrupt_at(3, ended=2)")
    assert (
        kernel.run("%%remote --each x=range(8)\ny = x\nif x > 1: time.sleep(1000)").error["ename"]
        == "KeyboardInterrupt"
    )
    assert kernel.ok("y").value == "[0, 1, None, None, None, None, None, None]"


def test_a_cell_that_is_refused_says_so_as_before(kernel: Kernel) -> None:
    assert kernel.run("%%remote --num-cpus 99\n1").error["ename"] == "TaskUnschedulableError"
    assert kernel.run("%%remote --num-cpus 99 --each x=range(3)\n1").error["ename"] == "TaskUnschedulableError"
