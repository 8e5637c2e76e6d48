"""Methods of actors as callers see them: ``@method``, a class's methods, ``handle.method.remote()``."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from nbray import options as option_table
from nbray.api.remote_function import is_generator, no_graphs
from nbray.core import current
from nbray.core.call_site import warn
from nbray.core.records import TASK_METHOD
from nbray.exceptions import ActorHandleNotFoundError
from nbray.serialization.annotations import signature_of
from nbray.worker.calls import unknown_group
from nbray.wrong_input import both

_MAX_NAMES = 10_000  # of calls of one method that who looks on is told; the actor keeps them
OF_ANOTHER_CLUSTER = "This actor handle belongs to a cluster that has been shut down: make the actor again."

if TYPE_CHECKING:
    from nbray.api.actor_handle import ActorHandle


_UnknownOption = both(ValueError, AssertionError)  # a ValueError, as for every other option; Ray asserts


def method(*args: Any, **given: Any) -> Any:
    """Set options of an actor's method: ``@method(num_returns=2)``; ``@method`` alone sets none.

    Raises
    ------
    ValueError, AssertionError
        For an option that there is not (one error that is both: Ray raises AssertionError).
    """
    if len(args) > 1 or (args and (given or not callable(args[0]))):
        raise _UnknownOption("The @method decorator takes options by name: @method(num_returns=2).")
    if args:
        return args[0]
    if "name" in given:
        raise _UnknownOption("The @method decorator has no 'name': a call gets one by handle.method.options(name=...).")
    unknown = set(given).difference(option_table.names("method"))
    try:
        checked = option_table.check("method", given)
    except ValueError as error:
        if unknown:
            raise _UnknownOption(str(error)) from None
        raise

    def decorate(function: Any) -> Any:
        option_table.returned(checked, is_generator(function))
        function.__ray_method_options__ = checked
        return function

    return decorate


# Special methods that the language looks up to make, copy or end an object: a handle has those of its own.
_NOT_METHODS = frozenset(
    f"__{name}__"
    for name in (
        "new", "init", "del", "init_subclass", "class_getitem", "subclasshook", "getattr", "getattribute", "setattr", "delattr",
        "dir", "reduce", "reduce_ex", "getstate", "setstate", "getnewargs", "getnewargs_ex", "copy", "deepcopy",
        "ray_shutdown",
    )
)  # fmt: skip


def methods_of(cls: type) -> dict[str, dict[str, Any]]:
    """Return the methods that callers see, with their options."""
    found = {}
    for name, function in inspect.getmembers(cls, callable):
        is_special = name.startswith("__") and name.endswith("__")
        if is_special and (name in _NOT_METHODS or not (inspect.isfunction(function) or inspect.ismethod(function))):
            continue
        if isinstance(function, type):
            continue
        options = dict(getattr(function, "__ray_method_options__", {}))
        if is_generator(function):
            options["generator"] = True
        static = isinstance(inspect.getattr_static(cls, name), (staticmethod, classmethod)) or not hasattr(
            type(function), "__get__"
        )
        try:
            signature = signature_of(function)
            parameters = list(signature.parameters.values())
            if not static:
                parameters = parameters[1:]
            options["text"] = f"{name}{signature.replace(parameters=parameters)}"
            options["signature"] = signature.replace(
                parameters=[p.replace(annotation=p.empty, default=None if p.default is not p.empty else p.empty)
                            for p in parameters],
                return_annotation=signature.empty,
            )  # fmt: skip
        except (ValueError, TypeError):
            options["signature"] = None
        found[name] = options
    return found


class ActorMethod:
    """A method of an actor, to be called with ``.remote()``."""

    def __init__(self, handle: ActorHandle, name: str, options: dict[str, Any]) -> None:
        self._handle_type = type(handle)  # not the handle, which keeps its methods: it must go with its last name
        self._handle_calls = handle._ray_calls
        self._info = handle._ray_info
        self._lifetime = handle._ray_lifetime  # a bound method keeps its actor alive
        self._name = name
        self._options = options
        self._n_returns = option_table.returned(options, options.get("generator", False), handle._ray_info["window"])
        retries = options.get("max_task_retries")
        self._retries = handle._ray_info["max_task_retries"] if retries is None else retries
        self._retry_exceptions = options.get("retry_exceptions", False)
        self._group = options.get("concurrency_group") or ""
        self._signature = options.get("signature")
        self._text = options.get("text", name)
        self._core: Any = None
        self._descriptor: Any = None
        self._recorded = options.get("enable_task_events", handle._ray_info["recorded"]) is not False
        self._variants: dict[tuple[str, bool, str], Any] = {}  # (concurrency group, recorded, name) -> descriptor
        self._limits = _limits(self._signature)

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(
            f"Actor methods cannot be called directly. Instead of running 'object.{self._name}()', try "
            f"'object.{self._name}.remote()'."
        )

    def __repr__(self) -> str:
        return f"ActorMethod({self._info['class_name']}.{self._name})"

    @property
    def _num_returns(self) -> int | str:
        """How many values a call has, or "streaming", under the name by which packages look at it."""
        return "streaming" if isinstance(self._n_returns, option_table.Streaming) else self._n_returns

    # The same, as packages look at them too.

    @property
    def _method_name(self) -> str:
        return self._name

    @property
    def _is_generator(self) -> bool:
        return bool(self._options.get("generator"))

    @property
    def _max_task_retries(self) -> int:
        return self._retries

    @property
    def _enable_task_events(self) -> bool:
        return self._recorded

    def remote(self, /, *args: Any, **kwargs: Any) -> Any:
        """Call the method; returns at once with the ref(s) of its value(s)."""
        return self._submit(args, kwargs, self._n_returns, self._retries, self._retry_exceptions, "")

    def _submit(
        self, args: Any, kwargs: Any, n_returns: Any, retries: int, retry_exceptions: Any, name: str,
        group: str = "", recorded: bool | None = None,
    ) -> Any:  # fmt: skip
        core = current.core
        calls = self._handle_calls
        if core is not self._core or core is None:
            core = self._prepare()
        fewest, most = self._limits
        if kwargs or not fewest <= len(args) <= most:
            self._bind(args, kwargs)
        descriptor = self._descriptor
        if group or recorded is not None or name:
            descriptor = self._variant(
                core, group or self._group, self._recorded if recorded is None else recorded, name
            )
        return core.submit(descriptor, calls, args, kwargs, n_returns, retries, retry_exceptions, name, TASK_METHOD)

    def _bind(self, args: Any, kwargs: Any) -> None:
        if self._signature is None:
            return
        try:
            self._signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{error}. The signature is {self._text}.") from None

    def _prepare(self) -> Any:
        core = self._handle_calls.core
        core.check_usable()
        if core is not current.core:
            raise ActorHandleNotFoundError(OF_ANOTHER_CLUSTER)
        if self._handle_calls.outdated:
            text, self._handle_calls.outdated = self._handle_calls.outdated, ""
            warn(text)
        self._variants.clear()
        self._descriptor = self._variant(core, self._group, self._recorded)
        self._core = core
        return core

    def _variant(self, core: Any, group: str, recorded: bool, name: str = "") -> Any:
        descriptor = self._variants.get((group, recorded, name))
        if descriptor is None:
            if name and len(self._variants) >= _MAX_NAMES:
                return self._variant(core, group, recorded)
            kind = "actor_task" if recorded else "unrecorded"
            descriptor = core.describe_method(self._info["class_name"], self._name, group, kind, name)
            self._variants[group, recorded, name] = descriptor
        return descriptor

    bind = no_graphs

    def __reduce__(self) -> Any:
        calls = self._handle_calls
        return getattr, (self._handle_type(calls.actor_id, self._info, calls, self._lifetime), self._name)

    def options(self, **given: Any) -> _MethodWithOptions:
        """Return the method with other options.

        Raises
        ------
        ValueError
            Also for a concurrency group that the class does not define.
        """
        checked = option_table.check("method", given, in_options_call=True)
        group = checked.get("concurrency_group")
        if group and group not in self._info["groups"]:
            raise ValueError(unknown_group(f"{self._info['class_name']}.{self._name}", group, self._info["groups"]))
        is_generator = self._options.get("generator", False)
        returned = option_table.returned({**self._options, **checked}, is_generator, self._info["window"])
        return _MethodWithOptions(self, checked, returned)

    def _remote(self, /, args: Any = (), kwargs: Any = None, **given: Any) -> Any:
        return self.options(**given).remote(*(args or ()), **(kwargs or {}))


class _MethodWithOptions:
    """``handle.method.options(...)``."""

    def __init__(self, bound: ActorMethod, options: dict[str, Any], n_returns: Any) -> None:
        self._bound = bound
        self._options = options
        self._n_returns = n_returns

    def remote(self, /, *args: Any, **kwargs: Any) -> Any:
        bound, given = self._bound, self._options
        return bound._submit(
            args, kwargs, self._n_returns, given.get("max_task_retries", bound._retries),
            given.get("retry_exceptions", bound._retry_exceptions), given.get("name") or "",
            given.get("concurrency_group") or "", given.get("enable_task_events"),
        )  # fmt: skip


def _limits(signature: inspect.Signature | None) -> tuple[int, int]:
    """Return the fewest and most positional arguments that surely fit."""
    if signature is None:
        return 0, 1 << 60
    fewest = most = 0
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.VAR_POSITIONAL:
            most = 1 << 60
        elif parameter.kind is parameter.KEYWORD_ONLY:
            if parameter.default is parameter.empty:
                fewest = 1 << 60
        elif parameter.kind is not parameter.VAR_KEYWORD:
            most += 1
            if parameter.default is parameter.empty:
                fewest += 1
    return fewest, most
