"""Pack what comes back of a cell, in the worker."""

from __future__ import annotations

import asyncio
import contextvars
import copy
import logging
import pickle
import sys
import threading
import types
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from nbray.serialization import torch_storages
from nbray.serialization.unpicklable import find_offender

from . import free_locks, ipywidgets_travel, logging_relays
from .array_views import owners
from .cell_leftovers import is_script_stream, is_shell
from .cell_pickle import CellPickler, MemoryWriter, input_object, into, pickles
from .cell_result import CHANGED, NAMELESS, OBJECT, REF, STATE, VALUE, CellOutcome, Item, LeftBehind
from .common_memory import common_memory
from .context_values import NewValue, value_of
from .ended_objects import Ended, has_ended
from .error_record import another_exception
from .gradients import contents_of
from .in_place import BUILTINS, Attributes, MoreAttributes, is_made_of_attributes, is_updated_surely
from .odd_objects import given_to
from .pandas_columns import is_frame
from .subclass_values import another, has_attributes
from .tensors import StorageContents, VariableValue, is_tensor, is_variable


@dataclass(slots=True)
class Packer:
    """Writes what comes back into an outcome.

    Parameters
    ----------
    namespace, carried_types
        See ``CellPickler``.
    inputs
        Names of the objects that the notebook has, by id.
    known
        Objects that are referred to by number.
    in_band
        Keep all in the streams, without buffers beside them.
    whole
        Inputs whose changes go back: what shows the memory of one comes back as a view of it.
    show
        Returns what a front end is shown of a value.
    unwritten
        Tensors, by id, of which only the gradient goes back.
    """

    outcome: CellOutcome
    namespace: dict[str, Any]
    carried_types: tuple[type, ...]
    inputs: dict[int, str]
    known: list[Any]
    in_band: bool
    whole: list[Any]
    show: Callable[[Any], tuple[dict[str, Any], dict[str, Any]]] | None = None  # of a value that cannot travel
    unwritten: Collection[int] = ()

    def pack(self, first: list[Item], items: list[Item], came_as: Callable[[Item], tuple[str, Any]]) -> None:
        """Write both streams.

        Parameters
        ----------
        first
            Objects that may have to be replaced in the notebook. What comes later then refers to the new ones.
        came_as
            Returns the name of an item whose value could not travel, and the value under it.
        """
        outcome = self.outcome
        if first:
            outcome.first_entries, outcome.first = self._write(first, came_as)
        outcome.entries, outcome.stream = self._write(items, came_as)

    def _write(
        self, items: list[Item], came_as: Callable[[Item], tuple[str, Any]]
    ) -> tuple[list[tuple[str, str]], bytes]:
        outcome = self.outcome
        remaining = list(items)
        n_buffers, n_carried = len(outcome.buffers), len(outcome.carried)
        arrays = owners([*self.whole, *(value for _, _, value in items)])
        common = common_memory([*self.known, *self.whole])
        while True:
            file = MemoryWriter()
            buffers: list[pickle.PickleBuffer] = []

            pickler = CellPickler(
                file, self.namespace, self.carried_types, False, self.inputs, None if self.in_band else into(buffers)
            )
            pickler.carried = outcome.carried
            if self.known:
                pickler.know(self.known)
            failed, again = None, False
            for item in remaining:
                kind, _, value = item
                # The new contents of an array are no view of the old ones.
                anew = kind in (CHANGED, OBJECT) and hasattr(value, "__array_interface__")
                pickler.owners, pickler.common = ({}, None) if anew else (arrays, common)
                try:
                    if kind == OBJECT and is_tensor(value):
                        pickler.dump(contents_of(value, id(value) not in self.unwritten))
                    elif kind in (CHANGED, OBJECT):
                        pickler.dump(_contents(value))
                    else:
                        pickler.dump(value if kind in (STATE, REF) else _alias(value, self.inputs))
                except KeyboardInterrupt:
                    raise
                except BaseException as error:
                    failed = item
                    if free_locks.find(value):
                        again = True
                        break
                    if kind in NAMELESS:
                        break  # the page still shows it; what is shown is shown plainly
                    left = _left_behind(kind, *came_as(item), error)
                    left.kept = kind == OBJECT
                    if kind == VALUE and self.show is not None:
                        left.shown = self.show(value)
                    if left.name == "" or all(left.name != other.name for other in outcome.left_behind):
                        outcome.left_behind.append(left)
                    break
            if failed is None and common is not None and common.settle():
                again = True
            elif failed is None:
                outcome.buffers += buffers
                return [(kind, name) for kind, name, _ in remaining], file.getvalue()
            # The pickler now remembers objects that it did not write, or not as parts of what they share: start afresh.
            if failed is not None and not again:
                remaining.remove(failed)
            del outcome.buffers[n_buffers:], outcome.carried[n_carried:]


class _InputObject:
    """Stands for an input of the cell where reducer_override is not asked (lists, dicts)."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __reduce__(self) -> Any:
        return input_object, (self.name,)


def _alias(value: Any, inputs: dict[int, str]) -> Any:
    name = inputs.get(id(value))
    return _InputObject(name) if name is not None else value


def _contents(value: Any) -> Any:
    """Return a new object with the state of a changed input; the old one stays an input."""
    if hasattr(value, "__array_interface__") and hasattr(value, "view"):
        made = value.view()
        attributes = getattr(value, "__dict__", None)
        if attributes and type(made) is type(value) and type(value).__module__ == "__main__":
            made.__dict__.update(attributes)
        return made
    if is_frame(value):
        return value.copy(deep=False)
    if isinstance(value, memoryview):
        return memoryview(value)
    if is_variable(value):
        return VariableValue(value)
    if has_ended(value):
        return Ended()
    if torch_storages.is_storage(value):
        return StorageContents(torch_storages.buffer_of(value))
    state = ipywidgets_travel.state_of(value)
    if state is not None:
        return state
    if isinstance(value, logging.Handler):
        return MoreAttributes(logging_relays.contents(value))
    if isinstance(value, logging.Logger):
        return MoreAttributes(given_to(value))
    if is_shell(value) or value is sys.stdout or value is sys.stderr:
        return value  # each side has its own
    if isinstance(value, asyncio.Future):
        return value  # has ended
    if isinstance(value, threading.local):
        return Attributes(dict(vars(value)))
    if isinstance(value, types.ModuleType):  # made by hand
        return Attributes({name: each for name, each in vars(value).items() if name != BUILTINS})
    if isinstance(value, contextvars.ContextVar):
        return NewValue(value_of(value))
    if is_made_of_attributes(value):
        return Attributes(dict(vars(value)))
    if has_attributes(value):
        return Attributes(dict(vars(value)))
    if isinstance(value, BaseException):
        return another_exception(value)
    if (whole := another(value)) is not None:
        return whole
    made = copy.copy(value)
    is_new = made is not value and type(made) is type(value)  # each mock has a class of its own
    return made if is_new or not is_updated_surely(value) else Attributes(dict(vars(value)))


def _left_behind(kind: str, name: str, value: Any, error: BaseException) -> LeftBehind:
    path, offender = name or "Out", value
    if not is_script_stream(value):  # in which one would find the event loop
        path, offender = find_offender(value, path, pickles)
    try:
        text = repr(value)[:500]
    except Exception:
        text = f"a {type(value).__name__}"
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return LeftBehind("" if kind == VALUE else name, path, type(offender).__name__, reason, text)
