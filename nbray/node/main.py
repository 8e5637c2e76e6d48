"""Entry point of the daemon process: read the configuration, fork the zygote, serve.

The order matters: the zygote is forked before there is a thread or a ZeroMQ context and
before this process attaches to the segment, and loads the workers' modules while the daemon
opens its sockets.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import signal
import socket
import sys
import time
import traceback
from typing import NoReturn

import msgspec

from nbray.config import Limits
from nbray.core.process_name import set_name
from nbray.node import machine, process_control, session_dir
from nbray.node.daemon import NodeDaemon
from nbray.node.daemon_config import DaemonConfig, DaemonReady
from nbray.node.metrics import Endpoint, MetricsError
from nbray.node.node_state import NodeState
from nbray.node.segment import Segment, SegmentError
from nbray.node.zygote_client import ZygoteClient
from nbray.version import __version__
from nbray.wire import codec, segment_socket
from nbray.wire.channel import Router

_MAX_CONFIG = 1 << 20
DAEMON_OOM_SCORE = -500  # it goes last when memory runs out; needs a privilege, and is tried without


class _Log(io.TextIOBase):
    """Where the daemon writes: what its disk does not take is lost, and nothing else with it."""

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            os.write(2, text.encode("utf-8", "backslashreplace"))
        return len(text)


def main(connection_fd: int, segment_fd: int) -> NoReturn:
    """Be the daemon, with two inherited descriptors: our end of the launcher's socket pair, and the segment's."""
    split = {"imported": _since_start_ms()}
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connection = socket.socket(fileno=connection_fd)
    os.set_inheritable(segment_fd, False)
    config = msgspec.json.decode(connection.recv(_MAX_CONFIG), type=DaemonConfig)
    code = 1
    try:
        process_control.set_oom_score(DAEMON_OOM_SCORE)  # before the fork: the zygote has it, too
        codec.prepare()  # likewise, once for this process and all workers

        def close_inherited() -> None:
            connection.close()
            os.close(segment_fd)

        zygote = ZygoteClient.forked(config.worker_module, close_inherited)
        sys.stdout = sys.stderr = _Log()
        split["forked"] = _since_start_ms()
        daemon = _open(config, zygote, connection, segment_fd, split)
        if daemon is not None:
            daemon.run()
            code = 0
    except BaseException as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):  # where the log is, too
            with contextlib.suppress(OSError):  # it has been answered
                _answer(connection, DaemonReady(error=str(error), error_kind="disk"))
        traceback.print_exc()  # into its log, of which the launcher shows the end
    finally:
        os._exit(code)  # threads, ZeroMQ and the zygote's socket need no farewell


def _open(
    config: DaemonConfig, zygote: ZygoteClient, connection: socket.socket, segment_fd: int, split: dict[str, float]
) -> NodeDaemon | None:
    """Make the node and answer the launcher; None when that failed."""
    set_name("nbray-node")
    process_control.adopt_orphans()  # should a zygote die, what its workers left behind is ours
    files = machine.raise_file_limit()
    session_dir.own(config.session_dir, started_by=config.started_by, version=__version__)
    os.chdir(config.session_dir)
    limits = Limits(config.limits)
    # At its limit of open files ZeroMQ ends the process.
    most = min(limits.max_processes, machine.processes_for(files))
    limits = Limits({**limits.changed, "max_processes": most})
    try:
        segment = Segment(segment_fd)
    except SegmentError as error:
        _answer(connection, DaemonReady(error=str(error)))
        return None
    split["segment"] = _since_start_ms()
    listener = segment_socket.listen(config.segment_socket)
    router = Router(config.control_endpoint, limits)
    node = NodeState(config, limits, segment, router)
    daemon = NodeDaemon(node, zygote, listener, files)
    if config.metrics_port >= 0:
        try:
            daemon.export_metrics(Endpoint(node, config.metrics_port))
        except MetricsError as error:
            _answer(connection, DaemonReady(error=str(error), error_kind=error.kind))
            return None
    split["ready"] = _since_start_ms()
    ready = DaemonReady(
        node_id=config.node_id, session_dir=config.session_dir, control_endpoint=config.control_endpoint,
        segment_socket=config.segment_socket, pid=os.getpid(), capacity=config.capacity, resources=config.totals,
        split_ms=split, metrics_port=node.metrics_port,
    )  # fmt: skip
    _answer(connection, ready)
    return daemon


def _answer(connection: socket.socket, ready: DaemonReady) -> None:
    with connection:
        connection.sendall(msgspec.json.encode(ready))


def _since_start_ms() -> float:
    """Milliseconds since this process began, to the clock tick of 10 ms."""
    ticks = process_control.start_time(os.getpid())
    return (time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")) * 1000.0
