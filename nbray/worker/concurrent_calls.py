"""Calls of an actor that run at the same time: on threads, or as coroutines of one loop.

The executor's main thread takes calls from the rings in order and starts them here in that
order. Answers go back from whichever thread ends a call.
"""

from __future__ import annotations

import inspect
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

ASYNC_DEFAULT_CONCURRENCY = 1000


class Call(NamedTuple):
    """A call as it came from the ring."""

    chan: int
    number: int
    owner: int  # peer
    name: str
    n_returns: int
    function: Callable[..., Any]
    args: Any
    kwargs: dict[str, Any]


class ThreadedCalls:
    """Runs up to ``limit`` calls on threads.

    Parameters
    ----------
    answer, fail : callable
        ``answer(call, result, ran_ns)`` and ``fail(call, error)`` send the reply.
    """

    def __init__(self, limit: int, answer: Callable[..., None], fail: Callable[..., None]) -> None:
        from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - loaded when needed

        self._pool = ThreadPoolExecutor(limit, thread_name_prefix="nbray-call")
        self._answer = answer
        self._fail = fail

    def start(self, call: Call) -> None:
        """Queue a call; returns at once."""
        self._pool.submit(self._run, call)

    def _run(self, call: Call) -> None:
        began = time.monotonic_ns()
        try:
            result = call.function(*call.args, **call.kwargs)
        except BaseException as error:
            self._fail(call, error)
        else:
            self._answer(call, result, time.monotonic_ns() - began)

    def finish(self) -> None:
        """Wait for the calls that run and wait."""
        self._pool.shutdown(wait=True)


class AsyncCalls:
    """Runs calls as coroutines of one event loop, in a thread of its own; ``limit`` at a time."""

    def __init__(self, limit: int, answer: Callable[..., None], fail: Callable[..., None]) -> None:
        import asyncio  # noqa: PLC0415 - loaded when needed

        self._asyncio = asyncio
        self._answer = answer
        self._fail = fail
        self._loop = asyncio.new_event_loop()
        self._free = asyncio.Semaphore(limit)
        self._thread = threading.Thread(target=self._serve, name="nbray-loop", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        self._asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def run(self, function: Callable[[], Any]) -> Any:
        """Run something (the constructor) on the loop's thread and return its result."""

        async def call() -> Any:
            return function()

        return self._asyncio.run_coroutine_threadsafe(call(), self._loop).result()

    def start(self, call: Call) -> None:
        """Queue a call; returns at once."""
        self._asyncio.run_coroutine_threadsafe(self._run(call), self._loop)

    async def _run(self, call: Call) -> None:
        async with self._free:
            began = time.monotonic_ns()
            try:
                result = call.function(*call.args, **call.kwargs)
                if inspect.isawaitable(result):
                    result = await result
            except BaseException as error:
                self._fail(call, error)
            else:
                self._answer(call, result, time.monotonic_ns() - began)

    def finish(self) -> None:
        """Wait for the calls that have been started."""

        async def rest() -> None:
            others = [task for task in self._asyncio.all_tasks(self._loop) if task is not self._asyncio.current_task()]
            await self._asyncio.gather(*others, return_exceptions=True)

        self._asyncio.run_coroutine_threadsafe(rest(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)


def for_class(cls: type, limit: int | None, answer: Any, fail: Any) -> ThreadedCalls | AsyncCalls | None:
    """Return how an actor of ``cls`` runs its calls; None: one after the other, in the main thread."""
    if any(inspect.iscoroutinefunction(member) for _, member in inspect.getmembers(cls)):
        return AsyncCalls(limit or ASYNC_DEFAULT_CONCURRENCY, answer, fail)
    if limit is not None and limit > 1:
        return ThreadedCalls(limit, answer, fail)
    return None
