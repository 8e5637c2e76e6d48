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
    """The runtime itself failed: its daemon died, or it met a state it cannot be in."""


class AuthenticationError(RayError):
    """A key or a connection file was refused."""


class CrossLanguageError(RayError):
    """Raised by Ray for other languages; nbray runs Python only."""


class RpcError(RayError):
    """A control message could not be delivered."""


# ------------------------------------------------------------------------------ tasks


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
    proctitle, ip, actor_repr
        What Ray has in their places: accepted and kept, not filled by nbray.
    """

    # For subclasses whose __init__ does not call this one.
    _told: tuple[Any, ...] = ("", "", None, None, 0, None, None, None, [], "")

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
    ) -> None:
        self.args = (function_name, traceback_str, cause, proctitle, pid, ip)
        self._tell(
            (function_name, traceback_str, cause, proctitle, pid or 0, ip, actor_repr, actor_id, frames or [], node)
        )

    def _tell(self, told: tuple[Any, ...]) -> None:
        self._told = told  # the user's exception may have attributes of the names below: they win
        (
            self.function_name, self.traceback_str, self.cause, self.proctitle, self.pid, self.ip, self.actor_repr,
            self._actor_id, self.frames, self.node,
        ) = told  # fmt: skip

    def __str__(self) -> str:
        function_name, text, _, _, pid, _, _, _, _, node = self._told
        if not pid:  # made by a program, not by the runtime
            return text.rstrip() if self._told is not RayTaskError._told else Exception.__str__(self)
        where = f"worker pid={pid}, node {node}" if node else f"worker pid={pid}"
        return f"{function_name}() failed on {where}\n{text.rstrip()}"

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild_task_error, (isinstance(self, _Dual), *self._told)

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
_PUBLIC = ("function_name", "traceback_str", "proctitle", "pid", "ip", "actor_repr", "frames", "node")
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
    *facts, frames, node = fields
    error = RayTaskError(*facts, frames=frames, node=node)
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
    except TypeError:  # final classes, conflicting layouts
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


for _shown_as_cancelled in (RunningTaskCancelledError, ForciblyCancelledError):
    _shown_as_cancelled.__name__ = "TaskCancelledError"  # what notebooks show; pickles go by __qualname__


# In Ray a task that raises KeyboardInterrupt counts as cancelled, and one that calls sys.exit ends its worker. Here both
# are errors as any other, and are caught under Ray's names as well.
_ALSO: dict[type[BaseException], type[RayError]] = {
    KeyboardInterrupt: TaskCancelledError,
    SystemExit: WorkerCrashedError,
}


class TaskUnschedulableError(RayError):
    """No node can ever give the task what it asks for."""


class ActorUnschedulableError(RayError):
    """No node can ever give the actor what it asks for."""


class TaskPlacementGroupRemoved(RayError):
    """The task's placement group was removed."""


class ActorPlacementGroupRemoved(RayError):
    """The actor's placement group was removed."""


class PendingCallsLimitExceeded(RayError):
    """More calls are queued at an actor than its ``max_pending_calls`` allows."""


class RuntimeEnvSetupError(RayError):
    """The runtime environment could not be made."""


class OutOfMemoryError(RayError):
    """A worker was ended because its node ran out of memory."""


# ----------------------------------------------------------------------------- actors


class RayActorError(RayError):
    """An actor could not run the call.

    Attributes
    ----------
    actor_id : str
    maybe_executed : bool
        True when the call may have run, wholly or in part.
    """

    def __init__(
        self,
        message: str = "The actor died.",
        actor_id: str = "",
        maybe_executed: bool = False,
        cause_blob: bytes = b"",
    ) -> None:
        super().__init__(message)
        self.actor_id = actor_id
        self.maybe_executed = maybe_executed
        self.cause_blob = cause_blob  # the pickled exception of its constructor, if that is why

    @property
    def error_msg(self) -> str:
        """The message, under Ray's name."""
        return str(self)

    @property
    def actor_init_failed(self) -> bool:
        """Whether its constructor raised."""
        return bool(self.cause_blob)

    @property
    def preempted(self) -> bool:
        """Whether its node was taken away; that does not happen on one machine."""
        return False

    @property
    def cause(self) -> BaseException | None:
        """The exception that its constructor raised, or None."""
        try:
            return pickle.loads(self.cause_blob) if self.cause_blob else None
        except Exception:  # its class is not known here
            return None

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.args[0], self.actor_id, self.maybe_executed, self.cause_blob)


class ActorDiedError(RayActorError):
    """The actor is dead and will not come back."""


class ActorUnavailableError(RayActorError):
    """The actor restarts just now; the call may be tried again."""


class ActorAlreadyExistsError(ValueError, RayError):
    """An actor of this name lives in this namespace."""


class ActorHandleNotFoundError(ValueError, RayError):
    """There is no such actor handle or named actor."""


class AsyncioActorExit(RayError):
    """Raised inside an async actor by exit_actor."""


class ActorClassInheritanceException(TypeError):
    """An actor class cannot be a base class; inherit from the plain class."""


# ---------------------------------------------------------------------------- objects


class GetTimeoutError(RayError, TimeoutError):
    """``get`` did not have all values in the time given."""


class ObjectLostError(RayError):
    """The object is gone and cannot be made again."""

    def __init__(self, message: str = "The object is lost.", object_id: str = "") -> None:
        super().__init__(message)
        self.object_id = object_id

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.args[0], self.object_id)


class ForeignObjectError(ObjectLostError, ValueError):
    """The object belongs to another cluster. nbray only."""


class ObjectFetchTimedOutError(ObjectLostError):
    """The object could not be brought to this node in time."""


class OwnerDiedError(ObjectLostError):
    """The process that should have made the object died before it did."""


class ObjectFreedError(ObjectLostError):
    """The object was freed by hand."""


class ObjectReconstructionFailedError(ObjectLostError):
    """The object was lost, and making it again failed."""


class ReferenceCountingAssertionError(ObjectLostError, AssertionError):
    """The object was given back although somebody still refers to it."""


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
