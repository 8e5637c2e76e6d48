"""``--each x=ITER``: the cell once per item, side by side.

The inputs are pickled once and lie in the store as one object; only the item is sent with
each task. Every name that the cell assigns becomes a list in the order of the items, with
None where an item did not bind it or did not end well. The first error stops what has not
ended yet, and is the one that is shown.
"""

from __future__ import annotations

import ast
import pickle
import threading
import time
import types
from collections.abc import Callable
from typing import Any

from nbray.exceptions import GetTimeoutError, TaskCancelledError
from nbray.notes import add_note

from . import cell_runner, interrupt, reloaded_modules, tracebacks, warning_filters
from .cell_job import OF_IPYTHON, Inputs, unpicklable
from .cell_pickle import CellPickler, MemoryWriter, into
from .cell_result import SET, CellOutcome, not_at_the_end
from .each_item import Item
from .each_items import items_of
from .live_line import seconds
from .magic_options import CellOptions, Each, comes_back
from .result_reader import read
from .runtime import CARRIED_TYPES, ObjectRef, RemoteFunction, cancel, get, next_number, put, submitted_since, wait
from .wait_reason import waiting_reason
from .widgets import amounts
from .widgets.facts import CANCELLED, DONE, FAILED, PLACE, RUNNING, Facts, time_left

SHOW_AFTER_S = 0.5
LOOK_S = 0.2
SAY_WHY_AFTER_S = 1.0
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


