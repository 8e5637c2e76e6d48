"""What process tests share: a driver made of a socket, and ways to watch processes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time

import psutil
from nbray._cstore import ffi, lib

from nbray.resources import UNITS
from nbray.session_layout import LOGS, RUN
from nbray.wire import messages as m
from nbray.wire.channel import Dealer

CPU1 = {"CPU": UNITS}


class Driver:
    """A registered driver: this process, or a second one attached by it."""

    def __init__(self, node, register=True):
        self.node = node
        out, why = ffi.new("nbs_seg **"), ffi.new("char[]", 256)
        assert lib.nbs_attach(node.segment_fd, out, why, 256) == 0, ffi.string(why)
        self.seg = out[0]
        self.peer = lib.nbs_self(self.seg)
        self.dealer = Dealer(node.control_endpoint, "driver", self.peer)
        self.kept = []
        self.requests = 0
        if register:
            self.registered = self.register()

    def register(self, **fields):
        request = {
            "version": m.PROTOCOL_VERSION, "role": "driver", "peer": self.peer, "pid": os.getpid(),
            "python": sys.version.split()[0],
        }  # fmt: skip
        self.send(m.RegisterRequest(**{**request, **fields}))
        return self.expect(m.RegisterReply)

    def send(self, message):
        self.dealer.send(message)

    def expect(self, kind, timeout=60.0, **fields):
        """Return the next message of this kind and with these fields; others are kept."""

        def fits(message):
            return isinstance(message, kind) and all(getattr(message, k) == v for k, v in fields.items())

        deadline = time.monotonic() + timeout
        for index, message in enumerate(self.kept):
            if fits(message):
                return self.kept.pop(index)
        while time.monotonic() < deadline:
            message = self.dealer.receive(50)
            if message is not None and fits(message):
                return message
            if message is not None:
                self.kept.append(message)
        raise AssertionError(f"no {kind.__name__} {fields} within {timeout} s; got {self.kept}")

    def lease(self, resources=CPU1, **fields):
        self.requests += 1
        self.send(m.LeaseRequest(request_id=self.requests, resources=resources, count=1, **fields))
        return self.expect(m.LeaseReply, request_id=self.requests)

    def give_back(self, reply, **fields):
        self.send(m.LeaseReturnNotice(reply.lease_id, **fields))

    def state(self):
        self.requests += 1
        self.send(m.StateRequest(self.requests))
        return self.expect(m.StateReply, request_id=self.requests)

    def wait_state(self, condition, timeout=60.0):
        """Ask until ``condition(state)`` holds; returns that state."""
        deadline = time.monotonic() + timeout
        while True:
            state = self.state()
            if condition(state):
                return state
            assert time.monotonic() < deadline, state
            time.sleep(0.005)

    def worker_pids(self):
        """Return the processes of the workers that the daemon takes to be alive."""
        return {worker["pid"] for worker in self.state().workers}

    def wait_forgotten(self, pids):
        """Wait until the daemon has heard of the deaths of all these workers: no lease is granted on one any more."""
        wait_until(lambda: not pids & self.worker_pids())

    def close(self):
        self.dealer.close()
        lib.nbs_detach(self.seg)


def wait_until(condition, timeout=60.0):
    """Poll until ``condition()`` is true."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, condition
        time.sleep(0.005)


def family(pid):
    """The process and all below it."""
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def zygote_of(node):
    """Return the zygote of a node, once it has its name."""
    found = []

    def named():
        with contextlib.suppress(psutil.NoSuchProcess):
            found[:] = [each for each in psutil.Process(node.pid).children() if each.name() == "nbray-zygote"]
        return found

    wait_until(named)
    return found[0]


def child_of(worker, whose="group"):
    """Return the child that a fake worker starts; ``session``: once it has left for one of its own."""
    wait_until(worker.children)
    (child,) = worker.children()
    if whose == "session":
        wait_until(lambda: os.getsid(child.pid) == child.pid)
    return child


def is_gone(process):
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def beside_logs(session):
    """Return what lies in a session's folder that is no log, as paths in it."""
    if not os.path.isdir(session):
        return []
    found = [name for name in os.listdir(session) if name != LOGS]
    return found + [RUN] * os.path.lexists(os.path.join(session, RUN))


def wait_for_dump(node):
    """Return what the daemon wrote after SIGUSR1."""
    path = os.path.join(node.session_dir, "logs", "daemon-state.json")
    found = []

    def read():
        try:
            with open(path) as file:
                found.append(json.load(file))
        except (FileNotFoundError, ValueError):  # not there, or not whole yet
            return False
        return True

    wait_until(read)
    return found[0]


def kill(pid):
    os.kill(pid, signal.SIGKILL)
