"""Moves objects between the store and the disk, in a thread of the daemon.

It starts with the first need. An object that is held but viewed by nobody is written to a
spill file and its memory given back; it comes back when somebody asks. The copy on disk
stays as long as the object, so that it is written once however often it comes and goes.

All tables here belong to the thread; others only leave wishes under ``_lock``.
"""

from __future__ import annotations

import errno
import sys
import threading
import time
from collections.abc import Callable

from nbray._cstore import lib
from nbray.config import Limits
from nbray.node.segment import Segment
from nbray.node.spill_files import DamagedError, DiskFullError, Place, SpillFiles

_TRY_AGAIN = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR, errno.EAGAIN)
_ROUNDS = 4  # of choosing victims anew, when somebody was quicker
_LOOK_S = 0.5  # between looks for objects on disk that nobody wants any more
_WANTED_S = 1.0  # who asked for an object has looked at it by then; before, it goes only where room is needed
_DISK_PAUSE_S = 0.2  # after the disk was found full
# Which part of what the disk is to keep free is left alone: for what is new, to bring something back, to exchange.
_LEAVE, _LEAVE_SOME, _LEAVE_NOTHING = 1.0, 0.2, 0.0


class _Copy:
    """An object that is on disk; with ``bytes`` set it is aside in this process instead, and ``place`` is void."""

    __slots__ = ("bytes", "children", "held", "object_id", "place")

    def __init__(self, object_id: bytes, place: Place, children: list[int]) -> None:
        self.object_id = object_id
        self.place = place
        self.bytes: bytearray | None = None
        self.children = children
        self.held = False  # whether we hold the children: while the object is not in memory


