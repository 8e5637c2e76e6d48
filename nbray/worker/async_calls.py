"""Calls of an async actor: coroutines of an event loop.

The loop runs in the worker's main thread and sleeps where calls arrive: its selector waits for
the doorbell of the rings in place of descriptors. So a call needs no second thread, and no
system call while calls keep coming.
"""

from __future__ import annotations

import inspect
import selectors
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from nbray.worker.calls import Call, NeverBegan, answer_failed, current_call, unknown_group

_LOST = (
    "The event loop of this actor has lost the call: something that asyncio itself ran has raised (its log says what)."
)


class LoopCalls:
    """Runs calls on an event loop, ``limit`` at a time.

    Parameters
    ----------
    answer, fail : callable
        ``answer(call, result, ran_ns)`` and ``fail(call, error)`` send the reply.
    loop : asyncio event loop
        All methods are called in its thread.
    """

    in_main_thread = True

    def __init__(self, limit: int, answer: Callable[..., None], fail: Callable[..., None], loop: Any) -> None:
        self.loop = loop
        self._limit = limit
        self._answer = answer
        self._fail = fail
        self._n_running = 0
        self._waiting: deque[Call] = deque()  # beyond the limit
        self._open: dict[tuple[int, int], Call] = {}  # (channel, number) -> call that is not over
        self._coroutines: dict[str, bool] = {}  # method -> whether it is an ``async def``

    @property
    def busy(self) -> bool:
        """Whether some call runs or waits its turn."""
        return bool(self._open)

    def open_calls(self) -> list[Call]:
        """Return the calls that are not over."""
        return list(self._open.values())

    def construct(self, function: Callable[[], Any]) -> Any:
        """Run the constructor, where a running loop is expected, and return its result; it may be a coroutine."""

        return self.loop.run_until_complete(_construct(function))

    def start(self, call: Call, group: str = "") -> None:
        """Queue a call; returns at once.

        Raises
        ------
        ValueError
            When a concurrency group is asked for: this actor has none.
        """
        if group:
            raise ValueError(unknown_group(call.name, group, []))
        self._open[call.chan, call.number] = call
        if self._n_running < self._limit:
            self._begin(call)
        else:
            self._waiting.append(call)

    def _begin(self, call: Call) -> None:
        self._n_running += 1
        is_coroutine = self._coroutines.get(call.method)
        if is_coroutine is None:
            is_coroutine = self._coroutines[call.method] = inspect.iscoroutinefunction(call.function)
        if is_coroutine:
            call.task = self.loop.create_task(self._run(call))
        else:
            self.loop.call_soon(self._run_plain, call)

    async def _run(self, call: Call) -> None:
        current_call.set(call)  # of this task alone: each has its own context
        began = call.began = time.monotonic_ns()
        try:
            try:
                if call.cancelled:
                    raise NeverBegan
                result = await call.function(*call.args, **call.kwargs)
            except BaseException as error:
                call.args = call.kwargs = None  # type: ignore[assignment]  # they may hold views of the store
                self._fail(call, error)
            else:
                call.args = call.kwargs = None  # type: ignore[assignment]
                self._answer(call, result, time.monotonic_ns() - began)
        except BaseException as error:
            answer_failed(self._fail, call, error)
        self._ended(call)

    def _run_plain(self, call: Call) -> None:
        """Run a method that is no coroutine function, though what it returns may be a coroutine of one that it wraps.

        Not whatever can be awaited: a ref is a value.
        """
        before = current_call.set(call)
        began = call.began = time.monotonic_ns()
        try:
            try:
                if call.cancelled:
                    raise NeverBegan
                result = call.function(*call.args, **call.kwargs)
            except BaseException as error:
                self._fail(call, error)
            else:
                cls = type(result)  # the value itself may answer with an error
                if issubclass(cls, Coroutine) or hasattr(
                    cls, "_asyncio_future_blocking"
                ):  # asyncio knows futures by it
                    call.function, call.args, call.kwargs = _given, (result,), {}
                    call.task = self.loop.create_task(self._run(call))
                    return
                self._answer(call, result, time.monotonic_ns() - began)
        except BaseException as error:
            answer_failed(self._fail, call, error)
        finally:
            current_call.reset(before)
        call.args = call.kwargs = None  # type: ignore[assignment]
        self._ended(call)

    def look_after(self) -> None:
        """Fail the calls that asyncio has lost; called while the loop has nothing to do.

        What raises inside asyncio itself (a tracer, a signal handler) is logged there, and the step of the task with it gone.
        """
        waiting = set(self._waiting)
        for call in [call for call in self._open.values() if call not in waiting and is_lost(call.task)]:
            self._fail(call, RuntimeError(_LOST))
            self._ended(call)

    def _ended(self, call: Call) -> None:
        del self._open[call.chan, call.number]
        call.task = None
        self._n_running -= 1
        while self._waiting and self._n_running < self._limit:
            self._begin(self._waiting.popleft())

    def cancel(self, chan: int, number: int) -> bool:
        """Cancel a call: one that has not begun never runs, a coroutine gets a CancelledError. False: not here."""
        call = self._open.get((chan, number))
        if call is None:
            return False
        call.cancelled = True
        if call.began:
            if call.task is not None:
                call.task.cancel()
        elif call in self._waiting:
            self._waiting.remove(call)
            del self._open[chan, number]
            self._fail(call, NeverBegan())
        return True


def is_lost(task: Any) -> bool:
    """Tell whether an event loop that has nothing to do will never run a task again."""
    return task is None or task.done() or getattr(task, "_fut_waiter", task) is None  # asyncio's own tasks have it


