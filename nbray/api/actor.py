"""``@remote`` on a class: actors, their handles and methods."""

from __future__ import annotations

import difflib
import functools
import inspect
import pickle
from typing import TYPE_CHECKING, Any

from nbray import ids
from nbray import options as option_table
from nbray.api import placing as where
from nbray.api import redefinition, runtime
from nbray.api.remote_function import argument_check, is_generator
from nbray.core import code_size, current
from nbray.core.call_site import label, warn
from nbray.core.interrupts import uninterrupted
from nbray.core.records import TASK_METHOD
from nbray.core.surroundings import Surroundings
from nbray.exceptions import (
    ActorAlreadyExistsError,
    ActorClassInheritanceException,
    ActorHandleNotFoundError,
    ActorUnschedulableError,
)
from nbray.serialization import serializer
from nbray.wire import messages as m
from nbray.worker.calls import is_async, unknown_group

if TYPE_CHECKING:
    from nbray.core.actor_calls import ActorCalls

CREATION_TIMEOUT_S = 10.0  # the daemon confirms an actor within this time
BUILT_IN_METHODS = ("__ray_ready__", "__ray_terminate__", "__ray_call__")


def method(*args: Any, **given: Any) -> Any:
    """Set options of an actor's method: ``@method(num_returns=2)``."""
    if args or not given:
        raise ValueError("The @method decorator must be applied using at least one of the arguments.")
    if "name" in given:
        raise ValueError("The @method decorator has no 'name': a call gets one by handle.method.options(name=...).")
    checked = option_table.check("method", given)

    def decorate(function: Any) -> Any:
        option_table.returned(checked, is_generator(function))
        function.__ray_method_options__ = checked
        return function

    return decorate


