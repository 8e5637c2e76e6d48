"""The handle of a value that a task will make, or that ``put`` made.

A ref *is* the owner's record of its object: the value's bytes hang on it, and Python's
own reference counting tells when nobody in this process wants them any more. Within one
process an object has one ref, so refs compare and hash by identity, at C speed.

What happens to a ref outside of its process (pickling, waiting, awaiting) is done by the
core worker, which installs itself with ``install``.
"""

from __future__ import annotations

import functools
import os
import types
from collections.abc import Callable
from typing import Any

from nbray import ids

_ONES = (1 << 64) - 1
_NIL_ID = b"\xff" * ids.OBJECT_ID_SIZE

_core: Any = None  # the core worker of this process, set by install()


def install(core: Any) -> None:
    """Make ``core`` the runtime of all refs of this process (None: there is none)."""
    global _core
    _core = core
    ids.job_of = core.job_of if core is not None else None
    ids.actor_of = core.actor_of_task if core is not None else None


class _ById(type):
    """What ``ObjectRef(id)`` means; the runtime makes refs past it, with ``new_ref``."""

    def __call__(cls, id: Any) -> Any:
        return _by_id(id)


class ObjectRef(metaclass=_ById):
    """Names a value that is, or will be, in the cluster.

    Parameters
    ----------
    id : bytes
        The 28 bytes of the id of an object that another ref keeps. This process has one ref of an object: that is the result.

    Raises
    ------
    TypeError
        When ``id`` is no bytes.
    ValueError
        When it has another length.
    """

    __slots__ = ("__weakref__", "_cluster", "_data", "_hold", "_index", "_number", "_owner", "_task", "_waiters")

    def __init__(self, number: int, index: int, owner: int, cluster: Any) -> None:
        self._number = number  # of the task, counted by the owner
        self._index = index  # which return value
        self._owner = owner  # peer
        self._cluster = cluster  # the runtime it belongs to; outlives a shutdown
        self._data: Any = None  # None: not known yet | bytes: pickled value | StoredValue | ErrorValue
        self._hold: Any = None  # StoreHold once the object has left this process, or came from another
        self._task: Any = None  # TaskRecord while the task is not done (owner only)
        self._waiters: Any = None  # callables to call with the ref when _data is set

    def binary(self) -> bytes:
        """Return the 28 bytes of the object's id."""
        cluster = self._cluster
        if type(cluster) is _NoCluster:
            return _NIL_ID
        return ids.object_id(self._owner, self._number, cluster.cluster_id, self._index)

    def hex(self) -> str:
        """Return the object's id as 56 hex digits."""
        return self.binary().hex()

    @classmethod
    def nil(cls) -> ObjectRef:
        """Return the ref that names nothing."""
        return _NIL

    @classmethod
    def from_binary(cls, id_bytes: bytes) -> ObjectRef:
        """Return the ref of an object of this cluster by its id; it has to be one that another ref keeps."""
        return _by_id(id_bytes)

    @classmethod
    def from_hex(cls, hex_id: str) -> ObjectRef:
        """The same, by the id as hex digits."""
        return _by_id(bytes.fromhex(hex_id))

    @classmethod
    def from_random(cls) -> ObjectRef:
        """Return a ref of an object that there is not."""
        return _by_id(os.urandom(ids.OBJECT_ID_SIZE))

    @classmethod
    def size(cls) -> int:
        """Return the number of bytes of an id."""
        return ids.OBJECT_ID_SIZE

    def is_nil(self) -> bool:
        return type(self._cluster) is _NoCluster

    def task_id(self) -> ids.TaskID:
        """Return the id of the task that makes the value."""
        return ids.TaskID(self.binary()[:24])

    def job_id(self) -> ids.JobID:
        """Return the id of the job it belongs to."""
        return self.task_id().job_id()

    def owner_address(self) -> bytes:
        """Return what names the process that owns the value: the bytes of its id as a worker."""
        return bytes.fromhex(ids.worker_id(self._owner))

    def call_site(self) -> str:
        """Return an empty text, as Ray does unless it records them: ``list_objects`` tells where stored values were made."""
        return ""

    def tensor_transport(self) -> None:
        """Return None: values travel through the store."""

    def future(self) -> Any:
        """Return a ``concurrent.futures.Future`` that gets the value or the error."""
        return self._cluster.future(self)

    def as_future(self, _internal: bool = False) -> Any:
        """Return an ``asyncio.Future`` that gets the value or the error: of the running loop, else of the thread's."""
        return self._cluster.asyncio_future(self)

    def __await__(self) -> Any:
        return self.as_future().__await__()

    def _on_completed(self, callback: Any) -> ObjectRef:
        """Call ``callback(value or exception)`` once the value is known; returns the ref."""
        self._cluster.on_completed(self, callback)
        return self

    def __repr__(self) -> str:
        return f"ObjectRef({self.hex()})"

    def __copy__(self) -> ObjectRef:
        return self

    def __deepcopy__(self, memo: Any) -> ObjectRef:
        return self

    def __reduce__(self) -> Any:
        if self.is_nil():
            return ObjectRef.nil, ()
        return _restore, (self._cluster.export(self),)

    __class_getitem__: Any = classmethod(types.GenericAlias)


# new_ref(number, index, owner, cluster)
new_ref: Callable[[int, int, int, Any], ObjectRef] = functools.partial(type.__call__, ObjectRef)


class _NoCluster:
    """Stands for the cluster of a ref that names nothing."""

    cluster_id = 0xFFFF_FFFF


_NIL = new_ref(_ONES, 0xFFFF_FFFF, _ONES, _NoCluster())


def _by_id(object_id: Any) -> ObjectRef:
    """Return this process's ref of an object by its id."""
    if not isinstance(object_id, bytes):
        raise TypeError(f"Unsupported type: {type(object_id)}, expected bytes")
    if len(object_id) != ids.OBJECT_ID_SIZE:
        raise ValueError(f"ID string needs to have length {ids.OBJECT_ID_SIZE}, got {len(object_id)}")
    return _NIL if object_id == _NIL_ID else _restore(object_id, by_id=True)


def _restore(object_id: bytes, by_id: bool = False) -> ObjectRef:
    """Make the ref of an object that another process (or a former self) sent."""
    if _core is None:
        raise RuntimeError(
            "An ObjectRef was unpickled in a process without nbray. Call nbray.init() there first; refs "
            "mean something only inside the cluster that made them."
        )
    return _core.import_ref(object_id, by_id)