class EachCells:
    """Runs the cells of one shell that have an item."""

    def __init__(self, cells: Any) -> None:
        self._cells = cells
        self._function = RemoteFunction(cell_runner.run_item, {})

    def run(self, options: CellOptions, body: str, raw: str) -> Any:
        """Run ``body`` for each item; returns the list of the last values."""
        __tracebackhide__ = True
        cells, each = self._cells, options.each
        assert each is not None
        begun = time.monotonic()
        items, hints = items_of(each, cells.shell, raw)
        cell = cells.prepare(options, body, raw, tuple(each.targets))
        _refuse_stores(cell, cells.shell.user_ns)
        cell.job.assigned = sorted(cell.analysis.bound)
        if not options.quiet:
            cells.tell(hints)
        if options.asynchronous:
            return self._leave_running(cell, lambda refs: self._submit(cell, each, items, refs))
        running = _Running(cells, cell, len(items), begun)
        running.run(lambda refs: self._submit(cell, each, items, refs))
        if not items:
            return self._bind_nothing(cell)
        return self._bind(running)

    def _submit(self, cell: Any, each: Each, items: list[Any], refs: list[Any]) -> None:
        """Submit a task for each item; adds to ``refs`` what each returns, one by one."""
        __tracebackhide__ = True
        self._cells.submitting(cell, lambda: self._call(cell, each, items, refs))

    def _call(self, cell: Any, each: Each, items: list[Any], refs: list[Any]) -> None:
        job = cell.job
        by_ref = [isinstance(item, ObjectRef) for item in items]
        shared: dict[bool, Any] = {}
        function = self._function.options(**self._cells.task_options(cell))
        for number, item in enumerate(items):
            kind = by_ref[number]
            if kind not in shared:
                job.item_by_ref = kind
                shared[kind] = put(job)
            sent, extra = (Item(number, each.targets), [item]) if kind else (self._pickled(cell, number, item), [])
            refs.append(function.remote(shared[kind], sent, *cell.inputs.refs, *extra))

    def _pickled(self, cell: Any, number: int, item: Any) -> Item:
        file = MemoryWriter()
        buffers: list[pickle.PickleBuffer] = []

        pickler = CellPickler(file, self._cells.shell.user_ns, CARRIED_TYPES, keep_buffers=into(buffers))
        targets = cell.options.each.targets
        try:
            pickler.dump(item)
        except Exception as error:
            raise unpicklable(f"item {number}", item, 0, error) from None
        return Item(number, targets, file.getvalue(), buffers, pickler.carried)

    def _leave_running(self, cell: Any, submit: Callable[[list[Any]], None]) -> Any:
        """``--async --each``: every name is a list of refs."""
        __tracebackhide__ = True
        first_number = next_number()
        refs: list[list[ObjectRef]] = []
        job = cell.job
        namespace = self._cells.shell.user_ns
        try:
            submit(refs)
            for index, name in enumerate(job.return_names):
                namespace[name] = [item[2 + index] for item in refs]
            self._cells.background.began(job.key, [ref for item in refs for ref in item])
            _Background(self._cells, cell, [item[0] for item in refs])
        except BaseException:
            _cancel_submitted(first_number, cell)
            raise
        self._cells.tell_not_bound(cell)
        return [item[1] for item in refs] if job.want_value or not job.has_value else None

    def _bind_nothing(self, cell: Any) -> list[Any] | None:
        """There is no item: the names that the cell assigns are lists all the same, as after a loop over nothing in a list."""
        job, analysis, chosen = cell.job, cell.analysis, cell.options.only_names
        names = set(job.assigned) - analysis.import_names - analysis.deleted
        names -= {node.name for node in ast.parse(job.source).body if isinstance(node, _DEFINITIONS)}
        for name in names:
            if comes_back(name, chosen):
                self._cells.shell.user_ns[name] = []
        self._cells.tell_not_bound(cell)
        return [] if job.want_value and job.has_value else None

    def _bind(self, running: _Running) -> Any:
        __tracebackhide__ = True
        cells, cell, outcomes = self._cells, running.cell, running.outcomes
        namespace = cells.shell.user_ns
        lists, singles, messages = _merge(outcomes, namespace, cell.inputs)
        for ref, outcome in zip(running.refs, outcomes, strict=False):  # fewer when it was interrupted so early
            if outcome is not None and outcome.buffers:
                cells.large.adopt(ref, outcome)
        values = lists.pop("", None)
        namespace.update(lists)
        namespace.update(singles)
        deleted = [set(outcome.deleted) for outcome in outcomes if outcome is not None]
        for name in set.intersection(*deleted) if deleted else ():
            namespace.pop(name, None)
        missing = [set(outcome.missing) for outcome in outcomes if outcome is not None]
        if missing and len(missing) == len(outcomes):  # an item more or less may bind it
            messages += not_at_the_end(sorted(set.intersection(*missing)))
        if not cell.options.quiet:
            cells.tell(list(dict.fromkeys(messages)))
        if cell.options.time:
            done = [outcome for outcome in outcomes if outcome is not None]
            ran, cpu = sum(outcome.ran_s for outcome in done), sum(outcome.cpu_s for outcome in done)
            cells.tell_time(ran, cpu, time.monotonic() - running.begun, 0.0)
        failure = running.failure(namespace)
        if failure is not None:
            raise failure
        return values


def _cancel_submitted(first_number: int, cell: Any) -> None:
    """Cancel the items that have been submitted: the others will not be."""
    for ref in submitted_since(first_number, cell.task_name):
        cancel(ref)


def _refuse_stores(cell: Any, namespace: dict[str, Any]) -> None:
    """Every item has its own copy of the inputs: a store into one would be lost, so it is refused."""
    __tracebackhide__ = True
    for name, line in cell.analysis.stored_into.items():
        if isinstance(namespace.get(name), types.ModuleType):
            continue  # what it sets there is for the cell itself
        if name in namespace and name not in cell.analysis.augmented and name not in OF_IPYTHON:
            error = TypeError(
                f"{name} is changed in line {line}, but every item of --each has its own copy of {name}, so the change"
                " would be lost. Assign a new name instead: it comes back as a list, one value per item."
            )
            raise tracebacks.at_cell_line(error, cell.source.filename, line)


