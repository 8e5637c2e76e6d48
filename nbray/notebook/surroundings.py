"""Make a worker look like the kernel while it runs a cell, and as before afterwards.

Working directory, environment, ``sys.path`` and ``__main__`` are the kernel's meanwhile.
"""

from __future__ import annotations

import builtins
import importlib
import os
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from nbray.core import output
from nbray.core.call_site import know_cells
from nbray.serialization.cell_source import remember

from . import interrupt_handlers, process_environ, terminal
from .cell_job import CellJob
from .worker_shell import WorkerShell


class Start:
    """Directory and environment when a cell begins."""

    def __init__(self, job: CellJob, handlers: interrupt_handlers.Kept) -> None:
        self.handlers = handlers
        self._cwd = job.cwd
        self._environ = process_environ.raw()
        self._path, self._argv = list(sys.path), list(sys.argv)
        self._added = {*self._path} - {*job.sys_path}  # the worker's own
        self.cwd: str | None = None  # of the process, since the last look

    def changes(self) -> tuple[str, dict[str, str | None]]:
        """Return the directory that the cell has changed to, or "", and the variables that it has changed."""
        try:
            cwd = os.getcwd()
        except OSError:
            cwd = ""
        self.cwd = cwd
        return cwd if self._cwd and cwd != self._cwd else "", process_environ.changes(self._environ)

    def changed_lists(self) -> tuple[list[str], list[str]]:
        """Return ``sys.path`` and ``sys.argv``, each empty when the cell has not changed it."""
        path = [] if sys.path == self._path else [entry for entry in sys.path if entry not in self._added]
        return path, [] if sys.argv == self._argv else list(sys.argv)


@contextmanager
def surroundings(job: CellJob, module: types.ModuleType, shell: WorkerShell, kept: bool = False) -> Iterator[Start]:
    """Make the process look like the kernel, and as before afterwards. What an actor's cell makes is ``kept``."""
    main, path, argv = sys.modules.get("__main__"), list(sys.path), sys.argv
    environ = process_environ.raw()
    handlers = interrupt_handlers.Kept(kept)
    builtin_input, breakpoint_hook = builtins.input, sys.breakpointhook
    getpass: Any = importlib.import_module("getpass") if "getpass" in job.source else None
    pdb: Any = importlib.import_module("pdb") if "set_trace" in job.source or "pdb" in job.source else None
    debuggers = {name: getattr(pdb, name) for name in ("set_trace", "post_mortem", "pm") if pdb is not None}
    ask_secret = getattr(getpass, "getpass", None)
    start: Start | None = None
    try:
        cwd: str | None = os.getcwd()
    except OSError:
        cwd = None
    try:
        sys.modules["__main__"] = module
        if job.sys_path and job.sys_path != path:
            # What a runtime_env or job_config added stays; the driver's directory of then does not.
            added = [entry for entry in path if entry not in job.sys_path and entry != cwd]
            sys.path[:] = job.sys_path + added
        if job.argv:
            sys.argv = list(job.argv)
        if job.cwd and job.cwd != cwd:
            os.chdir(job.cwd)
        process_environ.apply(job.environ, environ)
        builtins.input = _in_the_place_of("builtins", "input", _refuse_input)
        sys.breakpointhook = _refuse_breakpoint
        if getpass is not None:
            getpass.getpass = _in_the_place_of("getpass", "getpass", _refuse_input)
        for name in debuggers:
            setattr(pdb, name, _in_the_place_of("pdb", name, _refuse_breakpoint))
        shell.prepare()
        shell.enter(module, job, kept)
        remember(job.filename, job.text)
        know_cells(job.numbers)
        output.watch_descriptors(True)
        with terminal.as_in_notebook(job.terminal):
            start = Start(job, handlers)
            yield start
    finally:
        output.watch_descriptors(False)
        handlers.give_back()
        shell.leave(kept)
        builtins.input, sys.breakpointhook = builtin_input, breakpoint_hook
        if getpass is not None:
            getpass.getpass = ask_secret
        for name, debugger in debuggers.items():
            setattr(pdb, name, debugger)
        if main is not None:
            sys.modules["__main__"] = main
        sys.path[:] = path
        sys.argv = argv
        process_environ.restore(environ)
        if cwd is not None and (start is None or start.cwd != cwd):
            try:
                os.chdir(cwd)
            except OSError:
                pass


def _refuse_input(prompt: object = "", *_: object, **__: object) -> str:
    from IPython.core.error import StdinNotImplementedError  # noqa: PLC0415  (rarely needed)

    raise StdinNotImplementedError(
        "input() cannot ask anybody here: the cell runs on a worker. Ask in a cell without"
        " %%remote and use the answer in this one."
    )


def _refuse_breakpoint(*_: object, **__: object) -> None:
    raise RuntimeError(
        "breakpoint() cannot stop here: the cell runs on a worker, where nobody can type. Run the cell without %%remote, or let"
        " it fail: %debug looks at the error afterwards."
    )


def _in_the_place_of(module: str, name: str, refusing: Any) -> Any:
    """Return a function that refuses under the name of another: what a cell takes from a library is the library's in the notebook."""
    made = types.FunctionType(refusing.__code__, refusing.__globals__, name, refusing.__defaults__)
    made.__module__, made.__qualname__ = module, name
    return made
