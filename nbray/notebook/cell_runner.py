"""Run a cell in the worker as if it ran in the notebook.

The names of the cell live in a module that stands in for ``__main__`` meanwhile: a fresh
one for a task, always the same one in an actor (``cell_actor``). When the cell raises, the
exception goes on to the runtime (so the task has failed for everyone who looks); what was
bound before, and the frames for the traceback, are emitted as a piece of output of the
kind ``CELL_ENDED``, which arrives before the error.
"""

from __future__ import annotations

import copy
import importlib
import sys
import time
import types
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

from nbray.exceptions import RayError
from nbray.serialization.error_value import hint_of

from . import (
    cell_failure,
    collector,
    interrupt_handlers,
    last_error,
    logging_relays,
    method_hints,
    module_reload,
    read_only,
    reloaded_modules,
    warning_filters,
)
from .cell_code import run_code
from .cell_job import ALWAYS_VISIBLE, ANNOTATED, SMALL_BYTES, CellJob, Placed, is_immutable, missing_input
from .cell_pickle import StreamReader, pickles, receiving
from .cell_result import (
    ANNOTATIONS,
    CHANGED,
    FORMATTERS,
    HANDLERS,
    LOG_FILTERS,
    LOG_HANDLERS,
    OBJECT,
    ON_MODULE,
    REF,
    REGISTERED,
    SET,
    STATE,
    VALUE,
    WIDGET,
    CellOutcome,
    not_at_the_end,
)
from .cell_scopes import names_of_with
from .code_state import CodeState
from .common_memory import is_guarded
from .each_item import Item
from .input_changes import InputChanges
from .main_module import MainModule, new_module, of_main
from .module_values import Key, value_at
from .outlines import Outline
from .result_packer import Packer
from .runtime import CARRIED_TYPES, emit, put
from .separate_values import separate
from .settings_in_force import SettingsInForce
from .shared_objects import Known, SharedObjects, that_share
from .surroundings import Start, surroundings
from .unheard import unheard
from .unsent_input import UnsentInput
from .worker_shell import WorkerShell

OF_IPYTHON = frozenset(
    {"_exit_code", "__main__"}
)  # private names that come back: of the last `!command`, of the notebook itself

_shell = WorkerShell(emit)


def run_cell(job: CellJob, *resolved: Any) -> Any:
    """Run one cell; the remote function behind ``%%remote``.

    Parameters
    ----------
    job
        See ``cell_job``.
    resolved
        Values of the refs in ``job.ref_names``, then the large buffers of the inputs.

    Returns
    -------
    CellOutcome, or with ``job.return_names`` a list: the names that the cell has deleted (or None: it
    only says that the cell has ended), the value of the last expression, then one value per name.
    """
    return run_in(new_module(), job, resolved)


def run_in(
    module: MainModule,
    job: CellJob,
    resolved: tuple[Any, ...],
    kept: set[str] | None = None,
    item: Item | None = None,
) -> Any:
    """Run a cell with the names of ``module``.

    Parameters
    ----------
    kept
        Names that are the module's own: inputs do not replace them. Names that the cell
        binds are added. None: the module is new.
    item
        One item of ``--each``.
    """
    logging_relays.use_relays()
    namespace = module.__dict__
    key = job.key if item is None else f"{job.key}.{item.number}"
    outcome = CellOutcome()
    _shell.payloads = None if item is not None or job.return_names is not None else outcome.payloads
    with surroundings(job, module, _shell, kept is not None) as start, ExitStack() as afterwards:
        run = _Run(job, namespace, outcome, kept)
        run.start = start
        try:
            if job.reloads is not None:
                module_reload.reload_changed(job.reloads)
            with warning_filters.unseen():
                module_reload.reload_others(job.module_times)
                run.load(resolved)
            if run.reader is not None:
                module.came = run.reader.objects
            run.take_settings(afterwards)
            if item is not None:
                run.bind(item)
            value = run.execute()
            # The notebook shows a value, and then the figures. They are drawn as its settings say.
            alone = value is None or item is not None or job.return_names is not None
            _end_figures(None if alone else outcome.displays)
        except BaseException as error:
            _shell.comms.pause()
            _end_figures()
            cell_failure.begin_in_cell(error, job.filename)
            cell_failure.send(run, key, error)
            raise
        finally:
            _shell.comms.pause()
            module.came = tuple  # an actor is not to keep what came for one cell
            run.give_back_settings()
            run.keep_names()
            module_reload.note_loaded()
        if job.return_names is not None:
            with warning_filters.unseen():
                if job.tells and (item is None or item.number == 0):
                    run.tell_what_stays(item is None)
                return run.separate_values(value)
        run.collect(value, in_band=False)
        outcome.missing = run.missing()
        return outcome


