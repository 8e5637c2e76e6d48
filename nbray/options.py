"""The one table of task, actor and method options: what each may be, and its default.

Ray's names, defaults and exception types: a wrong type is a TypeError, a value out of
range or an unknown name a ValueError. An option that nbray does not carry out yet is
refused, never ignored.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from nbray import placement
from nbray.resources import MAX_AMOUNT
from nbray.runtime_env import runtime_env
from nbray.wrong_input import both

UNIT = 10_000  # resources are counted in units of 1/10,000
MAX_UNITS = MAX_AMOUNT * UNIT
SMALLEST = 0.0001
MAX_RETURNS = 10_000_000  # of one call


class Option(NamedTuple):
    """One row of the table."""

    applies_to: str  # any of the letters t (task), a (actor), m (method)
    default: Any
    check: Callable[[str, Any], Any]  # (name, value) -> value as it is kept; raises
    meaning: str


class Streaming(NamedTuple):
    """How a task returns its values as a stream; stands where others have a number of return values."""

    dynamic: bool = False  # all refs at once, as the task's one value
    window: int = 0  # items produced ahead of the consumer, at most; 0: any number
    per_yield: int = 1  # items that each yield gives


def _type_error(name: str, expected: str, value: Any) -> TypeError:
    return TypeError(f"The type of keyword '{name}' must be {expected}, but received type {type(value)}")


def _amount(name: str, value: Any) -> Any:
    """Check an amount of a resource: a number of at least 0 in steps of 0.0001, or None."""
    if value is None:
        return None
    if isinstance(value, bool):  # as in Ray: num_gpus=torch.cuda.is_available()
        return int(value)
    if not isinstance(value, numbers.Real):
        raise _Both(
            f"{name}={value!r} is not an amount: give a number >= 0 in steps of {SMALLEST} (got {type(value).__name__})."
        )
    number = float(value)
    if not math.isfinite(number) or number < 0:
        raise ValueError(f"{name}={value!r} is out of range: it must be >= 0 and finite, in steps of {SMALLEST}.")
    if 0 < number < SMALLEST or (number and round(number * UNIT) < 1):
        raise ValueError(f"{name}={value!r} is too fine: the smallest fraction is {SMALLEST}.")
    return value


def _num_gpus(name: str, value: Any) -> Any:
    value = _amount(name, value)
    if value is not None and value > 1 and value != int(value):
        raise ValueError(f"{name}={value!r}: more than one GPU must be a whole number; fractions share one GPU.")
    return value


def _memory(name: str, value: Any) -> Any:
    if isinstance(value, str):
        raise _Both(
            f"{name}={value!r} is not a size: give the bytes as a number, in steps of {SMALLEST}, for instance 2 * 1024**3."
        )
    value = _amount(name, value)
    return value if value is None else int(value)


def _resources(name: str, value: Any) -> dict[str, float] | None:
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise _type_error(name, "one of (dict, None)", value)
    for key, amount in value.items():
        if not isinstance(key, str):
            raise TypeError(f"A name in '{name}' must be a string, got {key!r}.")
        if key in ("CPU", "GPU"):
            raise ValueError(
                "Use the 'num_cpus' and 'num_gpus' keyword instead of 'CPU' and 'GPU' in 'resources' keyword"
            )
        if key in ("memory", "object_store_memory"):
            raise ValueError(f"Use the '{key}' keyword instead of '{key}' in 'resources' keyword")
        _amount(f"{name}[{key!r}]", amount)
    return dict(value)


def _integer(
    low: int, allow_none: bool = False, minus_one: str = "", none: int | None = None
) -> Callable[[str, Any], Any]:
    """Return a check for integers from ``low``; None, where it is allowed, stands for ``none``."""

    def check(name: str, value: Any) -> Any:
        if value is None and (allow_none or none is not None):
            return none
        if isinstance(value, bool):
            value = int(value)
        if not isinstance(value, int):
            text = f"The type of keyword '{name}' must be int, but received type {type(value)}: {value!r}"
            raise _Both(text)
        if value < low and not (minus_one and value == -1):
            also = f", or -1 ({minus_one})" if minus_one else ""
            raise ValueError(f"The keyword '{name}' only accepts {low} or a greater integer{also}, got {value}.")
        return value

    return check


_UnknownOfMethod = both(ValueError, TypeError)  # in Ray a keyword that a method of it does not take
_Both = both(TypeError, ValueError)  # a wrong type is the first in Ray; the table of bad input asks for the second


def _num_returns(name: str, value: Any) -> Any:
    if value is None or value in ("streaming", "dynamic"):
        return value
    if isinstance(value, str):
        raise _Both(f"num_returns={value!r}: give an integer >= 0, 'streaming', 'dynamic' or None.")
    count = _integer(0)(name, value)
    if count > MAX_RETURNS:
        raise ValueError(
            f"num_returns={value!r}: a call returns at most {MAX_RETURNS:,} refs, which take 250 bytes each; "
            "num_returns='streaming' gives any number, one after the other."
        )
    return count


def _window(name: str, value: Any) -> int:
    if value is None:
        return -1
    value = _integer(0, minus_one="no limit")(name, value)
    if value == 0:
        raise ValueError(
            f"{name}=0 is not allowed: give a number > 0 (1: each item is made when the one before it was taken), or -1 "
            "for no limit."
        )
    return value


def _text(name: str, value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise _type_error(name, "one of (str, None)", value)
    if value is not None and (len(value) > 1000 or "\0" in value):
        raise ValueError(f"{name}: a name has at most 1000 characters and no NUL character.")
    if value is not None:
        value.encode()  # raises for lone surrogates, which no message can carry
    return value


def _actor_name(name: str, value: Any) -> str | None:
    value = _text(name, value)
    if value is not None and not value.strip():
        raise ValueError("Actor name cannot be an empty string.")
    return value


def _flag(name: str, value: Any) -> bool | None:
    if value is not None and not isinstance(value, bool):
        raise _type_error(name, "one of (bool, None)", value)
    return value


def _concurrency_groups(name: str, value: Any) -> dict[str, int] | None:
    if value is None or value == []:
        return None
    if not isinstance(value, (dict, list)):
        raise _type_error(name, "one of (dict, list, None)", value)
    if isinstance(value, list):
        raise TypeError(f"{name}={value!r}: give a dict of group name to number of calls, such as {{'io': 2}}.")
    for group, limit in value.items():
        if not isinstance(group, str) or not group or "\0" in group:
            raise _Both(f"{name}: the name of a group is a text of at least one character, got {group!r}.")
        if isinstance(limit, bool) or not isinstance(limit, int):
            raise TypeError(f"{name}: group {group!r} needs an integer number of calls, got {limit!r}.")
        if not 1 <= limit <= 100_000:
            raise ValueError(f"{name}: group {group!r} runs between 1 and 100,000 calls at a time, got {limit}.")
    return dict(value)


def _group_name(name: str, value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise _type_error(name, "one of (str, None)", value)
    return value or None


def _store_share(name: str, value: Any) -> None:
    """Check what Ray reserves nothing for either: it takes it for actors and refuses it for tasks (in ``check``)."""
    if value is not None:
        _integer(0)(name, value)


def _labels(name: str, value: Any) -> None:
    if value is not None and not isinstance(value, dict):
        raise _type_error(name, "one of (dict, None)", value)


def transport(name: str, value: Any) -> None:
    """Refuse a way for tensors to travel which is not the object store."""
    if value is not None:
        raise ValueError(
            f"Invalid tensor transport: {value!r}. Values go through the object store, where arrays are shared without a "
            "copy; leave it out."
        )


def _retry_exceptions(name: str, value: Any) -> Any:
    if isinstance(value, bool) or value is None:
        return bool(value)
    if isinstance(value, (list, tuple)) and all(isinstance(c, type) and issubclass(c, Exception) for c in value):
        return tuple(value)
    raise _Both(f"{name}={value!r}: give True, False or a list of exception classes.")


def _namespace(name: str, value: Any) -> str | None:
    value = _text(name, value)
    if value == "":
        raise ValueError('"" is not a valid namespace. Pass None to not specify a namespace.')
    return value


def _pending_calls(name: str, value: Any) -> int:
    return _integer(0, minus_one="no limit", none=-1)(name, value) or -1  # 0: no limit, as in Ray


def _lifetime(name: str, value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise _type_error(name, "one of (str, None)", value)
    if value not in (None, "detached", "non_detached"):
        raise ValueError(
            f"actor `lifetime` argument must be one of 'detached', 'non_detached' and None, got {value!r}."
        )
    return value


def _strategy(name: str, value: Any) -> Any:
    if value is None or isinstance(value, placement.STRATEGIES):
        return value
    if not isinstance(value, str):
        kinds = ", ".join(kind.__name__ for kind in placement.STRATEGIES)
        raise _type_error(name, f"one of (str, {kinds}, None)", value)
    if value not in ("DEFAULT", "SPREAD"):
        raise ValueError(
            f"Invalid scheduling_strategy {value!r}: give 'DEFAULT', 'SPREAD', or an object of nbray.util.scheduling_strategies."
        )
    return value


def _placement_group(name: str, value: Any) -> Any:
    if value is None or value == "default" or hasattr(type(value), "bundle_specs"):
        return value
    raise _type_error(name, "one of (PlacementGroup, 'default', None)", value)


def _bundle_index(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _type_error(name, "int", value)
    return value


def _label_selector(name: str, value: Any) -> placement.Rules:
    if value is None:
        return ()
    if not isinstance(value, Mapping):
        raise _type_error(name, "one of (dict, None)", value)
    return placement.parse_selector(name, value)


def _fallbacks(name: str, value: Any) -> tuple[placement.Rules, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise _type_error(name, "one of (list, None)", value)
    found = []
    for entry in value:
        if not isinstance(entry, Mapping):
            raise _type_error(f"an entry of {name}", "dict", entry)
        unknown = set(entry) - {"label_selector"}
        if unknown or not entry:
            raise ValueError(f"An entry of {name} has one key, 'label_selector'; got {sorted(map(str, entry))}.")
        found.append(placement.parse_selector(f"{name}: label_selector", entry["label_selector"]))
    return tuple(found)


def _not_yet(neutral: tuple[Any, ...]) -> Callable[[str, Any], Any]:
    def check(name: str, value: Any) -> Any:
        if value in neutral:
            return value
        raise ValueError(f"{name}={value!r} is not supported yet; leave it out or use one of {list(neutral)}.")

    return check


OPTIONS: dict[str, Option] = {
    "num_cpus": Option("ta", None, _amount, "CPUs while it runs; task 1; actor: see actor_shapes"),
    "num_gpus": Option("ta", None, _num_gpus, "GPUs while it runs; fractions share one GPU"),
    "resources": Option("ta", None, _resources, "custom resources by name"),
    "memory": Option("ta", None, _memory, "bytes of memory, counted, not enforced"),
    "name": Option("ta m", None, _text, "name in messages and events; of an actor: its name in the namespace"),
    "num_returns": Option("t m", None, _num_returns, "values that it returns; None: 1, of a generator 'streaming'"),
    "_generator_backpressure_num_objects": Option("t m", -1, _window, "items made ahead of the consumer; -1: all"),
    "_actor_generator_backpressure_num_objects": Option(
        "a", -1, _window, "items that all generators of the actor together make ahead of their consumers; -1: all"
    ),
    "_num_objects_per_yield": Option("t m", 1, _integer(1), "items that each yield of a generator gives"),
    "max_retries": Option("t", 3, _integer(0, minus_one="for ever"), "runs again when its worker dies"),
    "retry_exceptions": Option("t m", False, _retry_exceptions, "run again also when it raises (these)"),
    "max_calls": Option(
        "t", None, _integer(0, allow_none=True), "calls after which its worker is replaced; 0: never; with GPUs 1"
    ),
    "scheduling_strategy": Option("ta", None, _strategy, "where to run; see nbray.util.scheduling_strategies"),
    "placement_group": Option("ta", "default", _placement_group, "older form of scheduling_strategy"),
    "placement_group_bundle_index": Option("ta", -1, _bundle_index, "the same; -1: any bundle"),
    "placement_group_capture_child_tasks": Option("ta", None, _flag, "the same"),
    "runtime_env": Option("ta", None, runtime_env.checked, "environment of the worker"),
    "wait_for_resources": Option("ta", False, _flag, "queue although no node can satisfy it now (nbray only)"),
    "max_restarts": Option("a", 0, _integer(0, minus_one="for ever", none=0), "restarts after its process died"),
    "max_task_retries": Option(
        "a m", 0, _integer(0, minus_one="for ever", none=0), "runs of a call again after a restart"
    ),
    "max_concurrency": Option(
        "a", None, _integer(0, allow_none=True), "calls that run at the same time; 0, None: 1, if async 1,000"
    ),
    "namespace": Option("a", None, _namespace, "where its name is known"),
    "lifetime": Option("a", None, _lifetime, "detached: outlives its driver"),
    "get_if_exists": Option("a", False, _flag, "return the actor that has the name"),
    "max_pending_calls": Option("a", -1, _pending_calls, "calls of one caller queued at it"),
    "concurrency_groups": Option("a", None, _concurrency_groups, "calls at the same time, per group of methods"),
    "concurrency_group": Option("m", None, _group_name, "group that a method's calls run in"),
    "accelerator_type": Option("ta", None, _text, "kind of GPU that its node must have"),
    "label_selector": Option("ta", (), _label_selector, "labels that its node must have"),
    "fallback_strategy": Option("ta", (), _fallbacks, "label selectors to try when no node has those"),
    "object_store_memory": Option("ta", None, _store_share, "for actors; reserves nothing, in Ray neither"),
    "enable_tensor_transport": Option("a", False, _flag, "accepted: tensors go through the store all the same"),
    "tensor_transport": Option("m", None, transport, "refused: there is one transport"),
    "_labels": Option("ta m", None, _labels, "accepted: in Ray they are kept and shown nowhere"),
    "enable_task_events": Option("ta m", True, _flag, "record its events"),
    "allow_out_of_order_execution": Option("a", None, _flag, "calls may overtake one whose arguments are late"),
}

_SCOPES = {"task": "t", "actor": "a", "method": "m"}
_OTHERWISE = {"max_restarts": ("max_retries",), "max_retries": ("max_task_retries",)}  # what stands for it elsewhere
_AT_DEFINITION_ONLY = ("max_calls", "concurrency_groups")


def names(scope: str) -> list[str]:
    """Return the names of the options of 'task', 'actor' or 'method'."""
    return [n for n, o in OPTIONS.items() if _SCOPES[scope] in o.applies_to]


def check(scope: str, given: Mapping[str, Any], in_options_call: bool = False) -> dict[str, Any]:
    """Check the options given for a task, actor or method.

    Parameters
    ----------
    scope : {"task", "actor", "method"}
    given : mapping
        Options as the user wrote them.
    in_options_call : bool
        Whether they come from ``.options()``, where some are not allowed.

    Returns
    -------
    dict
        The options given, each in its normal form.

    Raises
    ------
    ValueError
        For an unknown name or a value out of range.
    TypeError
        For a value of a wrong type.
    """
    checked = {}
    for name, value in given.items():
        option = OPTIONS.get(name)
        if option is None or _SCOPES[scope] not in option.applies_to:
            import difflib  # noqa: PLC0415 - only for who has mistyped

            public = [known for known in names(scope) if not known.startswith("_")]
            near = difflib.get_close_matches(name, public, 1)
            others = [
                f"{other}s" for other, letter in _SCOPES.items() if option is not None and letter in option.applies_to
            ]
            hint = f" It is an option of {' and '.join(others)}." if others else ""
            if near and (not others or near[0] in _OTHERWISE.get(name, ())):
                hint += f" Did you mean '{near[0]}'?"
            elif not others:
                hint += f" Valid ones: {public}."
            cls = _UnknownOfMethod if scope == "method" else ValueError
            raise cls(f"Invalid option keyword {name} for {scope}s.{hint}")
        if in_options_call and name in _AT_DEFINITION_ONLY:
            raise ValueError(f"Setting '{name}' is not supported in '.options()'.")
        if name == "name" and scope == "actor":
            checked[name] = _actor_name(name, value)
        else:
            checked[name] = option.check(name, value)
    if (
        checked.get("placement_group", "default") not in ("default", None)
        and checked.get("scheduling_strategy") is not None
    ):
        raise ValueError(
            "placement_group and scheduling_strategy say the same thing twice: give "
            "scheduling_strategy=PlacementGroupSchedulingStrategy(...) alone."
        )
    if scope == "task" and given.get("object_store_memory") is not None:
        raise ValueError(
            "Setting 'object_store_memory' is not implemented for tasks: nothing is reserved by it. Leave it out."
        )
    if scope == "actor" and checked.get("get_if_exists") and not checked.get("name"):
        if not in_options_call:
            raise ValueError("The actor name must be specified to use `get_if_exists`.")
    return checked


def default(name: str) -> Any:
    """Return the default of an option."""
    return OPTIONS[name].default


def returned(options: Mapping[str, Any], generator: bool, actor_window: int = -1) -> int | Streaming:
    """Return how many values a task returns, or how it streams them.

    Parameters
    ----------
    options : mapping
        Checked options.
    generator : bool
        Whether its function is a generator.
    actor_window : int
        Items that all generators of its actor may make ahead; no more than that can one.

    Raises
    ------
    ValueError
        When a function that is no generator is to stream.
    """
    value = options.get("num_returns")
    if value is None:
        if not generator:
            return 1
    elif not isinstance(value, str):
        return value
    elif not generator:
        raise ValueError(
            f"num_returns='{value}' can only be used with generator functions (functions that use 'yield'). The decorated "
            "function is not a generator function."
        )
    window = max(options.get("_generator_backpressure_num_objects", -1), 0)
    if actor_window > 0:
        window = min(window or actor_window, actor_window)
    return Streaming(value == "dynamic", window, options.get("_num_objects_per_yield", 1))


def shape(options: Mapping[str, Any], default_cpus: float) -> dict[str, int]:
    """Return the resources of checked options as integers in units of 1/10,000.

    Amounts of 0 are left out. More than any node can have stays that: numbers of messages have 64 bits.
    """
    amounts: dict[str, Any] = {"CPU": default_cpus}
    if options.get("num_cpus") is not None:
        amounts["CPU"] = options["num_cpus"]
    if options.get("num_gpus"):
        amounts["GPU"] = options["num_gpus"]
    if options.get("memory"):
        amounts["memory"] = options["memory"]
    if options.get("accelerator_type"):
        amounts[placement.ACCELERATOR_PREFIX + options["accelerator_type"]] = placement.ACCELERATOR_SHARE
    amounts.update(options.get("resources") or {})
    return {name: min(round(float(value) * UNIT), MAX_UNITS) for name, value in amounts.items() if value}


def actor_shapes(options: Mapping[str, Any]) -> tuple[dict[str, int], dict[str, int]]:
    """Return what an actor holds while it lives, and what must be free to place it, as ``shape`` does.

    As in Ray: an actor that asks for something, be it for nothing (``num_gpus=0``), also holds 1 CPU unless it says
    num_cpus; one that asks for nothing but memory needs a CPU to be placed and holds none.
    """
    asks = options.get("resources") or any(
        options.get(name) is not None for name in ("num_cpus", "num_gpus", "accelerator_type")
    )
    if asks:
        running = shape(options, 1)
        return running, running
    return shape(options, 0), shape(options, 1)


def describe(resources: Mapping[str, int]) -> str:
    """Return resources as a person writes them: ``1 CPU, 0.5 GPU``."""
    parts: Iterable[str] = (f"{value / UNIT:g} {name}" for name, value in resources.items())
    return ", ".join(parts) or "nothing"
