"""Code, serialized: how large it may be, and what makes it large."""

from __future__ import annotations

import math
import time
import types
from typing import Any

from nbray.core import call_site
from nbray.serialization import serializer
from nbray.serialization.bounded import TooManyBytes

NAMED_BYTES = 1 << 20  # larger code warns with the names of what it captures
WARN_BYTES = 10 << 20  # larger code warns whatever the reason is
_COUNTED_S = 0.25  # for the figures of a refusal
SHOWN = 3  # captured names in a message
ADVICE = "put() them once and pass the refs as arguments"


def serialize(function: Any, name: str, max_bytes: int) -> bytes:
    """Serialize a function or class for workers; warn of what is large, refuse what is too large.

    Parameters
    ----------
    function : function or class
    name : str
        What the user calls it.
    max_bytes : int
        How large it may be.

    Warns
    -----
    UserWarning
        Above 1 MiB when captured values are the reason; above 10 MiB in any case.

    Raises
    ------
    ValueError
        It is larger than ``max_bytes``. That is told within a second: nothing is made that is not sent.
    """
    title = f"{'actor class' if isinstance(function, type) else 'remote function'} {name}"
    try:
        code = serializer.dumps_code(function, f"the {title}", max_bytes)
    except TooManyBytes:
        until = time.monotonic() + _COUNTED_S
        size, whole = serializer.count_code(function, _COUNTED_S / 2)
        least = "" if whole and size > max_bytes else "more than "
        raise ValueError(
            f"The {title} is too large: {least}{_mib(max(size, max_bytes))} serialized, at most {_mib(max_bytes)} are "
            f"allowed.{_because(_large_captured(function, until))} Instead, {ADVICE}. "
            f'(init(_system_config={{"code_bytes": ...}}) sets the limit.)'
        ) from None
    if len(code) > NAMED_BYTES:
        large = _large_captured(function)
        if large or len(code) > WARN_BYTES:
            text = f"The {title} is large: {_mib(len(code))} serialized.{_because(large)} Instead, {ADVICE}."
            call_site.warn(text, UserWarning)
    return code


def _because(large: list[tuple[int, str]]) -> str:
    what = ", ".join(f"{path} ({_mib(size)})" for size, path in large)
    return f" It captures large objects: {what}." if what else " It captures large objects."


def _large_captured(function: Any, until: float = math.inf) -> list[tuple[int, str]]:
    """Return the largest values that a function (or the methods of a class) captures: (bytes, name)."""
    functions = [function] if isinstance(function, types.FunctionType) else vars(function).values()
    sizes: dict[str, int] = {}
    for each in functions:
        code = getattr(each, "__code__", None)
        if code is None:
            continue
        for name, cell in zip(code.co_freevars, each.__closure__ or (), strict=False):
            sizes[name] = _size(getattr(cell, "cell_contents", None), until)
        for name in _global_names(code):
            value = each.__globals__.get(name)
            if not isinstance(value, (types.ModuleType, type(None))):
                sizes[name] = _size(value, until)
    large = sorted(((size, name) for name, size in sizes.items() if size > NAMED_BYTES // 4), reverse=True)
    return large[:SHOWN]


def _global_names(code: types.CodeType) -> set[str]:
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= _global_names(constant)
    return names


def _size(value: Any, until: float) -> int:
    try:
        return serializer.count_code(value, until - time.monotonic())[0]
    except Exception:  # what cannot be pickled is told elsewhere
        return 0


def _mib(size: int) -> str:
    return f"{size / 2**20:.1f} MiB" if size < 100 << 20 else f"{size >> 20} MiB"
