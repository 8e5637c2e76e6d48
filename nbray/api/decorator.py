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

    Used plain (``@remote``) or with options (``@remote(num_cpus=2)``).

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
