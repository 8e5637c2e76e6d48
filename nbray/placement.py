"""Where a task or actor is to run: scheduling strategies, label selectors, and what both come to.

The strategies are what users write (``nbray.util.scheduling_strategies``). A Target is what
they mean, in a form that goes into messages and is a key: schedulers know only that.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

IN, NOT_IN, EXISTS, ABSENT = "in", "not in", "exists", "absent"
NODE_ID_LABEL = "ray.io/node-id"
ACCELERATOR_LABEL = "ray.io/accelerator-type"
ACCELERATOR_PREFIX = "accelerator_type:"
ACCELERATOR_SHARE = 0.001  # of ``accelerator_type:X``, which a node has once: it selects, it does not limit

_WORD = r"[a-zA-Z0-9](?:[a-zA-Z0-9._-]{0,61}[a-zA-Z0-9])?"
_KEY = re.compile(rf"(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]{{0,251}}[a-zA-Z0-9])?/)?{_WORD}")
_VALUE = re.compile(_WORD)
_SET = re.compile(r"in\(\s*([^()]*?)\s*\)")
_NODE_ID_CHARS = 56


class LabelRule(msgspec.Struct, frozen=True):
    """What one label of a node must be."""

    key: str
    operator: str  # IN, NOT_IN, EXISTS, ABSENT
    values: tuple[str, ...] = ()

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Return True for a node with these labels. A label that is absent is not in any set."""
        value = labels.get(self.key)
        if self.operator == IN:
            return value in self.values
        if self.operator == NOT_IN:
            return value not in self.values
        return (value is not None) == (self.operator == EXISTS)

    def __str__(self) -> str:
        if self.operator in (IN, NOT_IN):
            return f"{self.key} {self.operator} ({', '.join(self.values)})"
        return f"{self.key} {self.operator}"


Rules = tuple[LabelRule, ...]