class _Running:
    """The tasks of one cell, until all have ended or one has failed."""

    def __init__(self, cells: Any, cell: Any, n_items: int, begun: float) -> None:
        self.cells = cells
        self.cell = cell
        self.refs: list[ObjectRef] = []
        self.begun = begun
        self.outcomes: list[CellOutcome | None] = [None] * n_items
        self.errors: dict[int, BaseException] = {}
        self.stopped: BaseException | None = None  # an interrupt, or --timeout
        self._pending: list[ObjectRef] = []
        self._numbers: dict[ObjectRef, int] = {}
        self._origin = cells.router.origin
        self._why = ""

    def run(self, submit: Callable[[list[Any]], None]) -> None:
        """Have the items submitted and take results in until the end; the first failure ends the others."""
        __tracebackhide__ = True
        cells, options = self.cells, self.cell.options
        line = None
        first_number = next_number()
        try:
            try:
                submit(self.refs)
            except Exception:
                _cancel_submitted(first_number, self.cell)
                raise
            self._numbers = {ref: number for number, ref in enumerate(self.refs)}
            self._pending = list(self.refs)
            if not options.quiet:
                line = cells.lines.add(cells.router.origin, self.describe, None, SHOW_AFTER_S)
            self._collect()
        except KeyboardInterrupt as error:
            self.stopped = error
            self._find_submitted(first_number)
            self._stop()
        finally:
            if line is not None:
                taken = seconds(time.monotonic() - self.begun)
                line.finish(lambda: self._summary(taken))
            if not cells.router.finish(cells.router.origin, self.stopped is None) and self.stopped is None:
                self.stopped = KeyboardInterrupt()  # all is done, but what it displays was not wanted any more

    def _find_submitted(self, first_number: int) -> None:
        """After an interrupt, which may have struck between a submission and what notes it."""
        known = set(self.refs)
        self.refs += [ref for ref in submitted_since(first_number, self.cell.task_name) if ref not in known]
        self._numbers = {ref: number for number, ref in enumerate(self.refs)}
        self._pending = [
            ref for ref, number in self._numbers.items() if self.outcomes[number] is None and number not in self.errors
        ]

    def _collect(self) -> None:
        timeout_s = self.cell.options.timeout_s
        deadline = None if timeout_s is None else self.begun + timeout_s
        while self._pending:
            ready, self._pending = wait(self._pending, num_returns=len(self._pending), timeout=LOOK_S)
            for ref in ready:
                self._take(ref)
            if self.errors:
                self._stop()
                return
            if deadline is not None and self._pending and time.monotonic() > deadline:
                assert timeout_s is not None
                self.stopped = tracebacks.timed_out("The items", timeout_s)
                self._stop()
                return
            if time.monotonic() - self.begun > SAY_WHY_AFTER_S and self._pending:
                self._why = waiting_reason(self._pending[0], self.cells.router.cell_number)

    def _take(self, ref: ObjectRef) -> None:
        number = self._numbers[ref]
        try:
            self.outcomes[number] = get(ref)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self.errors[number] = error

    def _stop(self) -> None:
        """Cancel what has not ended."""
        pending, self._pending = self._pending, []
        kernel = self.cells.router.kernel
        for ref in interrupt.stop_all(pending, kernel, lambda ref: cancel(ref, force=True)):
            try:
                self.outcomes[self._numbers[ref]] = get(ref)
            except TaskCancelledError:
                continue
            except Exception as error:
                self.errors.setdefault(self._numbers[ref], error)

    def describe(self) -> Facts:
        """Return the facts of the progress line."""
        total, done = len(self.outcomes), sum(outcome is not None for outcome in self.outcomes)
        why = self._why if done + len(self.errors) < total else ""
        facts = self.cells.lines_of.facts(self._origin)
        return _progress(facts, total, done, len(self.errors), time.monotonic() - self.begun, why)

    def _summary(self, taken: str) -> Facts:
        total, done = len(self.outcomes), sum(outcome is not None for outcome in self.outcomes)
        state = FAILED if self.errors else CANCELLED if self.stopped is not None else DONE
        lead = f"{_of(done, total)} in {taken}"
        return self.cells.lines_of.last(self._origin, state, lead, _ended_badly(len(self.errors)))

    def failure(self, namespace: dict[str, Any]) -> BaseException | None:
        """Return the one error to raise, with the item it belongs to."""
        cells, cell = self.cells, self.cell
        ends = {number: cells.router.take_end(f"{cell.job.key}.{number}") for number in range(len(self.outcomes))}
        if self.stopped is not None:
            return self._stopped_error(ends, namespace)
        if not self.errors:
            return None
        number = min(self.errors)
        error = self.errors[number]
        if ends[number] is not None:
            records, _ = pickle.loads(ends[number])
            error = tracebacks.rebuild(records, namespace)
        else:
            error = cells.explained(error, cell)
        done = sum(outcome is not None for outcome in self.outcomes)
        more = f", as did {len(self.errors) - 1} more" if len(self.errors) > 1 else ""
        note = f"Item {number} of {len(self.outcomes)} (counted from 0) failed{more}; the others were stopped."
        if done:
            note += f" {done} had ended: their values are in the lists, None stands for the rest."
        add_note(error, note)
        return error

    def _stopped_error(self, ends: dict[int, Any], namespace: dict[str, Any]) -> BaseException:
        stopped = self.stopped
        assert stopped is not None
        known = [end for end in ends.values() if end is not None]
        if not known:
            return self.cells.explained(stopped, self.cell)
        records, _ = pickle.loads(known[0])
        if isinstance(stopped, GetTimeoutError):
            return tracebacks.timed_out("The items", self.cell.options.timeout_s, records)
        return tracebacks.rebuild(records, namespace)


