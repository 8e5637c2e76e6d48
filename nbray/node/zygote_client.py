"""The daemon's end of the zygote: start it, ask it to fork, hear what ended.

The first zygote is forked from the daemon itself, as early as possible. If it dies its
workers die too, and a new one is started as a fresh interpreter, because the daemon has
threads by then.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence

import msgspec

from nbray.node import process_control, zygote
from nbray.node.zygote_messages import MAX_BYTES, End, Fork, ZygoteMessage, decode, encode

# Another interpreter keeps its own path: its packages come first.
_FRESH = (
    "import sys; mine = sys.executable == {python!r}; sys.path[:] = sys.argv[4:] if mine else "
    "[*filter(None, sys.path), *(p for p in sys.argv[4:] if p not in sys.path)]; "
    "from nbray.node.zygote_client import run_fresh; run_fresh()"
)
_SEND_BUFFER = 1 << 20


class ZygoteClient:
    """One zygote process.

    Parameters
    ----------
    pid : int
        Of the zygote, our child.
    connection : socket
        Our end; takes ownership.
    """

    def __init__(self, pid: int, connection: socket.socket) -> None:
        self.pid = pid
        self.connection = connection
        connection.setblocking(False)
        self.pidfd = process_control.open_pidfd(pid)
        self._unsent: list[bytes] = []

    @classmethod
    def forked(cls, worker_module: str, close_in_child: Callable[[], None]) -> ZygoteClient:
        """Fork the first zygote; the daemon must have no threads and no segment yet."""
        ours, theirs = _pair()
        daemon_pid = os.getpid()
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            try:
                ours.close()
                close_in_child()
                zygote.main(theirs, daemon_pid, worker_module)
            finally:
                os._exit(1)
        theirs.close()
        return cls(pid, ours)

    @classmethod
    def fresh(
        cls,
        worker_module: str,
        cwd: str,
        command: Sequence[str] = (),
        environ: dict[str, str] | None = None,
        log: int | None = None,
    ) -> ZygoteClient:
        """Start another zygote as a new interpreter, by ``command``, with these variables and this log; default: ours."""
        ours, theirs = _pair()
        with theirs:
            process = subprocess.Popen(
                [
                    *(command or [sys.executable]),
                    "-c",
                    _FRESH.format(python=sys.executable),
                    str(theirs.fileno()),
                    str(os.getpid()),
                    worker_module,
                    *sys.path,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=cwd if os.path.isdir(cwd) else None,
                pass_fds=(theirs.fileno(),),
                env=environ,
            )
        client = cls(process.pid, ours)
        process.returncode = 0  # reaped by ``reap``, not by subprocess
        return client

    def fork_worker(self, message: Fork) -> None:
        """Ask for a worker; the answer is a Forked, later an Exited."""
        self._send(encode(message))

    def end(self, grace_s: float) -> None:
        """Ask the zygote to end its workers and itself."""
        self._send(encode(End(grace_s)))

    def _send(self, data: bytes) -> None:
        self._unsent.append(data)
        self.flush()

    def flush(self) -> None:
        """Send what did not fit before."""
        while self._unsent:
            try:
                self.connection.send(self._unsent[0])
            except BlockingIOError:
                return
            except OSError:  # it is dead; its pidfd says so too
                self._unsent.clear()
                return
            del self._unsent[0]

    @property
    def behind(self) -> bool:
        """True while something waits to be sent."""
        return bool(self._unsent)

    def messages(self) -> Iterator[ZygoteMessage]:
        """Yield what the zygote has said."""
        while True:
            try:
                data = self.connection.recv(MAX_BYTES)
            except OSError:  # nothing more, or dead
                return
            if not data:
                return
            with contextlib.suppress(msgspec.MsgspecError):
                yield decode(data)

    def kill(self) -> None:
        """SIGKILL it; the kernel then kills its workers."""
        process_control.send_signal(self.pidfd, signal.SIGKILL)

    def reap(self) -> None:
        """Wait for the zygote, which is dead, and close our end."""
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)
        self.connection.close()
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1


def _pair() -> tuple[socket.socket, socket.socket]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
    return ours, theirs


def run_fresh() -> None:
    """Entry point of a zygote that is an interpreter of its own."""
    zygote.main(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]), sys.argv[3])
