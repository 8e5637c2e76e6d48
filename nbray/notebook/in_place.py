"""Give an object of the notebook the contents that a cell gave it on a worker, so that whoever holds it sees them."""

from __future__ import annotations

import asyncio
import collections
import contextvars
import copyreg
from collections.abc import MutableMapping, MutableSequence, MutableSet
from typing import Any

from . import ipywidgets_travel
from .array_views import show_same_file, take_shape
from .c_data import is_c_data, take_bytes
from .context_values import NewValue, set_value
from .ended_objects import Ended, end
from .gradients import TensorContents, gradient_of, take_contents
from .iterators import go_on
from .pandas_columns import is_frame
from .tensors import StorageContents, VariableValue, is_tensor, is_variable, take_storage, take_variable

CONTAINERS = (
    list,
    dict,
    set,
    bytearray,
    collections.deque,
    collections.OrderedDict,
    collections.defaultdict,
    collections.Counter,
)

BUILTINS = "__builtins__"  # of a module in which code has run
_SCALARS = (str, bytes, int, float, complex, range)


def update_in_place(old: Any, new: Any) -> bool:
    """Make ``old`` equal to ``new`` without a new identity; False when its type cannot."""
    if old is new:
        return True
    if isinstance(new, ipywidgets_travel.WidgetState):
        ipywidgets_travel.connect(new.values())
        ipywidgets_travel.set_state(old, new)
        return True
    if isinstance(new, Ended):
        end(old)
        return True
    if isinstance(new, MoreAttributes):
        old.__dict__.update(new.values)
        return True
    if isinstance(new, Attributes):
        _take_attributes(old, new.values)
        return True
    if isinstance(new, VariableValue):
        return take_variable(old, new)
    if isinstance(new, TensorContents):
        return take_contents(old, new)
    if isinstance(new, StorageContents):
        return take_storage(old, new)
    if isinstance(new, NewValue) and isinstance(old, contextvars.ContextVar):
        set_value(old, new.value)
        return True
    if go_on(old, new):
        return True
    if type(old) is not type(new) and not _becomes(old, type(new)):
        return False
    if isinstance(old, asyncio.Future):
        return old.done()  # those that have ended stay what they are
    try:
        if isinstance(old, collections.deque):  # which has no slices
            if old.maxlen != new.maxlen:
                return False
            old.clear()
            old.extend(new)
        elif isinstance(old, list):  # not as a subclass of the user's does it: that has been done there
            list.__setitem__(old, slice(None), new)
        elif isinstance(old, MutableSequence):  # bytearray
            old[:] = new
        elif isinstance(old, dict) and not isinstance(old, collections.OrderedDict):
            dict.clear(old)
            dict.update(old, new)
            if isinstance(old, collections.defaultdict):
                old.default_factory = new.default_factory
        elif isinstance(old, MutableMapping):
            old.clear()
            old.update(new)
        elif isinstance(old, set):
            set.clear(old)
            set.update(old, new)
        elif isinstance(old, MutableSet):
            old.clear()
            old |= new
        elif is_c_data(old):
            return take_bytes(old, new)
        elif isinstance(old, memoryview):
            return _take_memory(old, new)
        elif hasattr(old, "__array_interface__") and hasattr(old, "dtype"):
            if show_same_file(old, new):
                return True
            if not old.flags.writeable:
                return False
            if (old.shape != new.shape or old.dtype != new.dtype) and not take_shape(old, new):
                return False
            old[...] = new
        elif is_tensor(old):
            return take_contents(old, TensorContents(new, gradient_of(new), vars(new)))
        elif is_frame(old):
            old._update_inplace(new)
            for name in old._metadata:  # of a Series: its name
                object.__setattr__(old, name, getattr(new, name, None))
            old.attrs = new.attrs
            old.flags.allows_duplicate_labels = new.flags.allows_duplicate_labels
        elif type(old).__basicsize__ > _Plain.__basicsize__ or hasattr(type(old), "__slots__") or _sets_its_state(old):
            if not _take_state(old, new):  # there is more to it than its __dict__
                return False
            if isinstance(old, BaseException):
                old.__traceback__, old.__cause__, old.__context__ = new.__traceback__, new.__cause__, new.__context__
                old.__suppress_context__ = new.__suppress_context__
            return True
        elif type(getattr(old, "__dict__", None)) is dict:
            _take_attributes(old, new.__dict__)
            return True
        else:
            return False
    except (TypeError, ValueError, AttributeError, IndexError):
        return False
    attributes = getattr(new, "__dict__", None)
    if type(attributes) is dict and not is_frame(old):  # of a subclass of list, dict ...
        old.__dict__.update(attributes)
    return True


class Attributes:
    """The new contents of an object whose class makes no second one: those of its ``__dict__``."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values


class MoreAttributes:
    """Attributes that an object gets beside those that it has on this side."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values