class _Background:
    """The progress line and the errors of ``--each --async``."""

    def __init__(self, cells: Any, cell: Any, refs: list[ObjectRef]) -> None:
        self._cells, self._cell, self._refs = cells, cell, refs
        self._origin = cells.router.origin
        self._begun = time.monotonic()
        self._counting = threading.Lock()  # items end in whatever thread takes their results in
        self._done = self._failed = self._cancelled = 0
        self._first = 0  # of those that have not ended
        self._line = None
        if not cell.options.quiet and refs:
            self._line = cells.lines.add(
                self._origin, self._describe, self._cancel, cluster_ends=lambda: self._finish(cluster_ended=True)
            )
        for number, ref in enumerate(refs):
            ref._on_completed(lambda result, number=number: self._ended(number, result))

    def _describe(self) -> Facts:
        taken_s = time.monotonic() - self._begun
        facts = self._cells.lines_of.facts(self._origin)
        why = self._waits_for() if taken_s > SAY_WHY_AFTER_S else ""
        _progress(facts, len(self._refs), self._done, self._failed, taken_s, why, self._cancelled)
        facts.lead = f"{self._cell.title}: {facts.lead}"
        facts.hint = f"[nbray.cancel(ref) for ref in Out[{self._cell.source.number}]] stops them"
        return facts

    def _waits_for(self) -> str:
        while self._first < len(self._refs) and self._refs[self._first]._data is not None:
            self._first += 1
        if self._first == len(self._refs):
            return ""
        return waiting_reason(self._refs[self._first], self._cells.router.cell_number)

    def _cancel(self) -> None:
        threading.Thread(target=self._stop, name="nbray-cancel", daemon=True).start()

    def _stop(self) -> None:
        try:
            interrupt.stop_all(self._refs, None, lambda ref: self._cell.killer(ref)())
        except Exception:
            return  # the cluster has ended

    def _ended(self, number: int, result: Any) -> None:
        cells = self._cells
        end = cells.router.take_end(f"{self._cell.job.key}.{number}")
        with self._counting:
            cancelled = isinstance(result, TaskCancelledError)
            failed = isinstance(result, BaseException) and not cancelled
            # One error is shown, and that it was cancelled only where nothing was wrong before.
            show = (failed and not self._failed) or (cancelled and not self._failed and not self._cancelled)
            self._failed += failed
            self._cancelled += cancelled
            self._done += not (failed or cancelled)
            last = self._done + self._failed + self._cancelled == len(self._refs)
        if show:
            self._show(result, end)
        if last:
            cells.router.finish_behind(self._origin)
            self._finish()

    def _finish(self, cluster_ended: bool = False) -> None:
        self._cells.background.ended(self._cell.job.key)
        if self._line is None:
            return
        total, taken = len(self._refs), seconds(time.monotonic() - self._begun)
        many = _of(self._done, total) if cluster_ended or self._done < total else amounts.noun(total, "item")
        phrases = _ended_badly(self._failed, self._cancelled)
        if cluster_ended:
            phrases.append("the cluster has ended")
        state = FAILED if self._failed else CANCELLED if self._cancelled or cluster_ended else DONE
        lead = f"{self._cell.title}: {many} in {taken}"
        self._line.finish(lambda: self._cells.lines_of.last(self._origin, state, lead, phrases))

    def _show(self, error: BaseException, end: Any) -> None:
        router, shell = self._cells.router, self._cells.shell
        if end is None and isinstance(error, TaskCancelledError):
            router.show_error(self._origin, error, [f"TaskCancelledError: {error}"])
            return
        if end is None:
            shown = self._cells.explained_later(error, self._cell)
        else:
            shown = tracebacks.rebuild(pickle.loads(end)[0], shell.user_ns)
        router.show_error(self._origin, shown, tracebacks.render(shell, shown))


