"""Things of the standard library that pickle refuses, or writes as a name that no worker has.

To load this module teaches them to pickle, in this process.
"""

from __future__ import annotations

import ast
import copyreg
import dataclasses
import functools
import itertools
import sys
import typing
from typing import Any

# ---- of every Python ----

# A class is asked whether a field has a default by comparing with this one object: a copy of it, as pickle makes, is a
# default. A class that inherits from a dataclass of a notebook would take it.
copyreg.pickle(type(dataclasses.MISSING), lambda missing: "MISSING")


def _reduce_new_type(made: Any) -> Any:
    """Write a NewType of a notebook by what it is made of: its name, by which pickle refers to it, is found in no worker."""
    name = getattr(made, "__qualname__", made.__name__)
    if made.__module__ != "__main__":
        return name
    return _new_type, (name, made.__supertype__)


def _new_type(name: str, supertype: Any) -> Any:
    make: Any = typing.NewType
    made = make(name, supertype)
    made.__module__ = "__main__"
    return made


copyreg.pickle(typing.NewType, _reduce_new_type)


def _reduce_cached_property(made: Any) -> Any:
    """Write a cached_property without the lock that it has before Python 3.12."""
    state = {name: value for name, value in vars(made).items() if name != "lock"}
    return type(made), (made.func,), state


copyreg.pickle(functools.cached_property, _reduce_cached_property)


# ---- since Python 3.12 ----


def _reduce_alias(made: Any) -> Any:
    """Write a ``type X = ...`` of a notebook by what it stands for, which may name the alias itself."""
    if made.__module__ != "__main__":
        return made.__name__
    if made.__type_params__:
        return _generic_alias, (made.__name__, made.__value__, made.__type_params__)
    meaning: list[Any] = []  # known only when the alias is
    return _alias, (made.__name__, meaning), (meaning, made.__value__), None, None, _give_meaning


# Both are made in the name of the notebook: an alias remembers the module whose code made it.
def _alias(name: str, meaning: list[Any]) -> Any:
    scope: dict[str, Any] = {"__name__": "__main__", "meaning": meaning}
    exec(f"type {name} = meaning[0]", scope)
    return scope[name]


def _generic_alias(name: str, value: Any, parameters: tuple[Any, ...]) -> Any:
    scope: dict[str, Any] = {"__name__": "__main__", "value": value, "parameters": parameters}
    return eval(f"__import__('typing').TypeAliasType({name!r}, value, type_params=parameters)", scope)


def _give_meaning(_made: Any, state: tuple[list[Any], Any]) -> None:
    meaning, value = state
    meaning.append(value)


if sys.version_info >= (3, 12):
    copyreg.pickle(typing.TypeAliasType, _reduce_alias)


# ---- since Python 3.14 ----


def _reduce_forward_ref(ref: Any) -> Any:
    """Write a name that is not there yet without the module or class in which it stands."""
    make = functools.partial(
        typing.ForwardRef,
        module=ref.__forward_module__,
        is_argument=ref.__forward_is_argument__,
        is_class=ref.__forward_is_class__,
    )
    return make, (ref.__forward_arg__,)


def _reduce_count(count: Any) -> Any:
    """Write an ``itertools.count`` by its next number and step, which it tells by its text alone."""
    text = repr(count)
    try:
        numbers = tuple(ast.literal_eval(part) for part in text[text.index("(") + 1 : -1].split(", "))
    except (ValueError, SyntaxError):
        raise TypeError("cannot pickle 'itertools.count' object") from None
    return itertools.count, numbers


if sys.version_info >= (3, 14):
    copyreg.pickle(typing.ForwardRef, _reduce_forward_ref)
    # Numbers that a class or module gives out travel with it, as with every Python before.
    copyreg.pickle(itertools.count, _reduce_count)
