"""The placement groups of the cluster: their state, names, and where their bundles are.

Pure: each call is an event and returns effects, in order. Time comes in as an argument.
A group is reserved in two steps: every node that is to have bundles of it *prepares* them,
and when all have, they *commit*; if one cannot, the others give theirs back and the group
waits. When one node is enough, that node keeps the request in its queue instead. States
are Ray's; see GROUP_TRANSITIONS.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from nbray.config import Limits
from nbray.resources import ResourceSet
from nbray.scheduling import bundle_placement
from nbray.scheduling.cluster_view import ClusterView
from nbray.wire.messages import CreateGroupRequest, GroupNotice

PENDING, CREATED, RESCHEDULING, REMOVED = "PENDING", "CREATED", "RESCHEDULING", "REMOVED"

# (state, event) -> states that may follow. What comes to a group that is REMOVED is ignored.
GROUP_TRANSITIONS: dict[tuple[str, str], tuple[str, ...]] = {
    (PENDING, "prepared"): (PENDING, CREATED),
    (PENDING, "refused"): (PENDING,),
    (PENDING, "node_died"): (PENDING,),
    (PENDING, "remove"): (REMOVED,),
    (CREATED, "node_died"): (RESCHEDULING,),
    (CREATED, "remove"): (REMOVED,),
    (RESCHEDULING, "prepared"): (RESCHEDULING, CREATED),
    (RESCHEDULING, "refused"): (RESCHEDULING,),
    (RESCHEDULING, "node_died"): (RESCHEDULING,),
    (RESCHEDULING, "remove"): (REMOVED,),
}
GROUP_EVENTS = ("prepared", "refused", "node_died", "remove")


class Effect(msgspec.Struct, frozen=True):
    """Base of what the table wants done."""


class Prepare(Effect, frozen=True):
    """Have a node reserve bundles; it answers. ``wait``: as soon as they fit, else now or never."""

    node_id: str
    group_id: str
    bundles: dict[int, ResourceSet]
    wait: bool


class Commit(Effect, frozen=True):
    """Have a node open the bundles that it has reserved."""

    node_id: str
    group_id: str


class GiveBack(Effect, frozen=True):
    """Have a node end the group's bundles; ``removed``: and all that waits for them or runs in them."""

    node_id: str
    group_id: str
    removed: bool


class Notify(Effect, frozen=True):
    """Send the notice to these processes."""

    peers: tuple[int, ...]
    notice: GroupNotice


class EndActors(Effect, frozen=True):
    """The actors of this group end with it."""

    group_id: str


class GroupRecord:
    """One placement group."""

    __slots__ = (
        "actor_ended", "attempts", "created_at", "highest_delay_s", "infeasible", "job_ended", "nodes", "owner", "placed_at", "prepared", "request",
        "retry_at", "state", "tried_at", "watchers",
    )  # fmt: skip

    def __init__(self, request: CreateGroupRequest, owner: int, now: float) -> None:
        self.request = request
        self.owner = owner  # peer that created it
        self.state = PENDING
        self.job_ended = False
        self.actor_ended = not request.actor_id  # the actor that made it, if it was one
        self.nodes: dict[int, str] = {}  # bundle -> node that has been asked for it, or has it
        self.prepared: set[str] = set()  # nodes that have reserved theirs
        self.attempts = 0
        self.infeasible = ""  # why no node can ever have it, while it waits nevertheless
        self.retry_at: float | None = None
        self.highest_delay_s = 0.0
        self.created_at = self.tried_at = now
        self.placed_at = 0.0
        self.watchers: dict[int, None] = {owner: None}

    def notice(self) -> GroupNotice:
        """Return what watchers are told."""
        return GroupNotice(group_id=self.request.group_id, state=self.state)


