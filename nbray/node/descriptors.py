"""The descriptors that a daemon watches: of processes, which become readable when they end, and of connections."""

from __future__ import annotations

import contextlib
import select
from collections.abc import Callable


class Descriptors:
    """Descriptors and what to call when they are readable; itself one descriptor for a poller."""

    def __init__(self) -> None:
        self._watched: dict[int, Callable[[], None]] = {}
        self._epoll = select.epoll()

    def fileno(self) -> int:
        """Return a descriptor that is readable when one of them is."""
        return self._epoll.fileno()

    def watch(self, descriptor: int, ready: Callable[[], None]) -> None:
        """Call ``ready``, a callable of its own, whenever ``descriptor`` is readable."""
        self._watched[descriptor] = ready
        self._epoll.register(descriptor, select.EPOLLIN)

    def unwatch(self, descriptor: int) -> None:
        """Stop that; nothing happens when it is not watched."""
        if self._watched.pop(descriptor, None) is not None:
            with contextlib.suppress(OSError):
                self._epoll.unregister(descriptor)

    def serve(self) -> None:
        """Call for those that are readable now.

        What one of them does may close another's descriptor and open a new one of the same number (a worker is dead, the
        next is forked). Who is watched there by then is not meant: he would be taken for dead.
        """
        for descriptor, ready in [(descriptor, self._watched.get(descriptor)) for descriptor, _ in self._epoll.poll(0)]:
            if ready is not None and self._watched.get(descriptor) is ready:
                ready()
