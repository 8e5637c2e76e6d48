"""Values of many tasks as they become ready: ``as_completed`` and ``map_unordered``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from nbray.api.objects import get, wait

DEFAULT_CHUNK_SIZE = 10
DEFAULT_BACKPRESSURE_SIZE = 100


def as_completed(
    refs: Sequence[Any], *, chunk_size: int = DEFAULT_CHUNK_SIZE, yield_obj_refs: bool = False, **kwargs: Any
) -> Iterator[Any]:
    """Yield the values of refs as they become ready.

    Parameters
    ----------
    refs : sequence of ObjectRef
    chunk_size : int
        As many are waited for at a time; within a chunk they come in the order of ``refs``.
    yield_obj_refs : bool
        Yield the refs and not their values.
    **kwargs
        Of ``wait``: ``timeout``, ``fetch_local``.

    Raises
    ------
    ValueError
        When ``chunk_size`` is below 1, or ``num_returns`` is given.
    """
    _check(chunk_size, kwargs)
    rest = list(refs)
    while rest:
        ready, rest = _chunk(rest, chunk_size, yield_obj_refs, kwargs)
        yield from ready


def map_unordered(
    fn: Any,
    items: Iterable[Any],
    *,
    backpressure_size: int | None = DEFAULT_BACKPRESSURE_SIZE,
    chunk_size: int = DEFAULT_CHUNK_SIZE,
    yield_obj_refs: bool = False,
    **kwargs: Any,
) -> Iterator[Any]:
    """Yield ``fn`` of each item as the values become ready.

    Parameters
    ----------
    fn : remote function
        Or anything with ``.remote(item)``.
    items : iterable
        Taken only as far as there is room.
    backpressure_size : int or None
        Tasks in flight, at most; None: any number.
    chunk_size, yield_obj_refs, **kwargs
        As of ``as_completed``.

    Raises
    ------
    ValueError
        When a size is below 1, or ``num_returns`` is given.
    """
    if backpressure_size is not None and backpressure_size <= 0:
        raise ValueError("backpressure_size must be positive.")
    _check(chunk_size, kwargs)
    refs: list[Any] = []
    for item in items:
        refs.append(fn.remote(item))
        if backpressure_size is not None and len(refs) >= backpressure_size:
            ready, refs = _chunk(refs, chunk_size, yield_obj_refs, kwargs)
            yield from ready
    yield from as_completed(refs, chunk_size=chunk_size, yield_obj_refs=yield_obj_refs, **kwargs)


def _check(chunk_size: int, kwargs: dict[str, Any]) -> None:
    if chunk_size < 1:
        raise ValueError("`chunk_size` must be >= 1")
    if "num_returns" in kwargs:
        raise ValueError("Use the `chunk_size` argument instead of `num_returns`.")


def _chunk(refs: list[Any], size: int, as_refs: bool, kwargs: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    ready, rest = wait(refs, num_returns=min(size, len(refs)), **kwargs)
    return (ready if as_refs else get(ready)), rest
