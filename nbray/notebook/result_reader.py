"""Bind what came back of a cell, in the notebook."""

from __future__ import annotations

import importlib
import os
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from nbray.core.interrupts_later import InterruptsLater
from nbray.serialization import torch_storages
from nbray.store import private_memory

from . import (
    code_state,
    collector,
    formatters,
    interrupt_handlers,
    ipywidgets_travel,
    logging_filters,
    logging_handlers,
    logging_state,
    module_registers,
    module_state,
    module_values,
    process_environ,
    process_settings,
    reloaded_modules,
    warning_filters,
)
from .cell_job import ANNOTATED, Inputs
from .cell_pickle import StreamReader, receiving
from .cell_result import (
    ANNOTATIONS,
    FORMATTERS,
    HANDLERS,
    LOG_FILTERS,
    LOG_HANDLERS,
    NAMELESS,
    OBJECT,
    ON_MODULE,
    REF,
    REGISTERED,
    SET,
    STATE,
    VALUE,
    WIDGET,
    CellOutcome,
    LeftBehind,
    NotHere,
)
from .gradients import TensorContents, as_tensor
from .in_place import update_in_place
from .own_classes import own_classes
from .partial_reader import PartialReader
from .tensors import StorageContents
from .unheard import unheard

INLINE_MODULE = "matplotlib_inline.backend_inline"
INLINE_NAMES = ("inline", "module://" + INLINE_MODULE)  # as a backend
COPY_BELOW_BYTES = 1 << 20  # smaller buffers become writable memory of the notebook


@dataclass(slots=True)
class Read:
    """What one outcome holds, before anything is bound."""

    value: Any = None  # of the last expression
    bound: dict[str, Any] = field(default_factory=dict)
    modules: dict[str, types.ModuleType] = field(default_factory=dict)
    changed: list[tuple[str, Any]] = field(default_factory=list)  # inputs, with their new contents
    replaced: list[tuple[Any, Any]] = field(default_factory=list)  # objects that were, and those in their places
    widgets: list[Any] = field(default_factory=list)  # that the page shows, and that may have no name
    widget_states: list[tuple[Any, Any]] = field(
        default_factory=list
    )  # of those of the notebook, and what they are now
    formatters: dict[str, Any] = field(default_factory=dict)  # that the cell has registered
    on_modules: dict[module_values.Key, Any] = field(default_factory=dict)  # what the cell has set on them
    registered: dict[module_registers.Place, Any] = field(default_factory=dict)  # in registers of modules
    log_filters: logging_filters.Filters = field(default_factory=dict)  # that it has added
    log_handlers: logging_handlers.Handlers = field(default_factory=dict)  # the same
    handlers: dict[int, Any] = field(default_factory=dict)  # of signals, that it has set
    annotations: dict[str, Any] = field(default_factory=dict)  # of its names
    messages: list[str] = field(default_factory=list)


