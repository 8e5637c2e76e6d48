"""``--async``: the cell returns at once; outputs and errors come later under it."""

from __future__ import annotations

import importlib
import pickle
import threading
import time
from collections.abc import Iterable
from typing import Any

from nbray.exceptions import TaskCancelledError

from . import interrupt, module_values, tracebacks
from .cell_analysis import CellAnalysis
from .live_line import seconds
from .magic_options import comes_back
from .runtime import ObjectRef, cancel, when_done
from .wait_reason import waiting_reason
from .waiting_cell import has_waited
from .widgets import amounts
from .widgets.facts import CANCELLED, DONE, FAILED, PLACE, RUNNING, Facts

SAID_FROM_S = 1.0  # of waiting, when it is over


class AsyncCells:
    """The cells of one shell that run in the background."""

    def __init__(self, cells: Any) -> None:
        self._cells = cells
        self._running: dict[str, list[ObjectRef]] = {}  # what they return, by key of the job

    def leave_running(self, cell: Any, refs: list[ObjectRef]) -> Any:
        """Bind refs to the names; returns the ref of the last value."""
        cells = self._cells
        job, options = cell.job, cell.options
        done, value, *names = refs
        cells.shell.user_ns.update(zip(job.return_names, names, strict=True))
        _bind_imports(cell.analysis, options.only_names, cells.shell.user_ns)
        self.began(job.key, refs)
        watch = _Watched(self, cell, done)
        if not options.quiet:
            watch.line = cells.lines.add(watch.origin, watch.describe, watch.stop, cluster_ends=watch.cluster_ends)
        if options.timeout_s is not None:
            watch.timer = threading.Timer(options.timeout_s, watch.time_is_up)
            watch.timer.daemon = True
            watch.timer.start()
        when_done(done, watch.ended)
        return value if job.want_value or not job.has_value else None

    def has(self, ref: ObjectRef) -> bool:
        """Tell whether ``ref`` is what a cell returns that runs in the background."""
        return any(ref in refs for refs in list(self._running.values()))

    def began(self, key: str, refs: list[ObjectRef]) -> None:
        """A cell runs in the background; ``refs``: what it returns."""
        self._running[key] = refs

    def ended(self, key: str) -> None:
        """Forget a cell that is over."""
        self._running.pop(key, None)


def _bind_imports(analysis: CellAnalysis, only: list[str] | None, namespace: dict[str, Any]) -> None:
    """Bind what the cell imports: at once what is loaded here already, the rest as soon as it is, by a thread of its own."""
    left = {}
    for name in analysis.import_names:
        if name in analysis.deleted or not comes_back(name, only):
            continue
        dotted = analysis.import_aliases[name]
        if (found := module_values.imported(dotted)) is not None:
            namespace[name] = found
        else:
            left[name] = dotted, namespace.get(name)

    def load() -> None:
        for name, (dotted, before) in left.items():
            found = _load(dotted)
            if found is not None and namespace.get(name) is before:  # nobody has bound it meanwhile
                namespace[name] = found

    if left:
        threading.Thread(target=load, name="nbray-imports", daemon=True).start()


def _load(dotted: str) -> Any:
    """Import a module, or the module that has this name in it; None: neither works here."""
    for module in (dotted, dotted.rpartition(".")[0]):
        try:
            importlib.import_module(module)
        except Exception:
            continue
        if (found := module_values.imported(dotted)) is not None:
            return found
    return None


class _Watched:
    """One cell that runs in the background."""

    def __init__(self, owner: AsyncCells, cell: Any, done: ObjectRef) -> None:
        self._owner = owner
        self._cells = owner._cells
        self._cell = cell
        self._done = done
        self._begun = time.monotonic()
        self._timed_out = False
        self._reason, self._waited_s = "", 0.0  # what it waited for before it began, as far as that was looked at
        namespace = self._cells.shell.user_ns
        self._deleted = {name: namespace[name] for name in cell.analysis.deleted if name in namespace}
        self.origin = self._cells.router.origin
        self.line: Any = None
        self.timer: Any = None

    def describe(self) -> Facts:
        """Return the facts of its line while it runs."""
        cell = self._cell
        why = waiting_reason(self._done, self._cells.router.cell_number)
        facts = self._cells.lines_of.facts(self.origin)
        if why:
            self._reason, self._waited_s = why, time.monotonic() - self._begun
        facts.lead = f"{cell.title} is {why}" if why else f"{cell.title} runs"
        facts.phrases = [amounts.duration(int(time.monotonic() - self._begun))]
        facts.hint = f"nbray.cancel(Out[{cell.source.number}]) stops it"
        facts.state = PLACE if why else RUNNING
        return facts

    def stop(self) -> None:
        """The button: cancel, and kill what ignores it."""
        threading.Thread(target=self._stop, name="nbray-cancel", daemon=True).start()

    def _stop(self) -> None:
        try:
            cancel(self._done)
            interrupt.kill_later(self._done, self._cell.killer(self._done))
        except Exception:
            return  # the cluster has ended

    def cluster_ends(self) -> None:
        """The cluster ends, and with it the work: nobody will tell of its end."""
        self._owner.ended(self._cell.job.key)
        taken = seconds(time.monotonic() - self._begun)
        self._finish(CANCELLED, f"{self._cell.title} was stopped after {taken}: the cluster has ended")

    def time_is_up(self) -> None:
        """The time that ``--timeout`` gives has passed."""
        self._timed_out = True
        self._stop()

    def ended(self, result: Any) -> None:
        """The task is done; called from some thread."""
        cells, cell = self._cells, self._cell
        self._owner.ended(cell.job.key)
        if self.timer is not None:
            self.timer.cancel()
        end = cells.router.take_end(cell.job.key)
        taken = seconds(time.monotonic() - self._begun)
        cells.router.finish_behind(self.origin)
        if not isinstance(result, BaseException):
            self._delete(result or ())
            self._finish(DONE, f"{cell.title} is done, {taken}")
            return
        if self._timed_out:
            self._finish(CANCELLED, f"{cell.title} was stopped after {taken} (--timeout)")
        elif isinstance(result, TaskCancelledError):
            self._finish(CANCELLED, f"{cell.title} was cancelled after {taken}")
        else:
            self._finish(FAILED, f"{cell.title} failed after {taken}")
        self._show_error(result, end)

    def _delete(self, names: Iterable[str]) -> None:
        """Delete here what the cell has deleted, unless it was bound to something else meanwhile."""
        namespace = self._cells.shell.user_ns
        for name in names:
            if name in self._deleted and namespace.get(name, self) is self._deleted[name]:
                namespace.pop(name, None)

    def _finish(self, state: int, lead: str) -> None:
        if self.line is not None:
            phrases = [has_waited(self._reason, self._waited_s)] if self._waited_s >= SAID_FROM_S else []
            self.line.finish(lambda: self._cells.lines_of.last(self.origin, state, lead, phrases))

    def _show_error(self, error: BaseException, end: bytes | None) -> None:
        router, shell = self._cells.router, self._cells.shell
        if end is None and isinstance(error, TaskCancelledError):
            router.show_error(self.origin, error, [f"TaskCancelledError: {error}"])
            return
        if end is None:
            shown = self._cells.explained_later(error, self._cell)
        else:
            records, _ = pickle.loads(end)
            if self._timed_out:
                shown = tracebacks.timed_out("The cell", self._cell.options.timeout_s, records)
            else:
                shown = tracebacks.rebuild(records, shell.user_ns)
        router.show_error(self.origin, shown, tracebacks.render(shell, shown))
