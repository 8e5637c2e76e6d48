"""Filters of logging: those of the notebook are in force in a cell, and what the cell adds or removes comes back.

Of loggers, and of their handlers that print; what is filtered by the others is filtered in the notebook, where they are. A list of
filters stays the list that it is, on both sides.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from .logging_state import NOT_THE_USERS, standard_stream
from .module_values import is_of_notebook

NAME = "_nbray_log_filters"  # private: under which they go to the worker
Place = tuple[str, int]  # logger ("" is the root), and the number of its handler among those that print; -1: its own
Filters = dict[Place, list[Any]]


def read() -> Filters:
    """Return the lists of filters that the user has made."""
    return {place: owner.filters for place, owner in _owners() if any(map(_is_the_users, owner.filters))}


def put(filters: Filters) -> None:
    """Put what a cell has made into the lists that are here."""
    owners = dict(_owners()) if filters else {}
    for place, wanted in filters.items():
        if place in owners:
            owners[place].filters[:] = wanted


def _owners() -> Iterator[tuple[Place, Any]]:
    for name, logger in {"": logging.root, **logging.root.manager.loggerDict}.items():
        if name in NOT_THE_USERS or not isinstance(logger, logging.Logger):
            continue
        yield (name, -1), logger
        printing = (each for each in logger.handlers if standard_stream(each, logging)) if logger.handlers else ()
        for number, handler in enumerate(printing):
            yield (name, number), handler


def _is_the_users(filtering: Any) -> bool:
    return type(filtering) is logging.Filter or is_of_notebook(filtering)


class InForce:
    """In a worker: the filters of the notebook while its cell runs."""

    def __init__(self, given: Filters) -> None:
        self._given = given
        for place, owner in _owners() if given else ():
            if place in given:
                owner.filters = given[place]

    def end(self) -> Filters:
        """Give the worker its own, none, again; returns what the cell has made anew. What it did to the others is noticed as with any input."""
        made: Filters = {}
        for place, owner in _owners():
            if owner.filters is self._given.get(place) or any(map(_is_the_users, owner.filters)):
                if owner.filters is not self._given.get(place):
                    made[place] = owner.filters
                owner.filters = []
        return made
