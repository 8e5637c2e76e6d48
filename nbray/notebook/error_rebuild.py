"""Make exceptions of what ``error_record.capture`` wrote down."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nbray.notes import add_note

from .error_record import GROUP_TYPES, ExceptionRecord
from .stand_in_frames import Scopes, make_traceback


class RemoteCellError(Exception):
    """Stands for an exception whose class cannot be had here; its text says the rest."""


def rebuild(
    records: list[ExceptionRecord], read: Callable[[bytes], Any], scopes: Scopes | None = None
) -> BaseException:
    """Return the first exception, with its chain and tracebacks.

    Parameters
    ----------
    read
        Makes an object of its pickle. May raise anything.
    scopes
        What the frames see, for a debugger.
    """
    made = [_exception(record, read) for record in records]
    for exc, record in zip(made, records, strict=True):
        exc.__traceback__ = make_traceback(record.frames, scopes)
        for note in record.notes:
            add_note(exc, note)
        if record.cause is not None:
            exc.__cause__ = made[record.cause]
        if record.context is not None:
            exc.__context__ = made[record.context]
        exc.__suppress_context__ = record.suppress_context
    for exc, record in zip(made, records, strict=True):
        if isinstance(exc, GROUP_TYPES):
            # Its members were pickled with it: they are copies of those that have frames.
            for member, at in zip(exc.exceptions, record.members, strict=False):
                source = made[at]
                member.__traceback__ = source.__traceback__
                member.__cause__ = source.__cause__
                member.__context__ = source.__context__
                member.__suppress_context__ = source.__suppress_context__
    return made[0]


def _exception(record: ExceptionRecord, read: Callable[[bytes], Any]) -> BaseException:
    if record.pickled is not None:
        try:
            exc = read(record.pickled)
            if isinstance(exc, BaseException):
                return exc
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
    cls = type(record.type_name, (RemoteCellError,), {"__module__": "nbray.remote"})
    made: BaseException = cls(record.text)
    return made
