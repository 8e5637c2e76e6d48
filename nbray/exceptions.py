"""All exceptions that nbray raises, in one tree, with Ray's names where Ray has them.

Exceptions carry facts as attributes; their text says what happened, where, why and
what to do next. Classes that Ray does not have are marked "nbray only".
"""

from __future__ import annotations

import pickle
import types
from typing import Any


class RayError(Exception):
    """Base of all errors that come from the runtime."""


class RaySystemError(RayError):
    """The runtime itself failed: its daemon died, or it met a state it cannot be in.

    Attributes
    ----------
    client_exc : str or BaseException
        What happened.
    traceback_str : str or None
        Where.
    """

    def __init__(self, client_exc: Any = "", traceback_str: str | None = None) -> None:
        super().__init__(*(one for one in (client_exc, traceback_str) if one is not None))
        self.client_exc = client_exc
        self.traceback_str = traceback_str

    def __str__(self) -> str:
        return f"{self.client_exc}\ntraceback: {self.traceback_str}" if self.traceback_str else str(self.client_exc)


class AuthenticationError(RayError):
    """A key or a connection file was refused."""


class CrossLanguageError(RayError):
    """Raised by Ray for other languages; nbray runs Python only."""


class RpcError(RayError):
    """A control message could not be delivered."""

    def __init__(self, message: str = "", rpc_code: int | None = None) -> None:
        super().__init__(message, rpc_code)
        self.message = message
        self.rpc_code = rpc_code

    def __str__(self) -> str:
        return self.message


# ------------------------------------------------------------------------------ tasks


def dependents_text(names: tuple[str, ...]) -> str:
    """Return the lines that name the tasks which did not run because an argument of theirs failed."""
    return "".join(
        "...\n" if name == "..." else f"{name}() did not run, as an argument of it could not be computed:\n"
        for name in names
    )


class RayTaskError(RayError):
    """A task or actor method raised.

    What ``get`` raises is also an instance of the user's exception class, when that
    class allows it, so that ``except ValueError`` works as in local code. Its ``args``
    are then the user's exception alone, as in Ray; other attributes are those of the
    user's exception.

    Attributes
    ----------
    function_name : str
        The function or method that raised.
    traceback_str : str
        The traceback as the worker saw it.
    cause : BaseException
        The user's exception.
    pid : int
        Process id of the worker.
    node : str
        Id of its node, shortened.
    frames : list of (filename, lineno, function)
        The user's frames, outermost first.
    dependents : tuple of str
        The tasks that did not run because this became of an argument of theirs, outermost first; of many those in
        the middle are left out.
    proctitle, ip, actor_repr
        What Ray has in their places: accepted and kept, not filled by nbray.
    """

    # For subclasses whose __init__ does not call this one.
    _told: tuple[Any, ...] = ("", "", None, None, 0, None, None, None, [], "", ())

    def __init__(
        self,
        function_name: str = "",
        traceback_str: str = "",
        cause: BaseException | None = None,
        proctitle: str | None = None,
        pid: int | None = None,
        ip: str | None = None,
        actor_repr: str | None = None,
        actor_id: str | None = None,
        *,
        frames: list[tuple[str, int, str]] | None = None,
        node: str = "",
        dependents: tuple[str, ...] = (),
    ) -> None:
        self.args = (function_name, traceback_str, cause, proctitle, pid, ip)
        self._tell((
            function_name, traceback_str, cause, proctitle, pid or 0, ip, actor_repr, actor_id, frames or [], node,
            dependents,
        ))  # fmt: skip

    def _tell(self, told: tuple[Any, ...]) -> None:
        self._told = told  # the user's exception may have attributes of the names below: they win
        (
            self.function_name, self.traceback_str, self.cause, self.proctitle, self.pid, self.ip, self.actor_repr,
            self._actor_id, self.frames, self.node, self.dependents,
        ) = told  # fmt: skip

    def __str__(self) -> str:
        function_name, text, _, _, pid, _, _, _, _, node, dependents = self._told
        if not pid:  # of the runtime, or made by a program
            if self._told[:-1] == RayTaskError._told[:-1]:
                return dependents_text(dependents) + Exception.__str__(self)
            return dependents_text(dependents) + text.rstrip()
        where = f"worker pid={pid}, node {node}" if node else f"worker pid={pid}"
        return f"{dependents_text(dependents)}{function_name}() failed on {where}\n{text.rstrip()}"

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild_task_error, (isinstance(self, _Dual), *self._told)

    def of_dependents(self, names: tuple[str, ...]) -> RayTaskError:
        """Add the tasks that did not run because of this error, outermost first, and return it."""
        if names:
            *facts, dependents = self._told
            self._told = (*facts, (*names, *dependents))
            if (
                getattr(self, "dependents", dependents) is dependents
            ):  # else the user's exception has an attribute of this name
                self.dependents = self._told[-1]
        return self

    def as_instanceof_cause(self) -> RayTaskError:
        """Return this error as an instance of both RayTaskError and the cause's class."""
        cause = self.cause
        if cause is None or issubclass(RayTaskError, type(cause)) or isinstance(self, _Dual):
            return self
        error_cls = _dual_class(type(cause))
        if error_cls is None:
            return self
        try:
            try:
                dual = type.__call__(error_cls, *cause.args)  # its __init__ takes anything
            except TypeError:
                dual = type.__call__(error_cls)
            dual._tell(self._told)
            dual.args = (cause,)
            _take_attributes(dual, cause)
        except BaseException:
            return self
        return dual


