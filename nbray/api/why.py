"""``why``: one sentence on what a ref waits for."""

from __future__ import annotations

from typing import Any

from nbray.api import runtime
from nbray.core import why as reasons
from nbray.object_ref import ObjectRef


def why(ref: Any) -> str:
    """Say in one sentence why a ref is not ready.

    Parameters
    ----------
    ref : ObjectRef

    Returns
    -------
    str
        For instance ``train waits for resources: it needs {GPU: 1}, and there is 0 of 1 GPU
        free, held by actor Model (pid 4711, made in In[3]:1) with {GPU: 1}.``

    Raises
    ------
    TypeError
        For anything but a ref.
    """
    if type(ref) is not ObjectRef:
        raise TypeError(f"why() takes an ObjectRef, got {type(ref)}.")
    return str(reasons.why(runtime.require_core(), ref))  # not what it is made of
