"""Where a call goes: its options, and what captures it, become a Target.

Done once per set of options and scope, never per call.
"""

from __future__ import annotations

from typing import Any

from nbray import placement
from nbray.core.current import Scope
from nbray.options import UNIT, describe
from nbray.placement import (
    NodeAffinitySchedulingStrategy,
    NodeLabelSchedulingStrategy,
    PlacementGroupSchedulingStrategy,
    Target,
)

ANYWHERE = Target()
DEFAULT_GROUP = "default"
# Options that only say where and with what an actor runs: its worker is told in other ways.
NOT_FOR_WORKERS = (
    "resources", "scheduling_strategy", "placement_group", "placement_group_bundle_index",
    "placement_group_capture_child_tasks", "label_selector", "fallback_strategy", "runtime_env",
)  # fmt: skip


def resolve(
    options: dict[str, Any], scope: Scope, shape: dict[str, int], placing_shape: dict[str, int], what: str
) -> tuple[str, Target, bool]:
    """Return (strategy, target, whether what it submits is captured).

    Parameters
    ----------
    options : dict
        Checked.
    scope : Scope
    shape, placing_shape : dict
        What it holds while it runs, and what must be free to place it, in units.
    what : str
        ``task f`` or ``actor A``, for messages.

    Raises
    ------
    ValueError
        For a bundle that the group has not, or amounts that none of its bundles can give.
    TypeError
        For a strategy with something else than a placement group.
    """
    strategy = options.get("scheduling_strategy")
    group = options.get("placement_group", DEFAULT_GROUP)
    rules = options.get("label_selector") or ()
    fallbacks = options.get("fallback_strategy") or ()
    if strategy is None and group == DEFAULT_GROUP and options.get("placement_group_bundle_index", -1) != -1:
        raise ValueError(
            f"placement_group_bundle_index={options['placement_group_bundle_index']} without a placement_group: leave it out, "
            "or give the group."
        )
    if strategy is None and group == DEFAULT_GROUP and not scope.group:
        if not rules and not fallbacks:
            return "DEFAULT", ANYWHERE, False
        return "DEFAULT", Target(rules=rules, fallbacks=fallbacks), False
    if isinstance(strategy, NodeAffinitySchedulingStrategy):
        target = Target(node_id=strategy.node_id, soft=strategy.soft, at_once=strategy._fail_on_unavailable)
        return "DEFAULT", target, False
    if isinstance(strategy, NodeLabelSchedulingStrategy):
        return "DEFAULT", Target(rules=strategy.hard + rules, fallbacks=fallbacks, preferred=strategy.soft), False
    index, captures = -1, None
    group_id = scope.group
    if isinstance(strategy, PlacementGroupSchedulingStrategy):
        group_id, group = "", strategy.placement_group
        index, captures = strategy.placement_group_bundle_index, strategy.placement_group_capture_child_tasks
    elif strategy is not None:  # a name, which also frees it from the parent's group
        return strategy, Target(rules=rules, fallbacks=fallbacks), False
    elif group != DEFAULT_GROUP:
        group_id = ""
        index = options.get("placement_group_bundle_index", -1)
        captures = options.get("placement_group_capture_child_tasks")
    if group_id:  # captured
        return "DEFAULT", Target(group=group_id), True
    if group is None or getattr(group, "is_empty", False):
        if index != -1:
            raise ValueError(
                f"Bundle {index} of no placement group: leave placement_group_bundle_index out, or give a group."
            )
        return "DEFAULT", Target(rules=rules, fallbacks=fallbacks), False
    if not hasattr(type(group), "bundle_specs"):
        raise TypeError(f"placement_group must be a PlacementGroup or None, got {group!r}.")
    _check_fit(group, index, shape, placing_shape, what)
    inherits = bool(scope.group) if captures is None else captures
    return "DEFAULT", Target(group=group.id.hex(), bundle=index), inherits


def _check_fit(group: Any, index: int, shape: dict[str, int], placing_shape: dict[str, int], what: str) -> None:
    bundles = group.bundle_specs
    if not -1 <= index < len(bundles):
        raise ValueError(
            f"placement group bundle index {index} is invalid: the group has {len(bundles)} bundles, 0 to {len(bundles) - 1}, "
            "and -1 means any."
        )
    for need in (shape, placing_shape):
        if not any(all(bundle.get(name, 0) * UNIT >= units for name, units in need.items()) for bundle in bundles):
            why = ""
            if need is not shape:
                why = " An actor that asks for nothing needs 1 CPU to be placed, although it holds none."
            raise ValueError(
                f"Cannot schedule {what} with the placement group: it asks for {describe(need)}, which cannot fit into any "
                f"bundle of the group, {bundles}.{why}"
            )


def is_anywhere(target: placement.Target) -> bool:
    """Return True when nothing is said about where it runs."""
    return target == ANYWHERE
