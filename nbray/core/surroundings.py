"""What a worker takes over from an owner before it unpickles anything else of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

from nbray.core import current


def working_directory() -> str:
    """Return where this process is; the root when that folder has been removed under its feet."""
    try:
        return os.getcwd()
    except OSError:
        return "/"


class Surroundings(dict[str, Any]):
    """An owner's context (sys.path, working directory ...) that takes effect while it is unpickled.

    A worker that makes an actor reads one pickle with the class, its arguments and the
    context; what stands after the context may need it.
    """

    def __reduce__(self) -> Any:
        return _arrive, (dict(self),)


class ModulePath:
    """The driver's ``sys.path``, as its workers get it: what is added later reaches them with the next function or actor.

    Parameters
    ----------
    first : list of str
        Folders that stand before all others.
    """

    def __init__(self, first: Sequence[str] = ()) -> None:
        self._here = working_directory()  # what an empty entry means
        self._first = [os.path.normpath(os.path.join(self._here, folder)) for folder in first]
        self._seen: list[str] = []

    def changed(self) -> bool:
        """Tell whether ``sys.path`` is another than when ``folders`` was called last."""
        return sys.path != self._seen

    def folders(self) -> list[str]:
        """Return the path for workers."""
        self._seen = list(sys.path)
        path = [folder or self._here for folder in self._seen if isinstance(folder, str)]
        main = sys.modules.get("__main__")
        main_file = getattr(main, "__file__", None)
        # Not of a program that was started with -m: there the modules of its package would hide others of their name.
        if main_file and getattr(main, "__spec__", None) is None:
            folder = os.path.dirname(os.path.normpath(os.path.join(self._here, main_file)))
            if folder not in path:
                path.insert(0, folder)
        return self._first + [folder for folder in path if folder not in self._first]


def _arrive(context: dict[str, Any]) -> dict[str, Any]:
    executor = getattr(current.core, "executor", None)
    if executor is not None:
        executor.take_over(context)
    return context
