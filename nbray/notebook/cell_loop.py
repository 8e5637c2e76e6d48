"""The event loop of cells in a worker: as in a kernel there is one in every cell, whether the cell awaits or not.

Tasks that a cell leaves behind would go on in a kernel for as long as it lives. Here they come to their end with the cell, which
waits for those that the notebook's own code has made. What libraries keep running beside (heartbeats, readers) may have no end:
it is cancelled then.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import sys
import types
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_ASYNCIO = asyncio.__name__
_kept: asyncio.AbstractEventLoop | None = None  # from cell to cell, as the kernel's
_made_by_cells: weakref.WeakSet[asyncio.Task[Any]] = weakref.WeakSet()


def kept_loop() -> asyncio.AbstractEventLoop:
    """Return the loop of this process's cells."""
    global _kept
    if _kept is None or _kept.is_closed():
        _kept = asyncio.new_event_loop()
    return _kept


class CellLoop:
    """Runs code objects, and what they leave in the event loop.

    Not with ``asyncio.run``: it would turn an interrupt into the cancellation of a task, and the traceback would not show where
    the cell was.

    Parameters
    ----------
    awaits
        Whether the cell awaits somewhere at its top level: then the loop truly runs, from the first line on.
    """

    def __init__(self, awaits: bool, namespace: dict[str, Any]) -> None:
        self._awaits = awaits
        self._namespace = namespace
        self._loop: Any = kept_loop()
        self._began = False  # whether there was a task

    def __enter__(self) -> CellLoop:
        asyncio.set_event_loop(self._loop)
        self._loop.set_task_factory(self._make_task)
        if not self._awaits:
            # What asks for the running loop finds it, and what is begun there runs when the cell's own code has ended.
            asyncio._set_running_loop(self._loop)
            _let_asyncio_run()
        return self

    def run(self, code: types.CodeType) -> Any:
        if self._awaits:
            return self._loop.run_until_complete(_run(code, self._namespace))
        return eval(code, self._namespace)

    def _make_task(self, loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> Any:
        self._began = True
        task = asyncio.Task(coro, loop=loop, **options)
        caller: types.FrameType | None = sys._getframe(1)
        while caller is not None and str(caller.f_globals.get("__name__")).partition(".")[0] == _ASYNCIO:
            caller = caller.f_back
        if caller is not None and caller.f_globals is self._namespace:
            _made_by_cells.add(task)
        return task

    def __exit__(self, kind: type[BaseException] | None, *exc_info: Any) -> None:
        try:
            self._leave(kind)
        finally:
            self._loop.set_task_factory(None)  # which holds the names of the cell

    def _leave(self, kind: type[BaseException] | None) -> None:
        loop = self._loop
        if not self._awaits:
            asyncio._set_running_loop(None)
        if not (self._began or getattr(loop, "_ready", True)) or loop.is_closed():
            return
        try:
            if kind is None and (getattr(loop, "_ready", True) or asyncio.all_tasks(loop)):
                self._end_own()
        finally:
            if pending := asyncio.all_tasks(loop):
                for task in pending:
                    task.cancel()
                loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))

    def _end_own(self) -> None:
        try:
            self._loop.run_until_complete(_end_own())
        except BaseException as error:  # an interrupt: it is shown where one of the tasks stood
            own = [task for task in asyncio.all_tasks(self._loop) if task in _made_by_cells]
            stack = own[0].get_stack() if own else []
            tb = None
            for frame in reversed(stack):
                tb = types.TracebackType(tb, frame, frame.f_lasti, frame.f_lineno)
            raise error.with_traceback(tb) from None


async def _run(code: types.CodeType, namespace: dict[str, Any]) -> Any:
    value = eval(code, namespace)
    return await value if code.co_flags & inspect.CO_COROUTINE else value


