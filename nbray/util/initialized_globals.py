"""What an initializer of a pool has stored into the globals of its module, for the functions of that module that come later.

Functions of the program itself go by value, each with globals of its own. In a process of the standard library's pools they
belong to one module, and programs rely on that: the initializer sets a global, and what is mapped reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

_MISSING = object()


class InitializedGlobals:
    """Calls an initializer and remembers which globals it has set."""

    def __init__(self, initializer: Callable[..., Any], initargs: tuple[Any, ...]) -> None:
        self._own = spaces = list(_namespaces(initializer))
        before = [dict(space) for space in spaces]
        initializer(*initargs)
        self._set: dict[str, dict[str, Any]] = {}  # name of the module -> its globals that were set
        for space, old in zip(spaces, before, strict=True):
            new = {name: value for name, value in space.items() if old.get(name, _MISSING) is not value}
            self._set.setdefault(space.get("__name__", ""), {}).update(new)

    def enter(self, function: Any) -> None:
        """Have a function that came by value see what was set."""
        for space in _namespaces(function):
            if any(space is own for own in self._own):  # they are there already, or have changed since
                continue
            space.update(self._set.get(space.get("__name__", ""), {}))


def _namespaces(function: Any) -> Iterator[dict[str, Any]]:
    """Yield the globals of the functions that make up a callable: its own, and those of what it wraps, binds or completes."""
    seen: list[Any] = []
    rest = [function]
    while rest:
        part = rest.pop()
        if part is None or any(part is other for other in seen):
            continue
        seen.append(part)
        rest += [getattr(part, name, None) for name in ("__wrapped__", "__func__", "func")]
        space = getattr(part, "__globals__", None)
        if type(space) is dict and not any(space is other for other in seen):
            seen.append(space)
            yield space
