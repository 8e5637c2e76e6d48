"""``ActorPool``: hands work to whichever of a set of actors is free."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from nbray.api.actor_class import ActorClass
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
        self._idle_actors = list(actors)
        for actor in self._idle_actors:
            if isinstance(actor, ActorClass):
                raise TypeError(
                    f"An ActorPool has actors, as {actor.__name__}.remote() makes them, and not their class."
                )
        self._future_to_actor: dict[
            Any, tuple[int, Any]
        ] = {}  # what was submitted -> its place in the order, its actor
        self._index_to_future: dict[int, Any] = {}  # place in the order -> what was submitted
        self._pending_submits: deque[tuple[Callable[..., Any], Any]] = deque()  # waits for a free actor
        self._next_task_index = 0
        self._next_return_index = 0

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
        if not self._idle_actors:
            self._pending_submits.append((fn, value))
            return
        actor = self._idle_actors.pop()
        try:
            refs = fn(actor, value)
        except BaseException:
            self._idle_actors.append(actor)
            raise
        self._future_to_actor[_key(refs)] = (self._next_task_index, actor)
        self._index_to_future[self._next_task_index] = refs
        self._next_task_index += 1

    def has_next(self) -> bool:
        """Tell whether results are to come."""
        return bool(self._future_to_actor)

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
        if self._next_return_index >= self._next_task_index:
            raise ValueError("It is not allowed to call get_next() after get_next_unordered().")
        refs = self._index_to_future[self._next_return_index]
        late = timeout is not None and not self._ready(refs, timeout)
        if late and not ignore_if_timedout:
            raise TimeoutError("Timed out waiting for result")
        place, actor = self._future_to_actor.pop(_key(refs))
        del self._index_to_future[place]
        self._next_return_index += 1
        return self._finish(refs, actor, late)

    def get_next_unordered(self, timeout: float | None = None, ignore_if_timedout: bool = False) -> Any:
        """Return whichever result is there first; the rest as ``get_next``."""
        if not self.has_next():
            raise StopIteration("No more results to get")
        firsts = {(key[0] if isinstance(key, tuple) else key): key for key in self._future_to_actor}
        ready, _ = wait(list(firsts), num_returns=1, timeout=timeout)
        if not ready and not ignore_if_timedout:
            raise TimeoutError("Timed out waiting for result")
        key = firsts[ready[0]] if ready else next(iter(self._future_to_actor))
        place, actor = self._future_to_actor.pop(key)
        refs = self._index_to_future.pop(place)
        self._next_return_index = max(self._next_return_index, place + 1)
        return self._finish(refs, actor, not ready)

    @staticmethod
    def _ready(refs: Any, timeout: float) -> bool:
        listed = refs if isinstance(refs, list) else [refs]
        return len(wait(listed, num_returns=len(listed), timeout=timeout)[0]) == len(listed)

    def _finish(self, refs: Any, actor: Any, late: bool) -> Any:
        """Fetch a result and give its actor the next value."""
        if late:
            self._return_actor(actor)
            raise TimeoutError(f"Timed out waiting for result. The task {refs} has been ignored.")
        alive = True
        try:
            return get(refs)
        except ActorDiedError:
            alive = False
            raise
        finally:
            self._return_actor(actor, alive)

    def _return_actor(self, actor: Any, is_alive: bool = True) -> None:
        if is_alive:  # a dead one would be chosen again and again
            self._idle_actors.append(actor)
        if self._pending_submits and self._idle_actors:
            self.submit(*self._pending_submits.popleft())

    def has_free(self) -> bool:
        """Tell whether an actor is idle and nothing waits for one."""
        return bool(self._idle_actors) and not self._pending_submits

    def pop_idle(self) -> Any:
        """Take an idle actor out of the pool; None when there is none."""
        return self._idle_actors.pop() if self.has_free() else None

    def push(self, actor: Any) -> None:
        """Add an idle actor.

        Raises
        ------
        ValueError
            When the pool has it already.
        """
        if actor in self._idle_actors or any(actor == busy for _, busy in self._future_to_actor.values()):
            raise ValueError("Actor already belongs to current ActorPool")
        self._return_actor(actor)


def _key(refs: Any) -> Any:
    return tuple(refs) if isinstance(refs, list) else refs
