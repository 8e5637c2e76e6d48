"""What a cell has bound, changed and deleted, collected in its worker for the way back."""

from __future__ import annotations

import sys
import time
import types
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from nbray.exceptions import RayError

from . import collector, last_error, method_hints, reloaded_modules, warning_filters
from .cell_job import ANNOTATED, CellJob, is_immutable
from .cell_pickle import pickles
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
)
from .cell_scopes import names_of_with
from .loaded_inputs import LoadedInputs
from .module_values import Key, value_at
from .result_packer import Packer
from .runtime import CARRIED_TYPES, put
from .settings_in_force import SettingsInForce
from .shared_objects import Known, SharedObjects
from .surroundings import Start
from .worker_shell import WorkerShell

OF_IPYTHON = frozenset(
    {"_exit_code", "__main__"}
)  # private names that come back: of the last `!command`, of the notebook itself


class ResultCollector(LoadedInputs):
    """One cell's names afterwards.

    Attributes
    ----------
    outcome : CellOutcome
        What comes back; filled by ``collect``.
    """

    def __init__(
        self,
        job: CellJob,
        namespace: dict[str, Any],
        shell: WorkerShell,
        start: Start,
        kept: set[str] | None,
        outcome: CellOutcome,
    ) -> None:
        super().__init__(job, namespace, shell, start, kept)
        self.outcome = outcome
        self.begun, self.begun_cpu = time.perf_counter(), time.process_time()
        self.settings: SettingsInForce | None = None
        self.reloads: reloaded_modules.InCell | None = None
        self.module_objects: dict[Key, Any] = {}  # that the cell has set on modules
        self.registered: dict[Key, Any] = {}  # in registers of modules
        self.log_filters: dict[str, list[Any]] = {}
        self.log_handlers: dict[str, list[Any]] = {}
        self.noticed: set[str] = set()  # large inputs of which nothing but their outlines told that they changed

    # ---------------------------------------------------------- settings of libraries

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

    # ------------------------------------------------------------------------- names

    def collect(self, value: Any, in_band: bool) -> None:
        """Fill the outcome with everything that changed."""
        self.give_back_settings()
        with warning_filters.unseen():
            self._collect(value, in_band)

    def _collect(self, value: Any, in_band: bool) -> None:
        job, outcome, before, mine = self.job, self.outcome, self.before, self.mine
        outcome.ran_s, outcome.cpu_s = time.perf_counter() - self.begun, time.process_time() - self.begun_cpu
        if not self.item:
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
            if self.shell.owns(name, new):
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
        if printers := self.shell.new_formatters():
            items.append((FORMATTERS, "", printers))
        if self.item:
            return items
        items += [(WIDGET, "", widget) for widget in self.shell.comms.shown() if pickles(widget)]
        if handlers := self.start.handlers.changes():
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
            known = shared.known(touched + gone, self._notices_changes(changed), same, unchanged, changed)
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
                self.shell.shown,
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
        return SharedObjects(self.reader.objects(), self.marks, self.namespace, self.unheld)

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


def _stays_alike(value: Any) -> bool:
    return is_immutable(value) or isinstance(value, types.ModuleType)
