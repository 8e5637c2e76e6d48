"""``Out`` among the inputs of a cell: what of it can travel goes, and what the cell changes in it is changed here."""

from __future__ import annotations

import io
from typing import Any

from .cell_pickle import CellPickler

NAMES = ("Out", "_oh")  # of one dictionary


class OutputHistory:
    """The outputs of the notebook, on their way.

    Parameters
    ----------
    whole
        The notebook's own dictionary.
    namespace, carried_types
        See ``CellPickler``.

    Attributes
    ----------
    part : dict
        Of the outputs those that can travel.
    """

    def __init__(self, whole: dict[Any, Any], namespace: dict[str, Any], carried_types: tuple[type, ...]) -> None:
        self.whole = whole
        self.part: dict[Any, Any] = {}
        for number, value in list(whole.items()):
            try:
                CellPickler(io.BytesIO(), namespace, carried_types, keep_buffers=lambda _: False).dump(value)
            except Exception:
                continue
            self.part[number] = value
        self._before = dict(self.part)

    def take_changes(self) -> None:
        """Do with the whole what was done with the part."""
        for number in self._before.keys() - self.part.keys():
            self.whole.pop(number, None)
        for number, value in self.part.items():
            if number not in self._before or self._before[number] is not value:
                self.whole[number] = value
        self._before = dict(self.part)
