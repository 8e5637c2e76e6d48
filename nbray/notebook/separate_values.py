"""What a cell of ``--async`` returns: each name's value under a ref of its own."""

from __future__ import annotations

from typing import Any

from nbray.serialization import serializer
from nbray.serialization.shared_parts import Part, Separate

from .shared_objects import that_share


class Unbound:
    """The value of a ref whose name the cell never bound."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"<the cell ended without binding {self.name}>"


def separate(
    value: Any, names: list[str], namespace: dict[str, Any], key: str, deleted: list[str] | None = None
) -> Separate:
    """Return what the cell has deleted, the last value, then each name's; those that share objects know each other.

    Parameters
    ----------
    deleted
        Names; None: nothing.
    key
        Names the run of the cell.
    """
    values = Separate([deleted, value], ["", "the value of the last line", *names])
    values += [namespace.get(name, Unbound(name)) for name in names]
    whole = list(values)
    for number, group in enumerate(that_share(whole, namespace)):
        positions = [position for position in group if _can_be_sent(whole[position])]
        together = [whole[position] for position in positions]
        for index, position in enumerate(positions):
            values[position] = Part(f"{key}.{number}", index, together)
    return values


def _can_be_sent(value: Any) -> bool:
    """Whether it is not to cost those that it shares objects with."""
    try:
        serializer.dumps(value)
    except Exception:
        return False
    return True
