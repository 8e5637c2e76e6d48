"""Bring the names of a cell back: packed in the worker, bound in the notebook.

What comes back is what the run bound (a comparison of the namespace before and after),
what it changed in place of the small inputs and of those it stores into, and what it
deleted. A value that cannot be pickled stays away alone: its name is bound to a note
that says so.
"""

from __future__ import annotations

import collections
import contextlib
import copy
import copyreg
import importlib
import io
import os
import pickle
import sys
import types
from collections.abc import Callable, Iterator, MutableMapping, MutableSequence, MutableSet
from dataclasses import dataclass, field
from typing import Any

from nbray.serialization.unpicklable import find_offender

from . import code_state, ipywidgets_travel, private_memory, process_environ, process_settings
from .cell_job import Inputs
from .cell_pickle import CellPickler, StreamReader, input_object, into, pickles, receiving
from .partial_reader import PartialReader
from .quick_pickle import quickly_pickled

INLINE_MODULE = "matplotlib_inline.backend_inline"
COPY_BELOW_BYTES = 1 << 20  # smaller buffers become writable memory of the notebook

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

HINTS = {
    "generator": "make a list of it",
    "TextIOWrapper": "bring back its path or its text",
    "BufferedReader": "bring back its path or its bytes",
    "BufferedWriter": "bring back its path",
    "lock": "make one here",
    "module": "import it here",
    "Thread": "bring back what it computes",
    "socket": "open it where it is used",
    "Connection": "open it where it is used",
    "coroutine": "await it in the cell",
}


@dataclass(slots=True)
class LeftBehind:
    """One name whose value could not travel."""

    name: str  # "" for the value of the last expression
    path: str
    type_name: str
    reason: str
    text: str = ""  # its repr
    actor: str = ""  # where it lives on
    quiet: bool = False  # nobody wants it back: what a `with` gave a name to and has ended
    kept: bool = False  # the notebook keeps its object as it was
    shown: tuple[dict[str, Any], dict[str, Any]] = field(default_factory=lambda: ({}, {}))  # what is shown of a value

    def message(self) -> str:
        if self.actor and self.name:
            return f"{self.path} lives in the actor {self.actor} ({self.type_name}); use it in a cell with --actor {self.actor}."
        hint = HINTS.get(self.type_name, "bring back plain data instead")
        subject = self.path if self.name else "the value of the last line" + self.path.lstrip("Out")
        rest = " What it was put into is here as it was before the cell." if self.kept else ""
        return f"{subject} did not come back from the worker: {self.type_name} ({self.reason}); {hint}.{rest}"


@quickly_pickled
@dataclass(slots=True)
class CellOutcome:
    """What a cell leaves behind, as it travels."""

    known: list[int] = field(default_factory=list)  # numbers of inputs that the streams refer to
    first_entries: list[tuple[str, str]] = field(default_factory=list)  # (kind, name), in stream order
    first: bytes = b""
    entries: list[tuple[str, str]] = field(default_factory=list)
    stream: bytes = b""
    buffers: list[pickle.PickleBuffer] = field(default_factory=list)
    carried: list[Any] = field(default_factory=list)
    modules: list[tuple[str, str]] = field(default_factory=list)
    imports: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    left_behind: list[LeftBehind] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)
    payloads: list[dict[str, Any]] = field(default_factory=list)  # for the front end: help to show, the next input
    displays: list[dict[str, Any]] = field(default_factory=list)  # what is shown after the value
    settings: dict[str, bytes] = field(default_factory=dict)  # those that the cell changed
    cwd: str = ""  # the directory that the cell changed to
    environ: dict[str, str | None] = field(default_factory=dict)  # variables that it changed; None: it removed them
    sys_path: list[str] = field(default_factory=list)  # if it changed it
    argv: list[str] = field(default_factory=list)  # the same
    ran_s: float = 0.0
    cpu_s: float = 0.0

    def buffer(self, part: int) -> Any:
        """Return one of the large buffers, for a later cell that gets it as an input."""
        return self.buffers[part]


class NotHere:
    """Stands under a name whose value stayed on the worker."""

    def __init__(self, left: LeftBehind) -> None:
        self._left = left

    def __repr__(self) -> str:
        left = self._left
        if not left.name and left.text:
            return left.text  # the value of a cell looks as it does there
        where = f"lives in the actor {left.actor}" if left.actor else "stayed on the worker"
        return f"<{left.name} {where}: {left.text or left.type_name}>"

    def __getattr__(self, attribute: str) -> Any:
        __tracebackhide__ = True
        if attribute.startswith(("__", "_repr_", "_ipython")):
            raise AttributeError(attribute)
        raise AttributeError(self._left.message())

    def _repr_mimebundle_(self, **options: Any) -> Any:
        return self._left.shown

    def _refuse(self, *args: Any) -> Any:
        __tracebackhide__ = True
        raise TypeError(self._left.message())

    __iter__ = __next__ = __call__ = __len__ = __getitem__ = __enter__ = __exit__ = __await__ = _refuse


