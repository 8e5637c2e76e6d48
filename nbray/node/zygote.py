"""The zygote: a process of one thread that has all modules loaded and forks workers.

It is forked from the daemon before that has threads, ZeroMQ or a segment, so that a
worker starts in milliseconds and inherits nothing half-used. It reaps its workers and
tells the daemon at once. When the daemon dies the kernel kills it, and with it them.

What a worker started dies with it, but for what took a session of its own (a daemon, a
server): that may outlive the worker, becomes the zygote's child, and ends with the node.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import os
import select
import signal
import socket
import sys
import time
import traceback
from typing import Any, NoReturn

from nbray.core import raw_output
from nbray.core.process_name import set_name
from nbray.node import boot, process_control
from nbray.node.zygote_messages import MAX_BYTES, End, Exited, Fork, Forked, decode, encode

ORPHANS_END_S = 0.5  # a killed process may be busy in the kernel
WORKER_OOM_SCORE = 1000  # workers go before daemon and driver when memory runs out


def main(connection: socket.socket, daemon_pid: int, worker_module: str) -> NoReturn:
    """Run the zygote; in a forked child, run the worker. Never returns.

    Parameters
    ----------
    connection : socket
        To the daemon.
    daemon_pid : int
        Our parent; we end with it.
    worker_module : str
        Loaded before the first fork; its ``run(bootstrap)`` is the worker.
    """
    set_name("nbray-zygote")
    process_control.die_with_parent(daemon_pid)
    process_control.adopt_orphans()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        boot.finish_package()
        for name in ("cloudpickle", worker_module):
            importlib.import_module(name)
    except Exception:  # the workers fail with the same error, in their logs
        traceback.print_exc()
    fork = _Zygote(connection).serve()
    if fork is None:
        os._exit(0)
    _run_worker(fork, worker_module)


class _Zygote:
    """The loop: fork what is asked for, reap what ends."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.tokens: dict[int, int] = {}  # pid -> token
        self.ending_at: float | None = None  # then the rest is killed
        # SIGCHLD interrupts poll through this pair, also when it comes just before.
        self.wake_read, self.wake_write = socket.socketpair()
        self.wake_read.setblocking(False)
        self.wake_write.setblocking(False)

    def serve(self) -> Fork | None:
        """Return None when all is over, or the request that this child is to fulfil."""
        signal.signal(signal.SIGCHLD, lambda signo, frame: None)
        signal.set_wakeup_fd(self.wake_write.fileno(), warn_on_full_buffer=False)
        gc.collect()
        gc.freeze()  # the collector never touches these pages again, so they stay shared
        poll = select.poll()
        poll.register(self.connection, select.POLLIN)
        poll.register(self.wake_read, select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in poll.poll(self._timeout_ms())}
            if self.wake_read.fileno() in ready:
                with contextlib.suppress(BlockingIOError):
                    self.wake_read.recv(4096)
            self._reap()
            if self.ending_at is not None:
                if not self.tokens:
                    process_control.end_children(ORPHANS_END_S)
                    return None
                if time.monotonic() >= self.ending_at:
                    self._signal_all(signal.SIGKILL)
                    self.ending_at = time.monotonic() + 0.1
            if self.connection.fileno() in ready:
                data = self._receive()
                message = decode(data) if data else End(grace_s=0.0)
                if isinstance(message, Fork) and self.ending_at is None:
                    if self._fork(message):
                        return message
                elif isinstance(message, End) and self.ending_at is None:
                    self.ending_at = time.monotonic() + message.grace_s
                    self._signal_all(signal.SIGTERM if message.grace_s else signal.SIGKILL)
                    if not data:
                        poll.unregister(self.connection)
                    if not self.tokens:
                        process_control.end_children(ORPHANS_END_S)
                        return None

    def _timeout_ms(self) -> int | None:
        if self.ending_at is None:
            return None
        return max(1, int((self.ending_at - time.monotonic()) * 1000) + 1)

    def _receive(self) -> bytes:
        try:
            return self.connection.recv(MAX_BYTES)
        except OSError:
            return b""

    def _fork(self, message: Fork) -> bool:
        """Fork; True in the child."""
        zygote_pid = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            self._send(Forked(message.bootstrap.startup_token, 0, f"fork failed: {error}"))
            return False
        if pid:
            self.tokens[pid] = message.bootstrap.startup_token
            self._send(Forked(message.bootstrap.startup_token, pid))
            return False
        signal.set_wakeup_fd(-1)
        for signo in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM):
            signal.signal(signo, signal.SIG_DFL)
        process_control.die_with_parent(zygote_pid)
        self.connection.close()
        self.wake_read.close()
        self.wake_write.close()
        return True

    def _reap(self) -> None:
        while True:
            try:
                info = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if info is None:
                return
            token = self.tokens.pop(info.si_pid, None)
            if token is not None:
                # While it is a zombie its pid is taken, so this can only hit what it left behind.
                process_control.kill_group(info.si_pid, signal.SIGKILL)
            _, status = os.waitpid(info.si_pid, 0)
            if token is not None:
                self._send(Exited(token, info.si_pid, status))

    def _signal_all(self, signo: int) -> None:
        for pid in self.tokens:
            process_control.kill_group(pid, signo)
            with contextlib.suppress(OSError):  # it may not have called setsid yet
                os.kill(pid, signo)

    def _send(self, message: Any) -> None:
        with contextlib.suppress(OSError):  # the daemon is gone: the kernel ends us next
            self.connection.send(encode(message))


def _run_worker(fork: Fork, worker_module: str) -> NoReturn:
    """Make this child a worker and run it to its end."""
    code = 1
    try:
        os.setsid()
        set_name("nbray-worker")
        process_control.set_oom_score(WORKER_OOM_SCORE)
        _redirect(fork.bootstrap.log_path)
        os.environ.update(fork.env)
        worker = importlib.import_module(worker_module)
        worker.run(fork.bootstrap)
        code = 0
    except SystemExit as ending:
        code = ending.code if isinstance(ending.code, int) else int(ending.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        os._exit(code)


def _redirect(log_path: str) -> None:
    """Send standard error to the log and standard output to the file beside it, and read nothing."""
    null = os.open(os.devnull, os.O_RDONLY)
    try:
        log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        out = raw_output.create(log_path)
    except OSError:  # a full disk
        log = os.open(os.devnull, os.O_WRONLY)
        out = os.dup(log)
    os.dup2(null, 0)
    os.dup2(out, 1)
    os.dup2(log, 2)
    for descriptor in (null, out, log):
        os.close(descriptor)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(line_buffering=True, errors="backslashreplace")
