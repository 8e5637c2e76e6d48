"""Run one cell on the cluster: analyse, send, wait, bind, and show what went wrong.

This is the notebook's side of ``cell_runner``. Everything that can fail before the task
exists (syntax, unpicklable inputs, impossible resources) fails here, at once. What differs
for ``--async``, ``--each`` and ``--actor`` is in ``async_cells``, ``each_cells`` and
``actor_cells``.
"""

from __future__ import annotations

import itertools
import os
import pickle
import sys
import time
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from IPython.core import page
from IPython.core.alias import Alias
from IPython.core.error import UsageError

from nbray.exceptions import (
    GetTimeoutError,
    PerformanceWarning,
    RayError,
    RayTaskError,
    TaskCancelledError,
    TaskUnschedulableError,
)
from nbray.notes import add_note

from . import (
    cell_job,
    cell_pickle,
    cell_runner,
    formatters,
    interrupt,
    interrupt_handlers,
    last_error,
    logging_filters,
    logging_handlers,
    logging_state,
    magics_here,
    module_registers,
    module_reload,
    module_state,
    module_values,
    node_choice,
    pandas_additions,
    process_settings,
    reloaded_modules,
    terminal,
    tracebacks,
    warning_filters,
)
from .actor_cells import ActorCells
from .async_cells import AsyncCells
from .cell_analysis import CellAnalysis, analyse
from .cell_result import CellOutcome, not_at_the_end
from .cell_text import ends_with_semicolon
from .cell_transform import transformed
from .each_cells import EachCells
from .large_inputs import LargeInputs
from .live_line import LiveLines, seconds
from .local_cells import LocalCells
from .magic_options import CellOptions, comes_back
from .output_router import OutputRouter
from .result_reader import unpack
from .runtime import (
    CARRIED_TYPES,
    ObjectRef,
    RemoteFunction,
    cancel,
    get,
    kill,
    next_number,
    submitted_since,
    wait,
)
from .waiting_cell import WaitingCell
from .widgets.cell_lines import CellLines

SAY_WHY_AFTER_S = 1.0  # a cell that has not begun by then says what it waits for

_numbers = itertools.count(1)


@dataclass(slots=True)
class Prepared:
    """A cell that is ready to be sent."""

    job: cell_job.CellJob
    inputs: cell_job.Inputs
    options: CellOptions
    source: tracebacks.CellSource
    analysis: CellAnalysis
    actor: Any = None  # handle of the actor it runs in

    @property
    def title(self) -> str:
        return f"cell {self.source.number}"

    @property
    def task_name(self) -> str:
        """What its task is called, or the call of its actor, as methods of a class are."""
        name: str = self.options.task.get("name", self.title)
        return name if self.actor is None else f"{self.options.actor}.{name}"

    def killer(self, ref: ObjectRef) -> Callable[[], Any]:
        """Return what kills the worker that runs the cell."""
        if self.actor is not None:
            return lambda: kill(self.actor)
        return lambda: cancel(ref, force=True)


