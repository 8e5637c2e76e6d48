"""The line after ``%%remote``: one table of options, and how a line is read.

Pure. A mistake raises ``OptionError`` with a sentence; the magic makes IPython's
``UsageError`` of it, which shows no traceback.
"""

from __future__ import annotations

import difflib
import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


class OptionError(ValueError):
    """The line after the magic cannot be read."""


@dataclass(slots=True)
class CellOptions:
    """What the line asked for."""

    task: dict[str, Any] = field(default_factory=dict)  # options of the task, Ray's names
    asynchronous: bool = False
    only_names: list[str] | None = None  # None: all names come back


def _number(option: str, text: str) -> float | int:
    try:
        value = float(text)
    except ValueError:
        raise OptionError(f"{option} takes a number, not {text!r}.") from None
    return int(value) if value == int(value) else value


def _count(option: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise OptionError(f"{option} takes a whole number, not {text!r}.") from None


_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def _bytes(option: str, text: str) -> int:
    digits = text.strip().upper().removesuffix("IB").removesuffix("B")
    unit = digits[-1:] if digits[-1:] in _UNITS else ""
    try:
        return int(float(digits.removesuffix(unit)) * _UNITS[unit])
    except ValueError:
        raise OptionError(f"{option} takes a size such as 500M or 2G, not {text!r}.") from None


def _text(option: str, text: str) -> str:
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


TASK_OPTIONS: dict[str, tuple[str, Callable[[str, str], Any], str, str]] = {
    "--num-cpus": ("num_cpus", _number, "N", "CPUs that the cell needs (default 1; fractions share one)"),
    "--num-gpus": ("num_gpus", _number, "N", "GPUs that the cell needs; it sees only these"),
    "--memory": ("memory", _bytes, "SIZE", "memory to reserve, such as 500M or 2G"),
    "--resources": ("resources", _resources, "NAME=N,...", "other resources of the cluster"),
    "--name": ("name", _text, "NAME", "what the task is called in the panel and the timeline"),
    "--max-retries": ("max_retries", _count, "N", "run again when the worker dies, up to N times (default 0)"),
}
FLAGS = {
    "--async": "return at once; the names that the cell assigns are ObjectRefs",
    "--no-out": "bring no names back",
}
NAME_LISTS = {"-o": "bring only these names back", "--out": "the same"}
HELP = ("--help", "-h")


def parse(line: str) -> CellOptions:
    """Read the line after ``%%remote``.

    Raises
    ------
    OptionError
        Says what is wrong and, for a misspelt option, which one was probably meant.
    """
    options = CellOptions()
    try:
        words = shlex.split(line, posix=True)
    except ValueError as error:
        raise OptionError(f"cannot read {line.strip()!r}: {error}.") from None
    words.reverse()
    while words:
        word = words.pop()
        name, equals, value = word.partition("=") if word.startswith("--") else (word, "", "")
        if name in TASK_OPTIONS:
            key, read, placeholder, _ = TASK_OPTIONS[name]
            options.task[key] = read(name, value if equals else _argument(name, placeholder, words))
        elif name in NAME_LISTS:
            text = value if equals else _argument(name, "a,b", words)
            options.only_names = (options.only_names or []) + _names(name, text)
        elif name in FLAGS and not equals:
            if name == "--async":
                options.asynchronous = True
            else:
                options.only_names = []
        elif name in FLAGS:
            raise OptionError(f"{name} takes no value.")
        else:
            raise OptionError(_unknown(word))
    return options


def parse_with_code(line: str) -> tuple[CellOptions, str]:
    """Read ``[options] expression`` of the line magic."""
    words = line.split(" ")
    used = 0
    while used < len(words) and (not words[used] or words[used].startswith("-")):
        name = words[used].partition("=")[0]
        takes_value = name in TASK_OPTIONS or name in NAME_LISTS
        if words[used] and name not in FLAGS and not takes_value:
            if name.startswith("--"):
                raise OptionError(_unknown(words[used]))
            break  # the expression begins with a minus
        used += 2 if takes_value and "=" not in words[used] else 1
    code = " ".join(words[used:]).strip()
    if not code:
        raise OptionError("there is no expression to run.")
    return parse(" ".join(words[:used])), code


def _argument(option: str, placeholder: str, words: list[str]) -> str:
    if not words or words[-1].startswith("--"):
        raise OptionError(f"{option} needs a value: {option} {placeholder}.")
    return words.pop()


def _names(option: str, text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if not name.isidentifier():
            raise OptionError(f"{option}: {name!r} is not a name.")
    return names


def _unknown(word: str) -> str:
    if not word.startswith("-"):
        return f"unexpected {word!r}: the code of the cell begins on the next line."
    every = [*TASK_OPTIONS, *FLAGS, *NAME_LISTS]
    near = difflib.get_close_matches(word.replace("_", "-").split("=")[0], every, 1, 0.6)
    hint = f"; did you mean {near[0]}?" if near else f"; the options are {', '.join(every)}."
    return f"unknown option {word}{hint}"


def help_text() -> str:
    """Return the list of options as plain text."""
    rows = [(f"{name} {entry[2]}", entry[3]) for name, entry in TASK_OPTIONS.items()]
    rows += list(FLAGS.items())
    rows += [("-o a,b", NAME_LISTS["-o"])]
    width = max(len(left) for left, _ in rows)
    return "\n".join(f"    {left:<{width}}  {right}" for left, right in rows)
