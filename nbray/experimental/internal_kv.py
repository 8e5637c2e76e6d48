"""``ray.experimental.internal_kv``: a small table of keys and values that all processes of the cluster see.

It lives in the node daemon as long as the cluster, holds 64 MiB, and a value at most 900 kB.
Keys, values and namespaces are bytes; text is encoded as UTF-8. (The names are Ray's.)
"""

from __future__ import annotations

from typing import Any

from nbray.api import runtime
from nbray.core import current
from nbray.wire import messages as m

MAX_VALUE_BYTES = 900_000  # fits into one message


def _internal_kv_initialized() -> bool:
    """Return whether this process belongs to a cluster."""
    return current.core is not None and not isinstance(current.core, current.ForkedCore)


def _initialize_internal_kv(gcs_client: Any = None) -> None:
    """Do nothing: the table is there as soon as the cluster is."""


def _internal_kv_reset() -> None:
    """Do nothing: there is no connection of its own to let go."""


def _internal_kv_get(key: str | bytes, *, namespace: str | bytes | None = None) -> bytes | None:
    """Return the value of a key; None when there is none."""
    reply = _ask("get", key, namespace)[0]
    return reply.value if reply.found else None


def _internal_kv_exists(key: str | bytes, *, namespace: str | bytes | None = None) -> bool:
    """Return whether a key has a value."""
    return _ask("get", key, namespace)[0].found


def _internal_kv_put(
    key: str | bytes, value: str | bytes, overwrite: bool = True, *, namespace: str | bytes | None = None
) -> bool:
    """Set the value of a key.

    Parameters
    ----------
    overwrite : bool
        False: a value that is there stays.

    Returns
    -------
    bool
        Whether there was a value before.

    Raises
    ------
    ValueError
        When the value is too large, or the table is full.
    """
    data = _bytes("value", value)
    if len(data) > MAX_VALUE_BYTES:
        raise ValueError(f"The value has {len(data)} bytes; at most {MAX_VALUE_BYTES} fit. Use put() for large values.")
    return _ask("put" if overwrite else "add", key, namespace, data)[0].found


def _internal_kv_del(key: str | bytes, *, del_by_prefix: bool = False, namespace: str | bytes | None = None) -> int:
    """Remove a key, or all that begin with it; returns how many there were."""
    return _ask("delete_prefix" if del_by_prefix else "delete", key, namespace)[0].count


def _internal_kv_list(prefix: str | bytes, *, namespace: str | bytes | None = None) -> list[bytes]:
    """Return the keys that begin with ``prefix``, in order."""
    return [key for reply in _ask("list", prefix, namespace) for key in reply.keys]


def _ask(action: str, key: Any, namespace: Any, value: bytes = b"") -> list[m.KeyValueReply]:
    core = runtime.require_core()
    space = b"" if namespace is None else _bytes("namespace", namespace)
    request = m.KeyValueRequest(core.control.next_id(), action, space, _bytes("key", key), value)
    replies = core.request(request, complete=lambda got: bool(got) and got[-1].last)
    if replies[-1].error:
        raise ValueError(f"{replies[-1].error}.")
    return replies


def _bytes(name: str, given: Any) -> bytes:
    if isinstance(given, str):
        return given.encode()
    if not isinstance(given, bytes):
        raise TypeError(f"{name} is bytes or str, not {type(given).__name__}.")
    return given
