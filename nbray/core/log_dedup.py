"""Fold lines that several workers print alike. Pure: the time comes with each line.

As Ray does it: the first line of a kind is shown at once; alike ones of *other* workers are held
back for some seconds and then shown as one, with their number. Lines are alike when they are
the same but for the words with digits in them. What one worker alone repeats is not touched.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

_WORDS_THAT_DIFFER = re.compile(r"\d")
_HINT = " (alike lines are folded; set RAY_DEDUP_LOGS=0 to see all)"


class Held(NamedTuple):
    """Lines that were held back."""

    stream: str
    text: str  # with the prefix of the last one, without the line's end
    times: int


class _Kind:
    __slots__ = ("count", "prefix", "since", "sources", "stream", "text")

    def __init__(self, since: float, source: object) -> None:
        self.since = since
        self.sources = {source}
        self.count = 0  # held back
        self.stream = self.prefix = self.text = ""


class Deduplicator:
    """Decides which lines are shown now.

    Parameters
    ----------
    environ : mapping
        RAY_DEDUP_LOGS (0: show all), RAY_DEDUP_LOGS_AGG_WINDOW_S (seconds), RAY_DEDUP_LOGS_ALLOW_REGEX (never
        folded), RAY_DEDUP_LOGS_SKIP_REGEX (never shown).
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.enabled = environ.get("RAY_DEDUP_LOGS", "1").lower() not in ("0", "false")
        try:
            self.window_s = float(environ.get("RAY_DEDUP_LOGS_AGG_WINDOW_S", "5"))
        except ValueError:
            self.window_s = 5.0
        self._allow = _pattern(environ.get("RAY_DEDUP_LOGS_ALLOW_REGEX"))
        self._skip = _pattern(environ.get("RAY_DEDUP_LOGS_SKIP_REGEX"))
        self._kinds: dict[str, _Kind] = {}
        self._hinted = False

    def shows(self, stream: str, prefix: str, source: object, line: str, now: float) -> bool:
        """Tell whether a line is shown now; if not, it is held back or dropped."""
        if not self.enabled or (self._allow is not None and self._allow.search(line)):
            return True
        if self._skip is not None and self._skip.search(line):
            return False
        key = " ".join(word for word in line.split() if not _WORDS_THAT_DIFFER.search(word))
        if not key:
            return True
        kind = self._kinds.get(key)
        if kind is None:
            self._kinds[key] = _Kind(now, source)
            return True
        kind.sources.add(source)
        if len(kind.sources) == 1:
            return True
        kind.count += 1
        kind.stream, kind.prefix, kind.text = stream, prefix, line.rstrip("\r\n")
        return False

    def due(self, now: float) -> list[Held]:
        """Return what has been held back long enough."""
        found = []
        for key in [key for key, kind in self._kinds.items() if now - kind.since >= self.window_s]:
            kind = self._kinds.pop(key)
            if kind.count:
                found.append(self._fold(kind))
            if kind.count > 1:  # they go on: the next ones are held back as well
                again = self._kinds[key] = _Kind(now, None)
                again.sources = kind.sources
        return found

    def rest(self) -> list[Held]:
        """Return all that is held back, and forget the lines."""
        kinds, self._kinds = self._kinds, {}
        return [self._fold(kind) for kind in kinds.values() if kind.count]

    @property
    def holding(self) -> bool:
        """Whether something is held back."""
        return any(kind.count for kind in self._kinds.values())

    def _fold(self, kind: _Kind) -> Held:
        text = kind.prefix + kind.text
        if kind.count > 1:
            text += f" [repeated {kind.count}x across cluster]"
            if not self._hinted:
                self._hinted = True
                text += _HINT
        return Held(kind.stream, text, kind.count)


def _pattern(text: str | None) -> re.Pattern[str] | None:
    if not text:
        return None
    try:
        return re.compile(text)
    except re.error:
        return None