class Target(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a request may go. All fields at their default: anywhere."""

    node_id: str = ""
    soft: bool = False  # another node will do when this one is not there or can never give it
    group: str = ""  # id of a placement group, hex
    bundle: int = -1  # of the group; -1: any
    rules: Rules = ()  # labels that the node must have
    fallbacks: tuple[Rules, ...] = ()  # tried in order when no node has these
    preferred: Rules = ()  # labels that the node should have
    at_once: bool = False  # it fails where it would have to wait for what others use


def describe_rules(rules: Sequence[LabelRule]) -> str:
    """Return rules in words."""
    return ", ".join(str(rule) for rule in rules)


def allows(rules: Sequence[LabelRule], labels: Mapping[str, str]) -> bool:
    """Return True when all rules hold for a node with these labels."""
    return all(rule.holds(labels) for rule in rules)


# --------------------------------------------------------------------- label selectors


def parse_selector(name: str, selector: Any) -> Rules:
    """Return the rules that a label selector means.

    Parameters
    ----------
    selector : dict of str to str
        Label -> ``"v"``, ``"!v"``, ``"in(v, w)"`` or ``"!in(v, w)"``.

    Raises
    ------
    TypeError, ValueError
        For another type, or a text in another form.
    """
    if not isinstance(selector, Mapping) or not all(
        isinstance(text, str) for pair in selector.items() for text in pair
    ):
        raise TypeError(f"The keyword '{name}' must be a dict of str to str, got {selector!r}.")
    return tuple(_parse_rule(name, key, text) for key, text in selector.items())


def selector_of(rules: Rules) -> dict[str, str]:
    """Return the label selector that has these rules, as ``parse_selector`` takes it."""
    found = {}
    for rule in rules:
        if rule.operator in (IN, NOT_IN):
            values = rule.values[0] if len(rule.values) == 1 else f"in({', '.join(rule.values)})"
            found[rule.key] = values if rule.operator == IN else f"!{values}"
    return found


def _parse_rule(name: str, key: str, text: str) -> LabelRule:
    _check_key(name, key)
    wanted = not text.startswith("!")
    rest = text if wanted else text[1:]
    several = _SET.fullmatch(rest)
    values = tuple(part.strip() for part in several[1].split(",")) if several else (rest,)
    for value in values:
        if not _VALUE.fullmatch(value) and not (wanted and not several and not value):
            raise ValueError(
                f"{name}: {_form('value', text)} Write 'v', '!v', 'in(v, w)' or '!in(v, w)' for the label {key!r}."
            )
    return LabelRule(key, IN if wanted else NOT_IN, values)


def _check_key(name: str, key: str) -> None:
    if not _KEY.fullmatch(key):
        raise ValueError(f"{name}: {_form('key', key)}")


def _form(what: str, text: str) -> str:
    return (
        f"Invalid label {what} {text!r}: at most 63 letters, digits, '-', '_' and '.', with a letter or a digit at "
        "both ends."
    )


# ------------------------------------------------------------------------- strategies


class PlacementGroupSchedulingStrategy:
    """Run in a placement group.

    Parameters
    ----------
    placement_group : PlacementGroup or None
        None: in no group, also where the parent's group would be captured.
    placement_group_bundle_index : int
        Bundle of the group; -1: any.
    placement_group_capture_child_tasks : bool, optional
        Whether what it submits runs in the same group, unless told otherwise.
    """

    def __init__(
        self, placement_group: Any, placement_group_bundle_index: int = -1,
        placement_group_capture_child_tasks: bool | None = None,
    ) -> None:  # fmt: skip
        self.placement_group = placement_group
        self.placement_group_bundle_index = placement_group_bundle_index
        self.placement_group_capture_child_tasks = placement_group_capture_child_tasks


class NodeAffinitySchedulingStrategy:
    """Run on one node.

    Parameters
    ----------
    node_id : str or NodeID
        56 hex digits, as in ``nodes()[i]["NodeID"]``.
    soft : bool
        Run elsewhere when that node is not there or can never give what is asked for; else
        the task fails with TaskUnschedulableError.
    _spill_on_unavailable : bool
        With ``soft``: run elsewhere also when what is asked for is in use there now. nbray has one
        node, so there is no elsewhere.
    _fail_on_unavailable : bool
        Without ``soft``: fail in the same way when what is asked for is in use there now.

    Raises
    ------
    ValueError
        When ``node_id`` is not the id of a node, or the last two do not go with ``soft``.
    """

    def __init__(
        self, node_id: Any, soft: bool, _spill_on_unavailable: bool = False, _fail_on_unavailable: bool = False
    ) -> None:
        self.node_id = node_id if isinstance(node_id, str) else node_id.hex()
        self.soft = soft
        self._spill_on_unavailable = _spill_on_unavailable
        self._fail_on_unavailable = _fail_on_unavailable
        hexadecimal = re.fullmatch(rf"[0-9a-fA-F]{{{_NODE_ID_CHARS}}}", self.node_id)
        if not hexadecimal or not self.node_id.lower().strip("f"):
            raise ValueError(
                f"Invalid node_id {self.node_id!r}: give the {_NODE_ID_CHARS} hex digits of a node from nbray.nodes()."
            )
        if _spill_on_unavailable and not soft:
            raise ValueError("_spill_on_unavailable needs soft=True.")
        if _fail_on_unavailable and soft:
            raise ValueError("_fail_on_unavailable needs soft=False.")


class _LabelOperator:
    """One of In, NotIn, Exists, DoesNotExist."""

    operator = ""
    values: list[str] = []


class _Among(_LabelOperator):
    def __init__(self, *values: str) -> None:
        name = type(self).__name__
        if not values:
            raise ValueError(f'{name}() needs at least one value, as in {name}("value1", "value2").')
        for value in values:
            if not isinstance(value, str):
                raise ValueError(f"The values of {name} must be str, got {value!r} ({type(value).__name__}).")
        self.values = list(values)


class In(_Among):
    """The label has one of these values."""

    operator = IN


class NotIn(_Among):
    """The label is absent or has another value."""

    operator = NOT_IN


class Exists(_LabelOperator):
    """The node has the label."""

    operator = EXISTS


class DoesNotExist(_LabelOperator):
    """The node has no such label."""

    operator = ABSENT


class NodeLabelSchedulingStrategy:
    """Run on a node by its labels.

    Parameters
    ----------
    hard : dict of str to In, NotIn, Exists or DoesNotExist
        What must hold.
    soft : dict, optional
        What should hold where there is a choice.

    Raises
    ------
    ValueError
        When both are empty, or not of this form.
    """

    def __init__(self, hard: Any, *, soft: Any = None) -> None:
        self.hard = _label_rules("hard", hard)
        self.soft = _label_rules("soft", soft)
        if not (self.hard or self.soft):
            raise ValueError("The parameters hard and soft of NodeLabelSchedulingStrategy cannot both be empty.")


def _label_rules(name: str, given: Any) -> Rules:
    if given is None:
        return ()
    if not isinstance(given, dict):
        raise ValueError(f'The parameter {name} must be a dict, as in {{"zone": In("a")}}; got {type(given)}.')
    rules = []
    for key, value in given.items():
        if not isinstance(key, str):
            raise ValueError(f"A label in {name} must be named by a str, got {key!r} ({type(key)}).")
        if not isinstance(value, _LabelOperator):
            raise ValueError(
                f"The label {key} in {name} must be given as In, NotIn, Exists or DoesNotExist, got {value!r}."
            )
        rules.append(LabelRule(key, value.operator, tuple(value.values)))
    return tuple(rules)


STRATEGIES = (PlacementGroupSchedulingStrategy, NodeAffinitySchedulingStrategy, NodeLabelSchedulingStrategy)
