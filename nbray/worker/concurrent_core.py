"""The runtime of a worker whose actor runs calls beside each other."""

from __future__ import annotations

from collections.abc import Callable

from nbray.core.core_worker import CoreWorker
from nbray.worker.calls import Call, current_call, parent_key


class ConcurrentCore(CoreWorker):
    """The runtime of an actor whose calls run beside each other: what belongs to a task is per call.

    A CoreWorker becomes one (by its ``__class__``) when its worker becomes such an actor. So
    the others read plain attributes.
    """

    open_calls: Callable[[], list[Call]]
    _last_origin = ""  # until a call begins: threads of the constructor may submit before

    def calls_under_way(self) -> list[tuple[int, int, int]]:
        """Return owner, number and beginning of each call that runs here."""
        return [(call.owner, call.number, call.began) for call in self.open_calls() if call.began]

    @property
    def running_number(self) -> int:
        """The key of the call that this thread or coroutine runs; 0: none."""
        call = current_call.get()
        return parent_key(call.number, call.owner) if call is not None else 0

    @running_number.setter
    def running_number(self, number: int) -> None:
        return  # each call knows its own

    @property
    def running_slot(self) -> int:
        """The slot of the process that owns that call."""
        call = current_call.get()
        return call.owner & 0xFFFFFFFF if call is not None else 0

    @running_slot.setter
    def running_slot(self, slot: int) -> None:
        return

    @property
    def origin(self) -> str:
        """The origin of the call that this thread or coroutine runs; outside of calls, of the last one begun."""
        call = current_call.get()
        return call.origin if call is not None else self._last_origin

    @origin.setter
    def origin(self, origin: str) -> None:
        self._last_origin = origin
