"""Collectives: operations on arrays that several processes take part in.

Tasks, actors and the driver of one node join a *group*, each as a *rank*. Arrays are NumPy
arrays or torch tensors on the CPU, worked on in place. They travel through the node's shared
memory; reductions are computed in C. Names and signatures are those of ``ray.util.collective``;
``alltoall``, ``ReduceOp.AVERAGE``, ``timeout`` and groups that include the driver are nbray's own.

An operation ends for all ranks: with its result; with CollectiveMismatchError when they do not
agree, or one refuses its arguments (the group goes on, but for a receiver who refuses); with CollectiveRankDiedError, CollectiveTimeoutError or CollectiveError
when a rank died, came too late, left or gave up. After these the group is broken; destroy it in
all ranks and create it anew.
"""

from __future__ import annotations

import json
import os
import threading
from enum import Enum
from typing import Any, NoReturn

from nbray.api import runtime
from nbray.api.runtime_context import RuntimeContext
from nbray.core import collective_group, collective_members, current
from nbray.core.collective_group import (
    ALLGATHER,
    ALLREDUCE,
    ALLTOALL,
    BARRIER,
    BROADCAST,
    RECV,
    REDUCE,
    REDUCESCATTER,
    SEND,
    Group,
)
from nbray.core.records import StoreHold
from nbray.exceptions import CollectiveError

__all__ = [
    "Backend",
    "ReduceOp",
    "allgather",
    "allgather_multigpu",
    "allreduce",
    "allreduce_multigpu",
    "alltoall",
    "barrier",
    "broadcast",
    "broadcast_multigpu",
    "create_collective_group",
    "destroy_collective_group",
    "get_collective_group_size",
    "get_group_handle",
    "get_rank",
    "gloo_available",
    "init_collective_group",
    "is_backend_available",
    "is_group_initialized",
    "nccl_available",
    "recv",
    "recv_multigpu",
    "reduce",
    "reduce_multigpu",
    "reducescatter",
    "reducescatter_multigpu",
    "send",
    "send_multigpu",
]

_NEVER_ON_GPUS = (
    "This operation is for several GPUs per process (NCCL through CuPy), which nbray does not have: its collectives "
    "work on arrays in the node's memory. Use {name}() on one array per process."
)


class ReduceOp(Enum):
    """How elements are reduced."""

    SUM = 0
    PRODUCT = 1
    MIN = 2
    MAX = 3
    AVERAGE = 4  # of floating-point and complex numbers; nbray only


class Backend:
    """Names of backends. Both mean the node's shared memory here; arrays on GPUs are refused."""

    NCCL = "NCCL"
    GLOO = "GLOO"
    UNRECOGNIZED = "unrecognized"

    def __new__(cls, name: str) -> str:  # type: ignore[misc]
        """Return the backend of a name in any case."""
        known = {"NCCL": cls.NCCL, "GLOO": cls.GLOO, "TORCH_GLOO": cls.GLOO}.get(str(name).upper())
        if known is None:
            raise ValueError(f"Unrecognized backend: '{name}'. Only NCCL and GLOO are supported")
        return known


_SUM = ReduceOp.SUM
_lock = threading.Lock()
_groups: dict[tuple[str, str], Group] = {}  # (namespace, name) -> the group that this process is in
_declared: dict[tuple[str, str], StoreHold] = {}  # what this process wrote down for others


# -------------------------------------------------------------------------------- groups


def nccl_available() -> bool:
    """Whether NCCL is there: never, as collectives work on arrays in the node's memory."""
    return False


def gloo_available() -> bool:
    """Whether arrays in memory can be worked on: always."""
    return True


def is_backend_available(backend: str) -> bool:
    """Whether a backend is what it says (the name NCCL is accepted all the same)."""
    return str(backend).upper() in ("GLOO", "TORCH_GLOO")


