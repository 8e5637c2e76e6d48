"""A call of an actor that runs beside others, and which one this code belongs to."""

from __future__ import annotations

import contextlib
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from typing import Any

from nbray.core.call_site import warn


class Call:
    """A call as it came from the ring.

    ``cancelled`` is what ``is_canceled()`` tells; ``exits``: it has called ``exit_actor``; ``task`` is its asyncio task once it has one.
    """

    __slots__ = (
        "args", "began", "cancelled", "chan", "exits", "function", "kwargs", "method", "n_returns", "name", "number", "origin",
        "owner", "task",
    )  # fmt: skip

    def __init__(
        self, chan: int, number: int, owner: int, name: str, n_returns: int, function: Callable[..., Any], args: Any,
        kwargs: dict[str, Any], origin: str, method: str = "",
    ) -> None:  # fmt: skip
        self.chan = chan
        self.number = number
        self.owner = owner  # peer
        self.name = name  # that the caller gave, or class and method
        self.method = method
        self.n_returns = n_returns
        self.function = function
        self.args = args
        self.kwargs = kwargs
        self.origin = origin
        self.began = 0  # CLOCK_MONOTONIC, in ns; 0: not yet
        self.cancelled = False
        self.exits = False
        self.task: Any = None


class NeverBegan(Exception):
    """The call was cancelled before its turn came."""


def answer_failed(fail: Callable[..., None], call: Call, error: BaseException) -> None:
    """Answer a call once more, when what answers it has raised; what raises again ends the worker."""
    try:
        fail(call, error)
    except BaseException:
        os._exit(1)
    with contextlib.suppress(Exception):  # its disk may be full
        traceback.print_exception(error, file=sys.__stderr__)


def unknown_group(method: str, group: str, known: Iterable[str]) -> str:
    """Return what to say of a concurrency group that the class does not have."""
    have = f"it has {', '.join(map(repr, sorted(known)))}" if known else "it has none"
    return (
        f"{method} is to run in the concurrency group {group!r}, which its class does not define ({have}): add it to the "
        f"class's concurrency_groups={{{group!r}: 2}}."
    )


def warn_of_blocking() -> None:
    """Warn when this thread, which waits for a ref, is the one of an event loop: nothing else runs there meanwhile."""
    import asyncio  # noqa: PLC0415 - loaded when needed

    if asyncio._get_running_loop() is not None:
        warn(
            "get() or wait() blocks the event loop of this async actor, and with it all its calls: await the ref instead "
            "(`await ref`, or `await asyncio.gather(*refs)` for several)."
        )


def is_async(cls: type) -> bool:
    """Tell whether actors of ``cls`` run their calls on an event loop: some method is an ``async def``."""
    return any(
        inspect.iscoroutinefunction(member) or inspect.isasyncgenfunction(member)
        for _, member in inspect.getmembers(cls, inspect.isroutine)
    )


def parent_key(number: int, owner: int) -> int:
    """Return what the tasks that a call submits name as their parent: numbers are counted by each caller."""
    return number | owner << 64


current_call: ContextVar[Call | None] = ContextVar("nbray_call", default=None)
