"""The line after ``%%remote``: one table of options, and how a line is read.

Pure. A mistake raises ``OptionError`` with a sentence; the magic makes IPython's
``UsageError`` of it, which shows no traceback.
"""

from __future__ import annotations

import ast
import difflib
import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .magic_words import split


class OptionError(ValueError):
    """The line after the magic cannot be read."""


@dataclass(slots=True)
class Each:
    """``--each x=ITER``: the cell runs once per item."""

    targets: list[str]  # more than one: items are unpacked
    expression: str  # Python, evaluated in the notebook

    @property
    def text(self) -> str:
        """The option as it was written."""
        return f"--each {','.join(self.targets)}={self.expression}"


@dataclass(slots=True)
class CellOptions:
    """What the line asked for."""

    task: dict[str, Any] = field(default_factory=dict)  # options of the task, Ray's names
    asynchronous: bool = False
    lazy: bool = False
    only_names: list[str] | None = None  # None: all names come back
    actor: str = ""
    each: Each | None = None
    node: str = ""
    timeout_s: float | None = None
    time: bool = False
    quiet: bool = False


def comes_back(name: str, only: list[str] | None) -> bool:
    """Whether a name that a cell binds comes back: what -o asks for, otherwise all but private names."""
    return not name.startswith("_") if only is None else name in only


def _number(option: str, text: str) -> float | int:
    try:
        value = float(text)
    except ValueError:
        raise OptionError(f"{option} takes a number, not {text!r}.") from None
    return int(value) if value.is_integer() else value  # what is no number, or no end, is refused as in Python