class ActorClass:
    """A class whose instances are actors: processes of their own."""

    def __init__(self, cls: type, options: dict[str, Any]) -> None:
        self._set(cls, options)
        _check_groups(cls.__name__, self._methods, options.get("concurrency_groups") or {})

    def _set(self, cls: type, options: dict[str, Any]) -> None:
        self._class = cls
        self._class_name = cls.__name__
        self._options = options
        self.__name__ = cls.__name__
        self.__doc__ = cls.__doc__
        self.__module__ = cls.__module__
        self._core: Any = None
        self._code = b""
        redefinition.note_class(cls)

    # Looked up at the first use: when this comes out of a pickle, the class may still be empty
    # (one whose methods name the class itself is filled after they are there).

    @functools.cached_property
    def _methods(self) -> dict[str, dict[str, Any]]:
        return _methods_of(self._class)

    @functools.cached_property
    def _is_async(self) -> bool:
        return is_async(self._class)

    @functools.cached_property
    def _check(self) -> Any:
        return _constructor_check(self._class)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._methods]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        name = self._class_name
        raise TypeError(f"Actors cannot be instantiated directly. Instead of '{name}()', use '{name}.remote()'.")

    def __init_subclass__(cls, **kwargs: Any) -> None:
        raise ActorClassInheritanceException("An actor class cannot be a base class; inherit from the plain class.")

    def __mro_entries__(self, bases: Any) -> Any:
        raise ActorClassInheritanceException(
            f"Attempted to define a subclass of the actor class '{self._class_name}'. Inheriting from actor classes is "
            "not supported. Inherit from the plain class and decorate the subclass."
        )

    def remote(self, *args: Any, **kwargs: Any) -> ActorHandle:
        """Make an actor; returns its handle at once."""
        return self._create(args, kwargs, self._options)

    def options(self, **given: Any) -> _ActorClassWithOptions:
        """Return the class with other options."""
        checked = option_table.check("actor", given, in_options_call=True)
        return _ActorClassWithOptions(self, {**self._options, **checked})

    def _remote(self, args: Any = (), kwargs: Any = None, **given: Any) -> ActorHandle:
        return self.options(**given).remote(*(args or ()), **(kwargs or {}))

    def _create(self, args: tuple[Any, ...], kwargs: dict[str, Any], options: dict[str, Any]) -> ActorHandle:
        core = runtime.require_core()
        name = options.get("name") or ""
        if options.get("get_if_exists"):
            if not name:
                raise ValueError("The actor name must be specified to use `get_if_exists`.")
            try:
                return get_actor(name, options.get("namespace"))
            except ValueError:
                pass
        if self._check is not None:
            self._check(args, kwargs)
        elif args or kwargs:
            raise TypeError(f"{self._class_name}() takes no arguments.")
        ordered = _is_ordered(options, self._is_async)
        running = option_table.shape(options, 0)
        placing = option_table.shape(options, 1) if options.get("num_cpus") is None else running
        scope = current.scope
        assert scope is not None
        _, target, captures = where.resolve(options, scope, running, placing, f"actor {self._class_name}")
        reason = ""
        if where.is_anywhere(target):
            reason = core.impossible(self._class_name, placing, bool(options.get("wait_for_resources")))
        if reason:
            raise ActorUnschedulableError(reason)
        if self._core is not core:
            self._code = serializer.dumps_code(self._class, f"the actor class {self._class_name}")
            code_size.check(self._code, self._class, self._class_name)
            self._core = core
        environment = core.environments.resolve(options.get("runtime_env"))
        number = next(core.numbers)
        actor_id = ids.actor_id(core.peer, number).hex()
        detached = (options.get("lifetime") or core.default_lifetime) == "detached"
        life_id, life = b"", None
        if not detached:
            life_id = core.object_id(number, ids.ACTOR_LIFE_INDEX)
            life = core.store.write(life_id, serializer.plain(b""))
        spec = {
            # The context first: what follows is unpickled under it.
            "context": Surroundings({
                **pickle.loads(core.context), "depth": core.depth + 1, "group": target.group, "captures": captures,
                **({"environment": environment} if environment is not None else {}),
            }),
            "life_id": life_id, "code": self._code, "arguments": None, "values": (list(args), kwargs), "class_name": self._class_name,
            "origin": core.origin,
            "options": {k: v for k, v in options.items() if k not in where.NOT_FOR_WORKERS}, "resources": running,
            "owner": core.peer,
        }  # fmt: skip
        try:
            data = serializer.dumps(spec, f"the arguments of {self._class_name}()")
        except TypeError:
            _name_offender(args, kwargs)
            raise
        spec_id = core.object_id(number, ids.ACTOR_SPEC_INDEX)
        hold = core.store.write(spec_id, serializer.plain(data) if isinstance(data, bytes) else data)
        info = {
            "class_name": self._class_name, "methods": self._methods, "max_task_retries": options.get("max_task_retries", 0),
            "max_pending_calls": options.get("max_pending_calls", -1), "ordered": ordered, "life_id": life_id,
            "groups": list(options.get("concurrency_groups") or {}), "need": placing,
            "side_by_side": _is_side_by_side(options, self._is_async),
            "recorded": options.get("enable_task_events", True),
            "window": options.get("_actor_generator_backpressure_num_objects", -1),
        }  # fmt: skip
        handle_info = pickle.dumps(info)
        calls = _calls(core, actor_id, self._class_name)
        calls.spec_hold = hold
        namespace = options.get("namespace") or core.namespace
        request = m.CreateActorRequest(
            env_key=environment.key if environment is not None else "",
            actor_id=actor_id, spec_id=spec_id, class_name=self._class_name, resources=placing,
            running_resources=running, max_restarts=options.get("max_restarts", 0), name=name, namespace=namespace,
            detached=detached, job_id=core.job_id, method_names=list(self._methods),
            wait_for_resources=bool(options.get("wait_for_resources")), handle_info=handle_info, life_id=life_id, target=target,
            made_at=label().decode(),
        )  # fmt: skip
        with core.lock:
            core.actors[actor_id] = calls
            core.control.send(request)
        if name:
            # The name is taken, or not, before the handle is given out.
            try:
                _await_acceptance(core, calls, name, namespace)
            except ActorAlreadyExistsError:
                if not options.get("get_if_exists"):
                    raise
                return self._create(args, kwargs, options)  # somebody was quicker: join his
        handle = ActorHandle(actor_id, info, calls, _Lifetime(core, actor_id, life_id, life))
        handle._made_of = self._class
        redefinition.note_actor(self._class, handle)
        return handle

    def __repr__(self) -> str:
        return f"ActorClass({self._class_name})"

    def __reduce__(self) -> Any:
        return _rebuild_class, (self._class, self._options)


class _ActorClassWithOptions:
    """``Cls.options(...)``."""

    def __init__(self, parent: ActorClass, options: dict[str, Any]) -> None:
        self._parent = parent
        self._options = options

    def remote(self, *args: Any, **kwargs: Any) -> ActorHandle:
        return self._parent._create(args, kwargs, self._options)


