"""Placement groups: resources reserved together, for tasks and actors that belong together."""

from __future__ import annotations

import pickle
from typing import Any

from nbray import placement
from nbray import resources as amounts
from nbray.api import runtime
from nbray.core import groups
from nbray.exceptions import TaskUnschedulableError
from nbray.ids import PlacementGroupID
from nbray.object_ref import ObjectRef
from nbray.scheduling import bundle_placement
from nbray.scheduling.cluster_view import NodeView
from nbray.wire import messages as m

VALID_PLACEMENT_GROUP_STRATEGIES = STRATEGIES = (
    bundle_placement.PACK, bundle_placement.SPREAD, bundle_placement.STRICT_PACK, bundle_placement.STRICT_SPREAD
)  # fmt: skip
MAX_NAME_CHARS = 200


class PlacementGroup:
    """A handle of a placement group; may be passed to tasks and actors.

    Attributes
    ----------
    id : PlacementGroupID
    """

    def __init__(self, id: PlacementGroupID, bundle_cache: list[dict[str, float]] | None = None) -> None:
        self.id = id
        self.bundle_cache = bundle_cache

    @staticmethod
    def empty() -> PlacementGroup:
        """Return a handle of no group."""
        return PlacementGroup(PlacementGroupID.nil())  # type: ignore[arg-type]

    @property
    def is_empty(self) -> bool:
        """Whether this is a handle of no group."""
        return self.id.is_nil()

    def ready(self) -> ObjectRef:
        """Return a ref that gets this handle once all bundles are reserved.

        When the group is removed, or no node can ever have it, ``get`` of the ref raises
        TaskPlacementGroupRemoved or TaskUnschedulableError.
        """
        core = runtime.require_core()
        if self.is_empty:
            return core.put(self)
        return core.groups.ready(self.id.hex(), pickle.dumps(self, 5))

    def wait(self, timeout_seconds: float = 30) -> bool:
        """Wait until all bundles are reserved.

        Parameters
        ----------
        timeout_seconds : float

        Returns
        -------
        bool
            False when the time was over first.

        Raises
        ------
        TaskPlacementGroupRemoved
            When the group is removed.
        TaskUnschedulableError
            When no node can ever have one of its bundles.
        """
        return runtime.require_core().groups.wait(self.id.hex(), timeout_seconds)

    @property
    def bundle_specs(self) -> list[dict[str, float]]:
        """What each bundle has."""
        if self.bundle_cache is None:
            rows = _rows(self.id.hex()) if not self.is_empty else []
            if not rows:
                raise ValueError(
                    f"There is no placement group {self.id.hex()} on this cluster, or it was removed long ago."
                )
            self.bundle_cache = _plain(rows[0]["bundles"])
        return self.bundle_cache

    @property
    def bundle_count(self) -> int:
        """How many bundles it has."""
        return len(self.bundle_specs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PlacementGroup) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"PlacementGroup({self.id.hex()})"


