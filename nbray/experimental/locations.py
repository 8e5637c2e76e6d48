"""Where values are: ``get_object_locations``, as ``ray.experimental`` has it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from nbray.api import runtime
from nbray.core import inspection
from nbray.object_ref import ObjectRef


def get_object_locations(obj_refs: Iterable[ObjectRef], timeout_ms: int = -1) -> dict[ObjectRef, dict[str, Any]]:
    """Return where the values of refs are.

    Parameters
    ----------
    obj_refs : iterable of ObjectRef
    timeout_ms : int
        Taken for Ray's sake: nobody has to be asked.

    Returns
    -------
    dict
        Ref -> ``node_ids`` (empty while the value is not there), ``object_size`` (bytes, or None), ``did_spill``.

    Raises
    ------
    TypeError
        For what is not a ref.
    RuntimeError
        When this process has no runtime.
    """
    refs = list(obj_refs)
    for ref in refs:
        if not isinstance(ref, ObjectRef):
            raise TypeError(f"get_object_locations() takes ObjectRefs, got {type(ref)}.")
    if not runtime.is_initialized():
        raise RuntimeError("get_object_locations(): nbray has not been started yet: call nbray.init() first.")
    core = runtime.require_core()
    core.drain()
    found = {}
    with core.lock:
        for ref in refs:
            size, spilled = inspection.location(core, ref)
            nodes = [] if size is None else [core.node_id]
            found[ref] = {"node_ids": nodes, "object_size": size, "did_spill": spilled}
    return found


def get_local_object_locations(obj_refs: Iterable[ObjectRef]) -> dict[ObjectRef, dict[str, Any]]:
    """As ``get_object_locations``: on one node all are local."""
    return get_object_locations(obj_refs)
