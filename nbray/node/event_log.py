"""The newest event records of the node, as bytes, and the names that go with them.

Records are drained from shared memory in bulk and not looked at. What is older than the
limit goes, and is counted.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator

from nbray.config import KIB, Limits
from nbray.node.segment import EVENT_BYTES, Segment
from nbray.wire.messages import ActorName, DefineNotice, EventsReply

BLOCK_BYTES = 512 * KIB // EVENT_BYTES * EVENT_BYTES
DEFINITIONS_AT_ONCE = 1000
BUSY_RECORDS = 4096  # a drain that finds more is repeated soon


class EventLog:
    """Bounded log of one node."""

    def __init__(self, segment: Segment, limits: Limits) -> None:
        self._segment = segment
        self._limits = limits
        self._blocks: deque[bytes] = deque()
        self._bytes = 0
        self._definitions: dict[tuple[int, int], DefineNotice] = {}
        self._dropped_in_rings = 0
        self._dropped_here = 0  # records that were pushed out
        self._end = 0  # bytes of records ever taken over: the log's position
        self._defined_at: dict[tuple[int, int], int] = {}
        self._actors: dict[int, tuple[str, str, int]] = {}  # peer -> id and title of the actor, and where in the log

    def drain(self) -> int:
        """Take over what the processes have recorded; returns how many records."""
        total = 0
        while True:
            block, dropped = self._segment.drain_events()
            self._dropped_in_rings += dropped
            if not block:
                return total
            total += len(block) // EVENT_BYTES
            self._blocks.append(block)
            self._bytes += len(block)
            self._end += len(block)
            while self._bytes > self._limits.event_bytes:
                oldest = self._blocks.popleft()
                self._bytes -= len(oldest)
                self._dropped_here += len(oldest) // EVENT_BYTES
            if total > 1_000_000:  # the others outrun us; the loop has other things to do
                return total

    def define(self, definition: DefineNotice) -> None:
        """Note a name."""
        key = (definition.owner, definition.number)
        self._definitions.pop(key, None)
        self._definitions[key] = definition
        self._defined_at[key] = self._end
        if len(self._definitions) > self._limits.definitions:
            oldest = next(iter(self._definitions))
            del self._definitions[oldest], self._defined_at[oldest]

    def name_actor(self, peer: int, actor_id: str, title: str) -> None:
        """Note which actor a worker becomes."""
        self._actors[peer] = actor_id, title, self._end
        if len(self._actors) > self._limits.definitions:
            del self._actors[next(iter(self._actors))]

    def name_of(self, owner: int, number: int) -> str:
        """Return what a function of an owner is called; empty when that is not known (any more)."""
        definition = self._definitions.get((owner, number))
        return definition.name if definition is not None else ""

    def replies(self, request_id: int, since: int = 0) -> Iterator[EventsReply]:
        """Yield records and names after ``since``, in messages that fit; the last is marked and tells where it ends.

        A name may be told twice, a record never.
        """
        offset = time.time_ns() - time.monotonic_ns()
        definitions = [name for key, name in self._definitions.items() if self._defined_at[key] >= since]
        for start in range(0, len(definitions), DEFINITIONS_AT_ONCE):
            chunk = definitions[start : start + DEFINITIONS_AT_ONCE]
            yield EventsReply(request_id, definitions=chunk, monotonic_offset_ns=offset)
        actors = [
            ActorName(peer, actor_id, title) for peer, (actor_id, title, at) in self._actors.items() if at >= since
        ]
        for start in range(0, len(actors), DEFINITIONS_AT_ONCE):
            yield EventsReply(
                request_id, actors=actors[start : start + DEFINITIONS_AT_ONCE], monotonic_offset_ns=offset
            )
        pending = b""
        for block in self._after(since):
            pending += block
            while len(pending) >= BLOCK_BYTES:
                yield EventsReply(request_id, block=pending[:BLOCK_BYTES], monotonic_offset_ns=offset)
                pending = pending[BLOCK_BYTES:]
        yield EventsReply(
            request_id, block=pending, dropped=self.dropped, last=True, position=self._end, monotonic_offset_ns=offset
        )

    def _after(self, since: int) -> list[bytes]:
        """Return the blocks from position ``since`` on."""
        found: list[bytes] = []
        missing = self._end - since
        for block in reversed(self._blocks):
            if missing <= 0:
                break
            found.append(block[-missing:] if missing < len(block) else block)
            missing -= len(block)
        return found[::-1]

    @property
    def dropped(self) -> int:
        """Records that were made and are not here."""
        return self._dropped_in_rings + self._dropped_here

    def summary(self) -> dict[str, int]:
        """Return figures for reports."""
        return {"bytes": self._bytes, "definitions": len(self._definitions), "dropped": self.dropped}