class _Dual:
    """What comes before both classes in a RayTaskError that is an instance of the user's class as well."""

    cause: Any = None  # a class attribute, so that nothing of this name in the user's class is in the way
    args: Any = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: the user's ``__init__`` has run, in the worker."""

    def __getattr__(self, name: str) -> Any:
        cause = self.__dict__.get("cause")
        if cause is None or name.startswith("__"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(cause, name)

    def __repr__(self) -> str:
        return f"RayTaskError({type(self.cause).__name__})({self.cause!r})"


_FIELDS = (types.MemberDescriptorType, types.GetSetDescriptorType)
_PUBLIC = ("function_name", "traceback_str", "proctitle", "pid", "ip", "actor_repr", "frames", "node", "dependents")
_KEPT = frozenset(dir(BaseException)) | {"args", "cause"}


def _take_attributes(dual: Any, cause: BaseException) -> None:
    """Give ``dual`` what ``cause`` has: attributes, and the fields that its class keeps outside of ``__dict__``."""
    names = [*getattr(cause, "__dict__", ()), *(name for name in _PUBLIC if hasattr(type(cause), name))]
    for cls in type(cause).__mro__:
        names += [name for name, field in vars(cls).items() if type(field) in _FIELDS]
    for name in names:
        if name not in _KEPT:
            try:
                setattr(dual, name, getattr(cause, name))
            except Exception:  # a read-only attribute of the user's class
                continue


def _rebuild_task_error(dual: bool, *fields: Any) -> RayTaskError:
    *facts, frames, node, dependents = fields
    error = RayTaskError(*facts, frames=frames, node=node, dependents=dependents)
    return error.as_instanceof_cause() if dual else error


_dual_classes: dict[type, type | None] = {}


def _dual_class(cause_cls: type[BaseException]) -> Any:
    """Make (once) the class that is RayTaskError and ``cause_cls`` at the same time."""
    if cause_cls in _dual_classes:
        return _dual_classes[cause_cls]
    also = tuple(more for base, more in _ALSO.items() if issubclass(cause_cls, base))
    made: type | None
    try:
        made = type(
            f"RayTaskError({cause_cls.__name__})",
            (_Dual, RayTaskError, *also, cause_cls),
            {
                "__str__": RayTaskError.__str__,
                "__reduce__": RayTaskError.__reduce__,
                "__module__": "nbray.exceptions",
            },
        )
    except Exception:  # final classes, conflicting layouts, a class that objects to subclasses
        made = None
    if len(_dual_classes) < 1000:
        _dual_classes[cause_cls] = made
    return made


class UserCodeException(RayError):
    """An exception in user code called by the runtime (callbacks)."""


class TaskCancelledError(RayError):
    """The task was cancelled before it ended."""

    def __init__(self, task_id: str | None = None, error_message: str | None = None) -> None:
        self.task_id = task_id
        self.error_message = error_message
        super().__init__(error_message or (f"Task {task_id} was cancelled." if task_id else "This task was cancelled."))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.task_id, self.error_message)


class WorkerCrashedError(RayError):
    """The worker process died while it ran the task.

    Attributes
    ----------
    pid, exit_code, signal_name, log_tail
        What is known of the dead process.
    """

    def __init__(
        self, message: str = "The worker died unexpectedly while executing this task.", pid: int = 0,
        exit_code: int | None = None, signal_name: str = "", log_tail: str = "",
    ) -> None:  # fmt: skip
        super().__init__(message)
        self.pid, self.exit_code, self.signal_name, self.log_tail = pid, exit_code, signal_name, log_tail

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.args[0], self.pid, self.exit_code, self.signal_name, self.log_tail)


