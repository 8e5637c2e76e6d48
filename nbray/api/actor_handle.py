"""Handles of actors, wherever they come from: a creation, a name, another process, the actor itself."""

from __future__ import annotations

import contextlib
import pickle
from types import GenericAlias
from typing import TYPE_CHECKING, Any

from nbray import ids
from nbray.api import ray_attributes, runtime
from nbray.api.actor_method import OF_ANOTHER_CLUSTER, ActorMethod, methods_of
from nbray.core import current
from nbray.exceptions import ActorHandleNotFoundError
from nbray.serialization import serializer
from nbray.wire import messages as m

if TYPE_CHECKING:
    from nbray.core.actor_calls import ActorCalls

CREATION_TIMEOUT_S = 10.0  # the daemon confirms an actor within this time
BUILT_IN_METHODS = ("__ray_ready__", "__ray_terminate__", "__ray_call__")


class Lifetime:
    """Keeps an actor as long as some process has a handle of it.

    Handles hold a small object of the store, as refs hold theirs. When a process drops its
    last hold and the object is gone with it, the actor ends. Those that were found by name, and
    an actor's handle of itself, hold nothing: else who keeps his own handle would never end.
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

    def __del__(self) -> None:
        core = self.core
        if self._hold is not None and core.session.attached:
            core.handle_gone(self.actor_id, self.life_id, self._hold)


class ActorHandle:
    """Names an actor; its methods are called with ``handle.method.remote(...)``.

    Attributes of its own begin with ``_ray``, as any other name may be a method of the user's.
    """

    __class_getitem__: Any = classmethod(GenericAlias)  # for annotations

    def __init__(self, actor_id: str, info: dict[str, Any], calls: ActorCalls, lifetime: Any) -> None:
        self._ray_id = actor_id
        self._ray_made_of: type | None = None  # its class, where it was made
        self._ray_info = info
        self._ray_calls = calls
        self._ray_lifetime = lifetime
        calls.max_pending = info["max_pending_calls"]
        calls.max_task_retries = info["max_task_retries"]
        calls.ordered = info["ordered"]
        calls.side_by_side = info["side_by_side"]
        calls.need = info["need"]

    @property
    def _actor_id(self) -> ids.ActorID:
        return ids.ActorID(bytes.fromhex(self._ray_id))

    _ray_actor_id = _actor_id

    @property
    def _ray_original_handle(self) -> bool:
        return self._ray_made_of is not None

    @property
    def _ray_weak_ref(self) -> bool:
        return self._ray_lifetime._hold is None and bool(self._ray_info["life_id"])

    def __getattr__(self, name: str) -> Any:
        info = self.__dict__.get("_ray_info")
        if info is None:
            raise AttributeError(name)
        if name in info["methods"] or name in BUILT_IN_METHODS:
            bound = ActorMethod(self, name, info["methods"].get(name, {}))
            self.__dict__[name] = bound
            return bound
        if name.startswith("_ray_"):
            with contextlib.suppress(KeyError):
                return ray_attributes.of_handle(info, name)
        import difflib  # noqa: PLC0415 - only for who has mistyped

        public = sorted(method for method in info["methods"] if not method.startswith("_"))
        near = difflib.get_close_matches(name, info["methods"], 3)
        if name == "options":
            hint = f" Options belong to its class, {info['class_name']}.options(...).remote(), or to a method's calls."
        elif name == "remote":
            hint = " It is an actor already: call its methods, handle.method.remote(...)."
        elif near:
            hint = f" Did you mean {' or '.join(near)}?"
        else:
            hint = f" Its methods: {', '.join(public)}. What the instance holds, a method has to return."
        raise AttributeError(f"'ActorHandle' object of {info['class_name']} has no attribute '{name}'.{hint}")

    def __dir__(self) -> list[str]:
        return [*self._ray_info["methods"], "__init__", *BUILT_IN_METHODS]

    def __repr__(self) -> str:
        return f"Actor({self._ray_info['defined'][1]}, {self._ray_id})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ActorHandle) and other._ray_id == self._ray_id

    def __hash__(self) -> int:
        return hash(self._ray_id)

    def _ray_outdated(self) -> None:
        """The class has been defined anew: the next call says that this actor runs the old code."""
        self._ray_calls.outdated = (
            f"The class {self._ray_info['class_name']} has been defined anew, but this actor ({self._ray_id}) still runs "
            "the code that it was made with. Make a new actor to use the new class."
        )
        for bound in list(self.__dict__.values()):
            if isinstance(bound, ActorMethod):
                bound._core = None  # has it prepared once more, where the warning is

    def _ray_kill(self, no_restart: bool) -> None:
        core = self._ray_calls.core
        core.check_usable()
        if core is not current.core:
            raise ActorHandleNotFoundError(OF_ANOTHER_CLUSTER)
        with core.lock:
            self._ray_calls.pause()
        core.control.send(m.KillActorRequest(actor_id=self._ray_id, no_restart=no_restart, reason="killed by kill()"))

    def __reduce__(self) -> Any:
        calls = self._ray_calls
        if calls.notice is None and calls.core is current.core:
            # The daemon must know the actor before anybody who gets this handle asks for it.
            calls.core.wait_until(lambda: calls.notice is not None, CREATION_TIMEOUT_S)
        if self._ray_lifetime._hold is not None and not serializer.note_ref(self._ray_lifetime):
            self._ray_lifetime.core.kept.append(self._ray_lifetime)  # pickled by hand: kept as long as the session
        if self._ray_lifetime._hold is None and self._ray_info["life_id"]:
            return weak_handle, (self._ray_id, self._ray_info)
        return rebuild_handle, (self._ray_id, self._ray_info)


def calls_of(core: Any, actor_id: str, class_name: str) -> ActorCalls:
    from nbray.core.actor_calls import ActorCalls  # noqa: PLC0415 - loaded with the cluster

    return ActorCalls(core, actor_id, class_name)


def weak_handle(actor_id: str, info: dict[str, Any]) -> ActorHandle:
    """Make a handle that does not keep its actor alive."""
    return rebuild_handle(actor_id, info, keeps=False)


def rebuild_handle(actor_id: str, info: dict[str, Any], keeps: bool = True) -> ActorHandle:
    """Make the handle of an actor that another process sent."""
    core = runtime.require_core()
    with core.lock:
        calls = core.actors.get(actor_id)
        if calls is None:
            calls = core.actors[actor_id] = calls_of(core, actor_id, info["class_name"])
            core.control.send(m.ActorSubscribeRequest(actor_id=actor_id))
    life_id = info["life_id"]
    hold = core.store.lookup(life_id) if life_id and keeps else None
    return ActorHandle(actor_id, info, calls, Lifetime(core, actor_id, life_id, hold))


def get_actor(name: str, namespace: str | None = None) -> ActorHandle:
    """Return a handle of a named actor, which does not keep it alive: it ends with the handles of who made it.

    Raises
    ------
    ValueError
        (ActorHandleNotFoundError) when there is none of that name in the namespace; for an empty name or namespace.
    TypeError
        For a name or namespace that is no string.
    """
    return weak_handle(*find_actor(name, namespace))


def find_actor(name: str, namespace: str | None = None) -> tuple[str, dict[str, Any]]:
    """Return the id of a named actor and what its handles know of it; raises as ``get_actor`` does."""
    if not name:
        raise ValueError("Please supply a non-empty value to get_actor")
    if not isinstance(name, str):
        raise TypeError(f"The name of an actor is a string, got {name!r}.")
    if namespace is not None and not isinstance(namespace, str):
        raise TypeError(f"namespace must be None or a string, got {namespace!r}.")
    if namespace == "":
        raise ValueError('"" is not a valid namespace. Pass None to not specify a namespace.')
    core = runtime.require_core()
    wanted = namespace or core.namespace
    reply = core.request(m.GetNamedActorRequest(request_id=core.control.next_id(), name=name, namespace=wanted))[0]
    if not reply.actor_id:
        raise ActorHandleNotFoundError(f"Failed to look up actor with name '{name}'. {reply.error}")
    return reply.actor_id, pickle.loads(reply.handle_info)


def is_ordered(options: dict[str, Any], is_async: bool) -> bool:
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


def describe(
    cls: type, class_name: str, methods: dict[str, dict[str, Any]], options: dict[str, Any], is_async: bool, life_id: bytes,
    need: dict[str, int],
) -> dict[str, Any]:  # fmt: skip
    """Return what a handle knows of its actor; goes with it to other processes."""
    return {
        "class_name": class_name, "defined": (cls.__module__, cls.__qualname__), "methods": methods, "max_task_retries": options.get("max_task_retries", 0),
        "max_pending_calls": options.get("max_pending_calls", -1), "ordered": is_ordered(options, is_async),
        "life_id": life_id, "groups": list(options.get("concurrency_groups") or {}), "need": need,
        "side_by_side": _is_side_by_side(options, is_async), "recorded": options.get("enable_task_events") is not False,
        "window": options.get("_actor_generator_backpressure_num_objects", -1),
    }  # fmt: skip


def handle_of_this_actor(core: Any, executor: Any) -> ActorHandle:
    """Return a handle of the actor that this worker is; it does not keep it alive."""
    spec = executor.actor_spec
    cls = type(executor.actor)
    methods = methods_of(cls)
    info = describe(cls, spec["class_name"], methods, spec["options"], executor.is_async, spec["life_id"], {})
    return weak_handle(executor.actor_id, info)


def exit_actor() -> None:
    """End the actor that runs this method, on purpose; it is not restarted."""
    core = current.core
    executor = getattr(core, "executor", None)
    if executor is None or executor.actor is None:
        raise TypeError("exit_actor called on a non-actor worker.")
    executor.exit_here()
