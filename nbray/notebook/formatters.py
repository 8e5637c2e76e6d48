"""How values are shown, where the user has said so: `get_ipython().display_formatter.formatters['text/html'].for_type(...)`.

What a notebook has registered holds for what its cells display on a worker, and what a cell registers holds in the notebook
afterwards, and on no other worker's cells but through it. What libraries register for themselves (IPython, matplotlib's inline
backend, nbray) is there on both sides anyway.
"""

from __future__ import annotations

from typing import Any

NAME = "_nbray_formatters"  # private: under which they go to the worker
_OWN = ("IPython", "matplotlib_inline", "nbray", "ipykernel")

By = dict[Any, Any]  # class, or (module, name) of one that may not be loaded -> function
Printers = dict[str, tuple[By, By]]  # by MIME type


def registered(shell: Any) -> Printers:
    """Return all that is registered in a shell, as it is now."""
    return {
        mime: (dict(formatter.type_printers), dict(formatter.deferred_printers))
        for mime, formatter in shell.display_formatter.formatters.items()
    }


def watch(shell: Any) -> list[tuple[By, By]]:
    """Return what ``unchanged`` looks at: the dictionaries in which it is registered, with copies of them."""
    formatters = shell.display_formatter.formatters
    kept = [by for formatter in formatters.values() for by in (formatter.type_printers, formatter.deferred_printers)]
    return [(by, dict(by)) for by in (formatters, *kept)]


def unchanged(watched: list[tuple[By, By]]) -> bool:
    """Whether nothing has been registered since; asks no traits, so each cell can afford it."""
    for by, then in watched:
        if by != then:
            return False
    return True


def is_as(shell: Any, before: Printers) -> bool:
    """Whether all that is registered was so before."""
    formatters = shell.display_formatter.formatters
    return len(formatters) == len(before) and all(
        formatter.type_printers == before[mime][0] and formatter.deferred_printers == before[mime][1]
        for mime, formatter in formatters.items()
        if mime in before
    )


def added(shell: Any, before: Printers) -> Printers:
    """Return what the user has registered since; one that was taken away again is None."""
    found: Printers = {}
    for mime, now in registered(shell).items():
        then = before.get(mime, ({}, {}))
        new = tuple(
            {
                key: by.get(key)
                for key in by.keys() | old.keys()
                if by.get(key) is not old.get(key) and _is_users(by.get(key))
            }
            for by, old in zip(now, then, strict=True)
        )
        if any(new):
            found[mime] = new  # type: ignore[assignment]
    return found


def _is_users(function: Any) -> bool:
    function = getattr(function, "func", function)  # of a functools.partial, as IPython registers for figures
    module = getattr(function, "__module__", None) or ""
    return function is None or module.partition(".")[0] not in _OWN


def register(shell: Any, printers: Printers) -> None:
    """Register what came from the other side."""
    for mime, (by_type, by_name) in printers.items():
        formatter = shell.display_formatter.formatters.get(mime)
        if formatter is None:
            continue
        for mine, theirs in ((formatter.type_printers, by_type), (formatter.deferred_printers, by_name)):
            for key, function in theirs.items():
                if function is None:
                    mine.pop(key, None)
                else:
                    mine[key] = function


def put_back(shell: Any, before: Printers) -> None:
    """Take away all of the user's that has been registered since."""
    for mime, (by_type, by_name) in added(shell, before).items():
        formatter = shell.display_formatter.formatters[mime]
        then = before.get(mime, ({}, {}))
        for mine, new, old in (
            (formatter.type_printers, by_type, then[0]),
            (formatter.deferred_printers, by_name, then[1]),
        ):
            for key in new:
                if key in old:
                    mine[key] = old[key]
                else:
                    mine.pop(key, None)
