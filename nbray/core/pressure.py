"""Waiting for the store: for room in it, and for values that lie on disk.

The daemon spills and restores; a process asks it by a message and looks again. Nobody waits
for ever: as long as objects come and go something is gained, and when nothing has moved for
a while the error tells who holds the memory.
"""

from __future__ import annotations

import os
import time
from typing import Any, NoReturn

from nbray._cstore import ffi, lib
from nbray.config import Limits
from nbray.core.records import Session
from nbray.exceptions import ObjectStoreFullError, OutOfDiskError, RaySystemError
from nbray.wire import messages as m

MIB = 1 << 20
FULL = frozenset({lib.NBS_EFULL, lib.NBS_ENOMEM})
_ASK_AGAIN_S = 0.1
_NAP_NS = (100_000, 200_000, 500_000, 1_000_000, 2_000_000, 5_000_000)
_LISTED = 16384  # objects looked at for the message of an error


class Pressure:
    """The store's limits as one process meets them.

    Attributes
    ----------
    control : ControlClient
        Set by the core worker; without one there is nobody to ask.
    limits : Limits
    spill_dir : str
        As the daemon told them.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.control: Any = None
        self.limits = Limits()
        self.spill_dir = ""

    def stats(self) -> Any:
        out = ffi.new("nbs_stats *")
        lib.nbs_get_stats(self.session.seg, out)
        return out

    def patience(self, size: int, for_task: bool = False) -> Patience:
        """Begin to wait for room for an object of ``size`` bytes; ``for_task``: one that a task needs to begin."""
        return Patience(self, size, for_task)

    def refuse(self, status: int, size: int) -> NoReturn:
        """Raise what it means that the store has not taken an object."""
        if status not in (*FULL, lib.NBS_ETOOBIG, lib.NBS_ELIMIT):
            raise RaySystemError(f"The object store refused the object: {_name(status)}.")
        stats = self.stats()
        if size > stats.capacity:
            advice = "It is larger than the store: init(object_store_memory=...) with more, or store it in parts."
        else:
            advice = "Drop refs and arrays that are not needed any more, or init(object_store_memory=...) with more."
        spilled = ""
        if stats.n_spilled:
            spilled = f" and {stats.spilled_bytes / MIB:.1f} MiB lie on disk"
        raise ObjectStoreFullError(
            f"No room for an object of {size} bytes ({size / MIB:.1f} MiB) in the object store: {stats.used / MIB:.1f} of "
            f"{stats.capacity / MIB:.1f} MiB are in use (capacity {stats.capacity} bytes){spilled}."
            f"{self._holders()} {advice}",
            size, stats.used, stats.capacity,
        )  # fmt: skip

    def refuse_for_disk(self, size: int, state: int) -> NoReturn:
        """Raise that the store is full and the disk does not take anything more."""
        free = 0
        try:
            disk = os.statvfs(self.spill_dir)
            free = disk.f_bavail * disk.f_frsize
        except OSError:
            pass
        stats = self.stats()
        cause = "is full" if state == lib.NBS_SPILL_NO_DISK else "cannot be written to (the daemon's log says why)"
        raise OutOfDiskError(
            f"No room for an object of {size} bytes: the object store is full ({stats.used / MIB:.1f} of "
            f"{stats.capacity / MIB:.1f} MiB) and the disk for spilled objects {cause}. Path: {self.spill_dir}, free: "
            f"{free / MIB:.1f} MiB ({100 - 100 * self.limits.spill_disk_share:.0f} % of the disk are left alone), needed: "
            f"{size / MIB:.1f} MiB; {stats.spilled_bytes / MIB:.1f} MiB are on it already. Drop refs that are not needed "
            "any more, or pass a folder on a larger disk to init(object_spilling_directory=...)."
        )

    def _holders(self) -> str:
        """Say which objects take most of the memory, who holds them, and where they were made."""
        seg = self.session.seg
        items = ffi.new("nbs_list_item[]", _LISTED)
        n = min(lib.nbs_list(seg, items, _LISTED), _LISTED)
        in_memory = [i for i in range(max(n, 0)) if items[i].size and not items[i].meta & lib.NBS_META_SPILLED]
        largest = sorted(in_memory, key=lambda i: -items[i].size)[:5]
        if not largest:
            return ""
        return " The largest objects: " + "; ".join(self._holder(items[i]) for i in largest) + "."

    def _holder(self, item: Any) -> str:
        seg = self.session.seg
        label = ffi.string(item.label).decode("utf-8", "replace")
        holders = []
        for index, peer in enumerate(item.holders):
            if peer:
                pid = int(lib.nbs_peer_pid(seg, peer))
                who = "this process" if pid == os.getpid() else f"pid {pid}" if pid > 0 else "a dead process"
                holders.append(who + (" (in use)" if index < item.n_pinned else ""))
        more = item.n_holders - len(holders)
        held = ", ".join(holders) + (f" and {more} more" if more > 0 else "")
        made = f" made at {label}" if label else ""
        return f"{item.size / MIB:.1f} MiB{made}, held by {held or 'other objects'}"


class Patience:
    """One wait for the store: naps that grow, until nothing has moved for too long."""

    def __init__(self, pressure: Pressure, size: int, for_task: bool) -> None:
        self._pressure = pressure
        self._for_task = for_task
        self._size = size
        self._naps = 0
        self._asked_at = 0.0
        self._moved_at = time.monotonic()
        self._blocked_since = 0.0
        self._figures: Any = None

    def nap(self, ask: Any, status: int) -> None:
        """Ask the daemon (every 0.1 s) and sleep a little; raises when it makes no sense any more.

        Parameters
        ----------
        ask : Message
        status : int
            What the store said; for the error.
        """
        pressure = self._pressure
        now = time.monotonic()
        if pressure.control is None or pressure.control.closed or not pressure.session.attached:
            pressure.refuse(status, self._size)
        if now - self._asked_at > _ASK_AGAIN_S:
            self._asked_at = now
            pressure.control.send(ask)
            self._look(now, status)
            if self._for_task and lib.nbs_cancel_wanted(pressure.session.seg) == 1:
                raise KeyboardInterrupt
        lib.nbs_wait(pressure.session.seg, 0, _NAP_NS[min(self._naps, len(_NAP_NS) - 1)])
        self._naps += 1

    def _look(self, now: float, status: int) -> None:
        """See whether anything has moved since the last look."""
        pressure, limits = self._pressure, self._pressure.limits
        stats = pressure.stats()
        blocked = stats.spill_blocked & lib.NBS_SPILL_STATE
        figures = (
            stats.used, stats.n_created_total, stats.n_spilled_total, stats.n_restored_total, stats.spill_blocked,
        )  # fmt: skip
        if figures != self._figures:
            self._figures, self._moved_at = figures, now
        if blocked == lib.NBS_SPILL_WORKS:
            self._blocked_since = 0.0
        elif not self._blocked_since:
            self._blocked_since = now
        elif now - self._blocked_since > limits.disk_wait_s:
            pressure.refuse_for_disk(self._size, blocked)
        if now - self._moved_at > (limits.argument_wait_s if self._for_task else limits.room_wait_s):
            pressure.refuse(status, self._size)


def room_wanted(size: int) -> m.RoomWantedNotice:
    """Return the message that asks for room."""
    return m.RoomWantedNotice(size=size)


def restore_wanted(obj: int) -> m.RestoreWantedNotice:
    """Return the message that asks for a value."""
    return m.RestoreWantedNotice(obj=obj)


def _name(status: int) -> str:
    return str(ffi.string(lib.nbs_status_name(status)).decode())
