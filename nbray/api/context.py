"""What ``init`` returns: facts about the cluster this process joined."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from nbray.version import __version__


class RayContext(Mapping):
    """Facts about the cluster; leaves it (and ends it, if this process started it) when used in ``with``.

    Attributes
    ----------
    address_info : dict
        ``address``, ``session_dir``, ``node_id``, ``node_ip_address`` and more; the context
        itself is a mapping of the same.
    dashboard_url : str
        Empty: nbray's panel is in JupyterLab, no server is started for it.
    python_version, ray_version : str
    """

    def __init__(self, facts: dict[str, Any], leave: Callable[[], None]) -> None:
        self.address_info = facts
        self.dashboard_url = ""
        self.python_version = ".".join(map(str, sys.version_info[:3]))
        self.ray_version = __version__
        self.ray_commit = ""
        self._leave = leave

    def __getitem__(self, key: str) -> Any:
        return self.address_info[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.address_info)

    def __len__(self) -> int:
        return len(self.address_info)

    def __enter__(self) -> RayContext:
        return self

    def __exit__(self, *exc: Any) -> None:
        self._leave()

    def disconnect(self) -> None:
        """Leave the cluster, as ``shutdown`` does."""
        self._leave()

    def _rows(self) -> list[tuple[str, str]]:
        return [
            ("Python", self.python_version),
            ("nbray", self.ray_version),
            ("Cluster", str(self.address_info.get("address", ""))),
            ("Joined", "a cluster that was there" if self.address_info.get("joined") else "a cluster of its own"),
        ]

    def __repr__(self) -> str:
        facts = self.address_info
        return (
            f"RayContext(dashboard_url={self.dashboard_url!r}, python_version={self.python_version!r}, "
            f"ray_version={self.ray_version!r}, address={facts.get('address')!r}, node_id={facts.get('node_id')!r})"
        )

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, str]:
        import html  # noqa: PLC0415 - for notebooks alone

        cells = "".join(
            f"<tr><th style='text-align:left'>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>"
            for name, value in self._rows()
        )
        return {"text/plain": repr(self), "text/html": f"<table>{cells}</table>"}
