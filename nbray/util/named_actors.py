"""``list_named_actors``."""

from __future__ import annotations

from typing import Any

from nbray.api import runtime
from nbray.wire.messages import ListActorsRequest


def list_named_actors(all_namespaces: bool = False) -> list[Any]:
    """Return the names of the actors that live.

    Parameters
    ----------
    all_namespaces : bool
        Also those of other namespaces.

    Returns
    -------
    list of str, or of dict
        Names in this namespace; with ``all_namespaces``, dicts of ``name`` and ``namespace``.
    """
    core = runtime.require_core()
    reply = core.request(ListActorsRequest(request_id=core.control.next_id()))[0]
    named = [notice for notice in reply.actors if notice.name and notice.state != "DEAD"]
    if all_namespaces:
        return [{"name": notice.name, "namespace": notice.namespace} for notice in named]
    return [notice.name for notice in named if notice.namespace == core.namespace]
