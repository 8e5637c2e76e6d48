"""Handlers of loggers: those of the notebook are in force in a cell, and what the cell adds or removes comes back.

The very lists of the loggers go along with the names of a cell, in one pickle with them: a handler that also has a name is one object
there, and after the cell here. How a handler travels: ``logging_relays``. Most kernels have none but plain ones
which nobody but their loggers holds: those are described, which takes no pickle of objects, and made anew there.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

from .cell_pickle import CellPickler, LimitedWriter, pickles
from .logging_relays import SCALARS, Relay, choose, is_relayed, made_of, number_of, relay_of, standard_stream
from .logging_state import loggers

NAME = "_nbray_log_handlers"  # private: under which they go to the worker
MAX_BYTES = 1 << 16  # of what goes along with a handler
Handlers = dict[str, list[Any]]  # by name of logger, "" for the root
Form = tuple[Any, ...]  # of a handler: stream, class, level, what its formatter was made of, and its other attributes
Forms = dict[str, list[tuple[str, Form]]]  # by name of logger: numbers of handlers, and what they are
STYLES: dict[str, Any] = {"PercentStyle": "%", "StrFormatStyle": "{", "StringTemplateStyle": "$"}
_MODULES = ("logging", "logging.handlers")
_OF_HANDLER = frozenset(("filters", "_name", "level", "formatter", "lock", "stream", "_closed"))
_OF_FORMATTER = frozenset(("_style", "_fmt", "datefmt"))


def read(copies: bool) -> tuple[Handlers, Forms]:
    """Return the lists of handlers that do something, and what is described instead; for ``copies`` see ``logging_relays.choose``."""
    found: Handlers = {}
    forms: Forms = {}
    for name, logger in loggers():
        if not logger.handlers or not any(map(_does_something, logger.handlers)):
            continue
        if _holds_alone(logger) and None not in (described := _described(logger.handlers)):
            forms[name] = described  # type: ignore[assignment]
        elif type(logger.handlers) is list:
            found[name] = logger.handlers
    for handlers in found.values():
        for handler in handlers:
            choose(handler, copies, _is_small)
    return found, forms


def _described(handlers: list[Any]) -> list[tuple[str, Form] | None]:
    found: list[tuple[str, Form] | None] = []
    for handler in filter(_does_something, handlers):
        form = _form(handler)
        found.append(None if form is None else (number_of(handler), form))
    return found


def _form(handler: Any) -> Form | None:
    """Describe a handler that prints, or that has or is to have a relay; None: there is more to it."""
    stream, kind = standard_stream(handler), handler.__class__
    if not stream and not is_relayed(handler):
        return None
    if kind.__module__ not in _MODULES or handler.filters or handler._name is not None:
        return None
    others = {name: value for name, value in vars(handler).items() if name not in _OF_HANDLER}
    if any(type(value) not in SCALARS for value in others.values()):
        return None
    formatter, style = handler.formatter, None
    if formatter is not None:
        if type(formatter) is not logging.Formatter or not vars(formatter).keys() <= _OF_FORMATTER:
            return None
        made = formatter._style
        if type(made).__name__ not in STYLES or getattr(made, "_defaults", None):
            return None
        style = made._fmt, formatter.datefmt, type(made).__name__
    return stream, kind, handler.level, style, others


def _made(number: str, form: Form) -> Any:
    stream, kind, level, style, others = form
    formatter = None
    if style is not None:
        formatter = logging.Formatter(style[0], style[1], STYLES[style[2]], validate=False)
    attributes = {"level": level, "formatter": formatter, "filters": [], "_name": None, **others}
    if not stream:
        return relay_of(number, kind, attributes)
    return made_of(number, kind, {**attributes, "stream": getattr(sys, stream)})


def _references(logger: Any) -> set[int]:
    """Return how many hold the handlers of a logger, and what is in these."""
    counts = {sys.getrefcount(logger.handlers)}
    for handler in logger.handlers:
        counts.add(sys.getrefcount(handler) - 1)  # the loop is one
        counts.add(sys.getrefcount(handler.filters))
        if handler.formatter is not None:
            counts.add(sys.getrefcount(handler.formatter))
    return counts


def _alone() -> set[int]:
    logger = logging.Logger("any")
    logger.handlers.append(logging.StreamHandler(sys.__stderr__))
    return _references(logger)


_ALONE = _alone()


def _holds_alone(logger: Any) -> bool:
    return _references(logger) <= _ALONE


def _does_something(handler: Any) -> bool:
    return type(handler) is not logging.NullHandler


def _is_small(value: Any) -> bool:
    try:
        CellPickler(LimitedWriter(MAX_BYTES), {}, keep_buffers=lambda _: True).dump(value)
    except Exception:
        return False
    return True


def put(made: Handlers) -> None:
    """Give loggers the handlers that a cell has made for those that had none."""
    for name, wanted in made.items():
        logger = logging.getLogger(name)
        # A library that both sides have loaded in the cell has added its own on each.
        present = [each for each in logger.handlers if each not in wanted]
        for place, handler in enumerate(wanted):
            stream = standard_stream(handler)
            own = next((each for each in present if stream and standard_stream(each) == stream), None)
            if own is not None:
                present.remove(own)
                own.setLevel(handler.level)
                own.setFormatter(handler.formatter)
                wanted[place] = own
        logger.handlers[:] = wanted


class InForce:
    """In a worker: the handlers of the notebook while its cell runs.

    Parameters
    ----------
    given, forms
        What ``read`` has returned.
    kept
        The cell runs in an actor: handlers that cannot travel stay in its loggers.
    """

    def __init__(self, given: Any, forms: Forms, kept: bool) -> None:
        self._given: Handlers = given if isinstance(given, dict) else {}
        self._kept = kept
        self._own: Handlers = {}
        self._forms = forms
        for name, logger in loggers():
            if name not in self._given and any(map(_does_something, logger.handlers)):
                self._own[name] = logger.handlers
                logger.handlers = [each for each in logger.handlers if kept or not _does_something(each)]
        for name, handlers in self._given.items():
            logger = logging.getLogger(name)
            self._own[name] = logger.handlers
            if kept:
                handlers += [each for each in logger.handlers if _does_something(each) and each not in handlers]
            logger.handlers = handlers
        for name, described in forms.items():
            logger = logging.getLogger(name)
            self._own.setdefault(name, logger.handlers)
            logger.handlers = [*logger.handlers, *(_made(number, form) for number, form in described)]

    def end(self, hints: list[str]) -> Handlers:
        """Give the worker its own again; returns what the cell has made for loggers without any, ``hints`` what cannot come back.

        What it did to the lists that came is noticed as with any input.
        """
        made: Handlers = {}
        for name, logger in loggers():
            present, given, own = list(logger.handlers), self._given.get(name), self._own.get(name)
            if not present and given is None and own is None:
                continue
            stay = [each for each in present if not _comes_back(each)]
            come = [each for each in present if each not in stay]
            if given is None:
                forms = self._forms.get(name, [])
                if (forms or any(map(_does_something, come))) and _described(come) != forms:
                    made[name] = come
            elif logger.handlers is not given or stay:
                given[:] = come
            if self._kept:
                logger.handlers = [each for each in present if each in stay or not _does_something(each)]
                continue
            logger.handlers = own if own is not None else [each for each in present if not _does_something(each)]
            if stay:
                hints.append(_told(name, stay))
        return made


def _comes_back(handler: Any) -> bool:
    return isinstance(handler, Relay) or not _does_something(handler) or bool(_form(handler)) or pickles(handler)


def _told(name: str, handlers: list[Any]) -> str:
    kinds = sorted({type(each).__name__ for each in handlers})
    whose = f"the logger {name!r}" if name else "the root logger"
    return f"{' and '.join(kinds)} of {whose} stays on the worker: add it in a cell without %%remote."
