"""The feed of the panel, with comms that write down what they are told."""

from __future__ import annotations

import threading
import time

import pytest

from nbray.notebook.panel_comm import ANSWER_S, MAX_SUBSCRIBERS, PanelFeed, register


class Comm:
    """What ipykernel's comm is to the feed."""

    def __init__(self, comm_id: str = "c1", broken: bool = False) -> None:
        self.comm_id = comm_id
        self.broken = broken
        self.sent: list[dict] = []
        self.closed = False
        self.arrived = threading.Condition()

    def on_msg(self, handler):
        self.message_handler = handler

    def on_close(self, handler):
        self.close_handler = handler

    def send(self, data):
        if self.broken:
            raise RuntimeError("the socket is closed")
        with self.arrived:
            self.sent.append(data)
            self.arrived.notify_all()

    def close(self):
        self.closed = True

    def wait_for(self, count: int) -> None:
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.sent) >= count, timeout=5), self.sent


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class Cluster:
    """A snapshot function that counts how often it is asked."""

    def __init__(self):
        self.view = None
        self.looks = 0

    def __call__(self):
        self.looks += 1
        return self.view


def opening(subshell: str | None = "s1") -> dict:
    return {"header": {"subshell_id": subshell}, "content": {"data": {"v": 1}}}


def senders() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "nbray-panel-feed"]


@pytest.fixture
def cluster():
    return Cluster()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def feed(cluster, clock):
    feed = PanelFeed(cluster, period_s=0.01, clock=clock)
    yield feed
    feed.close()
    assert senders() == []


def test_a_new_comm_gets_the_whole_view_at_once(feed, cluster):
    comm = Comm()
    feed.on_open(comm, opening())
    assert comm.sent == [{"v": 1, "seq": 1, "cluster": None}]


def test_a_change_is_sent_once_and_nothing_else(feed, cluster):
    comm = Comm()
    feed.on_open(comm, opening())
    cluster.view = {"workers": 2}
    comm.wait_for(2)
    looks = cluster.looks
    while cluster.looks < looks + 5:  # several more looks at the same view
        time.sleep(0.005)
    assert comm.sent == [{"v": 1, "seq": 1, "cluster": None}, {"v": 1, "seq": 2, "cluster": {"workers": 2}}]


def test_every_comm_counts_its_own_messages(feed, cluster):
    first, second = Comm("c1"), Comm("c2")
    feed.on_open(first, opening())
    cluster.view = {"workers": 1}
    first.wait_for(2)
    feed.on_open(second, opening())
    assert second.sent == [{"v": 1, "seq": 1, "cluster": {"workers": 1}}]


def test_the_thread_lives_only_while_a_comm_is_open(feed):
    comm = Comm()
    assert senders() == []
    feed.on_open(comm, opening())
    (thread,) = senders()
    assert thread.daemon
    comm.close_handler({})
    thread.join(5)
    assert not thread.is_alive()
    feed.on_open(Comm("c2"), opening())
    assert len(senders()) == 1


def test_a_comm_that_breaks_is_dropped_and_the_others_go_on(feed, cluster):
    bad, good = Comm("bad"), Comm("good")
    feed.on_open(bad, opening(None))
    feed.on_open(good, opening())
    bad.broken = True
    cluster.view = {"workers": 1}
    good.wait_for(2)
    cluster.view = {"workers": 2}
    good.wait_for(3)
    assert len(bad.sent) == 1


def test_a_cluster_that_cannot_be_looked_at_is_no_cluster(feed, cluster):
    cluster.view = {"workers": 1}
    comm = Comm()
    feed.on_open(comm, opening())

    def gone():
        raise RuntimeError("the node daemon has ended")

    feed._snapshot = gone
    comm.wait_for(2)
    assert comm.sent[-1]["cluster"] is None


def test_older_comms_are_asked_and_dropped_when_silent(feed, clock):
    dead, alive = Comm("dead"), Comm("alive")
    feed.on_open(dead, opening())
    feed.on_open(alive, opening())
    feed.on_open(Comm("new"), opening())
    assert dead.sent[-1]["ask"] and alive.sent[-1]["ask"]
    alive.message_handler({"content": {"data": {"v": 1, "ack": 2}}})
    clock.now = ANSWER_S + 1
    deadline = time.monotonic() + 5
    while not dead.closed and time.monotonic() < deadline:
        time.sleep(0.005)
    assert dead.closed and not alive.closed


def test_a_comm_that_cannot_answer_in_mid_cell_is_not_asked(feed):
    deaf = Comm("deaf")
    feed.on_open(deaf, opening(subshell=None))
    feed.on_open(Comm("new"), opening())
    assert not any("ask" in message for message in deaf.sent)


def test_there_is_a_limit_and_the_oldest_goes(feed):
    comms = [Comm(f"c{i}") for i in range(MAX_SUBSCRIBERS + 1)]
    for comm in comms:
        feed.on_open(comm, opening(None))
    assert [comm.closed for comm in comms] == [True] + [False] * MAX_SUBSCRIBERS


def test_an_answer_of_any_shape_does_no_harm(feed):
    comm = Comm()
    feed.on_open(comm, opening())
    for message in ({}, {"content": {}}, {"content": {"data": {}}}, {"content": {"data": {"ack": "x"}}}):
        comm.message_handler(message)


def test_register_needs_a_kernel():
    class Shell:
        pass

    register(Shell())  # plain IPython: nothing to do, nothing raised


def test_register_twice_offers_one_feed(monkeypatch):
    opened, targets = [], []

    class Manager:
        def register_target(self, name, handler):
            targets.append(name)

    class Kernel:
        comm_manager = Manager()

    class Shell:
        kernel = Kernel()

    monkeypatch.setattr("comm.create_comm", lambda **kwargs: opened.append(kwargs["target_name"]))
    register(Shell())
    register(Shell())
    assert targets == ["nbray.panel"]
    assert opened == ["nbray.hello"]
