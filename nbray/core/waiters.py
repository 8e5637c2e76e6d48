"""The threads of this process that wait for values, and who of them sleeps where.

Sixteen threads that each call an actor and wait: at one doorbell all sixteen would wake with every
message, fifteen of them in vain. So of those that wait for one ref of this process only one, the
*leader*, sleeps at the doorbell; it takes in what comes for all. The others *follow*: each sleeps
at a gate of its own, which opens when its ref has its value, or when it is to lead. Who waits for
anything else (several refs, a borrowed one, a predicate), and the main thread, which must hear of
signals, sleeps at the doorbell too.

No wake-up is lost:

- At the doorbell. A thread reads the number of nudges, then looks whether it is done, then sleeps
  since that number (``nbs_wait_since``). Who makes a ref ready sets its value, then nudges. If the
  look missed the value, the nudge came after the number was read, and the sleep ends at once.
- At a gate. A gate is shut, and the ref looked at once more, under the core's lock; ``wake`` looks
  at refs and opens gates under the same lock, after the values are set. So either the look sees
  the value, or ``wake`` sees the gate.
- A leader that leaves (it is done, its time is over, an exception) or calls users' code names a
  follower, under the lock. A follower that leaves at that very moment finds itself named, under
  the lock, and names the next.
- Should all this fail, because an exception struck a leader on its way out: a gate is waited at
  for a slice only, and a follower that has seen no sign of its leader for SILENCE_NS leads.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from nbray._cstore import lib
from nbray.object_ref import ObjectRef

RING = lib.NBS_READY_RING
SILENCE_NS = 500_000_000  # without a sign of the leader; it gives one per slice of its sleep

_get_ident = threading.get_ident


class Waiter:
    """One wait of one thread.

    Parameters
    ----------
    ref : ObjectRef or None
        Of this process, when the wait is for its value and nothing else.
    """

    __slots__ = ("gate", "ident", "lends", "ref", "told")

    def __init__(self, ref: ObjectRef | None = None) -> None:
        self.ident = _get_ident()
        self.ref = ref
        self.gate: Any = None  # a lock that is held: the thread sleeps at it, or is about to
        self.told = False  # that its ref has a value
        self.lends = False  # the CPUs of its worker, to others


class Waiters:
    """All waits of the process.

    Parameters
    ----------
    seg : cdata
    lock : RLock
        The core's. All methods but ``sleep`` and ``lead`` are called with it held.
    """

    def __init__(self, seg: Any, lock: Any) -> None:
        self.seg = seg
        self.nudges = lib.nbs_nudges(seg)  # the word; readable as long as there is a wait, or the process serves
        self._lock = lock
        self._waits: dict[Waiter, None] = {}
        self._leader: Waiter | None = None
        self._led_at = 0  # when the leader gave its last sign
        self._main = threading.main_thread().ident

    def __len__(self) -> int:
        return len(self._waits)

    def add(self, waiter: Waiter) -> None:
        """A wait begins."""
        self._waits[waiter] = None

    def remove(self, waiter: Waiter) -> None:
        """A wait is over."""
        self._waits.pop(waiter, None)
        if self._leader is waiter:
            self._pass_on()

    def wake(self, general: bool = True) -> None:
        """Something has happened: wake the threads, but this one, that may be done.

        Parameters
        ----------
        general : bool
            Also those that wait for something else than one ref.
        """
        here = _get_ident()
        nudge = False
        for waiter in self._waits:
            if waiter.ident == here or waiter.told:
                continue
            if waiter.ref is not None:
                if waiter.ref._data is None:
                    continue
                waiter.told = True
            elif not general:
                continue
            if waiter.gate is not None:
                self._open(waiter)
            else:
                nudge = True
        if nudge:
            lib.nbs_nudge(self.seg)

    def wake_all(self) -> None:
        """Wake every thread that waits, for whatever."""
        for waiter in self._waits:
            if waiter.gate is not None:
                self._open(waiter)
        lib.nbs_nudge(self.seg)

    def lead(self, waiter: Waiter) -> bool:
        """Tell whether the thread is to sleep at the doorbell now. If not, it is to ``sleep`` at its gate."""
        if self._leader is not waiter:
            if waiter.ref is None:
                return True
            with self._lock:
                leader = self._leader
                # A leader in this very thread waits further down on its stack.
                if leader is not None and leader is not waiter and leader.ident != waiter.ident:
                    if waiter.ident == self._main or waiter.ref._data is not None:
                        return True
                    waiter.gate = threading.Lock()
                    waiter.gate.acquire()
                    return False
                self._leader = waiter
        self._led_at = time.monotonic_ns()
        return True

    def sleep(self, waiter: Waiter, slice_ns: int) -> int:
        """Sleep until the gate opens, which ``lead`` has shut: RING then, 0 after ``slice_ns``."""
        gate = waiter.gate
        # Opened already, it is not there any more.
        opened = gate is None or gate.acquire(timeout=slice_ns / 1e9)
        if opened:
            return RING
        with self._lock:
            waiter.gate = None
            if time.monotonic_ns() - self._led_at > SILENCE_NS:
                self._leader = waiter
        return 0

    def step_down(self) -> None:
        """This thread is about to call users' code: if it leads, somebody else is to."""
        leader = self._leader  # another thread may pass it on meanwhile
        if leader is not None and leader.ident == _get_ident():
            with self._lock:
                self._pass_on()

    def _pass_on(self) -> None:
        self._leader = None
        for waiter in self._waits:
            if waiter.gate is not None:
                self._leader = waiter
                self._led_at = time.monotonic_ns()
                self._open(waiter)
                return

    @staticmethod
    def _open(waiter: Waiter) -> None:
        gate, waiter.gate = waiter.gate, None
        gate.release()
