"""Calls of this process to one actor: in order, across restarts.

Calls are numbered in the order of submission and sent in that order; a call whose
arguments are late holds back those behind it, unless the actor takes calls in any order
(threaded and async ones do). All methods are called with the core worker's lock held.

No call runs twice in one incarnation of the actor: a call is sent once through a channel that
neither loses nor repeats, and a channel belongs to one incarnation. When an incarnation dies,
the take word of each message tells whether the actor has seen the call: one that it has not
seen surely did not run.
"""

from __future__ import annotations

import signal
import time
from collections import deque
from typing import Any

from nbray._cstore import lib
from nbray.core.lease_pool import Peer
from nbray.core.records import KIND_CANCEL, KIND_METHOD, KIND_ORIGIN, KIND_TASK, TaskRecord
from nbray.exceptions import (
    ActorDiedError,
    ActorOutOfMemoryError,
    ActorPlacementGroupRemoved,
    ActorUnavailableError,
    ActorUnschedulableError,
    PendingCallsLimitExceeded,
    RuntimeEnvSetupError,
    TaskCancelledError,
)
from nbray.serialization import error_value
from nbray.store.errors import StoreError
from nbray.wire import messages as m

NBS_OK = lib.NBS_OK


class ActorCalls:
    """The caller's side of an actor; plays the part of a lane and of its pool."""

    def __init__(self, core: Any, actor_id: str, class_name: str) -> None:
        self.core = core
        self.seg = core.seg
        self.actor_id = actor_id
        self.class_name = class_name
        self.state = "PENDING_CREATION"
        self.queue: deque[TaskRecord] = deque()  # not sent yet, in order
        self.late: dict[int, TaskRecord] = {}  # not sent: their arguments are late, and others may overtake them
        self.tasks: dict[int, TaskRecord] = {}  # sent and not answered, in order
        self.link: Peer | None = None
        self.is_self = False  # this process is the actor, and calls itself: no channel leads there
        self._told: set[int] = set()  # methods made known to it
        self.origin = ""
        self.notice: m.ActorNotice | None = None
        self.spec_hold: Any = None  # of the actor's specification, in its maker, as long as it lives
        self.abandoned = False  # no handle is left: forgotten as soon as the actor is dead
        self.paused = False  # killed by this process: calls wait until that has taken effect
        self.max_pending = -1
        self.max_task_retries = 0
        self.origin = ""  # of what made the actor, where its maker is here
        self.ordered = True
        self.side_by_side = False  # the actor runs several calls at a time
        self.outdated = ""  # what to say at the next call: its class has changed since it was made
        self.need: dict[str, int] = {}  # resources to place it, in units
        self.cancels: list[tuple[int, bool]] = []  # of calls at the actor, not told it yet: the ring is full

    # ----------------------------------------------------------------- submitting

    def submit(self, record: TaskRecord) -> None:
        """Queue a call and send what can go.

        Raises
        ------
        PendingCallsLimitExceeded
            When the actor has as many calls of this process as its ``max_pending_calls``.
        """
        if (
            self.state == "RESTARTING"
        ):  # who tries again and again leaves no other thread the time to hear that it is back
            self.core.control.poll()
        if self.state == "DEAD":
            self._finish_dead(record, False)
            return
        if self.max_pending >= 0 and (n := len(self.queue) + len(self.tasks) + len(self.late)) >= self.max_pending:
            self._waits_no_more(record)
            raise PendingCallsLimitExceeded(
                f"The call {record.function.name} could not be submitted: the actor {self.class_name} ({self.actor_id}) "
                f"has {n} pending calls of this process already, and its max_pending_calls is {self.max_pending}. Get "
                "some of their results first, or raise the limit."
            )
        if record.n_missing and not self.ordered:
            self.late[record.number] = record
            return
        self.queue.append(record)
        if len(self.queue) == 1 or self.state == "RESTARTING":
            self.flush()

    def again(self, record: TaskRecord) -> None:
        """Queue a call once more, in front of those that have not been sent."""
        if self.state == "DEAD":
            self._finish_dead(record, True)
            return
        self.queue.appendleft(record)
        self.flush()

    def submit_late(self, record: TaskRecord) -> None:
        """The arguments of a call are there; an ordered one has its place in the queue."""
        if self.late.pop(record.number, None) is not None:
            self.queue.append(record)
        self.flush()

    def withdraw(self, record: TaskRecord) -> None:
        """An argument failed: the call is over, those behind it go on."""
        if self.late.pop(record.number, None) is not None:
            return
        try:
            self.queue.remove(record)
        except ValueError:
            return
        self.flush()

    def flush(self) -> None:
        """Send calls, in order, until one has to wait."""
        link = self.link
        if link is None or self.paused:
            if self.is_self:
                self._flush_to_self()
            elif self.state == "RESTARTING":
                self._refuse()
            if link is not None or self.is_self or self.state != "ALIVE" or (link := self._connect()) is None:
                return
        queue, tasks, seg = self.queue, self.tasks, self.seg
        if self.cancels:
            self._tell_cancels()
        while queue:
            record = queue[0]
            if record.n_missing:
                return
            if record.ref is None:  # an argument failed meanwhile
                queue.popleft()
                continue
            function = record.function
            if function.number not in link.functions:
                if link.tell(KIND_METHOD, function.number, function.message) != NBS_OK:
                    self.core.stalled[self] = None
                    return
                link.functions.add(function.number)
            if record.origin != link.origin:
                if link.tell(KIND_ORIGIN, 0, record.origin.encode()) != NBS_OK:
                    self.core.stalled[self] = None
                    return
                link.origin = record.origin
            payload = record.payload
            tasks[record.number] = record
            ticket = lib.nbs_send_task(
                seg, link.chan, record.flags, record.number, function.number, record.n_returns, payload, len(payload)
            )
            if ticket < 0:
                del tasks[record.number]
                self.core.stalled[self] = None
                return
            record.ticket = ticket
            record.lane = self
            queue.popleft()

    def _connect(self) -> Peer | None:
        """Open the channel to the actor; None when it is dead already, of which we shall hear, or no channel is free yet."""
        assert self.notice is not None
        try:
            self.link = self.core.link(self.notice.worker)
        except StoreError:
            self.core.stalled[self] = None
            return None
        if self.link is not None:
            self.core.actor_channels[self.link.chan] = self
        return self.link

    def _refuse(self) -> None:
        """Between two lives of the actor calls without retries fail, as in Ray: who can help himself need not wait."""
        waiting = [record for record in self.queue if record.n_missing or record.retries != 0]
        refused = [record for record in self.queue if not record.n_missing and record.retries == 0]
        self.queue.clear()
        self.queue.extend(waiting)
        for record in refused:
            if record.ref is not None:
                self.core.fail(record, self._unavailable())

    def _flush_to_self(self) -> None:
        to_self = self.core.to_self
        while self.queue:
            record = self.queue[0]
            if record.n_missing:
                return
            self.queue.popleft()
            if record.ref is None:
                continue
            function = record.function
            if function.number not in self._told:
                self._told.add(function.number)
                to_self(KIND_METHOD, function.number, 0, 0, 0, function.message)
            self.tasks[record.number] = record
            record.lane = self
            to_self(KIND_TASK, record.number, record.flags, function.number, record.n_returns, record.payload)

    @property
    def pool(self) -> ActorCalls:
        return self

    def refill(self, lane: Any) -> None:
        """Results came: there may be room in the ring."""
        if self.queue or self.cancels:
            self.flush()

    def open_records(self) -> list[TaskRecord]:
        """Return all calls that are not done, in the order of submission as far as there is one."""
        return [*self.tasks.values(), *self.queue, *self.late.values()]

    def all_records(self) -> list[TaskRecord]:
        """Return and forget all calls that are not done."""
        records = self.open_records()
        self.forget()
        return records

    def explain(self, record: TaskRecord, name: str) -> str:
        if record.lane is not None:
            return f"{name} is at the actor (pid {self.notice.pid if self.notice else '?'}), it runs or waits its turn"
        return f"{name} waits for its actor, which is {self.state}"

    # ------------------------------------------------------------------ the actor

    def pause(self) -> None:
        """This process kills the actor: calls from now on are not for this incarnation."""
        if self.state != "DEAD":
            self.paused = True

    def on_notice(self, notice: m.ActorNotice) -> None:
        """The daemon tells the actor's state."""
        if self.state == "DEAD":
            return
        known = self.notice
        if known is not None and notice.state != "DEAD" and notice.incarnation < known.incarnation:
            return  # said twice, or late: the actor is further
        self.notice = notice
        before = self.state
        self.state = notice.state
        if notice.state == "ALIVE":
            if self.link is not None and self.link.peer == notice.worker:
                return
            self.paused = False
            self._lose_link(restarting=True)
            if notice.worker == self.core.peer:
                self.is_self = True
                self.flush()
                return
            self.flush()
        elif notice.state == "RESTARTING":
            self.paused = False
            self._lose_link(restarting=True)
        elif notice.state == "DEAD":
            if before != "DEAD":
                reports = self.core.reports
                if notice.error and self.spec_hold is not None and reports is not None:
                    reports.constructor_raised(self.class_name, self.origin, notice.error)
                self.spec_hold = None
                self._lose_link(restarting=False)
                unsent = [*self.queue, *self.late.values()]
                self.queue.clear()
                self.late.clear()
                for record in unsent:
                    self._finish_dead(record, False)

    def _lose_link(self, restarting: bool) -> None:
        link, self.link = self.link, None
        if link is None:
            return
        self.core._drain()
        records = list(self.tasks.values())
        self.tasks.clear()
        self.cancels.clear()
        seen = [lib.nbs_revoke(self.seg, link.chan, record.ticket) != NBS_OK for record in records]
        self.core.actor_channels.pop(link.chan, None)
        self.core.links.pop(link.peer, None)
        link.close()
        again = []
        for record, maybe_executed in zip(records, seen, strict=True):
            record.lane = None
            if record.cancelled:
                self.core.fail(record, TaskCancelledError(self.core._task_hex(record)), link.peer)
            elif not restarting:
                self._finish_dead(record, maybe_executed, link.peer)
            elif record.retries == 0:
                self.core.fail(record, self._unavailable(True, maybe_executed), link.peer)
            else:
                if maybe_executed:  # what did not begin uses up no retry
                    error = error_value.from_system_error(self._unavailable(True, True))
                    self.core.note_lost(record, link.peer, 0)
                    self.core.failed.add_attempt(record.number, link.peer, error.blob)
                    record.retries -= record.retries > 0
                again.append(record)
        self.queue.extendleft(reversed(again))

    def _unavailable(self, sent: bool = False, maybe_executed: bool = False) -> ActorUnavailableError:
        """Return why a call fails that was at the actor when it died, or is made while it is restarted."""
        how = self.notice.cause.partition("\n")[0].rstrip(". ") if self.notice else ""
        reason = f": {how}" if how else ""
        who = f"The actor {self.class_name} ({self.actor_id}) on node {self.core.node_id[:8]}"
        when = f"died at {time.strftime('%H:%M:%S')} while this call was at it, and is restarted"
        began = "may have run; try it again" if maybe_executed else "has not begun; try it again"
        if not sent:
            when, began = (
                "is being restarted",
                f"{began}, or give the actor max_task_retries, with which calls wait for it",
            )
        return ActorUnavailableError(
            f"{who} {when}{reason}. The call {began}.", self.actor_id, maybe_executed=maybe_executed
        )

    def death_error(self, maybe_executed: bool) -> BaseException:
        """Return why calls to this dead actor fail."""
        notice = self.notice
        if notice is None:
            return ActorDiedError("The actor is dead.", self.actor_id)
        if notice.infeasible:
            return ActorUnschedulableError(notice.infeasible)
        if notice.env_error:
            return RuntimeEnvSetupError(
                f"The runtime environment of actor {self.class_name} could not be set up: {notice.env_error}"
            )
        if notice.group_removed:
            return ActorPlacementGroupRemoved(notice.cause)
        when = time.strftime("%H:%M:%S", time.localtime(notice.died_at)) if notice.died_at else ""
        pid = f" (pid {notice.pid})" if notice.pid else ""
        how, _, log = notice.cause.partition("\n")
        text = (
            f"The actor {self.class_name} ({self.actor_id}){pid} died{' at ' + when if when else ''} "
            f"on node {self.core.node_id[:8]}: "
            f"{how.rstrip('. ')}. This call {'may have run in part' if maybe_executed else 'did not run'}."
        )
        if log:
            text += f"\n{log}"
        died = ActorOutOfMemoryError if notice.out_of_memory else ActorDiedError
        error = died(text, self.actor_id, maybe_executed=maybe_executed)
        if notice.error:
            raised = error_value.to_exception(notice.error)
            if isinstance(raised, RuntimeEnvSetupError):
                return RuntimeEnvSetupError(str(raised))
            error.error_msg = (
                f"The actor {self.class_name} ({self.actor_id}) died because its constructor raised:\n{raised}"
            )
            error.args = (error.error_msg,)
            error.cause_blob = error_value.pickled_cause(notice.error)
        return error

    def _waits_no_more(self, record: TaskRecord) -> None:
        """The call does not wait for its arguments any more, as it will not run."""
        if self.core.waiting_args.pop(record.number, None) is not None:
            lib.nbs_count(self.seg, lib.NBS_CTR_WAIT_ARGS, -1)

    def _finish_dead(self, record: TaskRecord, maybe_executed: bool, process: int = 0) -> None:
        self._waits_no_more(record)
        self.core.fail(record, self.death_error(maybe_executed), process, maybe_executed)

    def cancel(self, record: TaskRecord, recursive: bool) -> None:
        """Cancel a call: one that has not begun never runs; one that runs is told."""
        record.cancelled = True
        record.retries = 0
        record.retry_exceptions = False
        if record.lane is None:
            self._waits_no_more(record)
            self.withdraw(record)
            self.core.fail(record, TaskCancelledError(self.core._task_hex(record)))
            return
        link = self.link
        if link is None:
            if self.is_self:
                record.n_returns = -1
                self.core.to_self(KIND_CANCEL, record.number, int(recursive), 0, 0, b"")
            return
        if lib.nbs_revoke(self.seg, link.chan, record.ticket) == NBS_OK:
            self.tasks.pop(record.number, None)
            self.core.fail(record, TaskCancelledError(self.core._task_hex(record)))
            return
        record.n_returns = -1  # whatever it returns is not wanted any more
        # A method in the actor's main thread is not interrupted: it can ask is_canceled(). The signal is for its
        # children. Calls that run beside others are told by a message.
        lib.nbs_cancel_running(self.seg, link.chan, record.number, signal.SIGINT if recursive else 0)
        self.cancels.append((record.number, recursive))
        self._tell_cancels()

    def take_back(self, record: TaskRecord) -> bool:
        """Remove a call that the actor has not begun; False when it has."""
        if record.lane is None:
            self.withdraw(record)
            return True
        link = self.link
        if link is None or lib.nbs_revoke(self.seg, link.chan, record.ticket) != NBS_OK:
            return False
        self.tasks.pop(record.number, None)
        return True

    def _tell_cancels(self) -> None:
        link = self.link
        while self.cancels and link is not None:
            number, recursive = self.cancels[0]
            if number in self.tasks and link.tell(KIND_CANCEL, number, b"", int(recursive)) == lib.NBS_EAGAIN:
                self.core.stalled[self] = None
                return
            del self.cancels[0]

    def forget(self) -> None:
        """The runtime ends."""
        self.queue.clear()
        self.tasks.clear()
        self.late.clear()
