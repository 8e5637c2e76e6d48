"""The feed of the JupyterLab panel: what the cluster of this kernel is doing, over a kernel comm.

::

    panel in the browser                         this kernel
      comm_open  nbray.panel {v}         ->      on_open: a subscriber more
      comm_msg   {v, seq, cluster}       <-      at once, then when something changed, at most 5 times a second
      comm_msg   {v, seq, cluster, ask}  <-      somebody else opened a comm: is this one still there?
      comm_msg   {v, ack: seq}           ->      it is; and all messages up to `seq` have been read
      comm_msg   {v, tasks: bool}        ->      the tasks are wanted, or no more (also in comm_open)
      comm_msg   {v, seq, frame, ask}    <-      tasks, at most 10 times a second, in a flood 3 times: see task_stream;
                                                 has buffers
      comm_msg   {v, request: n, what}   ->      a question; answered by {v, reply: n, ...}: see panel_answers/requests
      comm_close                         ->      a subscriber less; with the last one the sender thread ends
      comm_msg   {v, seq, over: true}    <-      this comm gets no more; the page, if there is one, opens another
      comm_msg   nbray.hello {v}         <-      once, when nbray is loaded; stays in the kernel's list as a mark

`nbray.hello` is the target and the id of a comm that is never opened: a front end that knows the id hears that nbray is
there, one that comes later finds it in the kernel's list of comms, and whoever knows nothing of it (nbclient) has nothing to
complain about, as it has of a `comm_open` for a target without a handler.

Every message carries the whole view (some 300 bytes), so a lost one costs nothing:

    v        1, the version of this protocol
    seq      counts the messages of one comm from 1
    cluster  null when there is none, else {state, cpus_total, cpus_used, gpus_total, gpus_used, store_used,
             store_capacity (bytes), workers, nodes, actors, tasks: {state of the state API: count}}

The other end is `labextension/src/model/kernelLink.ts`. A page that is reloaded does not always close its comm, so
each new comm makes the kernel ask the older ones, and those that do not answer within a minute are dropped.
Acknowledging every message would be simpler, but each message to the kernel sets the kernel's status back to "idle"
in the browser, also in the middle of a cell. So of frames only those are to be acknowledged that say `ask`, one per
256 KiB; a page that has 2 MiB of deltas unread gets no more until it has caught up, then a snapshot; while a flood goes
on not within two seconds of the last, for a snapshot is more to read than what it was behind.

Comm handlers run in a subshell thread, the sender in its own, `register` in the main thread: one lock guards all.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from nbray.core import current, live, output
from nbray.notebook.comm_routes import keep_subshell
from nbray.notebook.panel_answers.requests import PanelRequests
from nbray.notebook.panel_answers.task_output import TaskOutput
from nbray.notebook.task_stream import Frame, TaskStream

PANEL_TARGET = "nbray.panel"
HELLO_TARGET = "nbray.hello"
VERSION = 1

PERIOD_S = 0.2  # between two looks at the cluster
TASKS_PERIOD_S = 0.1  # the same while a page watches the tasks
FLOOD_BYTES = 192 * 1024  # of the frames of one look, some 4,000 tasks: then they come at
FLOOD_PERIOD_S = 0.35  # so that a task is told of once, not in each of its states
SNAPSHOT_PERIOD_S = 2.0  # between two for a page that has fallen behind, in a flood
ASK_BYTES = 256 * 1024  # of frames after which a page is asked whether it keeps up
MAX_UNREAD_BYTES = 2 * 1024 * 1024  # of frames that a page has not read; then it has to catch up
ANSWER_S = 60.0  # a comm that was asked has this long to answer
MAX_SUBSCRIBERS = 16  # more than anybody has open; the oldest goes

Snapshot = Callable[[], "dict[str, Any] | None"]


class _Subscriber:
    """One comm of one page."""

    def __init__(self, comm: Any, answers: bool) -> None:
        self.comm = comm
        self.answers = answers  # over a subshell, so that it can answer while a cell runs
        self.seq = 0
        self.asked_at: float | None = None  # when the question was sent that is not answered yet
        self.tasks = False  # whether it wants the tasks
        self.in_step = False  # it has had a snapshot and every delta since
        self.snapshot_at = -SNAPSHOT_PERIOD_S  # when it had the last
        self._snapshot: tuple[int, int] = (0, 0)  # its (seq, bytes) while that is unread
        self.unread: deque[tuple[int, int]] = deque()  # (seq, bytes) of frames that it has not acknowledged
        self.unread_bytes = 0
        self._asked_bytes = 0

    def send(self, cluster: dict[str, Any] | None, ask: bool = False) -> None:
        """Send the view. Raises what the comm raises."""
        self.seq += 1
        message = {"v": VERSION, "seq": self.seq, "cluster": cluster}
        if ask:
            message["ask"] = True
        self.comm.send(message)

    def send_frames(self, frames: list[Frame], clock: float) -> None:
        """Send deltas. Raises what the comm raises."""
        for frame in frames:
            self._send_frame(frame, clock)

    def _send_frame(self, frame: Frame, clock: float) -> None:
        self.seq += 1
        message: dict[str, Any] = {"v": VERSION, "seq": self.seq, "frame": frame.header}
        self.unread.append((self.seq, frame.size))
        self.unread_bytes += frame.size
        self._asked_bytes += frame.size
        if self._asked_bytes >= ASK_BYTES:
            self._asked_bytes = 0
            message["ask"] = True
            if self.answers and self.asked_at is None:
                self.asked_at = clock
        self.comm.send(message, buffers=frame.buffers)

    def end(self) -> None:
        """Tell the page that it gets no more. Of a `comm_close` the console would complain where the page has gone meanwhile."""
        from comm import get_comm_manager  # noqa: PLC0415 - comes with ipykernel, which runs us

        self.seq += 1
        self.comm.send({"v": VERSION, "seq": self.seq, "over": True})
        self.comm.on_close(None)
        # As if the page had closed it: then nothing is sent, also not when it is collected.
        get_comm_manager().comm_close(None, "", {"content": {"comm_id": self.comm.comm_id}})

    @property
    def is_behind(self) -> bool:
        """Whether it has more deltas to read than it may have; a snapshot is long, and does not count."""
        return self.unread_bytes - self._snapshot[1] > MAX_UNREAD_BYTES

    def send_snapshot(self, frames: list[Frame], clock: float) -> None:
        """Send one, from which deltas go on. Raises what the comm raises."""
        self.in_step, self.snapshot_at = True, clock
        self._snapshot = self.seq + len(frames), sum(frame.size for frame in frames)
        self.send_frames(frames, clock)

    def read_up_to(self, seq: int) -> None:
        """The page has read all messages up to ``seq``."""
        if seq >= self._snapshot[0]:
            self._snapshot = (0, 0)
        while self.unread and self.unread[0][0] <= seq:
            self.unread_bytes -= self.unread.popleft()[1]


class PanelFeed:
    """Sends the cluster's view to every open comm; costs nothing while there is none."""

    def __init__(
        self, snapshot: Snapshot, *, stream: TaskStream | None = None, period_s: float = PERIOD_S,
        clock: Callable[[], float] = time.monotonic, requests: PanelRequests | None = None,
    ) -> None:  # fmt: skip
        self._requests = requests
        self._snapshot = snapshot
        self._stream = stream or TaskStream()  # used by the sender's thread alone
        self._period_s = period_s
        self._clock = clock
        self._lock = threading.Lock()
        self._subscribers: dict[str, _Subscriber] = {}  # by comm id, oldest first
        self._last: dict[str, Any] | None = None  # what everybody has been sent
        self._sender: threading.Thread | None = None
        self._wake = threading.Event()  # the last subscriber has gone: look at once

    def on_open(self, comm: Any, msg: dict[str, Any]) -> None:
        """A page opens a comm: the handler of the target `nbray.panel`."""
        view = self._look()
        with self._lock:
            self._ask_all(view)
            while len(self._subscribers) >= MAX_SUBSCRIBERS:
                self._drop(next(iter(self._subscribers)), tell=True)
            subscriber = _Subscriber(comm, answers=msg.get("header", {}).get("subshell_id") is not None)
            self._subscribers[comm.comm_id] = subscriber
            keep_subshell(comm)
            comm.on_msg(lambda answer: self._on_answer(comm.comm_id, answer))
            comm.on_close(lambda _: self._on_close(comm.comm_id))
            subscriber.send(view)
            subscriber.tasks = _data(msg).get("tasks") is True
            self._last = view
            if self._sender is None:
                self._wake.clear()
                self._sender = threading.Thread(target=self._send_changes, name="nbray-panel-feed", daemon=True)
                self._sender.start()

    def close(self) -> None:
        """Close every comm; returns when the sender has ended."""
        with self._lock:
            sender = self._sender
            for comm_id in list(self._subscribers):
                self._drop(comm_id, tell=True)
        if sender is not None:
            sender.join()
        if self._requests is not None:
            self._requests.close()

    def _send_changes(self) -> None:
        tasks_at = -FLOOD_PERIOD_S  # when the tasks are to be looked at
        while True:
            with self._lock:
                watched = any(subscriber.tasks for subscriber in self._subscribers.values())
            self._wake.wait(min(self._period_s, TASKS_PERIOD_S) if watched else self._period_s)
            view = self._look()
            looks = watched and time.monotonic() >= tasks_at
            frames = self._look_at_tasks() if looks else []
            flood = frames is not None and sum(frame.size for frame in frames) > FLOOD_BYTES
            if flood:
                tasks_at = time.monotonic() + FLOOD_PERIOD_S
            with self._lock:
                self._drop_silent()
                if not self._subscribers:
                    self._sender = None
                    return
                if view != self._last:
                    self._last = view
                    for comm_id in list(self._subscribers):
                        self._send(comm_id, view)
                if looks:
                    self._send_frames(frames, flood)

    def _look_at_tasks(self) -> list[Frame] | None:
        try:
            return self._stream.poll()
        except Exception:  # as in _look
            return []

    def _send_frames(self, frames: list[Frame] | None, flood: bool) -> None:
        """Send deltas to those who are in step, and a snapshot to those who can begin (anew)."""
        watching = [(comm_id, page) for comm_id, page in self._subscribers.items() if page.tasks]
        now = self._clock()
        waiting = []
        for comm_id, page in watching:
            if frames is None or page.is_behind:
                page.in_step = False
            if page.in_step:
                self._try_to_send(comm_id, page.send_frames, frames or [])
            elif page.unread_bytes <= MAX_UNREAD_BYTES // 2 and not (
                flood and now - page.snapshot_at < SNAPSHOT_PERIOD_S
            ):
                waiting.append((comm_id, page))
        if not waiting:
            return
        if self._stream.pending:
            waiting = watching
        try:
            snapshot = self._stream.snapshot()
        except Exception:  # as in _look
            return
        for comm_id, page in waiting:
            self._try_to_send(comm_id, page.send_snapshot, snapshot)

    def _try_to_send(self, comm_id: str, send: Callable[[list[Frame], float], None], frames: list[Frame]) -> None:
        try:
            send(frames, self._clock())
        except Exception:  # as in _send
            self._drop(comm_id, tell=False)

    def _look(self) -> dict[str, Any] | None:
        try:
            return self._snapshot()
        except Exception:  # a cluster that ends while it is looked at; the next look tells
            return None

    def _on_answer(self, comm_id: str, msg: dict[str, Any]) -> None:
        data = _data(msg)
        with self._lock:
            subscriber = self._subscribers.get(comm_id)
            if subscriber is None:
                return
            if isinstance(data.get("ack"), int):
                subscriber.asked_at = None
                subscriber.read_up_to(data["ack"])
            if isinstance(data.get("tasks"), bool):
                subscriber.tasks = data["tasks"]
                subscriber.in_step = False
        if isinstance(data.get("request"), int) and self._requests is not None:
            self._requests.ask(data, lambda answer: self._reply(comm_id, answer))

    def _reply(self, comm_id: str, answer: dict[str, Any]) -> None:
        with self._lock:
            subscriber = self._subscribers.get(comm_id)
            if subscriber is None:
                return
            try:
                subscriber.comm.send({"v": VERSION, **answer})
            except Exception:  # as in _send
                self._drop(comm_id, tell=False)

    def _on_close(self, comm_id: str) -> None:
        with self._lock:
            self._drop(comm_id, tell=False)

    # The lock is held by the callers of all that follows.

    def _ask_all(self, view: dict[str, Any] | None) -> None:
        for comm_id, subscriber in list(self._subscribers.items()):
            if subscriber.answers and subscriber.asked_at is None:
                subscriber.asked_at = self._clock()
                self._send(comm_id, view, ask=True)

    def _send(self, comm_id: str, view: dict[str, Any] | None, ask: bool = False) -> None:
        try:
            self._subscribers[comm_id].send(view, ask)
        except Exception:  # the kernel shuts down, or the comm is broken: nobody to tell
            self._drop(comm_id, tell=False)

    def _drop_silent(self) -> None:
        now = self._clock()
        for comm_id, subscriber in list(self._subscribers.items()):
            if subscriber.asked_at is not None and now - subscriber.asked_at > ANSWER_S:
                self._drop(comm_id, tell=True)

    def _drop(self, comm_id: str, tell: bool) -> None:
        subscriber = self._subscribers.pop(comm_id, None)
        if subscriber is None:
            return
        if not self._subscribers:
            self._wake.set()
        if tell:
            try:
                subscriber.end()
            except Exception:  # as in _send
                pass