class RemoteCells:
    """Runs cells for one shell."""

    def __init__(self, shell: Any, router: OutputRouter) -> None:
        self.shell = shell
        self.router = router
        self.lines = LiveLines(router)
        self.lines_of = CellLines(router.cell_number)
        self.local = LocalCells(self)
        self.dashboards: list[Any] = []  # those that follow the cluster
        self.large = LargeInputs(get)
        self.actors = ActorCells(self)
        self.background = AsyncCells(self)
        self._each = EachCells(self)
        self.settings = process_settings.Sender(shell)
        self.modules = module_values.Sender(shell)
        self.module_state = module_state.Sender()
        self.versions = reloaded_modules.Versions()
        self._formatters = formatters.registered(shell)  # before the user says anything
        self._watched = formatters.watch(shell)
        self._function = RemoteFunction(cell_runner.run_cell, {})

    # --------------------------------------------------------------------- running

    def run(self, options: CellOptions, body: str, raw: str) -> Any:
        """Run ``body``; returns the value of its last expression.

        Parameters
        ----------
        body
            The cell without the magic's line.
        raw
            The whole cell as the user sees it.
        """
        __tracebackhide__ = True
        begun = time.monotonic()
        self.local.leave_alone()
        if options.each is not None:
            return self._each.run(options, body, raw)
        cell = self.prepare(options, body, raw)
        if options.asynchronous:
            return self._leave_running(cell)
        return self._run(cell, begun)

    def prepare(self, options: CellOptions, body: str, raw: str, bound: tuple[str, ...] = ()) -> Prepared:
        """Analyse a cell and pickle its inputs.

        Parameters
        ----------
        bound
            Names that the cell gets otherwise, the item of ``--each``.
        """
        __tracebackhide__ = True
        shell = self.shell
        source = tracebacks.CellSource(shell, raw, body)
        flags = shell.compile.flags
        # Empty lines stand for what is above the body, so that all lines count alike.
        above = source.offset + source.empty_lines
        try:
            code = "\n" * above + transformed(shell, body)
        except SyntaxError as error:  # found by what looks for magics, which has not seen the lines above
            error.lineno = (error.lineno or 1) + above
            error.filename, error.__traceback__ = source.filename, None
            raise tracebacks.mark(error) from None
        try:
            with warning_filters.unseen():  # of the text: the worker, which compiles it as well, says them
                analysis = analyse(code, source.filename, flags)
        except SyntaxError as error:
            error.__traceback__ = None
            raise tracebacks.mark(error) from None
        shell.compile.flags |= analysis.future_flags
        magics_here.refuse(analysis.magics, shell.magics_manager.magics)
        stores_into_item = not analysis.stored_into.keys().isdisjoint(bound)
        for name in bound:
            for names in (analysis.reads, analysis.stored_into):
                names.pop(name, None)
            analysis.mentioned.discard(name)
        job = cell_job.CellJob(code, source.filename, flags, want_value=not ends_with_semicolon(body))
        job.stores_into_item = stores_into_item
        job.key = f"{os.getpid()}-{next(_numbers)}"
        if self.router.kernel is not None:
            job.kernel_shell = f"{type(shell).__module__}.{type(shell).__qualname__}"
        job.has_value = analysis.last_expression
        job.awaits = analysis.top_level_await
        job.interactivity = shell.ast_node_interactivity
        if job.interactivity == "last_expr_or_assign":
            job.has_value = job.has_value or analysis.last_assignment
        job.terminal = terminal.here(options.each is None and not options.asynchronous)
        job.only_names = options.only_names
        job.lazy = options.lazy
        reloader = module_reload.reloader_of(shell)
        job.reloads = module_reload.wanted_here(reloader)
        job.module_times = self.versions.times(self.module_state.names(), reloader)
        job.text = source.raw
        job.numbers[source.filename] = job.number = source.number
        job.filters = self.settings.filters()
        job.logging = logging_state.read()
        job.module_values = self.modules.values(analysis)
        if not options.actor:
            job.module_state = self.module_state.state()
        if analysis.attribute_stores:
            job.attribute_stores = module_values.may_be_of_modules(analysis, shell.user_ns)
            job.import_aliases = analysis.import_aliases
        if options.each is None and not options.asynchronous and not options.actor:
            # Of cells that run beside this kernel all would draw the same numbers.
            job.settings = self.settings.settings()
        if options.asynchronous:
            if options.each is None:
                _refuse_stores_into_code(analysis, source, shell.user_ns)
            job.return_names = _assigned(analysis, options.only_names, shell.user_ns)
            job.tells = not options.quiet
        actor = self.actors.handle(options) if options.actor else None
        inputs = self._inputs(job, analysis, source, options)
        if options.each is not None or options.asynchronous:
            inputs.pickler = None  # which holds all that it has written; nothing is changed in place there
        return Prepared(job, inputs, options, source, analysis, actor)

    def _inputs(
        self, job: cell_job.CellJob, analysis: CellAnalysis, source: tracebacks.CellSource, options: CellOptions
    ) -> cell_job.Inputs:
        __tracebackhide__ = True
        shell = self.shell
        try:
            with warning_filters.unseen():
                return cell_job.build(
                    job,
                    analysis,
                    shell.user_ns,
                    shell.user_ns_hidden,
                    ObjectRef,
                    CARRIED_TYPES,
                    self.large.place,
                    bool(options.actor),
                    self._for_its_shell(job, analysis, options),
                )
        except cell_job.UnpicklableInput as error:
            failure = TypeError(str(error))
            raise tracebacks.at_cell_line(failure, source.filename, error.line) from None
        except RayError as error:
            raise tracebacks.at_cell_line(error, source.filename, source.offset) from None

    def _for_its_shell(self, job: cell_job.CellJob, analysis: CellAnalysis, options: CellOptions) -> dict[str, Any]:
        """Note what the worker's shell needs for the magics of the cell; returns what it needs of the notebook's own functions."""
        shell = self.shell
        functions: dict[str, Any] = {}
        for kind, name in analysis.magics:
            magic = shell.magics_manager.magics[kind].get(name)
            if isinstance(magic, Alias):
                job.aliases[name] = magic.cmd
            elif isinstance(magic, types.FunctionType) and magic.__module__ == "__main__":
                functions[cell_job.magic_name(kind, name)] = magic
        if not formatters.unchanged(self._watched):
            functions.update(self._own_formatters())
        if objects := {**pandas_additions.additions(), **self.modules.objects()}:
            functions[module_values.NAME] = objects
        if modules := self.module_state.names():
            entries = {
                place: each for place, each in module_registers.read(modules).items() if cell_pickle.pickles(each)
            }
            functions[module_registers.NAME] = module_registers.Registers(modules, entries)
        if filters := logging_filters.read():
            functions[logging_filters.NAME] = _that_pickle(filters)
        handlers, job.log_handlers = logging_handlers.read(options.each is None and not options.asynchronous)
        if handlers:
            functions[logging_handlers.NAME] = handlers
        if last_error.is_mentioned(job.source):
            functions[last_error.NAME] = last_error.to_send()
        if of_signals := interrupt_handlers.of_the_notebook():
            functions[interrupt_handlers.NAME] = of_signals
        if analysis.magics:
            job.magics = sorted(analysis.magics)
            job.extensions = sorted(set(shell.extension_manager.loaded) - {"nbray", __package__})
        return functions

    def _own_formatters(self) -> dict[str, Any]:
        """Return how the user has said that values are shown, as far as it can travel."""
        found = formatters.added(self.shell, self._formatters)
        if not found:  # only libraries have said something, which they do there as well
            self._formatters, self._watched = formatters.registered(self.shell), formatters.watch(self.shell)
            return {}
        if not cell_pickle.pickles(found):
            found = {mime: (_that_pickle(by[0]), _that_pickle(by[1])) for mime, by in found.items()}
        return {formatters.NAME: found}

    def task_options(self, cell: Prepared) -> dict[str, Any]:
        """Return the options of the cell's task."""
        options = cell.options
        task: dict[str, Any] = {"max_retries": 0, **options.task, "name": cell.task_name}
        if cell.job.return_names is not None:
            task["num_returns"] = 2 + len(cell.job.return_names)
        if options.node:
            task["scheduling_strategy"] = node_choice.strategy(options.node)
        return task

    def _submit(self, cell: Prepared) -> Any:
        __tracebackhide__ = True
        refs = self.submitting(cell, lambda: self._call(cell))
        # What the cell printed here so far stands above what it prints there: the router sees to that. What it printed
        # is not to wait for the end either; the worker has begun meanwhile. A flush of ipykernel's stream waits for
        # another thread, 0.5 ms in which the answer may be here already: only where something waits to be sent.
        if getattr(sys.stdout, "_flush_pending", True):
            sys.stdout.flush()
        return refs

    def _call(self, cell: Prepared) -> Any:
        if cell.actor is not None:
            names = cell.job.return_names
            method = cell.actor.run.options(num_returns=1 if names is None else 2 + len(names), name=cell.task_name)
            return method.remote(cell.job, *cell.inputs.refs)
        return self._function.options(**self.task_options(cell)).remote(cell.job, *cell.inputs.refs)

    def submitting(self, cell: Prepared, submit: Callable[[], Any]) -> Any:
        """Call ``submit``; what it raises is shown at the magic's line."""
        __tracebackhide__ = True
        source = cell.source
        try:
            with warning_filters.unseen(PerformanceWarning):  # of what is passed, which the user does not choose
                return submit()
        except TaskUnschedulableError as error:
            # The runtime's sentence says it all; only the function is not the user's, and what could be passed to it.
            text = str(error).replace("run_cell", "this cell").replace("run_item", "this cell")
            failure = TaskUnschedulableError(node_choice.for_a_cell(text, cell.options.task))
            raise tracebacks.at_cell_line(failure, source.filename, source.offset) from None
        except RayError as error:
            raise tracebacks.at_cell_line(error, source.filename, source.offset) from None
        except (ValueError, TypeError) as error:
            raise UsageError(f"%%remote: {error}") from None

    # --------------------------------------------------------------------- waiting

    def _leave_running(self, cell: Prepared) -> Any:
        """``--async``: it runs in the background, or an interrupt came before and it does not run."""
        __tracebackhide__ = True
        number = next_number()
        try:
            value = self.background.leave_running(cell, self._submit(cell))
        except KeyboardInterrupt:
            for ref in submitted_since(number, cell.task_name):
                cancel(ref)
            raise
        self.tell_not_bound(cell)
        return value

    def tell_not_bound(self, cell: Prepared) -> None:
        """Say which names of -o a cell that is left running, or has no items, does not bind: they may be mistyped."""
        analysis, only = cell.analysis, cell.options.only_names
        if only and not cell.options.quiet and not analysis.binds_by_text:
            known = {*(cell.job.return_names or ()), *analysis.bound, *analysis.import_names}
            self.tell([f"-o {name}: the cell does not bind it." for name in only if name not in known])

    def _run(self, cell: Prepared, begun: float) -> Any:
        """Submit the cell and wait for its end."""
        __tracebackhide__ = True
        job, options = cell.job, cell.options
        failure: BaseException | None = None
        outcome: CellOutcome | None = None
        waited = 0.0
        number = next_number()
        ref: Any = None
        try:
            ref = self._submit(cell)
            waited = self._until_done(cell, ref, begun)
            outcome = get(ref)
        except KeyboardInterrupt as error:
            if ref is None:  # it may be on its way all the same
                submitted = submitted_since(number, cell.task_name)
                if not submitted:
                    raise
                ref = submitted[0]
            failure = error
            stopped = interrupt.stop(ref, self.router.kernel, cell.killer(ref))
            # What get says, that the task goes on, is not so: Python 3.10 has that among the arguments.
            error.args = ()
            vars(error).pop("__notes__", None)
            if stopped:
                outcome = _outcome_of(ref)
            else:
                vars(error)["__notes__"] = [
                    f"The cell did not stop at once; its worker is killed {interrupt.PATIENCE_S:g} s"
                    " after the interrupt, or now if you interrupt once more."
                ]
        except _TimeIsUp:
            assert options.timeout_s is not None
            failure = tracebacks.timed_out("The cell", options.timeout_s)
            if interrupt.stop(ref, self.router.kernel, cell.killer(ref)):
                outcome = _outcome_of(ref)
        except BaseException as error:
            if ref is None:  # it was refused
                raise
            failure = error
        finally:
            if (
                not self.router.finish(self.router.origin, not isinstance(failure, KeyboardInterrupt))
                and failure is None
            ):
                failure = KeyboardInterrupt()  # it is done, but what it displays was not wanted any more
        end = self.router.take_end(job.key)
        records = None
        if end is not None:
            records, outcome = pickle.loads(end)
        value = None
        if outcome is not None:
            value = self._bind(cell, ref, outcome, end is None)
            if options.time:
                self.tell_time(outcome.ran_s, outcome.cpu_s, time.monotonic() - begun, waited)
        if isinstance(failure, GetTimeoutError) and records is not None and options.timeout_s is not None:
            raise tracebacks.timed_out("The cell", options.timeout_s, records)
        if records is not None:
            raise tracebacks.rebuild(records, self.shell.user_ns)
        if failure is not None:
            raise self.explained(failure, cell)
        return value

    def _until_done(self, cell: Prepared, ref: ObjectRef, begun: float) -> float:
        """Wait for the end of the cell; returns for how long it waited to begin, as far as it was looked at."""
        timeout_s = cell.options.timeout_s
        deadline = None if timeout_s is None else begun + timeout_s
        if _ready(ref, SAY_WHY_AFTER_S, deadline):
            return 0.0
        waiting = WaitingCell(self, cell.title, ref, time.monotonic() - SAY_WHY_AFTER_S)
        line = None if cell.options.quiet else self.lines.add(self.router.origin, waiting.describe)
        try:
            _ready(ref, None, deadline)
        except BaseException:
            waiting.stopped = True
            raise
        finally:
            if line is not None:
                waiting.finish(line)
        return waiting.waited_s

    def _bind(self, cell: Prepared, ref: ObjectRef, outcome: CellOutcome, large: bool) -> Any:
        value, messages = unpack(outcome, self.shell, cell.inputs, cell.options.actor)
        if cell.job.attribute_stores:
            self.modules.came_back(outcome.set_on_modules())
        if large and outcome.buffers:
            self.large.adopt(ref, outcome)
        self.router.show_later(outcome.displays)
        for payload in outcome.payloads:
            self._show_payload(payload)
        if not cell.options.quiet:
            self.tell(messages + not_at_the_end(outcome.missing) if outcome.missing else messages)
        return value

    def _show_payload(self, payload: dict[str, Any]) -> None:
        """Hand the front end what the cell has for it: a page of help, the text of the next cell."""
        if self.router.kernel is not None:
            self.shell.payload_manager.write_payload(payload)
        elif payload["source"] == "page":
            page.page(payload["data"])
        elif payload["source"] == "set_next_input":
            self.shell.set_next_input(payload["text"], payload.get("replace", False))

    def explained(self, failure: BaseException, cell: Prepared) -> BaseException:
        """Give a failure without a story from the worker the line of the magic."""
        if (
            isinstance(failure, RayTaskError)
            and failure.cause is not None
            and failure.frames
            and not isinstance(failure, TaskCancelledError)
        ):
            return failure  # an input's own task failed; it has its frames
        if isinstance(failure, RayTaskError) and isinstance(failure.cause, RayError) and not failure.frames:
            # What became of an input, under its own name.
            names = failure.dependents
            failure = failure.cause
            add_note(
                failure, "\n".join(f"{name} did not run, as an input of it could not be computed." for name in names)
            )
        elif cell.actor is not None:
            self.actors.failed(cell.options.actor, failure)
        if isinstance(failure, TaskUnschedulableError):  # nodes offer less since it was submitted
            failure = TaskUnschedulableError(node_choice.for_a_cell(str(failure), cell.options.task))
        failure.__cause__ = failure.__context__ = None
        return tracebacks.at_cell_line(failure, cell.source.filename, cell.source.offset)

    def explained_later(self, failure: BaseException, cell: Prepared) -> BaseException:
        """The same for a cell in the background, whose errors nobody raises."""
        shown = self.explained(failure, cell)
        return tracebacks.raised_by_nobody(shown, cell.source.filename, cell.source.offset)

    def tell(self, messages: list[str]) -> None:
        """Print notices of nbray."""
        for message in messages:
            print(f"nbray: {message}", file=sys.stderr)

    def tell_time(self, ran_s: float, cpu_s: float, whole_s: float, waited_s: float) -> None:
        """Print what ``--time`` asks for."""
        rest = f", waited {seconds(waited_s)}" if waited_s else ""
        print(f"ran {_short(ran_s)} on the worker (CPU {_short(cpu_s)}){rest}; {_short(whole_s)} in all")


