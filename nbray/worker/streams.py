"""The producer of a stream: runs a generator and sends what it yields, item by item.

Between two items it looks at the words that the owner writes (``core/streams.py``): how
many items were taken, and whether anybody still wants them.
"""

from __future__ import annotations

import inspect
import pickle
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Any

from nbray._cstore import lib
from nbray.core.records import INLINE_MAX_BYTES, RESULT_GIVEN, RESULT_STORED
from nbray.core.streams import FIRST_ITEM, TAKEN, UNWANTED, control_id, unpack_request
from nbray.exceptions import ObjectStoreFullError, OutOfDiskError, RayError
from nbray.serialization import serializer

WAKE_S = 0.05  # a producer that was not woken looks again after this time

_dumps = pickle.dumps
_WORDS = struct.Struct("<QQ")


class Producer:
    """Stands for a generator function: called with its arguments it produces all items.

    Parameters
    ----------
    executor : Executor
    chan, number, owner : int
        Of the task.
    name : str
        Of the function, for messages.
    request : int
        What the owner asks for, see ``pack_request``.
    function : callable
    call : Call, optional
        The actor's call, when it runs beside others.
    """

    def __init__(
        self, executor: Any, chan: int, number: int, owner: int, name: str, request: int, function: Callable[..., Any],
        call: Any = None,
    ) -> None:  # fmt: skip
        self.executor = executor
        self.chan = chan
        self.number = number
        self.owner = owner
        self.name = name
        self.function = function
        self.call = call
        self.skip, self.window, self.per_yield = unpack_request(request)
        self.made = 0  # items, those that are left out included
        hold = executor.core.store.lookup(control_id(executor.core, owner, number))
        self._words = None if hold is None else executor.core.store.view(hold.obj)
        self._shared: SharedWindow | None = executor.shared_window

    # ------------------------------------------------------------------- generators

    def __call__(self, /, *args: Any, **kwargs: Any) -> None:
        """Produce everything, in this thread; a task is interruptible only inside the user's code."""
        executor = self.executor
        guarded = self.call is None  # the thread that gets the interrupts
        generator = self._iterator(self.function(*args, **kwargs))
        try:
            while self._wanted():
                if self.window and not self._has_room():
                    self._wait_for_room(guarded)
                    continue
                try:
                    value = next(generator)
                except StopIteration:
                    break
                if guarded:
                    executor.interruptible = False
                self._send(value)
                if guarded:
                    executor.interruptible = True
                    if executor.cancel_came_early:
                        executor._cancel_now()
        finally:
            self._ended()
            close = getattr(generator, "close", None)
            if close is not None:
                close()

    def on_loop(self, /, *args: Any, **kwargs: Any) -> Any:
        """Return what produces everything on the event loop that awaits it."""
        return self._run_on_loop(args, kwargs)

    async def _run_on_loop(self, args: Any, kwargs: Any) -> None:
        result = self.function(*args, **kwargs)
        if not inspect.isasyncgen(result):
            await self._run_sync_on_loop(self._iterator(result))
            return
        try:
            while self._wanted():
                if self.window and not self._has_room():
                    await self._wait_on_loop()
                    continue
                try:
                    value = await result.__anext__()
                except StopAsyncIteration:
                    break
                self._send(value)
        finally:
            self._ended()
            await result.aclose()

    async def _run_sync_on_loop(self, generator: Iterator[Any]) -> None:
        import asyncio  # noqa: PLC0415 - takes 40 ms, and few workers need it

        try:
            while self._wanted():
                if self.window and not self._has_room():
                    await self._wait_on_loop()
                    continue
                try:
                    value = next(generator)
                except StopIteration:
                    break
                self._send(value)
                await asyncio.sleep(0)  # other calls get their turn
        finally:
            self._ended()
            close = getattr(generator, "close", None)
            if close is not None:
                close()

    def _iterator(self, result: Any) -> Iterator[Any]:
        if inspect.isasyncgen(result):
            return _on_own_loop(result)
        if not hasattr(result, "__next__"):
            raise TypeError(
                f"{self.name}() streams its return values, so it has to be a generator (use yield); it returned "
                f"{type(result).__name__}."
            )
        return result

    # ----------------------------------------------------------------- what is wanted

    def _wanted(self) -> bool:
        if self._words is None or _WORDS.unpack(self._words)[UNWANTED]:
            return False
        if self.call is not None:
            return not self.call.cancelled
        if self.executor.actor is not None and self.executor.is_cancelled():
            raise KeyboardInterrupt  # methods get no signal: between two items they end all the same
        return True

    def _has_room(self) -> bool:
        """Whether the next item may be made; of an actor with a limit for all: it is then counted as made."""
        if self._words is None:
            return True
        if self.ahead() >= self.window:
            return False
        return self._shared is None or self._shared.claim(self)

    def ahead(self) -> int:
        """Return how many items were made and not taken."""
        words = self._words
        return 0 if words is None else max(0, self.made - _WORDS.unpack(words)[TAKEN])

    def _ended(self) -> None:
        if self._shared is not None:
            self._shared.remove(self)

    def _may_go_on(self) -> bool:
        shared = self._shared
        room = self._words is None or (self.ahead() < self.window and (shared is None or shared.has_room()))
        if room or not self._wanted():
            return True
        if not lib.nbs_alive(self.executor.seg, self.owner):
            self._words = None  # nobody will ever take an item
            return True
        return False

    def _wait_for_room(self, main: bool) -> None:
        if main:
            self.executor.core._wait_for(self._may_go_on, (), None, patient=False)
            return
        event = threading.Event()
        self.executor.producers[self] = event.set
        try:
            while not self._may_go_on():
                event.wait(WAKE_S)
                event.clear()
        finally:
            del self.executor.producers[self]

    async def _wait_on_loop(self) -> None:
        import asyncio  # noqa: PLC0415 - takes 40 ms, and few workers need it

        loop = asyncio.get_running_loop()
        event = asyncio.Event()
        self.executor.producers[self] = lambda: loop.call_soon_threadsafe(event.set)
        try:
            while not self._may_go_on():
                try:
                    await asyncio.wait_for(event.wait(), WAKE_S)
                except asyncio.TimeoutError:
                    continue
                event.clear()
        finally:
            del self.executor.producers[self]

    # ------------------------------------------------------------------------ sending

    def _send(self, value: Any) -> None:
        """Send what one ``yield`` gave."""
        if self.per_yield == 1:
            self._send_item(value)
            return
        values = tuple(value)
        if len(values) != self.per_yield:
            raise ValueError(
                f"{self.name}() has _num_objects_per_yield={self.per_yield}, but it yielded {len(values)}."
            )
        for one in values:
            self._send_item(one)

    def _send_item(self, value: Any) -> None:
        index = self.made
        self.made += 1
        if index < self.skip:
            return  # a run before this one has brought it over
        flags = 0
        try:
            if type(value) in serializer.SIMPLE_TYPES:
                data: Any = _dumps(value, 5)
            elif isinstance(value, RayError):
                flags, data = self.executor._given(self.owner, value, f"item {index} of {self.name}()")
                flags |= RESULT_GIVEN
            else:
                data = serializer.dumps(value, f"item {index} of {self.name}()")
            if type(data) is not bytes or len(data) > INLINE_MAX_BYTES:
                data = self.executor._store(self.owner, self.number, index + FIRST_ITEM, data)
                flags = RESULT_STORED
        except (ObjectStoreFullError, OutOfDiskError) as error:
            raise NotStored(error) from None
        if not self.executor.send_item(self.chan, self.number, index, flags, data):
            self._words = None  # the owner is gone