class Spiller:
    """The one that spills.

    Parameters
    ----------
    segment : Segment
    limits : Limits
    folders : tuple of str
        Where spill files go, and links to them.
    released : callable
        Called in the thread after children of spilled containers were let go.
    """

    def __init__(
        self, segment: Segment, limits: Limits, folders: tuple[str, str], released: Callable[[], None]
    ) -> None:
        self.files = SpillFiles(*folders, int(limits.spill_file_bytes), limits.spill_disk_share, self._moved)
        self._state = lib.NBS_SPILL_WORKS
        self._parts = 0  # of objects that were written or read: whoever waits for room sees that it goes on
        self._segment = segment
        self._high = limits.spill_from_share
        self._low = min(limits.spill_to_share, self._high)
        self._smallest = int(limits.spill_object_bytes)
        self._released = released
        self._copies: dict[int, _Copy] = {}  # handle -> copy
        self._brought: dict[int, float] = {}  # handle -> when it was brought back, if in the last second; in order
        self._lock = threading.Lock()
        self._rooms: list[int] = []
        self._restores: dict[int, None] = {}
        self._wanted = threading.Event()
        self._ended = False
        self._thread: threading.Thread | None = None
        self._disk_full_at = 0.0
        self._aside: _Copy | None = None  # the one object whose bytes are here, see _exchange

    # --------------------------------------------------------------- wishes of others

    def make_room(self, size: int) -> None:
        """Somebody has no room for an object of ``size`` bytes."""
        with self._lock:
            if len(self._rooms) < 10_000:
                self._rooms.append(size)
        self._poke()

    def restore(self, obj: int) -> None:
        """Somebody wants to see an object that is on disk."""
        with self._lock:
            self._restores[obj] = None
        self._poke()

    def look(self) -> None:
        """Spill when the store is too full."""
        stats = self._segment.figures()
        if stats.used > self._high * stats.capacity:
            self._poke()

    def _poke(self) -> None:
        self._wanted.set()
        if self._thread is None and not self._ended:
            self._thread = threading.Thread(target=self._run, name="nbray-spiller", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End the thread, and remove all files."""
        self._ended = True
        self._wanted.set()
        if self._thread is not None:
            self._thread.join(5.0)
        self.files.close()

    # -------------------------------------------------------------------- the thread

    def _run(self) -> None:
        while not self._ended:
            self._wanted.wait(_LOOK_S if self._copies else None)
            self._wanted.clear()
            try:
                self._round()
            except Exception:  # a bug must not end spilling
                sys.excepthook(*sys.exc_info())
                time.sleep(_DISK_PAUSE_S)

    def _round(self) -> None:
        self._forget_the_dead()
        with self._lock:
            rooms, self._rooms = self._rooms, []
            restores, self._restores = self._restores, {}
        for obj in restores:
            if self._ended:
                return
            self._bring_back(obj)
        for size in sorted(set(rooms)):
            if self._ended:
                return
            self._clear(size)
        self._relieve()

    def _relieve(self) -> None:
        """Spill what nobody has looked at for longest, until the store is well below its limit."""
        stats = self._segment.figures()
        if stats.used <= self._high * stats.capacity:
            return
        excess = int(stats.used - self._low * stats.capacity)
        excess -= self._segment.evict(excess)  # what nobody holds any more
        if excess <= 0:
            return
        since = time.monotonic() - _WANTED_S
        for obj in self._segment.spill_victims(0, excess, self._smallest) or ():
            if self._brought.get(obj, since) > since:
                continue
            if self._ended or self._waiting() or not self._spill(obj):
                return

    def _waiting(self) -> bool:
        """Somebody waits for something definite, which comes first."""
        if self._restores or self._rooms:
            self._wanted.set()
            return True
        return False

    def _clear(self, size: int, leave: float = _LEAVE) -> bool:
        """Make room for an object of ``size`` bytes in one piece; False when that is not possible now.

        With a smaller ``leave`` what the disk keeps back is used, too: with memory and disk both full
        nothing could be brought back any more, as for that something has to be spilled first.
        """
        if self._disk_full_at:  # what has a copy on disk costs nothing
            for obj in list(self._copies):
                if self._segment.spill_victims(size) == []:
                    return True
                self._spill(obj)
        # Those that nobody has looked at for longest; what was made together lies together.
        # Only when that leaves no hole that is large enough, wherever it costs least.
        for obj in self._segment.spill_victims(0, 2 * size, self._smallest) or ():
            if self._segment.spill_victims(size) == []:
                return True
            if self._ended or not self._spill(obj, leave):
                return False
        for _ in range(_ROUNDS):
            victims = self._segment.spill_victims(size)
            if victims is None:
                return False
            if not victims:
                return True
            for obj in victims:
                if self._ended or not self._spill(obj, leave):
                    return False
        return False

    def _spill(self, obj: int, leave: float = _LEAVE) -> bool:
        """Give back an object's memory; False when the disk refuses."""
        segment = self._segment
        if not segment.hold_again(obj):
            return True  # gone meanwhile
        try:
            copy = self._copies.get(obj)
            if copy is None:
                if leave == _LEAVE and time.monotonic() - self._disk_full_at < _DISK_PAUSE_S:
                    return False
                copy = self._write(obj, leave)
                if copy is None:
                    return True
                self._copies[obj] = copy
            if not copy.held:
                copy.held = True
                copy.children = [child for child in copy.children if segment.hold_again(child)]
            if segment.spill_out(obj) == lib.NBS_EAGAIN:  # somebody looks at it now
                self._let_children_go(copy)
        except DiskFullError:
            self._disk_refused(lib.NBS_SPILL_NO_DISK, "")
            return False
        except OSError as error:
            self._disk_refused(lib.NBS_SPILL_FAILS, str(error))
            return False
        finally:
            segment.release(obj)
        return True

    def _write(self, obj: int, leave: float) -> _Copy | None:
        self._forget_the_dead()
        segment = self._segment
        with segment.view(obj) as view:
            if view is None:
                return None
            object_id = segment.id_of(obj)
            children = segment.children(obj)
            place = self.files.write(object_id, view, leave)
        if self._disk_full_at and leave == _LEAVE:
            self._disk_full_at = 0.0
            self._note(lib.NBS_SPILL_WORKS)
        return _Copy(object_id, place, children)

    def _disk_refused(self, state: int, why: str) -> None:
        if not self._disk_full_at or why:
            print(f"cannot spill to {self.files.folder}: {why or 'the disk is full'}", file=sys.stderr, flush=True)
        self._disk_full_at = time.monotonic()
        self._note(state)

    def _note(self, state: int) -> None:
        self._state = state
        self._segment.spill_note(state | self._parts << 8)

    def _moved(self) -> None:
        """A part of an object has been written or read."""
        self._parts = (self._parts + 1) & 0xFFFFFF
        self._note(self._state)

    def _bring_back(self, obj: int) -> None:
        segment = self._segment
        copy = self._copies.get(obj)
        if copy is None or not segment.hold_again(obj):
            return  # it is in memory, or gone
        try:
            for attempt in range(2):
                status, target = segment.restore_begin(obj, copy.children)
                if status in (lib.NBS_EFULL, lib.NBS_ENOMEM) and not attempt:
                    room = copy.place.size + (8 * len(copy.children) + 64 if copy.children else 0)
                    if not self._clear(room, _LEAVE_SOME) and not self._exchange(obj, copy, room):
                        return  # whoever wants it asks again
                    continue
                break
            if status == lib.NBS_OK:
                outcome = self._fill(copy, target)
                target.release()
                self._note_brought(obj)
                self._end_restore(obj, copy, outcome)
        finally:
            segment.release(obj)

    def _note_brought(self, obj: int) -> None:
        now = time.monotonic()
        self._brought.pop(obj, None)
        self._brought[obj] = now
        while self._brought[oldest := next(iter(self._brought))] <= now - _WANTED_S:
            del self._brought[oldest]

    def _exchange(self, obj: int, copy: _Copy, room: int) -> bool:
        """Memory and disk are full: let an object on disk change places with what lies in memory.

        Its bytes wait in this process while others are written where they were. They stay here if that fails and the
        disk does not take them back; one object at most does.

        Returns
        -------
        bool
            Whether there is room for it in memory now.
        """
        victims = self._segment.spill_victims(room)
        if not victims:
            return victims is not None
        if self._aside is not None and self._aside is not copy and not self._put_back(self._aside):
            return False
        if copy.bytes is None:
            try:
                data = bytearray(copy.place.size)
            except MemoryError:
                return False
            outcome = self._fill(copy, memoryview(data))
            if outcome != 1:
                if outcome < 0:
                    self._end_restore(obj, copy, outcome)
                return False
            self.files.drop(copy.place)
            copy.bytes, self._aside = data, copy
        if all(self._spill(victim, _LEAVE_NOTHING) for victim in victims):
            return True
        self._put_back(copy)
        return False

    def _put_back(self, copy: _Copy) -> bool:
        """Write what is aside to the disk again."""
        assert copy.bytes is not None
        try:
            copy.place = self.files.write(copy.object_id, memoryview(copy.bytes), _LEAVE_NOTHING)
        except OSError:  # the disk is full, or worse
            return False
        copy.bytes = self._aside = None
        return True

    def _fill(self, copy: _Copy, target: memoryview) -> int:
        """Read an object into ``target``; 1 = it is there, 0 = not now, -1 = it is lost."""
        try:
            if copy.bytes is not None:
                target[:] = copy.bytes
            else:
                self.files.read(copy.object_id, copy.place, target)
            return 1
        except DamagedError as error:
            print(f"object {copy.object_id.hex()} is lost: {error}", file=sys.stderr, flush=True)
            return -1
        except OSError as error:
            print(f"object {copy.object_id.hex()} cannot be read: {error}", file=sys.stderr, flush=True)
            return 0 if error.errno in _TRY_AGAIN else -1

    def _end_restore(self, obj: int, copy: _Copy, outcome: int) -> None:
        self._segment.restore_end(obj, outcome)
        if outcome:
            self._let_children_go(copy)
        if outcome < 0 or (outcome and copy.bytes is not None):
            self._copies.pop(obj)
            self._drop(copy)

    def _drop(self, copy: _Copy) -> None:
        """Forget the bytes of an object."""
        if copy.bytes is None:
            self.files.drop(copy.place)
        else:
            copy.bytes = self._aside = None

    def _let_children_go(self, copy: _Copy) -> None:
        if copy.held:
            copy.held = False
            for child in copy.children:
                self._segment.release(child)

    def _forget_the_dead(self) -> None:
        """Drop the copies of objects that nobody holds any more."""
        handles = list(self._copies)
        some = False
        for obj in self._segment.dead_among(handles):
            copy = self._copies.pop(obj)
            some = some or (copy.held and bool(copy.children))
            self._let_children_go(copy)
            self._drop(copy)
        if some:
            self._released()