class _TimeIsUp(Exception):
    """The time that ``--timeout`` gives has passed."""


def _ready(ref: ObjectRef, seconds: float | None, deadline: float | None) -> bool:
    """Wait until the task is done, for so many seconds at most. Raises _TimeIsUp at the deadline."""
    if deadline is not None:
        left = deadline - time.monotonic()
        seconds = left if seconds is None else min(seconds, left)
        if seconds <= 0:
            raise _TimeIsUp
    ready, _ = wait([ref], timeout=seconds)
    if not ready and deadline is not None and time.monotonic() >= deadline:
        raise _TimeIsUp
    return bool(ready)


def _outcome_of(ref: ObjectRef) -> CellOutcome | None:
    """Return what a cell left behind that ended just when it was to be stopped."""
    try:
        outcome: CellOutcome = get(ref)
        return outcome
    except (Exception, TaskCancelledError):
        return None


def _short(value: float) -> str:
    return f"{value * 1e3:.3g} ms" if value < 1 else seconds(value)


def _refuse_stores_into_code(analysis: CellAnalysis, source: tracebacks.CellSource, namespace: dict[str, Any]) -> None:
    """A class cannot become a ref, nor change here while its cell runs elsewhere."""
    __tracebackhide__ = True
    for name, line in analysis.stored_into.items():
        if isinstance(namespace.get(name), type | types.FunctionType):
            error = TypeError(
                f"{name} is changed in line {line}, but a cell of --async has its own copy of it, so the change would be"
                " lost. Leave --async away, or assign a new name instead."
            )
            raise tracebacks.at_cell_line(error, source.filename, line)


def _assigned(analysis: CellAnalysis, only: list[str] | None, namespace: dict[str, Any]) -> list[str]:
    """Return the names that become refs at once when the cell does not block: those it binds, and values that it stores into."""
    stored = {name for name in analysis.stored_into if name in namespace} - cell_job.ALWAYS_VISIBLE
    code = (types.ModuleType, types.FunctionType, types.MethodType, type)
    stored = {name for name in stored if name not in cell_job.OF_IPYTHON and not isinstance(namespace[name], code)}
    names = (analysis.bound | stored) - analysis.import_names
    if analysis.binds_by_text:
        names |= set(only or ()) - analysis.import_names
    names -= analysis.deleted
    return sorted(name for name in names if comes_back(name, only))


def _that_pickle(functions: dict[Any, Any]) -> dict[Any, Any]:
    return {key: function for key, function in functions.items() if cell_pickle.pickles((key, function))}
