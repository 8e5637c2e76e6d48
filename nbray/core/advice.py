"""Notice, from time to time, that a program gives away what a cluster can do; say so once.

The service thread looks about twenty times a second where the main thread stands and what is
in flight. So nothing is counted on the way of a task.
"""

from __future__ import annotations

import os
import sys
import threading
from types import CodeType
from typing import Any

from nbray.exceptions import PerformanceWarning

from .call_site import named, warn, warn_at

OWN_FILES = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
LOOK_S = 0.05
SERIAL_TASKS = 10  # different tasks seen alone in flight, one after the other ...
SERIAL_S = 1.0  # ... over at least this time, all waited for at one line
LARGE_BYTES = 10 << 20
MANY_ARGUMENTS = 1000
TINY_NS = 100_000.0  # 0.1 ms
TINY_TASKS = 20_000  # so many tasks make it worth saying
TINY_LOOKS = 3  # different tasks of one function seen: the average of its first few says little


class Advice:
    """What one process has been told, and what was seen so far.

    Parameters
    ----------
    core : CoreWorker
    gets : set of code objects
        Functions of the runtime in which a thread waits for values.
    """

    def __init__(self, core: Any, gets: set[CodeType]) -> None:
        self.core = core
        self._gets = gets
        self._looked = 0.0
        self._main = threading.main_thread().ident or 0
        self._said: set[str] = set()
        self._line: tuple[str, int] | None = None  # where the main thread waits for one task after the other
        self._since = 0.0
        self._numbers: set[int] = set()  # of the tasks that it waited for
        self._tiny: tuple[Any, set[int]] = (None, set())  # a function whose tasks are tiny, and those that were seen

    def look(self, now: float) -> None:
        """Look once, unless that was a moment ago; called with the core's lock held."""
        if now - self._looked < LOOK_S:
            return
        self._looked = now
        if "serial" not in self._said:
            self._look_for_serial_gets(now)
        if "tiny" not in self._said:
            self._look_for_tiny_tasks()

    def _say(self, what: str, text: str, line: tuple[str, int] | None) -> None:
        self._said.add(what)
        filename, number = line or ("<nbray>", 0)
        try:
            warn_at(filename, number, text, PerformanceWarning)
        except PerformanceWarning:  # warnings are errors here; this thread is not the one to raise it in
            print(f"PerformanceWarning: {text}", file=sys.stderr)

    def _look_for_serial_gets(self, now: float) -> None:
        alone = self._alone_in_flight()
        if alone is None:
            return  # between two tasks, or many at once
        line = self._waiting_line()
        if alone < 0 or line is None or line != self._line:
            self._line, self._since, self._numbers = line, now, set()
        if alone < 0 or line is None:
            return
        self._numbers.add(alone)
        if len(self._numbers) >= SERIAL_TASKS and now - self._since >= SERIAL_S and self._has_processors():
            place = named(*line)
            self._say(
                "serial",
                f"{place[0].upper()}{place[1:]} gets the value of one task after the other, so that never more than one "
                "runs. Submit all of them first, then get the list: get([f.remote(x) for x in ...]).",
                line,
            )

    def _alone_in_flight(self) -> int | None:
        """Return the number of the only task in flight, -1 when there are several, None when there is none."""
        found: int | None = None
        for pool in self.core.pools.values():
            if pool.queue:
                return -1
        for lane in self.core.lanes.values():
            for number in list(lane.tasks):
                if found is not None:
                    return -1
                found = number
        return found

    def _waiting_line(self) -> tuple[str, int] | None:
        """Return where the user's code waits in ``get`` in the main thread."""
        frame = sys._current_frames().get(self._main)
        waits = False
        while frame is not None and frame.f_code.co_filename.startswith(OWN_FILES):
            waits = waits or frame.f_code in self._gets
            frame = frame.f_back
        return (frame.f_code.co_filename, frame.f_lineno) if waits and frame is not None else None

    def _has_processors(self) -> bool:
        return self.core.totals.get("CPU", 0) >= 20_000

    def _look_for_tiny_tasks(self) -> None:
        for lane in self.core.lanes.values():
            for record in list(lane.tasks.values())[:1]:
                average = record.function.avg_ns
                if record.number > TINY_TASKS and 0 < average < TINY_NS:
                    if self._tiny[0] is not record.function:
                        self._tiny = (record.function, set())
                    self._tiny[1].add(record.number)
                    if len(self._tiny[1]) < TINY_LOOKS:
                        return
                    self._say(
                        "tiny",
                        f"The tasks of {record.function.name} run {average / 1000:.0f} us each; to hand one over costs "
                        "about as much. Let each work on many items.",
                        None,
                    )
                    return


def large_arguments(size: int, count: int) -> None:
    """Warn of arguments that cost much with each call: ``size`` bytes, or ``count`` of them."""
    if size > LARGE_BYTES:
        warn(
            f"The arguments of this call are large: {size / 2**20:.1f} MiB are copied with each call. If several calls get "
            "the same, put() it once and pass the ref.",
            PerformanceWarning,
        )
    if count > MANY_ARGUMENTS:
        warn(
            f"This call has {count} arguments, each of which is seen to by itself. Pass a list in their place; put() it "
            "once when several calls get the same.",
            PerformanceWarning,
        )


def crowded(count: int, name: str) -> None:
    """Say that submitting waits."""
    warn(
        f"{count:,} tasks of this process are queued ({name} and others of its shape): remote() waits until there are "
        "fewer. Get results now and then, or set NBRAY_QUEUED_TASKS higher.",
        PerformanceWarning,
    )


def pickled_by_hand(ref: Any) -> None:
    """Say what a ref is worth outside of the cluster."""
    warn(
        f"{ref} is pickled outside of a task, put() or get(), so that nobody will tell when it is done with: its value is "
        "kept until the end of the session, and does not outlive it. To keep a value on disk, write the value.",
        UserWarning,
    )
