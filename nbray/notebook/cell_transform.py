"""IPython's syntax in a cell (magics, shell lines, ``?``) made Python, without a look at every token of cells that have none."""

from __future__ import annotations

import functools
import re
from typing import Any

from IPython.core import prefilter
from IPython.core.autocall import IPyAutocall
from IPython.core.inputtransformer2 import TransformerManager
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.macro import Macro

from .cell_text import without_comments_above

# What IPython might change somewhere: escapes, prompts, and lines of nothing but spaces (which it empties).
_MAYBE = re.compile(r"[%!?]|>>>|\.\.\.|^\s*[,;/]|^In |^[^\S\n]+$|\A\s", re.MULTILINE)
_WORD = re.compile(r"[\w.*]+")  # what may be a magic, a macro, or be called for its name alone
_CHECKERS = [
    prefilter.EmacsChecker, prefilter.MacroChecker, prefilter.IPyAutocallChecker, prefilter.AssignmentChecker,
    prefilter.AutoMagicChecker, prefilter.PythonOpsChecker, prefilter.AutocallChecker,
]  # fmt: skip


def transformed(shell: Any, body: str) -> str:
    """Return what ``shell.transform_cell`` returns; that takes a millisecond for a cell of a hundred lines."""
    if not body or shell.input_transformers_post or _MAYBE.search(body) or not _is_standard(shell):
        return str(shell.transform_cell(body))
    if len(body.splitlines()) > 1:
        return body if body.endswith("\n") else body + "\n"
    if _is_plain(shell, body):
        return body.rstrip("\n") + "\n"
    with shell.builtin_trap:  # `ls` alone, and names that call themselves
        return str(shell.prefilter_manager.prefilter_lines(body)) + "\n"


def _is_plain(shell: Any, line: str) -> bool:
    """Tell whether none of IPython's checkers would change a line without escapes; asking each of them takes 0.1 ms."""
    manager = shell.prefilter_manager
    match = _WORD.match(line)
    if match is None or shell.autocall or manager.transformers or [type(c) for c in manager.checkers] != _CHECKERS:
        return False
    word = match.group()
    return (
        type(manager) is prefilter.PrefilterManager
        and type(manager.get_handler_by_name("normal")) is prefilter.PrefilterHandler
        and not line.rstrip().endswith("# PYTHON-MODE")
        and not isinstance(shell.user_ns.get(word), Macro | IPyAutocall)
        and shell.find_magic(word) is None
    )


def _is_standard(shell: Any) -> bool:
    manager, standard = shell.input_transformer_manager, _standard()
    cleanup = [each for each in manager.cleanup_transforms if each is not without_comments_above]  # of %%remote alone
    return (
        type(manager) is TransformerManager
        and getattr(shell.transform_cell, "__func__", None) is InteractiveShell.transform_cell
        and cleanup == standard.cleanup_transforms
        and manager.line_transforms == standard.line_transforms
        and manager.token_transformers == standard.token_transformers
    )


@functools.cache
def _standard() -> TransformerManager:
    return TransformerManager()