class PlacementGroupTable:
    """Group id -> record, and names.

    Parameters
    ----------
    cluster : ClusterView
        The nodes; live.
    limits : Limits, optional
    """

    def __init__(self, cluster: ClusterView, limits: Limits | None = None) -> None:
        self.cluster = cluster
        self.limits = limits or Limits()
        self.groups: dict[str, GroupRecord] = {}
        self.names: dict[tuple[str, str], str] = {}  # (namespace, name) -> id, of groups not REMOVED
        self._removed: dict[str, None] = {}  # oldest first
        self._unplaced: dict[str, None] = {}  # groups that wait to be tried again

    # ---------------------------------------------------------------------- events

    def create(
        self, request: CreateGroupRequest, owner: int, now: float, *, job_ended: bool = False, actor_ended: bool = False
    ) -> list[Effect]:
        """Somebody wants a group. Saying it again is answered with the state.

        What it ends with may be over already: its job, if a detached actor makes it, and that actor.
        """
        group_id = request.group_id
        if group_id in self.groups:
            return self.watch(group_id, owner)
        if request.strategy not in (
            bundle_placement.PACK, bundle_placement.SPREAD, bundle_placement.STRICT_PACK, bundle_placement.STRICT_SPREAD
        ):  # fmt: skip
            raise ValueError(f"there is no strategy {request.strategy!r}")
        if not request.bundles or (request.selectors and len(request.selectors) != len(request.bundles)):
            raise ValueError("a group has bundles, and a label selector for each or for none")
        if request.name and (request.namespace, request.name) in self.names:
            return [Notify((owner,), GroupNotice(group_id=group_id, state=REMOVED, name_taken=True))]
        group = GroupRecord(request, owner, now)
        group.job_ended = job_ended and not request.detached
        group.actor_ended = group.actor_ended or actor_ended
        if group.job_ended and actor_ended:
            return [Notify((owner,), GroupNotice(group_id=group_id, state=REMOVED))]
        nodes = list(self.cluster)
        chosen = bundle_placement.place(request.bundles, request.strategy, nodes, request.selectors)
        if chosen is None and not request.wait_for_resources and not self._possible(request, nodes):
            why = bundle_placement.explain_impossible(
                request.name, request.bundles, request.strategy, nodes, request.selectors
            )
            return [Notify((owner,), GroupNotice(group_id=group_id, state=REMOVED, infeasible=why))]
        self.groups[group_id] = group
        if request.name:
            self.names[request.namespace, request.name] = group_id
        # Only the maker of a named group waits to hear that it is accepted.
        accepted: list[Effect] = [Notify((owner,), group.notice())] if request.name else []
        return [*accepted, *self._try(group, now, chosen)]

    def prepared(self, group_id: str, node_id: str, now: float) -> list[Effect]:
        """A node has reserved its bundles."""
        group = self._find(group_id, "prepared")
        if group is None or node_id not in group.nodes.values():
            return [GiveBack(node_id, group_id, removed=False)]  # it was asked too late
        group.prepared.add(node_id)
        nodes = sorted(set(group.nodes.values()))
        if group.prepared != set(nodes):
            return []
        self._enter(group, CREATED, "prepared")
        group.placed_at = now
        group.retry_at = None
        self._unplaced.pop(group_id, None)
        return [*(Commit(node, group_id) for node in nodes), Notify(tuple(group.watchers), group.notice())]

    def refused(self, group_id: str, node_id: str, now: float) -> list[Effect]:
        """A node has no room for its bundles now."""
        group = self._find(group_id, "refused")
        if group is None or node_id not in group.nodes.values():
            return []
        return self._again(group, now)

    def remove(self, group_id: str, remover: int = 0) -> list[Effect]:
        """Somebody removes the group; once more does nothing. ``remover``: a process that need not be told."""
        group = self._find(group_id, "remove")
        if group is None:
            return []
        request = group.request
        self._enter(group, REMOVED, "remove")
        if self.names.get((request.namespace, request.name)) == group_id:
            del self.names[request.namespace, request.name]
        self._unplaced.pop(group_id, None)
        group.retry_at = None
        self._removed[group_id] = None
        group.watchers.pop(remover, None)
        nodes = sorted(set(group.nodes.values())) or [node.node_id for node in self.cluster]
        effects: list[Effect] = [GiveBack(node, group_id, removed=True) for node in nodes]
        effects += [EndActors(group_id), Notify(tuple(group.watchers), group.notice())]
        group.watchers.clear()
        while len(self._removed) > self.limits.removed_groups:
            oldest = next(iter(self._removed))
            del self._removed[oldest], self.groups[oldest]
        return effects

    def job_ended(self, job_id: int) -> list[Effect]:
        """A driver left: its groups end with it, unless detached, or an actor that made one lives on."""
        effects: list[Effect] = []
        for group_id, group in list(self.groups.items()):
            if group.state != REMOVED and group.request.job_id == job_id and not group.request.detached:
                group.job_ended = True
                if group.actor_ended:
                    effects += self.remove(group_id)
        return effects

    def actor_died(self, actor_id: str) -> list[Effect]:
        """An actor is dead for good: so are the groups that it made, once their job has ended too."""
        effects: list[Effect] = []
        for group_id, group in list(self.groups.items()):
            if group.state != REMOVED and group.request.actor_id == actor_id:
                group.actor_ended = True
                if group.job_ended:
                    effects += self.remove(group_id)
        return effects

    def node_died(self, node_id: str, now: float) -> list[Effect]:
        """A node is gone: groups that had bundles there are placed anew, as a whole."""
        effects: list[Effect] = []
        for group_id, group in list(self.groups.items()):
            if group.state == REMOVED or node_id not in group.nodes.values():
                continue
            self._find(group_id, "node_died")
            if group.state == CREATED:
                self._enter(group, RESCHEDULING, "node_died")
                effects.append(Notify(tuple(group.watchers), group.notice()))
            group.nodes = {index: node for index, node in group.nodes.items() if node != node_id}
            group.prepared.discard(node_id)
            effects += self._again(group, now)
        return effects

    def tick(self, now: float) -> list[Effect]:
        """Try the groups again whose pause is over."""
        effects: list[Effect] = []
        for group_id in list(self._unplaced):
            group = self.groups[group_id]
            if group.retry_at is not None and group.retry_at <= now:
                effects += self._try(group, now)
        return effects

    def next_wakeup(self) -> float | None:
        """Return when ``tick`` is due."""
        times = [time for group_id in self._unplaced if (time := self.groups[group_id].retry_at) is not None]
        return min(times) if times else None

    # ------------------------------------------------------------------- questions

    def watch(self, group_id: str, peer: int) -> list[Effect]:
        """A process wants to know what happens to the group."""
        group = self.groups.get(group_id)
        if group is None:
            return [Notify((peer,), GroupNotice(group_id=group_id, state=REMOVED))]
        if group.state != REMOVED:
            group.watchers[peer] = None
        return [Notify((peer,), group.notice())]

    def process_died(self, peer: int) -> None:
        """Forget a watcher."""
        for group in self.groups.values():
            group.watchers.pop(peer, None)

    def is_gone(self, group_id: str) -> bool:
        """Return True for a group that was removed, or never was."""
        group = self.groups.get(group_id)
        return group is None or group.state == REMOVED

    def nodes_of(self, group_id: str, bundle: int) -> list[str]:
        """Return the nodes that have the bundle, or for -1 any bundle, of a CREATED group."""
        group = self.groups.get(group_id)
        if group is None or group.state != CREATED:
            return []
        return sorted({node for index, node in group.nodes.items() if bundle in (-1, index)})

    def find_named(self, name: str, namespace: str) -> GroupRecord | None:
        """Return the group of this name that is not removed."""
        group_id = self.names.get((namespace, name))
        return self.groups[group_id] if group_id is not None else None

    def namespaces_of(self, name: str) -> list[str]:
        """Return the namespaces in which the name is taken."""
        return sorted(namespace for namespace, other in self.names if other == name)

    def describe(self, group_id: str = "") -> list[dict[str, Any]]:
        """Return the rows of a ListGroupsReply; amounts in units."""
        return [_row(group) for key, group in self.groups.items() if group_id in ("", key)]

    def __iter__(self) -> Iterator[GroupRecord]:
        return iter(list(self.groups.values()))

    # ------------------------------------------------------------------- placement

    def _possible(self, request: CreateGroupRequest, nodes: Sequence[Any]) -> bool:
        placed = bundle_placement.place(request.bundles, request.strategy, nodes, request.selectors, idle=True)
        return placed is not None

    def _try(self, group: GroupRecord, now: float, chosen: dict[int, str] | None = None) -> list[Effect]:
        """Ask nodes for all bundles; ``chosen``: those that have room, when that is known already."""
        request = group.request
        nodes = list(self.cluster)
        if chosen is None:
            chosen = bundle_placement.place(request.bundles, request.strategy, nodes, request.selectors)
        if chosen is None:
            # Nobody has room: the node that will have it, if one is enough, keeps the request.
            chosen = bundle_placement.place(request.bundles, request.strategy, nodes, request.selectors, idle=True)
            if chosen is not None and len(set(chosen.values())) > 1:
                chosen = None
        group.attempts += 1
        group.tried_at = now
        group.infeasible = "" if chosen is not None or self._possible(request, nodes) else "no node can ever have it"
        if chosen is None:
            return self._again(group, now)
        group.retry_at = None
        self._unplaced.pop(request.group_id, None)
        group.nodes = chosen
        group.prepared = set()
        by_node: dict[str, dict[int, ResourceSet]] = {}
        for index, node_id in sorted(chosen.items()):
            by_node.setdefault(node_id, {})[index] = request.bundles[index]
        alone = len(by_node) == 1
        return [Prepare(node_id, request.group_id, bundles, wait=alone) for node_id, bundles in sorted(by_node.items())]

    def _again(self, group: GroupRecord, now: float) -> list[Effect]:
        """Give back what was reserved, and try anew after a pause that doubles."""
        effects: list[Effect] = [
            GiveBack(node_id, group.request.group_id, removed=False) for node_id in sorted(set(group.nodes.values()))
        ]
        group.nodes = {}
        group.prepared = set()
        delay = min(
            self.limits.group_retry_s * 2.0 ** min(max(group.attempts - 1, 0), 20), self.limits.group_retry_max_s
        )
        group.highest_delay_s = max(group.highest_delay_s, delay)
        group.retry_at = now + delay
        self._unplaced[group.request.group_id] = None
        return effects

    def _find(self, group_id: str, event: str) -> GroupRecord | None:
        group = self.groups.get(group_id)
        if group is None or group.state == REMOVED:
            return None
        if (group.state, event) not in GROUP_TRANSITIONS:
            if event in ("prepared", "refused"):  # said twice by its node
                return None
            raise ValueError(f"placement group {group_id} is {group.state}: no {event!r} there")
        return group

    def _enter(self, group: GroupRecord, state: str, event: str) -> None:
        assert state in GROUP_TRANSITIONS[group.state, event], (group.state, event, state)
        group.state = state

    def validate(self) -> None:
        """Raise AssertionError unless names, nodes and states agree."""
        for group_id, group in self.groups.items():
            request = group.request
            assert request.group_id == group_id
            removed = group.state == REMOVED
            assert removed == (group_id in self._removed)
            named = self.names.get((request.namespace, request.name)) == group_id
            assert named == (bool(request.name) and not removed)
            assert not removed or not group.watchers
            assert (group.retry_at is not None) == (group_id in self._unplaced)
            if group.state == CREATED:
                assert set(group.nodes) == set(range(len(request.bundles)))
                assert group.prepared == set(group.nodes.values())
        assert len(self._removed) <= self.limits.removed_groups


def _row(group: GroupRecord) -> dict[str, Any]:
    request = group.request
    waits = "INFEASIBLE" if group.infeasible else "NO_RESOURCES" if group.attempts else "QUEUED"
    return {
        "placement_group_id": request.group_id,
        "name": request.name,
        "namespace": request.namespace,
        "job_id": request.job_id,
        "detached": request.detached,
        "bundles": request.bundles,
        "nodes": [
            group.nodes.get(index, "") if group.state != PENDING else "" for index in range(len(request.bundles))
        ],
        "strategy": request.strategy,
        "state": group.state,
        "scheduling_state": {CREATED: "FINISHED", REMOVED: "REMOVED"}.get(group.state, waits),
        "scheduling_attempt": group.attempts,
        "highest_retry_delay_ms": group.highest_delay_s * 1000,
        "creation_ms": (group.placed_at - group.created_at) * 1000 if group.placed_at else 0.0,
        "scheduling_ms": (group.placed_at - group.tried_at) * 1000 if group.placed_at else 0.0,
    }