def placement_group(
    bundles: list[dict[str, float]], strategy: str | None = None, name: str = "", lifetime: str | None = None,
    _soft_target_node_id: str | None = None, bundle_label_selector: list[dict[str, str]] | None = None,
    topology_strategy: dict[str, str] | None = None, *, wait_for_resources: bool = False,
) -> PlacementGroup:  # fmt: skip
    """Reserve bundles of resources, all or none; returns at once with the handle.

    Parameters
    ----------
    bundles : list of dict
        Resource -> amount, for each bundle; a bundle lies on one node.
    strategy : {"PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD"}
        Few nodes, or many; the strict ones exactly one, or one for each bundle. Default: PACK.
    name : str
        Under which ``get_placement_group`` finds it, in this namespace.
    lifetime : None or "detached"
        A group that is not detached is removed when its driver leaves; one that an actor made
        lives as long as that, if it outlives the driver.
    bundle_label_selector : list of dict, optional
        For each bundle the labels of its node.
    topology_strategy : dict, optional
        ``{"ray.io/node-id": strategy}`` says the same as ``strategy``; other labels are refused.
    wait_for_resources : bool
        Let a group wait that no node can have now. nbray only; Ray always waits.

    Raises
    ------
    ValueError
        For bundles, a strategy or a lifetime of another form.
    TaskUnschedulableError
        When no node can ever have one of the bundles: which, and why.
    RaySystemError
        When the name is taken.
    """
    core = runtime.require_core()
    strategy = _strategy(strategy, topology_strategy)
    packed = _check_bundles(bundles)
    selectors = _check_selectors(bundle_label_selector, len(bundles))
    if lifetime not in (None, "detached"):
        raise ValueError(f"Placement group `lifetime` must be None or 'detached', got {lifetime!r}.")
    if not isinstance(name, str):
        raise TypeError(f"The name of a placement group is a str, not {type(name)}.")
    if len(name) > MAX_NAME_CHARS:
        raise ValueError(f"The name of a placement group has at most {MAX_NAME_CHARS} characters.")
    if _soft_target_node_id and strategy != bundle_placement.STRICT_PACK:
        raise ValueError("_soft_target_node_id goes with strategy='STRICT_PACK' only.")
    if not wait_for_resources and core.totals and not selectors:
        # What this node alone can have is accepted at once; the daemon decides about all others.
        here = NodeView(core.node_id, core.totals, core.totals, 0)
        if bundle_placement.place(packed, strategy, [here], idle=True) is None:
            raise TaskUnschedulableError(bundle_placement.explain_impossible(name, packed, strategy, [here]))
    executor = getattr(core, "executor", None)
    request = m.CreateGroupRequest(
        group_id=groups.new_id(core), bundles=packed, strategy=strategy, name=name, namespace=core.namespace,
        detached=lifetime == "detached", job_id=core.job_id, actor_id=executor.actor_id if executor is not None else "",
        wait_for_resources=wait_for_resources, selectors=selectors,
    )  # fmt: skip
    core.groups.create(request)
    cache = [{resource: float(value) for resource, value in bundle.items()} for bundle in bundles]
    return PlacementGroup(PlacementGroupID(bytes.fromhex(request.group_id)), cache)


def remove_placement_group(placement_group: PlacementGroup) -> None:
    """Remove a group. Its tasks fail with TaskPlacementGroupRemoved, its actors die. Once more does nothing."""
    if not isinstance(placement_group, PlacementGroup):
        raise TypeError(f"remove_placement_group takes a PlacementGroup, not {type(placement_group)}.")
    runtime.require_core().groups.remove(placement_group.id.hex())


def get_placement_group(placement_group_name: str) -> PlacementGroup:
    """Return the handle of the group of this name.

    Raises
    ------
    ValueError
        When there is none in this namespace.
    """
    if not placement_group_name:
        raise ValueError("Please give get_placement_group a name; it got an empty one.")
    core = runtime.require_core()
    request = m.GetNamedGroupRequest(core.control.next_id(), placement_group_name, core.namespace)
    (reply,) = core.request(request)
    if not reply.group_id:
        raise ValueError(f"Failed to look up placement group with name: {placement_group_name}. {reply.error}")
    return PlacementGroup(PlacementGroupID(bytes.fromhex(reply.group_id)), _plain(reply.bundles))


def placement_group_table(placement_group: PlacementGroup | None = None) -> dict[str, Any]:
    """Return what is known of a group, or of all groups by id.

    Returns
    -------
    dict
        ``placement_group_id``, ``name``, ``bundles``, ``bundles_to_node_id``, ``strategy``,
        ``state`` (PENDING, CREATED, RESCHEDULING, REMOVED) and ``stats``.
    """
    if placement_group is None:
        return {row["placement_group_id"]: _table_row(row) for row in _rows("")}
    rows = _rows(placement_group.id.hex())
    return _table_row(rows[0]) if rows else {}


