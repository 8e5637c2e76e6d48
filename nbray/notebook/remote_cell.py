"""Run one cell on the cluster: analyse, send, wait, bind, and show what went wrong.

This is the notebook's side of ``cell_runner``. Everything that can fail before the task
exists (syntax, unpicklable inputs, impossible resources) fails here, at once.
"""

from __future__ import annotations

import itertools
import os
import pickle
import sys
from typing import Any

from IPython.core.displayhook import DisplayHook
from IPython.core.error import UsageError

from nbray.exceptions import RayError, RayTaskError, TaskCancelledError, TaskUnschedulableError

from . import cell_job, cell_runner, interrupt, tracebacks
from .cell_analysis import CellAnalysis, analyse
from .cell_result import CellOutcome, unpack
from .magic_options import CellOptions
from .output_router import OutputRouter
from .runtime import CARRIED_TYPES, ObjectRef, RemoteFunction, get, when_done

_numbers = itertools.count(1)


class RemoteCells:
    """Runs cells for one shell."""

    def __init__(self, shell: Any, router: OutputRouter) -> None:
        self.shell = shell
        self.router = router
        self._function = RemoteFunction(cell_runner.run_cell, {})
        self._watched: dict[str, ObjectRef] = {}  # --async cells that run, by key

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
        shell = self.shell
        source = tracebacks.CellSource(shell, raw, body)
        flags = shell.compile.flags
        # Empty lines stand for what is above the body, so that all lines count alike.
        code = "\n" * (source.offset + source.empty_lines) + shell.transform_cell(body)
        try:
            analysis = analyse(code, source.filename, flags)
        except SyntaxError as error:
            error.__traceback__ = None
            raise tracebacks.mark(error) from None
        job = cell_job.CellJob(code, source.filename, flags, want_value=not _silenced(body))
        job.key = f"{os.getpid()}-{next(_numbers)}"
        job.has_value = analysis.last_expression
        job.only_names = options.only_names
        job.texts[source.filename] = source.raw
        if options.asynchronous:
            job.return_names = _assigned(analysis, options.only_names)
        inputs = self._inputs(job, analysis, source)
        refs = self._submit(job, inputs, options, source)
        if options.asynchronous:
            return self._leave_running(job, refs)
        return self._wait(job, refs, inputs, source)

    def _inputs(self, job: cell_job.CellJob, analysis: CellAnalysis, source: tracebacks.CellSource) -> cell_job.Inputs:
        __tracebackhide__ = True
        shell = self.shell
        try:
            return cell_job.build(job, analysis, shell.user_ns, shell.user_ns_hidden, ObjectRef, CARRIED_TYPES)
        except cell_job.UnpicklableInput as error:
            failure = TypeError(str(error))
            raise tracebacks.at_cell_line(failure, source.filename, error.line) from None

    def _submit(
        self,
        job: cell_job.CellJob,
        inputs: cell_job.Inputs,
        options: CellOptions,
        source: tracebacks.CellSource,
    ) -> Any:
        __tracebackhide__ = True
        task: dict[str, Any] = {"max_retries": 0, "name": f"cell {source.number}", **options.task}
        if job.return_names is not None:
            task["num_returns"] = 2 + len(job.return_names)
        # What the cell printed here so far stands above what it prints there.
        sys.stdout.flush()
        try:
            function = self._function.options(**task)
        except (ValueError, TypeError) as error:
            raise UsageError(f"%%remote: {error}") from None
        try:
            return function.remote(job, *inputs.refs)
        except TaskUnschedulableError as error:
            # The runtime's sentence says it all; only the function is not the user's.
            failure = TaskUnschedulableError(str(error).replace("run_cell", "this cell"))
            raise tracebacks.at_cell_line(failure, source.filename, source.offset) from None
        except RayError as error:
            raise tracebacks.at_cell_line(error, source.filename, source.offset) from None

    def _wait(
        self,
        job: cell_job.CellJob,
        ref: ObjectRef,
        inputs: cell_job.Inputs,
        source: tracebacks.CellSource,
    ) -> Any:
        __tracebackhide__ = True
        failure: BaseException | None = None
        outcome: CellOutcome | None = None
        try:
            outcome = get(ref)
        except KeyboardInterrupt as error:
            failure = error
            if interrupt.stop(ref, self.router.kernel):
                try:
                    outcome = get(ref)
                except BaseException:
                    outcome = None
            elif hasattr(error, "add_note"):
                error.add_note(
                    f"The cell did not stop at once; its worker is killed {interrupt.PATIENCE_S:g} s"
                    " after the interrupt, or now if you interrupt once more."
                )
        except BaseException as error:
            failure = error
        finally:
            self.router.flush()
        end = self.router.take_end(job.key)
        records = None
        if end is not None:
            records, outcome = pickle.loads(end)
        value = None
        if outcome is not None:
            value, messages = unpack(outcome, self.shell.user_ns, inputs.values)
            self._tell(messages)
        if records is not None:
            raise tracebacks.rebuild(records, self.shell.user_ns)
        if failure is not None:
            raise self._explained(failure, source)
        return value

    def _explained(self, failure: BaseException, source: tracebacks.CellSource) -> BaseException:
        """Give a failure without a story from the worker the line of the magic."""
        if isinstance(failure, RayTaskError) and failure.cause is not None:
            return failure  # an input's own task failed; it has its frames
        failure.__cause__ = failure.__context__ = None
        return tracebacks.at_cell_line(failure, source.filename, source.offset)

    def _tell(self, messages: list[str]) -> None:
        for message in messages:
            print(f"nbray: {message}", file=sys.stderr)

    # ----------------------------------------------------------------------- async

    def _leave_running(self, job: cell_job.CellJob, refs: list[ObjectRef]) -> Any:
        """Bind refs to the names, and show an error under the cell when it comes."""
        done, value, *names = refs
        assert job.return_names is not None
        self.shell.user_ns.update(zip(job.return_names, names, strict=True))
        origin, key = self.router.origin, job.key
        self._watched[key] = done

        def ended(result: Any) -> None:
            self._watched.pop(key, None)
            end = self.router.take_end(key)
            if isinstance(result, BaseException):
                self._show_late_error(origin, result, end)

        when_done(done, ended)
        return value if job.want_value and job.has_value else None

    def _show_late_error(self, origin: str, error: BaseException, end: bytes | None) -> None:
        if isinstance(error, TaskCancelledError) and end is None:
            self.router.show_error(origin, error, [f"TaskCancelledError: {error}"])
            return
        shown = error
        if end is not None:
            records, _ = pickle.loads(end)
            shown = tracebacks.rebuild(records, self.shell.user_ns)
        text = tracebacks.render(self.shell, shown)
        self.router.show_error(origin, shown, text)


def _assigned(analysis: CellAnalysis, only: list[str] | None) -> list[str]:
    """Return the names that become refs at once when the cell does not block."""
    names = (analysis.bound | set(analysis.stored_into)) - analysis.import_names
    names -= analysis.deleted
    chosen = sorted(name for name in names if not name.startswith("_"))
    return chosen if only is None else [name for name in chosen if name in only]


def _silenced(body: str) -> bool:
    """Whether the cell ends with a semicolon, which keeps its value from being shown."""
    return bool(DisplayHook.semicolon_at_end_of_expression(body))
