"""Split the line of a magic into words: quotes and brackets keep blanks inside. Pure."""

from __future__ import annotations

from typing import NamedTuple

_CLOSING = {"(": ")", "[": "]", "{": "}"}


class Word(NamedTuple):
    """One word as it was written, and where it ends in the line."""

    text: str
    end: int


def split(line: str) -> list[Word]:
    """Split ``line`` at blanks that are outside of quotes and brackets.

    Raises
    ------
    ValueError
        For a quote or a bracket that stays open.
    """
    words: list[Word] = []
    open_brackets: list[str] = []
    start, quote, at = -1, "", 0
    while at < len(line):
        char = line[at]
        if quote:
            if char == "\\":
                at += 1
            elif char == quote:
                quote = ""
        elif char.isspace() and not open_brackets:
            if start >= 0:
                words.append(Word(line[start:at], at))
            start = -1
            at += 1
            continue
        elif char in "'\"":
            quote = char
        elif char in _CLOSING:
            open_brackets.append(_CLOSING[char])
        elif open_brackets and char == open_brackets[-1]:
            open_brackets.pop()
        if start < 0:
            start = at
        at += 1
    if quote:
        raise ValueError("No closing quotation")
    if open_brackets:
        raise ValueError(f"no closing {open_brackets[-1]}")
    if start >= 0:
        words.append(Word(line[start:], len(line)))
    return words
