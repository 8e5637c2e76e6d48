"""``importlib.reload`` holds on both sides: what the user loads anew here is new in the workers, what a cell loads anew is new here.

Each side knows, of each of the user's modules that it has loaded, the time of its file then. The kernel's go along with each cell, in
the order in which modules were loaded anew, since one may take names from another; a worker that has another version loads
the module once more. Which modules a cell reloads is noticed where Python looks for their source.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable
from types import ModuleType
from typing import Any

from . import module_reload
from .after_import import FirstFinder
from .unheard import unheard


class ReloadLog(FirstFinder):
    """Notes which modules are reloaded: those that are looked for although they are there."""

    def __init__(self) -> None:
        self._names: list[str] = []

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if target is not None:
            self._names.append(name)
        return None

    def take(self) -> list[str]:
        """Return the names since the last call, each at its last place."""
        names, self._names = self._names, []
        return list(dict.fromkeys(reversed(names)))[::-1]


class Versions:
    """In the kernel: which versions of the user's modules are loaded."""

    def __init__(self) -> None:
        self._log = ReloadLog()
        self._log.install()
        self._times: dict[str, int] = {}
        self._specs: dict[str, Any] = {}
        self._patched: dict[str, Any] = {}  # the times that autoreload had for them

    def times(self, names: Iterable[str], reloader: Any = None) -> dict[str, int]:
        """Return the time of the file of each of these modules when it was loaded; what was reloaded stands last.

        Parameters
        ----------
        reloader
            That of ``%autoreload``, which may have put what is new into a module without loading it.
        """
        reloaded = self._log.take()
        for name in [*names, *reloaded]:
            module = sys.modules.get(name)
            spec = getattr(module, "__spec__", None)
            patched = reloader is not None and self._is_patched(name, module, reloader)
            if spec is None or (self._specs.get(name) is spec and not patched):
                continue
            self._specs[name] = spec  # each reload makes another
            changed = module_reload.changed_at(name, module)
            if changed is not None:
                self._times.pop(name, None)
                self._times[name] = changed
        return self._times

    def _is_patched(self, name: str, module: Any, reloader: Any) -> bool:
        """Whether autoreload has taken in another version since the last look."""
        time = reloader.modules_mtimes.get(name)
        before, self._patched[name] = self._patched.get(name), time
        if before is None or time == before:  # at its first look it takes a module as it is
            return False
        return bool(reloader.failed.get(getattr(module, "__file__", None)) != time)

    def forget(self) -> None:
        """Notice no more."""
        self._log.remove()


def reload(names: Iterable[str]) -> list[str]:
    """In the kernel: load modules anew that a cell has loaded anew; returns sentences on what failed. What they print has been seen."""
    messages = []
    for name in names:
        module = sys.modules.get(name)
        if not isinstance(module, ModuleType):
            continue
        try:
            with unheard():
                importlib.reload(module)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            messages.append(f"module {name} cannot be reloaded here: {type(error).__name__}: {error}")
    return messages


class InCell:
    """In a worker: which of the user's modules a cell reloads."""

    def __init__(self) -> None:
        self._log = ReloadLog()
        self._log.install()

    def end(self) -> list[str]:
        """Return their names, in order."""
        self._log.remove()
        names = []
        for name in self._log.take():
            module = sys.modules.get(name)
            if isinstance(module, ModuleType) and module_reload.source_file(name, module):
                module_reload.note_reloaded(name)
                names.append(name)
        return names
