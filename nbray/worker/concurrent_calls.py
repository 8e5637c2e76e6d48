"""Calls of an actor that run at the same time: on threads, or on event loops; in groups.

The executor's main thread takes calls from the rings in order and starts them here in that
order. Answers go back from whichever thread ends a call.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from nbray.worker.calls import Call, NeverBegan, answer_failed, current_call, is_async, unknown_group

if TYPE_CHECKING:
    from nbray.worker.async_calls import LoopCalls, LoopThread

ASYNC_DEFAULT_CONCURRENCY = 1000


class ThreadedCalls:
    """Runs up to ``limit`` calls on threads, which start when they are first needed.

    Parameters
    ----------
    answer, fail : callable
        ``answer(call, result, ran_ns)`` and ``fail(call, error)`` send the reply.
    name : str
        Of the concurrency group, for the names of the threads.
    """

    def __init__(self, limit: int, answer: Callable[..., None], fail: Callable[..., None], name: str = "") -> None:
        self._limit = limit
        self._answer = answer
        self._fail = fail
        self._name = f"nbray-call-{name}" if name else "nbray-call"
        self._queue: SimpleQueue[Call] = SimpleQueue()
        self._n_threads = 0
        self._threads: list[threading.Thread] = []
        # Calls that are not over; by themselves, as one that failed may come again while its first run is put away.
        self._open: dict[Call, None] = {}

    @property
    def busy(self) -> bool:
        """Whether some call runs or waits its turn."""
        return bool(self._open)

    def open_calls(self) -> list[Call]:
        """Return the calls that are not over."""
        return list(self._open)

    def start(self, call: Call) -> None:
        """Queue a call; returns at once."""
        self._open[call] = None
        if self._n_threads < self._limit and len(self._open) > self._n_threads:
            name = f"{self._name}_{self._n_threads}"
            self._n_threads += 1
            thread = threading.Thread(target=self._serve, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()
        self._queue.put(call)

    def cancel(self, chan: int, number: int) -> bool:
        """Cancel a call: one that has not begun never runs, one that runs can ask. False: it is not here."""
        found = [call for call in list(self._open) if call.chan == chan and call.number == number]
        for call in found:
            call.cancelled = True
        return bool(found)

    def look_after(self) -> None:
        """Notice a thread that has ended, and with it whatever it was to run; called now and then.

        Raises
        ------
        RuntimeError
            Then the worker can be used no more.
        """
        for thread in self._threads:
            if not thread.is_alive():
                raise RuntimeError(f"the thread {thread.name}, which runs calls, has ended")

    def _serve(self) -> None:
        take, now, is_open = self._queue.get, time.monotonic_ns, self._open
        while True:
            call = take()
            current_call.set(call)
            began = call.began = now()
            try:
                self._run(call, began)
            except BaseException as error:
                answer_failed(self._fail, call, error)
            del call.function  # the context keeps the call until the next one, but not the actor
            del is_open[call]
            del call

    def _run(self, call: Call, began: int) -> None:
        try:
            if call.cancelled:
                raise NeverBegan
            result = call.function(*call.args, **call.kwargs)
        except BaseException as error:
            call.args = call.kwargs = None  # type: ignore[assignment]  # they may hold views of the store
            self._fail(call, error)
        else:
            call.args = call.kwargs = None  # type: ignore[assignment]
            self._answer(call, result, time.monotonic_ns() - began)


class Groups:
    """The concurrency groups of an actor: each runs its calls beside those of the others.

    Parameters
    ----------
    groups : dict of str to ThreadedCalls or LoopThread
        The one without a name is the default.
    """

    in_main_thread = False

    def __init__(self, groups: dict[str, ThreadedCalls] | dict[str, LoopThread]) -> None:
        self._groups: dict[str, Any] = dict(groups)

    @property
    def busy(self) -> bool:
        """Whether some call runs or waits its turn."""
        return any(group.busy for group in self._groups.values())

    def open_calls(self) -> list[Call]:
        """Return the calls that are not over."""
        return [call for group in self._groups.values() for call in group.open_calls()]

    def look_after(self) -> None:
        """Notice calls that nobody runs any more; called now and then."""
        for group in self._groups.values():
            group.look_after()

    def construct(self, function: Callable[[], Any]) -> Any:
        """Run the constructor in the loop of the default group; for an async actor."""
        return self._groups[""].construct(function)

    def start(self, call: Call, group: str) -> None:
        """Queue a call in its group; returns at once.

        Raises
        ------
        ValueError
            When the actor has no such group.
        """
        found = self._groups.get(group)
        if found is None:
            raise ValueError(unknown_group(call.name, group, [name for name in self._groups if name]))
        found.start(call)

    def cancel(self, chan: int, number: int) -> bool:
        """Cancel a call, in whichever group it is."""
        return any(group.cancel(chan, number) for group in self._groups.values())  # it is in one at most


def for_class(
    cls: type, limit: int | None, groups: dict[str, int], answer: Any, fail: Any, new_loop: Any
) -> Groups | LoopCalls | None:
    """Return how an actor of ``cls`` runs its calls; None: one after the other, in the main thread.

    Parameters
    ----------
    limit : int or None
        ``max_concurrency``.
    groups : dict of str to int
        Calls at a time of each concurrency group.
    new_loop : callable
        Makes the event loop of the main thread.
    """
    if is_async(cls):
        from nbray.worker.async_calls import LoopCalls, LoopThread  # noqa: PLC0415 - asyncio takes 40 ms to import

        default = limit or ASYNC_DEFAULT_CONCURRENCY
        if not groups:
            return LoopCalls(default, answer, fail, new_loop())
        # A loop each, so that a method that blocks keeps only its own group waiting.
        loops = {"": LoopThread(default, answer, fail, "default")}
        loops.update({name: LoopThread(n, answer, fail, name) for name, n in groups.items()})
        return Groups(loops)
    if groups or (limit is not None and limit > 1):
        pools = {"": ThreadedCalls(limit or 1, answer, fail)}
        pools.update({name: ThreadedCalls(n, answer, fail, name) for name, n in groups.items()})
        return Groups(pools)
    return None
