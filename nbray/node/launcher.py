"""Start a node: one new interpreter that becomes the daemon; and see it end.

``start_node`` checks memory first, makes the session folder, starts the daemon in its own
session, and returns as soon as that answers; workers may still be on their way.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import msgspec

from nbray.config import Limits
from nbray.core.surroundings import working_directory
from nbray.exceptions import PortInUseError, RaySystemError, ResourceLimitError, SharedMemoryTooSmallError
from nbray.node import machine, process_control, session_dir
from nbray.node.daemon_config import DaemonConfig, DaemonReady
from nbray.node.node_config import NodeConfig
from nbray.node.segment import SegmentError, fill_segment, make_segment, memory_available
from nbray.placement import ACCELERATOR_LABEL, ACCELERATOR_PREFIX, NODE_ID_LABEL
from nbray.resources import CPU, GPU, MEMORY, OBJECT_STORE_MEMORY, UNITS, ResourceSet
from nbray.wire import codec

# By path and not by -m: that would put the working directory, with whatever lies in it, before the standard library.
_BOOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "boot.py")
_LOG_TAIL_BYTES = 4000
_ANSWER_PART = 65536
_FILL_BYTES = 4 << 20  # about 3 ms: so much later a daemon's answer may be seen


class NodeProcess:
    """A daemon that was started by this process.

    Attributes
    ----------
    pid, node_id, session_dir, control_endpoint, segment_socket, resources, capacity
        As the daemon reported them.
    segment_fd : int
        Descriptor of the segment; whoever attaches may close it and set it to -1.
    split_ms : dict
        Where the start-up time went.
    """

    def __init__(self, process: subprocess.Popen[bytes], ready: DaemonReady, segment_fd: int) -> None:
        self._process = process
        self.pid = process.pid
        self.node_id = ready.node_id
        self.session_dir = ready.session_dir
        self.control_endpoint = ready.control_endpoint
        self.segment_socket = ready.segment_socket
        self.resources = ready.resources
        self.capacity = ready.capacity
        self.metrics_port = ready.metrics_port
        self.segment_fd = segment_fd
        self.split_ms = ready.split_ms
        self._pidfd = process_control.open_pidfd(process.pid)

    def is_alive(self) -> bool:
        """Return True while the daemon runs."""
        return self._process.poll() is None

    def wait_dead(self, timeout: float | None = None) -> bool:
        """Wait until the daemon has ended; False after ``timeout`` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while self._process.poll() is None:
            left = 0.05 if deadline is None else min(0.05, deadline - time.monotonic())
            if left <= 0:
                return False
            if self._pidfd >= 0:
                process_control.readable(self._pidfd, left)  # returns for signals every 50 ms
            else:
                time.sleep(min(left, 0.005))
        self._close()
        return True

    def stop(self, timeout: float = 5.0) -> None:
        """End the node and wait; a daemon that does not end in time is killed."""
        if self.is_alive():
            with contextlib.suppress(OSError):
                self._process.send_signal(signal.SIGTERM)
        if not self.wait_dead(timeout):
            self._process.kill()
            self.wait_dead(5.0)
            with contextlib.suppress(OSError):
                session_dir.clear(self.session_dir)

    def _close(self) -> None:
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1