def run_item(job: CellJob, item: Item, *resolved: Any) -> Any:
    """Run the cell for one item of ``--each``; the remote function behind it."""
    return run_in(new_module(), job, resolved, None, item)


class _Run:
    """One cell: its names before, its code, its names after."""

    def __init__(
        self, job: CellJob, namespace: dict[str, Any], outcome: CellOutcome, kept: set[str] | None = None
    ) -> None:
        self.job = job
        self.namespace = namespace
        self.outcome = outcome
        self.kept = kept
        self.mine: frozenset[str] = frozenset(kept or ())  # the actor's names, which inputs do not replace
        self.before: dict[str, Any] = {}
        self.own: frozenset[str] = frozenset(new_module().__dict__)
        self.begun, self.begun_cpu = time.perf_counter(), time.process_time()
        self.start: Start | None = None
        self.large: tuple[Any, ...] = ()
        self.item_value: Any = None
        self.item = False  # whether it runs for an item of --each
        self.loaded = False
        self.code_state: CodeState | None = None
        self.settings: SettingsInForce | None = None
        self.reloads: reloaded_modules.InCell | None = None
        self.module_objects: dict[Key, Any] = {}  # that the cell has set on modules
        self.registered: dict[Key, Any] = {}  # in registers of modules
        self.log_filters: dict[str, list[Any]] = {}
        self.log_handlers: dict[str, list[Any]] = {}
        self.inputs: InputChanges | None = None
        self.outlines: dict[str, Outline] = {}  # of the large inputs
        self.stored: dict[str, Outline] = {}  # of those of them that the cell stores into
        self.noticed: set[str] = set()  # large inputs of which nothing but their outlines told that they changed
        self.reader: StreamReader | None = None
        self.marks: dict[str, Any] = {}  # what was read behind each name of the inputs
        self.sent: set[str] = set()  # names that came along
        self.aliases: dict[int, str] = {}
        self.alike: list[set[str]] = []  # names of refs whose values share objects
        self.shared: list[tuple[str, Any]] = []  # read-only memory of the inputs, by name

    # --------------------------------------------------------------------- before

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
        if job.names:
            with receiving(namespace, job.carried, {}, mine), collector.at_rest():
                self.reader = reader = StreamReader(job.stream, list(self._buffers()))
                for entry in job.names:
                    value, self.marks[entry.name] = reader.read(), reader.read()
                    if entry.name not in mine:
                        namespace[entry.name] = value
                    if type(value).__name__ == "ndarray" and is_guarded(value):
                        self.shared.append((entry.name, value))
            _shell.comms.connect(reader.objects)
        _shell.loaded()
        if self.start is not None and (handlers := namespace.get(interrupt_handlers.NAME)):
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

    def take_settings(self, afterwards: ExitStack) -> None:
        """Put the notebook's settings into force in the libraries that its names have brought."""
        self.reloads = reloaded_modules.InCell()
        afterwards.callback(self.reloads.end)
        afterwards.enter_context(last_error.as_in_notebook(self.namespace))
        self.settings = SettingsInForce(self.job, self.namespace, self.kept is not None, afterwards)
        for name, place in self.job.held:
            self.namespace[name] = self.before[name] = value = value_at(place)
            self.aliases.setdefault(id(value), name)

    def give_back_settings(self) -> None:
        """Put the worker's own settings into force again, and keep what the cell changed of the notebook's."""
        if self.settings is not None:
            settings, self.settings = self.settings, None
            if self.reloads is not None:
                self.outcome.reloaded = self.reloads.end()
            self.module_objects = settings.end(self.outcome)
            self.registered = settings.registered
            self.log_filters, self.log_handlers = settings.log_filters, settings.log_handlers

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

    def note(self, error: BaseException) -> str:
        """Return what to do about a store into an input that is read-only here, or about a ref that was taken for its value."""
        if not read_only.is_refused_store(error):
            return read_only.of_resize(error) if read_only.is_refused_resize(error) else hint_of(error)
        try:
            return read_only.in_cell(error, self.shared, self.namespace) if self.shared or self.item else ""
        except Exception:  # odd objects in some frame
            return read_only.GENERAL

    # ------------------------------------------------------------------------ run

    def execute(self) -> Any:
        """Run the code; returns the value of the last expression, if one is wanted."""
        return run_code(self.job, self.namespace, _shell.get)

    # ---------------------------------------------------------------------- after

    def collect(self, value: Any, in_band: bool) -> None:
        """Fill the outcome with everything that changed."""
        self.give_back_settings()
        with warning_filters.unseen():
            self._collect(value, in_band)

    def _collect(self, value: Any, in_band: bool) -> None:
        job, outcome, before, mine = self.job, self.outcome, self.before, self.mine
        outcome.ran_s, outcome.cpu_s = time.perf_counter() - self.begun, time.process_time() - self.begun_cpu
        if self.start is not None and not self.item:
            outcome.cwd, outcome.environ = self.start.changes()
            outcome.sys_path, outcome.argv = self.start.changed_lists()
        items: list[tuple[str, str, Any]] = []
        stored = {entry.name for entry in job.names if entry.stored_into}
        stored.update(job.stored_refs)
        stored.update(name for name in job.stores if name in mine)
        changed = self._changed(stored)
        for group in self.alike:  # who holds the same objects gets them as well
            if not group.isdisjoint(changed):
                changed |= {name for name in group if name in before and name not in mine}
        for name, old in before.items():
            if name in self.own:
                continue
            if name not in self.namespace:
                outcome.deleted.append(name)
            elif name in changed:
                # The notebook knows its own objects; those of an actor go over as new ones, as do values of refs.
                items.append((SET if name in mine else REF if name in job.ref_names else CHANGED, name, old))
        if self.code_state is not None:
            items += [(STATE, name, change) for name, change in self.code_state.changes(self.digest).items()]
        rebound = {item[1] for item in items if item[0] == SET}
        for name, new in list(self.namespace.items()):
            if name in self.own or not isinstance(name, str) or name in rebound:
                continue
            if self._stays_private(name):
                continue
            if before.get(name, outcome) is new and not (self.item and name in job.assigned):
                continue
            if _shell.owns(name, new):
                continue  # get_ipython and the like, put there once more (by %reset)
            if isinstance(new, types.ModuleType) and sys.modules.get(new.__name__) is new:
                outcome.modules.append((name, new.__name__))
                continue
            items.append((SET, name, new))
        items = [item for item in items if item[0] != SET or not self._stays_private(item[1])]
        if job.only_names is not None:
            wanted = set(job.only_names)
            items = [item for item in items if item[1] in wanted]
            outcome.modules = [pair for pair in outcome.modules if pair[0] in wanted]
        if job.lazy:
            items = [(kind, name, self._left_there(kind, val)) for kind, name, val in items]
        if value is not None:
            items.append((VALUE, "", value))
        items += self._beside_names()
        outcome.imports = [
            dotted
            for dotted in job.imports
            if "." in dotted and dotted in sys.modules and dotted.partition(".")[0] in self.namespace
        ]
        with collector.at_rest():
            self._pack(items, changed, in_band)
        outcome.hints += method_hints.hints(job, self.before, changed, self.noticed)
        outcome.hints += method_hints.of_cut_outlines(
            name for name, outline in self.outlines.items() if not outline.whole and name not in changed
        )

    def _stays_private(self, name: str) -> bool:
        """Whether a name is private: it comes back only where -o asks for it."""
        return name.startswith("_") and name not in OF_IPYTHON and name not in (self.job.only_names or ())

    def missing(self) -> list[str]:
        """Return the names that -o asks for and that are not there at the end."""
        return [name for name in self.job.only_names or () if name not in self.namespace]

    def _beside_names(self) -> list[tuple[str, str, Any]]:
        """Return what comes back without a name."""
        items: list[tuple[str, str, Any]] = []
        if printers := _shell.new_formatters():
            items.append((FORMATTERS, "", printers))
        if self.item:
            return items
        items += [(WIDGET, "", widget) for widget in _shell.comms.shown() if pickles(widget)]
        if self.start is not None and (handlers := self.start.handlers.changes()):
            items.append((HANDLERS, "", handlers))
        if ANNOTATED in self.namespace and ANNOTATED not in self.before:
            items.append((ANNOTATIONS, "", self.namespace[ANNOTATED]))
        for key, value in self.module_objects.items():
            if pickles(value):
                items.append((ON_MODULE, ":".join(key), value))
            elif self.kept is None:
                what = f"{'.'.join(key)} was set on the worker only: a {type(value).__name__} cannot come back."
                self.outcome.hints.append(what)
        items += [(LOG_FILTERS, "", {name: each}) for name, each in self.log_filters.items() if pickles(each)]
        items += [(LOG_HANDLERS, "", {name: each}) for name, each in self.log_handlers.items() if pickles(each)]
        for key, value in self.registered.items():
            if pickles(value):
                items.append((REGISTERED, ":".join(key), value))
            elif self.kept is None:
                self.outcome.hints.append(f"what was registered in {'.'.join(key)} stays on the worker.")
        return items

    def _pack(self, items: list[tuple[str, str, Any]], changed: set[str], in_band: bool) -> None:
        """Write what comes back; objects of the inputs, where they can be told, as references to the notebook's."""
        job, outcome, before = self.job, self.outcome, self.before
        shared = self.shared_objects()
        known = Known()
        unwritten = {}  # tensors, by id: whether their gradients are the same, too
        for name in changed & self.outlines.keys():
            unwritten.update(self.outlines[name].unwritten_tensors())
        if shared is not None and (items or changed):
            gone = [before[name] for name in outcome.deleted if name in changed and job.only_names is None]
            touched = [value for kind, _, value in items if kind in (CHANGED, STATE)]
            if changed and self.inputs is not None:
                alike = [before[name] for name in self.inputs.watched - changed]
                touched += [value for value in alike if shared.holds_others(value)]
            same = {key for key, wholly in unwritten.items() if wholly}
            same = same.union(*(outline.unwritten_storages() for outline in self.outlines.values()))
            outlines = [outline for name, outline in (*self.outlines.items(), *self.stored.items()) if name in changed]
            unchanged = set().union(*(outline.unchanged() for outline in outlines))
            known = shared.known(touched + gone, self._notices_changes(changed), same, unchanged)
        outcome.known = known.numbers
        recorded = {id(record.value): record for record in known.records}
        items = [item for item in items if item[0] != CHANGED or id(item[2]) not in recorded]
        objects = [(OBJECT, str(record.number), record.value) for record in known.records]
        n_first = sum(not record.sure for record in known.records)

        def came_as(item: tuple[str, str, Any]) -> tuple[str, Any]:
            if item[0] != OBJECT:
                return item[1], item[2]
            name = recorded[id(item[2])].name
            return name, before.get(name, item[2])

        if items or objects:
            sent = [
                entry.name for entry in job.names if entry.name not in job.scattered and entry.name not in self.mine
            ]
            whole = [before.get(name) for name in sent] if job.only_names is None else []
            packer = Packer(
                outcome,
                self.namespace,
                CARRIED_TYPES,
                self.aliases,
                known.objects,
                in_band,
                whole,
                _shell.shown,
                unwritten,
            )
            packer.pack(objects[:n_first], objects[n_first:] + items, came_as)
        if outcome.left_behind:
            ended = names_of_with(job.source)
            for left in outcome.left_behind:
                left.quiet = left.name in ended and not left.kept

    def shared_objects(self) -> SharedObjects | None:
        """Return the objects of the inputs that the notebook can be told of; None: the results go to several places."""
        if self.reader is None or self.item or self.job.return_names is not None:
            return None
        return SharedObjects(self.reader.objects(), self.marks, self.namespace)

    def _notices_changes(self, changed: set[str]) -> Callable[[str], bool]:
        """Return what tells of a name whether each change to what came under it is noticed, and goes back."""
        job, before, watched = self.job, self.before, self.inputs.watched if self.inputs is not None else set()
        entries = {entry.name: entry for entry in job.names}
        # Names that came along with functions lie among the objects of these.
        others = self.sent - entries.keys()
        all_watched = all(name in watched or _stays_alike(before[name]) for name in others)

        def notices(name: str) -> bool:
            entry = entries[name]
            if entry.large or name in self.mine:
                return False
            if _stays_alike(before[name]):
                return all_watched and job.only_names is None
            goes_back = job.only_names is None or name in job.only_names
            return goes_back if entry.stored_into else name in watched and (goes_back or name not in changed)

        return notices

    def _changed(self, stored: set[str]) -> set[str]:
        """Return the names whose objects, as they came, are to be written back."""
        changed = {name for name in stored if name in self.before and not _stays_alike(self.before[name])}
        self.noticed = {name for name, outline in self.outlines.items() if outline.differs()} - changed
        changed |= self.noticed
        return changed | self.inputs.changed() if self.inputs is not None else changed

    def digest(self, value: Any) -> bytes | None:
        return self.inputs.digest(value) if self.inputs is not None else None

    def _left_there(self, kind: str, value: Any) -> Any:
        """Return a ref to a value (``--lazy``); code comes back itself, as do values that cannot be stored.

        An error of the library does as well: of a ref to it ``get`` would raise it.
        """
        if kind != SET or isinstance(value, (type, types.FunctionType, RayError, *CARRIED_TYPES)):
            return value
        try:
            return put(value)
        except TypeError:
            return value  # it is told as anything that does not come back

    def keep_names(self) -> None:
        """In an actor: what the cell bound is the actor's from now on; what it was sent is not."""
        kept = self.kept
        if kept is None:
            return
        before = self.before
        for name, value in list(self.namespace.items()) if self.loaded else ():
            if name in self.own or name in ALWAYS_VISIBLE or name in kept:
                continue
            if before.get(name, self) is not value:
                kept.add(name)
        kept.intersection_update(self.namespace)

    def tell_what_stays(self, all_that_is_missing: bool) -> None:
        """Say which inputs the cell has changed that do not go back (``--async``), and which names -o asks for in vain.

        Parameters
        ----------
        all_that_is_missing
            No: another item of ``--each`` may bind what is missing here.
        """
        if all_that_is_missing:
            told = set(self.missing()) - set(self.job.return_names or ())  # when the cell was sent
            for message in not_at_the_end(name for name in self.missing() if name not in told):
                print(f"nbray: {message}", file=sys.stderr)
        code = self.code_state.changes(self.digest) if self.code_state is not None else {}
        returned = {*(self.job.return_names or ()), *self.mine}
        names = {name for name in {*self._changed(set()), *code} if not name.startswith("_")} - returned
        if names:
            print(
                f"nbray: the cell changed {', '.join(sorted(names))} only for itself: what --async changes in place stays"
                " on the worker. Assign a new name instead: it comes back.",
                file=sys.stderr,
            )

    def separate_values(self, value: Any) -> list[Any]:
        """Return what ``--async`` returns: names that are deleted (or None), the last value, then each name's."""
        assert self.job.return_names is not None
        deleted = [name for name in self.before if name not in self.namespace and name not in self.own]
        return separate(value, self.job.return_names, self.namespace, self.job.key, deleted or None)


def _stays_alike(value: Any) -> bool:
    return is_immutable(value) or isinstance(value, types.ModuleType)


def _import_if_possible(dotted: str) -> None:
    try:
        importlib.import_module(dotted)
    except Exception:
        pass  # the cell does it again, and gets to see why


def _end_figures(held: list[dict[str, Any]] | None = None) -> None:
    try:
        _shell.show_figures(held)
    except Exception as error:
        print(f"a figure could not be drawn: {type(error).__name__}: {error}", file=sys.stderr)
