"""``import ray`` gives nbray: a finder for modules, and a distribution, of the name "ray".

``ray`` becomes a module of its own that shows what ``nbray`` has but says a version of Ray.
``ray.x`` is the very module ``nbray.x``; what Ray keeps at places that nbray has no use for
is in ``nbray.ray_names``. This file knows nothing of the rest, so that a worker can use it
before anything is unpickled. Users call ``nbray.as_ray``.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.machinery
import importlib.util
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any

RAY_VERSION = "2.60.0"  # whose core API nbray follows
VARIABLE = "NBRAY_AS_RAY"  # for processes that a driver with the alias starts: the version that ray says it is

#: Parts of Ray that are no part of its core.
ABSENT = frozenset({"air", "dashboard", "llm", "rllib", "serve", "train", "tune", "workflow"})

#: Of these there is a place with the names that packages import and do not use.
PLACEHOLDERS = frozenset({"autoscaler", "data"})

#: Smaller parts that nbray does not have: why, or what to use in their place.
LEFT_OUT = {
    "cross_language": "tasks and actors are Python alone",
    "experimental.channel": "compiled graphs are no part of it",
    "experimental.compiled_dag_ref": "compiled graphs are no part of it",
    "experimental.rdt": "objects lie in the node's memory, not on GPUs",
    "util.actor_group": "Ray has deprecated it; use a list of actors, ray.util.ActorPool or nbray.Executor",
    "util.client_connect": "drivers join a cluster directly, with init(address=...)",
    "util.connect": "drivers join a cluster directly, with init(address=...)",
    "util.debugpy": "ray.util.pdb and `nbray debug` look into tasks",
    "util.disconnect": "drivers leave a cluster with shutdown()",
    "util.iter": "Ray has deprecated it; use actors with ray.util.map_unordered or ray.util.ActorPool",
    "util.iter_metrics": "Ray has deprecated it; use ray.util.metrics",
    "util.ray_debugpy": "ray.util.pdb and `nbray debug` look into tasks",
    "util.spark": "there is one node, and no Spark to start others with",
    "util.tracing": "no spans of OpenTelemetry are made; ray.timeline() tells what ran when",
}

#: Attributes of Ray's module, deprecated there, that are modules of other names.
_OLD_ATTRIBUTES = {"ray_constants": "_private.ray_constants", "state": "_private.state", "worker": "_private.worker"}

_NAMES = "nbray.ray_names"
_lock = threading.RLock()
_installed: Any = None  # _Finder


def absent(name: str) -> ModuleNotFoundError:
    """Return the error for a part of Ray that nbray does not have."""
    return ModuleNotFoundError(
        f"nbray does not have {name}: it has Ray's core (tasks, actors, objects, ray.util), not the libraries built on "
        "it. Programs that need them need Ray itself.",
        name="ray",  # not the part's own name: `from ray import tune` would hide this message then
    )


def left_out(part: str) -> ModuleNotFoundError | None:
    """Return the error for a part in LEFT_OUT, such as ``util.iter``, and what is below it; None for any other."""
    name = part
    while name and name not in LEFT_OUT:
        name = name.rpartition(".")[0]
    if not name:
        return None
    return ModuleNotFoundError(f"nbray does not have ray.{part}: {LEFT_OUT[name]}.", name="ray")  # see ``absent``


class _Module(ModuleType):
    """The module ``ray``: all that ``nbray`` has, under a version of Ray.

    What is in ``nbray.__all__`` is copied, so that ``ray.get`` costs no more than ``nbray.get``.
    """

    def __init__(self, original: ModuleType, version: str) -> None:
        super().__init__("ray", original.__doc__)
        own = self.__dict__
        own.update({name: getattr(original, name) for name in original.__all__})
        own.update(
            _original=original, __version__=version, __commit__="", __file__=original.__file__,
            __path__=list(original.__path__), __all__=list(original.__all__),
        )  # fmt: skip

    def __getattr__(self, name: str) -> Any:
        if name in ABSENT:
            raise AttributeError(str(absent(f"ray.{name}")))
        if (missing := left_out(name)) is not None:
            raise AttributeError(str(missing))
        if name in _OLD_ATTRIBUTES:
            return importlib.import_module(f"{_NAMES}.{_OLD_ATTRIBUTES[name]}")
        try:
            return getattr(self.__dict__["_original"], name)
        except AttributeError:
            pass
        if name.startswith("__"):
            raise AttributeError(f"module 'ray' has no attribute {name!r}")
        try:
            return importlib.import_module(f"{_NAMES}.{name}")
        except ModuleNotFoundError as error:
            if error.name != f"{_NAMES}.{name}":
                raise
        raise AttributeError(f"module 'ray' (which is nbray) has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if not name.startswith("__"):
            setattr(self._original, name, value)

    def __delattr__(self, name: str) -> None:
        super().__delattr__(name)
        if not name.startswith("__") and hasattr(self._original, name):
            delattr(self._original, name)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *dir(self._original)})

    def __reduce__(self) -> Any:
        return importlib.import_module, ("ray",)


class _Loader:  # not of importlib.abc, which takes 15 ms to import
    """Hands out a module that exists under another name."""

    def __init__(self, module: ModuleType) -> None:
        self.module = module
        self.spec = module.__spec__

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        return self.module

    def exec_module(self, module: ModuleType) -> None:
        spec, module_spec = self.spec, module.__spec__
        if isinstance(module, _Module) or spec is None or module_spec is None:
            return
        module.__spec__ = spec  # the import system has put that of the alias there
        # ray.util.placement_group is a function and a module. The import system puts what it imports into its parent, so
        # such a module is known under the alias from the beginning.
        start = f"{spec.name}."
        for name, child in list(sys.modules.items()):
            short = name.removeprefix(start)
            if short != name and "." not in short and vars(module).get(short, child) is not child:
                sys.modules[f"{module_spec.name}.{short}"] = child


class _Finder:
    """Finds ``ray`` and all below it, and the distribution "ray"."""

    def __init__(self, version: str) -> None:
        self.version = version

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        top, _, rest = name.partition(".")
        if top != "ray":
            return None
        if not rest:
            module: Any = _Module(importlib.import_module("nbray"), self.version)
        elif rest.split(".")[0] in ABSENT:
            raise absent(name)
        elif rest.split(".")[0] in PLACEHOLDERS:
            module = importlib.import_module(f"{_NAMES}.{rest}")
        else:
            module = _module(f"nbray.{rest}") or _module(f"{_NAMES}.{rest}")
            if module is None:
                raise ModuleNotFoundError(f"No module named {name!r} (nbray stands in for Ray here)", name=name)
        return _spec_of(name, module)

    def find_distributions(self, context: Any = None) -> Iterator[Any]:
        """Yield the distribution "ray" to ``importlib.metadata``."""
        wanted = getattr(context, "name", None)
        if wanted in (None, "ray"):
            yield _distribution(self.version)


class _RaysPlaces:
    """Finds ``nbray.cloudpickle`` and its like, which are in ``nbray.ray_names``; asked last, for what is not there.

    It says of ``nbray.tune`` and its like that nbray does not have them.
    """

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        part = name.removeprefix(_NAMES + ".") if name.startswith(_NAMES) else name.removeprefix("nbray.")
        if part == name:
            return None
        if part.split(".")[0] in ABSENT | PLACEHOLDERS:
            raise absent(f"ray.{part}")
        if (error := left_out(part)) is not None:
            raise error
        if "." in part or name.startswith(_NAMES):
            return None
        module = _module(f"{_NAMES}.{part}")
        return None if module is None else _spec_of(name, module)


class _BelowRaysPlaces:
    """Finds ``nbray._private.worker``; asked first, lest the file of such a module is loaded a second time."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        if not name.startswith("nbray."):
            return None
        parent, _, last = name.rpartition(".")
        where = getattr(sys.modules.get(parent), "__name__", parent)
        if where == parent:
            return None
        module = _module(f"{where}.{last}")
        return None if module is None else _spec_of(name, module)


