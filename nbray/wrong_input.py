"""Errors of wrong input that are two of Python's classes at once: the one that Ray raises, and the one that fits."""

from __future__ import annotations

from typing import Any

_made: dict[tuple[type[Exception], type[Exception]], type[Exception]] = {}


def both(shown: type[Exception], also: type[Exception]) -> type[Exception]:
    """Return a class of errors that is caught as either of two built-in ones.

    Parameters
    ----------
    shown : type
        As which it is shown, in tracebacks too: people know it.
    also : type
        The other.
    """
    known = _made.get((shown, also))
    if known is not None:
        return known
    # Tracebacks print module and qualified name; a pickle that went by these would look in vain, so it goes by both classes.
    names = {"__module__": shown.__module__, "__qualname__": shown.__qualname__, "__reduce__": _reduce}
    made = type(shown.__name__, (shown, also), {**names, "_classes": (shown, also)})
    return _made.setdefault((shown, also), made)


def _reduce(error: Any) -> Any:
    return _make, (*error._classes, error.args), error.__dict__ or None


def _make(shown: type[Exception], also: type[Exception], arguments: tuple[Any, ...]) -> Exception:
    return both(shown, also)(*arguments)