def read(
    outcome: CellOutcome,
    namespace: dict[str, Any],
    inputs: Inputs,
    actor: str = "",
    in_place: bool = False,
    later: InterruptsLater | None = None,
) -> Read:
    """Rebuild what came back.

    Parameters
    ----------
    inputs
        The objects that were sent.
    actor
        Name of the actor that keeps the cell's names: what cannot travel lives there.
    in_place
        Update changed inputs at once, so that whoever else holds them sees the change.
    later
        Is told when an interrupt would leave something changed by half.
    """
    found = Read(messages=list(outcome.hints))
    for dotted in outcome.imports:
        _import(dotted, found.messages)
    for name, dotted in outcome.modules:
        module = _import(dotted, found.messages)
        if module is not None:
            found.modules[name] = module
    known = dict(inputs.values)
    objects = inputs.objects(outcome.known) if outcome.known else []
    with receiving(namespace, outcome.carried, known), own_classes(namespace):
        outcome.buffers = [_own(buffer) for buffer in outcome.buffers]
        buffers = iter(outcome.buffers)
        for entries, stream in ((outcome.first_entries, outcome.first), (outcome.entries, outcome.stream)):
            if not entries:
                continue
            if later is not None and later.strikes == "later":  # it may be code of the user's that reads
                later.strikes = "when repeated"
            values, buffers = _values(entries, stream, list(buffers), objects, found)
            if later is not None:
                later.strikes = "later"
            for (kind, name), value in zip(entries, values, strict=True):
                if isinstance(value, NotHere) and kind not in (SET, VALUE):
                    continue  # it is as it was
                if kind == VALUE:
                    found.value = value
                elif kind == SET:
                    found.bound[name] = value
                elif kind == WIDGET:
                    found.widgets.append(value)
                elif kind == FORMATTERS:
                    found.formatters = value
                elif kind == ON_MODULE:
                    owner, _, attribute = name.partition(":")
                    found.on_modules[owner, attribute] = value
                elif kind == REGISTERED:
                    owner, _, path = name.partition(":")
                    found.registered[owner, path] = value
                elif kind == LOG_FILTERS:
                    found.log_filters.update(value)
                elif kind == LOG_HANDLERS:
                    found.log_handlers.update(value)
                elif kind == HANDLERS:
                    found.handlers = value
                elif kind == ANNOTATIONS:
                    found.annotations = value
                elif kind == STATE and in_place:
                    code_state.apply(known[name], value)
                elif kind == OBJECT:
                    number = int(name)
                    if isinstance(value, ipywidgets_travel.WidgetState):
                        found.widget_states.append((objects[number], value))
                    elif not update_in_place(objects[number], value):
                        value = _by_itself(value)
                        _replace(found, known, objects[number], value)
                        objects[number] = value
                elif kind == REF and in_place:
                    _replace(found, known, known[name], value)
                elif not in_place:
                    found.changed.append((name, value))
                elif not update_in_place(known[name], value):
                    _replace(found, known, known[name], value)
    for left in outcome.left_behind:
        left.actor = actor
        if not left.name:
            found.value = NotHere(left)
        elif not actor and not left.quiet:
            found.messages.append(left.message())
        if left.name and not left.kept:
            found.bound[left.name] = NotHere(left)
    return found


def _values(
    entries: list[tuple[str, str]], stream: bytes, buffers: list[Any], objects: list[Any], found: Read
) -> tuple[list[Any], Iterator[Any]]:
    """Read one stream; returns its values, and the buffers of the next. What cannot be made here is left out alone."""
    rest = iter(buffers)
    reader = StreamReader(stream, rest, objects)
    try:
        values = [reader.read() for _ in entries]
        if ipywidgets_travel.comm_type() is not None:
            found.widgets += ipywidgets_travel.unconnected(reader.objects())
        return values, rest
    except KeyboardInterrupt:
        raise
    except BaseException:
        pass
    lost: list[LeftBehind] = []

    def stand_in(type_name: str, error: BaseException) -> NotHere:
        lost.append(LeftBehind("", "", type_name, f"{type(error).__name__}: {error}"))
        return NotHere(lost[-1])

    values, rest = [], iter(buffers)
    partial = PartialReader(stream, rest, objects, stand_in)
    for kind, name in entries:
        values.append(value := partial.value())
        where = "what it changed" if kind == OBJECT else name or "the value of the last line"
        for left in lost if kind not in NAMELESS else ():
            left.name = left.path = "" if kind == OBJECT else name
            whole = isinstance(value, NotHere) and value._left is left
            found.messages.append(
                f"{'' if whole else 'a part of '}{where} did not come back: its {left.type_name} cannot be made here"
                f" ({left.reason})."
            )
        lost.clear()
    return values, rest


def _by_itself(contents: Any) -> Any:
    """Return an object with contents that the notebook's own could not have."""
    if isinstance(contents, StorageContents):
        return torch_storages.untyped_storage(contents.buffer)
    return as_tensor(contents) if isinstance(contents, TensorContents) else contents


def _replace(found: Read, known: dict[str, Any], old: Any, new: Any) -> None:
    """Note an object that could not be changed here; its names get the new one."""
    found.replaced.append((old, new))
    for name, value in list(known.items()):
        if value is old:
            known[name] = new


