"""Waiting for the store: for room in it, and for values that lie on disk.

The daemon spills and restores; a process asks it by a message and looks again. Nobody waits
for ever: as long as objects come and go something is gained, and when nothing has moved for
a while the error tells who holds the memory.
"""

from __future__ import annotations

import gc
import os
import random
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
_VIEWS_LOOK_S = 0.5  # between looks at what this process itself keeps from going
_TOLD_S = 0.5  # a task that waits so long for its arguments tells the daemon for what
_QUIET_S, _QUIET_MAX_S = 0.25, 1.0  # without progress, before a task lets go of the arguments that it has


class CrowdedOut(Exception):
    """A task is to let go of the arguments that it has, rest, and begin anew: others may wait for that memory."""

    def __init__(self, patience: TaskPatience) -> None:
        self.patience = patience


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
        return TaskPatience(self, size) if for_task else Patience(self, size)

    def viewed(self) -> tuple[int, int]:
        """Return how many bytes of objects this process has views of, and how many others have, but not this one."""
        own, others = 0, 0
        peer = lib.nbs_self(self.session.seg)
        items, in_memory = self._listing()
        for item in map(items.__getitem__, in_memory):
            viewers = item.holders[0 : min(item.n_pinned, len(item.holders))]
            if peer in list(viewers):
                own += item.size
            elif item.n_pinned:
                others += item.size
        return own, others

    def viewed_here(self) -> dict[int, int]:
        """Return the objects of which this process has views, with their sizes."""
        peer = lib.nbs_self(self.session.seg)
        items, in_memory = self._listing()
        viewed = {}
        for item in map(items.__getitem__, in_memory):
            if peer in list(item.holders[0 : min(item.n_pinned, len(item.holders))]):
                viewed[int(item.obj)] = int(item.size)
        return viewed

    def refuse(self, status: int, size: int, own: int = 0) -> NoReturn:
        """Raise what it means that the store has not taken an object; ``own``: bytes needed together with it."""
        if status not in (*FULL, lib.NBS_ETOOBIG, lib.NBS_ELIMIT):
            raise RaySystemError(f"The object store refused the object: {_name(status)}.")
        stats = self.stats()
        if size > stats.capacity:
            advice = "It is larger than the store: init(object_store_memory=...) with more, or store it in parts."
        elif size + own > stats.capacity:
            advice = (
                f"The task needs it together with other arguments, {own / MIB:.1f} MiB so far: give it fewer at once, or "
                "init(object_store_memory=...) with more."
            )
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

    def _listing(self) -> tuple[Any, list[int]]:
        """Return a list of objects, and where in it those are that take memory; only the list keeps them."""
        items = ffi.new("nbs_list_item[]", _LISTED)
        n = min(lib.nbs_list(self.session.seg, items, _LISTED), _LISTED)
        return items, [i for i in range(max(n, 0)) if items[i].size and not items[i].meta & lib.NBS_META_SPILLED]

    def _holders(self) -> str:
        """Say which objects take most of the memory, who holds them, and where they were made."""
        items, in_memory = self._listing()
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

    def __init__(self, pressure: Pressure, size: int) -> None:
        self._pressure = pressure
        self._size = size
        self._naps = 0
        self._asked_at = 0.0
        self._moved_at = time.monotonic()
        self._blocked_since = 0.0
        self._figures: Any = None
        self._viewed: dict[int, int] = {}  # what this process has viewed ever since then, if that leaves no room
        self._viewed_at = self._looked_at = self._moved_at

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
        self._judge(now - self._moved_at, now, stats, status)

    def over(self) -> None:
        """The wait has an end."""

    def _judge(self, quiet_s: float, now: float, stats: Any, status: int) -> None:
        """Raise when nothing has moved for too long; or when others do, but this process has the memory and keeps it."""
        limit_s = self._pressure.limits.room_wait_s
        if now - self._looked_at > _VIEWS_LOOK_S:
            self._looked_at = now
            viewed = self._pressure.viewed_here()
            self._viewed = {obj: size for obj, size in self._viewed.items() if obj in viewed}
            if sum(self._viewed.values()) + self._size <= stats.capacity:
                self._viewed, self._viewed_at = viewed, now
        if max(quiet_s, self._looked_at - self._viewed_at) > limit_s:
            self._pressure.refuse(status, self._size)