def _count(option: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise OptionError(f"{option} takes a whole number, not {text!r}.") from None


def _seconds(option: str, text: str) -> float:
    try:
        value = float(text.removesuffix("s"))
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise OptionError(f"{option} takes a number of seconds above 0, not {text!r}.")
    return value


_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def _bytes(option: str, text: str) -> int:
    digits = text.strip().upper().removesuffix("IB").removesuffix("B")
    unit = digits[-1:] if digits[-1:] in _UNITS else ""
    try:
        return int(float(digits.removesuffix(unit)) * _UNITS[unit])
    except (ValueError, OverflowError):
        raise OptionError(f"{option} takes a size such as 500M or 2G, not {text!r}.") from None


def _text(option: str, text: str) -> str:
    if not text:
        raise OptionError(f"{option} takes a text that is not empty.")
    return text


def _resources(option: str, text: str) -> dict[str, float]:
    """Read ``{"tpu": 1}`` or ``tpu=1,disk=0.5``."""
    try:
        if text.lstrip().startswith("{"):
            return {str(name): float(amount) for name, amount in json.loads(text).items()}
        pairs = [part.split("=") for part in text.split(",") if part]
        return {name.strip(): float(amount) for name, amount in pairs}
    except (ValueError, TypeError, AttributeError):
        raise OptionError(f"{option} takes NAME=AMOUNT,... or JSON, not {text!r}.") from None


def _each(option: str, text: str) -> Each:
    left, equals, expression = text.partition("=")
    targets = [name.strip() for name in left.split(",")]
    if not equals or not expression.strip() or not all(name.isidentifier() for name in targets):
        raise OptionError(f"{option} takes NAME=ITERABLE, such as x=range(10) or i,x=enumerate(xs), not {text!r}.")
    try:
        ast.parse(expression.strip(), mode="eval")
    except SyntaxError as error:
        raise OptionError(f"{option}: {expression.strip()!r} is no Python expression ({error.msg}).") from None
    return Each(targets, expression.strip())


def _names(option: str, text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if not name.isidentifier():
            raise OptionError(f"{option}: {name!r} is not a name.")
    return names


_PYTHON = ("--each=", "--resources={")  # quotes in what follows are a part of it
Reader = Callable[[str, str], Any]
TASK_OPTIONS: dict[str, tuple[str, Reader, str, str]] = {
    "--num-cpus": ("num_cpus", _number, "N", "CPUs that the cell needs (default 1; fractions share one)"),
    "--num-gpus": ("num_gpus", _number, "N", "GPUs that the cell needs; it sees only these"),
    "--memory": ("memory", _bytes, "SIZE", "memory to reserve, such as 500M or 2G"),
    "--resources": ("resources", _resources, "NAME=N,...", "other resources of the cluster"),
    "--name": ("name", _text, "NAME", "what the task is called in the panel and the timeline"),
    "--max-retries": ("max_retries", _count, "N", "run again when the worker dies, up to N times (default 0)"),
}
#: Options of the cell itself: field of CellOptions, reader, placeholder, meaning.
CELL_OPTIONS: dict[str, tuple[str, Reader, str, str]] = {
    "--actor": ("actor", _text, "NAME", "run in the actor NAME, whose names are kept from cell to cell"),
    "--each": ("each", _each, "x=ITER", "run once per item, side by side; names that are assigned become lists"),
    "--node": ("node", _text, "NODE", "run on this node: the beginning of its id, its name or its address"),
    "--timeout": ("timeout_s", _seconds, "SECONDS", "stop the cell when it has not ended by then"),
}
FLAGS: dict[str, tuple[str, str]] = {
    "--async": ("asynchronous", "return at once; the names that the cell assigns are ObjectRefs"),
    "--lazy": ("lazy", "leave values in the cluster; the names that the cell assigns are ObjectRefs"),
    "--no-out": ("only_names", "bring no names back"),
    "--quiet": ("quiet", "no progress, hints or notices of nbray; the cell's own output stays"),
    "--time": ("time", "tell how long the cell ran and waited, and its CPU time"),
}
NAME_LISTS = {"-o": "bring only these names back", "--out": "the same"}
HELP = ("--help", "-h")


def takes_value(name: str) -> bool:
    """Tell whether an option is followed by a value."""
    return name in TASK_OPTIONS or name in CELL_OPTIONS or name in NAME_LISTS


def every_option() -> list[str]:
    """Return the names of all options, in the order of the help."""
    return [*TASK_OPTIONS, *CELL_OPTIONS, *FLAGS, *NAME_LISTS]


def parse(line: str) -> CellOptions:
    """Read the line after ``%%remote``.

    Raises
    ------
    OptionError
        Says what is wrong and, for a misspelt option, which one was probably meant.
    """
    options = CellOptions()
    words = _split(line)
    if "--no-out" in words and any(word.partition("=")[0] in NAME_LISTS for word in words):
        raise OptionError("-o and --no-out do not go together: some names come back, or none.")
    words.reverse()
    while words:
        word = words.pop()
        name, equals, value = word.partition("=") if word.startswith("--") else (word, "", "")
        if name in TASK_OPTIONS:
            key, read, placeholder, _ = TASK_OPTIONS[name]
            options.task[key] = read(name, _value(name, equals, value, placeholder, words))
        elif name in CELL_OPTIONS:
            key, read, placeholder, _ = CELL_OPTIONS[name]
            if name == "--each" and options.each is not None:
                raise OptionError(
                    "--each is there twice: for each pair write --each a,b=itertools.product(xs, ys), for one by one a,b=zip(xs, ys)."
                )
            setattr(options, key, read(name, _value(name, equals, value, placeholder, words)))
        elif name in NAME_LISTS:
            text = _value(name, equals, value, "a,b", words)
            options.only_names = (options.only_names or []) + _names(name, text)
        elif name in FLAGS and not equals:
            key = FLAGS[name][0]
            setattr(options, key, [] if key == "only_names" else True)
        elif name in FLAGS:
            raise OptionError(f"{name} takes no value.")
        else:
            raise OptionError(_unknown(word))
    _check_together(options)
    return options


def _check_together(options: CellOptions) -> None:
    if options.actor and options.each is not None:
        raise OptionError(
            "--actor and --each do not go together: items run side by side, cells of an actor one after the other."
        )
    if options.actor and "max_retries" in options.task:
        raise OptionError("--actor and --max-retries do not go together: an actor's names end with its process.")


def parse_with_code(line: str) -> tuple[CellOptions, str]:
    """Read ``[options] expression`` of the line magic."""
    try:
        words = split(line)
    except ValueError:  # an open quote: the expression's own mistake, if there are no options
        words = []
    used = 0
    while used < len(words) and words[used].text.startswith("-"):
        word = words[used].text
        name = word.partition("=")[0] if word.startswith("--") else word
        if name not in FLAGS and not takes_value(name):
            if name.startswith("--") and name[2:3].isalpha():
                raise OptionError(_unknown(word))
            break  # the expression begins with a minus
        used += 2 if takes_value(name) and "=" not in word else 1
    end = words[used - 1].end if 0 < used <= len(words) else 0
    if used > len(words):
        end = len(line)
    code = line[end:].strip()
    options = parse(line[:end])
    if not code:
        raise OptionError("there is no expression to run.")
    return options, code


def _split(line: str) -> list[str]:
    """Split into words; quotes are taken off, except inside what is Python."""
    try:
        words = split(line)
    except ValueError as error:
        raise OptionError(f"cannot read {line.strip()!r}: {error}.") from None
    texts: list[str] = []
    if not words:
        return texts
    for word in _without_blanks([word.text for word in words]):
        if word.startswith("#"):  # a comment
            break
        python = word.startswith(_PYTHON) or (bool(texts) and texts[-1] == "--each")
        python = python or (bool(texts) and texts[-1] == "--resources" and word.startswith("{"))
        quoted_whole = word[:1] in ("'", '"') and word[:1] == word[-1:]
        if python and not quoted_whole:
            texts.append(word)
        else:
            texts.append("".join(shlex.split(word, posix=True)))
    return texts


def _without_blanks(words: list[str]) -> list[str]:
    """Join what is written with blanks as Python would be: ``--each i, x = ITER``, ``-o a, b``."""
    joined: list[str] = []
    for word in words:
        option = joined[-2] if len(joined) > 1 and not word.startswith("-") else ""
        signs = (",", "=") if option == "--each" else (",",) if option in NAME_LISTS else ()
        if signs and (joined[-1].endswith(signs) or word.startswith(signs)):
            joined[-1] += word
        else:
            joined.append(word)
    return joined


def _value(option: str, equals: str, value: str, placeholder: str, words: list[str]) -> str:
    if equals:
        return value
    if not words or words[-1].startswith("--"):
        raise OptionError(f"{option} needs a value: {option} {placeholder}.")
    return words.pop()


def _unknown(word: str) -> str:
    if not word.startswith("-"):
        return f"unexpected {word!r}: the code of the cell begins on the next line."
    every = every_option()
    near = difflib.get_close_matches(word.replace("_", "-").split("=")[0], every, 1, 0.6)
    hint = f"; did you mean {near[0]}?" if near else f"; the options are {', '.join(every)}."
    return f"unknown option {word}{hint}"


def complete(line: str, word: str) -> list[str]:
    """Return the options that may stand at the end of ``line``.

    Parameters
    ----------
    line
        The line up to the cursor, with the magic's name.
    word
        What has been typed of the last word.
    """
    before = line[: len(line) - len(word)].split()
    if before and takes_value(before[-1]):
        return []
    used = {part.partition("=")[0] for part in before}
    return [name for name in every_option() if name.startswith(word) and name not in used]


def help_text() -> str:
    """Return the list of options as plain text."""
    rows = [(f"{name} {entry[2]}", entry[3]) for name, entry in {**TASK_OPTIONS, **CELL_OPTIONS}.items()]
    rows += [(name, meaning) for name, (_, meaning) in FLAGS.items()]
    rows += [("-o a,b", NAME_LISTS["-o"])]
    width = max(len(left) for left, _ in rows)
    return "\n".join(f"    {left:<{width}}  {right}" for left, right in rows)
