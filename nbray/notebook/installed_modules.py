"""Which modules belong to installed packages, and so are not the user's own.

Most are told by their path. Packages may lie elsewhere, too (``pip install --target``, a PEX, a layer on PYTHONPATH),
perhaps beside modules of the user: there what the installer has recorded decides.
"""

from __future__ import annotations

import csv
import os
import sysconfig
from importlib.metadata import distributions

from .error_record import PACKAGE_DIR

_STDLIB = {sysconfig.get_path("stdlib") + os.sep, sysconfig.get_path("platstdlib") + os.sep}
_NOT_THE_USERS = (PACKAGE_DIR, *(_STDLIB | {os.path.realpath(path) + os.sep for path in _STDLIB}))
_PACKAGES = tuple(f"{os.sep}{folder}{os.sep}" for folder in ("site-packages", "dist-packages"))

_recorded: dict[str, frozenset[str]] = {}  # folder -> names in it that installers have recorded


def is_installed(name: str, path: str) -> bool:
    """Tell whether the module ``name`` with this source file is of the standard library or of an installed package."""
    if _by_path(path):
        return True
    real = os.path.realpath(path)  # which takes a while, and nearly all are known by now
    return (real != path and _by_path(real)) or _by_record(name, path)


def _by_path(path: str) -> bool:
    return path.startswith(_NOT_THE_USERS) or any(folder in path for folder in _PACKAGES)


def _by_record(name: str, path: str) -> bool:
    levels = name.count(".") + (os.path.basename(path) == "__init__.py")
    root = path
    for _ in range(levels + 1):
        root = os.path.dirname(root)
    top = os.path.relpath(path, root).split(os.sep)[0]
    if root not in _recorded:
        _recorded[root] = _read_records(root)
    return top in _recorded[root]


def _read_records(folder: str) -> frozenset[str]:
    """Return the first parts of the paths of what is installed in a folder; an editable package records no source there."""
    names: set[str] = set()
    try:
        if not any(entry.endswith(".dist-info") for entry in os.listdir(folder)):
            return frozenset()
        for distribution in distributions(path=[folder]):
            lines = (distribution.read_text("RECORD") or "").splitlines()
            names.update(row[0].split("/")[0] for row in csv.reader(lines) if row)
    except (OSError, ValueError, csv.Error):  # unreadable: taken for the user's
        pass
    return frozenset(names)
