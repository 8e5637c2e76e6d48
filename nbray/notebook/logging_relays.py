"""Handlers of logging in the pickle of a cell: each stays one object, under whatever names and in whatever loggers it is.

A handler is known by a number of its own in all processes. One that prints is written with its contents. Others (of a file, of a
socket, of a class of the user's) stay where they are: in the worker a ``Relay`` stands for such a one, and what it is given is
handled here while the cell runs, so that nothing is lost when the worker is. It has the level, the formatter and the filters of
the handler, and what else of it can travel; these go back, and attributes that the cell has bound anew.
"""

from __future__ import annotations

import copy
import io
import logging
import pickle
import sys
import uuid
import weakref
from collections.abc import Callable
from typing import Any

from nbray.core.output import emit

LOG_RECORD = "nbray_log_record"  # kind of the message by which a record comes
MAX_TEXT = 1 << 16  # in a StringIO that a handler writes into and that travels
_OF_ALL: dict[str, Any] = {"level": 0, "formatter": None, "filters": (), "_name": None}
_OF_THIS_SIDE = frozenset(("lock", "stream", "_closed"))
SCALARS = (type(None), bool, int, float, str, bytes)

_by_number: weakref.WeakValueDictionary[str, Any] = weakref.WeakValueDictionary()
_numbers: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()
_stay: weakref.WeakKeyDictionary[Any, frozenset[str]] = (
    weakref.WeakKeyDictionary()
)  # with the attributes that can travel
_came: weakref.WeakKeyDictionary[Any, dict[str, Any]] = weakref.WeakKeyDictionary()  # relays, with what they came with
_classes: weakref.WeakValueDictionary[type, type] = weakref.WeakValueDictionary()  # of relays
_in_worker = False


def use_relays() -> None:
    """This process is a worker."""
    global _in_worker
    _in_worker = True


def standard_stream(handler: Any) -> str:
    """Return "stdout" or "stderr" when a handler does nothing but to write there, else ""."""
    if type(handler) is not logging.StreamHandler:
        return ""
    return next((name for name in ("stdout", "stderr") if handler.stream is getattr(sys, name)), "")


# ---------------------------------------------------------------------- in the notebook


def choose(handler: Any, copies: bool, travels: Callable[[Any], bool]) -> None:
    """Choose how a handler of a logger goes along with a cell.

    Parameters
    ----------
    copies
        What the cell changes of its inputs comes back, so a text in memory may go along.
    travels
        Tells whether a value can, and is small enough.
    """
    attributes = vars(handler)
    odd = {name for name, value in attributes.items() if name not in _OF_THIS_SIDE and not _is_plain(value)}
    able = attributes.keys() - _OF_THIS_SIDE - {name for name in odd if not travels(attributes[name])}
    whole = odd <= able
    if whole and (
        standard_stream(handler) or type(handler) is logging.NullHandler or (copies and _is_in_memory(handler))
    ):
        _stay.pop(handler, None)
    else:
        _stay[handler] = frozenset(able)


def _is_plain(value: Any) -> bool:
    if type(value) is logging.Formatter:
        return all(type(each) in SCALARS for name, each in vars(value).items() if name != "_style")
    return type(value) in SCALARS or value == []


def _is_in_memory(handler: Any) -> bool:
    return (
        type(handler) is logging.StreamHandler
        and type(handler.stream) is io.StringIO
        and not handler.stream.closed
        and handler.stream.tell() <= MAX_TEXT
    )


def is_relayed(handler: Any) -> bool:
    """Whether it is a relay, or one is to stand for it in the worker."""
    return isinstance(handler, Relay) or not (_in_worker or type(getattr(handler, "stream", None)) is io.StringIO)


def handle(number: str, action: str, data: bytes, removed: tuple[int, ...], text: str | None) -> None:
    """Do with a handler here what a cell has done with its relay.

    Parameters
    ----------
    removed
        Those of its filters, by position, that the cell has removed.
    text
        The record as a formatter has it that the cell has set.
    """
    handler = _by_number.get(number)
    if handler is None:
        return
    try:
        if action == "record":
            _handle(handler, logging.makeLogRecord(pickle.loads(data)), removed, text)
        else:
            getattr(handler, action)()
    except Exception:  # what calls us is not the user's
        return


def _handle(handler: Any, record: Any, removed: tuple[int, ...], text: str | None) -> None:
    try:
        if not removed and text is None:
            handler.handle(record)
            return
        if removed:
            # Through Filterer's own method, which also takes what filters put into the record's place.
            some = logging.Filterer()
            some.filters = [each for place, each in enumerate(handler.filters) if place not in removed]
            passed: Any = some.filter(record)
        else:
            passed = handler.filter(record)
        if not passed:
            return
        record = passed if isinstance(passed, logging.LogRecord) else record
        handler.acquire()
        formatter = handler.formatter
        try:
            handler.formatter = formatter if text is None else _AsItIs(text)
            handler.emit(record)
        finally:
            handler.formatter = formatter
            handler.release()
    except Exception:
        handler.handleError(record)


class _AsItIs(logging.Formatter):
    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def format(self, record: logging.LogRecord) -> str:
        return self._text


# ------------------------------------------------------------------------ in the worker


