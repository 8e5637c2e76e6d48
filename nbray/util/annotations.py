"""Decorators that say how stable a part of a library is; libraries for Ray use them."""

from __future__ import annotations

import enum
import functools
import inspect
import warnings
from collections.abc import Callable
from typing import Any


class AnnotationType(enum.Enum):
    """What has been said of a function or class."""

    PUBLIC_API = "PublicAPI"
    DEVELOPER_API = "DeveloperAPI"
    DEPRECATED = "Deprecated"
    UNKNOWN = "Unknown"


class RayDeprecationWarning(DeprecationWarning):
    """Something will go; shown by default, unlike its base."""


warnings.filterwarnings("default", category=RayDeprecationWarning)

STABILITIES = ("stable", "beta", "alpha")


def PublicAPI(*args: Any, **kwargs: Any) -> Any:
    """Mark as meant for users; ``stability`` is "stable", "beta" or "alpha"."""
    stability = kwargs.get("stability", "stable")
    if stability not in STABILITIES:
        raise ValueError(f"stability={stability!r}: give one of {', '.join(STABILITIES)}.")
    note = None if stability == "stable" else f"This API is in {stability} and may change before becoming stable."
    return _decorator(args, lambda thing: _mark(_note(thing, note), AnnotationType.PUBLIC_API))


def DeveloperAPI(*args: Any, **kwargs: Any) -> Any:
    """Mark as meant for authors of libraries."""
    note = "This API is for developers and may change across minor releases."
    return _decorator(args, lambda thing: _mark(_note(thing, note), AnnotationType.DEVELOPER_API))


def Deprecated(*args: Any, message: str = "", warning: bool = False) -> Any:
    """Mark as going away.

    Parameters
    ----------
    message : str
        What to use instead.
    warning : bool
        Also warn (RayDeprecationWarning) when it is called.
    """
    note = f"This API is deprecated and may be removed in a future release. {message}".strip()

    def apply(thing: Any) -> Any:
        _note(thing, note)
        if not warning:
            return _mark(thing, AnnotationType.DEPRECATED)
        text = f"{getattr(thing, '__name__', thing)}: {note}"
        if inspect.isclass(thing):
            setattr(thing, "__init__", _warning(thing.__init__, text))  # noqa: B010 - mypy
            return _mark(thing, AnnotationType.DEPRECATED)
        return _mark(_warning(thing, text), AnnotationType.DEPRECATED)

    return _decorator(args, apply)


def _decorator(args: tuple[Any, ...], apply: Callable[[Any], Any]) -> Any:
    return apply(args[0]) if len(args) == 1 and callable(args[0]) else apply


def _warning(function: Any, text: str) -> Any:
    @functools.wraps(function)
    def warn(*args: Any, **kwargs: Any) -> Any:
        warnings.warn(text, RayDeprecationWarning, stacklevel=2)
        return function(*args, **kwargs)

    return warn


def _note(thing: Any, note: str | None) -> Any:
    if note:
        try:
            thing.__doc__ = f"{inspect.getdoc(thing) or ''}\n\n{note}".strip()
        except AttributeError:  # of a built-in
            pass
    return thing


def _mark(thing: Any, kind: AnnotationType) -> Any:
    thing._annotated = getattr(thing, "__name__", "")
    thing._annotated_type = kind
    return thing
