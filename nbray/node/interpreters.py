"""Interpreters other than the cluster's own: made when they are needed, each with a zygote.

An interpreter with packages is a virtual environment in the user's cache folder, named by
the digest of what is in it: it is made once and used again by later clusters. It is made by
a process of its own, whose log tells why it failed, if it does.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from nbray.node import process_control
from nbray.node.cache_folder import cache_folder
from nbray.node.environment_folder import COMPLETE
from nbray.node.node_state import NodeState
from nbray.node.zygote_client import ZygoteClient
from nbray.scheduling import events as ev
from nbray.wire.messages import DefineInterpreterNotice

ENVIRONMENTS = "environments"  # where in the user's cache folder they are
SITE_VARIABLE = "NBRAY_ENVIRONMENT_SITE"
MAX_DEFINED = 1000
_TAIL_BYTES = 6000
_TAIL_LINES = 40
_BUILD = (
    "import sys; sys.path[:] = sys.argv[4:]; from nbray.node.environment_builder import main; del sys.argv[4:]; main()"
)


class _Interpreter:
    """One interpreter, from its definition on."""

    __slots__ = ("builder", "builder_fd", "definition", "folder", "lock", "log", "words", "zygote")

    def __init__(self, definition: DefineInterpreterNotice) -> None:
        self.definition = definition
        self.folder = ""  # of its virtual environment
        self.lock = -1  # descriptor that keeps the folder from being removed
        self.log = ""  # of the builder
        self.words = ""  # the log of its zygote
        self.builder: subprocess.Popen[bytes] | None = None
        self.builder_fd = -1
        self.zygote: ZygoteClient | None = None


class Interpreters:
    """All interpreters that the node was told of.

    Parameters
    ----------
    node : NodeState
    schedule : callable
        Feeds the scheduler an event.
    """

    def __init__(self, node: NodeState, schedule: Callable[[ev.Event], None], clock: Callable[[], float]) -> None:
        self.node = node
        self._schedule = schedule
        self._clock = clock
        self._known: dict[str, _Interpreter] = {}

    def define(self, definition: DefineInterpreterNotice) -> None:
        """Note how to make an interpreter."""
        if definition.key not in self._known and len(self._known) < MAX_DEFINED:
            self._known[definition.key] = _Interpreter(definition)

    def make(self, key: str) -> None:
        """Make it; the scheduler is told when workers can be started, or why not."""
        interpreter = self._known.get(key)
        if interpreter is None:
            self._gone(key, "nobody has said what is in it")
        elif not interpreter.definition.packages:
            self._start_zygote(key, interpreter)
        else:
            try:
                self._build(key, interpreter)
            except OSError as error:
                self._gone(key, f"its folder cannot be made: {error}")

    def zygote(self, key: str) -> ZygoteClient | None:
        """Return the zygote of an interpreter that is ready."""
        interpreter = self._known.get(key)
        return interpreter.zygote if interpreter is not None else None

    @property
    def behind(self) -> bool:
        """True while something waits to be sent to a zygote."""
        return any(one.zygote is not None and one.zygote.behind for one in self._known.values())

    def flush(self) -> None:
        """Send what did not fit before."""
        for one in self._known.values():
            if one.zygote is not None:
                one.zygote.flush()

    def end(self, grace_s: float) -> list[ZygoteClient]:
        """End builders and zygotes; returns the zygotes, which end within ``grace_s``."""
        zygotes = []
        for one in self._known.values():
            if one.builder is not None:
                _kill_group(one.builder.pid)
            if one.zygote is not None:
                one.zygote.end(grace_s)
                zygotes.append(one.zygote)
        return zygotes

    def pids(self) -> set[int]:
        """Return the pids of builders and zygotes."""
        found = set()
        for one in self._known.values():
            found |= {one.zygote.pid} if one.zygote is not None else set()
            found |= {one.builder.pid} if one.builder is not None else set()
        return found

    # -------------------------------------------------------------------- building

    def _build(self, key: str, one: _Interpreter) -> None:
        definition = one.definition
        wanted = {
            "python": sys.version, "prefix": sys.prefix, "command": definition.command, "packages": sorted(definition.packages),
            "options": definition.options, "pip_version": definition.pip_version, "check": definition.check,
        }  # fmt: skip
        base = cache_folder(ENVIRONMENTS)
        digest = hashlib.blake2b(json.dumps(wanted, sort_keys=True).encode(), digest_size=12).hexdigest()
        one.folder = os.path.join(base, digest)
        self._keep(one)
        if os.path.exists(os.path.join(one.folder, COMPLETE)):
            self._built(key, one)
            return
        self._let_go(one)  # the builder needs it for itself
        one.log = os.path.join(self.node.config.session_dir, "logs", f"environment-{digest}.log")
        log = os.open(one.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            one.builder = subprocess.Popen(
                [sys.executable, "-c", _BUILD, str(os.getpid()), one.folder, json.dumps(wanted), *sys.path],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        finally:
            os.close(log)
        one.builder_fd = process_control.open_pidfd(one.builder.pid)
        self.node.watch(one.builder_fd, lambda: self._builder_ended(key, one))
        if definition.timeout_s > 0:
            builder = one.builder
            self.node.call_after(definition.timeout_s, lambda: self._overdue(one, builder))

    def _overdue(self, one: _Interpreter, builder: subprocess.Popen[bytes]) -> None:
        if one.builder is builder:
            with open(one.log, "a", encoding="utf-8") as log:
                log.write(f"\nnot done within {one.definition.timeout_s} s (config.setup_timeout_seconds)\n")
            _kill_group(builder.pid)

    def _builder_ended(self, key: str, one: _Interpreter) -> None:
        assert one.builder is not None
        self.node.unwatch(one.builder_fd)
        os.close(one.builder_fd)
        status = one.builder.wait()
        _kill_group(one.builder.pid)
        one.builder, one.builder_fd = None, -1
        self._keep(one)
        if status == 0 and os.path.exists(os.path.join(one.folder, COMPLETE)):
            self._built(key, one)
            return
        self._let_go(one)
        packages = ", ".join(one.definition.packages)
        self._gone(key, f"installing {packages} failed. The end of the log ({one.log}):\n{_tail(one.log)}")

    def _built(self, key: str, one: _Interpreter) -> None:
        with contextlib.suppress(OSError):
            os.utime(os.path.join(one.folder, COMPLETE))  # used last now
        trim(cache_folder(ENVIRONMENTS), int(self.node.limits.environments))
        self._start_zygote(key, one)

    # -------------------------------------------------------------------- zygotes

    def _start_zygote(self, key: str, one: _Interpreter) -> None:
        command = [os.path.join(one.folder, "bin", "python")] if one.folder else one.definition.command
        variables = {name: os.path.expandvars(text) for name, text in one.definition.variables.items()}
        environ = {**os.environ, **variables}
        one.words = os.path.join(self.node.config.session_dir, "logs", f"interpreter-{key}.log")
        if one.folder:
            environ[SITE_VARIABLE] = _site_of(one.folder)
            environ["VIRTUAL_ENV"] = one.folder
            environ["PATH"] = os.pathsep.join([os.path.join(one.folder, "bin"), environ.get("PATH", os.defpath)])
        command = command or [sys.executable]
        words = os.open(one.words, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            zygote = ZygoteClient.fresh(
                self.node.config.worker_module, os.fsdecode(self.node.config.cwd), command, environ, words
            )
        except OSError as error:
            self._let_go(one)
            self._gone(key, f"{' '.join(command)} cannot be started: {error}")
            return
        finally:
            os.close(words)
        one.zygote = zygote

        def said() -> None:
            for message in zygote.messages():
                self.node.processes.handle(message, self._clock())

        self.node.watch(zygote.connection.fileno(), said)
        self.node.watch(zygote.pidfd, lambda: self._zygote_died(key, one, zygote))
        self.node.environments.interpreter_ready(key)
        self._schedule(ev.InterpreterReady(self._clock(), key))

    def _zygote_died(self, key: str, one: _Interpreter, zygote: ZygoteClient) -> None:
        self.node.unwatch(zygote.pidfd)
        for message in zygote.messages():
            self.node.processes.handle(message, self._clock())
        self.node.unwatch(zygote.connection.fileno())
        zygote.reap()
        one.zygote = None
        self._let_go(one)
        self._schedule(ev.InterpreterGone(self._clock(), key))
        said = " ".join(
            [*one.definition.command, *(f"{name}={text}" for name, text in one.definition.variables.items())]
        )
        ended = (
            f"the interpreter that forks them ({said or 'with packages'}) has ended. The end of its log ({one.words}):"
        )
        self.node.processes.zygote_died(zygote, f"{ended}\n{_tail(one.words)}")

    def _gone(self, key: str, reason: str) -> None:
        self.node.environments.interpreter_failed(key, reason)
        self._schedule(ev.InterpreterGone(self._clock(), key, reason))

    # ---------------------------------------------------------------------- folders

    def _keep(self, one: _Interpreter) -> None:
        """Keep the folder from being removed while it is used."""
        descriptor = os.open(f"{one.folder}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:  # somebody builds it just now; our builder waits for that
            os.close(descriptor)
            return
        one.lock = descriptor

    @staticmethod
    def _let_go(one: _Interpreter) -> None:
        if one.lock >= 0:
            os.close(one.lock)
            one.lock = -1


def trim(base: str, keep: int) -> None:
    """Remove the environments that were used longest ago, beyond ``keep``; never one that is used."""
    found = []
    for name in os.listdir(base):
        with contextlib.suppress(OSError):
            found.append((os.stat(os.path.join(base, name, COMPLETE)).st_mtime, name))
    for _, name in sorted(found)[: max(0, len(found) - keep)]:
        folder = os.path.join(base, name)
        with contextlib.suppress(OSError), open(f"{folder}.lock", "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(os.path.join(folder, COMPLETE))
            import shutil  # noqa: PLC0415 - its imports take time at every start

            shutil.rmtree(folder, ignore_errors=True)


def _site_of(folder: str) -> str:
    return os.path.join(folder, "lib", f"python{sys.version_info[0]}.{sys.version_info[1]}", "site-packages")


def _kill_group(pid: int) -> None:
    with contextlib.suppress(OSError):
        os.killpg(pid, signal.SIGKILL)


def _tail(path: str) -> str:
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL_BYTES))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return "(there is no log)"
    return "\n".join(text.strip().splitlines()[-_TAIL_LINES:])


def describe(interpreters: Interpreters) -> list[dict[str, Any]]:
    """Return a row per interpreter, for reports."""
    return [
        {"key": key, "packages": one.definition.packages, "folder": one.folder, "ready": one.zygote is not None,
         "building": one.builder is not None}
        for key, one in interpreters._known.items()
    ]  # fmt: skip
