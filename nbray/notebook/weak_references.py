"""Weak references that travel together with what they refer to.

Each is made anew of its object, which is the receiver's own where both travel. An object that nobody else there holds is gone as
soon as it is read, and the reference is dead: as anywhere.
"""

from __future__ import annotations

import weakref
from typing import Any


class _Gone:
    pass


def _dead(*_: Any) -> weakref.ref[Any]:
    return weakref.ref(_Gone())  # nobody holds it


def _gone_proxy() -> Any:
    return weakref.proxy(_Gone())


def reduce_weak(obj: Any) -> Any:
    """Pickle a weak reference or a collection of such; None: it is something else."""
    kind = type(obj)
    if kind is weakref.ref:
        referent = obj()
        if referent is None:
            return _dead, ()
        callback = obj.__callback__
        return weakref.ref, (referent,) if callback is None else (referent, callback)
    if kind is weakref.ProxyType or kind is weakref.CallableProxyType:
        try:
            return weakref.proxy, (obj.__reduce_ex__.__self__,)
        except ReferenceError:
            return _gone_proxy, ()
    if kind is weakref.WeakMethod:
        method = obj()
        return (_dead, ()) if method is None else (weakref.WeakMethod, (method,))
    if kind is weakref.WeakValueDictionary or kind is weakref.WeakKeyDictionary:
        return kind, (dict(obj),)
    return None