def init_collective_group(
    world_size: int, rank: int, backend: str = Backend.NCCL, group_name: str = "default", gloo_timeout: int = 30000
) -> None:
    """Make this process a rank of a group.

    Does not wait for the others: the first operation does. Which process a rank will be is not known
    before it joins; when that process dies earlier, the others hear of it by ``gloo_timeout`` alone.
    Of the actors of a declared group (``create_collective_group``) they hear at once.

    Parameters
    ----------
    world_size : int
        How many ranks the group has, at most 256.
    rank : int
        This process's rank, from 0.
    backend : str
        "nccl" or "gloo"; both mean the node's shared memory.
    group_name : str
        One name for all ranks; separate in each namespace.
    gloo_timeout : int
        Milliseconds that an operation waits for a rank that has not joined; 0: for ever.

    Raises
    ------
    RuntimeError
        When this process is in a group of that name already; CollectiveError (a RuntimeError)
        when another process has the rank, or the group has another size.
    ValueError
        For a name, size, rank or backend that is none.
    """
    core = runtime.require_core()
    Backend(backend)
    if not isinstance(group_name, str) or not group_name:
        raise ValueError(f"group_name '{group_name}' needs to be a string.")
    if not isinstance(world_size, int) or not 0 < world_size <= collective_group.MAX_RANKS:
        raise ValueError(f"world_size={world_size!r} must be an int from 1 to {collective_group.MAX_RANKS}.")
    _check_rank(rank, world_size)
    with _lock:
        if (core.namespace, group_name) in _groups:
            raise RuntimeError(
                f"Trying to initialize a group a second time: this process is in the group '{group_name}' already; "
                "destroy_collective_group() ends that."
            )
        _join(core, group_name, world_size, rank, gloo_timeout)


def create_collective_group(
    actors: list[Any], world_size: int, ranks: list[int], backend: str = Backend.NCCL, group_name: str = "default",
    gloo_timeout: int = 30000,
) -> None:  # fmt: skip
    """Declare actors to be a group; each joins by itself with its first operation.

    When one of them is dead for good before it has joined, the others get CollectiveRankDiedError.

    Raises
    ------
    RuntimeError
        When a group of that name is declared already, or actors and ranks do not fit together.
    """
    core = runtime.require_core()
    Backend(backend)
    if len(ranks) != len(actors):
        raise RuntimeError(f"Each actor should correspond to one rank. Got '{ranks}' ranks but '{len(actors)}' actors")
    if set(ranks) != set(range(len(ranks))):
        raise RuntimeError(f"Ranks must be a permutation from 0 to '{len(ranks)}'. Got '{ranks}'.")
    if world_size <= 0:
        raise RuntimeError(f"World size must be greater than zero. Got '{world_size}'.")
    if world_size != len(actors):
        raise RuntimeError(f"The group has {world_size} ranks, but {len(actors)} actors were given.")
    of_actors = {actor._ray_id: rank for actor, rank in zip(actors, ranks, strict=True)}
    facts = {"world_size": world_size, "timeout_ms": gloo_timeout, "ranks": of_actors}
    with _lock:
        _forget_withdrawn(core)
        hold = collective_members.declare(core, group_name, json.dumps(facts).encode())
        if hold is None:
            raise RuntimeError(
                f"Trying to initialize a group twice: '{group_name}' is declared; destroy_collective_group() in one of "
                "its ranks ends that."
            )
        _declared[core.namespace, group_name] = hold


def destroy_collective_group(group_name: str = "default") -> None:
    """Leave a group, and withdraw its declaration. Does nothing when there is none.

    Raises
    ------
    CollectiveError
        When another thread of this process is in an operation of the group.
    """
    core = current.core
    if core is None:
        return
    key = (core.namespace, group_name)
    with _lock:
        group = _groups.get(key)
        if group is not None:
            group.leave()
            del _groups[key]
        hold = _declared.pop(key, None)
        if group is not None or hold is not None:
            collective_members.withdraw(core, group_name)
        if hold is not None:
            hold.release()
        _forget_withdrawn(core)


def is_group_initialized(group_name: str) -> bool:
    """Whether this process has joined a group of that name."""
    core = current.core
    return core is not None and (core.namespace, group_name) in _groups


def get_rank(group_name: str = "default") -> int:
    """Return the rank of this process in a group; -1 when it is in none of that name."""
    core = current.core
    group = None if core is None else _groups.get((core.namespace, group_name))
    return -1 if group is None else group.rank


def get_collective_group_size(group_name: str = "default") -> int:
    """Return how many ranks a group has; -1 when this process is in none of that name."""
    core = current.core
    group = None if core is None else _groups.get((core.namespace, group_name))
    return -1 if group is None else group.world_size


