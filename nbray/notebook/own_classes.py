"""Classes of the notebook that come back stay what they are here, but for what the cell changed in them.

A class travels with every object of it that the notebook is not told by number, and with every error of it. What came would
otherwise take the place of all that the class has: of a list that others hold, of functions that somebody has wrapped.
"""

from __future__ import annotations

import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from nbray.serialization import class_making

from .cell_job import SMALL_BYTES, is_larger
from .cell_pickle import CellPickler, LimitedWriter
from .in_place import CONTAINERS, update_in_place
from .runtime import CARRIED_TYPES

_PLAIN = (type(None), bool, int, float, complex, str, bytes)
_WRAPPERS = {staticmethod: ("__func__",), classmethod: ("__func__",), property: ("fget", "fset", "fdel")}


@contextmanager
def own_classes(namespace: dict[str, Any]) -> Iterator[None]:
    """Meanwhile, this thread reads classes that belong here.

    Parameters
    ----------
    namespace
        The globals of their methods.
    """

    def as_it_is(cls: type, name: str, new: Any) -> bool:
        old = vars(cls)[name]
        return _same(old, new, cls, namespace) or (type(old) in CONTAINERS and update_in_place(old, new))

    with class_making.adopting(as_it_is):
        yield


def _same(old: Any, new: Any, cls: type, namespace: dict[str, Any]) -> bool:
    if old is new:
        return True
    kind = type(old)
    if kind is not type(new):
        return False
    if kind in _PLAIN:
        return bool(old == new)
    if kind in _WRAPPERS:
        return all(_same(getattr(old, part), getattr(new, part), cls, namespace) for part in _WRAPPERS[kind])
    if kind is types.FunctionType and (old.__globals__ is not new.__globals__ or old.__code__ != new.__code__):
        return False
    written = _written(old, cls, namespace)
    return written is not None and written == _written(new, cls, namespace)


def _written(value: Any, cls: type, namespace: dict[str, Any]) -> tuple[bytes, list[Any]] | None:
    """Return what differs when a value differs; None: it cannot be said."""
    if is_larger(value, SMALL_BYTES):
        return None
    file = LimitedWriter(SMALL_BYTES)
    pickler = CellPickler(file, namespace, CARRIED_TYPES, False, {id(cls): cls.__name__})
    try:
        pickler.dump(value)
    except Exception:
        return None
    return file.getvalue(), pickler.carried
