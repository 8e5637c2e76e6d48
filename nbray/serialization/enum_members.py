"""The members of an enumeration that goes by value: what they are made of, and they again from that.

cloudpickle 3.1.3 makes an enumeration of its members' names and values as a ``class`` statement would. Aliases and what flags are
combined to (``RW = R | W``) it takes for attributes, which no enumeration lets be set; what a member has beside its value (the
mass of a planet) is lost, and so is the number or text that it is, where a ``__new__`` makes more of it; and a ``__new__`` or
``__init__`` of a base class runs once more, with other arguments. Here nothing of the user's runs.
"""

from __future__ import annotations

import enum
from typing import Any

_OF_THE_MACHINERY = frozenset({"_value_", "_name_", "__objclass__", "_sort_order_", "_inverted_"})


def parts_of(kind: Any) -> dict[str, tuple[Any, tuple[Any, ...]]]:
    """Return of each name of an enumeration, aliases as well, the value and what the data in its member (of ``str, Enum``) is made of."""
    return {name: (member._value_, _data_of(kind, member)) for name, member in kind.__members__.items()}


def attributes_of(kind: Any) -> dict[str, dict[str, Any]]:
    """Return by name what members have beside their values."""
    found = {name: vars(member) for name, member in kind.__members__.items() if member._name_ == name}
    own = {name: {key: had[key] for key in had.keys() - _OF_THE_MACHINERY} for name, had in found.items()}
    return {name: attributes for name, attributes in own.items() if attributes}


def set_attributes(kind: Any, attributes: dict[str, dict[str, Any]]) -> None:
    """Give members what they have beside their values."""
    for name, values in attributes.items():
        vars(kind.__members__[name]).update(values)


def new_enumeration(
    kind: Any, name: str, bases: tuple[type, ...], boundary: Any, parts: dict[str, tuple[Any, tuple[Any, ...]]]
) -> Any:
    """Return a new enumeration with these members, whose methods are yet to be set.

    Parameters
    ----------
    kind
        Its metaclass.
    boundary
        What flags do with bits that they do not have (Python 3.11 and later).
    parts
        Those of ``parts_of``.
    """
    given = iter(parts.values())

    def make(cls: Any, *_: Any) -> Any:
        value, data = next(given)
        member = _maker_of(cls._member_type_).__new__(cls, *data)
        member._value_ = value
        return member

    namespace: Any = enum.EnumMeta.__prepare__(name, bases)
    namespace.update({"__new__": make, "__init__": lambda member, *_: None})
    for each in parts:
        namespace[each] = each  # in the place of its value, which could be a function, and that would be no member
    more = {} if boundary is None else {"boundary": boundary}
    made = enum.EnumMeta.__new__(kind, name, bases, namespace, **more)
    for attribute in ("__init__", "__new_member__"):  # its own, if it has any, come with its methods
        if attribute in vars(made):
            type.__delattr__(made, attribute)
    return made


def _maker_of(data_type: Any) -> Any:
    """Return the class that makes the data of members: the first whose ``__new__`` is not written in Python."""
    return next(
        each
        for each in data_type.__mro__
        if "__new__" in vars(each) and not isinstance(vars(each)["__new__"], staticmethod)
    )


def _data_of(kind: Any, member: Any) -> tuple[Any, ...]:
    maker = _maker_of(kind._member_type_)
    if maker is object:
        return ()
    if hasattr(maker, "__getnewargs__"):  # of numbers, texts, tuples
        return tuple(maker.__getnewargs__(member))
    return tuple(maker.__reduce__(member)[1])  # a date
