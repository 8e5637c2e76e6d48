"""Context variables of the notebook: a cell finds the values that they have here, and what it sets holds here."""

from __future__ import annotations

import contextvars
from typing import Any

Value = tuple[Any, ...]  # one value, or none


def value_of(variable: contextvars.ContextVar[Any]) -> Value:
    """Return what a variable is set to, or its default, if there is either."""
    try:
        return (variable.get(),)
    except LookupError:
        return ()


def set_value(variable: contextvars.ContextVar[Any], value: Value) -> None:
    """Set it so; a variable cannot be made one that was never set."""
    for each in value:
        variable.set(each)


class NewValue:
    """The new value of a variable that the other side has."""

    def __init__(self, value: Value) -> None:
        self.value = value


def reduce_variable(variable: contextvars.ContextVar[Any]) -> Any:
    """Write a variable with its default and its value."""
    default = contextvars.Context().run(value_of, variable)
    return _variable, (variable.name, default), value_of(variable), None, None, set_value


def _variable(name: str, default: Value) -> contextvars.ContextVar[Any]:
    return contextvars.ContextVar(name, default=default[0]) if default else contextvars.ContextVar(name)
