"""``as_ray``: packages that say ``import ray`` run on nbray."""

from __future__ import annotations

import re
from typing import Any

from nbray import ray_alias
from nbray.core import current

_VERSION = re.compile(r"\d+(\.\d+)+([a-z]+\d*)?")


class AsRay:
    """What ``as_ray`` returns; ends it when used in ``with``."""

    def __init__(self, began: bool) -> None:
        self._began = began

    def undo(self) -> None:
        """Let ``import ray`` find Ray again. Modules that have imported it keep nbray."""
        ray_alias.remove()
        _tell_workers()

    def __enter__(self) -> AsRay:
        return self

    def __exit__(self, *exc: Any) -> None:
        if self._began:  # else it belongs to somebody further out
            self.undo()

    def __repr__(self) -> str:
        state = "on" if ray_alias.is_installed() else "off"
        return f"<as_ray: {state}; 'import ray' gives nbray>"


def as_ray(*, version: str | None = None) -> AsRay:
    """Make ``import ray`` give nbray, here and in every worker.

    ``ray.x`` is then the same module as ``nbray.x``. Call it before anything imports ray; calling it
    again changes nothing but the version.

    Parameters
    ----------
    version : str, optional
        What ``ray.__version__`` and ``importlib.metadata.version("ray")`` say: for packages that
        ask for a certain range. By default 2.60.0, whose core API nbray follows.

    Returns
    -------
    AsRay
        Has ``undo()``; used in ``with``, it is undone at the end.

    Raises
    ------
    RuntimeError
        When Ray itself has been imported in this process already.
    ValueError
        ``version`` is not numbers with points between them, as "2.55.1".

    Examples
    --------
    >>> import nbray
    >>> _ = nbray.as_ray()
    >>> import modin.pandas  # doctest: +SKIP
    """
    if version is not None and not (isinstance(version, str) and _VERSION.fullmatch(version)):
        raise ValueError(f"version={version!r} of as_ray() is no version of Ray, such as '2.55.1'")
    before = ray_alias.version()
    began = ray_alias.install(version or "")
    if ray_alias.version() != before:
        _tell_workers()
    return AsRay(began)


def _tell_workers() -> None:
    core = current.core
    if core is not None and not isinstance(core, current.ForkedCore):
        core.change_context(as_ray=ray_alias.version())
