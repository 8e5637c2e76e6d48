"""Keep a table of the cluster's tasks up to date: for the panel and the widgets.

Three sources, none of which costs the tasks anything: the daemon's event log (what was sent
and what ended), the words in shared memory that say what runs, and this process's own queues.
"""

from __future__ import annotations

import time
from collections import deque
from itertools import islice
from typing import Any

from nbray._cstore import ffi, lib
from nbray.core.failure_log import Failure
from nbray.core.task_columns import ColumnTable
from nbray.events.task_table import CANCELLED, FAILED, TaskTable, names_of, numbers_sent
from nbray.wire import messages as m

MAX_RUNNING = 4096  # channels of a node
QUEUED_AT_ONCE = 50_000  # of a queue's new tasks, per look
FLOOD_BYTES = 16 << 20  # of records in one look


class TaskFeed:
    """Feeds a TaskTable.

    One thread at a time calls ``poll``. It asks the daemon, so it may take some milliseconds.

    Parameters
    ----------
    core : CoreWorker
    max_tasks : int
        Of the table.
    """

    def __init__(self, core: Any, max_tasks: int = 200_000) -> None:
        self.core = core
        self.table: TaskTable = ColumnTable(max_tasks)
        self.dropped = 0  # records that were lost: the table's counts are too low by them
        self._position = 0
        self._has_looked = False  # what is there at the first look was made before, nobody knows when
        self._for_input: dict[int, int] = {}  # tasks that waited for input at the last look: number -> function
        self._unread: list[tuple[int, int, int]] = []  # tasks that wait, which the table has not been told of
        self._queued: dict[int, int] = {}  # pool's request id -> highest number that was seen in its queue
        self._failures = 0  # of the process's, that the table has been told
        self._running = ffi.new("nbs_running_task[]", MAX_RUNNING)

    def poll(self, timeout_s: float = 2.0) -> None:
        """Take over what is new.

        Raises
        ------
        RaySystemError
            When the daemon does not answer, or there is none any more.
        """
        core, table = self.core, self.table
        # Whatever was submitted before a task that one of these tells of is told of by that one or a later one:
        # the table gets its rows in the order of submission, and a page numbers them so.
        looked_at = time.monotonic_ns()
        running = max(0, lib.nbs_running_list(core.seg, self._running, MAX_RUNNING))
        inputs = self._look_at_inputs()
        has_inputs = bool(inputs or self._unread)  # what is unread may be some of them
        self._unread += inputs + self._look_at_pools()
        failures = self._look_at_failures()
        request = m.EventsRequest(request_id=core.control.next_id(), since=self._position)
        replies = core.request(request, timeout_s=timeout_s, complete=lambda got: bool(got) and got[-1].last)
        waiting, self._unread = self._unread, []
        # One that was over before any look at the queues has no row yet, and perhaps no record of its own.
        waiting += [(f.number, f.function_number, 1) for f in failures if table.find(core.peer, f.number) is None]
        sent: list[int] = []
        if has_inputs or core.waiting_args:  # later ones go past these
            sent = [number for reply in replies for number in numbers_sent(reply.block, core.peer)]
        last = max(sent, default=0)
        if sent:
            waiting += self._look_at_inputs(last)
        waiting.sort()  # one that has just got its input may be there twice
        for reply in replies:
            for name in names_of(reply.definitions):
                table.define(*name)
            for actor in reply.actors:
                table.name_actor(actor.peer, actor.actor_id, actor.title)
        if sent:
            table.make_rows(core.peer, {*sent, *(number for number, _, _ in waiting if number < last)})
        n_bytes = 0
        for reply in replies:
            n_bytes += len(reply.block)
            table.apply_block(reply.block)
            reply.block = b""
        self._position = replies[-1].position
        self.dropped = replies[-1].dropped
        if n_bytes >= FLOOD_BYTES:  # what a flood of records took is not needed before the next one
            lib.nbs_give_freed()
        table.waiting_all(core.peer, waiting, looked_at if self._has_looked else 0)
        self._has_looked = True
        for task in self._running[0:running]:
            table.runs(task.owner, task.seq, task.worker, task.start_ns)
        for failure in failures:
            table.ended(core.peer, failure.number, CANCELLED if failure.cancelled else FAILED, failure.t_ns)

    def _look_at_inputs(self, end: int | None = None) -> list[tuple[int, int, int]]:
        """Return, as ``TaskTable.waiting_all`` takes them, the tasks before ``end`` that wait for input or did so."""
        # The list is made in one step of the interpreter, so no lock is needed.
        waiting = {record.number: record.function.number for record in list(self.core.waiting_args.values())}
        known = self._for_input
        moved = [(number, known.pop(number), 1) for number in list(known) if number not in waiting]
        new = {n: function for n, function in waiting.items() if n not in known and (end is None or n < end)}
        known.update(new)
        return [(number, function, 0) for number, function in new.items()] + moved

    def _look_at_pools(self) -> list[tuple[int, int, int]]:
        """Return the tasks that wait for a place since the last look."""
        new: list[tuple[int, int, int]] = []
        for pool in list(self.core.pools.values()):
            queue: deque[Any] = pool.queue
            seen = self._queued.get(pool.request_id, 0)
            newest = list(islice(reversed(queue), QUEUED_AT_ONCE))  # in one step, too
            count = next((n for n, record in enumerate(newest) if record.number <= seen), len(newest))
            new += [(record.number, record.function.number, 1) for record in reversed(newest[:count])]
            if newest:
                self._queued[pool.request_id] = max(seen, newest[0].number)
        return new

    def _look_at_failures(self) -> list[Failure]:
        """Return what has failed since the last look: without having been sent, or with its worker, it left no record."""
        core = self.core
        if core.failed.count == self._failures:
            return []
        with core.lock:
            failures: list[Failure] = core.failed.since(self._failures)
        self._failures = failures[-1].place
        return failures