class RunningTaskCancelledError(RayTaskError, TaskCancelledError):
    """The task was cancelled while it ran: in Ray that is the task's own error as well. nbray only."""

    def __init__(self, task_id: str | None = None) -> None:
        cause = TaskCancelledError(task_id)
        RayTaskError.__init__(self, "", str(cause), cause)
        self.task_id, self.error_message = task_id, None
        self.args = (cause,)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.task_id,)


class ForciblyCancelledError(TaskCancelledError, WorkerCrashedError):
    """The task's worker was ended by ``cancel(force=True)``: what Ray raises and what it documents. nbray only."""

    def __init__(
        self, task_id: str | None = None, message: str = "", pid: int = 0, exit_code: int | None = None,
        signal_name: str = "", log_tail: str = "",
    ) -> None:  # fmt: skip
        TaskCancelledError.__init__(self, task_id, message)
        self.pid, self.exit_code, self.signal_name, self.log_tail = pid, exit_code, signal_name, log_tail

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (
            self.task_id, self.error_message, self.pid, self.exit_code, self.signal_name, self.log_tail,
        )  # fmt: skip


# What notebooks show; pickles go by __qualname__.
RunningTaskCancelledError.__name__ = ForciblyCancelledError.__name__ = TaskCancelledError.__name__


# In Ray a task that raises KeyboardInterrupt counts as cancelled, and one that calls sys.exit ends its worker. Here both
# are errors as any other, and are caught under Ray's names as well; after sys.exit a task with retries runs again, too.
_ALSO: dict[type[BaseException], type[RayError]] = {
    KeyboardInterrupt: TaskCancelledError,
    SystemExit: WorkerCrashedError,
}


class _Told(RayError):
    """Base of errors that are made from one sentence.

    Attributes
    ----------
    error_message : str
        The sentence, under Ray's name.
    """

    _default = ""

    def __init__(self, error_message: str | None = None) -> None:
        super().__init__(*([self._default] if error_message is None else [error_message]))

    @property
    def error_message(self) -> str:
        return str(self.args[0]) if self.args else ""


class TaskUnschedulableError(_Told):
    """No node can ever give the task what it asks for."""


class ActorUnschedulableError(_Told):
    """No node can ever give the actor what it asks for."""


class TaskPlacementGroupRemoved(_Told):
    """The task's placement group was removed."""

    _default = "The placement group of this task has been removed."


class ActorPlacementGroupRemoved(_Told):
    """The actor's placement group was removed."""

    _default = "The placement group of this actor has been removed."


class PendingCallsLimitExceeded(RayError):
    """More calls are queued at an actor than its ``max_pending_calls`` allows."""


class RuntimeEnvSetupError(_Told):
    """The runtime environment could not be made."""

    _default = "Failed to set up runtime environment."


class OutOfMemoryError(RayError):
    """A worker was ended because its node ran out of memory."""


# ----------------------------------------------------------------------------- actors


class RayActorError(RayError):
    """An actor could not run the call.

    Attributes
    ----------
    actor_id : str or None
    error_msg : str
    actor_init_failed : bool
        Whether its constructor raised.
    preempted : bool
        Whether its node was taken away; that does not happen on one machine.
    maybe_executed : bool
        True when the call may have run, wholly or in part. nbray only.
    cause_blob : bytes
        The pickled exception of its constructor, if that is why. nbray only.
    """

    BASE_ERROR_MSG = "The actor experienced an error before finishing this task."

    def __init__(
        self, actor_id: str | None = None, error_msg: str = BASE_ERROR_MSG, actor_init_failed: bool = False,
        preempted: bool = False, *, maybe_executed: bool = False, cause_blob: bytes = b"",
    ) -> None:  # fmt: skip
        super().__init__(error_msg)
        self.actor_id = actor_id
        self.error_msg = error_msg
        self._preempted = preempted
        self.maybe_executed = maybe_executed
        self.cause_blob = cause_blob
        self._init_failed = actor_init_failed

    @property
    def actor_init_failed(self) -> bool:
        return self._init_failed or bool(self.cause_blob)

    @property
    def preempted(self) -> bool:
        return self._preempted

    @property
    def cause(self) -> BaseException | None:
        """The exception that its constructor raised, or None."""
        try:
            return pickle.loads(self.cause_blob) if self.cause_blob else None
        except Exception:  # its class is not known here
            return None

    def __reduce__(self) -> tuple[Any, ...]:
        facts = (self.actor_id, self.error_msg, self._init_failed, self._preempted)
        return _rebuild_actor_error, (type(self), facts, self.maybe_executed, self.cause_blob)