async def _end_own() -> None:
    """Wait until what the notebook's code has begun has ended, and tell of the errors that nobody has looked at."""
    loop, this = asyncio.get_running_loop(), asyncio.current_task()
    await asyncio.sleep(0)  # for what stands in the loop already
    while own := [task for task in asyncio.all_tasks(loop) if task in _made_by_cells and task is not this]:
        done, _ = await asyncio.wait(own, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            if not task.cancelled() and getattr(task, "_log_traceback", False):
                error = task.exception()
                about = {"message": "Task exception was never retrieved", "exception": error, "future": task}
                loop.call_exception_handler(about)


@functools.cache
def _let_asyncio_run() -> None:
    """Let ``asyncio.run`` work in cells that do not await: no loop runs there, it is only said to.

    A kernel would refuse it. But programs that use it on their way work in a worker, so they do in cells there.
    """
    run: Callable[..., Any] = asyncio.run

    @functools.wraps(run)
    def apart(*args: Any, **options: Any) -> Any:
        loop = asyncio._get_running_loop()
        if loop is None or loop.is_running():
            return run(*args, **options)
        asyncio._set_running_loop(None)
        try:
            return run(*args, **options)
        finally:
            asyncio.set_event_loop(loop)  # which it has unset
            asyncio._set_running_loop(loop)

    asyncio.run = apart


def finished(result: Any, error: BaseException | None, cancelled: bool) -> asyncio.Future[Any]:
    """Make a future that has ended so."""
    future: asyncio.Future[Any] = asyncio.Future(loop=_loop_of_futures())
    if cancelled:
        future.cancel()
    elif error is not None:
        future.set_exception(error)
        future._log_traceback = False  # it was told where it was raised
    else:
        future.set_result(result)
    return future


def finished_task(
    result: Any, error: BaseException | None, cancelled: bool, name: str, of: tuple[str, str]
) -> asyncio.Future[Any]:
    """Make a task that has ended so, of a coroutine of the same name; a future where the loop lets nobody else run a task of its own."""
    loop = _loop_of_futures()
    steps: list[tuple[Any, tuple[Any, ...], Any]] = []
    coroutine: Any = _end(result, error, cancelled)
    coroutine.__name__, coroutine.__qualname__ = of
    traceback = error.__traceback__ if error is not None else None
    try:
        # What the task asks of its loop is done at once: there may be no loop that runs, and who looks at the task looks now.
        loop.call_soon = lambda step, *args, context=None: steps.append((step, args, context))  # type: ignore
    except AttributeError:
        coroutine.close()
        return finished(result, error, cancelled)
    try:
        task = asyncio.Task(coroutine, loop=loop, name=name)
        with _no_task_runs(loop):
            while steps and not task.done():
                step, args, context = steps.pop(0)
                step(*args) if context is None else context.run(step, *args)
    except (KeyboardInterrupt, SystemExit) as raised:
        if raised is not error:
            raise
    finally:
        del loop.call_soon
        if error is not None:
            error.__traceback__ = traceback
    if error is not None and not cancelled:
        task._log_traceback = False
    return task


async def _end(result: Any, error: BaseException | None, cancelled: bool) -> Any:
    if cancelled:
        raise asyncio.CancelledError
    if error is not None:
        raise error
    return result


@contextmanager
def _no_task_runs(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Let a task of a loop run while another one of it does, or while the loop does not."""
    running, current = asyncio._get_running_loop(), asyncio.tasks.current_task(loop)
    if current is not None:
        asyncio.tasks._leave_task(loop, current)
    asyncio._set_running_loop(loop)
    try:
        yield
    finally:
        asyncio._set_running_loop(running)
        if current is not None:
            asyncio.tasks._enter_task(loop, current)


def _loop_of_futures() -> asyncio.AbstractEventLoop:
    return asyncio._get_running_loop() or kept_loop()


def reduce_future(future: asyncio.Future[Any]) -> Any:
    """Pickle a future or a task that has ended; one that has not belongs to its loop."""
    if not future.done():
        raise TypeError(f"cannot pickle a {type(future).__name__} of asyncio that has not ended")
    cancelled = future.cancelled()
    error = None if cancelled else future.exception()
    end = (None if cancelled or error is not None else future.result(), error, cancelled)
    if not isinstance(future, asyncio.Task):
        return finished, end
    coroutine = future.get_coro()
    names = [getattr(coroutine, name, None) for name in ("__name__", "__qualname__")]
    of = tuple(name if isinstance(name, str) else "coroutine" for name in names)
    return finished_task, (*end, future.get_name(), of)