class Relay:
    """What all relays have; each is also of the class of its handler, as far as anyone asks."""

    stream = None
    level: int
    formatter: Any
    filters: list[Any]
    filter: Callable[[Any], Any]
    format: Callable[[Any], str]

    def __init_subclass__(cls, **options: Any) -> None:
        """Keep from the user's class that there is a subclass of it."""

    def handle(self, record: Any) -> Any:
        """Send a record to the handler, unless a filter that the cell has added is against it."""
        before = _came[self]["came_filters"]
        added = [each for each in self.filters if not any(each is other for other in before)]
        if added:
            some = logging.Filterer()
            some.filters = added
            passed: Any = some.filter(record)
            if not passed:
                return passed
            record = passed if isinstance(passed, logging.LogRecord) else record
        self.emit(record)
        return True

    def emit(self, record: Any) -> None:
        """Send a record; filters that came are asked in the notebook, unless the cell has removed them."""
        came = _came[self]
        kept = set(map(id, self.filters))
        removed = tuple(place for place, each in enumerate(came["came_filters"]) if id(each) not in kept)
        text = self.format(record) if self.formatter is not came["formatter"] else None
        emit(LOG_RECORD, (_numbers[self], "record", _packed(record), removed, text))

    def flush(self) -> None:
        """Have what the handler keeps written."""
        emit(LOG_RECORD, (_numbers[self], "flush", b"", (), None))

    def close(self) -> None:
        """Close the handler."""
        emit(LOG_RECORD, (_numbers[self], "close", b"", (), None))


def _relay_class(kind: type) -> type:
    made = _classes.get(kind)
    if made is None:
        contents = {
            "__module__": kind.__module__,
            "__qualname__": kind.__qualname__,
            "__class__": property(lambda _: kind),
        }
        made = _classes[kind] = type(kind.__name__, (Relay, kind), contents)
    return made


def _packed(record: Any) -> bytes:
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


# ------------------------------------------------------------------------- the pickle


def reduce_handler(handler: Any) -> Any:
    """Return how to write a handler, as a reducer does; None: as its class says."""
    kind = type(handler)
    if issubclass(kind, Relay):
        return _found, (number_of(handler), handler.__class__), contents(handler), None, None, _take
    if any(
        getattr(kind, name, None) is not getattr(object, name, None)
        for name in ("__reduce_ex__", "__reduce__", "__getstate__")
    ):
        return None
    if not _in_worker and (handler in _stay or _holds_file(handler)):
        able = _stay.get(handler)
        attributes = {
            name: value
            for name, value in vars(handler).items()
            if (name in able if able is not None else name in _OF_ALL or type(value) in SCALARS)
        }
        return _stands_for, (number_of(handler), kind), attributes, None, None, _take_part
    return _found, (number_of(handler), kind), contents(handler), None, None, _take


def _holds_file(handler: Any) -> bool:
    return isinstance(handler, logging.FileHandler) or isinstance(getattr(handler, "stream", None), io.TextIOWrapper)


def contents(handler: Any) -> dict[str, Any]:
    """Return the attributes of a handler that go with it; of a relay, those that the cell may have changed."""
    attributes = vars(handler)
    if isinstance(handler, Relay):
        came = _came[handler]
        return {
            name: value
            for name, value in attributes.items()
            if (name in _OF_ALL and name not in came["left_out"]) or came.get(name, came) is not value
        }
    found = {name: value for name, value in attributes.items() if name not in _OF_THIS_SIDE}
    if isinstance(handler, logging.FileHandler):
        # Whoever uses it next opens it then, and goes on behind what has been written.
        found["mode"] = "a"
    elif "stream" in attributes:
        found["stream"] = attributes["stream"]
    return found


def number_of(handler: Any) -> str:
    """Return the number by which all processes know a handler."""
    number = _numbers.get(handler)
    if number is None:
        number = _numbers[handler] = uuid.uuid4().hex
        _by_number[number] = handler
    return number


def _found(number: str, kind: type) -> Any:
    """Return the handler of this number, made now if there is none in this process."""
    handler = _by_number.get(number)
    return _made(number, kind) if handler is None else handler


def _stands_for(number: str, kind: type) -> Any:
    """Return the handler of this number: a relay, unless it is this process that has made it."""
    handler = _by_number.get(number)
    return _made(number, _relay_class(kind)) if handler is None else handler


def _made(number: str, kind: type) -> Any:
    handler: Any = kind.__new__(kind)  # type: ignore[call-overload]
    _numbers[handler] = number
    _by_number[number] = handler
    return handler


def made_of(number: str, kind: type, attributes: dict[str, Any]) -> Any:
    """Return the handler of this number with these attributes."""
    handler = _found(number, kind)
    _take(handler, attributes)
    return handler


def relay_of(number: str, kind: type, attributes: dict[str, Any]) -> Any:
    """Return the relay of the handler of this number, which has these attributes."""
    handler = _stands_for(number, kind)
    _take_part(handler, attributes)
    return handler


def _take(handler: Any, attributes: dict[str, Any]) -> None:
    """Give a handler what has come of it."""
    own = vars(handler)
    own.update(attributes)
    if isinstance(handler, logging.FileHandler):
        own.setdefault("stream", None)
    if "lock" not in own:  # it has been made just now
        handler.createLock()
        if not _in_worker:
            logging._addHandlerRef(handler)  # type: ignore[attr-defined]
    if own.get("_name"):
        logging._handlers[own["_name"]] = handler  # type: ignore[attr-defined]


def _take_part(handler: Any, attributes: dict[str, Any]) -> None:
    """Give a relay what has come of its handler; or the handler, which this process has made, what all handlers have."""
    if not isinstance(handler, Relay):
        _take(handler, {name: attributes[name] for name in _OF_ALL if name in attributes})
        return
    left_out = _OF_ALL.keys() - attributes.keys()
    own = {**attributes, **{name: [] if name == "filters" else _OF_ALL[name] for name in left_out}}
    vars(handler).clear()
    _take(handler, own)
    _came[handler] = {**own, "came_filters": list(own["filters"]), "left_out": left_out}