def _rebuild_actor_error(
    cls: type[RayActorError], facts: tuple[Any, ...], maybe_executed: bool, cause_blob: bytes
) -> RayActorError:
    error: RayActorError = Exception.__new__(cls)
    RayActorError.__init__(error, *facts, maybe_executed=maybe_executed, cause_blob=cause_blob)
    return error


class ActorDiedError(RayActorError):
    """The actor is dead and will not come back.

    Parameters
    ----------
    cause : RayTaskError or str, optional
        What its constructor raised, or a sentence that says why it is dead.
    """

    BASE_ERROR_MSG = "The actor died unexpectedly before finishing this task."

    def __init__(
        self, cause: RayTaskError | str | None = None, actor_id: str | None = None, *, maybe_executed: bool = False
    ) -> None:
        text = str(cause or self.BASE_ERROR_MSG)
        if isinstance(cause, RayTaskError):
            text = f"The actor died because of an error raised in its creation task, {cause}"
            actor_id = actor_id or cause._actor_id
        super().__init__(actor_id, text, isinstance(cause, RayTaskError), maybe_executed=maybe_executed)

    @staticmethod
    def from_task_error(task_error: RayTaskError) -> ActorDiedError:
        """Return the error of an actor whose constructor raised this."""
        return ActorDiedError(task_error)


class ActorOutOfMemoryError(ActorDiedError, OutOfMemoryError):
    """The actor was ended because its node ran out of memory: as in Ray caught as that as well. nbray only."""


class ActorUnavailableError(RayActorError):
    """The actor restarts just now; the call may be tried again."""

    def __init__(
        self, error_message: str, actor_id: str | bytes | None = None, *, maybe_executed: bool = False
    ) -> None:
        if isinstance(actor_id, bytes):
            actor_id = actor_id.hex()
        super().__init__(actor_id, error_message, maybe_executed=maybe_executed)


class ActorAlreadyExistsError(_Told, ValueError):
    """An actor of this name lives in this namespace."""


class ActorHandleNotFoundError(_Told, ValueError):
    """There is no such actor handle or named actor."""


class AsyncioActorExit(RayError):
    """Raised inside an async actor by exit_actor."""


class ActorClassInheritanceException(TypeError):
    """An actor class cannot be a base class; inherit from the plain class."""


# ---------------------------------------------------------------------------- objects


class GetTimeoutError(RayError, TimeoutError):
    """``get`` did not have all values in the time given."""


class ObjectLostError(RayError):
    """The object is gone and cannot be made again.

    Attributes
    ----------
    object_ref_hex : str
    owner_address : bytes or None
        Accepted and kept, not filled by nbray.
    call_site : str
        Where its ref was made, if that is known.
    """

    _what = "All copies of it are lost."

    def __init__(
        self, object_ref_hex: str = "", owner_address: bytes | None = None, call_site: str = "", *, message: str = ""
    ) -> None:
        made = f", made at {call_site}" if call_site else ""
        super().__init__(message or f"Failed to retrieve object {object_ref_hex}{made}. {self._what}")
        self.object_ref_hex = object_ref_hex
        self.owner_address = owner_address
        self.call_site = call_site

    def __reduce__(self) -> tuple[Any, ...]:
        facts = (self.object_ref_hex, self.owner_address, self.call_site)
        return _rebuild_lost_error, (type(self), facts, self.args[0], self.__dict__)


def _rebuild_lost_error(
    cls: type[ObjectLostError], facts: tuple[Any, ...], message: str, attributes: dict[str, Any]
) -> ObjectLostError:
    error: ObjectLostError = Exception.__new__(cls)
    ObjectLostError.__init__(error, *facts, message=message)
    error.__dict__.update(attributes)
    return error


class ForeignObjectError(ObjectLostError, ValueError):
    """The object belongs to another cluster. nbray only."""


class ObjectFetchTimedOutError(ObjectLostError):
    """The object could not be brought to this node in time."""

    _what = "It could not be brought here in time."


class OwnerDiedError(ObjectLostError):
    """The process that should have made the object died before it did."""

    _what = "The process that should have made it has died."


class ObjectFreedError(ObjectLostError):
    """The object was freed by hand."""

    _what = "It was freed by hand."


