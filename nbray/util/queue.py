"""``Queue``: a first-in, first-out queue in an actor, for all processes of the cluster."""

from __future__ import annotations

import asyncio
import contextlib
import queue
from collections.abc import Iterable, Iterator
from typing import Any

from nbray.api.actor_class import ActorClass
from nbray.api.objects import cancel, get, kill, wait


class Empty(queue.Empty):
    """Nothing is in the queue (or not enough for a batch)."""


class Full(queue.Full):
    """The queue has as many items as it may."""


class Queue:
    """A queue that can be passed to tasks and actors.

    Parameters
    ----------
    maxsize : int
        Most items in it; 0: no limit.
    actor_options : dict, optional
        Options of the actor that holds the items.
    """

    def __init__(self, maxsize: int = 0, actor_options: dict[str, Any] | None = None) -> None:
        self.maxsize = maxsize
        self.actor: Any = ActorClass(_QueueActor, {}).options(**(actor_options or {})).remote(maxsize)

    def __len__(self) -> int:
        return self.size()

    def size(self) -> int:
        """Return how many items are in it."""
        return get(self.actor.qsize.remote())

    def qsize(self) -> int:
        """Return how many items are in it."""
        return self.size()

    def empty(self) -> bool:
        """Tell whether nothing is in it."""
        return get(self.actor.empty.remote())

    def full(self) -> bool:
        """Tell whether no more fits in."""
        return get(self.actor.full.remote())

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Add an item.

        Parameters
        ----------
        item : object
        block : bool
            Wait for room.
        timeout : float, optional
            Seconds to wait at most; None: for ever.

        Raises
        ------
        Full
            When there was no room (in time).
        ValueError
            When ``timeout`` is negative.
        """
        _get_or_withdraw(self._put(item, block, timeout))

    async def put_async(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Add an item; as ``put``, to be awaited."""
        with _plain_errors():
            await self._put(item, block, timeout)

    def _put(self, item: Any, block: bool, timeout: float | None) -> Any:
        if not block:
            return self.actor.put_nowait.remote(item)
        return self.actor.put.remote(item, _seconds(timeout))

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Take the oldest item out.

        Parameters
        ----------
        block : bool
            Wait for one.
        timeout : float, optional
            Seconds to wait at most; None: for ever.

        Raises
        ------
        Empty
            When none was there (in time).
        ValueError
            When ``timeout`` is negative.
        """
        return _get_or_withdraw(self._get(block, timeout))

    async def get_async(self, block: bool = True, timeout: float | None = None) -> Any:
        """Take the oldest item out; as ``get``, to be awaited."""
        with _plain_errors():
            return await self._get(block, timeout)

    def _get(self, block: bool, timeout: float | None) -> Any:
        if not block:
            return self.actor.get_nowait.remote()
        return self.actor.get.remote(_seconds(timeout))

    def put_nowait(self, item: Any) -> None:
        """Add an item if there is room now, else raise ``Full``."""
        self.put(item, block=False)

    def get_nowait(self) -> Any:
        """Take the oldest item if there is one now, else raise ``Empty``."""
        return self.get(block=False)

    def put_nowait_batch(self, items: Iterable[Any]) -> None:
        """Add all items in order if all fit in now, else none.

        Raises
        ------
        Full
            When they do not all fit in.
        TypeError
            When ``items`` cannot be iterated over.
        """
        if not isinstance(items, Iterable):
            raise TypeError("Argument 'items' must be an Iterable")
        with _plain_errors():
            get(self.actor.put_nowait_batch.remote(list(items)))

    def get_nowait_batch(self, num_items: int) -> list[Any]:
        """Take the oldest ``num_items`` items if there are so many now, else none.

        Raises
        ------
        Empty
            When there are fewer.
        TypeError, ValueError
            When ``num_items`` is not an integer of at least 0.
        """
        if not isinstance(num_items, int):
            raise TypeError("Argument 'num_items' must be an int")
        if num_items < 0:
            raise ValueError("'num_items' must be nonnegative")
        with _plain_errors():
            return get(self.actor.get_nowait_batch.remote(num_items))

    def shutdown(self, force: bool = False, grace_period_s: int = 5) -> None:
        """End the actor, and with it the queue.

        Parameters
        ----------
        force : bool
            At once; else after what was asked of it before.
        grace_period_s : float
            Seconds to wait for that before it is ended anyway.
        """
        if self.actor is not None:
            if force or not wait([self.actor.__ray_terminate__.remote()], timeout=grace_period_s)[0]:
                kill(self.actor, no_restart=True)
        self.actor = None


def _get_or_withdraw(ref: Any) -> Any:
    """Wait for a call; an interrupt takes it back, or it would take or add an item later, for nobody."""
    try:
        with _plain_errors():
            return get(ref)
    except KeyboardInterrupt:
        cancel(ref)
        raise


@contextlib.contextmanager
def _plain_errors() -> Iterator[None]:
    """Raise Empty and Full as a queue of the standard library does: where the call stands, not where the queue lives."""
    try:
        yield
    except Full as error:
        raise Full(*getattr(error, "cause", error).args) from None
    except Empty as error:
        raise Empty(*getattr(error, "cause", error).args) from None


def _seconds(timeout: float | None) -> float | None:
    if timeout is not None and timeout < 0:
        raise ValueError("'timeout' must be a non-negative number")
    return timeout


class _QueueActor:
    """Holds the items. All its methods run on one event loop."""

    def __init__(self, maxsize: int) -> None:
        self.maxsize = maxsize
        self.queue: asyncio.Queue[Any] = asyncio.Queue(maxsize)

    def qsize(self) -> int:
        return self.queue.qsize()

    def empty(self) -> bool:
        return self.queue.empty()

    def full(self) -> bool:
        return self.queue.full()

    async def put(self, item: Any, timeout: float | None = None) -> None:
        try:
            await asyncio.wait_for(self.queue.put(item), timeout)
        except asyncio.TimeoutError:
            raise Full from None

    async def get(self, timeout: float | None = None) -> Any:
        try:
            return await asyncio.wait_for(self.queue.get(), timeout)
        except asyncio.TimeoutError:
            raise Empty from None

    def put_nowait(self, item: Any) -> None:
        try:
            self.queue.put_nowait(item)
        except asyncio.QueueFull:
            raise Full from None

    def get_nowait(self) -> Any:
        try:
            return self.queue.get_nowait()
        except asyncio.QueueEmpty:
            raise Empty from None

    def put_nowait_batch(self, items: list[Any]) -> None:
        if self.maxsize > 0 and len(items) + self.qsize() > self.maxsize:
            raise Full(f"Cannot add {len(items)} items to queue of size {self.qsize()} and maxsize {self.maxsize}.")
        for item in items:
            self.queue.put_nowait(item)

    def get_nowait_batch(self, num_items: int) -> list[Any]:
        if num_items > self.qsize():
            raise Empty(f"Cannot get {num_items} items from queue of size {self.qsize()}.")
        return [self.queue.get_nowait() for _ in range(num_items)]