def _is_ordered(options: dict[str, Any], is_async: bool) -> bool:
    """Return whether an actor takes the calls of one caller in order.

    Raises
    ------
    ValueError
        When order is asked for where calls run beside each other.
    """
    asked = options.get("allow_out_of_order_execution")
    kind = "async" if is_async else "threaded" if (options.get("max_concurrency") or 1) > 1 else ""
    if not kind:
        return not asked
    if asked is False:
        raise ValueError(
            f"allow_out_of_order_execution=False: calls of {kind} actors run beside each other, so they cannot be kept "
            "in order. Leave the option out, or set it to True."
        )
    return False


def _is_side_by_side(options: dict[str, Any], is_async: bool) -> bool:
    return is_async or (options.get("max_concurrency") or 1) > 1 or bool(options.get("concurrency_groups"))


def _rebuild_class(cls: type, options: dict[str, Any]) -> ActorClass:
    made = ActorClass.__new__(ActorClass)
    made._set(cls, options)
    return made


def _check_groups(class_name: str, methods: dict[str, dict[str, Any]], groups: dict[str, int]) -> None:
    """Raise ValueError when a method names a concurrency group that the class does not have."""
    for name, options in methods.items():
        group = options.get("concurrency_group")
        if group and group not in groups:
            raise ValueError(unknown_group(f"{class_name}.{name}", group, groups))


def _constructor_check(cls: type) -> Any:
    """Return the check of the constructor's arguments; None when it takes none."""
    constructor = inspect.getattr_static(cls, "__init__")
    return None if constructor is object.__init__ else argument_check(constructor, skip_first=True)


def _name_offender(args: Any, kwargs: Any) -> None:
    """Raise the error that names the argument which cannot be pickled."""
    for index, value in enumerate(args):
        serializer.dumps(value, f"args[{index}]")
    for key, value in kwargs.items():
        serializer.dumps(value, f"kwargs[{key!r}]")


def _calls(core: Any, actor_id: str, class_name: str) -> ActorCalls:
    from nbray.core.actor_calls import ActorCalls  # noqa: PLC0415 - loaded with the cluster

    return ActorCalls(core, actor_id, class_name)


def _await_acceptance(core: Any, calls: ActorCalls, name: str, namespace: str) -> None:
    core.wait_until(lambda: calls.notice is not None, CREATION_TIMEOUT_S)
    notice = calls.notice
    if notice is not None and notice.name_taken:
        core.actors.pop(calls.actor_id, None)
        raise ActorAlreadyExistsError(
            f"The name {name} (namespace={namespace}) is already taken. Please use a different name or get the existing "
            f"actor using nbray.get_actor('{name}', namespace='{namespace}')"
        )


def _methods_of(cls: type) -> dict[str, dict[str, Any]]:
    """Return the methods that callers see, with their options."""
    found = {}
    for name, function in inspect.getmembers(cls, callable):
        if (
            name.startswith("__")
            and name.endswith("__")
            and name not in ("__init__", "__call__", "__len__", "__getitem__")
        ):
            continue
        if name == "__init__" or isinstance(function, type):
            continue
        options = dict(getattr(function, "__ray_method_options__", {}))
        if is_generator(function):
            options["generator"] = True
        static = isinstance(inspect.getattr_static(cls, name), (staticmethod, classmethod))
        try:
            signature = inspect.signature(function)
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


class _Lifetime:
    """Keeps an actor as long as some process has a handle of it.

    Handles hold a small object of the store, as refs hold theirs. When a process drops its
    last hold and the object is gone with it, the actor ends.
    """

    __slots__ = ("__weakref__", "_hold", "actor_id", "core", "life_id")

    def __init__(self, core: Any, actor_id: str, life_id: bytes, hold: Any) -> None:
        self.core = core
        self.actor_id = actor_id
        self.life_id = life_id  # empty: detached, nobody needs to hold it
        self._hold = hold

    @property
    def _cluster(self) -> Any:
        return self.core

    @uninterrupted
    def __del__(self) -> None:
        core = self.core
        if self._hold is not None and core.session.attached:
            core.handle_gone(self.actor_id, self.life_id, self._hold)


