"""The loop of a node: one thread that polls sockets, processes and timers.

It holds the pure local scheduler and the pure tables side by side, feeds them and carries
out what they return. It never unpickles, and no message can stop it. It ends when its
driver does, and takes everything with it.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import os
import select
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable

import msgspec

from nbray.core import raw_output
from nbray.node import death, process_control, report, session_dir
from nbray.node.descriptors import Descriptors
from nbray.node.effects import Effects
from nbray.node.event_log import BUSY_RECORDS
from nbray.node.handlers import Handlers
from nbray.node.log_limit import LogLimit
from nbray.node.memory_monitor import MemoryMonitor
from nbray.node.metrics import PICTURE_EVERY_S, Endpoint
from nbray.node.node_state import NodeState
from nbray.node.ring_watch import RingWatch
from nbray.node.spiller import Spiller
from nbray.node.warmer import Warmer
from nbray.node.worker_processes import WorkerProcess, WorkerProcesses
from nbray.node.zygote import ORPHANS_END_S
from nbray.node.zygote_client import ZygoteClient
from nbray.node.zygote_messages import WorkerBootstrap
from nbray.scheduling import events as ev
from nbray.wire import segment_socket
from nbray.wire.channel import new_poller
from nbray.wire.messages import ClusterEndedNotice

MESSAGES_AT_ONCE = 500  # of the control socket, before others have their turn
FILES_LEFT = 8  # of those that the daemon may open, when it lets nobody in any more
LAST_WORDS_S = 0.2  # so long is waited for what a process said before it died; a child of its may keep its connection
LAST_WORDS_LOOKS = 20  # at least, where the machine stood still meanwhile
LAST_WORDS = 20_000  # messages, of all processes, among which they are
_LAST_WORDS_LOOK_S = 0.0005
_WARM_DELAY_S = 0.0  # at once: the first task costs little, the first large put much
_PRESTART_REST_S = 0.15
_FORSAKEN_LOOK_S = 1.0  # between looks for actors without handles
_STRANGERS_LOOK_S = 1.0
_STRANGERS_AT_ONCE = 32  # slots, of which each costs about 20 us
_FOLDER_CHECK_S = 3.0
_TOUCH_TIMES = 1200  # of these checks: once an hour


class NodeDaemon:
    """One node.

    Parameters
    ----------
    node : NodeState
    zygote : ZygoteClient
    listener : socket
        Hands out the segment; takes ownership.
    files : int
        So many files may be open.
    """

    def __init__(self, node: NodeState, zygote: ZygoteClient, listener: socket.socket, files: int) -> None:
        self.node = node
        self.zygote = zygote
        self.listener = listener
        self._last_file = files - FILES_LEFT
        self.effects = Effects(node)
        self.handlers = Handlers(node, self.effects)
        self.warmer = Warmer(node.segment, node.limits)
        self.ring_watch = RingWatch(node.segment, self._ring_fills)
        folders = (node.config.spill_dir, node.config.spill_links)
        node.spiller = Spiller(node.segment, node.limits, folders, self._children_released)
        self.memory_monitor = MemoryMonitor(node)
        self.log_limit = LogLimit(node.limits)
        self.ended = ""  # the reason, once the node is to end
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._timer_ids = itertools.count()
        self._descriptors = Descriptors()  # of processes, so that the poller has few entries
        self._wake_read, self._wake_write = socket.socketpair()
        self._poller = new_poller()
        self._drain_at = time.monotonic()
        self._ring_is_filling = False  # beside the time of the next drain, so that a call amid a drain is heard
        self._last_activity = 0.0
        self._log_check_at = 0.0
        self._dump_wanted = False
        self._forsaken = False  # the last handle of an actor may be gone
        self._zygote_began = time.monotonic()
        self._zygote_deaths = 0  # in a row, each soon after its start
        config = node.config
        bootstrap = WorkerBootstrap(
            config.segment_socket, config.control_endpoint, config.session_dir, config.node_id,
            node.scheduler.num_cpus,
        )  # fmt: skip
        node.processes = WorkerProcesses(
            zygote, os.path.join(config.session_dir, "logs"), bootstrap, self._descriptors.watch, self._descriptors.unwatch,
            self.call_after, self._worker_died, node.limits.worker_start_s,
        )  # fmt: skip
        node.end, node.call_after, node.hear_out = self.end, self.call_after, self.hear_out
        node.watch, node.unwatch = self._descriptors.watch, self._descriptors.unwatch
        self._greeting: dict[str, object] = {"node_id": config.node_id, "capacity": config.capacity}

    # ----------------------------------------------------------------- for the others

    def call_after(self, seconds: float, action: Callable[[], None]) -> None:
        """Call ``action`` after some seconds."""
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._timer_ids), action))

    def end(self, reason: str) -> None:
        """End the node after this round of the loop."""
        self.ended = self.ended or reason

    def hear_out(self, identity: bytes) -> None:
        """Serve what a process said before it died: the news of its death may be quicker than its messages."""
        deadline = time.monotonic() + LAST_WORDS_S
        looks = 0
        while True:
            looks += 1
            late = looks >= LAST_WORDS_LOOKS and time.monotonic() >= deadline
            all_is_there = late or not self.node.router.is_connected(identity)
            self._serve_messages(LAST_WORDS)
            if all_is_there:
                return
            time.sleep(_LAST_WORDS_LOOK_S)

    def export_metrics(self, endpoint: Endpoint) -> None:
        """Keep the endpoint's picture fresh as long as the node lives."""
        self.node.metrics_port = endpoint.port

        def refresh() -> None:
            endpoint.refresh()
            self.call_after(PICTURE_EVERY_S, refresh)

        self.call_after(PICTURE_EVERY_S, refresh)

    # ---------------------------------------------------------------------- the loop

    def run(self) -> None:
        """Serve until the node ends, then take everything down."""
        self._open()
        try:
            while not self.ended:
                self._round()
        except BaseException:
            self.ended = "the daemon met a bug"
            traceback.print_exc()
        finally:
            self._close()

    def _open(self) -> None:
        signal.signal(signal.SIGTERM, lambda signo, frame: self.end("SIGTERM"))
        signal.signal(signal.SIGUSR1, lambda signo, frame: setattr(self, "_dump_wanted", True))
        self._wake_read.setblocking(False)
        self._wake_write.setblocking(False)
        signal.set_wakeup_fd(self._wake_write.fileno(), warn_on_full_buffer=False)
        for source in (self.node.router.socket, self.listener, self._descriptors.fileno(), self._wake_read):
            self._poller.register(source, select.POLLIN)
        self._watch_zygote()
        self.ring_watch.start()
        config = self.node.config
        if config.driver_pid:
            descriptor = process_control.open_pidfd(config.driver_pid)
            if descriptor < 0 or not process_control.is_alive(config.driver_pid, config.driver_start_time):
                self.end("the driver died")
                return
            self._descriptors.watch(descriptor, lambda: self.end("the driver died"))
        wanted = config.prestart if config.prestart >= 0 else self.node.scheduler.num_cpus
        wanted = min(wanted, self.node.limits.prestart_workers)
        # The first task needs one worker, the first large put warm memory: the other workers, if
        # nobody asks for them before, can wait until the processors have done that.
        self._prestart(min(wanted, 1))
        self.call_after(_PRESTART_REST_S, lambda: self._prestart(wanted))
        self.call_after(_WARM_DELAY_S, self.warmer.poke)
        self._check_folder(0)
        self._look_at_memory()
        self._look_for_forsaken()
        self._look_for_strangers()

    def _prestart(self, wanted: int) -> None:
        self.effects.schedule(ev.PrestartWanted(time.monotonic(), wanted))
        self.effects.decide()

    def _look_at_memory(self) -> None:
        self.call_after(self.node.limits.memory_look_s, self._look_at_memory)
        self.node.spiller.look()
        self.memory_monitor.look()

    def _look_for_forsaken(self) -> None:
        """End actors whose last handle went inside something that was freed: nobody is there to tell of it."""
        self.call_after(_FORSAKEN_LOOK_S, self._look_for_forsaken)
        self._forsaken = True

    def _children_released(self) -> None:
        """In the spiller's thread: handles of actors may have been among them."""
        self._forsaken = True
        with contextlib.suppress(OSError):
            self._wake_write.send(b"x")

    def _ring_fills(self) -> None:
        """In a thread of its own: do not wait for the next drain by the clock."""
        self._ring_is_filling = True
        with contextlib.suppress(OSError):
            self._wake_write.send(b"x")

    def _check_folder(self, times: int) -> None:
        """See that nobody removed the session's folder, and keep cleaners of old files away from it."""
        folder = self.node.config.session_dir
        if not session_dir.is_whole(folder):
            self.end(f"its session folder {folder} was removed (a cleaner of temporary files does that)")
            return
        if times % _TOUCH_TIMES == 0:
            session_dir.touch(folder)
        self.call_after(_FOLDER_CHECK_S, lambda: self._check_folder(times + 1))

    def _look_for_strangers(self, first: int = 0) -> None:
        """Clean up after processes that died between attaching and registering; or whose cleaning up was given up; or that we adopted."""
        node = self.node
        process_control.reap_orphans({self.zygote.pid} | node.processes.pids() | self.effects.interpreters.pids())
        next_one = node.segment.recover_strangers(node.clients.by_peer, first, _STRANGERS_AT_ONCE)
        self.call_after(_STRANGERS_LOOK_S, lambda: self._look_for_strangers(next_one))

    def _round(self) -> None:
        for source, _ in self._poller.poll(self._timeout_ms()):
            if source is self.node.router.socket:
                self._serve_messages()
            elif source is self.listener or source == self.listener.fileno():
                while segment_socket.serve_one(self.listener, self.node.segment.fd, self._greeting, self._last_file):
                    pass
            elif source is self._wake_read or source == self._wake_read.fileno():
                with contextlib.suppress(BlockingIOError):
                    self._wake_read.recv(4096)
            else:
                self._descriptors.serve()
        if self._forsaken:
            self._forsaken = False
            self.handlers.end_forsaken_actors()
        if self._dump_wanted:
            self._dump_wanted = False
            with contextlib.suppress(OSError):
                report.dump_state(self.node)
        self._serve_time()
        self.effects.decide()

    def _serve_messages(self, at_once: int = MESSAGES_AT_ONCE) -> None:
        self.node.active = True
        router = self.node.router
        for _ in range(at_once):
            received = router.receive()
            if received is None:
                return
            self.handlers.handle(*received)
            if self.ended:
                return

    def _serve_time(self) -> None:
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            heapq.heappop(self._timers)[2]()
        due = self.node.scheduler.next_wakeup()
        if due is not None and due <= now:
            self.effects.schedule(ev.Tick(now))
        due = self.node.actors.next_wakeup()
        if due is not None and due <= now:
            self.effects.run(self.node.actors.tick(now))
        due = self.node.groups.next_wakeup()
        if due is not None and due <= now:
            self.effects.run(self.node.groups.tick(now))
        if self.node.router.behind:
            for identity in self.node.router.flush():
                client = self.node.clients.by_identity.get(identity)
                if client is not None:
                    self.node.segment.ring(client.peer)
        if self.zygote.behind:
            self.zygote.flush()
        if self.effects.interpreters.behind:
            self.effects.interpreters.flush()
        early = self.node.active and self._drain_at - now > self.node.limits.event_period_s
        if now >= self._drain_at or early or self._ring_is_filling:
            self._drain(now)

    def _drain(self, now: float) -> None:
        """Take the event records over; often while something happens, seldom while not."""
        self._ring_is_filling = False
        found = self.node.events.drain()
        if found or self.node.active:
            self._last_activity = now
        self.node.active = False
        limits = self.node.limits
        period = limits.event_period_s if now - self._last_activity < 4 * limits.event_period_s else limits.event_idle_s
        if found > BUSY_RECORDS:
            period /= 4
        self._drain_at = now + period
        if found:
            self.warmer.poke()
            if now >= self._log_check_at:
                self._log_check_at = now + limits.log_check_s
                self.log_limit.check([worker.log_path for worker in self.node.processes.by_token.values()])

    def _timeout_ms(self) -> int:
        due = [0.0 if self._ring_is_filling else self._drain_at]
        if self._timers:
            due.append(self._timers[0][0])
        for table in (self.node.scheduler, self.node.actors, self.node.groups):
            time_s = table.next_wakeup()
            if time_s is not None:
                due.append(time_s)
        if self.node.router.behind or self.zygote.behind or self.effects.interpreters.behind:
            due.append(time.monotonic() + 0.005)
        return max(0, int((min(due) - time.monotonic()) * 1000) + 1)

    # ---------------------------------------------------------------------- processes

    def _watch_zygote(self) -> None:
        zygote = self.zygote

        def said() -> None:
            for message in zygote.messages():
                self.node.processes.handle(message, time.monotonic())

        self._descriptors.watch(zygote.connection.fileno(), said)
        if zygote.pidfd >= 0:
            self._descriptors.watch(zygote.pidfd, self._zygote_died)

    def _zygote_died(self) -> None:
        self._descriptors.unwatch(self.zygote.pidfd)
        for message in self.zygote.messages():  # its last words
            self.node.processes.handle(message, time.monotonic())
        self._descriptors.unwatch(self.zygote.connection.fileno())
        self.zygote.reap()
        print("the zygote died; its workers die with it", file=sys.stderr, flush=True)
        now, limits = time.monotonic(), self.node.limits
        self._zygote_deaths = self._zygote_deaths + 1 if now - self._zygote_began < limits.zygote_settled_s else 1
        self._zygote_began = now
        if self._zygote_deaths > limits.zygote_deaths:
            self.end("the zygote keeps dying")
            return
        self.zygote = ZygoteClient.fresh(self.node.config.worker_module, os.fsdecode(self.node.config.cwd))
        self.node.processes.zygote = self.zygote
        self._watch_zygote()
        self.node.processes.zygote_died()

    def _worker_died(self, worker: WorkerProcess, status: int) -> None:
        """A worker is dead: clean up after it, and tell all whom it concerns."""
        dead = self.node.clients.by_peer.get(worker.peer)
        if dead is not None:
            self.hear_out(dead.identity)
        now, wall = time.monotonic(), time.time()
        self.node.active = True
        self.memory_monitor.explain_death(worker, status)
        notice = death.describe(worker, status, self.node.limits)
        self.log_limit.worker_died(worker.log_path)
        if not worker.peer:
            tail = f"\n{notice.log_tail}" if notice.log_tail else ""
            self.effects.schedule(ev.WorkerStartFailed(now, worker.token, notice.reason + tail, worker.zygote_death))
            return
        self.node.events.drain()
        actor_id = self.node.actors.by_worker.get(worker.peer)
        # A worker holds its actor's spec from the moment that it begins to make it.
        begun = (
            actor_id is None or self.node.segment.holds(worker.peer, self.node.spec_holds.get(actor_id, 0)) is not False
        )
        self.node.segment.recover(worker.peer)
        client = self.node.clients.remove(worker.peer)
        self.node.inspections.gone(worker.peer)
        self.node.application_metrics.process_gone(worker.peer)
        if client is not None:
            self.node.processes_seen.serves(worker.peer, client.job_id)
        intended = bool(worker.stop_reason) or notice.exit_code == 0
        exit_type = "INTENDED_SYSTEM_EXIT" if intended else "SYSTEM_ERROR"
        if worker.exits_itself and notice.exit_code == 0:
            exit_type = "INTENDED_USER_EXIT"
        self.node.processes_seen.ended(worker.peer, wall, exit_type, notice.reason)
        if client is not None:
            self.node.router.forget(client.identity)
        lease = self.node.scheduler.lease_of(worker.peer)
        concerned: list[int] = []
        if lease is not None and not lease.actor_id:  # also one that was given back because of this death
            concerned.append(lease.owner)
            notice.group_removed = lease.group_removed
        actor = self.node.actors.actors[actor_id] if actor_id is not None else None
        if actor is not None:
            concerned.extend(actor.subscribers)
        self.node.actors.process_died(worker.peer)
        self.node.groups.process_died(worker.peer)
        how = notice.reason
        if notice.log_tail:
            how += f"\nLast lines of its log:\n{notice.log_tail}"
        self.effects.schedule(ev.WorkerDied(now, worker.peer))
        actor_effects = self.node.actors.worker_died(worker.peer, how, now, wall, begun, notice.out_of_memory)
        # Subscribers learn the actor's new state before they hear of the process.
        self.effects.run(actor_effects)
        words, notice.words, notice.actor_id = notice.words, {}, actor_id or ""
        owner = actor.owner if actor is not None else concerned[0] if concerned else 0
        for peer in concerned:
            self.node.send(peer, msgspec.structs.replace(notice, words=words) if peer == owner else notice)
        self.handlers.end_forsaken_actors()

    # ---------------------------------------------------------------------------- end

    def _close(self) -> None:
        """End every process of the node, then remove the session but its logs."""
        print(f"the node ends: {self.ended}", file=sys.stderr, flush=True)
        grace_s = self.node.limits.shutdown_grace_s
        with contextlib.suppress(Exception):
            for client in self.node.clients.drivers():
                if not (self.node.ended_by_owner and client.pid == self.node.config.driver_pid):
                    self.node.send(client.peer, ClusterEndedNotice(self.ended))
            self.listener.close()
            zygotes = [*self.effects.interpreters.end(grace_s), self.zygote]
            self.zygote.end(grace_s)
            deadline = time.monotonic() + grace_s + 1.0
            for zygote in zygotes:
                left = max(0.0, deadline - time.monotonic())
                if zygote.pidfd >= 0 and not process_control.readable(zygote.pidfd, left):
                    zygote.kill()
                zygote.reap()
            process_control.end_children(ORPHANS_END_S)
            for worker in self.node.processes.by_token.values():
                raw_output.take_rest(worker.log_path)
        self.warmer.stop()
        self.ring_watch.stop()
        self.node.spiller.stop()
        with contextlib.suppress(OSError):
            session_dir.clear(self.node.config.session_dir)
