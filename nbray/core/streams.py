"""Generators that run as tasks, as their owner sees them: items arrive one by one.

Each item comes as a message of its own, on the channel that brings results; the result of
the task ends the stream. The owner makes the refs. A run after the first (a retry) leaves
out the items that have arrived already.

What flows back is two words of shared memory in an object of the store, which the owner
writes and the producer reads between two items: how many items were taken (for
back-pressure), and whether anybody still wants them.

A part of CoreWorker; methods with an underscore are called with its lock held.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from nbray import ids
from nbray._cstore import lib
from nbray.core.core_state import CoreState
from nbray.core.interrupts import uninterrupted
from nbray.core.records import (
    PART_STORED,
    RESULT_STORED,
    TASK_STREAM,
    StoredValue,
    StoreHold,
    TaskRecord,
    part_kind,
)
from nbray.exceptions import ObjectRefStreamEndOfStreamError
from nbray.object_ref import ObjectRef, new_ref
from nbray.object_ref_generator import DynamicObjectRefGenerator, ObjectRefGenerator
from nbray.options import Streaming
from nbray.serialization import error_value, serializer
from nbray.serialization.error_value import ErrorValue

FIRST_ITEM = 1  # index among the task's return values; 0 is the ref that says when it has ended
TAKEN, UNWANTED = 0, 1  # the words that the producer reads
MAX_WINDOW = (1 << 20) - 1
MAX_PER_YIELD = (1 << 14) - 1
MAX_SKIP = (1 << 28) - 1
_MARK = 1 << 62  # no number of return values looks like a request
_NONE = b"\x80\x05N."


def pack_request(skip: int, window: int, per_yield: int) -> int:
    """Return what the producer must know, as one word of its task's message."""
    return _MARK | skip << 34 | min(window, MAX_WINDOW) << 14 | per_yield


def unpack_request(word: int) -> tuple[int, int, int]:
    """Return (items to leave out, window, items per yield)."""
    return word >> 34 & MAX_SKIP, word >> 14 & MAX_WINDOW, word & MAX_PER_YIELD


def control_id(core: CoreState, owner: int, number: int) -> bytes:
    """Return the id of the object with the words of a stream."""
    return ids.object_id(owner, number, core.cluster_id, ids.STREAM_INDEX)


class Stream:
    """The items of one task that have arrived and were not taken."""

    __slots__ = (
        "_hold", "_session", "_words", "awaited", "chan", "core", "dynamic", "ended", "failed", "items", "number", "options",
        "received", "ref", "taken", "waiters", "watched", "window", "worker",
    )  # fmt: skip

    def __init__(self, core: Any, number: int, ref: ObjectRef, options: Streaming) -> None:
        self.core = core
        self.number = number
        self.ref = ref  # ready when the task has ended
        self.options = options
        self.dynamic = options.dynamic
        self.window = options.window
        self.items: deque[ObjectRef] = deque()
        self.received = 0
        self.taken = 0
        self.ended = False
        self.failed = False  # ended by something that is not an item: its error hangs on ``ref``
        self.watched = options.dynamic  # somebody wants the task to run to its end
        self.chan = -2  # none yet; -1: this process
        self.worker = 0  # peer that produces, behind ``chan``
        self.waiters: list[Callable[[], None]] = []
        self.awaited: dict[int, ObjectRef] = {}  # index -> ref of an item that has not come, asked for by its place
        self._session = core.session
        hold, self._words = core.store.words(control_id(core, core.peer, number), 2)
        self._hold: StoreHold | None = hold

    def request(self) -> int:
        """Return the word for the producer of the next run."""
        return pack_request(self.received, self.window, self.options.per_yield)

    def take(self) -> ObjectRef:
        """Return the next item; the producer may make one more."""
        ref = self.items.popleft()
        self.taken += 1
        if self.window:
            self._tell(TAKEN, self.taken)
        return ref

    def peek(self, count: int) -> list[ObjectRef]:
        """Return the refs of the next items, of those that have not come as well."""
        return self.core.peek_stream(self, count)

    @uninterrupted
    def drop(self) -> None:
        """The consumer is gone: free what it did not take, end the producer. May run inside any allocation."""
        if self.dynamic:
            return
        self.items.clear()
        if not self.ended:
            self.window = 0
            self._tell(TAKEN, 1 << 62)
            if not self.watched:
                self._tell(UNWANTED, 1)
            self.items = _Nowhere()

    def _tell(self, word: int, value: int) -> None:
        words = self._words
        if words is not None and self._session.attached:
            words[word] = value
            if self.worker:
                lib.nbs_ring(self._session.seg, self.worker)

    def close(self) -> None:
        """The task is over: the producer does not look at the words any more."""
        hold, self._hold = self._hold, None
        self._words = None
        if hold is not None:
            hold.release()

    def wait(self, timeout: float | None) -> bool:
        """Wait for an item, or the end; False when the time is over."""
        return self.core.wait_stream(self, timeout)

    def look(self) -> None:
        """Take in what has arrived."""
        self.core.drain()

    async def wait_async(self, timeout: float | None) -> bool:
        """As ``wait``, on the running event loop."""
        import asyncio  # noqa: PLC0415 - loaded when needed

        loop = asyncio.get_running_loop()
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            future: Any = loop.create_future()

            def deliver(future: Any = future) -> None:
                if not future.done():
                    future.set_result(None)

            def on_change(deliver: Callable[[], None] = deliver) -> None:
                try:
                    loop.call_soon_threadsafe(deliver)
                except RuntimeError:  # the loop is closed: nobody waits any more
                    return

            if self.core.when_stream_changes(self, on_change):
                return True
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return False
            try:
                await asyncio.wait_for(future, left)
            except asyncio.TimeoutError:
                return bool(self.items) or self.ended