class ActorHandle:
    """Names an actor; its methods are called with ``handle.method.remote(...)``."""

    def __init__(self, actor_id: str, info: dict[str, Any], calls: ActorCalls, lifetime: Any) -> None:
        self._ray_actor_id = actor_id
        self._made_of: type | None = None  # its class, where it was made
        self._info = info
        self._calls = calls
        self._lifetime = lifetime
        calls.max_pending = info["max_pending_calls"]
        calls.max_task_retries = info["max_task_retries"]
        calls.ordered = info["ordered"]
        calls.side_by_side = info["side_by_side"]
        calls.need = info["need"]

    @property
    def _actor_id(self) -> ids.ActorID:
        return ids.ActorID(bytes.fromhex(self._ray_actor_id))

    def __getattr__(self, name: str) -> ActorMethod:
        info = self.__dict__.get("_info")
        if info is None:
            raise AttributeError(name)
        if name in info["methods"] or name in BUILT_IN_METHODS:
            bound = ActorMethod(self, name, info["methods"].get(name, {}))
            self.__dict__[name] = bound
            return bound
        near = difflib.get_close_matches(name, info["methods"], 3)
        hint = f" Did you mean {' or '.join(near)}?" if near else f" It has: {', '.join(sorted(info['methods']))}."
        raise AttributeError(f"'ActorHandle' object of {info['class_name']} has no attribute '{name}'.{hint}")

    def __dir__(self) -> list[str]:
        return [*self._info["methods"], "__init__", *BUILT_IN_METHODS]

    def __repr__(self) -> str:
        return f"Actor({self._info['class_name']}, {self._ray_actor_id})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ActorHandle) and other._ray_actor_id == self._ray_actor_id

    def __hash__(self) -> int:
        return hash(self._ray_actor_id)

    def _outdated(self) -> None:
        """The class has been defined anew: the next call says that this actor runs the old code."""
        self._calls.outdated = (
            f"The class {self._info['class_name']} has been defined anew, but this actor ({self._ray_actor_id}) still runs "
            "the code that it was made with. Make a new actor to use the new class."
        )
        for bound in list(self.__dict__.values()):
            if isinstance(bound, ActorMethod):
                bound._core = None  # has it prepared once more, where the warning is

    def _kill(self, no_restart: bool) -> None:
        core = runtime.require_core()
        with core.lock:
            self._calls.pause()
        core.control.send(
            m.KillActorRequest(actor_id=self._ray_actor_id, no_restart=no_restart, reason="killed by kill()")
        )

    def __reduce__(self) -> Any:
        calls = self._calls
        if calls.notice is None and calls.core is current.core:
            # The daemon must know the actor before anybody who gets this handle asks for it.
            calls.core.wait_until(lambda: calls.notice is not None, CREATION_TIMEOUT_S)
        if self._lifetime._hold is not None and not serializer.note_ref(self._lifetime):
            self._lifetime.core.kept.append(self._lifetime)  # pickled by hand: kept as long as the session
        return _rebuild_handle, (self._ray_actor_id, self._info)


class ActorMethod:
    """A method of an actor, to be called with ``.remote()``."""

    def __init__(self, handle: ActorHandle, name: str, options: dict[str, Any]) -> None:
        self._handle_calls = handle._calls
        self._info = handle._info
        self._lifetime = handle._lifetime  # a bound method keeps its actor alive
        self._name = name
        self._options = options
        self._n_returns = option_table.returned(options, options.get("generator", False), handle._info["window"])
        retries = options.get("max_task_retries")
        self._retries = handle._info["max_task_retries"] if retries is None else retries
        self._retry_exceptions = options.get("retry_exceptions", False)
        self._group = options.get("concurrency_group") or ""
        self._signature = options.get("signature")
        self._text = options.get("text", name)
        self._core: Any = None
        self._descriptor: Any = None
        self._recorded = options.get("enable_task_events", handle._info["recorded"]) is not False
        self._variants: dict[tuple[str, bool], Any] = {}  # (concurrency group, recorded) -> descriptor
        self._limits = _limits(self._signature)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(
            f"Actor methods cannot be called directly. Instead of running 'object.{self._name}()', try "
            f"'object.{self._name}.remote()'."
        )

    def remote(self, *args: Any, **kwargs: Any) -> Any:
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
        if group or recorded is not None:
            descriptor = self._variant(core, group or self._group, self._recorded if recorded is None else recorded)
        return core.submit(descriptor, calls, args, kwargs, n_returns, retries, retry_exceptions, name, TASK_METHOD)

    def _bind(self, args: Any, kwargs: Any) -> None:
        if self._signature is None:
            return
        try:
            self._signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{error}. The signature is {self._text}.") from None

    def _prepare(self) -> Any:
        core = runtime.require_core()
        if self._handle_calls.core is not core:
            raise ValueError("This actor handle belongs to a cluster that has been shut down.")
        if self._handle_calls.outdated:
            text, self._handle_calls.outdated = self._handle_calls.outdated, ""
            warn(text)
        self._variants.clear()
        self._descriptor = self._variant(core, self._group, self._recorded)
        self._core = core
        return core

    def _variant(self, core: Any, group: str, recorded: bool) -> Any:
        descriptor = self._variants.get((group, recorded))
        if descriptor is None:
            kind = "actor_task" if recorded else "unrecorded"
            descriptor = core.describe_method(self._info["class_name"], self._name, group, kind)
            self._variants[group, recorded] = descriptor
        return descriptor

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

    def _remote(self, args: Any = (), kwargs: Any = None, **given: Any) -> Any:
        return self.options(**given).remote(*(args or ()), **(kwargs or {}))


