"""``remote``: turns functions into remote functions and classes into actor classes."""

from __future__ import annotations

import inspect
from typing import Any

from nbray import options as option_table
from nbray.api.actor_class import ActorClass
from nbray.api.remote_function import RemoteFunction
from nbray.wrong_input import both


def remote(*args: Any, **given: Any) -> Any:
    """Make a function a remote function, or a class an actor class.

    Used plain (``@remote``) or with options (``@remote(num_cpus=2)``). ``f.options(...)`` and ``Class.options(...)``
    give others for one use. ``f.remote(...)`` submits and returns a ref at once, ``Class.remote(...)`` makes an actor and
    returns its handle.

    Parameters
    ----------
    num_cpus, num_gpus, memory, resources : number, number, bytes, dict of str to number
        What it is given while it runs, an actor as long as it lives; counted, so that no more runs side by side than there
        is room for. A task takes 1 CPU unless told otherwise, an actor none once it is there. Fractions are fine.
    name : str
        In messages and lists; of an actor the name under which ``get_actor`` finds it.
    num_returns : int, "streaming" or "dynamic"
        Of a function: refs that a call returns. A generator gives a stream of refs.
    max_retries, retry_exceptions : int, bool or list of exception classes
        Of a function: how often it runs again when its worker dies (3; -1: for ever), and whether also when it raises.
    max_calls : int
        Of a function: its worker is replaced after so many calls.
    max_restarts, max_task_retries : int
        Of a class: how often its process is made again (0; -1: for ever), and calls then run again.
    max_concurrency, concurrency_groups, max_pending_calls, allow_out_of_order_execution : int, dict of str to int, int, bool
        Of a class: calls at the same time, also per group of methods; calls that may wait; whether one may overtake another.
    namespace, lifetime, get_if_exists : str, "detached", bool
        Of a class: where its name is known; whether the actor outlives its driver; return the actor that has the name.
    runtime_env : dict
        Environment of the worker: ``env_vars``, ``working_dir``, ``py_modules``, ``pip`` and others.
    scheduling_strategy, label_selector, fallback_strategy, accelerator_type
        Where it runs: see ``nbray.util.scheduling_strategies``.
    placement_group, placement_group_bundle_index, placement_group_capture_child_tasks
        An older form of ``scheduling_strategy``.
    wait_for_resources : bool
        Wait although no node can ever give what it asks for, instead of failing at once; not in Ray.
    enable_task_events : bool
        Whether it is recorded for lists and pictures.
    object_store_memory, enable_tensor_transport
        Taken as Ray takes them; without an effect.

    Examples
    --------
    >>> @nbray.remote(num_cpus=2, max_retries=0)
    ... def add(a, b):
    ...     return a + b
    >>> nbray.get(add.remote(1, 2))
    3

    Raises
    ------
    TypeError
        When it is applied to something else, or given positional arguments.
    ValueError, TypeError
        For options that are unknown or out of range.
    """
    if len(args) == 1 and not given and (callable(args[0]) or isinstance(args[0], type)):
        return _make(args[0], {})
    if args or not given:
        names = sorted({*option_table.names("task"), *option_table.names("actor")})
        got = f" Got {args[0]!r:.100}." if args else ""
        raise _WronglyApplied(
            "The @remote decorator must be applied either with no arguments and no parentheses, for example "
            "'@nbray.remote', or it must be applied using some of the arguments in the list "
            f"{[name for name in names if not name.startswith('_')]}, for example "
            f"'@nbray.remote(num_returns=2, resources={{\"CustomResource\": 1}})'.{got}"
        )
    # Which of the two it is for is known only when it is applied; what neither has is wrong now.
    for name in given:
        if name not in option_table.names("task") and name not in option_table.names("actor"):
            option_table.check("task", {name: given[name]})
    return lambda target: _make(target, given)


_WronglyApplied = both(TypeError, AssertionError)  # Ray asserts here


def _make(target: Any, given: dict[str, Any]) -> Any:
    if isinstance(target, (RemoteFunction, ActorClass)):
        raise TypeError(f"{target!r} is remote already.")
    if inspect.isclass(target):
        return ActorClass(target, option_table.check("actor", given))
    if inspect.isfunction(target) or inspect.isbuiltin(target) or _is_cython(target):
        return RemoteFunction(target, option_table.check("task", given))
    raise TypeError(
        "The @nbray.remote decorator must be applied to either a function or to a class. Got an object of "
        f"{type(target)}: a function that calls it can be decorated."
    )


def _is_cython(target: Any) -> bool:
    return type(target).__name__ == "cython_function_or_method"
