"""Records that travel with each cell, pickled as their class and the values of their fields.

What ``dataclass(slots=True)`` brings along for it asks ``dataclasses.fields`` for each record, on both sides: for the job of a
cell ten times as long.
"""

from __future__ import annotations

import dataclasses
import operator
from typing import Any, TypeVar

T = TypeVar("T", bound=type)


def quickly_pickled(cls: T) -> T:
    """Let instances of a dataclass, of two fields or more, be pickled so."""
    values = operator.attrgetter(*[field.name for field in dataclasses.fields(cls)])

    def __reduce__(self: Any) -> Any:
        return type(self), values(self)

    cls.__reduce__ = __reduce__  # type: ignore[method-assign, assignment]
    return cls