def get_group_handle(group_name: str = "default") -> Group:
    """Return the group that this process is in; an actor of a declared group joins it now.

    Raises
    ------
    RuntimeError
        When this process is in no group of that name.
    """
    core = runtime.require_core()
    key = (core.namespace, group_name)
    with _lock:
        group = _groups.get(key)
        if group is not None:
            return group
        text = collective_members.declaration(core, group_name)
        facts = {"ranks": {}} if text is None else json.loads(text)
        rank = facts["ranks"].get(RuntimeContext(core).get_actor_id())
        if rank is None:
            which = (
                "its actors are its ranks, and this process is none of them"
                if text
                else "init_collective_group() joins"
            )
            raise RuntimeError(f"The collective group '{group_name}' is not initialized in the process: {which}.")
        return _join(core, group_name, facts["world_size"], rank, facts["timeout_ms"])


def _join(core: Any, name: str, world_size: int, rank: int, timeout_ms: float) -> Group:
    if not isinstance(timeout_ms, (int, float)) or timeout_ms < 0:
        raise ValueError(f"gloo_timeout={timeout_ms!r} must be a number of milliseconds, 0 or more.")
    if _leave_all not in core.at_stop:
        core.at_stop.append(_leave_all)
    group = Group(core, name, world_size, rank, timeout_ms / 1000)
    _groups[core.namespace, name] = group
    return group


def _forget_withdrawn(core: Any) -> None:
    for key in list(_declared):
        if key[0] == core.namespace and not collective_members.is_declared(core, key[1]):
            _declared.pop(key).release()


def _leave_all() -> None:
    """At the end of this process's runtime: tell the others at once."""
    with _lock:
        while _groups:
            group = _groups.popitem()[1]
            try:
                group.leave()
            except CollectiveError:  # a thread is in an operation: it hears of the end there
                continue
        _declared.clear()


def _in_child() -> None:
    """In a forked child: the groups are the parent's."""
    global _lock
    _lock = threading.Lock()
    _groups.clear()


os.register_at_fork(after_in_child=_in_child)


def _group(name: str) -> Group:
    core = current.core
    group = None if core is None else _groups.get((core.namespace, name))
    return get_group_handle(name) if group is None else group


def _check_rank(rank: Any, world_size: int) -> None:
    if not isinstance(rank, int):
        raise ValueError(f"rank {rank!r} is not an int.")
    if rank < 0:
        raise ValueError(f"rank '{rank}' is negative.")
    if rank >= world_size:
        raise ValueError(f"rank '{rank}' must be less than world size '{world_size}'")


def _code(op: Any) -> int:
    if type(op) is not ReduceOp:
        raise ValueError(f"op={op!r} is not a ReduceOp: SUM, PRODUCT, MIN, MAX or AVERAGE.")
    return op._value_


def _check_list(group: Group, tensors: Any, of: str) -> None:
    if not isinstance(tensors, list):
        raise RuntimeError(f"The input must be a list of tensors. Got '{type(tensors)}'.")
    if not tensors:
        raise RuntimeError("Got an empty list of tensors.")
    if len(tensors) != group.world_size:
        raise RuntimeError(
            f"The length of the tensor list operands to {of} must be equal to world_size: {len(tensors)} tensors were "
            f"given, the group '{group.name}' has {group.world_size} ranks."
        )


# ---------------------------------------------------------------------------- operations


def allreduce(
    tensor: Any, group_name: str = "default", op: ReduceOp = ReduceOp.SUM, *, timeout: float | None = None
) -> None:
    """Reduce the tensors of all ranks; each rank gets the result, in place.

    Parameters
    ----------
    tensor : numpy.ndarray or torch.Tensor
        Of the same type and size in all ranks.
    group_name : str
    op : ReduceOp
    timeout : float, optional
        Seconds for the whole operation; default: no limit.

    Raises
    ------
    CollectiveMismatchError, CollectiveRankDiedError, CollectiveTimeoutError, CollectiveError
        See the module's text; so in all operations.
    """
    group = _group(group_name)
    try:
        group.one(ALLREDUCE, 0 if op is _SUM else _code(op), 0, tensor, timeout)
    except BaseException as error:  # here and below: the others do not wait for a rank that refuses its arguments
        group.refuse(error, ALLREDUCE)
        raise


def reduce(
    tensor: Any, dst_rank: int = 0, group_name: str = "default", op: ReduceOp = ReduceOp.SUM, *,
    timeout: float | None = None,
) -> None:  # fmt: skip
    """Reduce the tensors of all ranks; rank ``dst_rank`` gets the result, in place."""
    group = _group(group_name)
    try:
        _check_rank(dst_rank, group.world_size)
        group.one(REDUCE, _code(op), dst_rank, tensor, timeout)
    except BaseException as error:
        group.refuse(error, REDUCE)
        raise