async def _construct(function: Callable[[], Any]) -> Any:
    result = function()
    return await result if inspect.iscoroutine(result) else result


async def _given(awaitable: Any) -> Any:
    return await awaitable


class LoopThread(LoopCalls):
    """The same in a thread of its own, for an actor with several loops; called from the main thread."""

    in_main_thread = False

    def __init__(self, limit: int, answer: Callable[..., None], fail: Callable[..., None], name: str) -> None:
        import asyncio  # noqa: PLC0415 - loaded when needed

        super().__init__(limit, answer, fail, asyncio.new_event_loop())
        self._inbox: deque[Call] = deque()
        self._knocked = False  # the loop will look into the inbox
        self._thread = threading.Thread(target=self._serve, name=f"nbray-loop-{name}", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:  # SystemExit in a task of the user's own ends run_forever, not the actor
            try:
                self.loop.run_forever()
            except SystemExit:
                continue

    def construct(self, function: Callable[[], Any]) -> Any:
        """As in the main thread: what the constructor makes of asyncio's belongs to the loop of the methods."""
        import asyncio  # noqa: PLC0415 - loaded when needed

        return asyncio.run_coroutine_threadsafe(_construct(function), self.loop).result()

    def start(self, call: Call, group: str = "") -> None:
        """Queue a call; returns at once."""
        self._open[call.chan, call.number] = call
        self._inbox.append(call)
        if not self._knocked:
            self._knocked = True
            self.loop.call_soon_threadsafe(self._take_in)

    def look_after(self) -> None:
        """Notice that the thread has ended, or a task without an answer.

        Raises
        ------
        RuntimeError
            Then the worker can be used no more.
        """
        if not self._thread.is_alive():
            raise RuntimeError(f"the thread {self._thread.name}, which runs calls, has ended")
        for call in self.open_calls():
            task = call.task
            if (
                task is not None and task.done() and call.task is task
            ):  # one that is answered has let go of its task before
                raise RuntimeError(f"a call of {call.name} has ended without an answer")

    def _take_in(self) -> None:
        self._knocked = False  # before looking: what comes later knocks again
        while self._inbox:
            super().start(self._inbox.popleft())

    def cancel(self, chan: int, number: int) -> bool:
        """Cancel a call, in the loop's thread."""
        if (chan, number) not in self._open:
            return False
        self.loop.call_soon_threadsafe(super().cancel, chan, number)
        return True


def channel_loop(poll: Callable[[int], bool], wait: Callable[[], bool], ring: Callable[[], None]) -> Any:
    """Return an event loop for this thread that sleeps at the doorbell of the rings.

    Parameters
    ----------
    poll : callable
        ``poll(ns)`` starts the calls that are there; when there are none, it sleeps up to ``ns``
        (below 0: for as long as it likes) until there are or ``ring`` is called. Returns whether
        something came.
    wait : callable
        ``wait()`` sleeps a while, in any thread; returns whether poll has something to do.
    ring : callable
        Wakes ``poll`` from another thread.
    """
    import asyncio  # noqa: PLC0415 - loaded when needed

    selector = ChannelSelector(poll, wait)
    home = threading.get_ident()

    class ChannelLoop(asyncio.SelectorEventLoop):
        def call_soon_threadsafe(self, callback: Any, *args: Any, context: Any = None) -> Any:  # type: ignore[override]
            """As the base class's; from the loop's own thread nothing need be woken."""
            if threading.get_ident() == home:
                return self.call_soon(callback, *args, context=context)
            return super().call_soon_threadsafe(callback, *args, context=context)

        def _write_to_self(self) -> None:
            """Wake the loop, however it sleeps. (The base class's name of it, in all CPython versions.)"""
            ring()
            if selector.has_descriptors:
                super()._write_to_self()  # type: ignore[misc]

        def wake_descriptors(self) -> None:
            """Wake the loop where it waits for descriptors."""
            super()._write_to_self()  # type: ignore[misc]

    loop = ChannelLoop(selector)
    selector.wake = loop.wake_descriptors
    return loop


def _nothing() -> None:
    return


class ChannelSelector(selectors.DefaultSelector):
    """Waits for calls; and for descriptors when there are any besides the loop's own pipe.

    Then the kernel's selector sleeps, and a thread listens at the doorbell meanwhile.
    """

    def __init__(self, poll: Callable[[int], bool], wait: Callable[[], bool]) -> None:
        super().__init__()
        self._poll = poll
        self._wait = wait
        self.wake: Callable[[], None] = _nothing  # writes to the loop's pipe
        self._listener: threading.Thread | None = None
        self._listen = threading.Event()

    @property
    def has_descriptors(self) -> bool:
        """Whether somebody waits for a socket or a pipe."""
        return len(self.get_map()) > 1

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return the descriptors that are ready; calls that came have been started."""
        if not self.has_descriptors:
            ns = -1 if timeout is None else max(0, int(timeout * 1e9))
            if not self._poll(ns):
                return super().select(0)  # perhaps a signal, whose byte is in the pipe
            return []
        if self._poll(0) or (timeout is not None and timeout <= 0):
            return super().select(0)
        if self._listener is None:
            self._listener = threading.Thread(target=self._listen_for_calls, name="nbray-doorbell", daemon=True)
            self._listener.start()
        self._listen.set()
        try:
            return super().select(timeout)
        finally:
            self._listen.clear()

    def _listen_for_calls(self) -> None:
        while True:
            self._listen.wait()
            if self._wait() and self._listen.is_set():
                self._listen.clear()
                self.wake()