def unpack(outcome: CellOutcome, shell: Any, inputs: Inputs, actor: str = "") -> tuple[Any, list[str]]:
    """Bind what came back; returns the last expression's value and what to tell the user.

    Changed inputs are updated in place where their type allows; else every name that is
    bound to the old object is bound to the new one. For the parameters see ``read``. An
    interrupt leaves everything as it was, or strikes when all is bound.
    """
    with InterruptsLater("at once") as later:
        failed = reloaded_modules.reload(outcome.reloaded)  # first: what comes back may be of their classes
        with collector.at_rest(), warning_filters.unseen():
            found = read(outcome, shell.user_ns, inputs, actor, True, later)
        found.messages += failed
        later.strikes = "later"
        _bind(outcome, shell, inputs, found)
    for (
        widget,
        state,
    ) in found.widget_states:  # last: who observes it sees all that the cell has done, and may add to it
        update_in_place(widget, state)
    return found.value, found.messages


def _bind(outcome: CellOutcome, shell: Any, inputs: Inputs, found: Read) -> None:
    namespace = shell.user_ns
    if inputs.history is not None:
        inputs.history.take_changes()
    process_settings.load_their_modules(outcome.settings)
    process_settings.write(outcome.settings)
    if outcome.logging is not None:
        logging_state.put(outcome.logging)
    if outcome.filters is not None:
        warning_filters.change(outcome.filters)
    module_values.write(outcome.module_values)
    module_state.write(outcome.module_state)
    process_environ.change(outcome.environ)
    if outcome.sys_path:
        sys.path[:] = outcome.sys_path
    if outcome.argv:
        sys.argv[:] = outcome.argv
    if outcome.cwd:
        try:
            os.chdir(outcome.cwd)
        except OSError as error:
            found.messages.append(f"the cell changed to a directory that cannot be entered here: {error}")
    bound: dict[str, Any] = {}
    for old, value in found.replaced:
        bound.update({name: value for name, present in list(namespace.items()) if present is old})
    namespace.update({**bound, **found.bound, **found.modules})
    _show_figures_inline(shell, "backend" in outcome.settings)
    if found.formatters:
        formatters.register(shell, found.formatters)
    ipywidgets_travel.connect([*found.bound.values(), found.value, *found.widgets])
    module_values.put(found.on_modules)
    module_registers.write(found.registered)
    logging_filters.put(found.log_filters)
    logging_handlers.put(found.log_handlers)
    interrupt_handlers.put(found.handlers)
    if found.annotations:
        namespace.setdefault(ANNOTATED, {}).update(found.annotations)
    for name in outcome.deleted:
        namespace.pop(name, None)


def _show_figures_inline(shell: Any, other_backend: bool) -> None:
    """Make a figure that came back a picture when it is shown.

    The inline backend registers its formatters when it is loaded, which pyplot does at
    the first figure made here; one that was made on the worker does not count. When it is chosen later, as
    ``%matplotlib inline`` does, it has to be told.
    """
    if other_backend and INLINE_MODULE in sys.modules:
        backend = sys.modules["matplotlib"].get_backend()
        if backend in INLINE_NAMES:
            sys.modules[INLINE_MODULE].configure_inline_support(shell, backend)
    if "matplotlib.figure" not in sys.modules or INLINE_MODULE in sys.modules:
        return
    if os.environ.get("MPLBACKEND") in INLINE_NAMES:
        importlib.import_module(INLINE_MODULE)


def _own(buffer: Any) -> Any:
    """Return a buffer in memory of this process, which may be written: a small one is copied, a large one mapped."""
    view = memoryview(buffer)
    if view.nbytes < COPY_BELOW_BYTES:
        return bytearray(view)
    view = view if view.readonly else view.toreadonly()
    mine = private_memory.own(view)
    return view if mine is None else mine


def _import(dotted: str, messages: list[str]) -> types.ModuleType | None:
    try:
        if (module := sys.modules.get(dotted)) is not None:
            return module
        # What it prints when it is loaded has been seen: it was loaded there.
        with unheard():
            return importlib.import_module(dotted)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        messages.append(f"module {dotted} cannot be imported here: {type(error).__name__}: {error}")
        return None