def start_node(config: NodeConfig | None = None, meanwhile: Callable[[], None] | None = None) -> NodeProcess:
    """Start a node on this machine.

    Parameters
    ----------
    config
        What the node is to offer.
    meanwhile
        Called while the daemon starts, for what takes time as well.

    Returns
    -------
    NodeProcess
        The running node. Its workers may not be there yet.

    Raises
    ------
    SharedMemoryTooSmallError
        When the object store does not fit, with the figures.
    RaySystemError
        When the daemon does not come up, with the end of its log.
    OSError
        (SessionError) when there is no room for the session's files, with their folder.
    """
    process_control.open_standard_descriptors()
    config = config or NodeConfig()
    limits = Limits({**Limits.from_environ(os.environ).changed, **config.limits})
    available, figures = memory_available()
    capacity = _capacity(config.object_store_memory, available, figures, limits)
    totals, gpus = _totals(config.resources, available, capacity, config.node_ip)
    reason = machine.too_low(totals.get(CPU, 0) // UNITS)
    if reason:
        raise ResourceLimitError(f"{reason} Raise that limit, or pass a smaller num_cpus to init().")
    with _naming_full_disk(config.base_dir):
        return _start(config, limits, capacity, totals, gpus, meanwhile)


def _start(
    config: NodeConfig,
    limits: Limits,
    capacity: int,
    totals: ResourceSet,
    gpus: list[int],
    meanwhile: Callable[[], None] | None,
) -> NodeProcess:
    session = session_dir.create(config.base_dir)
    driver = os.getpid() if config.end_with_driver else 0
    node_id = os.urandom(28).hex()
    process, segment = None, -1
    try:
        spill_dir, spill_links = session_dir.spill_dirs(session, config.spill_base)
        daemon_config = DaemonConfig(
            node_id=node_id, labels=_labels(node_id, config.labels, totals), cluster_id=int.from_bytes(os.urandom(4), "little"), session_dir=session,
            driver_pid=driver, driver_start_time=process_control.start_time(driver) if driver else 0,
            capacity=capacity, totals=totals, gpu_ids=gpus, cwd=os.fsencode(working_directory()), ip=config.node_ip, prestart=config.prestart,
            worker_module=config.worker_module, limits=limits.changed, started_by=config.started_by,
            node_name=config.node_name, metrics_port=config.metrics_port,
            spill_dir=spill_dir, spill_links=spill_links,
        )  # fmt: skip
        segment = _make_segment(capacity)
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                process = _spawn(theirs, segment, session)
            with contextlib.suppress(OSError):  # dead already: the answer tells
                ours.sendall(msgspec.json.encode(daemon_config))
            if meanwhile is not None:
                meanwhile()
            codec.prepare()  # while the daemon starts
            with contextlib.suppress(OSError):  # while the daemon imports
                session_dir.remove_dead(config.base_dir)
            _fill(segment, min(capacity, int(limits.warm_ahead_bytes)), ours)
            ready = _await_ready(ours, process, session, limits.node_start_s)
        if ready.error:
            if ready.error_kind == "port":
                raise PortInUseError(
                    f"{ready.error}{_port_owner(config.metrics_port)} Choose another, or port 0 for a free one."
                )
            if ready.error_kind == "disk":
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if ready.error_kind == "package":
                raise ImportError(ready.error)
            raise RaySystemError(f"The node daemon could not start: {ready.error}")
        return NodeProcess(process, ready, segment)
    except BaseException:  # also Ctrl-C: nothing half-started is left
        if process is not None:
            process.kill()
            process.wait()
        if segment >= 0:
            os.close(segment)
        session_dir.remove(session)
        raise


def _make_segment(capacity: int) -> int:
    try:
        return make_segment(capacity)
    except SegmentError as error:
        if error.no_memory:
            raise SharedMemoryTooSmallError(f"{error}. Pass a smaller object_store_memory to init().") from None
        raise RaySystemError(f"The node could not start: {error}") from None


def _fill(segment: int, size: int, ours: socket.socket) -> None:
    """Touch the store's first memory until the daemon answers: it has a processor of its own meanwhile.

    The first large put comes soon after the start, and memory that was never touched costs
    it as much again as the copy. What is not done here the daemon does, beside that put.
    """
    if machine.count_cpus() < 2:
        return
    done = 0
    while done < size and not process_control.readable(ours.fileno(), 0):
        touched = fill_segment(segment, done, min(_FILL_BYTES, size - done))
        if touched == 0:
            break
        done += touched


@contextlib.contextmanager
def _naming_full_disk(base: str) -> Iterator[None]:
    """Say of a full disk where it is, and what to do."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise session_dir.SessionError(
            error.errno,
            f"{error.strerror} in {base or session_dir.base_dir()}, where the sockets and logs of a cluster go. Make room "
            "there, or set TMPDIR (or _temp_dir of init()) to another folder",
        ) from None


def _capacity(asked: int, available: int, figures: str, limits: Limits) -> int:
    """Return the size of the object store, refused when it does not fit."""
    if asked:
        if asked < limits.object_store_min_bytes:
            raise SharedMemoryTooSmallError(
                f"An object store of {asked:,} bytes is too small; the smallest is "
                f"{int(limits.object_store_min_bytes):,} bytes. Pass object_store_memory=... to init()."
            )
        if asked > available:
            less = f"Pass object_store_memory={available // 2} or less to init(), or give"
            raise SharedMemoryTooSmallError(
                f"An object store of {asked:,} bytes does not fit: {available:,} bytes are available ({figures}). "
                f"{less if available // 2 >= limits.object_store_min_bytes else 'Free memory, or give'} "
                "the container more."
            )
        return asked
    share = int(available * limits.object_store_share) // 4096 * 4096
    if share < limits.object_store_min_bytes:
        raise SharedMemoryTooSmallError(
            f"There is too little memory for an object store: {available:,} bytes are available ({figures}), "
            f"{limits.object_store_share:.0%} of that is less than {int(limits.object_store_min_bytes):,} bytes. "
            "Free memory, raise the limit, or pass object_store_memory=... to init()."
        )
    return share


def _totals(asked: ResourceSet, available: int, capacity: int, ip: str) -> tuple[ResourceSet, list[int]]:
    """Return what the node offers: what was asked, and for the rest what is found."""
    totals = dict(asked)
    gpus = machine.gpu_ids()
    totals.setdefault(CPU, machine.count_cpus() * UNITS)
    totals.setdefault(GPU, len(gpus) * UNITS)
    if gpus and totals[GPU] and (kind := machine.gpu_kind()):
        totals.setdefault(f"{ACCELERATOR_PREFIX}{kind}", UNITS)
    totals.setdefault(MEMORY, max(0, available - capacity) * UNITS)
    totals[OBJECT_STORE_MEMORY] = capacity * UNITS
    totals[f"node:{ip}"] = UNITS
    totals["node:__internal_head__"] = UNITS
    count = totals[GPU] // UNITS
    gpus = (gpus + [number for number in range(count) if number not in gpus])[:count]
    return {name: units for name, units in totals.items() if units}, gpus


def _labels(node_id: str, given: dict[str, str], totals: ResourceSet) -> dict[str, str]:
    """Return the node's labels: those given, its id, and the kind of its GPUs."""
    kinds = [name.partition(":")[2] for name in totals if name.startswith(ACCELERATOR_PREFIX)]
    found = {NODE_ID_LABEL: node_id}
    if len(kinds) == 1:
        found[ACCELERATOR_LABEL] = kinds[0]
    return {**found, **given}


def _spawn(theirs: socket.socket, segment: int, session: str) -> subprocess.Popen[bytes]:
    """Start the interpreter that becomes the daemon, in a session of its own."""
    log = os.open(os.path.join(session, "logs", "daemon.log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        return subprocess.Popen(
            [sys.executable, _BOOT, str(theirs.fileno()), str(segment)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(theirs.fileno(), segment),
            start_new_session=True,
        )
    finally:
        os.close(log)


def _await_ready(ours: socket.socket, process: subprocess.Popen[bytes], session: str, timeout_s: float) -> DaemonReady:
    deadline = time.monotonic() + timeout_s
    answer = b""
    while True:
        while not process_control.readable(ours.fileno(), 0.05):  # Ctrl-C works in between
            if time.monotonic() > deadline:
                raise RaySystemError(f"The node daemon did not answer within {timeout_s:g} s.{_log_tail(session)}")
        try:
            part = ours.recv(_ANSWER_PART)
        except ConnectionError:  # it ended before it read what it was told
            break
        if not part:
            break
        answer += part
    if not answer:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(2.0)
        raise RaySystemError(
            f"The node daemon ended while it started (exit code {process.returncode}).{_log_tail(session)}"
        )
    return msgspec.json.decode(answer, type=DaemonReady)


def _port_owner(port: int) -> str:
    """Say who listens at a port, as far as it can be seen."""
    psutil = importlib.import_module("psutil")
    with contextlib.suppress(psutil.Error, OSError):
        for found in psutil.net_connections("tcp"):
            if found.laddr and found.laddr.port == port and found.status == psutil.CONN_LISTEN and found.pid:
                process = psutil.Process(found.pid)
                return f" It belongs to {process.name()} (pid {found.pid}, user {process.username()})."
    return ""


def _log_tail(session: str) -> str:
    try:
        with open(os.path.join(session, "logs", "daemon.log"), "rb") as file:
            text = file.read()[-_LOG_TAIL_BYTES:].decode("utf-8", "replace").strip()
    except OSError:
        return ""
    return f" Its log ends with:\n{text}" if text else ""
