"""Runtime environments of what this process submits: resolved once, then named by a key.

An environment that needs another interpreter (packages, another Python, variables that must
be set before a process starts) names that by a key as well; the daemon is told once how to
make it.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping
from typing import Any

from nbray.core.call_site import warn
from nbray.runtime_env.runtime_env import DEFAULT_SETUP_TIMEOUT_S, RuntimeEnv, merge, unknown_keys
from nbray.serialization import serializer
from nbray.wire import messages as m

# A running process does not look at these any more, or not at all of them.
BEFORE_START = ("LD_", "PYTHON", "MALLOC_", "GLIBC_TUNABLES")


class Environment:
    """One environment, in the form in which workers get it.

    Attributes
    ----------
    spec : RuntimeEnv
        With packages in the place of paths. JSON but for the hook.
    key : str
        Workers of another key are not fit; it names the interpreter, if it needs one: ``digest:interpreter``.
    interpreter : str
        Key of the interpreter that it needs; empty: any.
    hook : bytes
        The pickled setup hook.
    """

    __slots__ = ("hook", "interpreter", "key", "spec")

    def __init__(self, spec: RuntimeEnv, key: str, interpreter: str, hook: bytes) -> None:
        self.spec = spec
        self.key = key
        self.interpreter = interpreter
        self.hook = hook

    def __reduce__(self) -> Any:
        return Environment, (self.spec, self.key, self.interpreter, self.hook)

    def variables(self) -> dict[str, str]:
        """Return its variables."""
        return self.spec.get("env_vars", {})

    def folders(self) -> list[str]:
        """Return what goes before all else on sys.path."""
        first = [self.spec["working_dir"]] if "working_dir" in self.spec else []
        return first + list(self.spec.get("py_modules", []))


MAX_TOLD = 32 * 1024  # characters of an environment's text, for those who list them


class Environments:
    """The environments that this process uses.

    Attributes
    ----------
    own : Environment or None
        Of this process: the job's in a driver, that of its tasks in a worker.
    """

    def __init__(self, core: Any) -> None:
        self.core = core
        self.own: Environment | None = None
        self._resolved: dict[tuple[str, str], Environment] = {}
        self._told: set[str] = set()  # interpreters that the daemon knows of

    def resolve(self, given: Mapping[str, Any] | None) -> Environment | None:
        """Return the environment of what is submitted here with the option ``runtime_env``; None: none."""
        if not given:
            return self.own
        for key, hint in unknown_keys(given):
            warn(f"runtime_env[{key!r}] has no effect: nbray knows no such key.{hint}", UserWarning)
        parent = self.own
        spec = merge(parent.spec if parent is not None else None, given)
        hook = parent.hook if parent is not None else b""
        if "worker_process_setup_hook" in given:
            spec, hook = self._with_hook(spec, given["worker_process_setup_hook"])
        core, limit = self.core, self.core.limits.package_bytes
        excludes = spec.get("excludes", ())
        if "working_dir" in spec or "py_modules" in spec:
            from nbray.core import packages  # noqa: PLC0415 - few bring files, and its imports take time
        if "working_dir" in spec:
            spec["working_dir"] = packages.add(core.session_dir, spec["working_dir"], excludes, limit, "working_dir")
        if "py_modules" in spec:
            spec["py_modules"] = [
                packages.add(core.session_dir, path, excludes, limit, "py_modules") for path in spec["py_modules"]
            ]
        spec.pop("excludes", None)
        return self._named(spec, hook)

    def _with_hook(self, spec: RuntimeEnv, hook: Any) -> tuple[RuntimeEnv, bytes]:
        code = serializer.dumps_code(hook, "the setup hook") if callable(hook) else hook.encode()
        name = f"{getattr(hook, '__module__', '')}.{getattr(hook, '__qualname__', '')}" if callable(hook) else hook
        spec["worker_process_setup_hook"] = name
        return spec, code

    def _named(self, spec: RuntimeEnv, hook: bytes) -> Environment:
        config = spec.pop("config", None) or {}
        text = json.dumps(spec, sort_keys=True, default=str)
        digest = hashlib.blake2b(hook, digest_size=8).hexdigest() if hook else ""
        found = self._resolved.get((text, digest))
        if found is None:
            key = hashlib.blake2b(f"{text} {digest}".encode(), digest_size=12).hexdigest()
            if config:
                spec["config"] = config
            interpreter = self._interpreter(spec, config)
            found = Environment(spec, f"{key}:{interpreter}" if interpreter else key, interpreter, hook)
            self._resolved[text, digest] = found
            job = self.core.job_id
            self.core.control.send(m.DefineEnvironmentNotice(key=found.key, text=text[:MAX_TOLD], job_id=job))
        return found

    def _interpreter(self, spec: RuntimeEnv, config: Mapping[str, Any]) -> str:
        """Return the key of the interpreter that an environment needs, after the daemon knows of it."""
        installer = spec.get("pip") or spec.get("uv") or {}
        early = {name: value for name, value in spec.get("env_vars", {}).items() if name.startswith(BEFORE_START)}
        command = shlex.split(spec.get("py_executable", ""))
        if not installer and not early and not command:
            return ""
        request = m.DefineInterpreterNotice(
            key="", command=command, packages=list(installer.get("packages", [])),
            options=list(installer.get("pip_install_options", installer.get("uv_pip_install_options", []))),
            pip_version=installer.get("pip_version", ""), check=bool(installer.get("pip_check", installer.get("uv_check"))),
            variables=early, timeout_s=config.get("setup_timeout_seconds", DEFAULT_SETUP_TIMEOUT_S),
        )  # fmt: skip
        about = [
            request.command,
            request.packages,
            request.options,
            request.pip_version,
            request.check,
            request.variables,
        ]
        request.key = hashlib.blake2b(json.dumps(about, sort_keys=True).encode(), digest_size=12).hexdigest()
        if request.key not in self._told:
            self._told.add(request.key)
            self.core.control.send(request)
        return request.key