def is_made_of_attributes(value: Any) -> bool:
    """Whether a container holds what it has in attributes: its methods may do more than to fill it, as a ConfigParser's do."""
    kind = type(value)
    return (
        isinstance(value, MutableMapping | MutableSequence | MutableSet)
        and not isinstance(value, CONTAINERS)
        and type(getattr(value, "__dict__", None)) is dict
        and kind.__basicsize__ <= _Plain.__basicsize__
        and not copyreg._slotnames(kind)  # type: ignore[attr-defined]
        and _tells_all(kind)
    )


def _becomes(obj: Any, kind: type) -> bool:
    """Make an object one of another class, as a cell has done that has set its ``__class__``; False: it cannot be."""
    try:
        obj.__class__ = kind
    except TypeError:
        return False
    return True


def _take_memory(old: memoryview, new: memoryview) -> bool:
    if (old.format, old.shape, old.readonly) != (new.format, new.shape, new.readonly):
        return False
    if old.obj is not new.obj and not old.readonly:
        old[:] = new
    return old.obj is new.obj or not old.readonly


def _sets_its_state(value: Any) -> bool:
    """Whether it has a state, but no ``__dict__``: an iterator, which in Python 3.10 is as small as an object with one."""
    return hasattr(value, "__setstate__") and not hasattr(value, "__dict__")


def _take_attributes(old: Any, attributes: dict[str, Any]) -> None:
    if old.__dict__ is not attributes:  # a __setstate__ may have taken the very dict that both sides know
        of_this_side = {BUILTINS: old.__dict__[BUILTINS]} if BUILTINS in old.__dict__ else {}
        old.__dict__.clear()
        old.__dict__.update({**attributes, **of_this_side})


def is_updated_surely(value: Any) -> bool:
    """Whether ``update_in_place`` can give an object like this the state of any other of its class."""
    if type(value) in CONTAINERS:
        return True
    plain = type(value).__basicsize__ <= _Plain.__basicsize__ and not hasattr(type(value), "__slots__")
    foreign = hasattr(value, "__array_interface__") or is_frame(value) or is_variable(value)
    return plain and not foreign and type(getattr(value, "__dict__", None)) is dict


class _Plain:
    """An object whose state is its ``__dict__``."""


def _take_state(old: Any, new: Any) -> bool:
    """Give an object the state of another as pickle would; False when it has none that can be set."""
    reduced = new.__reduce_ex__(4)
    if isinstance(reduced, str):
        return False
    state = reduced[2] if len(reduced) > 2 else None
    made_plainly = (
        not reduced[1]
        or (reduced[0] is copyreg.__newobj__ and len(reduced[1]) == 1)  # type: ignore[attr-defined]
        or _is_made_of(old, reduced[0], reduced[1])
    )
    if not made_plainly:
        return False
    if state is None:  # then it is all in what it is made of, which has its new contents already
        _take_slots(old, {})
        return bool(reduced[1]) and reduced[3:] in ((), (None,), (None, None))
    if hasattr(old, "__setstate__"):
        old.__setstate__(state)
        return True
    attributes, slots = state if isinstance(state, tuple) and len(state) == 2 else (state, None)
    if (
        not isinstance(attributes, dict | None)
        or not isinstance(slots, dict | None)
        or reduced[3:4] not in ((), (None,))
    ):
        return False
    if attributes is not None:
        _take_attributes(old, attributes)
    elif type(getattr(old, "__dict__", None)) is dict and _tells_all(type(old)):
        old.__dict__.clear()  # an empty one is not in the state
    _take_slots(old, slots or {})
    return True


def _take_slots(old: Any, slots: dict[str, Any]) -> None:
    if _tells_all(type(old)):
        for name in copyreg._slotnames(type(old)):  # type: ignore[attr-defined]
            if name not in slots and hasattr(old, name):
                object.__delattr__(old, name)
    for name, value in slots.items():
        object.__setattr__(old, name, value)


def _tells_all(kind: type) -> bool:
    """Whether what is not in the state of an object is not there: the class has no say in what it is pickled as."""
    return all(
        getattr(kind, name, None) is getattr(object, name, None)
        for name in ("__reduce_ex__", "__reduce__", "__getstate__")
    )


def _is_made_of(old: Any, function: Any, arguments: tuple[Any, ...]) -> bool:
    """Whether an object is made by the same call of the very same, as numpy's generators of random numbers are."""
    reduced = old.__reduce_ex__(4)
    return (
        not isinstance(reduced, str)
        and reduced[0] is function
        and len(reduced[1]) == len(arguments)
        and all(map(_is_same, reduced[1], arguments))
    )


def _is_same(mine: Any, theirs: Any) -> bool:
    return mine is theirs or (type(mine) is type(theirs) and isinstance(mine, _SCALARS) and bool(mine == theirs))