class _Nowhere(deque[ObjectRef]):
    """Takes the place of the items that nobody wants."""

    def append(self, item: Any) -> None:
        return


class Streams(CoreState):
    """Generators that run as tasks, as their owner sees them."""

    def submit_stream(self, record: TaskRecord, options: Streaming) -> Any:
        """Submit a task that yields; returns its generator, or the ref of all its refs."""
        ref = record.ref
        stream = Stream(self, record.number, ref, options)
        record.n_returns = stream.request()
        record.flags |= TASK_STREAM
        ref._task = record
        generator = None if options.dynamic else ObjectRefGenerator(stream, ref)
        with self.lock:
            self.streams[record.number] = stream
            try:
                if record.deps is None or self._await_dependencies(record):
                    record.pool.submit(record)
            except BaseException:
                self.streams.pop(record.number, None)
                ref._task = None  # as in submit
                stream.ended = True
                stream.close()
                raise
        if not record.number & 31:
            self.now_and_then(record.pool, record)
        if self.shield.pending:
            self.shield.strike()
        return ref if generator is None else generator

    def wait_stream(self, stream: Stream, timeout: float | None) -> bool:
        """Wait for an item of a stream, or its end."""
        return self._wait_for(lambda: bool(stream.items) or stream.ended, (stream.ref,), timeout)

    def when_stream_changes(self, stream: Stream, callback: Callable[[], None]) -> bool:
        """Call ``callback`` once an item or the end has come; True (and no call) when it is there."""
        self.check_usable()
        self.drain()
        with self.lock:
            if stream.items or stream.ended:
                return True
            stream.waiters.append(callback)
        return False

    def peek_stream(self, stream: Stream, count: int) -> list[ObjectRef]:
        """Return the refs of the next items of a stream, whether they have come or not."""
        self.check_usable()
        self.drain()
        with self.lock:
            found = list(itertools.islice(stream.items, count))
            for index in range(stream.received, stream.received + count - len(found)):
                ref = stream.awaited.get(index)
                if ref is None:
                    ref = new_ref(stream.number, index + FIRST_ITEM, self.peer, self)
                    if stream.ended:
                        ref._data = self._beyond_the_end(stream)
                    else:
                        ref._task = stream.ref._task
                        stream.awaited[index] = ref
                found.append(ref)
        return found

    @staticmethod
    def _beyond_the_end(stream: Stream) -> ErrorValue:
        """Return what an item is that was never made."""
        if stream.failed:
            return stream.ref._data
        return error_value.from_system_error(
            ObjectRefStreamEndOfStreamError(f"The stream has {stream.received} items; there are no more.")
        )

    def item_from_self(self, number: int, flags: int, index: int, payload: bytes) -> None:
        """Take in an item of a call of this actor to itself."""
        with self.lock:
            self._item(-1, number, flags, index, payload)
            self.waiters.wake()
        if self._callbacks:
            self.run_callbacks()

    def _item(self, chan: int, number: int, flags: int, index: int, payload: bytes) -> None:
        """Take in one item."""
        stream = self.streams.get(number)
        if stream is None or index != stream.received:
            if flags & RESULT_STORED:
                self._value_part(PART_STORED, payload)  # taken over, and let go
            return
        if stream.chan != chan:
            stream.chan = chan
            stream.worker = lib.nbs_chan_peer(self.seg, chan) if chan >= 0 else self.peer
        stream.received += 1
        record = stream.ref._task
        if record is not None and record.n_returns > 0:
            record.n_returns = stream.request()  # a run after this one leaves out what has arrived
        self._append(stream, self._value_part(part_kind(flags), payload), index)

    def _append(self, stream: Stream, data: Any, index: int) -> None:
        ref = stream.awaited.pop(index, None) if stream.awaited else None
        if ref is None:
            ref = new_ref(stream.number, index + FIRST_ITEM, self.peer, self)
            ref._data = data
            if type(data) is ErrorValue:
                self._errors += 1
        else:
            self._set(ref, data)
        stream.items.append(ref)
        if stream.waiters:
            self._wake_stream(stream)

    def _wake_stream(self, stream: Stream) -> None:
        waiters, stream.waiters = stream.waiters, []
        for waiter in waiters:
            self._callbacks.append((lambda _, waiter=waiter: waiter(), stream.ref))

    def _stream_raised(self, record: TaskRecord, error: ErrorValue) -> None:
        """The generator raised: that is its last item."""
        stream = self.streams.get(record.number)
        if stream is not None:
            stream.received += 1
            self._append(stream, error, stream.received - 1)
        self._stream_done(record)

    def _stream_done(self, record: TaskRecord) -> None:
        """The generator has come to its end."""
        stream = self.streams.get(record.number)
        value: Any = _NONE
        if stream is not None and stream.dynamic:
            value = self._all_refs(stream)
        self._set(record.ref, value)
        record.ref = None
        self._stream_over(record)

    def _all_refs(self, stream: Stream) -> Any:
        """Return the value of a task that gives all its refs at once."""
        data: Any = serializer.dumps(DynamicObjectRefGenerator(stream.items))
        stream.items.clear()
        if type(data) is bytes:
            return data
        try:
            return StoredValue(self.store.write(stream.ref.binary(), data))
        except Exception as error:  # the store is full
            return error_value.from_system_error(error)

    def _stream_over(self, record: TaskRecord) -> None:
        """The task is done, or has failed: nothing more comes."""
        stream = self.streams.pop(record.number, None)
        if stream is None:
            return
        stream.failed = type(stream.ref._data) is ErrorValue and not stream.dynamic
        stream.ended = True
        stream.close()
        for ref in stream.awaited.values():
            self._set(ref, self._beyond_the_end(stream))
        stream.awaited.clear()
        self._wake_stream(stream)
