"""The tasks of this kernel's cluster as binary frames: a snapshot, then what changed.

A frame is a small header (plain data) and two buffers:

    kind        "snapshot": forget what was there; "delta": goes on from it
    generation  moves when indexes change their meaning: with a snapshot, or one that says what to forget
    forget      lists of indexes: the rows before the first are gone, but for those that follow it in the list, which
                come first now; all others follow
    functions   [[index, name, kind, origin], ...], new or renamed
    cells       [[origin, number, id of the cell], ...] of these functions, where they are known; left out while none are
    workers     [[index, peer, ...], ...], new; with id and name of the actor that one has become
    counts      tasks by state code, with those that were forgotten
    forgotten   tasks that are not in the table any more
    gone        [[function, tasks by state code], ...] of those that were over; left out while there are none
    dropped     event records that were lost; the counts are too low by them
    now         CLOCK_MONOTONIC, ms; the times of tasks are of the same clock
    wall        what to add to it for the wall clock, ms
    usage       samples of CPU, memory, store and GPUs that are new
    printed     moves when tasks print something
    more        the rest follows at once
    buffers     rows (`nbray.events.task_table.ROW`), and edges: pairs of indexes as u32

One object serves all pages: whoever cannot take a delta now gets a snapshot later.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

from nbray.core import current, live
from nbray.core.task_feed import TaskFeed
from nbray.events.task_table import DONE, ROW

MAX_ROWS = 20_000  # of one frame, some 900 KB
FRAMES_PER_POLL = 5


class Frame(NamedTuple):
    """What goes over the wire."""

    header: dict[str, Any]
    buffers: list[bytes]

    @property
    def size(self) -> int:
        """Bytes of the buffers."""
        return sum(map(len, self.buffers))


def own_cluster() -> Any:
    """Return the runtime of this process while it has a cluster, else None."""
    core = current.core
    return core if core is not None and core.session.attached else None


class TaskStream:
    """Makes frames of the cluster that this process has, whichever that is at the time.

    Parameters
    ----------
    make_feed : callable
        ``make_feed(core)`` returns a TaskFeed.
    usage : callable
        ``usage(since)`` returns samples, as ``live.usage``.
    source : callable
        Returns what a feed reads: this process's runtime, an observer, or None when there is no cluster.
    printed : callable
        Returns a number that moves when a task prints something.
    cell_of : callable
        Returns number and id of the cell behind an origin, or None. A page that did not run it itself has no other way
        to know: of another client, or opened later.
    """

    def __init__(
        self, make_feed: Callable[[Any], TaskFeed] = TaskFeed, usage: Callable[[int], list[dict[str, Any]]] = live.usage,
        source: Callable[[], Any] = own_cluster, printed: Callable[[], int] = lambda: 0,
        cell_of: Callable[[str], tuple[int, str] | None] = lambda origin: None,
    ) -> None:  # fmt: skip
        self._cell_of = cell_of
        self._source = source
        self._make_feed = make_feed
        self._usage = usage
        self._printed = printed
        self._printed_told = 0
        self._feed: TaskFeed | None = None
        self._generation = 0  # of this stream: of its clusters and of their tables
        self._table_generation = 0
        self._last_sample = 0
        self._samples: list[dict[str, Any]] = []

    def poll(self) -> list[Frame] | None:
        """Look at the cluster; returns what changed, or None when every reader has to start anew."""
        core = self._source()
        if core is None:
            gone, self._feed = self._feed is not None, None
            return None if gone else []
        if self._feed is None or self._feed.core is not core:
            self._feed = self._make_feed(core)
            self._last_sample = self._table_generation = 0
            self._generation += 1
            self._samples = []
            self._feed.poll()
            return None
        self._feed.poll()
        self._samples = self._usage(self._last_sample)
        if self._samples:
            self._last_sample = self._samples[-1]["number"]
        table = self._feed.table
        if table.generation != self._table_generation:
            self._table_generation = table.generation
            self._generation += 1
            if not table.goes_on:
                return None
        frames = []
        for _ in range(FRAMES_PER_POLL):
            delta = table.delta(MAX_ROWS)
            if delta is None:
                break
            frames.append(self._frame("delta", delta))
        if not frames and (self._samples or self._printed() != self._printed_told):
            frames.append(self._frame("delta", {"functions": [], "workers": [], "rows": b"", "edges": b""}))
        if frames:
            frames[-1].header["usage"] = self._samples
        return frames

    @property
    def pending(self) -> bool:
        """Whether there is more to tell than the last ``poll`` returned: a snapshot now is for all readers."""
        return self._feed is not None and self._feed.table.pending

    def locate(self, index: int, generation: int) -> tuple[int, int, int] | None:
        """Return (owner, number, worker or 0) of the task that a page knows by this index; None when it has changed.

        May be called from any thread: indexes mean the same as long as neither generation moves.
        """
        feed, table_generation = self._feed, self._table_generation
        if feed is None or generation != self._generation or not 0 <= index < len(feed.table):
            return None
        try:
            owner, number = feed.table.key(index)
            worker = feed.table.worker[index]
            peer = feed.table.workers[worker] if worker >= 0 else 0
        except IndexError:  # it is forgetting just now
            return None
        same = feed is self._feed and feed.table.generation == table_generation and generation == self._generation
        return (owner, number, peer) if same else None

    def has_failed(self, owner: int, number: int) -> bool:
        """Tell whether a run of a task has failed. From any thread, as ``locate``."""
        feed = self._feed
        index = feed.table.find(owner, number) if feed is not None else None
        if feed is None or index is None or index >= len(feed.table):  # it is forgetting just now
            return False
        return feed.table.state[index] > DONE or feed.table.attempt[index] > 0

    def index_of(self, owner: int, number: int) -> int | None:
        """Return the index of a task, None when it is not in the table. From any thread, as ``locate``."""
        feed = self._feed
        return feed.table.find(owner, number) if feed is not None else None

    def takers(self, owner: int, number: int) -> list[int]:
        """Return indexes of tasks that took a value which was put. From any thread, as ``locate``."""
        feed = self._feed
        return feed.table.takers(owner, number) if feed is not None else []

    def snapshot(self) -> list[Frame]:
        """Return everything. The next deltas go on from it: deltas before it must have been sent."""
        if self._feed is None:
            return [self._frame("snapshot", {"functions": [], "workers": [], "rows": b"", "edges": b""})]
        whole = self._feed.table.snapshot()
        rows, edges, step = whole["rows"], whole["edges"], MAX_ROWS * ROW.size
        frames = [self._frame("snapshot", {**whole, "rows": rows[:step], "edges": b""})]
        for start in range(step, len(rows), step):
            part = {"functions": [], "workers": [], "rows": rows[start : start + step], "edges": b""}
            frames.append(self._frame("delta", part))
        for frame in frames[:-1]:
            frame.header["more"] = True
        frames[-1].buffers[1] = edges
        frames[0].header["usage"] = self._usage(0)
        return frames

    def _frame(self, kind: str, part: dict[str, Any]) -> Frame:
        feed = self._feed
        now = time.monotonic_ns()
        self._printed_told = self._printed()
        header = {
            "kind": kind,
            "generation": self._generation,
            "forget": part.get("forget", []),
            "functions": part["functions"],
            "workers": part["workers"],
            "counts": list(feed.table.counts) if feed is not None else [],
            "forgotten": feed.table.forgotten if feed is not None else 0,
            "dropped": feed.dropped if feed is not None else 0,
            "printed": self._printed_told,
            "now": now / 1e6,
            "wall": (time.time_ns() - now) / 1e6,
        }
        origins = dict.fromkeys(function[3] for function in part["functions"] if function[3])
        if cells := [[origin, *cell] for origin in origins if (cell := self._cell_of(origin)) is not None]:
            header["cells"] = cells
        if feed is not None and feed.table.gone:
            header["gone"] = list(feed.table.gone.items())
        return Frame(header, [part["rows"], part["edges"]])