# -------------------------------------------------------------------------- in the worker

SET, CHANGED, VALUE, STATE, OBJECT, WIDGET = "set", "changed", "value", "state", "object", "widget"
Item = tuple[str, str, Any]  # kind, name, value; of an OBJECT the name is its number


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
    show
        Returns what a front end is shown of a value.
    """

    outcome: CellOutcome
    namespace: dict[str, Any]
    carried_types: tuple[type, ...]
    inputs: dict[int, str]
    known: list[Any]
    in_band: bool
    show: Callable[[Any], tuple[dict[str, Any], dict[str, Any]]] | None = None  # of a value that cannot travel

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
        while True:
            file = io.BytesIO()
            buffers: list[pickle.PickleBuffer] = []

            pickler = CellPickler(
                file, self.namespace, self.carried_types, False, self.inputs, None if self.in_band else into(buffers)
            )
            pickler.carried = outcome.carried
            if self.known:
                pickler.know(self.known)
            failed = None
            for item in remaining:
                kind, _, value = item
                try:
                    if kind in (CHANGED, OBJECT):
                        pickler.dump(_contents(value))
                    else:
                        pickler.dump(value if kind == STATE else _alias(value, self.inputs))
                except KeyboardInterrupt:
                    raise
                except BaseException as error:
                    failed = item
                    if kind == WIDGET:
                        break  # the page still shows it
                    left = _left_behind(kind, *came_as(item), error)
                    left.kept = kind == OBJECT
                    if kind == VALUE and self.show is not None:
                        left.shown = self.show(value)
                    if left.name == "" or all(left.name != other.name for other in outcome.left_behind):
                        outcome.left_behind.append(left)
                    break
            if failed is None:
                outcome.buffers += buffers
                return [(kind, name) for kind, name, _ in remaining], file.getvalue()
            # The pickler now remembers objects that it did not write: start afresh.
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
        return value.view()
    if hasattr(value, "_mgr"):  # pandas
        return value.copy(deep=False)
    state = ipywidgets_travel.state_of(value)
    return state if state is not None else copy.copy(value)


def _left_behind(kind: str, name: str, value: Any, error: BaseException) -> LeftBehind:
    path, offender = find_offender(value, name or "Out", pickles)
    try:
        text = repr(value)[:500]
    except Exception:
        text = f"a {type(value).__name__}"
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return LeftBehind("" if kind == VALUE else name, path, type(offender).__name__, reason, text)


# ------------------------------------------------------------------------ in the notebook


@dataclass(slots=True)
class Read:
    """What one outcome holds, before anything is bound."""

    value: Any = None  # of the last expression
    bound: dict[str, Any] = field(default_factory=dict)
    modules: dict[str, types.ModuleType] = field(default_factory=dict)
    changed: list[tuple[str, Any]] = field(default_factory=list)  # inputs, with their new contents
    replaced: list[tuple[Any, Any]] = field(default_factory=list)  # objects that were, and those in their places
    widgets: list[Any] = field(default_factory=list)  # that the page shows, and that may have no name
    messages: list[str] = field(default_factory=list)


def read(
    outcome: CellOutcome, namespace: dict[str, Any], inputs: Inputs, actor: str = "", in_place: bool = False
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
    """
    found = Read(messages=list(outcome.hints))
    known = dict(inputs.values)
    objects = inputs.objects(outcome.known) if outcome.known else []
    with receiving(namespace, outcome.carried, known):
        outcome.buffers = [_own(buffer) for buffer in outcome.buffers]
        buffers = iter(outcome.buffers)
        for entries, stream in ((outcome.first_entries, outcome.first), (outcome.entries, outcome.stream)):
            if not entries:
                continue
            values, buffers = _values(entries, stream, list(buffers), objects, found.messages)
            for (kind, name), value in zip(entries, values, strict=True):
                if isinstance(value, NotHere) and kind not in (SET, VALUE):
                    continue  # it is as it was
                if kind == VALUE:
                    found.value = value
                elif kind == SET:
                    found.bound[name] = value
                elif kind == WIDGET:
                    found.widgets.append(value)
                elif kind == STATE and in_place:
                    code_state.apply(known[name], value)
                elif kind == OBJECT:
                    number = int(name)
                    if not update_in_place(objects[number], value):
                        _replace(found, known, objects[number], value)
                        objects[number] = value
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
    for dotted in outcome.imports:
        _import(dotted, found.messages)
    for name, dotted in outcome.modules:
        module = _import(dotted, found.messages)
        if module is not None:
            found.modules[name] = module
    return found


