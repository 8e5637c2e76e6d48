"""All that the notebook has set in its process, while a cell of it runs in this one: settings, filters of warnings, modules."""

from __future__ import annotations

from typing import Any

from . import module_values, process_settings, warning_filters
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
    """

    def __init__(self, job: CellJob, namespace: dict[str, Any], kept: bool) -> None:
        self._kept = kept
        self._filters = warning_filters.InForce(job.filters, job.source)
        self._settings = process_settings.InForce(job.settings) if job.settings is not None else None
        self._modules: module_values.InForce | None = None
        if job.module_values or job.attribute_stores:
            self._modules = module_values.InForce(
                job.module_values, job.attribute_stores, job.import_aliases, namespace
            )

    def end(self, outcome: CellOutcome) -> None:
        """Put the worker's own into force again; what the cell changed of the notebook's goes into its outcome."""
        outcome.filters = self._filters.end()
        if self._settings is not None:
            outcome.settings = self._settings.end()
        if self._modules is not None:
            outcome.module_values, untold = self._modules.end(restore=not self._kept)
            if not self._kept:
                outcome.hints += [
                    f"{name} was set on the worker only: of what a cell sets on a module, plain data comes back."
                    for name in untold
                ]
