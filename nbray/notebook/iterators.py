"""Iterators of Python's that cannot be set to a place: one here goes on until it is where the cell has left it."""

from __future__ import annotations

import collections
import itertools
import operator
from typing import Any

MAX_STEPS = 10_000_000
_DICTS: tuple[Any, ...] = ({}, collections.OrderedDict())
_OF_VIEWS: tuple[type, ...] = tuple({
    type(each(view))
    for made in _DICTS
    for view in (made.keys(), made.values(), made.items())
    for each in (iter, reversed)
})  # fmt: skip
_KINDS: tuple[type, ...] = (itertools.count, itertools.repeat, enumerate, type(iter(set())), *_OF_VIEWS)


def go_on(old: Any, new: Any) -> bool:
    """Bring an iterator to where another is, which began as it did; False: it is none of these, or cannot get there."""
    if not isinstance(old, _KINDS):
        return False
    try:
        if isinstance(old, itertools.count):
            was, now = _arguments(old), _arguments(new)
            steps = (now[0] - was[0]) / (was[1] if len(was) > 1 else 1)
        elif isinstance(old, enumerate):
            return type(new) is enumerate and _go_on_with_inner(old, new)
        else:  # those over dicts and sets come back as iterators over a list
            steps = operator.length_hint(old) - operator.length_hint(new)
    except (TypeError, ZeroDivisionError, ValueError):
        return False
    if steps != int(steps) or not 0 <= steps <= MAX_STEPS:
        return False
    return _advance(old, int(steps))


def _go_on_with_inner(old: enumerate[Any], new: enumerate[Any]) -> bool:
    """Bring one to where another is; what it takes its items from has its place of its own, and keeps it."""
    (inner, first), (_, last) = _arguments(old), _arguments(new)
    place = inner.__reduce__()[2:]
    if not place or not hasattr(inner, "__setstate__") or not 0 <= last - first <= MAX_STEPS:
        return False
    done = _advance(old, last - first)
    inner.__setstate__(place[0])
    return done


def _arguments(iterator: Any) -> Any:
    """Return what an iterator like this one is made of."""
    return iterator.__reduce__()[1]


def _advance(iterator: Any, steps: int) -> bool:
    try:
        collections.deque(itertools.islice(iterator, steps), maxlen=0)
    except RuntimeError:  # its dict has changed: so it would have there
        return False
    return True