def get_current_placement_group() -> PlacementGroup | None:
    """Return the group in which the present task or actor runs; None in a driver, or without one."""
    executor = getattr(runtime.require_core(), "executor", None)
    group = executor.group if executor is not None else ""
    return PlacementGroup(PlacementGroupID(bytes.fromhex(group))) if group else None


def _rows(group_id: str) -> list[dict[str, Any]]:
    core = runtime.require_core()
    request = m.ListGroupsRequest(core.control.next_id(), group_id)
    parts = core.request(request, complete=lambda parts: bool(parts) and parts[-1].last)
    return [row for part in parts for row in part.groups]


def _plain(bundles: list[dict[str, int]]) -> list[dict[str, float]]:
    return [amounts.unpack(bundle) for bundle in bundles]


def _table_row(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "placement_group_id": row["placement_group_id"],
        "name": row["name"],
        "bundles": dict(enumerate(_plain(row["bundles"]))),
        "bundles_to_node_id": dict(enumerate(row["nodes"])),
        "strategy": row["strategy"],
        "state": row["state"],
        "stats": {
            "end_to_end_creation_latency_ms": row["creation_ms"],
            "scheduling_latency_ms": row["scheduling_ms"],
            "scheduling_attempt": row["scheduling_attempt"],
            "highest_retry_delay_ms": row["highest_retry_delay_ms"],
            "scheduling_state": row["scheduling_state"],
        },
    }


# ----------------------------------------------------------------------------- checks


def _strategy(strategy: Any, topology: Any) -> str:
    if topology is not None:
        if strategy is not None:
            raise ValueError("Give strategy or topology_strategy, not both.")
        if not isinstance(topology, dict) or set(topology) - {placement.NODE_ID_LABEL}:
            raise ValueError(
                f"topology_strategy={topology!r}: nbray places by node only, as {{'{placement.NODE_ID_LABEL}': 'PACK'}}."
            )
        strategy = topology.get(placement.NODE_ID_LABEL)
    if strategy is None:
        return bundle_placement.PACK
    if strategy not in STRATEGIES:
        raise ValueError(f"Invalid placement group strategy {strategy!r}: give one of {', '.join(STRATEGIES)}.")
    return strategy


def _check_bundles(bundles: Any) -> list[dict[str, int]]:
    """Return the bundles in units."""
    form = 'a list of dicts of resource to amount, as in [{"CPU": 1}, {"GPU": 1}]'
    if not isinstance(bundles, list) or not bundles:
        raise ValueError(f"Placement group bundles must be {form}, and not empty; got {bundles!r}.")
    if len(bundles) > bundle_placement.MAX_BUNDLES:
        raise ValueError(f"A placement group has at most {bundle_placement.MAX_BUNDLES} bundles, not {len(bundles)}.")
    packed = []
    for index, bundle in enumerate(bundles):
        if not isinstance(bundle, dict) or not all(isinstance(resource, str) for resource in bundle):
            raise ValueError(f"Placement group bundles must be {form}; bundle {index} is {bundle!r}.")
        try:
            packed.append(amounts.pack(bundle))
        except ValueError as error:
            raise ValueError(f"Bundle {index} of the placement group, {bundle!r}: {error}.") from None
        if not packed[-1]:
            raise ValueError(f"Bundle {index} of the placement group asks for nothing: {bundle!r}.")
    return packed


def _check_selectors(selectors: Any, count: int) -> list[placement.Rules]:
    if selectors is None:
        return []
    if not isinstance(selectors, list) or len(selectors) != count:
        raise ValueError(f"bundle_label_selector must be a list with a dict for each of the {count} bundles.")
    try:
        return [placement.parse_selector(f"bundle_label_selector[{i}]", entry) for i, entry in enumerate(selectors)]
    except TypeError as error:
        raise ValueError(str(error)) from None


__all__ = [
    "PlacementGroup",
    "get_current_placement_group",
    "get_placement_group",
    "placement_group",
    "placement_group_table",
    "remove_placement_group",
]
