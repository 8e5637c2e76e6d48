"""What the daemon does with each control message."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Any

from nbray.control import job_table
from nbray.control.actor_table import DEAD
from nbray.node import key_values, listings, machine, report, session_dir
from nbray.node.clients import DRIVER, OBSERVER, WORKER, Client
from nbray.node.effects import Effects
from nbray.node.node_state import NodeState
from nbray.node.process_control import open_pidfd
from nbray.resources import CPU, UNITS
from nbray.scheduling import events as ev
from nbray.version import __version__
from nbray.wire import messages as m
from nbray.wire.channel import identity_of
from nbray.wire.codec import ProtocolError

MAX_CPUS = 10_000
MAX_LEASES_WANTED = 1_000_000  # of one request; more is the same
MAX_NAME_CHARS = 200
MAX_ENVIRONMENT_CHARS = 32 * 1024
MAX_METADATA, MAX_METADATA_CHARS = 50, 1000  # entries of a job's metadata, characters of one
DETACH_S = 5.0  # a driver that said goodbye has let go of the segment by then, or its end is waited for
MAX_ENTRYPOINT = 1000  # characters of a driver's command line


_FOR_OBSERVERS = (
    m.GoodbyeNotice,
    m.SetCpusRequest,
    m.StateRequest,
    m.UsageRequest,
    m.EventsRequest,
    m.ListRequest,
    m.InspectRequest,
    m.ListActorsRequest,
)


class Handlers:
    """One method per message that a daemon may get."""

    def __init__(self, node: NodeState, effects: Effects) -> None:
        self.node = node
        self.effects = effects
        self._methods: dict[type, Callable[[Client, Any], None]] = {
            m.GoodbyeNotice: self._goodbye,
            m.ShutdownRequest: self._shutdown,
            m.LeaseRequest: self._lease_request,
            m.LeaseReturnNotice: self._lease_return,
            m.KillWorkerRequest: self._kill_worker,
            m.CancelTaskNotice: self._cancel_task,
            m.BlockedNotice: self._blocked,
            m.UnblockedNotice: self._unblocked,
            m.WaitingNotice: self._waiting,
            m.CreateActorRequest: self._create_actor,
            m.ActorSubscribeRequest: self._actor_subscribe,
            m.GetNamedActorRequest: self._get_named_actor,
            m.ListActorsRequest: self._list_actors,
            m.KillActorRequest: self._kill_actor,
            m.ActorReadyNotice: self._actor_ready,
            m.ActorExitNotice: self._actor_exit,
            m.ActorHandlesGoneNotice: self._actor_handles_gone,
            m.DefineNotice: self._define,
            m.RoomWantedNotice: self._room_wanted,
            m.RestoreWantedNotice: self._restore_wanted,
            m.ValueLostNotice: self._value_lost,
            m.SetCpusRequest: self._set_cpus,
            m.StateRequest: self._state,
            m.EventsRequest: self._events,
            m.UsageRequest: self._usage,
            m.ListRequest: self._list,
            m.MetricsNotice: self._metrics,
            m.KeyValueRequest: self._key_value,
            m.InspectRequest: self._inspect,
            m.InspectedNotice: self._inspect_answer,
            m.DefineInterpreterNotice: self._define_interpreter,
            m.DefineEnvironmentNotice: self._define_environment,
            **effects.groups.methods,
        }

    def handle(self, identity: bytes, message: m.Message | ProtocolError) -> None:
        """Take one message; whatever it is, the daemon goes on."""
        client = self.node.clients.by_identity.get(identity)
        if isinstance(message, ProtocolError):
            self.refuse(identity, f"not understood: {message}")
        elif isinstance(message, m.RegisterRequest):
            self._register(identity, message)
        elif client is None:
            self.refuse(identity, f"{type(message).__name__} from a process that is not registered")
        else:
            method = self._methods.get(type(message))
            if client.role == OBSERVER and not isinstance(message, _FOR_OBSERVERS):
                self.refuse(identity, f"{type(message).__name__} from a process that only looks")
                return
            if method is None:
                self.refuse(identity, f"{type(message).__name__} is not for a daemon")
                return
            try:
                method(client, message)
            except (ValueError, KeyError, TypeError, OverflowError) as error:
                self.refuse(identity, f"{type(message).__name__} is not possible now: {error!r}")

    def refuse(self, identity: bytes, reason: str) -> None:
        """Answer a message that is not understood or not allowed."""
        self.node.refused += 1
        if self.node.refused <= 100:  # a broken peer must not fill the disk
            print(f"refused a message of {identity[:64]!r}: {reason[:500]}", file=sys.stderr, flush=True)
        self.node.router.send(identity, m.RefusedNotice(reason[:2000]))
        client = self.node.clients.by_identity.get(identity)
        if client is not None:
            self.node.segment.ring(client.peer)

    # ------------------------------------------------------------ joining and leaving

    def _register(self, identity: bytes, message: m.RegisterRequest) -> None:
        error = self._why_not(identity, message)
        if error:
            self.node.refused += 1
            self.node.router.send(identity, m.RegisterReply(error=error))
            return
        error = _other_version(message)
        if error:
            self.node.refused += 1
            self.node.router.send(identity, m.RegisterReply(error=error, version_error=error))
            return
        known = self.node.clients.by_peer.get(message.peer)
        client = known or Client(message.role, message.peer, message.pid)
        worker_is_new = False
        if known is None:
            if message.role == WORKER:
                if self.node.processes.registered(message.startup_token, message.peer, message.pid) is None:
                    text = f"startup token {message.startup_token} was not given to pid {message.pid}"
                    self.node.router.send(identity, m.RegisterReply(error=text))
                    return
                worker_is_new = True
            elif not self._watch_client(client):
                return
            self.node.clients.add(client)
            if message.role != OBSERVER:
                log = os.path.basename(self.node.processes.log_of(message.peer))
                self.node.processes_seen.started(message.peer, message.pid, message.role, time.time(), log)
        if message.role == DRIVER:
            job = self.node.jobs.start(
                message.peer, message.pid, message.namespace, time.time(), message.entrypoint[:MAX_ENTRYPOINT],
                _bounded(message.metadata), message.runtime_env[:MAX_ENVIRONMENT_CHARS],
            )  # fmt: skip
            job.namespace = job.namespace or f"anonymous-{job.job_id}-{self.node.config.cluster_id:08x}"
            client.job_id, client.namespace = job.job_id, job.namespace
            self.node.processes_seen.serves(message.peer, job.job_id)
            self._is_wanted()
        config = self.node.config
        reply = m.RegisterReply(
            job_id=client.job_id, node_id=config.node_id, session_dir=config.session_dir,
            resources=dict(config.totals), labels=config.labels, cluster_id=config.cluster_id, daemon=self.node.segment.peer,
            node_ip=config.ip, namespace=client.namespace, metrics_port=self.node.metrics_port,
            spill_dir=self.node.spiller.files.folder, limits=self.node.limits.changed,
        )  # fmt: skip
        self.node.send(message.peer, reply)
        if worker_is_new:
            ready = ev.WorkerReady(time.monotonic(), message.startup_token, message.peer, message.pid)
            self.effects.schedule(ready)

    def _why_not(self, identity: bytes, message: m.RegisterRequest) -> str:
        if message.role not in (DRIVER, WORKER, OBSERVER):
            return f"role {message.role!r} is none of {DRIVER!r}, {WORKER!r} and {OBSERVER!r}"
        if identity != identity_of(message.role, message.peer):
            return "the connection's identity is not role-peer"
        if message.peer == self.node.segment.peer or self.node.segment.pid_of(message.peer) != message.pid:
            return f"peer {message.peer} of the segment is not process {message.pid}"
        return ""

    def _watch_client(self, client: Client) -> bool:
        client.pidfd = open_pidfd(client.pid)
        if client.pidfd < 0:
            return False

        def died() -> None:
            self.node.hear_out(client.identity)  # it may have said goodbye
            self.client_gone(client, died=True)

        self.node.watch(client.pidfd, died)
        return True

    def client_gone(self, client: Client, *, died: bool) -> None:
        """A driver left or died: its job ends, and with the local driver the node. Or an observer did."""
        if self.node.clients.remove(client.peer) is None:
            return
        self.node.unwatch(client.pidfd)
        self.node.router.forget(client.identity)
        if died:
            os.close(client.pidfd)
        else:
            self._await_detachment(client)
        now, wall = time.monotonic(), time.time()
        self.node.inspections.gone(client.peer)
        self.node.application_metrics.process_gone(client.peer)
        if client.role == OBSERVER:
            if died:
                self.node.segment.recover(client.peer)
            return
        how = "died" if died else "left"
        exit_type = "SYSTEM_ERROR" if died else "INTENDED_USER_EXIT"
        self.node.processes_seen.ended(client.peer, wall, exit_type, f"the driver {how}")
        # A program that started the cluster as such may be its driver several times.
        ends = died or self.node.config.started_by != "start"
        if ends and client.pid == self.node.config.driver_pid:
            self.node.end("the driver died" if died else "the driver left")
            return
        job = self.node.jobs.end(client.peer, wall, job_table.FAILED if died else job_table.FINISHED)
        self.node.actors.process_died(client.peer)
        self.node.groups.process_died(client.peer)
        self.effects.schedule(ev.OwnerDied(now, client.peer))
        if job is not None:
            self.effects.run(self.node.actors.job_ended(job.job_id, wall))
            self.effects.schedule(ev.JobEnded(now, job.job_id))
            self.effects.run(self.node.groups.job_ended(job.job_id))
        if died:
            self.node.segment.recover(client.peer)
            self.end_forsaken_actors()

    def _await_detachment(self, client: Client) -> None:
        """A driver that left may still be attached (a thread of its reads): then its death is waited for."""

        watched = True

        def end_watch() -> None:
            nonlocal watched
            if watched:
                watched = False
                self.node.unwatch(client.pidfd)
                os.close(client.pidfd)

        def gone() -> None:
            end_watch()
            self.node.segment.recover(client.peer)
            self.end_forsaken_actors()

        def look() -> None:
            if self.node.segment.pid_of(client.peer) != client.pid:
                end_watch()

        self.node.watch(client.pidfd, gone)
        self.node.call_after(DETACH_S, look)

    def _goodbye(self, client: Client, message: m.GoodbyeNotice) -> None:
        if client.role != WORKER:
            self.client_gone(client, died=False)

    def _shutdown(self, client: Client, message: m.ShutdownRequest) -> None:
        if client.role != DRIVER or (self.node.config.driver_pid and client.pid != self.node.config.driver_pid):
            self.refuse(client.identity, "only the driver that started the node may end it")
            return
        self.node.ended_by_owner = client.pid == self.node.config.driver_pid
        self.node.end(f"driver pid={client.pid} asked for it")

    # --------------------------------------------------------------------- leases

    def _lease_request(self, client: Client, message: m.LeaseRequest) -> None:
        _check_amounts(message.resources)
        wanted = ev.LeaseWanted(
            time.monotonic(), client.peer, message.request_id, message.resources, min(message.count, MAX_LEASES_WANTED), message.job_id,
            message.env_key, message.name[:MAX_NAME_CHARS], message.strategy, message.priority_depth,
            message.wait_for_resources, message.target,
        )  # fmt: skip
        group = message.target.group
        if group and message.count:
            if self.node.groups.is_gone(group):
                self.node.send(client.peer, m.LeaseReply(message.request_id, group_removed=True))
                return
            nodes = self.node.groups.nodes_of(group, message.target.bundle)
            if nodes and self.node.config.node_id not in nodes:
                self.node.send(client.peer, m.LeaseReply(message.request_id, node_id=nodes[0]))
                return
        self.effects.schedule(wanted)

    def _define_environment(self, client: Client, message: m.DefineEnvironmentNotice) -> None:
        key = message.key[:MAX_NAME_CHARS]
        self.node.environments.define(key, message.text[:MAX_ENVIRONMENT_CHARS], message.job_id, time.time())

    def _define_interpreter(self, client: Client, message: m.DefineInterpreterNotice) -> None:
        self.effects.interpreters.define(message)

    def _lease_return(self, client: Client, message: m.LeaseReturnNotice) -> None:
        self.effects.schedule(ev.LeaseReturned(time.monotonic(), client.peer, message.lease_id, message.discard))

    def _kill_worker(self, client: Client, message: m.KillWorkerRequest) -> None:
        worker = self.node.processes.by_peer.get(message.peer)
        if worker is not None:
            self.node.processes.kill(worker, message.reason or f"pid={client.pid} asked for it")

    def _cancel_task(self, client: Client, message: m.CancelTaskNotice) -> None:
        self.node.send(message.owner, message)

    def _blocked(self, client: Client, message: m.BlockedNotice) -> None:
        self.effects.schedule(ev.WorkerBlocked(time.monotonic(), client.peer))

    def _unblocked(self, client: Client, message: m.UnblockedNotice) -> None:
        client.waits_for, client.waits_on, client.waits_to_begin = "", [], False
        self.effects.schedule(ev.WorkerUnblocked(time.monotonic(), client.peer))

    def _waiting(self, client: Client, message: m.WaitingNotice) -> None:
        client.waits_for, client.waits_on = message.text[:500], message.on[:100]
        client.waits_to_begin = not message.begun

    # --------------------------------------------------------------------- actors

    def _create_actor(self, client: Client, message: m.CreateActorRequest) -> None:
        _check_amounts(message.resources)
        _check_amounts(message.running_resources)
        if not message.actor_id:
            raise ValueError("an actor needs an id")
        if any(message.resources.get(name, 0) < units for name, units in message.running_resources.items()):
            raise ValueError("an actor holds no more than it is placed with")
        effects = self.node.actors.create(message, client.peer, time.time())
        actor = self.node.actors.actors.get(message.actor_id)
        if actor is not None and message.actor_id not in self.node.spec_holds and actor.placing:
            handle = self.node.segment.hold(message.spec_id)
            if handle:
                self.node.spec_holds[message.actor_id] = handle
        self.effects.run(effects)

    def _actor_subscribe(self, client: Client, message: m.ActorSubscribeRequest) -> None:
        self.effects.run(self.node.actors.subscribe(message.actor_id, client.peer))

    def _get_named_actor(self, client: Client, message: m.GetNamedActorRequest) -> None:
        actor = self.node.actors.find_named(message.name, message.namespace)
        if actor is None:
            error = f"There is none in namespace {message.namespace!r}."
            others = self.node.actors.namespaces_of(message.name)
            if others:
                error += f" That name exists in: {', '.join(repr(other) for other in others)}."
            self.node.send(client.peer, m.NamedActorReply(message.request_id, error=error))
            return
        request = actor.request
        reply = m.NamedActorReply(message.request_id, request.actor_id, request.class_name, request.handle_info)
        self.node.send(client.peer, reply)

    def _list_actors(self, client: Client, message: m.ListActorsRequest) -> None:
        notices = [actor.notice() for actor in self.node.actors]
        self.node.send(client.peer, m.ListActorsReply(message.request_id, notices))

    def _kill_actor(self, client: Client, message: m.KillActorRequest) -> None:
        killed = self.node.actors.kill(message.actor_id, message.no_restart, message.reason, time.time())
        self.effects.run(killed)

    def _actor_ready(self, client: Client, message: m.ActorReadyNotice) -> None:
        actors = self.node.actors
        if message.error or message.error_text:
            effects = actors.init_failed(
                message.actor_id, client.peer, message.incarnation, message.error, message.error_text, time.time()
            )  # fmt: skip
        else:
            effects = actors.ready(
                message.actor_id, client.peer, message.incarnation, time.time(), message.repr_name
            )  # fmt: skip
        self.effects.run(effects)

    def _actor_exit(self, client: Client, message: m.ActorExitNotice) -> None:
        worker = self.node.processes.by_peer.get(client.peer)
        if worker is not None:
            worker.exits_itself = True
        self.effects.run(self.node.actors.exit(message.actor_id, client.peer, message.cause))

    def end_forsaken_actors(self) -> None:
        """End the actors whose last handle went with a dead process."""
        for actor in list(self.node.actors):
            life_id = actor.request.life_id
            if life_id and actor.state != DEAD and not self.node.segment.contains(life_id):
                self.effects.run(self.node.actors.handles_gone(actor.request.actor_id))

    def _actor_handles_gone(self, client: Client, message: m.ActorHandlesGoneNotice) -> None:
        self.effects.run(self.node.actors.handles_gone(message.actor_id))

    # --------------------------------------------------------------------- memory

    def _room_wanted(self, client: Client, message: m.RoomWantedNotice) -> None:
        self.node.spiller.make_room(message.size)

    def _restore_wanted(self, client: Client, message: m.RestoreWantedNotice) -> None:
        self.node.spiller.restore(message.obj)

    def _value_lost(self, client: Client, message: m.ValueLostNotice) -> None:
        self.node.send(message.owner, message)

    # ---------------------------------------------------------------------- state

    def _define(self, client: Client, message: m.DefineNotice) -> None:
        message.name = message.name[:MAX_NAME_CHARS]
        message.origin = message.origin[:MAX_NAME_CHARS]
        message.kind = message.kind[:MAX_NAME_CHARS]
        message.env_key, message.function = message.env_key[:MAX_NAME_CHARS], message.function[:MAX_NAME_CHARS]
        _check_amounts(message.resources)
        self.node.events.define(message)

    def _set_cpus(self, client: Client, message: m.SetCpusRequest) -> None:
        """Any process of this user may ask: that is who can reach us at all."""
        totals = self.node.config.totals
        error = _why_not_so_many(message.units)
        if not error:
            totals[CPU] = message.units
            self.effects.schedule(ev.CpusSet(time.monotonic(), message.units))
            for other in list(self.node.clients.by_peer.values()):
                if other.role != OBSERVER:
                    self.node.send(other.peer, m.ResourcesNotice(dict(totals)))
        self.node.send(client.peer, m.SetCpusReply(message.request_id, totals.get(CPU, 0), error))

    def _is_wanted(self) -> None:
        """A node that was started ahead has its driver: from now on others find it, too."""
        config = self.node.config
        if config.started_by == session_dir.AHEAD:
            config.started_by = "init"
            session_dir.own(config.session_dir, started_by=config.started_by, version=__version__)

    def _state(self, client: Client, message: m.StateRequest) -> None:
        self.node.send(client.peer, report.state(self.node, message.request_id))

    def _usage(self, client: Client, message: m.UsageRequest) -> None:
        rows = self.node.usage.rows(message.since, lambda: report.running(self.node))
        self.node.send(client.peer, m.UsageReply(message.request_id, rows))

    def _events(self, client: Client, message: m.EventsRequest) -> None:
        self.node.events.drain()
        for reply in self.node.events.replies(message.request_id, message.since):
            self.node.send(client.peer, reply)

    def _metrics(self, client: Client, message: m.MetricsNotice) -> None:
        if self.node.metrics_port:
            self.node.application_metrics.take(client.peer, message.rows)

    def _list(self, client: Client, message: m.ListRequest) -> None:
        for reply in listings.replies(self.node, message.request_id, message.kind):
            self.node.send(client.peer, reply)

    def _key_value(self, client: Client, message: m.KeyValueRequest) -> None:
        for reply in key_values.replies(self.node.key_values, message):
            self.node.send(client.peer, reply)

    def _inspect(self, client: Client, message: m.InspectRequest) -> None:
        peers = {peer: other.pid for peer, other in self.node.clients.by_peer.items() if other.role != OBSERVER}
        if message.owner:
            peers = {peer: pid for peer, pid in peers.items() if peer == message.owner}
        self.node.inspections.ask(client.peer, message, peers)

    def _inspect_answer(self, client: Client, message: m.InspectedNotice) -> None:
        self.node.inspections.answered(client.peer, message)


def _bounded(metadata: dict[str, str]) -> dict[str, str]:
    """Return a job's metadata, cut to what fits into a message with others."""
    return {name[:MAX_NAME_CHARS]: text[:MAX_METADATA_CHARS] for name, text in list(metadata.items())[:MAX_METADATA]}


def _other_version(message: m.RegisterRequest) -> str:
    if message.version != m.PROTOCOL_VERSION:
        return f"protocol version {message.version}, the daemon has {m.PROTOCOL_VERSION}; use the same nbray in both"
    ours = ".".join(str(part) for part in sys.version_info[:2])
    if ".".join(message.python.split(".")[:2]) != ours:
        return f"Python {message.python} there, Python {ours} at the daemon ({sys.executable})"
    return ""


def _why_not_so_many(units: int) -> str:
    if units <= 0 or units % UNITS:
        return f"a node offers whole CPUs, 1 or more, not {units / UNITS:g}"
    if units > MAX_CPUS * UNITS:
        return f"at most {MAX_CPUS} CPUs, not {units // UNITS}"
    return machine.too_low(units // UNITS)


def _check_amounts(resources: dict[str, int]) -> None:
    if len(resources) > 100 or any(units < 0 or len(name) > MAX_NAME_CHARS for name, units in resources.items()):
        raise ValueError(f"amounts of resources are not negative, and at most 100: {resources!r:.200}")
