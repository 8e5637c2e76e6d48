"""What IPython 7 lacks, which Colab has: numbers of cells, the text of a cell as it was typed, notes of exceptions."""

from __future__ import annotations

import linecache
import sys
from typing import Any

_NUMBERS_CELLS = (8, 0)  # first version that does
_SHOWS_NOTES = (8, 15)  # those of PEP 678


def _is_before(version: tuple[int, int]) -> bool:
    ipython = sys.modules.get("IPython")  # in a worker it is there when a cell has asked for it
    return ipython is not None and ipython.version_info[:2] < version


def cell_numbers(compiler: Any) -> dict[str, int]:
    """Return the numbers of cells by what their code is compiled as; of IPython's own compiler they are its own."""
    numbers: dict[str, int] | None = getattr(compiler, "_filename_map", None)
    if numbers is None:
        numbers = compiler._filename_map = {}
    return numbers


def note_cell(shell: Any, raw: str) -> None:
    """Note the number of a cell that begins, where IPython does not."""
    if _is_before(_NUMBERS_CELLS):
        compiler = shell.compile
        cell_numbers(compiler)[compiler.get_code_name(raw, raw, shell.execution_count)] = shell.execution_count


def keep_text(name: str) -> None:
    """Have the text of a cell in ``linecache`` stay there: IPython puts what it made of the cell in its place."""
    cache: dict[str, Any] | None = getattr(linecache, "_ipython_cache", None)
    if cache is not None:
        cache[name] = linecache.cache[name]


def tell_notes(error: BaseException) -> None:
    """Print the notes of an error that has been shown without them."""
    if _is_before(_SHOWS_NOTES):
        for note in getattr(error, "__notes__", ()):
            print(note, file=sys.stderr)
