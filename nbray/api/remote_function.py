"""``@remote`` on a function: a handle whose ``.remote()`` runs it somewhere in the cluster."""

from __future__ import annotations

import functools
import inspect
import os
from typing import Any

from nbray import options as option_table
from nbray.api import placing, ray_attributes, runtime
from nbray.core import current
from nbray.core.records import CALLS_UNLIMITED, TASK_RETRIABLE
from nbray.serialization.annotations import signature_of

_PLAIN = frozenset((int, float, str, bool, type(None)))
_NAME = {"name": None}.keys()
_MAX_VARIANTS = 256  # handles of options() that a function remembers


def no_graphs(self: Any, /, *args: Any, **kwargs: Any) -> Any:
    """Refuse Ray's graphs that are bound first and run later, with what to do instead.

    Raises
    ------
    NotImplementedError
    """
    raise NotImplementedError(
        "nbray has no graphs that are bound first and run later (Ray's DAG API, .bind() and compiled graphs). Call "
        ".remote() and pass the refs that it returns on to the next .remote(): what depends on them waits by itself."
    )


class RemoteFunction:
    """A function that runs as a task.

    Attributes
    ----------
    _function : callable
        The user's function.
    """

    def __init__(self, function: Any, options: dict[str, Any]) -> None:
        if inspect.iscoroutinefunction(function):
            raise ValueError("'async def' should not be used for remote tasks. Use an actor, or asyncio.run inside.")
        functools.update_wrapper(self, function)
        self._function = function
        self._function_name = f"{function.__module__}.{function.__name__}"
        self._options = options
        self._is_generator = is_generator(function)
        option_table.returned(options, self._is_generator)
        self._descriptor: Any = None
        self._asking: dict[Any, Any] = {}  # what tasks without a name ask for -> descriptor
        self._core: Any = None  # the runtime that has the function's code
        self._scope: Any = None  # in which the next was resolved
        self._call: Any = (
            None  # what a call needs: (descriptor, pool, n_returns, retries, retry_exceptions, name, flags)
        )
        self._check = _argument_check(function)
        self._nameless = not options.get("name") and options.get("enable_task_events", True) is not False
        self._variants: dict[Any, _WithOptions] = {}  # by what options() was called with, if that is plain

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        name = self._function.__name__
        raise TypeError(
            f"Remote functions cannot be called directly. Instead of running '{name}()', try '{name}.remote()', which runs it "
            f"as a task; {name}._function() runs it here."
        )

    def __getattr__(self, name: str) -> Any:
        """What packages look at, under the names of Ray's remote functions: ``_num_cpus``, ``_max_retries``."""
        option = name[1:]
        if name == "_default_options":
            return dict(self._options)
        if name == "_is_cross_language":
            return False
        if name == "_function_descriptor":
            return ray_attributes.FunctionDescriptor(self._function.__module__, "", self._function.__name__)
        if name == "_function_signature":
            return ray_attributes.signature_of(self._function)
        if not name.startswith("_") or option not in option_table.names("task"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        if option == "max_calls":
            return _max_calls(self._options)
        return self._options.get(option, 1 if option == "num_cpus" else option_table.default(option))

    def remote(self, /, *args: Any, **kwargs: Any) -> Any:
        """Submit a task; returns at once with the ref(s) of its value(s)."""
        scope = current.scope
        if scope is None or scope is not self._scope:
            scope = self._prepare()
        check = self._check
        if check is not None and (kwargs or not check[0] <= len(args) <= check[1]):
            check[2](*args, **kwargs)
        descriptor, pool, n_returns, retries, retry_exceptions, name, flags = self._call
        return scope.core.submit(descriptor, pool, args, kwargs, n_returns, retries, retry_exceptions, name, flags)

    def _describe(self) -> Any:
        """Serialize the function for the present cluster, starting one when there is none; returns the scope."""
        core = runtime.require_core()
        if self._core is not core:
            self._descriptor = core.describe_function(
                self._function, self._function.__name__, max_calls=_calls_told(self._options), told=False
            )
            self._asking = {}
            self._core = core
        return current.scope

    def _prepare(self) -> Any:
        """Settle what a call needs; returns the scope in which that holds."""
        scope = self._describe()
        self._call = self._resolve(scope, self._options)
        self._scope = scope
        return scope

    def _resolve(self, scope: Any, options: dict[str, Any]) -> tuple[Any, ...]:
        core = scope.core
        shape = option_table.shape(options, 1)
        name = options.get("name") or ""
        title = name or self._function.__name__
        strategy, target, captures = placing.resolve(options, scope, shape, shape, f"task {title}")
        pool = core.pool(
            shape, strategy, bool(options.get("wait_for_resources", False)), target, captures,
            core.environments.resolve(options.get("runtime_env")),
        )  # fmt: skip
        runtime.refuse_impossible(core, pool, title)
        if options.get("enable_task_events", True) is False:
            descriptor = core.describe_variant(self._descriptor, title, "unrecorded", pool)
        elif name:
            descriptor = core.describe_variant(self._descriptor, title, "task", pool)
        else:
            descriptor = self._asks(core, pool)
        retries = options["max_retries"] if "max_retries" in options else _default_retries()
        return (
            descriptor, pool, option_table.returned(options, self._is_generator), retries,
            options.get("retry_exceptions", False), name, TASK_RETRIABLE if retries else 0,
        )  # fmt: skip

    def _asks(self, core: Any, pool: Any) -> Any:
        """Return the descriptor of tasks without a name in a pool; who looks on is told what they ask for."""
        environment = pool.environment.key if pool.environment is not None else ""
        key = (tuple(sorted(pool.shape.items())), environment, pool.target)
        descriptor = self._asking.get(key)
        if descriptor is None:
            if not self._asking:
                descriptor = self._descriptor
                core.tell_of(descriptor, "task", pool)
            elif len(self._asking) < _MAX_VARIANTS:
                descriptor = core.describe_variant(self._descriptor, self._function.__name__, "task", pool)
            else:
                return self._descriptor
            self._asking[key] = descriptor
        return descriptor

    def _renamed(self, scope: Any, name: str) -> tuple[Any, ...]:
        """Return what a call needs that differs from the present ones by its name: names are often new for each call."""
        base, pool, n_returns, retries, retry_exceptions, _, flags = self._call
        return (
            scope.core.describe_variant(base, name, pool=pool),
            pool,
            n_returns,
            retries,
            retry_exceptions,
            name,
            flags,
        )

    def options(self, **given: Any) -> _WithOptions:
        """Return a handle that submits with other options."""
        plain = all(value.__class__ in _PLAIN for value in given.values())
        key = tuple([(name, value.__class__, value) for name, value in given.items()]) if plain else None
        if key is not None and (known := self._variants.get(key)) is not None:
            return known
        checked = {**self._options, **option_table.check("task", given, in_options_call=True)}
        per_yield = self._options.get("_num_objects_per_yield", 1)
        if checked.get("_num_objects_per_yield", 1) != per_yield:
            raise ValueError(
                "_num_objects_per_yield cannot be overridden per task call. Use @remote(_num_objects_per_yield=...) instead."
            )
        if len(given) != 1 or "name" not in given:
            option_table.returned(checked, self._is_generator)
        handle = _WithOptions(self, checked, checked["name"] or "" if self._nameless and given.keys() == _NAME else "")
        if key is not None:
            if len(self._variants) >= _MAX_VARIANTS:
                self._variants.clear()
            self._variants[key] = handle
        return handle

    def _remote(self, /, args: Any = (), kwargs: Any = None, **given: Any) -> Any:
        """Submit with options in one call (Ray's older form); ``max_calls`` stays as it was defined."""
        given.pop("max_calls", None)
        return self.options(**given).remote(*(args or ()), **(kwargs or {}))

    def __reduce__(self) -> Any:
        return _rebuild, (self._function, self._options)

    def __repr__(self) -> str:
        return f"RemoteFunction({self._function_name})"

    bind = no_graphs


def _rebuild(function: Any, options: dict[str, Any]) -> RemoteFunction:
    return RemoteFunction(function, options)


class _WithOptions:
    """``f.options(...)``: submits ``f`` with other options."""

    def __init__(self, parent: RemoteFunction, options: dict[str, Any], only_name: str = "") -> None:
        self._parent = parent
        self._only_name = only_name  # all that differs from the parent, which has no name
        self._options = options
        self._scope: Any = None
        self._call: Any = None

    bind = no_graphs

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        name = self._parent._function.__name__
        raise TypeError(
            f"Remote functions cannot be called directly. Instead of running '{name}.options(...)()', try "
            f"'{name}.options(...).remote()'."
        )

    def remote(self, /, *args: Any, **kwargs: Any) -> Any:
        parent = self._parent
        scope = current.scope
        if scope is None or scope is not self._scope:
            scope = parent._describe()
            if self._only_name:
                if parent._scope is not scope:
                    scope = parent._prepare()
                self._call = parent._renamed(scope, self._only_name)
            else:
                self._call = parent._resolve(scope, self._options)
            self._scope = scope
        check = parent._check
        if check is not None and (kwargs or not check[0] <= len(args) <= check[1]):
            check[2](*args, **kwargs)
        descriptor, pool, n_returns, retries, retry_exceptions, name, flags = self._call
        return scope.core.submit(descriptor, pool, args, kwargs, n_returns, retries, retry_exceptions, name, flags)


def _default_retries() -> int:
    """Return how often a task runs again that does not say so: as Ray, what the environment says, or else 3."""
    given = os.environ.get("RAY_TASK_MAX_RETRIES", "")
    try:
        return max(int(given), -1)
    except ValueError:
        return option_table.default("max_retries")


def _max_calls(options: dict[str, Any]) -> int:
    """Return after how many calls a worker is replaced; 0: never. Only so does the memory of a GPU get free."""
    given = options.get("max_calls")
    return (1 if options.get("num_gpus") else 0) if given is None else given


def _calls_told(options: dict[str, Any]) -> int:
    """Return max_calls as workers are told of it."""
    return CALLS_UNLIMITED if options.get("max_calls") == 0 else min(_max_calls(options), CALLS_UNLIMITED - 1)


def is_generator(function: Any) -> bool:
    """Tell whether a function yields, plainly or asynchronously."""
    return inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)


def _argument_check(function: Any) -> Any:
    """Return (fewest, most, full check) positional arguments, or None when unknown."""
    try:
        signature = signature_of(function)
    except (ValueError, TypeError):  # builtins
        return None
    fewest, most = 0, 0
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.VAR_POSITIONAL:
            most = 1 << 60
        elif parameter.kind is parameter.KEYWORD_ONLY:
            if parameter.default is parameter.empty:
                fewest = 1 << 60  # always the full check
        elif parameter.kind is not parameter.VAR_KEYWORD:
            most += 1
            if parameter.default is parameter.empty:
                fewest += 1
    name = getattr(function, "__name__", "the function")

    def full(*args: Any, **kwargs: Any) -> None:
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{error}. The signature is {name}{signature}.") from None

    return fewest, most, full


def argument_check(function: Any, skip_first: bool = False) -> Any:
    """Return a function that raises TypeError when a call does not fit the signature."""
    try:
        signature = signature_of(function)
    except (ValueError, TypeError):
        return None
    if skip_first:
        signature = signature.replace(parameters=list(signature.parameters.values())[1:])
    name = getattr(function, "__name__", "the method")

    def full(args: Any, kwargs: Any) -> None:
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{error}. The signature is {name}{signature}.") from None

    return full
