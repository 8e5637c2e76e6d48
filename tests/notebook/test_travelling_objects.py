"""Objects of kinds that pickle would make something else of: after a cell they are what they would be here."""

from __future__ import annotations

import pytest
from kit import Kernel


@pytest.fixture(autouse=True)
def own_names(kernel: Kernel) -> None:
    kernel.ok("import asyncio, collections, copy, itertools, threading\nimport numpy as np")


def test_tasks_of_asyncio_that_have_ended_are_tasks(kernel: Kernel) -> None:
    kernel.ok("async def double(x):\n    if x > 1: raise ValueError(x)\n    return [x * 2]\nnone = asyncio.all_tasks()")
    kernel.ok(
        "%%remote\ndone = asyncio.create_task(double(1), name='first'); failed = asyncio.create_task(double(2))\n"
        "stopped = asyncio.create_task(asyncio.sleep(9)); stopped.cancel(); also = [done]\n"
        "value = await done\nawait asyncio.wait([failed, stopped])\nNone"
    )
    assert (
        kernel.ok("[isinstance(each, asyncio.Task) for each in (done, failed, stopped)]").value == "[True, True, True]"
    )
    assert kernel.ok("done.get_name(), done.get_coro().__name__, done.result() is value, also[0] is done").value == (
        "('first', 'double', True, True)"
    )
    assert kernel.ok("failed.exception(), stopped.cancelled(), await done is value").value == (
        "(ValueError(2), True, True)"
    )
    gathered = "(await asyncio.gather(done, failed, return_exceptions=True))[0] is value, asyncio.all_tasks() == none"
    assert kernel.ok(f"none = asyncio.all_tasks()\n{gathered}").value == "(True, True)"
    assert kernel.ok("%%remote\nisinstance(done, asyncio.Task), done.result() is value").value == "(True, True)"
