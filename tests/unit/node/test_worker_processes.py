"""How the end of a worker is learned: a pidfd says that it is over, its zygote how."""

import os
from types import SimpleNamespace

import pytest

from nbray.node import process_control, worker_processes
from nbray.node.worker_processes import UNKNOWN_STATUS, WorkerProcesses
from nbray.node.zygote_messages import Exited, Forked, WorkerBootstrap


@pytest.fixture
def node(monkeypatch, tmp_path):
    """Worker processes without any process: what the loop was asked to watch and to do later, and the deaths told."""
    monkeypatch.setattr(process_control, "open_pidfd", lambda pid: 1000 + pid)
    monkeypatch.setattr(process_control, "send_signal", lambda pidfd, number: True)
    monkeypatch.setattr(worker_processes, "os", SimpleNamespace(close=lambda descriptor: None, path=os.path))
    bootstrap = WorkerBootstrap("", "", str(tmp_path), "", 1)
    watched, later, deaths = {}, [], []
    processes = WorkerProcesses(
        SimpleNamespace(fork_worker=lambda message: None),
        str(tmp_path),
        bootstrap,
        watched.__setitem__,
        lambda pidfd: watched.pop(pidfd, None),
        lambda seconds, call: later.append((seconds, call)),
        lambda worker, status: deaths.append((worker.pid, status)),
        60.0,
    )
    processes.start(1, 0.0)
    processes.handle(Forked(1, 77), 0.0)
    return SimpleNamespace(processes=processes, watched=watched, later=later, deaths=deaths)


def test_the_zygote_s_word_is_waited_for(node):
    node.watched[1077]()
    assert node.deaths == []
    node.processes.handle(Exited(1, 77, 9), 0.0)
    for _, call in node.later:
        call()
    assert node.deaths == [(77, 9)]


def test_not_for_ever(node):
    node.watched[1077]()
    seconds, call = node.later[-1]
    assert seconds == worker_processes.ZYGOTE_SLOW_S
    call()
    assert node.deaths == [(77, UNKNOWN_STATUS)]


def test_not_when_the_zygote_dies(node):
    node.watched[1077]()
    node.processes.zygote_died()
    assert node.deaths == [(77, UNKNOWN_STATUS)]


def test_who_is_dead_already_was_not_ended_by_us():
    pid = os.fork()
    if pid == 0:
        os._exit(3)
    pidfd = os.pidfd_open(pid)
    try:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        worker = SimpleNamespace(stop_reason="", pidfd=pidfd)
        WorkerProcesses.note_reason(worker, "nobody wants it")
        assert worker.stop_reason == ""
        worker.pidfd = os.pidfd_open(os.getpid())
        WorkerProcesses.note_reason(worker, "nobody wants it")
        os.close(worker.pidfd)
        assert worker.stop_reason == "nobody wants it"
    finally:
        os.waitpid(pid, 0)
        os.close(pidfd)
