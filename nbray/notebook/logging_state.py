"""Logging: a cell writes as the notebook does, with its levels, to its handlers.

Handlers that write to the standard streams are made anew in the worker. Others (of a file, of a class of the user's) stay in the
notebook: in the worker a ``Relay`` stands for them, and what it is given is handled here, while the cell runs.
"""

from __future__ import annotations

import copy
import pickle
import sys
from typing import Any

from nbray.core.output import emit

LOG_RECORD = "nbray_log_record"  # kind of the message by which a record comes
NOT_THE_USERS = ("IPKernelApp", "TerminalIPythonApp", "nbray")  # loggers that are set by whom they belong to
STYLES = {"PercentStyle": "%", "StrFormatStyle": "{", "StringTemplateStyle": "$"}

Levels = dict[str, tuple[int, bool, bool]]  # by name of logger, "" for the root: level, disabled, propagate
Streams = dict[str, list[tuple[Any, ...]]]  # handlers of the standard streams
State = tuple[
    Levels, Streams, dict[str, int], int
]  # and the loggers with others: from which level on; what is disabled


def state(logging: Any) -> State:
    """Return what is set of logging in this process."""
    levels: Levels = {}
    streams: Streams = {}
    others: dict[str, int] = {}
    for name, logger in {"": logging.root, **logging.root.manager.loggerDict}.items():
        if name in NOT_THE_USERS or not isinstance(logger, logging.Logger):
            continue
        if logger.level or logger.disabled or not logger.propagate:
            levels[name] = logger.level, logger.disabled, logger.propagate
        for handler in logger.handlers:
            stream = standard_stream(handler, logging)
            if stream:
                streams.setdefault(name, []).append((stream, handler.level, _form(handler.formatter, logging)))
            elif type(handler) is not logging.NullHandler:
                others[name] = min(handler.level, others.get(name, handler.level))
    return levels, streams, others, logging.root.manager.disable


def stays(logging: Any, given: State) -> list[str]:
    """Return what to tell of handlers that a cell has added to loggers which had none in the notebook, and that cannot come back."""
    found = []
    for name in sorted(state(logging)[2].keys() - given[2].keys()):
        logger = logging.getLogger(name)
        kinds = sorted(
            {type(each).__name__ for each in logger.handlers if not standard_stream(each, logging)} - {"NullHandler"}
        )
        whose = f"the logger {name!r}" if name else "the root logger"
        found.append(f"{' and '.join(kinds)} of {whose} stays on the worker: add it in a cell without %%remote.")
    return found


def _form(formatter: Any, logging: Any) -> tuple[str, Any, str] | None:
    if type(formatter) is not logging.Formatter:
        return None
    return formatter._style._fmt, formatter.datefmt, type(formatter._style).__name__


def standard_stream(handler: Any, logging: Any) -> str:
    """Return "stdout" or "stderr" when a handler writes there, else ""."""
    if type(handler) is not logging.StreamHandler:
        return ""
    return next((name for name in ("stdout", "stderr") if handler.stream is getattr(sys, name)), "")


def put(logging: Any, wanted: State) -> None:
    """Set logging so in this process; in a worker, relays stand for handlers that only the notebook has."""
    levels, streams, others, disabled = wanted
    now, present, here, disabled_now = state(logging)
    for name in {*now, *levels}:  # what is so already stays untouched: setLevel() and disable() go through all loggers
        if now.get(name) != levels.get(name):
            logger = logging.getLogger(name)
            level, logger.disabled, logger.propagate = levels.get(name, (0, False, True))
            logger.setLevel(level)
    if disabled != disabled_now:
        logging.disable(disabled)
    for name in {*present, *streams}:
        if present.get(name) != streams.get(name):
            _put_streams(logging, logging.getLogger(name), streams.get(name, []))
    for name in {*here, *others}:
        if name not in others:  # the cell has removed them
            for handler in list(logging.getLogger(name).handlers):
                if not standard_stream(handler, logging) and type(handler) is not logging.NullHandler:
                    logging.getLogger(name).removeHandler(handler)
        elif name not in here and _in_worker:
            logging.getLogger(name).addHandler(_relay(logging, name, others[name]))


def _put_streams(logging: Any, logger: Any, handlers: list[tuple[Any, ...]]) -> None:
    for handler in list(logger.handlers):
        if standard_stream(handler, logging):
            logger.removeHandler(handler)
    for name, level, style in handlers:
        handler = logging.StreamHandler(getattr(sys, name))
        handler.setLevel(level)
        if style is not None:
            handler.setFormatter(logging.Formatter(style[0], style[1], STYLES[style[2]], validate=False))
        logger.addHandler(handler)


# ------------------------------------------------------------------------------ handlers of the notebook

_in_worker = False
_relays: dict[tuple[str, int], Any] = {}  # by logger and level


def use_relays() -> None:
    """This process is a worker."""
    global _in_worker
    _in_worker = True


def _relay(logging: Any, name: str, level: int) -> Any:
    """Return what sends the records of a logger to the notebook."""
    made = _relays.get((name, level))
    if made is not None:  # whatever the cell before did to it
        made.setLevel(level)
        made.setFormatter(None)
        made.filters.clear()
        return made

    class Relay(logging.Handler):  # logging may not be loaded when this file is
        def emit(self, record: Any) -> None:
            emit(LOG_RECORD, (name, _packed(logging, record)))

    made = _relays[name, level] = Relay(level)
    return made


def _packed(logging: Any, record: Any) -> bytes:
    """Return the contents of a record, with its text made."""
    sent = copy.copy(record)
    sent.msg, sent.args = record.getMessage(), None
    if record.exc_info:
        sent.exc_text = record.exc_text or logging.Formatter().formatException(record.exc_info)
        sent.exc_info = None
    contents = vars(sent)
    try:
        return pickle.dumps(contents)
    except Exception:  # something of the user's own in it
        return pickle.dumps(
            {key: value for key, value in contents.items() if isinstance(value, str | int | float | None)}
        )


def handle(name: str, data: bytes) -> None:
    """Hand a record that a cell has logged to the handlers of a logger here."""
    logging = sys.modules["logging"]
    record = logging.makeLogRecord(pickle.loads(data))
    for handler in list(logging.getLogger(name).handlers):
        if record.levelno >= handler.level and not standard_stream(handler, logging):
            try:
                handler.handle(record)
            except Exception:  # what calls us is not the user's
                handler.handleError(record)
