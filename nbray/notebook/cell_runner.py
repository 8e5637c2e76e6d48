"""Run a cell in the worker as if it ran in the notebook.

The names of the cell live in a fresh module that stands in for ``__main__`` meanwhile.
Working directory, environment and ``sys.path`` are the kernel's for the time of the
cell. When the cell raises, the exception goes on to the runtime (so the task has failed
for everyone who looks); what was bound before, and the frames for the traceback, are
emitted as a piece of output of the kind ``CELL_ENDED``, which arrives before the error.
"""

from __future__ import annotations

import ast
import asyncio
import builtins
import copy
import importlib
import inspect
import linecache
import os
import pickle
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .cell_job import IMMUTABLE, SMALL_BYTES, CellJob
from .cell_pickle import CellPickler, LimitedWriter, StreamReader, receiving
from .cell_result import CHANGED, SET, VALUE, CellOutcome, pack
from .error_record import capture
from .runtime import CARRIED_TYPES, emit
from .worker_shell import WorkerShell

CELL_ENDED = "nbray_cell_ended"
# Set per worker or per task by the runtime, never by the notebook.
KEPT_VARIABLES = ("NBRAY_", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS")
UNSEEN_CHANGE_TYPES = ("ndarray", "DataFrame", "Series", "Index", "Tensor")

_shell = WorkerShell(emit)
_hinted: set[str] = set()


def run_cell(job: CellJob, *resolved: Any) -> Any:
    """Run one cell; the remote function behind ``%%remote``.

    Parameters
    ----------
    job
        See ``cell_job``.
    resolved
        Values of the refs in ``job.ref_names``.

    Returns
    -------
    CellOutcome, or with ``job.return_names`` a list: None (it only says that the cell has
    ended), the value of the last expression, then one value per name.
    """
    module = types.ModuleType("__main__")
    namespace = module.__dict__
    namespace["__builtins__"] = builtins
    for unwanted in ("__doc__", "__package__", "__loader__", "__spec__"):
        namespace[unwanted] = None
    with _surroundings(job, module):
        outcome = CellOutcome()
        run = _Run(job, namespace, outcome)
        try:
            run.load(resolved)
            value = run.execute()
        except BaseException as error:
            _end_figures()
            _drop_runner_frames(error, job.filename)
            _emit_failure(run, error)
            raise
        _end_figures()
        if job.return_names is not None:
            return run.separate_values(value)
        run.collect(value, in_band=False)
        return outcome


class _Run:
    """One cell: its names before, its code, its names after."""

    def __init__(self, job: CellJob, namespace: dict[str, Any], outcome: CellOutcome) -> None:
        self.job = job
        self.namespace = namespace
        self.outcome = outcome
        self.before: dict[str, Any] = {}
        self.own: frozenset[str] = frozenset(namespace)
        self.digests: dict[str, bytes] = {}
        self.aliases: dict[int, str] = {}

    # --------------------------------------------------------------------- before

    def load(self, resolved: tuple[Any, ...]) -> None:
        """Bind the inputs."""
        job, namespace = self.job, self.namespace
        for dotted in job.submodules:
            importlib.import_module(dotted)
        for name, dotted in job.modules:
            namespace[name] = importlib.import_module(dotted)
        stored: set[str] = set()
        if job.names:
            with receiving(namespace, job.carried, {}):
                reader = StreamReader(job.stream, list(self._buffers()))
                for entry in job.names:
                    value = reader.read()
                    namespace[entry.name] = value
                    if entry.stored_into:
                        stored.add(entry.name)
        for name, data in job.optional:
            try:
                with receiving(namespace, (), {}):
                    namespace.setdefault(name, StreamReader(data, ()).read())
            except Exception:
                continue  # only a guess that the cell might want it
        for name, value in zip(job.ref_names, resolved, strict=True):
            # What lies in the store is shared and read-only; the cell gets its own.
            namespace[name] = copy.deepcopy(value) if name in job.stored_refs else value
        for name in job.deleted:
            namespace.setdefault(name, None)
        self.before = dict(namespace)
        ref_names = set(job.ref_names)
        for name, value in self.before.items():
            if name in self.own or name in ref_names or isinstance(value, types.ModuleType):
                continue
            if not isinstance(value, IMMUTABLE) or isinstance(value, type | types.FunctionType):
                self.aliases.setdefault(id(value), name)
        large = {entry.name for entry in job.names if entry.large}
        for name, value in self.before.items():
            if name in self.own or isinstance(value, (*IMMUTABLE, types.ModuleType)):
                continue
            if name in large or name in stored or name in job.stored_refs:
                continue
            digest = self._digest(value)
            if digest is not None:
                self.digests[name] = digest

    def _buffers(self) -> Iterator[Any]:
        buffers = iter(self.job.buffers)
        for entry in self.job.names:
            for _ in range(entry.n_buffers):
                view = memoryview(next(buffers))
                if entry.writable:
                    yield bytearray(view)
                else:
                    yield view if view.readonly else view.toreadonly()

    def _digest(self, value: Any) -> bytes | None:
        """Return the pickle of a small value; None when it is not small, or none at all."""
        if getattr(value, "nbytes", 0) > SMALL_BYTES:
            return None
        file = LimitedWriter(SMALL_BYTES)
        others = {key: name for key, name in self.aliases.items() if key != id(value)}
        try:
            CellPickler(file, self.namespace, CARRIED_TYPES, False, others).dump(value)
        except Exception:
            return None
        return file.getvalue()

    # ------------------------------------------------------------------------ run

    def execute(self) -> Any:
        """Run the code; returns the value of the last expression, if one is wanted."""
        job, namespace = self.job, self.namespace
        flags = job.flags | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        tree = compile(job.source, job.filename, "exec", flags | ast.PyCF_ONLY_AST, dont_inherit=True)
        last: ast.Expression | None = None
        if job.want_value and tree.body and isinstance(tree.body[-1], ast.Expr):
            last = ast.Expression(tree.body.pop().value)
        value = None
        with _Loop() as loop:
            if tree.body:
                code = compile(tree, job.filename, "exec", flags, dont_inherit=True)
                loop.run(code, namespace)
            if last is not None:
                code = compile(last, job.filename, "eval", flags, dont_inherit=True)
                value = loop.run(code, namespace)
        return value

    # ---------------------------------------------------------------------- after

    def collect(self, value: Any, in_band: bool) -> None:
        """Fill the outcome with everything that changed."""
        job, outcome, before = self.job, self.outcome, self.before
        items: list[tuple[str, str, Any]] = []
        stored = {entry.name for entry in job.names if entry.stored_into}
        stored.update(job.stored_refs)
        for name, old in before.items():
            if name in self.own:
                continue
            if name not in self.namespace:
                outcome.deleted.append(name)
            elif self._changed(name, old, name in stored):
                items.append((CHANGED, name, old))
        for name, new in list(self.namespace.items()):
            if name in self.own or name.startswith("_") or not isinstance(name, str):
                continue
            if before.get(name, outcome) is new:
                continue
            if isinstance(new, types.ModuleType) and sys.modules.get(new.__name__) is new:
                outcome.modules.append((name, new.__name__))
                continue
            items.append((SET, name, new))
        if job.only_names is not None:
            wanted = set(job.only_names)
            items = [item for item in items if item[1] in wanted]
            outcome.modules = [pair for pair in outcome.modules if pair[0] in wanted]
        if value is not None:
            items.append((VALUE, "", value))
        outcome.imports = [
            dotted
            for dotted in job.imports
            if "." in dotted and dotted in sys.modules and dotted.partition(".")[0] in self.namespace
        ]
        if items:
            pack(outcome, items, self.namespace, CARRIED_TYPES, self.aliases, in_band)
        self._hint()

    def _changed(self, name: str, old: Any, stored_into: bool) -> bool:
        """Whether the object that came under ``name`` is to be written back."""
        if stored_into:
            return not isinstance(old, (*IMMUTABLE, types.ModuleType))
        return name in self.digests and self._digest(old) != self.digests[name]

    def _hint(self) -> None:
        """Tell, once per name, that a change made by a method would not be seen."""
        for entry in self.job.names:
            method = self.job.method_calls.get(entry.name)
            if method is None or not entry.large or entry.stored_into or entry.name in _hinted:
                continue
            value = self.before.get(entry.name)
            if type(value).__name__ in UNSEEN_CHANGE_TYPES:
                continue  # read-only there: the change would have failed
            _hinted.add(entry.name)
            self.outcome.hints.append(
                f"{entry.name} is larger than {SMALL_BYTES >> 20} MB: what {entry.name}.{method}() changed"
                f" in it stayed on the worker. Assign it to bring it back: {entry.name} = {entry.name}.copy()"
            )

    def separate_values(self, value: Any) -> list[Any]:
        """Return what ``--async`` returns: None, the last value, then each name's."""
        assert self.job.return_names is not None
        values = [None, value]
        for name in self.job.return_names:
            values.append(self.namespace.get(name, Unbound(name)))
        return values


class Unbound:
    """The value of a ref whose name the cell never bound."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"<the cell ended without binding {self.name}>"


class _Loop:
    """Runs code objects; those with a top-level ``await`` in one event loop.

    Not ``asyncio.run``: it would turn an interrupt into the cancellation of a task,
    and the traceback would not show where the cell was.
    """

    def __enter__(self) -> _Loop:
        self._loop: asyncio.AbstractEventLoop | None = None
        return self

    def run(self, code: types.CodeType, namespace: dict[str, Any]) -> Any:
        if not code.co_flags & inspect.CO_COROUTINE:
            return eval(code, namespace)
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self._loop)
        return self._loop.run_until_complete(eval(code, namespace))

    def __exit__(self, *exc_info: Any) -> None:
        loop = self._loop
        if loop is None:
            return
        try:
            pending = asyncio.all_tasks(loop)
            for task in pending:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            asyncio.set_event_loop(None)
            loop.close()


# ------------------------------------------------------------------------- surroundings


@contextmanager
def _surroundings(job: CellJob, module: types.ModuleType) -> Iterator[None]:
    """Make the process look like the kernel, and as before afterwards."""
    main, path = sys.modules.get("__main__"), list(sys.path)
    environ = dict(os.environ)
    builtin_input = builtins.input
    try:
        cwd: str | None = os.getcwd()
    except OSError:
        cwd = None
    try:
        sys.modules["__main__"] = module
        if job.sys_path and job.sys_path != path:
            sys.path[:] = job.sys_path + [entry for entry in path if entry not in job.sys_path]
        if job.cwd and job.cwd != cwd:
            os.chdir(job.cwd)
        _set_environment(job.environ)
        builtins.input = _refuse_input
        _shell.prepare()
        _shell.enter(module)
        for filename, text in job.texts.items():
            linecache.cache[filename] = (len(text), None, text.splitlines(True), filename)
        yield
    finally:
        _shell.leave()
        builtins.input = builtin_input
        if main is not None:
            sys.modules["__main__"] = main
        sys.path[:] = path
        if dict(os.environ) != environ:
            os.environ.clear()
            os.environ.update(environ)
        if cwd is not None and job.cwd != cwd:
            try:
                os.chdir(cwd)
            except OSError:
                pass


def _set_environment(wanted: dict[str, str]) -> None:
    if not wanted:
        return
    for name in list(os.environ):
        if name not in wanted and not name.startswith(KEPT_VARIABLES):
            del os.environ[name]
    for name, value in wanted.items():
        if os.environ.get(name) != value and not name.startswith(KEPT_VARIABLES):
            os.environ[name] = value


def _refuse_input(prompt: object = "") -> str:
    from IPython.core.error import StdinNotImplementedError  # noqa: PLC0415  (rarely needed)

    raise StdinNotImplementedError(
        "input() cannot ask anybody here: the cell runs on a worker. Ask in a cell without"
        " %%remote and use the answer in this one."
    )


def _end_figures() -> None:
    try:
        _shell.show_figures()
    except Exception as error:
        print(f"a figure could not be drawn: {type(error).__name__}: {error}", file=sys.stderr)


# ------------------------------------------------------------------------------ failure


def _emit_failure(run: _Run, error: BaseException) -> None:
    """Send the notebook the frames of the error and the names bound before it."""
    namespace = run.namespace

    def dump(obj: Any) -> bytes:
        file = LimitedWriter(16 * SMALL_BYTES)
        pickler = CellPickler(file, namespace, CARRIED_TYPES, False, run.aliases)
        pickler.dump(obj)
        if pickler.carried:
            raise TypeError("refs do not travel inside exceptions")
        with receiving(dict(namespace), (), run.before):
            StreamReader(file.getvalue(), ()).read()
        return file.getvalue()

    records = capture(error, dump)
    if run.job.return_names is None:
        try:
            run.collect(None, in_band=True)
        except Exception as failure:
            run.outcome = CellOutcome(hints=[f"the names bound before the error are lost: {failure!r}"])
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    emit(CELL_ENDED, (run.job.key, pickle.dumps((records, run.outcome))))


def _drop_runner_frames(error: BaseException, filename: str) -> None:
    """Let the traceback begin in the cell, or at least below the runner."""
    first = tb = error.__traceback__
    while tb is not None and tb.tb_frame.f_code.co_filename != filename:
        tb = tb.tb_next
    if tb is None:  # it never came to the cell: an input could not be read
        tb = first
        while tb is not None and tb.tb_frame.f_code.co_filename == __file__:
            tb = tb.tb_next
    if tb is not None:
        error.__traceback__ = tb
