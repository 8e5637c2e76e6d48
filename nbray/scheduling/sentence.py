"""A sentence that remembers what it is made of, so that a page can say it in another language. Pure."""

from __future__ import annotations

import re
from typing import Any

_PLACE = re.compile(r"%(\d)")


class Sentence(str):
    """English text; ``template`` and ``values`` are what it was made of.

    A value may be a sentence, too: ``tree`` has them all.
    """

    template: str
    values: tuple[str, ...]

    def tree(self) -> list[Any]:
        """Return ``[template, value, ...]`` with a list in the place of each value that is a sentence."""
        return [self.template, *(one.tree() if isinstance(one, Sentence) else str(one) for one in self.values)]


def say(template: str, *values: Any) -> Sentence:
    """Return the text with ``%1``, ``%2`` ... filled in."""
    texts = tuple(one if isinstance(one, str) else str(one) for one in values)
    sentence = Sentence(_PLACE.sub(lambda place: texts[int(place[1]) - 1], template))
    sentence.template, sentence.values = template, texts
    return sentence
