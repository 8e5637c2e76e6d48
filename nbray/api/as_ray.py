"""``as_ray``: packages that say ``import ray`` run on nbray."""

from __future__ import annotations

from typing import Any

from nbray import ray_alias
from nbray.core import current


class AsRay:
    """What ``as_ray`` returns; ends it when used in ``with``."""

    def __init__(self, began: bool) -> None:
        self._began = began

    def undo(self) -> None:
        """Let ``import ray`` find Ray again. Modules that have imported it keep nbray."""
        ray_alias.remove()
        _tell_workers(False)

    def __enter__(self) -> AsRay:
        return self

    def __exit__(self, *exc: Any) -> None:
        if self._began:  # else it belongs to somebody further out
            self.undo()

    def __repr__(self) -> str:
        state = "on" if ray_alias.is_installed() else "off"
        return f"<as_ray: {state}; 'import ray' gives nbray>"


def as_ray() -> AsRay:
    """Make ``import ray`` give nbray, here and in every worker.

    ``ray.x`` is then the same module as ``nbray.x``. ``ray.__version__`` and
    ``importlib.metadata.version("ray")`` say the version of Ray whose API nbray follows.
    Call it before anything imports ray; calling it again changes nothing.

    Returns
    -------
    AsRay
        Has ``undo()``; used in ``with``, it is undone at the end.

    Raises
    ------
    RuntimeError
        When Ray itself has been imported in this process already.

    Examples
    --------
    >>> import nbray
    >>> _ = nbray.as_ray()
    >>> import modin.pandas  # doctest: +SKIP
    """
    began = ray_alias.install()
    if began:
        _tell_workers(True)
    return AsRay(began)


def _tell_workers(on: bool) -> None:
    core = current.core
    if core is not None and not isinstance(core, current.ForkedCore):
        core.change_context(as_ray=on)