def _values(
    entries: list[tuple[str, str]], stream: bytes, buffers: list[Any], objects: list[Any], messages: list[str]
) -> tuple[list[Any], Iterator[Any]]:
    """Read one stream; returns its values, and the buffers of the next. What cannot be made here is left out alone."""
    rest = iter(buffers)
    reader = StreamReader(stream, rest, objects)
    try:
        return [reader.read() for _ in entries], rest
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
        for left in lost if kind != WIDGET else ():
            left.name = left.path = "" if kind == OBJECT else name
            whole = isinstance(value, NotHere) and value._left is left
            messages.append(
                f"{'' if whole else 'a part of '}{where} did not come back: its {left.type_name} cannot be made here"
                f" ({left.reason})."
            )
        lost.clear()
    return values, rest


def _replace(found: Read, known: dict[str, Any], old: Any, new: Any) -> None:
    """Note an object that could not be changed here; its names get the new one."""
    found.replaced.append((old, new))
    for name, value in list(known.items()):
        if value is old:
            known[name] = new


def unpack(outcome: CellOutcome, namespace: dict[str, Any], inputs: Inputs, actor: str = "") -> tuple[Any, list[str]]:
    """Bind what came back; returns the last expression's value and what to tell the user.

    Changed inputs are updated in place where their type allows; else every name that is
    bound to the old object is bound to the new one. For the parameters see ``read``.
    """
    found = read(outcome, namespace, inputs, actor, in_place=True)
    process_settings.write(outcome.settings)
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
    _show_figures_inline()
    ipywidgets_travel.connect([*found.bound.values(), found.value, *found.widgets])
    for name in outcome.deleted:
        namespace.pop(name, None)
    return found.value, found.messages


def _show_figures_inline() -> None:
    """Make a figure that came back a picture when it is shown.

    The inline backend registers its formatters when it is loaded, which pyplot does at
    the first figure made here; one that was made on the worker does not count.
    """
    if "matplotlib.figure" not in sys.modules or INLINE_MODULE in sys.modules:
        return
    if os.environ.get("MPLBACKEND") in ("inline", "module://" + INLINE_MODULE):
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
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            return importlib.import_module(dotted)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        messages.append(f"module {dotted} cannot be imported here: {type(error).__name__}: {error}")
        return None


def update_in_place(old: Any, new: Any) -> bool:
    """Make ``old`` equal to ``new`` without a new identity; False when its type cannot."""
    if old is new:
        return True
    if isinstance(new, ipywidgets_travel.WidgetState):
        ipywidgets_travel.connect(new.values())
        ipywidgets_travel.set_state(old, new)
        return True
    if type(old) is not type(new):
        return False
    try:
        if isinstance(old, MutableSequence):  # list, bytearray, deque
            old[:] = new
        elif isinstance(old, MutableMapping):
            old.clear()
            old.update(new)
        elif isinstance(old, MutableSet):
            old.clear()
            old |= new
        elif hasattr(old, "__array_interface__") and hasattr(old, "dtype"):
            if old.shape != new.shape or old.dtype != new.dtype or not old.flags.writeable:
                return False
            old[...] = new
        elif hasattr(old, "_update_inplace") and hasattr(old, "_mgr"):  # pandas
            old._update_inplace(new)
        elif type(old).__basicsize__ > _Plain.__basicsize__ or hasattr(type(old), "__slots__"):
            return _take_state(old, new)  # there is more to it than its __dict__
        elif type(getattr(old, "__dict__", None)) is dict:
            _take_attributes(old, new.__dict__)
            return True
        else:
            return False
    except (TypeError, ValueError, AttributeError, IndexError):
        return False
    attributes = getattr(new, "__dict__", None)
    if type(attributes) is dict and not hasattr(old, "_mgr"):  # of a subclass of list, dict ...
        old.__dict__.update(attributes)
    return True


def _take_attributes(old: Any, attributes: dict[str, Any]) -> None:
    if old.__dict__ is not attributes:  # a __setstate__ may have taken the very dict that both sides know
        old.__dict__.clear()
        old.__dict__.update(attributes)


def is_updated_surely(value: Any) -> bool:
    """Whether ``update_in_place`` can give an object like this the state of any other of its class."""
    if type(value) in CONTAINERS:
        return True
    plain = type(value).__basicsize__ <= _Plain.__basicsize__ and not hasattr(type(value), "__slots__")
    foreign = hasattr(value, "__array_interface__") or hasattr(value, "_mgr")
    return plain and not foreign and type(getattr(value, "__dict__", None)) is dict


class _Plain:
    """An object whose state is its ``__dict__``."""


def _take_state(old: Any, new: Any) -> bool:
    """Give an object the state of another as pickle would; False when it has none that can be set."""
    reduced = new.__reduce_ex__(4)
    state = reduced[2] if len(reduced) > 2 else None
    made_plainly = not reduced[1] or (reduced[0] is copyreg.__newobj__ and len(reduced[1]) == 1)  # type: ignore[attr-defined]
    if state is None or not made_plainly:
        return False
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
    for name, value in (slots or {}).items():
        object.__setattr__(old, name, value)
    return True
