"""Do something as soon as a module has been loaded, or just before, by whomever."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

Then = Callable[[ModuleType], None]


class FirstFinder(importlib.abc.MetaPathFinder):
    """Is asked for modules before all others, from ``install`` to ``remove``."""

    def install(self) -> None:
        sys.meta_path.insert(0, self)

    def remove(self) -> None:
        if self in sys.meta_path:
            sys.meta_path.remove(self)


class AfterImport(FirstFinder):
    """Notices when one of these modules is loaded.

    Parameters
    ----------
    names
        Names of modules that are not loaded yet.
    then
        Called with the module when it has been.
    """

    def __init__(self, names: Iterable[str], then: Then) -> None:
        self._names = set(names)
        self._then = then
        self._busy = False

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name not in self._names or self._busy:
            return None
        self._busy = True
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self._busy = False
        if spec is None or spec.loader is None:
            return None
        spec.loader = _ThenLoader(spec.loader, self._then)
        return spec


class _ThenLoader(importlib.abc.Loader):
    def __init__(self, loader: Any, then: Then) -> None:
        self._loader = loader
        self._then = then

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> Any:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        self._then(module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)


class BeforeImport(importlib.abc.MetaPathFinder):
    """Does something when one of these modules is about to be loaded.

    Parameters
    ----------
    names
        Names of modules.
    do
        Called without arguments.
    """

    def __init__(self, names: Iterable[str], do: Callable[[], Any]) -> None:
        self._names = set(names)
        self._do = do

    def install(self) -> None:
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)

    def remove(self) -> None:
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name in self._names:
            self._do()
        return None
