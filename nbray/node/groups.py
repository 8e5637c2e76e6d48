"""Placement groups on the daemon's side: messages in, the table's decisions carried out."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from nbray.control import placement_group_table as gt
from nbray.control.actor_table import DEAD
from nbray.node.clients import Client
from nbray.node.node_state import NodeState
from nbray.scheduling import events as ev
from nbray.scheduling.bundle_placement import MAX_BUNDLES
from nbray.wire import messages as m

ROWS_AT_ONCE = 500  # so that a message stays below its limit
BUNDLES_AT_ONCE = 2000
MAX_NAME_CHARS = 200


class Groups:
    """What the daemon does about placement groups.

    Parameters
    ----------
    node : NodeState
    schedule : callable
        Feeds the scheduler an event.
    run : callable
        Carries out effects, of whatever table.
    """

    def __init__(self, node: NodeState, schedule: Callable[[ev.Event], None], run: Callable[[list[Any]], None]) -> None:
        self.node = node
        self._schedule = schedule
        self._run = run
        self.actions: dict[type, Callable[[Any], None]] = {
            gt.Prepare: self._prepare,
            gt.Commit: self._commit,
            gt.GiveBack: self._give_back,
            gt.Notify: self._notify,
            gt.EndActors: self._end_actors,
            ev.BundlesAnswer: self._answered,
        }
        self.methods: dict[type, Callable[[Client, Any], None]] = {
            m.CreateGroupRequest: self._create,
            m.RemoveGroupRequest: self._remove,
            m.WatchGroupRequest: self._watch,
            m.GetNamedGroupRequest: self._get_named,
            m.ListGroupsRequest: self._list,
        }

    # ------------------------------------------------------------------- messages

    def _create(self, client: Client, message: m.CreateGroupRequest) -> None:
        if not message.group_id or len(message.bundles) > MAX_BUNDLES:
            raise ValueError(f"a group has an id, and at most {MAX_BUNDLES} bundles")
        for bundle in message.bundles:
            if not bundle or any(units <= 0 or len(name) > MAX_NAME_CHARS for name, units in bundle.items()):
                raise ValueError(f"amounts of a bundle are above zero: {bundle!r:.200}")
        actor = self.node.actors.actors.get(message.actor_id)
        created = self.node.groups.create(
            message, client.peer, time.monotonic(), job_ended=self.node.jobs.has_ended(message.job_id),
            actor_ended=bool(message.actor_id) and (actor is None or actor.state == DEAD),
        )  # fmt: skip
        self._run(created)

    def _remove(self, client: Client, message: m.RemoveGroupRequest) -> None:
        self._run(self.node.groups.remove(message.group_id, client.peer))

    def _watch(self, client: Client, message: m.WatchGroupRequest) -> None:
        self._run(self.node.groups.watch(message.group_id, client.peer))

    def _get_named(self, client: Client, message: m.GetNamedGroupRequest) -> None:
        group = self.node.groups.find_named(message.name, message.namespace)
        reply = m.NamedGroupReply(message.request_id)
        if group is not None:
            reply.group_id, reply.bundles = group.request.group_id, group.request.bundles
        else:
            reply.error = f"There is no placement group named {message.name!r} in namespace {message.namespace!r}."
            others = self.node.groups.namespaces_of(message.name)
            if others:
                reply.error += f" That name exists in: {', '.join(repr(other) for other in others)}."
        self.node.send(client.peer, reply)

    def _list(self, client: Client, message: m.ListGroupsRequest) -> None:
        part = m.ListGroupsReply(message.request_id)
        bundles = 0
        for row in self.node.groups.describe(message.group_id):
            if part.groups and (bundles >= BUNDLES_AT_ONCE or len(part.groups) >= ROWS_AT_ONCE):
                self.node.send(client.peer, part)
                part, bundles = m.ListGroupsReply(message.request_id), 0
            part.groups.append(row)
            bundles += len(row["bundles"])
        part.last = True
        self.node.send(client.peer, part)

    # -------------------------------------------------------------------- effects

    def _prepare(self, effect: gt.Prepare) -> None:
        self._schedule(ev.BundlesWanted(time.monotonic(), effect.group_id, effect.bundles, effect.wait))

    def _answered(self, effect: ev.BundlesAnswer) -> None:
        node_id, now = self.node.config.node_id, time.monotonic()
        answer = self.node.groups.prepared if effect.reserved else self.node.groups.refused
        self._run(answer(effect.group, node_id, now))

    def _commit(self, effect: gt.Commit) -> None:
        self._schedule(ev.BundlesCommitted(time.monotonic(), effect.group_id))

    def _give_back(self, effect: gt.GiveBack) -> None:
        self._schedule(ev.BundlesUnwanted(time.monotonic(), effect.group_id, effect.removed))

    def _notify(self, effect: gt.Notify) -> None:
        for peer in effect.peers:
            self.node.send(peer, effect.notice)

    def _end_actors(self, effect: gt.EndActors) -> None:
        self._run(self.node.actors.group_removed(effect.group_id, time.time()))
