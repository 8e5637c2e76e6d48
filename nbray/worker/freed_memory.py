"""Memory that the tasks of a worker have freed: kept for the next task, given back when none comes."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping

from nbray._cstore import lib

KEEP_BYTES = 64 << 20  # what glibc itself would keep at most, had it seen blocks of the largest kind
QUIET_SLICES = 20  # waits that ended with nothing to do, about 1 s, before it is given back
WORK_S = 0.005  # CPU time within one wait that is work, and not the wait itself


class FreedMemory:
    """What becomes of freed memory in this process.

    A task that makes arrays of a few megabytes frees them at its end. Left alone, malloc gives them back to the kernel,
    and the next task faults them in again, page by page: 3 ms for 6 MB. So it keeps up to KEEP_BYTES of them, as glibc's own
    rule would had it seen larger blocks freed (mallopt(3): M_MMAP_THRESHOLD, M_TRIM_THRESHOLD).

    Attributes
    ----------
    mine : bool
        Whether malloc is ours to set: not where the user's environment does.
    """

    def __init__(self) -> None:
        self.mine = not chosen_by_user(os.environ)
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
            if self._used and self._quiet >= QUIET_SLICES and self.mine:
                self._used = False
                lib.nbs_give_freed()
        self._seen = now


def chosen_by_user(environ: Mapping[str, str]) -> bool:
    """Tell whether the environment says how malloc is to work; then it is not touched."""
    return any(name.startswith("MALLOC_") for name in environ) or "glibc.malloc" in environ.get("GLIBC_TUNABLES", "")
