"""Filters of warnings: a cell has those of the notebook, and what it says about them itself holds here too.

What a library adds to them when it is loaded is not told apart; so only the changes of cells that speak of filters come back. What
is done for a cell and would not be done here, such as to pickle its names, warns of nothing (``unseen``).
"""

from __future__ import annotations

import re
import sys
import warnings
from typing import Any

Filter = tuple[str, "tuple[str, int] | None", tuple[str, str], "tuple[str, int] | None", int]
Change = tuple[list[Filter], "list[Filter] | None"]  # those that come first now; those that are gone, None: all
_SPEAKS_OF_THEM = re.compile(r"simplefilter|filterwarnings|resetwarnings|warnings\s*\.\s*filters")
_last_filters: list[Filter] | None = None


def _plain(entry: Any) -> Filter:
    action, message, category, module, line = entry
    return action, _pattern(message), (category.__module__, category.__qualname__), _pattern(module), line


# A class, though it reads as a function: it is entered several times in each cell, and a generator takes three times as long.
class unseen:
    """Let warnings go unseen meanwhile.

    ``warnings.catch_warnings`` would make Python forget which warnings were shown once already.
    """

    __slots__ = ("_entries", "_entry")

    def __init__(self, category: type[Warning] = Warning) -> None:
        self._entry: Any = ("ignore", None, category, None, 0)

    def __enter__(self) -> None:
        entries: Any = warnings.filters
        entries.insert(0, self._entry)
        self._entries = entries

    def __exit__(self, *_: object) -> None:
        entry, entries = self._entry, self._entries
        entries[:] = [each for each in entries if each is not entry]


def filters() -> list[Filter]:
    """Return the filters of warnings, as plain data."""
    return [_plain(entry) for entry in list(warnings.filters) if isinstance(entry[2], type)]


def _pattern(text: Any) -> tuple[str, int] | None:
    if text is None:
        return None
    return (text, int(re.IGNORECASE)) if isinstance(text, str) else (text.pattern, text.flags)


def _made(plain: Filter) -> Any:
    """Return a filter as ``warnings`` keeps it; None: its class is not loaded here."""
    action, message, (module_name, class_name), module, line = plain
    category: Any = sys.modules.get(module_name)
    for part in class_name.split("."):
        category = getattr(category, part, None)
    if not isinstance(category, type):
        return None
    compiled = [re.compile(*pattern) if pattern is not None else None for pattern in (message, module)]
    return action, compiled[0], category, compiled[1], line


def _put(entries: list[Any]) -> None:
    warnings.resetwarnings()  # which also says that they have changed
    warnings.filters.extend(entries)  # type: ignore[attr-defined]


def put(wanted: list[Filter] | None) -> None:
    """Filter warnings so from now on (None: as before); filters for classes that are not loaded here have nothing to do."""
    global _last_filters
    if wanted is None or wanted == _last_filters:
        return
    _last_filters = wanted
    _put([made for plain in wanted if (made := _made(plain)) is not None])


def change(made: Change) -> None:
    """Make a change to the filters here that ``InForce.end`` found."""
    first, gone = made
    present = list(warnings.filters) if gone is not None else []
    named = [*first, *(gone or ())]
    rest = [entry for entry in present if not isinstance(entry[2], type) or _plain(entry) not in named]
    _put([entry for plain in first if (entry := _made(plain)) is not None] + rest)


class InForce:
    """In a worker: the notebook's filters, while its cell runs.

    Parameters
    ----------
    wanted
        See ``put``.
    source
        Of the cell.
    """

    def __init__(self, wanted: list[Filter] | None, source: str) -> None:
        put(wanted)
        self._before = list(warnings.filters) if _SPEAKS_OF_THEM.search(source) else None

    def end(self) -> Change | None:
        """Return what the cell has changed, and take it back."""
        before = self._before
        if before is None or list(warnings.filters) == before:
            return None
        now = filters()
        _put(before)
        was = filters()
        kept = len(now)  # from here on they are in the order in which they were
        while kept and now[kept - 1 :] == [entry for entry in was if entry in now[kept - 1 :]]:
            kept -= 1
        gone = [entry for entry in was if entry not in now]
        return now[:kept], gone if gone != was else None