class SharedWindow:
    """How many items all generators of an actor may have made that nobody has taken.

    Parameters
    ----------
    size : int
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._lock = threading.Lock()
        self._claimed: dict[Producer, int] = {}  # those that run -> items made before the one that they make now

    def remove(self, producer: Producer) -> None:
        """Count the items of ``producer`` no more: it has ended."""
        with self._lock:
            self._claimed.pop(producer, None)
        self._wake()

    def has_room(self) -> bool:
        """Tell whether one more item may be made now."""
        with self._lock:
            return self._ahead() < self.size

    def claim(self, producer: Producer) -> bool:
        """Count the item that ``producer`` makes next; False when there is no room for it."""
        with self._lock:
            if self._ahead() >= self.size:
                return False
            self._claimed[producer] = producer.made
            return True

    def _ahead(self) -> int:
        return sum(one.ahead() + (one.made == claimed) for one, claimed in self._claimed.items())

    def _wake(self) -> None:
        with self._lock:
            others = list(self._claimed)
        for one in others:
            wake = one.executor.producers.get(one)
            if wake is not None:
                wake()


class NotStored(Exception):
    """There was no room for an item: the runtime's failure, not the function's."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


def _on_own_loop(generator: Any) -> Iterator[Any]:
    """Run an asynchronous generator where there is no event loop."""
    import asyncio  # noqa: PLC0415 - takes 40 ms, and few workers need it

    loop = asyncio.new_event_loop()
    try:
        while True:
            try:
                yield loop.run_until_complete(generator.__anext__())
            except StopAsyncIteration:
                return
    finally:
        loop.run_until_complete(generator.aclose())
        loop.close()
