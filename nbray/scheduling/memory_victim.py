"""Whom to end when a node runs out of memory. Pure.

The youngest task that may be run again, as it has the least to lose; but only among those
whose workers hold a good part of the memory, since ending others gains nothing. When no such
task is there: the youngest that may not, then an actor.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

SHARE_OF_LARGEST = 0.25  # of the memory of the largest worker, to be looked at


class Candidate(NamedTuple):
    """A worker that runs something."""

    peer: int
    pid: int
    name: str  # of the task or actor class
    bytes: int  # of memory that ends with it
    started: float  # any clock, the same for all
    retriable: bool = False
    is_actor: bool = False


def choose(candidates: Iterable[Candidate]) -> Candidate | None:
    """Return the worker to end; None when there is none that it would help to end."""
    everybody = list(candidates)
    largest = max((candidate.bytes for candidate in everybody), default=0)
    if not largest:
        return None
    worth_it = [candidate for candidate in everybody if candidate.bytes >= SHARE_OF_LARGEST * largest]
    return max(worth_it, key=lambda c: (not c.is_actor, c.retriable, c.started, c.bytes))
