"""Plain-text tables and amounts, for people; JSON for programs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from typing import Any

_LONGEST = 60  # characters of a cell
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def size(count: float) -> str:
    """Return bytes as a person reads them."""
    value = float(count)
    for unit in _UNITS:
        if value < 1024 or unit == _UNITS[-1]:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return a table whose columns are as wide as they need to be; numbers stand at the right."""
    cells = [[_cell(value) for value in row] for row in rows]
    numeric = [all(isinstance(row[i], (int, float)) or row[i] is None for row in rows) for i in range(len(columns))]
    heads = [column.upper().replace("_", " ") for column in columns]
    widths = [
        max(len(heads[i]), *(len(row[i]) for row in cells)) if cells else len(heads[i]) for i in range(len(columns))
    ]

    def line(parts: Sequence[str]) -> str:
        padded = [
            part.rjust(width) if right else part.ljust(width)
            for part, width, right in zip(parts, widths, numeric, strict=True)
        ]
        return "  ".join(padded).rstrip()

    return "\n".join([line(heads), *(line(row) for row in cells)])


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, dict):
        value = ", ".join(f"{name}={_cell(one)}" for name, one in value.items())
    text = " ".join(str(value).split())  # no line breaks, no control characters of others
    text = "".join(char if char.isprintable() else "?" for char in text)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def rule(title: str) -> str:
    """Return a heading over a part of a page."""
    return f"-- {title} " + "-" * max(0, min(72, shutil.get_terminal_size().columns) - len(title) - 4)


def as_json(value: Any) -> str:
    """Return a value as JSON text."""
    return json.dumps(value, indent=2, default=str)
