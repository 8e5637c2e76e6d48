"""The module that stands in for ``__main__`` while a worker runs a cell."""

from __future__ import annotations

import builtins
import importlib
import types
from collections.abc import Callable, Iterable
from typing import Any


class MainModule(types.ModuleType):
    """Holds the names of a cell; pickle also finds the notebook's classes and functions here that came inside other values."""

    __slots__ = ("came",)

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.came: Callable[[], Iterable[Any]] = tuple  # returns all objects that came

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("__"):
            for code in map(of_main, self.came()):
                if code is not None and code.__qualname__ == name:
                    return code
        raise AttributeError(f"module '__main__' has no attribute {name!r}")

    def __reduce__(self) -> Any:
        return importlib.import_module, ("__main__",)


def of_main(obj: Any) -> Any:
    """Return a class or function of the notebook itself; None for all else."""
    # (To ask a weak proxy for its class is to ask its object, which may be gone.)
    return obj if issubclass(type(obj), type | types.FunctionType) and obj.__module__ == "__main__" else None


def new_module() -> MainModule:
    """Return an empty module in which a cell can run."""
    module = MainModule("__main__")
    module.__dict__["__builtins__"] = builtins
    for unwanted in ("__doc__", "__package__", "__loader__", "__spec__"):
        module.__dict__[unwanted] = None
    return module
