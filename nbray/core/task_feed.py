"""Keep a table of the cluster's tasks up to date: for the panel and the widgets.

Three sources, none of which costs the tasks anything: the daemon's event log (what was sent
and what ended), the words in shared memory that say what runs, and this process's own queues.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import Any

from nbray._cstore import ffi, lib
from nbray.core.task_columns import ColumnTable
from nbray.events.task_table import CANCELLED, FAILED, TaskTable, names_of
from nbray.wire import messages as m

MAX_RUNNING = 4096  # channels of a node
QUEUED_AT_ONCE = 50_000  # of a queue's new tasks, per look


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
        self._for_input: dict[int, int] = {}  # tasks that waited for input at the last look: number -> function
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
        request = m.EventsRequest(request_id=core.control.next_id(), since=self._position)
        replies = core.request(request, timeout_s=timeout_s, complete=lambda got: bool(got) and got[-1].last)
        for reply in replies:
            for name in names_of(reply.definitions):
                table.define(*name)
            table.apply_block(reply.block)
        self._position = replies[-1].position
        self.dropped = replies[-1].dropped
        self._look_at_queues()
        self._look_at_workers()
        self._look_at_failures()

    def _look_at_queues(self) -> None:
        core, table = self.core, self.table
        # Each of these lists is made in one step of the interpreter, so no lock is needed.
        waiting = {record.number: record.function.number for record in list(core.waiting_args.values())}
        new = [(number, function, 0) for number, function in waiting.items() if number not in self._for_input]
        for number, function in self._for_input.items():
            if number not in waiting:  # its inputs are there
                table.waiting(core.peer, number, function, False)
        self._for_input = waiting
        for pool in list(core.pools.values()):
            queue: deque[Any] = pool.queue
            seen = self._queued.get(pool.request_id, 0)
            newest = list(islice(reversed(queue), QUEUED_AT_ONCE))
            count = next((n for n, record in enumerate(newest) if record.number <= seen), len(newest))
            new += [(record.number, record.function.number, 1) for record in reversed(newest[:count])]
            if newest:
                self._queued[pool.request_id] = max(seen, newest[0].number)
        # As they were submitted: that is how a page numbers them. One that has just got its inputs may be in both.
        new.sort()
        table.waiting_all(core.peer, new)

    def _look_at_workers(self) -> None:
        count = lib.nbs_running_list(self.core.seg, self._running, MAX_RUNNING)
        for index in range(max(0, count)):
            task = self._running[index]
            self.table.runs(task.owner, task.seq, task.worker, task.start_ns)

    def _look_at_failures(self) -> None:
        """What failed without having been sent, or with its worker, has left no record in the log."""
        core = self.core
        if core.failed.count == self._failures:
            return
        with core.lock:
            failures = core.failed.since(self._failures)
        for failure in failures:
            self.table.ended(core.peer, failure.number, CANCELLED if failure.cancelled else FAILED, failure.t_ns)
        self._failures = failures[-1].place
