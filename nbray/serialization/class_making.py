"""Make a class that was sent by value, without running once more what ran when the user made it, and without undoing it here.

An ``__init_subclass__`` that registers, a metaclass that counts: what they did is in the state that travels. cloudpickle 3.1.3
makes a class as a ``class`` statement does: then they run again for each copy, and without the keywords of that statement. And it
makes one each time, also of a class that is here already, and gives that one the attributes that came: where the user wrote the class,
these would be older than his, and copies of what others hold. Enumerations: see ``enum_members``.
"""

from __future__ import annotations

import sys
import threading
import types
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from cloudpickle.cloudpickle import (
    _DYNAMIC_CLASS_TRACKER_BY_CLASS,
    _DYNAMIC_CLASS_TRACKER_BY_ID,
    _class_setstate,
    _lookup_class_or_track,
    _make_skeleton_class,
    _make_skeleton_enum,
)

from nbray.serialization.enum_members import attributes_of, new_enumeration, parts_of, set_attributes

_HOOK = "__init_subclass__"
_GONE = "gone"  # beside the attributes of a class: names that came with it, and that this process has deleted
_lock = threading.RLock()  # of the hooks that are put aside
_received: weakref.WeakSet[type] = weakref.WeakSet()  # made here of what was sent
_came: weakref.WeakKeyDictionary[type, frozenset[str]] = (
    weakref.WeakKeyDictionary()
)  # attributes, when they last came, or first went
_reading = threading.local()  # .as_it_is: of `adopting`
_keeps_own = True  # whether classes of this process are as this process has them


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
    _received.add(made)
    tracked: type = _lookup_class_or_track(tracker_id, made)
    return tracked


def make_enum(
    kind: type, name: str, bases: tuple[type, ...], boundary: Any, parts: dict[str, Any], tracker_id: str | None
) -> type:
    """Return the enumeration of this id, or a new one. For the parameters see ``make_class`` and ``new_enumeration``."""
    known: type | None = _DYNAMIC_CLASS_TRACKER_BY_ID.get(tracker_id)
    if known is not None:
        return known
    with _without_hooks(bases):
        made = new_enumeration(kind, name, bases, boundary, parts)
    _received.add(made)
    tracked: type = _lookup_class_or_track(tracker_id, made)
    return tracked


def follow_senders() -> None:
    """Let every class get the attributes that come with it: this process runs code of others, who may have changed theirs."""
    global _keeps_own
    _keeps_own = False


@contextmanager
def adopting(as_it_is: Callable[[type, str, Any], bool]) -> Iterator[None]:
    """Meanwhile, classes that this thread reads are this process's own afterwards, and get what is new in them.

    Parameters
    ----------
    as_it_is
        Tells of an attribute of a class that it is what has come under its name.
    """
    before = getattr(_reading, "as_it_is", None)
    _reading.as_it_is = as_it_is
    try:
        yield
    finally:
        _reading.as_it_is = before


def set_class_state(cls: type, state: Any) -> None:
    """Give a class its attributes, unless it is one of this process's own."""
    as_it_is = getattr(_reading, "as_it_is", None)
    if as_it_is is not None:
        attributes, slots = state
        new = {key: value for key, value in attributes.items() if key not in vars(cls) or not as_it_is(cls, key, value)}
        _class_setstate(cls, (new, slots))
        _delete(cls, slots.get(_GONE, ()))
        _received.discard(cls)
    elif not _keeps_own or cls in _received:
        _class_setstate(cls, state)
        _take_away(cls, state[0])


def _take_away(cls: type, attributes: dict[str, Any]) -> None:
    """Delete what came with the class before and does not any more; what code of this process has set stays."""
    gone = _came.get(cls, frozenset()).difference(attributes)
    _came[cls] = frozenset(attributes)
    _delete(cls, gone)


def _delete(cls: type, names: Iterable[str]) -> None:
    for name in names:
        if name in vars(cls):
            with suppress(AttributeError, TypeError):  # of the language, or of a metaclass that says no
                delattr(cls, name)


def set_enum_state(cls: type, state: Any) -> None:
    """Give an enumeration its attributes, and its members theirs, unless it is one of this process's own."""
    own, of_members = state
    is_new = not _keeps_own or cls in _received
    set_class_state(cls, own)
    if is_new:
        set_attributes(cls, of_members)


def made_here(cls: type, reduced: tuple[Any, ...]) -> tuple[Any, ...]:
    """Have what cloudpickle would make of a class made by this module."""
    if reduced[0] is _make_skeleton_enum:
        bases, name, *_, tracker_id, _ = reduced[1]
        attributes, slots = reduced[2]
        parts = parts_of(cls)
        own = {key: value for key, value in attributes.items() if key not in parts}
        arguments = (type(cls), name, bases, getattr(cls, "_boundary_", None), parts, tracker_id)
        own |= {"__module__": cls.__module__, "__qualname__": cls.__qualname__}
        return (make_enum, arguments, ((own, slots), attributes_of(cls)), None, None, set_enum_state)
    if reduced[0] is not _make_skeleton_class:
        return reduced
    set_state = [set_class_state if part is _class_setstate else part for part in reduced[5:]]
    return (make_class, reduced[1], _with_gone(cls, reduced[2]), *reduced[3:5], *set_state)


def _with_gone(cls: type, state: tuple[dict[str, Any], dict[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Add to the state of a class what is deleted here, for the process that it came from.

    A class of a worker's own is known elsewhere from now on: what is deleted of it there is not to stay here.
    """
    if not _keeps_own and cls not in _came:
        _came[cls] = frozenset(name for name in state[0] if not (name.startswith("__") and name.endswith("__")))
        return state
    gone = _came.get(cls, frozenset()).difference(vars(cls))
    return (state[0], {**state[1], _GONE: sorted(gone)}) if gone else state


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
