"""The inputs of a cell, in its worker: the names that it finds, and what is known of them to tell later what it changed."""

from __future__ import annotations

import copy
import importlib
import types
from collections.abc import Iterator
from typing import Any

from . import collector, interrupt_handlers
from .cell_job import SMALL_BYTES, CellJob, Placed, is_immutable, missing_input
from .cell_pickle import StreamReader, receiving
from .code_state import CodeState
from .common_memory import is_guarded
from .each_item import Item
from .input_changes import InputChanges
from .main_module import new_module, of_main
from .outlines import Outline
from .pandas_columns import do_as
from .shared_objects import that_share, unheld
from .surroundings import Start
from .unheard import unheard
from .unsent_input import UnsentInput
from .worker_shell import WorkerShell


class LoadedInputs:
    """One cell's names before it runs.

    Parameters
    ----------
    namespace
        Of the module that stands in for ``__main__``.
    kept
        Names that are an actor's own; None: the module is new.
    """

    def __init__(
        self, job: CellJob, namespace: dict[str, Any], shell: WorkerShell, start: Start, kept: set[str] | None
    ) -> None:
        self.job = job
        self.namespace = namespace
        self.shell = shell
        self.start = start
        self.kept = kept
        self.mine: frozenset[str] = frozenset(kept or ())  # the actor's names, which inputs do not replace
        self.before: dict[str, Any] = {}
        self.own: frozenset[str] = frozenset(new_module().__dict__)
        self.large: tuple[Any, ...] = ()
        self.item_value: Any = None
        self.item = False  # whether it runs for an item of --each
        self.loaded = False
        self.code_state: CodeState | None = None
        self.inputs: InputChanges | None = None
        self.outlines: dict[str, Outline] = {}  # of the large inputs
        self.stored: dict[str, Outline] = {}  # of those of them that the cell stores into
        self.reader: StreamReader | None = None
        self.marks: dict[str, Any] = {}  # what was read behind each name of the inputs
        self.unheld: set[int] = set()  # ids of what only others were filled from
        self.sent: set[str] = set()  # names that came along
        self.aliases: dict[int, str] = {}
        self.alike: list[set[str]] = []  # names of refs whose values share objects
        self.shared: list[tuple[str, Any]] = []  # read-only memory of the inputs, by name

    def load(self, resolved: tuple[Any, ...]) -> None:
        """Bind the inputs."""
        job, namespace, mine = self.job, self.namespace, self.mine
        if job.item_by_ref:
            self.item_value, resolved = resolved[-1], resolved[:-1]
        n_refs = len(job.ref_names)
        resolved, self.large = resolved[:n_refs], resolved[n_refs:]
        with unheard():  # in the notebook they are loaded already
            for dotted in job.loaded:
                _import_if_possible(dotted)
            for dotted in job.submodules:
                importlib.import_module(dotted)
            for name, dotted in job.modules:
                if name not in mine:
                    namespace[name] = importlib.import_module(dotted)
            for _, (dotted, _) in job.held:
                importlib.import_module(dotted)
        start = dict(namespace)
        do_as(job.columns_share)
        if job.names:
            with receiving(namespace, job.carried, {}, mine), collector.at_rest():
                self.reader = reader = StreamReader(job.stream, list(self._buffers()))
                for entry in job.names:
                    value, self.marks[entry.name] = reader.read(), reader.read()
                    if entry.name not in mine:
                        namespace[entry.name] = value
                    if type(value).__name__ == "ndarray" and is_guarded(value):
                        self.shared.append((entry.name, value))
            if job.return_names is None:
                self.unheld = unheld(reader.objects())
            self.shell.comms.connect(reader.objects)
        self.shell.loaded()
        if handlers := namespace.get(interrupt_handlers.NAME):
            self.start.handlers.take(handlers)
        came = {}  # functions that are here already, inside other values
        if job.optional and self.reader is not None:
            came = {f.__qualname__: f for f in map(of_main, self.reader.objects()) if isinstance(f, types.FunctionType)}
        for name, data in job.optional:
            try:
                with receiving(namespace, (), {}, mine):
                    value = StreamReader(data, ()).read()
            except Exception:
                continue  # only a guess that the cell might want it
            if name not in mine:
                namespace[name] = came.get(name, value) if isinstance(value, types.FunctionType) else value
        # Also what the functions among them need.
        sent = {n for n, value in namespace.items() if start.get(n, start) is not value and n not in self.own}
        self.alike = [{job.ref_names[place] for place in group} for group in that_share(list(resolved), namespace)]
        own = {*job.stored_refs}.union(*(group for group in self.alike if not group.isdisjoint(job.stored_refs)))
        copies: dict[int, Any] = {}
        for name, value in zip(job.ref_names, resolved, strict=True):
            if name not in mine:
                # What lies in the store is shared and read-only; the cell gets its own.
                namespace[name] = copy.deepcopy(value, copies) if name in own else value
                self.shared.append((name, value))
        for name, (text, line) in job.unsendable.items():
            if name not in mine:
                raise missing_input(text, job.filename, line)
        for name, (text, reason) in job.unsent.items():
            if name not in mine:
                namespace[name] = unsent = UnsentInput(name, text, reason)
                self.aliases[id(unsent)] = name
        for name in job.deleted:
            if name not in mine:
                namespace.setdefault(name, None)
        self.before = dict(namespace)
        for name in sent:
            value = namespace[name]
            if not is_immutable(value) or isinstance(value, type | types.FunctionType):
                self.aliases.setdefault(id(value), name)
        unwatched = {entry.name for entry in job.names if entry.large or entry.stored_into}
        watched = [name for name in self.before if name in sent and name not in unwatched]
        # Values of refs that methods may change; and of the actor's names, those that the cell uses.
        watched += [name for name in job.ref_names if name not in mine and name not in job.stored_refs]
        watched += [name for name in job.uses if name in mine and name not in job.stores]
        self.inputs = InputChanges(namespace, self.aliases)
        self.inputs.watch((name, self.before[name]) for name in dict.fromkeys(watched) if name in self.before)
        # What is small only because it refers to a large one (an optimizer, to its model) is not compared whole either.
        entries = [
            entry
            for entry in job.names
            if (entry.large or (entry.watched and entry.name not in self.inputs.watched))
            and not entry.stored_into
            and entry.name not in mine
        ]
        # Those that are stored into come back in any case, but what is unchanged in them need not.
        stored = [entry.name for entry in job.names if entry.large and entry.stored_into and entry.name not in mine]
        with collector.at_rest():
            self.outlines = {entry.name: Outline(namespace[entry.name]) for entry in entries}
            self.stored = {name: Outline(namespace[name], tensors=False) for name in stored}
        self.sent = sent
        self.code_state = CodeState(namespace, sent - mine, self.inputs.digest)
        self.loaded = True

    def bind(self, item: Item) -> None:
        """Bind the item of ``--each``: as with inputs, a small one is the cell's own, a large one if it stores into it."""
        if item.stream:
            views = [memoryview(buffer).toreadonly() for buffer in item.buffers]
            small = len(item.stream) + sum(view.nbytes for view in views) <= SMALL_BYTES
            own = small or self.job.stores_into_item
            buffers = [bytearray(view) for view in views] if own else views
            with receiving(self.namespace, item.carried, {}, self.mine):
                value = StreamReader(item.stream, buffers).read()
        else:
            value = copy.deepcopy(self.item_value) if self.job.stores_into_item else self.item_value
        for name, part in zip(item.targets, item.parts(value), strict=True):
            self.namespace[name] = self.before[name] = part
        self.item = True

    def _buffers(self) -> Iterator[Any]:
        buffers = iter(self.job.buffers)
        for entry in self.job.names:
            for _ in range(entry.n_buffers):
                buffer = next(buffers)
                if isinstance(buffer, Placed):
                    buffer = self.large[buffer.position].buffer(buffer.part)
                view = memoryview(buffer)
                if entry.writable:
                    yield bytearray(view)
                else:
                    self.shared.append((entry.name, view))
                    yield view if view.readonly else view.toreadonly()


def _import_if_possible(dotted: str) -> None:
    try:
        importlib.import_module(dotted)
    except Exception:
        pass  # the cell does it again, and gets to see why
