"""How large serialized code may be, and what makes it large."""

from __future__ import annotations

import types
from typing import Any

import cloudpickle

from nbray.core import call_site

NAMED_BYTES = 1 << 20  # larger code warns with the names of what it captures
WARN_BYTES = 10 << 20  # larger code warns whatever the reason is
MAX_BYTES = 512 << 20
SHOWN = 3  # captured names in a message
ADVICE = "put() them once and pass the refs as arguments"


def check(code: bytes, function: Any, name: str) -> None:
    """Warn of large code, refuse what is too large.

    Parameters
    ----------
    code : bytes
        ``function`` as it is sent to workers.
    function : function or class
    name : str
        What the user calls it.

    Warns
    -----
    UserWarning
        Above 1 MiB when captured values are the reason; above 10 MiB in any case.

    Raises
    ------
    ValueError
        Above 512 MiB.
    """
    size = len(code)
    if size <= NAMED_BYTES:
        return
    captured = largest_captured(function)
    large = [(size_of, path) for size_of, path in captured if size_of > NAMED_BYTES // 4][:SHOWN]
    title = f"{'actor class' if isinstance(function, type) else 'remote function'} {name}"
    what = ", ".join(f"{path} ({_mib(size_of)})" for size_of, path in large)
    because = f" It captures large objects: {what}." if what else " It captures large objects."
    if size > MAX_BYTES:
        raise ValueError(
            f"The {title} is too large: {_mib(size)} serialized, at most {_mib(MAX_BYTES)} are allowed."
            f"{because} Instead, {ADVICE}."
        )
    if large or size > WARN_BYTES:
        text = f"The {title} is large: {_mib(size)} serialized.{because} Instead, {ADVICE}."
        call_site.warn(text, UserWarning)


def largest_captured(function: Any) -> list[tuple[int, str]]:
    """Return the values that a function (or the methods of a class) captures: (bytes, name), the largest first."""
    functions = [function] if isinstance(function, types.FunctionType) else vars(function).values()
    sizes: dict[str, int] = {}
    for each in functions:
        code = getattr(each, "__code__", None)
        if code is None:
            continue
        for name, cell in zip(code.co_freevars, each.__closure__ or (), strict=False):
            sizes[name] = _size(getattr(cell, "cell_contents", None))
        for name in _global_names(code):
            value = each.__globals__.get(name)
            if not isinstance(value, (types.ModuleType, type(None))):
                sizes[name] = _size(value)
    return sorted(((size, name) for name, size in sizes.items()), reverse=True)


def _global_names(code: types.CodeType) -> set[str]:
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= _global_names(constant)
    return names


def _size(value: Any) -> int:
    try:
        return len(cloudpickle.dumps(value))
    except Exception:  # what cannot be pickled is told elsewhere
        return 0


def _mib(size: int) -> str:
    return f"{size / 2**20:.1f} MiB" if size < 100 << 20 else f"{size >> 20} MiB"