def _data(msg: dict[str, Any]) -> dict[str, Any]:
    """Return what a page says in a message; nothing that it says is trusted to have the right shape."""
    data = msg.get("content", {}).get("data", {})
    return data if isinstance(data, dict) else {}


def register(ip: Any, snapshot: Snapshot = live.snapshot) -> None:
    """Offer the feed to JupyterLab. Called when nbray is loaded into IPython; without a kernel it does nothing.

    Calling it again for the same shell changes nothing.
    """
    kernel = getattr(ip, "kernel", None)
    if kernel is None or getattr(kernel, "_nbray_panel_feed", None) is not None:
        return
    from comm import create_comm  # noqa: PLC0415 - comes with ipykernel, which runs us

    printed = TaskOutput()
    extension = getattr(ip, "_nbray_extension", None)
    cell_of = extension.router.cell_of if extension is not None else lambda origin: None
    stream = TaskStream(printed=lambda: printed.added, cell_of=cell_of)
    output.set_recorder(lambda task, name, text: printed.add(task, text, current.core))
    requests = PanelRequests(stream, lambda: ip.user_ns, printed)
    feed = PanelFeed(snapshot, stream=stream, requests=requests)
    kernel.comm_manager.register_target(PANEL_TARGET, feed.on_open)
    # Not opened (`primary`), see above.
    hello = create_comm(target_name=HELLO_TARGET, comm_id=HELLO_TARGET, primary=False)
    kernel.comm_manager.register_comm(hello)
    hello.send({"v": VERSION})
    kernel._nbray_panel_feed = (feed, hello)
