"""``ActorPool``: hands work to whichever of a set of actors is free."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from nbray.api.objects import get, wait
from nbray.exceptions import ActorDiedError


class ActorPool:
    """Distribute work over actors, one piece per actor at a time.

    Parameters
    ----------
    actors : list of ActorHandle
        Idle at first.
    """

    def __init__(self, actors: Iterable[Any]) -> None:
        self._idle = list(actors)
        self._running: dict[Any, tuple[int, Any]] = {}  # what was submitted -> its place in the order, its actor
        self._submitted: dict[int, Any] = {}  # place in the order -> what was submitted
        self._queued: deque[tuple[Callable[..., Any], Any]] = deque()  # waits for a free actor
        self._next_place = 0
        self._next_result = 0

    def map(self, fn: Callable[[Any, Any], Any], values: Iterable[Any]) -> Iterator[Any]:
        """Call ``fn(actor, value)`` for all values; yield the results in order.

        Parameters
        ----------
        fn : callable
            Returns the ref of the result; its actor counts as busy until that is there.
        values : iterable
            All are taken at once. Results that nobody has fetched before are dropped.

        Returns
        -------
        iterator
        """
        self._drop_results(self.get_next)
        for value in values:
            self.submit(fn, value)
        return self._results(self.get_next)

    def map_unordered(self, fn: Callable[[Any, Any], Any], values: Iterable[Any]) -> Iterator[Any]:
        """As ``map``, but yield each result as soon as it is there."""
        self._drop_results(self.get_next_unordered)
        for value in values:
            self.submit(fn, value)
        return self._results(self.get_next_unordered)

    def _drop_results(self, fetch: Callable[..., Any]) -> None:
        while self.has_next():
            try:
                fetch(timeout=0, ignore_if_timedout=True)
            except TimeoutError:
                pass

    def _results(self, fetch: Callable[[], Any]) -> Iterator[Any]:
        while self.has_next():
            yield fetch()

    def submit(self, fn: Callable[[Any, Any], Any], value: Any) -> None:
        """Give one value to a free actor, or queue it until there is one."""
        if not self._idle:
            self._queued.append((fn, value))
            return
        actor = self._idle.pop()
        try:
            refs = fn(actor, value)
        except BaseException:
            self._idle.append(actor)
            raise
        self._running[_key(refs)] = (self._next_place, actor)
        self._submitted[self._next_place] = refs
        self._next_place += 1

    def has_next(self) -> bool:
        """Tell whether results are to come."""
        return bool(self._running)

    def get_next(self, timeout: float | None = None, ignore_if_timedout: bool = False) -> Any:
        """Return the next result in the order of submission.

        Parameters
        ----------
        timeout : float, optional
            Seconds to wait at most.
        ignore_if_timedout : bool
            Forget a result that did not come in time, instead of keeping its turn.

        Raises
        ------
        StopIteration
            When no result is to come.
        TimeoutError
            When it was not there in time.
        ValueError
            When that result was fetched by ``get_next_unordered``.
        """
        if not self.has_next():
            raise StopIteration("No more results to get")
        if self._next_result >= self._next_place:
            raise ValueError("It is not allowed to call get_next() after get_next_unordered().")
        refs = self._submitted[self._next_result]
        late = timeout is not None and not self._ready(refs, timeout)
        if late and not ignore_if_timedout:
            raise TimeoutError("Timed out waiting for result")
        place, actor = self._running.pop(_key(refs))
        del self._submitted[place]
        self._next_result += 1
        return self._finish(refs, actor, late)

    def get_next_unordered(self, timeout: float | None = None, ignore_if_timedout: bool = False) -> Any:
        """Return whichever result is there first; the rest as ``get_next``."""
        if not self.has_next():
            raise StopIteration("No more results to get")
        firsts = {(key[0] if isinstance(key, tuple) else key): key for key in self._running}
        ready, _ = wait(list(firsts), num_returns=1, timeout=timeout)
        if not ready and not ignore_if_timedout:
            raise TimeoutError("Timed out waiting for result")
        key = firsts[ready[0]] if ready else next(iter(self._running))
        place, actor = self._running.pop(key)
        refs = self._submitted.pop(place)
        self._next_result = max(self._next_result, place + 1)
        return self._finish(refs, actor, not ready)

    @staticmethod
    def _ready(refs: Any, timeout: float) -> bool:
        listed = refs if isinstance(refs, list) else [refs]
        return len(wait(listed, num_returns=len(listed), timeout=timeout)[0]) == len(listed)

    def _finish(self, refs: Any, actor: Any, late: bool) -> Any:
        """Fetch a result and give its actor the next value."""
        if late:
            self._free(actor)
            raise TimeoutError(f"Timed out waiting for result. The task {refs} has been ignored.")
        alive = True
        try:
            return get(refs)
        except ActorDiedError:
            alive = False
            raise
        finally:
            self._free(actor, alive)

    def _free(self, actor: Any, alive: bool = True) -> None:
        if alive:  # a dead one would be chosen again and again
            self._idle.append(actor)
        if self._queued and self._idle:
            self.submit(*self._queued.popleft())

    def has_free(self) -> bool:
        """Tell whether an actor is idle and nothing waits for one."""
        return bool(self._idle) and not self._queued

    def pop_idle(self) -> Any:
        """Take an idle actor out of the pool; None when there is none."""
        return self._idle.pop() if self.has_free() else None

    def push(self, actor: Any) -> None:
        """Add an idle actor.

        Raises
        ------
        ValueError
            When the pool has it already.
        """
        if actor in self._idle or any(actor == busy for _, busy in self._running.values()):
            raise ValueError("Actor already belongs to current ActorPool")
        self._free(actor)


def _key(refs: Any) -> Any:
    return tuple(refs) if isinstance(refs, list) else refs