def find_rays_places() -> None:
    """Make ``import nbray.x`` find what ``import ray.x`` finds, and ``import nbray.tune`` fail with an explanation."""
    if not any(isinstance(finder, _RaysPlaces) for finder in sys.meta_path):
        sys.meta_path.insert(0, _BelowRaysPlaces())
        sys.meta_path.append(_RaysPlaces())


def _spec_of(name: str, module: Any) -> importlib.machinery.ModuleSpec:
    """Return what makes the import system know a module by another name as well."""
    loader: Any = _Loader(module)
    spec = importlib.machinery.ModuleSpec(name, loader, is_package=hasattr(module, "__path__"))
    if spec.submodule_search_locations is not None:
        spec.submodule_search_locations.extend(module.__path__)
    return spec


def _module(name: str) -> ModuleType | None:
    """Import a module; None when there is none of this name."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
            return None
        raise


def _distribution(version: str) -> Any:
    from importlib import metadata  # noqa: PLC0415 - slow, and asked for by few

    class Ray(metadata.Distribution):
        """What ``importlib.metadata`` knows of "ray" while nbray stands in for it."""

        def read_text(self, filename: str) -> str | None:
            if filename in ("METADATA", "PKG-INFO"):
                return f"Metadata-Version: 2.1\nName: ray\nVersion: {version}\nSummary: nbray in Ray's place\n"
            return "ray\n" if filename == "top_level.txt" else None

        def locate_file(self, path: Any) -> Any:
            return path

    return Ray()


def is_installed() -> bool:
    """Tell whether ``import ray`` gives nbray in this process."""
    return _installed is not None


def version() -> str:
    """Return the version that ``ray`` says it is; empty while ``import ray`` does not give nbray."""
    return _installed.version if _installed is not None else ""


def install(said: str = "") -> bool:
    """Make ``import ray`` give nbray; False when it did already.

    Parameters
    ----------
    said
        The version that ``ray`` then says it is; empty: as it is, at first RAY_VERSION.

    Raises
    ------
    RuntimeError
        When Ray itself has been imported in this process.
    """
    global _installed
    with _lock:
        if _installed is not None:
            if said and said != _installed.version:
                _installed.version = os.environ[VARIABLE] = said
                sys.modules["ray"].__dict__["__version__"] = said
            return False
        there = sys.modules.get("ray")
        if there is not None:
            raise RuntimeError(
                f"as_ray(): Ray itself ({getattr(there, '__version__', '?')}, {getattr(there, '__file__', '?')}) has been "
                "imported in this process already. Call nbray.as_ray() before anything imports ray."
            )
        _installed = _Finder(said or RAY_VERSION)
        sys.meta_path.insert(0, _installed)
        os.environ[VARIABLE] = _installed.version
        importlib.import_module("ray")
        return True


def remove() -> None:
    """Undo ``install``; modules that have imported ``ray`` keep what they have."""
    global _installed
    with _lock:
        if _installed is None:
            return
        with contextlib.suppress(ValueError):
            sys.meta_path.remove(_installed)
        _installed = None
        os.environ.pop(VARIABLE, None)
        for name in _names(list(sys.modules)):
            del sys.modules[name]


def _names(modules: Sequence[str]) -> list[str]:
    return [name for name in modules if name == "ray" or name.startswith("ray.")]


def inherit() -> None:
    """In a worker: install if the driver that started its node had."""
    if said := os.environ.get(VARIABLE):
        install(said if "." in said else "")


def follow(wanted: str) -> None:
    """In a worker: do as the driver does whose task is next: what its ``version`` returns."""
    if wanted and wanted != version():
        install(wanted)
    elif not wanted and _installed is not None:
        remove()
