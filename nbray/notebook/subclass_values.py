"""Objects of the notebook's subclasses of list, dict, float and their like, written as what the base class has of them.

Pickle fills a list by the class's own ``extend``, a dict by its ``__setitem__``, and makes a number by its ``__new__``: methods that
may do more than to keep what they are given, which they have done where the object was made, or that want other arguments.
"""

from __future__ import annotations

import enum
from typing import Any

_VALUES = (tuple, str, int, float, complex, bytes, frozenset)
_BASES = (list, dict, set, *_VALUES)
#: What pickle would call.
_CALLED = {list: ("append", "extend"), dict: ("__setitem__",), set: ("__init__", "__new__")}
#: By which a class says itself how it is pickled.
_SAYS = ("__reduce_ex__", "__reduce__", "__getstate__", "__setstate__", "__getnewargs__", "__getnewargs_ex__")


def reduce_subclass(obj: Any) -> Any:
    """Return how to write such an object; None: pickle does it as well."""
    kind = type(obj)
    if kind.__module__ != "__main__":
        return None
    base: Any = next((base for base in _BASES if issubclass(kind, base)), None)
    if base is None or not _differs(kind, base, _CALLED.get(base, ("__new__",))) or _differs(kind, base, _SAYS):
        return None
    reduced = obj.__reduce_ex__(4)
    state = reduced[2] if len(reduced) > 2 else None
    if base is list:
        return _made, (base, kind), (state, list(list.__iter__(obj))), None, None, _fill
    if base is dict:
        return _made, (base, kind), (state, dict(dict.items(obj))), None, None, _fill
    if base is set:
        return _made, (base, kind), (state, list(set.__iter__(obj))), None, None, _fill
    return _made, (base, kind, _value(base, obj)), (state, None), None, None, _fill


def has_attributes(value: Any) -> bool:
    """Whether this is a value of the notebook's own kind, of a class that inherits from str, float, tuple ..., to which attributes can be given."""
    kind = type(value)
    return (
        kind.__module__ == "__main__"
        and issubclass(kind, _VALUES)
        and not issubclass(kind, enum.Enum)
        and type(getattr(value, "__dict__", None)) is dict
    )


def another(obj: Any) -> Any:
    """Return a new object with the same contents; None: it is of no such class, or what it was made of cannot change."""
    reduced = reduce_subclass(obj)
    if reduced is None or isinstance(obj, _VALUES):
        return None
    made = reduced[0](*reduced[1])
    reduced[5](made, reduced[2])
    return made


def _differs(kind: type, base: type, names: tuple[str, ...]) -> bool:
    return any(getattr(kind, name, None) is not getattr(base, name, None) for name in names if name != "__new__") or (
        "__new__" in names and kind.__new__ is not base.__new__
    )


def _value(base: Any, obj: Any) -> Any:
    if base in (tuple, frozenset):
        return base(base.__iter__(obj))
    if base is complex:
        return complex(obj.real, obj.imag)
    return base.__getnewargs__(obj)[0]


def _made(base: Any, kind: type, *value: Any) -> Any:
    return base.__new__(kind, *value)


def _fill(obj: Any, state: tuple[Any, Any]) -> None:
    attributes, contents = state
    if contents is not None:
        if isinstance(obj, list):
            list.extend(obj, contents)
        elif isinstance(obj, dict):
            dict.update(obj, contents)
        else:
            set.update(obj, contents)
    slots = None
    if isinstance(attributes, tuple) and len(attributes) == 2:
        attributes, slots = attributes
    if attributes:
        obj.__dict__.update(attributes)
    for name, value in (slots or {}).items():
        setattr(obj, name, value)
