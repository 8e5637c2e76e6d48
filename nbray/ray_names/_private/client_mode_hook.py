"""Ray's switch between a process of the cluster and a remote client, for packages that look at it: never a client."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

is_client_mode_enabled = False
is_client_mode_enabled_by_default = False


@contextlib.contextmanager
def disable_client_hook() -> Iterator[None]:
    """Do nothing: there is no client to go around."""
    yield


def client_mode_should_convert(**_: Any) -> bool:
    """Return whether calls go to a client: never."""
    return False


def client_mode_hook(function: Any = None, **_: Any) -> Any:
    """Return a function as it is, also used as ``@client_mode_hook()``."""

    def same(function: Callable[..., Any]) -> Callable[..., Any]:
        return function

    return same if function is None else function


def client_mode_wrap(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function as it is: it runs in this process."""
    return function
