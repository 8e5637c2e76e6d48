"""The folder of this user in which what outlives a cluster is kept: virtual environments, what has been said once."""

from __future__ import annotations

import os


def cache_folder(*names: str) -> str:
    """Return the folder, or one in it, made if need be."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    path = os.path.join(base, "nbray", *names)
    os.makedirs(path, mode=0o700, exist_ok=True)
    return path


def first_time(name: str) -> bool:
    """Tell whether this user is asked this for the first time, and remember it; False where nothing can be remembered."""
    try:
        os.close(os.open(os.path.join(cache_folder("said"), name), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except OSError:
        return False
    return True
