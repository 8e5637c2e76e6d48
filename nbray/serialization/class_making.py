"""Make a class that was sent by value, without running once more what ran when the user made it.

An ``__init_subclass__`` that registers, a metaclass that counts: what they did is in the state that travels. cloudpickle 3.1.3
makes a class as a ``class`` statement does: then they run again for each copy, and without the keywords of that statement. And it
makes one each time, also of a class that is here already.
"""

from __future__ import annotations

import sys
import threading
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cloudpickle.cloudpickle import (
    _DYNAMIC_CLASS_TRACKER_BY_CLASS,
    _DYNAMIC_CLASS_TRACKER_BY_ID,
    _lookup_class_or_track,
)

_HOOK = "__init_subclass__"
_lock = threading.RLock()  # of the hooks that are put aside


def make_class(
    kind: type, name: str, bases: tuple[Any, ...], attributes: dict[str, Any], tracker_id: str | None, extra: Any
) -> type:
    """Return the class of this id, or a new one that gets its attributes later.

    Parameters
    ----------
    kind
        Its metaclass.
    extra
        Of cloudpickle, for later.
    """
    known: type | None = _DYNAMIC_CLASS_TRACKER_BY_ID.get(tracker_id)
    if known is not None:
        return known
    attributes = {sys.intern(key): value for key, value in attributes.items()}
    with _without_hooks(bases):
        maker: Any = next(each for each in kind.__mro__ if not _travels_by_value(each))
        if maker is kind:
            made = types.new_class(name, bases, {"metaclass": kind}, lambda namespace: namespace.update(attributes))
        else:
            resolved = types.resolve_bases(bases)
            if resolved is not bases:
                attributes["__orig_bases__"] = bases
            made = maker.__new__(kind, name, resolved, attributes)
    tracked: type = _lookup_class_or_track(tracker_id, made)
    return tracked


def _travels_by_value(kind: type) -> bool:
    """Whether a class goes by value: it has got its id when it was first written or read."""
    return kind in _DYNAMIC_CLASS_TRACKER_BY_CLASS


@contextmanager
def _without_hooks(bases: tuple[Any, ...]) -> Iterator[None]:
    """Meanwhile, hooks of classes that go by value are passed over; those of libraries are called."""
    classes = dict.fromkeys(each for base in bases if isinstance(base, type) for each in base.__mro__)
    hooked = [each for each in classes if _HOOK in vars(each) and _travels_by_value(each)]
    if not hooked:
        yield
        return
    with _lock:
        hooks = [(each, vars(each)[_HOOK]) for each in hooked]
        try:
            for each in hooked:
                type.__setattr__(each, _HOOK, classmethod(_pass_on(each)))
            yield
        finally:
            for each, hook in hooks:
                type.__setattr__(each, _HOOK, hook)


def _pass_on(owner: Any) -> Any:
    return lambda cls, **keywords: super(owner, cls).__init_subclass__(**keywords)
