"""``%autoreload`` reaches the workers: modules that changed on disk are loaded anew there; as are those that the kernel has in another version.

The kernel's own reloader says whether and for which modules it is on; each worker looks at
the files of the user's modules that it has loaded (not those of the standard library or of
installed packages) before it runs a cell. What IPython does to old functions and classes
when it reloads a module, it does here as well: its code is used.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Container
from types import ModuleType
from typing import Any

from .installed_modules import is_installed
from .unheard import unheard

_loaded: dict[str, int] = {}  # module -> time of its file (ns) when it was loaded
_files: dict[str, str] = {}  # module -> its source; "": not the user's
_n_modules = 0  # in sys.modules, at the last look
_old_objects: dict[Any, Any] = {}  # IPython's memory of what it replaced


def reloader_of(shell: Any) -> Any:
    """Return what IPython reloads modules with in the kernel; None when it was never asked to."""
    return getattr(shell.magics_manager.registry.get("AutoreloadMagics"), "_reloader", None)


def wanted_here(reloader: Any) -> dict[str, Any] | None:
    """Return what the kernel's ``%autoreload`` is set to; None when it is off."""
    if reloader is None or not getattr(reloader, "enabled", False):
        return None
    return {
        "all": bool(reloader.check_all),
        "only": list(reloader.modules),
        "skip": list(reloader.skip_modules),
    }


def note_loaded() -> None:
    """In a worker, after a cell: remember which version of each module was loaded."""
    global _n_modules
    if len(sys.modules) == _n_modules:
        return
    for name, module in list(sys.modules.items()):
        # Others may have asked for its file already.
        if name not in _loaded and _files.get(name) != "":
            changed = changed_at(name, module)
            if changed is not None:
                _loaded[name] = changed
    _n_modules = len(sys.modules)


def reload_changed(reloads: dict[str, Any]) -> None:
    """In a worker, before a cell: load the modules anew whose files have changed."""
    names = list(sys.modules) if reloads["all"] else reloads["only"]
    for name in names:
        module = sys.modules.get(name)
        if module is None or name in reloads["skip"]:
            continue
        changed = changed_at(name, module)
        if changed is None:
            continue
        if _known(name, changed) != changed:
            _loaded[name] = changed
            _reload(module)


def reload_others(times: dict[str, int]) -> None:
    """In a worker, before a cell: load the modules anew of which the kernel has another version, in this order."""
    for name, time in times.items():
        module = sys.modules.get(name)
        if module is None or _loaded.get(name) == time:
            continue
        changed = changed_at(name, module)
        # What is newer here than there is as new as can be.
        if changed is None or _known(name, changed) in (time, changed):
            continue
        _loaded[name] = changed
        try:
            with unheard():  # what it prints was seen when the kernel loaded it
                importlib.reload(module)
        except Exception:
            continue  # the old one stays, as it did there


def note_reloaded(name: str) -> None:
    """In a worker: a cell has reloaded this module."""
    changed = changed_at(name, sys.modules.get(name))
    if changed is not None:
        _loaded[name] = changed


def _known(name: str, changed: int) -> int | None:
    """Return the time of the file of a module when it was loaded; None: it is not known. ``changed`` is that of now."""
    known = _loaded.get(name)
    if known is None:
        import psutil  # noqa: PLC0415 - only of what a plain task has loaded

        if changed < psutil.Process().create_time() * 1e9:
            return changed  # not touched since this process began
    return known


def _reload(module: ModuleType) -> None:
    from IPython.extensions.autoreload import superreload  # noqa: PLC0415 - only when something has changed

    names = vars(module)
    inner = {name: each for name, each in names.items() if _is_submodule(module, name, each)}
    try:
        superreload(module, importlib.reload, _old_objects)
    except Exception:
        pass  # as in the kernel, which shows why: the old one stays
    # A package has a module of its own as an attribute since that was loaded, and it is not loaded again.
    for name, each in inner.items():
        names.setdefault(name, each)


def _is_submodule(module: ModuleType, name: str, value: Any) -> bool:
    dotted = f"{module.__name__}.{name}"
    return isinstance(value, ModuleType) and value.__name__ == dotted and sys.modules.get(dotted) is value


def of_the_user(but: Container[str] = ()) -> list[str]:
    """Return the names of the modules that are loaded and not installed, nor of the standard library."""
    return [name for name, module in list(sys.modules.items()) if name not in but and source_file(name, module)]


def changed_at(name: str, module: Any) -> int | None:
    """Return the time of a module's file; None when the module is not the user's."""
    file = source_file(name, module)
    if not file:
        return None
    try:
        return os.stat(file).st_mtime_ns
    except OSError:
        return None


def source_file(name: str, module: Any) -> str:
    """Return the file of one of the user's modules; "": it is none of them."""
    file = _files.get(name)
    if file is None:
        file = _files[name] = _source(name, module)
    return file


def _source(name: str, module: Any) -> str:
    file = getattr(module, "__file__", None)
    if not isinstance(file, str) or not file.endswith(".py") or name in ("__main__", "__mp_main__"):
        return ""
    return "" if is_installed(name, file) else file
