"""What is found in the text of a cell: names that it mentions in payloads of magics, shell lines, strings for exec; where it begins.

Pure. Text is scanned, not parsed: what is found is only ever used to look into
the notebook's namespace, so a word too many costs little, a word too few a
NameError on the worker.
"""

from __future__ import annotations

import io
import re
import tokenize

_IDENTIFIER = re.compile(r"[^\W\d]\w*")
_BRACES = re.compile(r"\{+([^{}]+)\}+")
_DOLLAR = re.compile(r"\$([^\W\d]\w*)")
# Magics whose payload is no Python: only {x} and $x in it are names.
SHELL_MAGICS = frozenset(
    [
        "bash",
        "cat",
        "cd",
        "conda",
        "config",
        "cp",
        "env",
        "html",
        "javascript",
        "js",
        "latex",
        "load_ext",
        "ls",
        "mamba",
        "markdown",
        "matplotlib",
        "mkdir",
        "mv",
        "perl",
        "pip",
        "pwd",
        "reload_ext",
        "rm",
        "rmdir",
        "ruby",
        "script",
        "set_env",
        "sh",
        "svg",
        "sx",
        "system",
        "uv",
        "writefile",
    ]
)
# Those that look at all names, and at the directories that the notebook was in.
NAMESPACE_MAGICS = frozenset({"psearch", "reset_selective", "save", "who", "who_ls", "whos"})
DIRECTORY_MAGICS = frozenset({"cd", "dhist", "popd", "pushd", "dirs"})
# Methods of libraries that look for names of a text in the frame of whoever calls them: `df.query("x > @limit")` and `pd.eval` of
# pandas, `numexpr.evaluate`, "select * from df" in DuckDB and Polars.
QUERY_METHODS = frozenset({"query", "eval", "evaluate", "sql", "execute"})
# The same of formulas, by themselves: "y ~ x + scaled(z)" (statsmodels). A tilde before a slash is a home directory.
_FORMULA = re.compile(r"~\s*[\w(]")
# A text longer than this is data, not code.
MAX_TEXT_CHARS = 200_000


def names_in_python(text: str) -> set[str]:
    """Return every identifier in a text that may be Python."""
    if len(text) > MAX_TEXT_CHARS:
        return set()
    return set(_IDENTIFIER.findall(text))


def is_formula(text: str) -> bool:
    """Whether a text may be a model's formula."""
    return "~" in text and _FORMULA.search(text) is not None


def names_in_shell(text: str) -> set[str]:
    """Return the names that IPython expands in a shell line: ``{x + y}``, ``$x``."""
    names = set(_DOLLAR.findall(text))
    for expression in _BRACES.findall(text):
        names.update(_IDENTIFIER.findall(expression))
    return names


def without_comments_above(lines: list[str]) -> list[str]:
    """Return a cell from ``%%remote`` on, if there are only comments above: a form of Colab's, a heading.

    IPython sees a magic in the first line alone.
    """
    for number, line in enumerate(lines):
        text = line.strip()
        if number and text.split(maxsplit=1)[:1] == ["%%remote"]:
            return [line.lstrip(), *lines[number + 1 :]]
        if text and not text.startswith("#"):
            break
    return lines


_NOT_CODE = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)


def ends_with_semicolon(text: str) -> bool:
    """Whether the last thing in a cell, but for comments, is a semicolon, which keeps its value from being shown.

    (Of IPython's own ways to tell, no one is in all versions.)
    """
    if ";" not in text:
        return False
    last = ""
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type not in _NOT_CODE:
                last = token.string
    except (tokenize.TokenError, SyntaxError):  # magics and commands of the shell are no Python
        last = text.rstrip()[-1:]
    return last == ";"
