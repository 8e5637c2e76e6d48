"""What packages look at on remote functions, actor classes and handles, under the names that it has in Ray.

Made when somebody asks: nothing of it is kept, and none of it is set by anybody.
"""

from __future__ import annotations

import inspect
from typing import Any, NamedTuple

from nbray import options as option_table


class FunctionDescriptor(NamedTuple):
    """Where a function, or a method of a class, is defined."""

    module_name: str
    class_name: str
    function_name: str
    function_hash: str = ""

    @property
    def repr(self) -> str:
        """The same as one name."""
        return ".".join(part for part in (self.module_name, self.class_name, self.function_name) if part)


def _of_methods(name: str, methods: dict[str, dict[str, Any]]) -> dict[str, Any] | None:
    """Return what Ray's table of this name says of each method; None when there is no such table."""
    if name == "signatures":
        told = {method: given.get("signature") for method, given in methods.items()}
        return {method: list(found.parameters.values()) for method, found in told.items() if found is not None}
    if name == "num_returns":
        return {method: given.get("num_returns") for method, given in methods.items()}
    if name in ("is_generator", "method_is_generator"):
        return {method: bool(given.get("generator")) for method, given in methods.items()}
    if name == "decorators":  # of calls; there are none
        return {}
    option = "concurrency_group" if name == "concurrency_group_for_methods" else name
    if option in ("concurrency_group", "max_task_retries", "retry_exceptions", "enable_task_events"):
        return {method: given[option] for method, given in methods.items() if option in given}
    return None


def of_handle(info: dict[str, Any], name: str) -> Any:
    """Return an attribute of a handle whose name begins with ``_ray_``; raises KeyError when there is none of it."""
    if name == "_ray_is_cross_language":
        return False
    if name == "_ray_max_task_retries":
        return info["max_task_retries"]
    if name == "_ray_enable_task_events":
        return info["recorded"]
    if name == "_ray_allow_out_of_order_execution":
        return not info["ordered"]
    if name == "_ray_actor_creation_function_descriptor":
        module, cls = info["defined"]
        return FunctionDescriptor(module, cls, "__init__")
    if name == "_ray_function_descriptor":
        module, cls = info["defined"]
        return {method: FunctionDescriptor(module, cls, method) for method in info["methods"]}
    found = _of_methods(name[len("_ray_method_") :], info["methods"]) if name.startswith("_ray_method_") else None
    if found is None:
        raise KeyError(name)
    return found


class MethodMetadata:
    """Methods of an actor class: tables by their names."""

    def __init__(self, cls: type, methods: dict[str, dict[str, Any]]) -> None:
        self.methods = {name: getattr(cls, name) for name in methods}
        self._methods = methods

    def __getattr__(self, name: str) -> Any:
        found = _of_methods(name, self.__dict__["_methods"]) if "_methods" in self.__dict__ else None
        if found is None:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return found


class ActorClassMetadata:
    """An actor class: its options, each under its name, and what it was made of.

    Attributes
    ----------
    modified_class : type
        As it was before it was decorated.
    class_name : str
    options : dict
        Those that were given.
    method_meta : MethodMetadata
    is_cross_language : bool
    actor_creation_function_descriptor : FunctionDescriptor
    """

    is_cross_language = False

    def __init__(self, cls: type, options: dict[str, Any], methods: dict[str, dict[str, Any]]) -> None:
        self.modified_class = cls
        self.class_name = cls.__qualname__
        self.options = options
        self.method_meta = MethodMetadata(cls, methods)
        self.actor_creation_function_descriptor = FunctionDescriptor(cls.__module__, cls.__qualname__, "__init__")

    @property
    def concurrency_groups(self) -> list[dict[str, Any]]:
        """The groups, each with how many calls of it run at a time, and its methods."""
        told = _of_methods("concurrency_group", self.method_meta._methods) or {}
        actor = self.actor_creation_function_descriptor
        return [
            {"name": name, "max_concurrency": most,
             "function_descriptors": [actor._replace(function_name=method) for method, of in told.items() if of == name]}
            for name, most in (self.options.get("concurrency_groups") or {}).items()
        ]  # fmt: skip

    def __getattr__(self, name: str) -> Any:
        if "options" not in self.__dict__ or name not in option_table.names("actor"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return self.options.get(name, option_table.default(name))


def signature_of(function: Any) -> list[inspect.Parameter] | None:
    """Return a function's parameters; None when they are not known."""
    try:
        return list(inspect.signature(function).parameters.values())
    except (ValueError, TypeError):
        return None
