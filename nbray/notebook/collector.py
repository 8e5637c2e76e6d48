"""Let the collector of garbage rest while many objects are made that all stay: each of its passes over them finds nothing."""

from __future__ import annotations

import gc


# A class, though it reads as a function: a generator takes three times as long, several times in each cell.
class at_rest:
    """Meanwhile nothing is collected, unless it rested already."""

    __slots__ = ("_enabled",)

    def __enter__(self) -> None:
        self._enabled = gc.isenabled()
        gc.disable()

    def __exit__(self, *_: object) -> None:
        if self._enabled:
            gc.enable()
