"""What programs use at their own risk; ``free`` as earlier versions of Ray had it."""

from __future__ import annotations

from typing import Any

from nbray.api import runtime
from nbray.object_ref import ObjectRef


def free(object_refs: Any, local_only: bool = False) -> None:
    """Give the values of refs back now, not when the last ref is gone; ``get`` then raises ObjectFreedError.

    Parameters
    ----------
    object_refs : ObjectRef or list of ObjectRef
        Those whose values are not there yet are left alone.
    local_only : bool
        Without effect: a node has one store.

    Raises
    ------
    TypeError
        When something is not a ref.
    """
    refs = [object_refs] if isinstance(object_refs, ObjectRef) else object_refs
    if not isinstance(refs, list):
        raise TypeError(f"free() expects a list of ObjectRef, got {type(object_refs)}")
    for ref in refs:
        if not isinstance(ref, ObjectRef):
            raise TypeError(f"Attempting to call `free` on the value {ref}, which is not an ray.ObjectRef.")
    runtime.require_core().free(refs)
