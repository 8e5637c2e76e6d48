"""Run a cell in the worker as if it ran in the notebook.

The names of the cell live in a module that stands in for ``__main__`` meanwhile: a fresh
one for a task, always the same one in an actor (``cell_actor``). When the cell raises, the
exception goes on to the runtime (so the task has failed for everyone who looks); what was
bound before, and the frames for the traceback, are emitted as a piece of output of the
kind ``CELL_ENDED``, which arrives before the error.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import Any

from nbray.serialization.error_value import hint_of

from . import (
    cell_failure,
    logging_relays,
    module_reload,
    read_only,
    warning_filters,
)
from .cell_code import run_code
from .cell_job import ALWAYS_VISIBLE, CellJob
from .cell_result import (
    CellOutcome,
    not_at_the_end,
)
from .each_item import Item
from .main_module import MainModule, new_module
from .result_collector import ResultCollector
from .runtime import emit
from .separate_values import separate
from .surroundings import surroundings
from .worker_shell import WorkerShell

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
        run = _Run(job, namespace, _shell, start, kept, outcome)
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


class _Run(ResultCollector):
    """One cell: its names before, its code, its names after."""

    def execute(self) -> Any:
        """Run the code; returns the value of the last expression, if one is wanted."""
        return run_code(self.job, self.namespace, self.shell.get)

    def note(self, error: BaseException) -> str:
        """Return what to do about a store into an input that is read-only here, or about a ref that was taken for its value."""
        if not read_only.is_refused_store(error):
            return read_only.of_resize(error) if read_only.is_refused_resize(error) else hint_of(error)
        try:
            return read_only.in_cell(error, self.shared, self.namespace) if self.shared or self.item else ""
        except Exception:  # odd objects in some frame
            return read_only.GENERAL

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


def _end_figures(held: list[dict[str, Any]] | None = None) -> None:
    try:
        _shell.show_figures(held)
    except Exception as error:
        print(f"a figure could not be drawn: {type(error).__name__}: {error}", file=sys.stderr)
