"""Filters of logging: those of the notebook are in force in a cell, and what the cell adds or removes comes back.

Of loggers; those of handlers go with these (``logging_relays``). A list of filters stays the list that it is, on both sides.
"""

from __future__ import annotations

import logging
from typing import Any

from .logging_state import loggers
from .module_values import is_of_notebook

NAME = "_nbray_log_filters"  # private: under which they go to the worker
Filters = dict[str, list[Any]]  # by name of logger, "" for the root


def read() -> Filters:
    """Return the lists of filters that the user has made."""
    return {
        name: logger.filters for name, logger in loggers() if logger.filters and any(map(_is_the_users, logger.filters))
    }


def put(filters: Filters) -> None:
    """Put what a cell has made into the lists that are here."""
    for name, wanted in filters.items():
        logging.getLogger(name).filters[:] = wanted


def _is_the_users(filtering: Any) -> bool:
    return type(filtering) is logging.Filter or is_of_notebook(filtering)


class InForce:
    """In a worker: the filters of the notebook while its cell runs."""

    def __init__(self, given: Filters) -> None:
        self._given = given
        for name, filters in given.items():
            logging.getLogger(name).filters = filters

    def end(self) -> Filters:
        """Give the worker its own, none, again; returns what the cell has made anew. What it did to the others is noticed as with any input."""
        made: Filters = {}
        for name, logger in loggers():
            if logger.filters is self._given.get(name) or any(map(_is_the_users, logger.filters)):
                if logger.filters is not self._given.get(name):
                    made[name] = logger.filters
                logger.filters = []
        return made
