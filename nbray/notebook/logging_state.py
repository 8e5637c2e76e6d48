"""Logging: a cell writes with the levels of the notebook, and what it sets of them holds here.

Handlers: ``logging_handlers``; filters: ``logging_filters``.
"""

from __future__ import annotations

import logging

NOT_THE_USERS = ("IPKernelApp", "TerminalIPythonApp", "nbray")  # loggers that are set by whom they belong to

Levels = dict[str, tuple[int, bool, bool]]  # by name of logger, "" for the root: level, disabled, propagate
State = tuple[Levels, int]  # and up to which level all is disabled


def loggers() -> list[tuple[str, logging.Logger]]:
    """Return the user's loggers by name; a list, since each cell goes through it, and a generator is called for each."""
    found = [("", logging.root), *logging.root.manager.loggerDict.items()]
    return [(name, each) for name, each in found if isinstance(each, logging.Logger) and name not in NOT_THE_USERS]


def read() -> State:
    """Return what is set of logging in this process."""
    levels: Levels = {}
    for name, logger in loggers():
        if logger.level or logger.disabled or not logger.propagate:
            levels[name] = int(logger.level), bool(logger.disabled), bool(logger.propagate)
    return levels, int(logging.root.manager.disable)


def put(wanted: State, present: State | None = None) -> None:
    """Set logging so in this process; ``present`` is what is set now, if that is known."""
    present = read() if present is None else present
    if wanted == present:
        return
    (levels, disabled), (now, disabled_now) = wanted, present
    for name in {*now, *levels}:  # what is so already stays untouched: setLevel() and disable() go through all loggers
        if now.get(name) != levels.get(name):
            logger = logging.getLogger(name)
            level, logger.disabled, logger.propagate = levels.get(name, (0, False, True))
            logger.setLevel(level)
    if disabled != disabled_now:
        logging.disable(disabled)


class InForce:
    """In a worker: what the notebook has set, while its cell runs."""

    def __init__(self, given: State) -> None:
        self._given = given
        self._own = read()
        put(given, self._own)

    def end(self) -> State | None:
        """Put the worker's own into force again; returns what is set now if the cell has changed it."""
        now = read()
        put(self._own, now)
        return now if now != self._given else None