def broadcast(tensor: Any, src_rank: int = 0, group_name: str = "default", *, timeout: float | None = None) -> None:
    """Give the tensor of rank ``src_rank`` to all, in place."""
    group = _group(group_name)
    try:
        _check_rank(src_rank, group.world_size)
        group.one(BROADCAST, 0, src_rank, tensor, timeout)
    except BaseException as error:
        group.refuse(error, BROADCAST)
        raise


def allgather(
    tensor_list: list[Any], tensor: Any, group_name: str = "default", *, timeout: float | None = None
) -> None:
    """Write the tensor of each rank into that rank's place of ``tensor_list``, in all ranks."""
    group = _group(group_name)
    try:
        _check_list(group, tensor_list, "allgather")
        group.many(ALLGATHER, 0, tensor, tensor_list, timeout)
    except BaseException as error:
        group.refuse(error, ALLGATHER)
        raise


def reducescatter(
    tensor: Any, tensor_list: list[Any], group_name: str = "default", op: ReduceOp = ReduceOp.SUM, *,
    timeout: float | None = None,
) -> None:  # fmt: skip
    """Reduce the lists of all ranks place by place; ``tensor`` gets the place of this rank."""
    group = _group(group_name)
    try:
        _check_list(group, tensor_list, "reducescatter")
        group.many(REDUCESCATTER, _code(op), tensor_list, tensor, timeout)
    except BaseException as error:
        group.refuse(error, REDUCESCATTER)
        raise


def alltoall(
    output_tensor_list: list[Any], input_tensor_list: list[Any], group_name: str = "default", *,
    timeout: float | None = None,
) -> None:  # fmt: skip
    """Give ``input_tensor_list[r]`` to rank r; ``output_tensor_list[r]`` is what rank r gave. nbray only."""
    group = _group(group_name)
    try:
        _check_list(group, input_tensor_list, "alltoall")
        _check_list(group, output_tensor_list, "alltoall")
        group.many(ALLTOALL, 0, input_tensor_list, output_tensor_list, timeout)
    except BaseException as error:
        group.refuse(error, ALLTOALL)
        raise


def barrier(group_name: str = "default", *, timeout: float | None = None) -> None:
    """Wait until all ranks are here."""
    group = _group(group_name)
    try:
        group.barrier(timeout)
    except BaseException as error:
        group.refuse(error, BARRIER)
        raise


def send(tensor: Any, dst_rank: int, group_name: str = "default", *, timeout: float | None = None) -> None:
    """Send a tensor to a rank; small ones may be on their way when this returns."""
    group = _group(group_name)
    if dst_rank.__class__ is not int or not 0 <= dst_rank < group.world_size or dst_rank == group.rank:
        _wrong_peer(group, dst_rank, "destination")
    try:
        group.one(SEND, 0, dst_rank, tensor, timeout)
    except BaseException as error:
        group.refuse(error, SEND, dst_rank)
        raise


def recv(tensor: Any, src_rank: int, group_name: str = "default", *, timeout: float | None = None) -> None:
    """Receive a tensor from a rank, into ``tensor``, which has its type and size."""
    group = _group(group_name)
    if src_rank.__class__ is not int or not 0 <= src_rank < group.world_size or src_rank == group.rank:
        _wrong_peer(group, src_rank, "source")
    try:
        group.one(RECV, 0, src_rank, tensor, timeout)
    except BaseException as error:
        group.refuse(error, RECV, src_rank)
        raise


def _wrong_peer(group: Group, rank: Any, what: str) -> NoReturn:
    _check_rank(rank, group.world_size)
    raise RuntimeError(f"The {what} rank '{rank}' is self.")


def _multi_gpu(name: str) -> Any:
    def refuse(*_args: Any, **_kwargs: Any) -> NoReturn:
        raise RuntimeError(_NEVER_ON_GPUS.format(name=name))

    refuse.__name__ = refuse.__qualname__ = f"{name}_multigpu"
    refuse.__doc__ = f"Refused: ``{name}`` over several GPUs per process."
    return refuse


allreduce_multigpu = _multi_gpu("allreduce")
reduce_multigpu = _multi_gpu("reduce")
broadcast_multigpu = _multi_gpu("broadcast")
allgather_multigpu = _multi_gpu("allgather")
reducescatter_multigpu = _multi_gpu("reducescatter")
send_multigpu = _multi_gpu("send")
recv_multigpu = _multi_gpu("recv")
