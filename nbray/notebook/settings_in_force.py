"""All that the notebook has set in its process, while a cell of it runs in this one: settings, filters of warnings, modules."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from . import (
    logging_filters,
    logging_handlers,
    logging_state,
    module_registers,
    module_state,
    module_values,
    pandas_additions,
    process_settings,
    warning_filters,
)
from .cell_job import CellJob
from .cell_result import CellOutcome


class SettingsInForce:
    """Puts it into force in the libraries that the names of the cell have brought.

    Parameters
    ----------
    namespace
        The cell's names.
    kept
        They are an actor's: modules stay as its cells make them.
    afterwards
        Gets what is to be done when the results have been written: what modules hold may be among them.
    """

    def __init__(self, job: CellJob, namespace: dict[str, Any], kept: bool, afterwards: ExitStack) -> None:
        self._kept = kept
        self._filters = warning_filters.InForce(job.filters, job.source)
        self._settings = process_settings.InForce(job.settings) if job.settings is not None else None
        self._modules: module_values.InForce | None = None
        objects = namespace.get(module_values.NAME, {})
        if job.module_values or job.attribute_stores or objects:
            self._modules = module_values.InForce(
                job.module_values, objects, job.attribute_stores, job.import_aliases, namespace
            )

        self._objects: dict[module_values.Key, Any] = objects
        self.registered: dict[module_registers.Place, Any] = {}  # at the end: what the cell has changed of it
        registers = namespace.get(module_registers.NAME)
        self._registers = module_registers.InForce(registers) if registers is not None else None
        self.log_filters: logging_filters.Filters = {}  # at the end: those that the cell has made
        self._log_filters = logging_filters.InForce(namespace.get(logging_filters.NAME, {}))
        self._logging = logging_state.InForce(job.logging) if job.logging is not None else None
        self.log_handlers: logging_handlers.Handlers = {}  # the same
        self._log_handlers = logging_handlers.InForce(namespace.get(logging_handlers.NAME), job.log_handlers, kept)
        self._added = dict(pandas_additions.additions())
        self._state: module_state.InForce | None = None
        if job.module_state is not None:
            self._state = module_state.InForce(job.module_state)
            afterwards.callback(self._state.restore)

    def end(self, outcome: CellOutcome) -> dict[module_values.Key, Any]:
        """Put the worker's own into force again; what the cell changed of the notebook's goes into its outcome.

        Returns
        -------
        What it has set on modules, as far as it is no plain data.
        """
        objects: dict[module_values.Key, Any] = {}
        outcome.filters = self._filters.end()
        self.log_handlers = self._log_handlers.end(outcome.hints)
        self.log_filters = self._log_filters.end()
        if self._logging is not None:
            outcome.logging = self._logging.end()
        if self._settings is not None:
            outcome.settings = self._settings.end()
        if self._state is not None:
            outcome.module_state = self._state.end(outcome.hints, outcome.reloaded)
        if self._registers is not None:
            self.registered = self._registers.end(restore=not self._kept)
        added = pandas_additions.added_since(self._added, self._objects)
        if self._modules is not None:
            outcome.module_values, objects = self._modules.end(not self._kept, outcome.reloaded)
        for key, value in added.items():
            objects.setdefault(key, value)
            if not self._kept:
                module_values.put_at(key, module_values.ABSENT)
        return objects