def _progress(facts: Facts, total: int, done: int, failed: int, taken_s: float, why: str, cancelled: int = 0) -> Facts:
    """Say how far the items are; ``why``: what the first of those that are left waits for."""
    over = done + failed + cancelled
    running = min(facts.counts()[RUNNING], total - over)
    facts.lead = _of(done, total)
    facts.phrases = [amounts.duration(int(taken_s)), *_ended_badly(failed, cancelled)]
    ended = [group for group in facts.groups if group.own and group.each_s is not None]
    if ended and over:
        facts.phrases.append(f"{amounts.duration(ended[0].each_s or 0.0)} each")
    left_s = time_left(total, over, taken_s)
    if left_s is not None:
        facts.phrases.append(f"{amounts.rough(left_s)} left")
    if why and not running:
        facts.phrases.append(why)
    facts.state = RUNNING if running or not why else PLACE
    facts.progress = (total - over - running, 0, running, done, failed, cancelled)
    return facts


def _of(done: int, total: int) -> str:
    return f"{amounts.count(done)} of {amounts.noun(total, 'item')}"


def _ended_badly(failed: int, cancelled: int = 0) -> list[str]:
    return [
        f"{amounts.count(number)} {word}" for number, word in ((failed, "failed"), (cancelled, "cancelled")) if number
    ]


def _merge(
    outcomes: list[CellOutcome | None], namespace: dict[str, Any], inputs: Inputs
) -> tuple[dict[str, list[Any]], dict[str, Any], list[str]]:
    """Make lists of what the items brought back; "" is the value of the last expression.

    Code is no result: functions, classes and modules come back once, from the last item
    that defined them.
    """
    lists: dict[str, list[Any]] = {}
    singles: dict[str, Any] = {}
    messages = reloaded_modules.reload(
        dict.fromkeys(name for each in outcomes if each is not None for name in each.reloaded)
    )
    for number, outcome in enumerate(outcomes):
        if outcome is None:
            continue
        with warning_filters.unseen():
            found = read(outcome, namespace, inputs)
        messages += found.messages
        for name, value in found.bound.items():
            if isinstance(value, types.FunctionType | type | types.ModuleType) and value.__name__ == name:
                singles[name] = value
            else:
                lists.setdefault(name, [None] * len(outcomes))[number] = value
        singles.update(found.modules)
        if names := sorted(name for name, _ in found.changed if not name.startswith("_")):
            messages.append(
                f"{', '.join(names)} was changed by the items, each its own copy; the changes stayed on the workers."
                " Assign a new name instead: it comes back as a list."
            )
        if any(kind != SET and name == "" for kind, name in outcome.entries):
            lists.setdefault("", [None] * len(outcomes))[number] = found.value
    for name in singles:
        lists.pop(name, None)
    return lists, singles, messages
