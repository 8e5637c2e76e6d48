"""Annotations that travel: their values, or their text where a name in them is not there.

Since Python 3.14 (PEP 649) an annotation is evaluated when somebody asks for it. A program may name there what only type
checkers import, or what is defined further down, and never ask. cloudpickle 3.1.3 asks, and leaves out what a class has not
been asked for.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
import types
from typing import Any

import cloudpickle

#: Whether this Python evaluates annotations only when they are asked for.
LAZY = sys.version_info >= (3, 14)

_lib: Any = importlib.import_module("annotationlib") if LAZY else None

_EVALUATED = "__annotations_cache__"  # in a class's dictionary, once they were asked for
_ANNOTATE = "__annotate_func__"  # there as well: what evaluates them


def annotations_of(annotated: Any) -> dict[str, Any]:
    """Return the annotations of a function or class as values; all of them as text where one cannot be evaluated."""
    try:
        return dict(annotated.__annotations__)
    except Exception:  # whatever the user's code raises
        if not LAZY:
            raise
    return dict(_lib.get_annotations(annotated, format=_lib.Format.STRING))


def signature_of(function: Any) -> inspect.Signature:
    """Return the signature of a callable, with its annotations as text where one cannot be evaluated.

    Raises
    ------
    ValueError, TypeError
        As ``inspect.signature``: it has none, or is not callable.
    """
    try:
        return inspect.signature(function)
    except (ValueError, TypeError):
        raise
    except Exception:
        if not LAZY:
            raise
    text: Any = {"annotation_format": _lib.Format.STRING}
    return inspect.signature(function, **text)


def readable(function: types.FunctionType) -> types.FunctionType:
    """Return the function, or where its annotations cannot be evaluated one like it that has them as text."""
    if not LAZY:
        return function
    try:
        _ = function.__annotations__
        return function
    except Exception:
        pass
    twin = types.FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    )
    functools.update_wrapper(twin, function, assigned=("__module__", "__qualname__", "__doc__"))
    del twin.__wrapped__  # type: ignore[attr-defined]
    twin.__kwdefaults__ = function.__kwdefaults__
    twin.__annotations__ = annotations_of(function)
    return twin


class AnnotationPickler(cloudpickle.Pickler):
    """cloudpickle, which takes functions whose annotations cannot be evaluated."""

    def _dynamic_function_reduce(self, func: types.FunctionType) -> Any:
        return super()._dynamic_function_reduce(readable(func))


def with_annotations(cls: type, reduced: Any) -> Any:
    """Add to what cloudpickle makes of a class the annotations that nobody has asked for yet."""
    if not LAZY or _EVALUATED in cls.__dict__ or _ANNOTATE not in cls.__dict__:
        return reduced
    if not isinstance(reduced, tuple) or len(reduced) < 6 or not isinstance(reduced[2], tuple):
        return reduced
    attributes, *rest = reduced[2]
    attributes = {**attributes, "__annotations__": annotations_of(cls)}
    return (*reduced[:2], (attributes, *rest), *reduced[3:5], functools.partial(_set_state, reduced[5]))


def _set_state(set_state: Any, cls: type, state: Any) -> Any:
    if _ANNOTATE in cls.__dict__:  # the class itself, where it was made: it evaluates them when it is asked
        attributes, *rest = state
        state = ({name: value for name, value in attributes.items() if name != "__annotations__"}, *rest)
    return set_state(cls, state)
