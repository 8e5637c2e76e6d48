"""How an actor is made: checked here, written into the store, asked for at the daemon."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

from nbray import ids
from nbray import options as option_table
from nbray.api import placing as where
from nbray.api import redefinition, runtime
from nbray.api.actor_handle import (
    ActorHandle,
    Lifetime,
    calls_of,
    describe,
    get_actor,
    is_ordered,
)
from nbray.core import current
from nbray.core.call_site import label
from nbray.core.surroundings import Surroundings
from nbray.exceptions import ActorAlreadyExistsError, ActorUnschedulableError, RayError, RaySystemError
from nbray.serialization import serializer
from nbray.wire import messages as m

if TYPE_CHECKING:
    from nbray.api.actor_class import ActorClass
    from nbray.core.actor_calls import ActorCalls


NAME_TIMEOUT_S = 60.0  # the daemon says within this time whether a name is free


def create(
    actor_class: ActorClass, args: tuple[Any, ...], kwargs: dict[str, Any], options: dict[str, Any]
) -> ActorHandle:
    """Make an actor, or join the one that has the name already with ``get_if_exists``.

    Raises
    ------
    ValueError
        For a name that is taken, and for what cannot be placed in its group.
    TypeError
        For arguments that do not fit the constructor or cannot be pickled.
    ActorUnschedulableError
        When no node can ever give what it asks for.
    """
    core = runtime.require_core()
    class_name = actor_class._class_name
    name = options.get("name") or ""
    if options.get("get_if_exists"):
        if not name:
            raise ValueError("The actor name must be specified to use `get_if_exists`.")
        try:
            return get_actor(name, options.get("namespace"))
        except ValueError:
            pass
    if actor_class._check is not None:
        actor_class._check(args, kwargs)
    elif args or kwargs:
        raise TypeError(f"{class_name}() takes no arguments.")
    is_ordered(options, actor_class._is_async)  # refuses what cannot be
    running, placing = option_table.actor_shapes(options)
    scope = current.scope
    assert scope is not None
    _, target, captures = where.resolve(options, scope, running, placing, f"actor {class_name}")
    if where.is_anywhere(target):
        reason = core.impossible(class_name, placing, bool(options.get("wait_for_resources")))
        if reason:
            raise ActorUnschedulableError(reason)
    core.follow_path()
    code = actor_class._code_for(core)
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
            "resources": running,
            **({"environment": environment} if environment is not None else {}),
        }),
        "life_id": life_id, "code": code, "arguments": None, "values": _as_given(core, args, kwargs), "class_name": class_name,
        "origin": core.origin,
        "options": {k: v for k, v in options.items() if k not in where.NOT_FOR_WORKERS}, "resources": running,
        "owner": core.peer,
    }  # fmt: skip
    spec_id = core.object_id(number, ids.ACTOR_SPEC_INDEX)
    hold = _write_spec(core, spec_id, spec, args, kwargs)
    info = describe(
        actor_class._class, class_name, actor_class._methods, options, actor_class._is_async, life_id, placing
    )
    calls = calls_of(core, actor_id, class_name)
    calls.spec_hold = hold
    calls.origin = core.origin
    namespace = options.get("namespace") or core.namespace
    request = m.CreateActorRequest(
        env_key=environment.key if environment is not None else "",
        actor_id=actor_id, spec_id=spec_id, class_name=class_name, resources=placing,
        running_resources=running, max_restarts=options.get("max_restarts", 0), name=name, namespace=namespace,
        detached=detached, job_id=core.job_id, method_names=list(actor_class._methods),
        wait_for_resources=bool(options.get("wait_for_resources")), handle_info=pickle.dumps(info), life_id=life_id,
        target=target, made_at=label().decode(), recorded=options.get("enable_task_events") is not False,
        qualname=actor_class._class.__qualname__,
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
            return create(actor_class, args, kwargs, options)  # somebody was quicker: join his
    handle = ActorHandle(actor_id, info, calls, Lifetime(core, actor_id, life_id, life))
    handle._ray_made_of = actor_class._class
    redefinition.note_actor(actor_class._class, handle)
    return handle


def _as_given(core: Any, args: Any, kwargs: Any) -> tuple[list[Any], dict[str, Any]]:
    """Return the arguments, with errors of the library as refs: the constructor fails with them, as any other call."""
    return (
        [core.put(value) if isinstance(value, RayError) else value for value in args],
        {key: core.put(value) if isinstance(value, RayError) else value for key, value in kwargs.items()},
    )


def _write_spec(core: Any, spec_id: bytes, spec: dict[str, Any], args: Any, kwargs: Any) -> Any:
    try:
        data = serializer.dumps(spec, f"the arguments of {spec['class_name']}()")
    except TypeError:
        _name_offender(args, kwargs)
        raise
    return core.store.write(spec_id, serializer.plain(data) if isinstance(data, bytes) else data)


def _name_offender(args: Any, kwargs: Any) -> None:
    """Raise the error that names the argument which cannot be pickled."""
    for index, value in enumerate(args):
        serializer.dumps(value, f"args[{index}]")
    for key, value in kwargs.items():
        serializer.dumps(value, f"kwargs[{key!r}]")


def _await_acceptance(core: Any, calls: ActorCalls, name: str, namespace: str) -> None:
    core.wait_until(lambda: calls.notice is not None, NAME_TIMEOUT_S)
    notice = calls.notice
    if notice is None:
        core.control.send(
            m.KillActorRequest(actor_id=calls.actor_id, no_restart=True, reason="its name was never confirmed")
        )
        raise RaySystemError(
            f"The node daemon has not said within {NAME_TIMEOUT_S:g} s whether the name {name} (namespace={namespace}) is "
            "free, so the actor is not made. The machine is overloaded, or the daemon hangs: `nbray doctor` and `nbray "
            "stack` tell."
        )
    if notice.name_taken:
        core.actors.pop(calls.actor_id, None)
        raise ActorAlreadyExistsError(
            f"The name {name} (namespace={namespace}) is already taken. Please use a different name or get the existing "
            f"actor using nbray.get_actor('{name}', namespace='{namespace}')"
        )
