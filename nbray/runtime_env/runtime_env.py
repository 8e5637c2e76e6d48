"""Runtime environments: what tasks, actors and jobs want of the processes they run in.

A RuntimeEnv is a dict with known keys, checked when it is made. A child's environment is
its parent's with its own keys over it (``merge``); variables are merged one by one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Any

from nbray.exceptions import RuntimeEnvSetupError

DEFAULT_SETUP_TIMEOUT_S = 600
PIP_KEYS = {"packages", "pip_check", "pip_version", "pip_install_options"}
UV_KEYS = {"packages", "uv_check", "uv_version", "uv_pip_install_options"}
ARCHIVES = (".zip", ".whl")

# Keys of Ray that need what nbray has not, and what to use instead.
_REFUSED = {
    "conda": "nbray makes no conda environments; use 'pip', or start the driver inside the conda environment",
    "container": "nbray starts no containers; start the driver inside the container",
    "image_uri": "nbray starts no containers; start the driver inside the container",
    "java_jars": "nbray has no Java workers",
    "nsight": "nbray does not start profilers; use worker_process_setup_hook",
    "_nsight": "nbray does not start profilers; use worker_process_setup_hook",
    "rocprof_sys": "nbray does not start profilers; use worker_process_setup_hook",
    "_rocprof_sys": "nbray does not start profilers; use worker_process_setup_hook",
}


class RuntimeEnvPathError(RuntimeEnvSetupError, ValueError):
    """A file or folder of a runtime environment is not there (ValueError in Ray)."""


class RuntimeEnvConfig(dict):
    """How an environment is made; no part of what it is.

    Parameters
    ----------
    setup_timeout_seconds : int
        Seconds until making it counts as failed; -1: never.
    eager_install : bool
        Accepted as in Ray; packages are installed when the first task needs them.
    log_files : list of str, optional
        Accepted as in Ray, without an effect.
    """

    known_fields = {"setup_timeout_seconds", "eager_install", "log_files"}

    def __init__(
        self, setup_timeout_seconds: int = DEFAULT_SETUP_TIMEOUT_S, eager_install: bool = True,
        log_files: list[str] | None = None,
    ) -> None:  # fmt: skip
        if isinstance(setup_timeout_seconds, bool) or not isinstance(setup_timeout_seconds, int):
            raise TypeError(f"setup_timeout_seconds must be an int, got {setup_timeout_seconds!r}.")
        if setup_timeout_seconds <= 0 and setup_timeout_seconds != -1:
            raise ValueError(f"setup_timeout_seconds must be above 0, or -1 for no limit; got {setup_timeout_seconds}.")
        if not isinstance(eager_install, bool):
            raise TypeError(f"eager_install must be a bool, got {eager_install!r}.")
        if log_files is not None and (
            not isinstance(log_files, list) or not all(isinstance(f, str) for f in log_files)
        ):
            raise TypeError(f"log_files must be a list of str, got {log_files!r}.")
        super().__init__(
            setup_timeout_seconds=setup_timeout_seconds, eager_install=eager_install, log_files=list(log_files or [])
        )

    @classmethod
    def default_config(cls) -> RuntimeEnvConfig:
        """Return what holds where nothing is said."""
        return cls()

    @classmethod
    def parse_and_validate_runtime_env_config(cls, config: Any) -> RuntimeEnvConfig:
        """Make one of a dict; keys that mean nothing are left out."""
        if isinstance(config, cls):
            return config
        if not isinstance(config, Mapping):
            raise TypeError(f"runtime_env['config'] must be a dict or a RuntimeEnvConfig, got {type(config)}.")
        return cls(**{name: entry for name, entry in config.items() if name in cls.known_fields})

    def to_dict(self) -> dict[str, Any]:
        return dict(self)


class RuntimeEnv(dict):
    """An environment; wherever one is taken, a plain dict of the same keys will do.

    Parameters
    ----------
    env_vars : dict of str to str, optional
        Environment variables; ``${NAME}`` stands for a variable that the worker has already.
    working_dir : str, optional
        Folder, or .zip, whose copy is the working directory, and first on the path for modules.
    py_modules : list, optional
        Folders of packages, files, .whl or .zip archives, or module objects, to be importable.
    pip : list of str, str or dict, optional
        Packages (or the path of a requirements file) for a virtual environment over this one.
    uv : list of str, str or dict, optional
        The same; pip installs them.
    py_executable : str, optional
        Command that starts the workers' interpreter.
    excludes : list of str, optional
        What of working_dir and py_modules is left out; patterns as in .gitignore.
    worker_process_setup_hook : callable or str, optional
        Called in each worker before anything else; a str names a function in a module.
    config : dict or RuntimeEnvConfig, optional

    Raises
    ------
    TypeError, ValueError
        For values of another form, or a key that nbray cannot carry out.
    """

    known_fields = {
        "env_vars", "working_dir", "py_modules", "pip", "uv", "py_executable", "excludes", "worker_process_setup_hook",
        "config", *_REFUSED,
    }  # fmt: skip

    def __init__(self, *, _validate: bool = True, **fields: Any) -> None:
        given = {name: value for name, value in fields.items() if value is not None}
        super().__init__({name: _checked_field(name, value) for name, value in given.items()} if _validate else given)
        if _validate:
            if "pip" in given and "uv" in given:
                raise ValueError("runtime_env has both 'pip' and 'uv': give one of them.")
            for name in ("pip", "uv"):
                if name in self and not self[name]["packages"]:
                    del self[name]

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, _checked_field(key, value))

    def set(self, name: str, value: Any) -> None:
        """Set a field, as ``env[name] = value`` does."""
        self[name] = value

    # Accessors, as Ray has them.

    def env_vars(self) -> dict[str, str]:
        return dict(self.get("env_vars", {}))

    def working_dir_uri(self) -> str | None:
        return self.get("working_dir")

    def working_dir(self) -> str:
        return self.get("working_dir", "")

    def py_modules(self) -> list[str]:
        return list(self.get("py_modules", []))

    def py_modules_uris(self) -> list[str]:
        return self.py_modules()

    def has_working_dir(self) -> bool:
        return "working_dir" in self

    def has_pip(self) -> bool:
        return "pip" in self

    def has_uv(self) -> bool:
        return "uv" in self

    def has_conda(self) -> bool:
        return "conda" in self

    def has_py_container(self) -> bool:
        return "container" in self or "image_uri" in self

    def pip_config(self) -> dict[str, Any]:
        return dict(self.get("pip", {}))

    def uv_config(self) -> dict[str, Any]:
        return dict(self.get("uv", {}))

    def plugins(self) -> list[tuple[str, Any]]:
        return [(name, value) for name, value in self.items() if name not in self.known_fields]

    def py_executable(self) -> str | None:
        return self.get("py_executable")

    def get_extension(self, key: str) -> Any:
        return self.get(key)

    def to_dict(self) -> dict[str, Any]:
        return dict(self)

    def serialize(self) -> str:
        """Return it as JSON text, keys in order."""
        return json.dumps(self, sort_keys=True)

    @classmethod
    def deserialize(cls, serialized_runtime_env: str) -> RuntimeEnv:
        """Make one from that text, without checks."""
        return cls(_validate=False, **json.loads(serialized_runtime_env))

    def __reduce__(self) -> Any:
        return _rebuild, (dict(self),)


def _rebuild(fields: dict[str, Any]) -> RuntimeEnv:
    return RuntimeEnv(_validate=False, **fields)


def checked(name: str, value: Any) -> RuntimeEnv | None:
    """Check the option ``runtime_env``; an empty one is None."""
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise TypeError(f"The type of keyword '{name}' must be one of (dict, None), but received type {type(value)}")
    env = value if isinstance(value, RuntimeEnv) else RuntimeEnv(**value)
    return env or None


def merge(parent: Mapping[str, Any] | None, child: Mapping[str, Any] | None) -> RuntimeEnv:
    """Return the parent's environment with the child's keys over it; variables one by one."""
    merged = {**(parent or {}), **(child or {})}
    variables = {**(parent or {}).get("env_vars", {}), **(child or {}).get("env_vars", {})}
    if variables:
        merged["env_vars"] = variables
    if child and ("pip" in child) != ("uv" in child):
        merged.pop("uv" if "pip" in child else "pip", None)
    return RuntimeEnv(_validate=False, **merged)


# ----------------------------------------------------------------------------- checks


def _checked_field(name: str, value: Any) -> Any:
    if name in _REFUSED:
        raise ValueError(f"runtime_env[{name!r}] is not supported: {_REFUSED[name]}.")
    check = _CHECKS.get(name)
    return check(value) if check is not None else value


def _env_vars(value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise TypeError(f"runtime_env['env_vars'] must be a dict of str to str, got {type(value)}.")
    for name, text in value.items():
        if not isinstance(name, str) or not isinstance(text, str):
            raise TypeError(f"runtime_env['env_vars'] must be a dict of str to str; {name!r}: {text!r} is not.")
        if not name or "=" in name or "\0" in name + text:
            raise ValueError(
                f"runtime_env['env_vars']: {name!r} cannot be the name of a variable, or {text!r} its value."
            )
    return dict(value)


def _path(key: str, value: str) -> str:
    path = os.path.abspath(os.path.expanduser(value))
    if "://" in value:
        raise ValueError(
            f"runtime_env[{key!r}]: {value!r} is a remote address; nbray takes local folders and archives."
        )
    if not os.path.exists(path):
        raise RuntimeEnvPathError(f"runtime_env[{key!r}]: {value!r} is not a valid path: there is nothing at {path}.")
    return path


def _working_dir(value: Any) -> str:
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError(f"runtime_env['working_dir'] must be a string, got {type(value)}.")
    path = _path("working_dir", os.fspath(value))
    if not os.path.isdir(path) and not path.endswith(".zip"):
        raise RuntimeEnvPathError(f"runtime_env['working_dir']: {path} is neither a folder nor a .zip file.")
    return path


def _py_modules(value: Any) -> list[str]:
    if not isinstance(value, (list, tuple)):
        raise TypeError(f"runtime_env['py_modules'] must be a list, got {type(value)}.")
    found = []
    for module in value:
        if isinstance(module, ModuleType):
            paths = list(getattr(module, "__path__", [])) or [getattr(module, "__file__", None)]
            if paths[0] is None:
                raise ValueError(f"runtime_env['py_modules']: {module!r} comes from no file.")
            found.append(_path("py_modules", paths[0]))
        elif isinstance(module, (str, os.PathLike)):
            path = _path("py_modules", os.fspath(module))
            if not os.path.isdir(path) and not path.endswith((".py", *ARCHIVES)):
                raise RuntimeEnvPathError(
                    f"runtime_env['py_modules']: {path} is neither a folder, a .py file nor an archive."
                )
            found.append(path)
        else:
            raise TypeError(f"runtime_env['py_modules'] holds paths and modules, not {type(module)}.")
    return found


def _requirements(key: str, value: Any) -> list[str]:
    if isinstance(value, (str, os.PathLike)):
        path = os.fspath(value)
        try:
            with open(path, encoding="utf-8") as file:
                lines = [line.strip() for line in file]
        except OSError as error:
            raise RuntimeEnvPathError(f"runtime_env[{key!r}]: {path} is not a valid file ({error.strerror}).") from None
        return [line for line in lines if line and not line.startswith("#")]
    if not isinstance(value, (list, tuple)) or not all(isinstance(package, str) for package in value):
        raise TypeError(
            f"runtime_env[{key!r}] must be a list of str or the path of a requirements file, got {value!r}."
        )
    return list(dict.fromkeys(value))


def _installer(key: str, keys: set[str]) -> Callable[[Any], dict[str, Any]]:
    options_key = "pip_install_options" if key == "pip" else "uv_pip_install_options"

    def check(value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            return {"packages": _requirements(key, value), f"{key}_check": False}
        unknown = set(value) - keys
        if unknown or "packages" not in value:
            raise ValueError(
                f"runtime_env[{key!r}] has 'packages' and may have {sorted(keys - {'packages'})}; got {sorted(value)}."
            )
        found = {**value, "packages": _requirements(key, value["packages"])}
        found.setdefault(f"{key}_check", False)
        if not isinstance(found[f"{key}_check"], bool):
            raise TypeError(f"runtime_env[{key!r}]['{key}_check'] must be a bool.")
        if not isinstance(found.get(f"{key}_version", ""), str):
            raise TypeError(f"runtime_env[{key!r}]['{key}_version'] must be a str.")
        _texts(f"runtime_env[{key!r}][{options_key!r}]", found.get(options_key, []))
        return found

    return check


def _texts(what: str, value: Any) -> list[str]:
    if not isinstance(value, (list, tuple)) or not all(isinstance(text, str) for text in value):
        raise TypeError(f"{what} must be a list of str, got {value!r}.")
    return list(value)


def _excludes(value: Any) -> list[str]:
    return _texts("runtime_env['excludes']", value)


def _hook(value: Any) -> Any:
    if not callable(value) and not isinstance(value, str):
        raise TypeError(f"runtime_env['worker_process_setup_hook'] must be a callable or a str, got {type(value)}.")
    if isinstance(value, str) and "." not in value:
        raise ValueError(f"runtime_env['worker_process_setup_hook']={value!r}: name it as 'module.function'.")
    return value


def _executable(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise TypeError(f"runtime_env['py_executable'] must be a command, got {value!r}.")
    return value


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "env_vars": _env_vars,
    "working_dir": _working_dir,
    "py_modules": _py_modules,
    "pip": _installer("pip", PIP_KEYS),
    "uv": _installer("uv", UV_KEYS),
    "excludes": _excludes,
    "worker_process_setup_hook": _hook,
    "py_executable": _executable,
    "config": RuntimeEnvConfig.parse_and_validate_runtime_env_config,
}


def unknown_keys(env: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield each key that means nothing here, with the one that may be meant; they are kept, as in Ray."""
    for name in env:
        if name not in RuntimeEnv.known_fields:
            import difflib  # noqa: PLC0415 - only for who has mistyped

            near = difflib.get_close_matches(str(name), RuntimeEnv.known_fields - _REFUSED.keys(), 1)
            yield name, f" Did you mean {near[0]!r}?" if near else ""