class ObjectReconstructionFailedError(ObjectLostError):
    """The object was lost, and making it again failed."""

    _what = "Making it again failed."

    def __init__(
        self, object_ref_hex: str = "", reason: Any = None, reason_message: str | None = None,
        owner_address: bytes | None = None, call_site: str = "", *, message: str = "",
    ) -> None:  # fmt: skip
        if reason_message and not message:
            message = f"Failed to retrieve object {object_ref_hex}. {reason_message}"
        super().__init__(object_ref_hex, owner_address, call_site, message=message)
        self.reason = reason
        self.reason_message = reason_message


class ReferenceCountingAssertionError(ObjectLostError, AssertionError):
    """The object was given back although somebody still refers to it."""

    _what = "It was given back although somebody still refers to it."


class ObjectStoreFullError(RayError):
    """The object store has no room.

    Attributes
    ----------
    size, used, capacity : int
        Bytes asked for, in use, and in all.
    """

    def __init__(self, message: str = "The object store is full.", size: int = 0, used: int = 0, capacity: int = 0):
        super().__init__(message)
        self.size, self.used, self.capacity = size, used, capacity

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.args[0], self.size, self.used, self.capacity)


class OutOfDiskError(RayError):
    """There is no disk left to spill to."""


class SerializationError(TypeError, RayError):
    """A value cannot be pickled; the text names the path to the offender. nbray only."""


class UnserializableException(RayError):
    """Stands for an exception that could not be brought over from the worker."""

    def __init__(self, original_stack_trace: str = "") -> None:
        super().__init__(original_stack_trace)

    @property
    def original_stack_trace(self) -> str:
        """Its traceback, as text."""
        return str(self.args[0])


class OufOfBandObjectRefSerializationException(RayError):
    """A ref was pickled outside of the runtime (the name is Ray's)."""


class ObjectRefStreamEndOfStreamError(RayError):
    """The stream of refs has ended."""


class StreamingGeneratorReplayInconsistentError(RaySystemError):
    """A generator that ran again yielded something else; nbray keeps what arrived and never raises it."""


# Of parts that nbray does not have (compiled graphs, direct transport): for programs that catch them.


class PlasmaObjectNotAvailable(RayError):
    """Never raised: an object that is not there is waited for."""


class RayChannelError(RaySystemError):
    """Never raised: compiled graphs are Ray's alone."""


class RayChannelTimeoutError(RayChannelError, TimeoutError):
    """Never raised, the same."""


class RayCgraphCapacityExceeded(RaySystemError):
    """Never raised, the same."""


class RayDirectTransportError(RaySystemError):
    """Never raised: there is no direct transport of tensors."""


# ------------------------------------------------------------------------ collectives


class CollectiveError(RayError, RuntimeError):
    """An operation of a collective group failed. nbray only, as are its subclasses.

    Attributes
    ----------
    group_name : str
    rank : int
        The rank at fault; -1: none.
    """

    def __init__(self, message: str = "", group_name: str = "", rank: int = -1) -> None:
        super().__init__(message)
        self.group_name = group_name
        self.rank = rank

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.group_name, self.rank)


class CollectiveRankDiedError(CollectiveError):
    """The process of another rank died: the group is broken for all."""


class CollectiveTimeoutError(CollectiveError, TimeoutError):
    """A rank waited in vain for another: the group is broken for all."""


class CollectiveMismatchError(CollectiveError, ValueError):
    """The ranks do not agree about the operation, type, size, reduction or root."""


# ------------------------------------------------------------------- nodes, start-up


class NodeDiedError(RayError):
    """A node died."""


class LocalRayletDiedError(NodeDiedError):
    """The daemon of this node died."""


class SharedMemoryTooSmallError(RayError, ValueError):
    """The object store asked for does not fit into this machine. nbray only."""


class ForkedProcessError(RuntimeError, RayError):
    """nbray was used in a process forked after init. nbray only."""


class VersionMismatchError(RayError):
    """Two parts of different versions met. nbray only."""


class InsecureConfigurationError(RayError):
    """What was asked for would let others in. nbray only."""


class PortInUseError(OSError, RayError):
    """Another process listens there already. nbray only."""


class ResourceLimitError(RayError):
    """A limit of the machine (descriptors, processes) is too low. nbray only."""


class ClusterGoneError(RaySystemError, ConnectionError):
    """The cluster that this process was part of has ended. nbray only."""


class PerformanceWarning(UserWarning):
    """Code that works but wastes much of what nbray can do. nbray only."""
