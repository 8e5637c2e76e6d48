"""The handle of a task that yields: refs of its items, one after the other, as they come.

``ObjectRefGenerator`` is what ``.remote()`` of a generator returns; ``DynamicObjectRefGenerator``
is the value of a task with ``num_returns="dynamic"``. Who fetches the items is the core
worker, behind the stream that it made for the task.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

from nbray.object_ref import ObjectRef


class ObjectRefGenerator:
    """Yields the refs of a generator task's items, in order; made by the runtime only.

    It is an iterator and an asynchronous iterator. When the generator raises, one more
    ref follows, which holds the error; then the iteration ends. When it is dropped, the
    items that nobody took are freed and the task is ended at its next ``yield``. Not
    thread-safe, and not picklable: pass the refs on, not the generator.
    """

    __slots__ = ("__weakref__", "_error_given", "_generator_ref", "_stream")

    # What wait() looks at; a generator counts as ready when next() would not wait.
    _hold = None
    _task = None

    def __init__(self, stream: Any, generator_ref: ObjectRef) -> None:
        self._stream = stream
        self._generator_ref = generator_ref
        self._error_given = False

    @property
    def _data(self) -> Any:
        return True if self._stream.items or self._stream.ended else None

    def __iter__(self) -> ObjectRefGenerator:
        return self

    def __next__(self) -> ObjectRef:
        """Return the ref of the next item; waits for it.

        Raises
        ------
        StopIteration
            When there are no more.
        """
        return self._next_sync()

    def __aiter__(self) -> ObjectRefGenerator:
        return self

    async def __anext__(self) -> ObjectRef:
        """Return the ref of the next item without blocking the event loop."""
        return await self._next_async()

    def completed(self) -> ObjectRef:
        """Return a ref that is ready (None) when the task has ended.

        ``get`` of it raises when the task was cancelled or its worker died, not when the
        generator raised. With this ref the task runs to its end also after the generator
        was dropped.
        """
        self._stream.watched = True
        return self._generator_ref

    def next_ready(self) -> bool:
        """Tell whether ``next`` would return a ref at once; False at the end."""
        self._stream.look()
        return bool(self._stream.items) or (self._stream.ended and self._owes_error())

    def is_finished(self) -> bool:
        """Tell whether the task has ended and all refs have been taken."""
        self._stream.look()
        return self._stream.ended and not self._stream.items and not self._owes_error()

    def _owes_error(self) -> bool:
        return self._stream.failed and not self._error_given

    def _next_sync(self, timeout_s: float | None = None) -> ObjectRef:
        """As ``next``, but returns the nil ref after ``timeout_s`` seconds (None, negative: waits for ever)."""
        stream = self._stream
        if not stream.items and not stream.ended:
            if not stream.wait(None if timeout_s is None or timeout_s < 0 else timeout_s):
                return ObjectRef.nil()
        ref = self._take()
        if ref is None:
            raise StopIteration
        return ref

    async def _next_async(self, timeout_s: float | None = None) -> ObjectRef:
        stream = self._stream
        if not stream.items and not stream.ended:
            if not await stream.wait_async(None if timeout_s is None or timeout_s < 0 else timeout_s):
                return ObjectRef.nil()
        ref = self._take()
        if ref is None:
            raise StopAsyncIteration
        return ref

    def _take(self) -> ObjectRef | None:
        """Return the next ref; at the end the one with the error that ended the task, once; then None."""
        stream = self._stream
        if stream.items:
            return stream.take()
        if self._owes_error():
            self._error_given = True
            return self._generator_ref
        return None

    def _get_next_ref_n(self, num_refs: int) -> list[ObjectRef]:
        """Return the next ``num_refs`` refs without taking them, those that are not made yet as well.

        ``get`` of a ref beyond the end raises what ended the stream: ObjectRefStreamEndOfStreamError,
        or the error of a task that was cancelled or whose worker died.
        """
        if num_refs <= 0:
            raise ValueError("num_refs must be positive")
        return self._stream.peek(num_refs)

    def _consume_next_ref_n(self, num_refs: int) -> None:
        """Take the next ``num_refs`` refs; the last of them has to be ready.

        Raises
        ------
        ValueError
            When it is not.
        """
        if num_refs <= 0:
            raise ValueError("num_refs must be positive")
        stream = self._stream
        stream.look()
        if len(stream.items) < num_refs and not stream.ended:
            raise ValueError(f"Of the next {num_refs} items only {len(stream.items)} are there: wait for the last one.")
        for _ in range(min(num_refs, len(stream.items))):
            stream.take()

    def send(self, value: Any) -> Any:
        raise NotImplementedError("`gen.send` is not supported: the generator runs in another process.")

    def throw(self, value: Any) -> Any:
        raise NotImplementedError("`gen.throw` is not supported: the generator runs in another process.")

    def close(self) -> Any:
        raise NotImplementedError("`gen.close` is not supported: drop the generator, or cancel() it.")

    async def asend(self, value: Any) -> Any:
        raise NotImplementedError("`gen.asend` is not supported: the generator runs in another process.")

    async def athrow(self, value: Any) -> Any:
        raise NotImplementedError("`gen.athrow` is not supported: the generator runs in another process.")

    async def aclose(self) -> Any:
        raise NotImplementedError("`gen.aclose` is not supported: drop the generator, or cancel() it.")

    def __repr__(self) -> str:
        return f"ObjectRefGenerator({self._generator_ref.hex()})"

    def __reduce__(self) -> Any:
        raise TypeError(
            "You cannot return or pass a generator to another task: an ObjectRefGenerator is not picklable. Pass the "
            "refs that it yields, or use num_returns='dynamic'."
        )

    def __del__(self) -> None:
        self._stream.drop()


class DynamicObjectRefGenerator:
    """The refs of a task with ``num_returns="dynamic"``; iterating takes them out."""

    def __init__(self, refs: Iterable[ObjectRef]) -> None:
        self._refs = deque(refs)

    def __iter__(self) -> Iterator[ObjectRef]:
        while self._refs:
            yield self._refs.popleft()

    def __len__(self) -> int:
        return len(self._refs)
