"""What is due by time, and the thread that sees to it when nobody else does.

A part of CoreWorker; all methods but the public ones of ``get`` and ``wait`` are called with
its lock held.
"""

from __future__ import annotations

import os
import sys
import time

from nbray._cstore import lib
from nbray.core.core_state import CoreState
from nbray.core.records import StoreHold
from nbray.exceptions import (
    ClusterGoneError,
)
from nbray.serialization import error_value
from nbray.wire import messages as m

OWNED = lib.NBS_READY_OWNED
SEAL = lib.NBS_READY_SEAL
RING = lib.NBS_READY_RING
NEWS = lib.NBS_READY_NEWS
QUIET_NS = 1_000_000_000  # between two looks of a process that watches nothing
LAZY_NS = 1_000_000  # replies lie this long before the service thread takes them
MANY_CHANNELS = lib.NBS_MAX_CHANNELS // 4  # of the node; then idle ones are closed ...
MANY_IDLE_LINKS = 8  # ... by processes with so many of them
LOST_WORKER_GRACE_S = 10.0  # a dead worker's story is waited for this long


class Upkeep(CoreState):
    """What is due by time, and the thread that sees to it when nobody else does."""

    def needs_ticks(self) -> bool:
        """Tell whether some task stands behind another in a lane."""
        for lane in list(self.lanes.values()):  # a copy: this is looked at without the lock
            if len(lane.tasks) > 1:
                return True
        return False

    def nothing_is_due(self) -> bool:
        """Tell whether ``tick`` has nothing to watch; whatever comes anew wakes the process."""
        if self.lanes or self._callbacks or self.borrowed_waits or self.stalled or self.waited or self.control.unsent:
            return False
        if self._delayed or self._dead_workers or self._gone_handles or self._parents_cancelled:
            return False
        return not any(pool.wanted or pool.ask_again_at for pool in list(self.pools.values()))

    def tick(self) -> None:
        """Do what is due by time: relieve stuck lanes, give back idle ones, notice deaths."""
        now = time.monotonic()
        self.waited = None
        self.control.flush()
        self.control.poll()  # a message that came much later than its ring
        with self.lock:
            while self._parents_cancelled:
                self.cancel_children(*self._parents_cancelled.popleft())
            for _ in range(len(self._gone_handles)):
                self._let_go_of_actor(*self._gone_handles.popleft())
            for pool in self.pools.values():
                if pool.lanes or pool.wanted or pool.ask_again_at:
                    pool.tick(now)
            if self.stalled:
                stalled, self.stalled = self.stalled, {}
                for calls in stalled:
                    calls.flush()
            if self._delayed:
                self.run_delayed(now)
            if self._dead_workers:
                for peer, (since, _, _) in list(self._dead_workers.items()):
                    if now - since > LOST_WORKER_GRACE_S:
                        self._bury(peer, None)
            if self.borrowed_waits:
                for ref in list(self.borrowed_waits):
                    if self._settle_borrowed(ref):
                        self.borrowed_waits.pop(ref, None)
            if self.advice is not None and self.lanes:
                self.advice.look(now)
            if now - self._last_tick > 0.5:
                self._last_tick = now
                self._look_for_deaths(now)
            self.waiters.wake(general=False)  # for refs that failed in here
        if self.reports is not None:
            self.reports.tell(now)
        if self.on_tick is not None:
            self.on_tick()

    def _let_go_of_actor(self, actor_id: str, life_id: bytes, hold: StoreHold) -> None:
        """Give back a handle's hold; the actor ends when it was the last of all processes."""
        calls = self.actors.get(actor_id)
        if calls is not None and (calls.queue or calls.tasks or calls.late) and calls.state != "DEAD":
            self._gone_handles.append((actor_id, life_id, hold))
            return
        hold.release()
        if not lib.nbs_contains(self.seg, life_id):
            self.control.send(m.ActorHandlesGoneNotice(actor_id=actor_id))
            if calls is not None:
                calls.abandoned = True
        if calls is not None and calls.state == "DEAD":
            self.actors.pop(actor_id, None)

    def _look_for_deaths(self, now: float) -> None:
        if self._stop:
            return  # the daemon ends because this process does; threads that still wait are left as they are
        if not lib.nbs_alive(self.seg, self.daemon) and self._failure is None:
            why = "" if os.path.isdir(self.session_dir) else f" Its session folder {self.session_dir} was removed."
            self._fail_everything(
                ClusterGoneError(
                    f"The node daemon of this cluster died.{why} Call nbray.shutdown() and nbray.init() again."
                )
            )
            return
        for lane in list(self.lanes.values()):
            if not lib.nbs_alive(self.seg, lane.peer):
                self.worker_lost(lane.peer)
        self._close_idle_links(now)

    def _close_idle_links(self, now: float) -> None:
        """Give back channels to workers that are not leased: those that died meanwhile, of which nobody tells us.

        And where the node has few channels left, as when very many workers submit tasks to each other, all that lie idle.
        """
        idle = [
            link for link in self.links.values() if not (link.chan in self.lanes or link.chan in self.actor_channels)
        ]
        few_left = len(idle) >= MANY_IDLE_LINKS and self.store.stats().n_channels > MANY_CHANNELS
        for link in idle:
            if (few_left and now - link.idle_since > 1.0) or not lib.nbs_chan_peer(self.seg, link.chan):
                self._drain()  # what it has printed last
                del self.links[link.peer]
                link.close()

    def _fail_everything(self, error: BaseException) -> None:
        self._failure = error
        blob = error_value.from_system_error(error)
        records = list(self.waiting_args.values()) + [record for _, record in self._delayed]
        self._delayed.clear()
        for _, left, _ in self._dead_workers.values():
            records += left
        self._dead_workers.clear()
        for pool in self.pools.values():
            records += pool.queue
            pool.queue.clear()
        for lane in list(self.lanes.values()):
            records += lane.tasks.values()
            lane.tasks.clear()
        for calls in self.actors.values():
            records += calls.all_records()
        for record in records:
            self._finish_error(record, blob)
        self.waiting_args.clear()
        for ref in list(self.borrowed_waits):  # their owners cannot tell any more
            if not self._settle_borrowed(ref):
                ref._data = blob
                self._errors += 1
                if ref._waiters is not None:
                    self._wake(ref)
        self.borrowed_waits.clear()

    def _serve(self) -> None:
        """The service thread: acts when no other thread of the process does."""
        while not self._stop:
            with_ticks = bool(self.lanes)
            timeout = (5_000_000 if self.needs_ticks() else 100_000_000) if with_ticks else 200_000_000
            if not with_ticks and self.role == "worker" and self.nothing_is_due():
                timeout = QUIET_NS
            if self._delayed or self._dead_workers or self._gone_handles or self._parents_cancelled or self.stalled:
                timeout = 50_000_000
            if self.shield.pending:  # it could not be delivered yet
                timeout = 1_000_000
            try:
                interest = OWNED | RING | (SEAL if self.borrowed_waits else 0)
                woken = lib.nbs_serve_wait(self.seg, interest, LAZY_NS, timeout)
                if self._stop:
                    return
                if self.shield.pending:
                    self.shield.deliver()
                if woken > 0 and woken & NEWS:
                    self.on_ring()
                self.drain()
                self.tick()
                if self._callbacks:
                    self.run_callbacks()
            except BaseException:  # also SystemExit out of a user's callback: the thread is needed by all others
                if self._stop:
                    return
                sys.excepthook(*sys.exc_info())