class _MethodWithOptions:
    """``handle.method.options(...)``."""

    def __init__(self, bound: ActorMethod, options: dict[str, Any], n_returns: Any) -> None:
        self._bound = bound
        self._options = options
        self._n_returns = n_returns

    def remote(self, *args: Any, **kwargs: Any) -> Any:
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


def _rebuild_handle(actor_id: str, info: dict[str, Any]) -> ActorHandle:
    """Make the handle of an actor that another process sent."""
    core = runtime.require_core()
    with core.lock:
        calls = core.actors.get(actor_id)
        if calls is None:
            calls = core.actors[actor_id] = _calls(core, actor_id, info["class_name"])
            core.control.send(m.ActorSubscribeRequest(actor_id=actor_id))
    life_id = info["life_id"]
    hold = core.store.lookup(life_id) if life_id else None
    return ActorHandle(actor_id, info, calls, _Lifetime(core, actor_id, life_id, hold))


def get_actor(name: str, namespace: str | None = None) -> ActorHandle:
    """Return the handle of a named actor.

    Raises
    ------
    ValueError
        (ActorHandleNotFoundError) when there is none of that name in the namespace.
    """
    if not isinstance(name, str) or not name:
        raise ValueError("Please supply a non-empty value to get_actor")
    if namespace is not None and (not isinstance(namespace, str) or not namespace):
        raise ValueError('"" is not a valid namespace. Pass None to not specify a namespace.')
    core = runtime.require_core()
    wanted = namespace or core.namespace
    reply = core.request(m.GetNamedActorRequest(request_id=core.control.next_id(), name=name, namespace=wanted))[0]
    if not reply.actor_id:
        text = reply.error or "there is no actor of this name"
        raise ActorHandleNotFoundError(f"Failed to look up actor with name '{name}' (namespace '{wanted}'): {text}")
    return _rebuild_handle(reply.actor_id, pickle.loads(reply.handle_info))


def handle_of_this_actor(core: Any, executor: Any) -> ActorHandle:
    """Return a handle of the actor that this worker is."""
    cls = type(executor.actor)
    options = executor.actor_spec["options"]
    info = {
        "class_name": executor.actor_spec["class_name"], "methods": _methods_of(cls),
        "max_task_retries": options.get("max_task_retries", 0), "max_pending_calls": options.get("max_pending_calls", -1),
        "life_id": executor.actor_spec["life_id"], "ordered": _is_ordered(options, executor.is_async),
        "groups": list(options.get("concurrency_groups") or {}), "need": {},
        "side_by_side": _is_side_by_side(options, executor.is_async),
        "recorded": options.get("enable_task_events", True),
        "window": options.get("_actor_generator_backpressure_num_objects", -1),
    }  # fmt: skip
    return _rebuild_handle(executor.actor_id, info)


def exit_actor() -> None:
    """End the actor that runs this method, on purpose; it is not restarted."""
    core = current.core
    executor = getattr(core, "executor", None)
    if executor is None or executor.actor is None:
        raise TypeError("exit_actor called on a non-actor worker.")
    executor.exit_here()
