"""Put a runtime environment into force in this worker, once, before any code of the user."""

from __future__ import annotations

import importlib
import os
import pickle
import sys
import traceback
from typing import Any

from nbray.core.environments import BEFORE_START, Environment
from nbray.exceptions import RuntimeEnvSetupError


class WorkerSetupError(RuntimeEnvSetupError):
    """Raised in the place of every task of a worker whose environment is not in force."""

    of_the_runtime = True  # no error of the task: it is told as it is

    def __reduce__(self) -> Any:
        return RuntimeEnvSetupError, self.args


class WorkerEnvironment:
    """The environment that this worker is bound to, if any.

    Attributes
    ----------
    present : Environment or None
    failure : RuntimeEnvSetupError or None
        Why it could not be put into force: then every task here fails with that.
    folders : list of str
        What goes before all else on sys.path.
    python_path : list of str
        The environment's PYTHONPATH: after the driver's own folders and before what any interpreter has, as Python orders them.
    working_dir : str
        Empty: the driver's.
    """

    def __init__(self) -> None:
        self.present: Environment | None = None
        self.failure: RuntimeEnvSetupError | None = None
        self.folders: list[str] = _site_folders()
        self.python_path: list[str] = []
        self.working_dir = ""
        self._base_path = list(sys.path)

    def enter(self, environment: Environment) -> None:
        """Put the environment into force; does nothing the second time, as a worker has one for its life."""
        if self.present is not None:
            return
        self.present = environment
        for name, text in environment.variables().items():
            if environment.interpreter and name.startswith(BEFORE_START):
                continue  # the interpreter was started with it
            os.environ[name] = os.path.expandvars(text)  # ${NAME}: what the worker has already
        self.folders = environment.folders() + self.folders
        self.working_dir = environment.spec.get("working_dir", "")
        try:
            if self.working_dir:
                os.chdir(self.working_dir)
            if "PYTHONPATH" in environment.variables():  # the zygote has left it out: it has nbray's own path
                entries = os.environ["PYTHONPATH"].split(os.pathsep)
                self.python_path = [os.path.abspath(entry) for entry in entries if entry]
            sys.path[:] = self.module_path(sys.path)
            if environment.hook:
                _hook(environment.hook)()
        except Exception as error:
            name = environment.spec.get("worker_process_setup_hook", "")
            what = f"the setup hook {name}" if name else f"the working directory {self.working_dir}"
            text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
            self.failure = WorkerSetupError(f"Setting up the worker failed: {what} raised\n{text}")

    def module_path(self, drivers: list[str]) -> list[str]:
        """Return what sys.path is here when the driver's is ``drivers``."""
        path = self.folders + [folder for folder in drivers if folder not in self.folders]
        if self.python_path:
            at = next((index for index, folder in enumerate(path) if folder in self._base_path), len(path))
            path = list(dict.fromkeys([*path[:at], *self.python_path, *path[at:]]))
        return path + [folder for folder in self._base_path if folder not in path]

    def fixes(self, name: str) -> bool:
        """Return True when the environment sets this variable."""
        return self.present is not None and name in self.present.variables()


def _site_folders() -> list[str]:
    """Return the packages of the virtual environment that this interpreter was started in for nbray; they come first."""
    marked = os.environ.get("NBRAY_ENVIRONMENT_SITE", "")
    return [marked] if marked else []


def _hook(code: bytes) -> Any:
    if code[:1] == b"\x80":
        return pickle.loads(code)
    module, _, name = code.decode().rpartition(".")
    return getattr(importlib.import_module(module), name)
