"""The feed of the panel, with comms that write down what they are told."""

from __future__ import annotations

import threading
import time

import pytest
from comm.base_comm import BaseComm, CommManager

from nbray.notebook.panel_comm import ANSWER_S, MAX_SUBSCRIBERS, MAX_UNREAD_BYTES, PanelFeed, register
from nbray.notebook.task_stream import Frame


class Comm:
    """What ipykernel's comm is to the feed."""

    def __init__(self, comm_id: str = "c1", broken: bool = False) -> None:
        self.comm_id = comm_id
        self.broken = broken
        self.sent: list[dict] = []
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

    @property
    def over(self) -> bool:
        """Whether the page was told that it gets no more."""
        return bool(self.sent) and self.sent[-1].get("over") is True

    def wait_for(self, count: int) -> None:
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.sent) >= count, timeout=60), self.sent


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
    thread.join(60)
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
    deadline = time.monotonic() + 60
    while not dead.over and time.monotonic() < deadline:
        time.sleep(0.005)
    assert dead.over and not alive.over


def test_a_page_that_has_gone_is_sent_no_comm_close(feed, monkeypatch):
    """JupyterLab writes an error into the console when it does not know the comm; of any other message it takes no notice."""
    manager = CommManager()
    monkeypatch.setattr("comm.get_comm_manager", lambda: manager)
    said: list[str] = []

    class Page(BaseComm):
        def publish_msg(self, msg_type, **_):
            said.append(msg_type)

    page = Page(target_name="nbray.panel", primary=False)
    manager.register_comm(page)
    feed.on_open(page, opening())
    feed.close()
    assert manager.comms == {}
    page.__del__()
    assert set(said) == {"comm_msg"}


def test_a_comm_that_cannot_answer_in_mid_cell_is_not_asked(feed):
    deaf = Comm("deaf")
    feed.on_open(deaf, opening(subshell=None))
    feed.on_open(Comm("new"), opening())
    assert not any("ask" in message for message in deaf.sent)


def test_there_is_a_limit_and_the_oldest_goes(feed):
    comms = [Comm(f"c{i}") for i in range(MAX_SUBSCRIBERS + 1)]
    for comm in comms:
        feed.on_open(comm, opening(None))
    assert [comm.over for comm in comms] == [True] + [False] * MAX_SUBSCRIBERS


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
    said, targets, listed = [], [], []

    class Hello:
        def __init__(self, target_name, comm_id, primary):
            assert not primary, "nobody is asked to open the other end"
            self.comm_id = comm_id

        def send(self, data):
            said.append((self.comm_id, data))

    class Manager:
        def register_target(self, name, handler):
            targets.append(name)

        def register_comm(self, comm):
            listed.append(comm.comm_id)

    class Kernel:
        comm_manager = Manager()

    class Shell:
        kernel = Kernel()

    monkeypatch.setattr("comm.create_comm", Hello)
    register(Shell())
    register(Shell())
    assert targets == ["nbray.panel"]
    assert listed == ["nbray.hello"]
    assert said == [("nbray.hello", {"v": 1})]


# ---- the tasks ----


class Stream:
    """A task stream under the test's control."""

    pending = False

    def __init__(self):
        self.next: list | None = None
        self.polls = 0
        self.all = b"all"

    def poll(self):
        self.polls += 1
        frames, self.next = self.next, []
        return frames

    def snapshot(self):
        return [Frame({"kind": "snapshot"}, [self.all, b""])]


class TaskComm(Comm):
    def __init__(self, comm_id: str = "c1"):
        super().__init__(comm_id)
        self.frames: list[tuple[dict, list[bytes]]] = []

    def send(self, data, buffers=None):
        if "frame" in data:
            with self.arrived:
                self.frames.append((data, buffers))
                self.arrived.notify_all()
        else:
            super().send(data)

    def wait_for_frames(self, count: int) -> list[str]:
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.frames) >= count, timeout=60), self.frames
            return [data["frame"]["kind"] for data, _ in self.frames]