class TaskPatience(Patience):
    """The wait of a task for its arguments; it lasts through all its attempts to have them together.

    What other tasks use comes free when they end. But they may wait as well, for the arguments that this one has already:
    so it lets go of them when nothing moves, and begins anew after a rest, each time a random one.
    """

    def __init__(self, pressure: Pressure, size: int) -> None:
        super().__init__(pressure, size)
        self._quiet_s = _QUIET_S
        self._stuck_since = 0.0
        self._created = 0
        self._began_at = self._others_moved_at = self._moved_at
        self._told = False
        self._draw()

    def goes_on(self, size: int) -> TaskPatience:
        """Wait for an object of ``size`` bytes from now on."""
        self._size, self._moved_at = size, time.monotonic()
        return self

    def _draw(self) -> None:
        self._limit_s = self._quiet_s * random.uniform(0.5, 1.5)

    def nap(self, ask: Any, status: int) -> None:
        """Nap as others do; a task may be cancelled meanwhile."""
        try:
            super().nap(ask, status)
            self._heed_cancel()
        except CrowdedOut:
            raise
        except BaseException:
            self.over()
            raise

    def over(self) -> None:
        """It has what it waited for, or has given up."""
        if self._told:
            self._told = False
            self._pressure.control.send(m.WaitingNotice(text=""))

    def _tell(self, capacity: int) -> None:
        """Have the daemon know what this task waits for."""
        self._told = True
        own, others = self._pressure.viewed()
        text = (
            f"room in the object store for an argument of {_mib(self._size)}: of the store's {_mib(capacity)} other "
            f"processes use {_mib(others)}"
        )
        if own:
            text += f", and this one {_mib(own)} for what it has already"
        self._pressure.control.send(m.WaitingNotice(text=text, begun=False))

    def _heed_cancel(self) -> None:
        if lib.nbs_cancel_wanted(self._pressure.session.seg) == 1:
            raise KeyboardInterrupt

    def _judge(self, quiet_s: float, now: float, stats: Any, status: int) -> None:
        """Make way when nothing has moved for a while; raise when nobody else can make room, or does for very long."""
        limits = self._pressure.limits
        if not self._told and now - self._began_at > _TOLD_S:
            self._tell(stats.capacity)
        if stats.n_created_total != self._created:
            self._created, self._others_moved_at = stats.n_created_total, now
        if quiet_s < self._limit_s:
            return
        own, others = self._pressure.viewed()
        if others and own + self._size <= stats.capacity:
            self._stuck_since = 0.0
        elif not self._stuck_since:
            self._stuck_since = now
        elif now - self._stuck_since > limits.room_wait_s:
            self._pressure.refuse(status, self._size, own)
        if now - self._others_moved_at > limits.argument_wait_s:
            self._pressure.refuse(status, self._size)
        raise CrowdedOut(self)

    def rest(self) -> None:
        """Leave the memory to others for a while."""
        gc.collect()
        until = time.monotonic() + self._limit_s
        try:
            while time.monotonic() < until:
                lib.nbs_wait(self._pressure.session.seg, 0, _NAP_NS[-1])
                self._heed_cancel()
        except BaseException:
            self.over()
            raise
        self._quiet_s = min(2 * self._quiet_s, _QUIET_MAX_S)
        self._draw()


def room_wanted(size: int) -> m.RoomWantedNotice:
    """Return the message that asks for room."""
    return m.RoomWantedNotice(size=size)


def restore_wanted(obj: int) -> m.RestoreWantedNotice:
    """Return the message that asks for a value."""
    return m.RestoreWantedNotice(obj=obj)


def _mib(size: int) -> str:
    return f"{size / MIB:.1f} MiB"


def _name(status: int) -> str:
    return str(ffi.string(lib.nbs_status_name(status)).decode())
