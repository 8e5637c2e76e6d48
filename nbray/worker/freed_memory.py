"""Memory that the tasks of a worker have freed: kept for the next task, given back when none comes."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Mapping

from nbray._cstore import lib

KEEP_BYTES = 64 << 20  # what glibc itself would keep at most, had it seen blocks of the largest kind
QUIET_SLICES = 20  # waits that ended with nothing to do, about 1 s, before it is given back
WORK_S = 0.005  # CPU time within one wait that is work, and not the wait itself
COLLECTING_SHARE = 0.01  # of the time, at most, is spent on looking for garbage that holds stored values


class FreedMemory:
    """What becomes of freed memory in this process.

    A task that makes arrays of a few megabytes frees them at its end. Left alone, malloc gives them back to the kernel,
    and the next task faults them in again, page by page: 3 ms for 6 MB. So it keeps up to KEEP_BYTES of them, as glibc's own
    rule would had it seen larger blocks freed (mallopt(3): M_MMAP_THRESHOLD, M_TRIM_THRESHOLD).

    A stored value that a task has looked at, or a ref, may be left in a cycle (a function of a cell and its globals, a
    traceback). It then stays in the store until Python's collector comes by, which in an idle worker is never: so it is called.

    Parameters
    ----------
    n_held : callable
        How many stored values this process may hold: no fewer than it does, and more whenever there is another.
    last_task : callable
        Tells the task that ran last, or runs.

    Attributes
    ----------
    mine : bool
        Whether malloc is ours to set: not where the user's environment does.
    """

    def __init__(self, n_held: Callable[[], int], last_task: Callable[[], object] = lambda: None) -> None:
        self.mine = not chosen_by_user(os.environ)
        self._n_held = n_held
        self._last_task = last_task
        self._lasting = n_held()  # what the last collection left; after another task they may be others
        self._collected_after: object = None  # the task that ran last then
        self._collect_at = 0.0
        self._seen = time.process_time()
        self._quiet = 0
        self._used = False
        if self.mine:
            lib.nbs_keep_freed(KEEP_BYTES)

    def idle(self) -> None:
        """Note that a wait ended with nothing to do; gives the memory back when that has lasted."""
        now = time.process_time()
        if now - self._seen > WORK_S:
            self._used, self._quiet = True, 0
        else:
            self._quiet += 1
            if self._quiet >= QUIET_SLICES:
                self._collect()
                if self._used and self.mine:
                    self._used = False
                    lib.nbs_give_freed()
                now = time.process_time()
        self._seen = now

    def _collect(self) -> None:
        """Free what is garbage, if stored values may be held by it."""
        n_held, last_task = self._n_held(), self._last_task()
        if (n_held <= self._lasting and (not n_held or last_task == self._collected_after)) or not gc.isenabled():
            self._lasting = min(self._lasting, n_held)
            return
        began = time.monotonic()
        if began < self._collect_at:
            return
        gc.collect()
        self._lasting, self._collected_after = self._n_held(), last_task
        ended = time.monotonic()
        self._collect_at = ended + (ended - began) / COLLECTING_SHARE


def chosen_by_user(environ: Mapping[str, str]) -> bool:
    """Tell whether the environment says how malloc is to work; then it is not touched."""
    return any(name.startswith("MALLOC_") for name in environ) or "glibc.malloc" in environ.get("GLIBC_TUNABLES", "")