def opening_tasks():
    return {"header": {"subshell_id": "s1"}, "content": {"data": {"v": 1, "tasks": True}}}


@pytest.fixture
def stream():
    return Stream()


@pytest.fixture
def task_feed(cluster, clock, stream):
    feed = PanelFeed(cluster, stream=stream, period_s=0.01, clock=clock)
    yield feed
    feed.close()


def delta(size: int = 1):
    return Frame({"kind": "delta"}, [b"x" * size, b""])


def test_nobody_asks_for_tasks(task_feed, stream, cluster):
    task_feed.on_open(Comm(), opening())
    looks = cluster.looks
    while cluster.looks < looks + 3:
        time.sleep(0.005)
    assert stream.polls == 0


def test_a_snapshot_then_deltas(task_feed, stream):
    comm = TaskComm()
    task_feed.on_open(comm, opening_tasks())
    assert comm.wait_for_frames(1) == ["snapshot"]
    stream.next = [delta(), delta()]
    assert comm.wait_for_frames(3) == ["snapshot", "delta", "delta"]
    assert comm.frames[1][1] == [b"x", b""]
    assert [data["seq"] for data, _ in comm.frames] == [2, 3, 4]


def wait_for_looks(cluster, count):
    looks = cluster.looks
    while cluster.looks < looks + count:
        time.sleep(0.005)


def test_watching_begins_and_ends_by_message(task_feed, stream, cluster):
    comm = TaskComm()
    task_feed.on_open(comm, opening())
    comm.message_handler({"content": {"data": {"v": 1, "tasks": True}}})
    comm.wait_for_frames(1)
    comm.message_handler({"content": {"data": {"v": 1, "tasks": False}}})
    wait_for_looks(
        cluster, 2
    )  # the second begins after the message, and with it ends the last round that asked for tasks
    polls = stream.polls
    wait_for_looks(cluster, 5)
    assert stream.polls == polls


def test_a_page_that_does_not_read_gets_no_more_and_later_a_snapshot(task_feed, stream):
    slow, quick = TaskComm("slow"), TaskComm("quick")
    task_feed.on_open(slow, opening_tasks())
    task_feed.on_open(quick, opening_tasks())
    slow.wait_for_frames(1)
    quick.wait_for_frames(1)
    size = MAX_UNREAD_BYTES // 2 + 1
    for count in (2, 3):
        stream.next = [delta(size)]
        quick.wait_for_frames(count)
        quick.message_handler({"content": {"data": {"v": 1, "ack": quick.frames[-1][0]["seq"]}}})
    assert len(slow.frames) == 3 and slow.frames[-1][0]["ask"]
    stream.next = [delta()]
    quick.wait_for_frames(4)
    assert len(slow.frames) == 3
    slow.message_handler({"content": {"data": {"v": 1, "ack": slow.frames[-1][0]["seq"]}}})
    assert slow.wait_for_frames(4)[-1] == "snapshot"
    assert "snapshot" not in [data["frame"]["kind"] for data, _ in quick.frames[1:]]


def test_another_cluster_means_a_snapshot_for_all(task_feed, stream):
    comm = TaskComm()
    task_feed.on_open(comm, opening_tasks())
    comm.wait_for_frames(1)
    stream.next = None
    assert comm.wait_for_frames(2) == ["snapshot", "snapshot"]


def test_a_long_snapshot_puts_no_page_behind(task_feed, stream, cluster):
    """Else it would get the next one as soon as it has read the first, and so on."""
    comm = TaskComm()
    stream.all = bytes(2 * MAX_UNREAD_BYTES)
    task_feed.on_open(comm, opening_tasks())
    comm.wait_for_frames(1)
    wait_for_looks(cluster, 2)
    stream.next = [delta()]
    assert comm.wait_for_frames(2) == ["snapshot", "delta"]
