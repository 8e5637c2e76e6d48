"""Ids of tasks, objects and actors, as bytes with a fixed layout.

::

    object id (28) = task id (24) + index of the return value (4)
    task id   (24) = owner peer (8) + number counted by the owner (8) + zero (4) + cluster (4)
    actor id  (16) = task id's owner and number

All numbers are little-endian. The owner is ``(epoch << 32) | slot`` of the process that
submitted the task; the cluster number keeps ids of different clusters apart. The job is no
part of an id: processes of other jobs hold the same refs. It is the job of the owner.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable

OBJECT_ID_SIZE = 28
_OBJECT = struct.Struct("<QQIII")
_TASK = struct.Struct("<QQII")
_ACTOR = struct.Struct("<QQ")

ARGUMENTS_INDEX = 0xFFFF_FFFF  # "return value" under which a task's large arguments are stored
ACTOR_SPEC_INDEX = 0xFFFF_FFFE  # and an actor's creation spec
ACTOR_LIFE_INDEX = 0xFFFF_FFFD  # and the object that its handles hold
STREAM_INDEX = 0xFFFF_FFFC  # and the words that a generator task reads


def object_id(owner: int, number: int, cluster: int, index: int) -> bytes:
    """Return the 28-byte id of one return value (or put) of an owner's task."""
    return _OBJECT.pack(owner, number, 0, cluster, index)


def split_object_id(value: bytes) -> tuple[int, int, int, int]:
    """Return (owner, number, cluster, index) of an object id."""
    owner, number, _, cluster, index = _OBJECT.unpack(value)
    return owner, number, cluster, index


def task_id(owner: int, number: int, cluster: int) -> bytes:
    """Return the 24-byte id of a task."""
    return _TASK.pack(owner, number, 0, cluster)


def split_task_id(value: bytes) -> tuple[int, int]:
    """Return (owner, number) of a task id."""
    owner, number, _, _ = _TASK.unpack(value)
    return owner, number


def actor_id(owner: int, number: int) -> bytes:
    """Return the 16-byte id of an actor."""
    return _ACTOR.pack(owner, number)


def split_actor_id(value: bytes) -> tuple[int, int]:
    """Return (owner, number) of an actor id."""
    return _ACTOR.unpack(value)


def worker_id(peer: int) -> str:
    """Return the id of a process as hex digits."""
    return (peer.to_bytes(8, "little") + bytes(20)).hex()


def placement_group_id(owner: int, number: int, job: int) -> bytes:
    """Return the 18-byte id of a placement group."""
    return owner.to_bytes(8, "little") + (number % (1 << 48)).to_bytes(6, "little") + job.to_bytes(4, "little")


job_of: Callable[[int], int | None] | None = None  # of a peer; set by the runtime of this process
actor_of: Callable[[bytes], str] | None = None  # of a task, empty: none; likewise


_DRIVER = b"\xff" * 20  # what the id of a driver among the tasks begins with
_NO_ACTOR = b"\xff" * 12  # and that of no actor


def _job_of(owner: int) -> JobID:
    number = job_of(owner) if job_of is not None else None
    return JobID(b"\xff" * JobID.SIZE) if number is None else JobID.from_int(number)


class BaseID:
    """A typed id: immutable bytes with ``hex`` and ``binary``, as in Ray."""

    SIZE = 0
    __slots__ = ("_bytes",)

    def __init__(self, value: bytes) -> None:
        if not isinstance(value, bytes):
            raise TypeError(f"{type(self).__name__} needs {self.SIZE} bytes, got {value!r}")
        if len(value) != self.SIZE:
            raise ValueError(f"{type(self).__name__} needs {self.SIZE} bytes, got {value!r}")
        self._bytes = value

    @classmethod
    def from_hex(cls, hex_id: str) -> BaseID:
        return cls(bytes.fromhex(hex_id))

    @classmethod
    def from_binary(cls, id_bytes: bytes) -> BaseID:
        return cls(id_bytes)

    @classmethod
    def from_random(cls) -> BaseID:
        return cls(os.urandom(cls.SIZE))

    @classmethod
    def size(cls) -> int:
        return cls.SIZE

    @classmethod
    def nil(cls) -> BaseID:
        return cls(b"\xff" * cls.SIZE)

    def binary(self) -> bytes:
        return self._bytes

    def hex(self) -> str:
        return self._bytes.hex()

    def is_nil(self) -> bool:
        return self._bytes == b"\xff" * self.SIZE

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other._bytes == self._bytes

    def __hash__(self) -> int:
        return hash(self._bytes)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.hex()})"

    def __reduce__(self):
        return type(self), (self._bytes,)


class TaskID(BaseID):
    """Names one task."""

    SIZE = 24
    __slots__ = ()

    def job_id(self) -> JobID:
        """Return the job of the process that submitted it; nil where that is not known (any more)."""
        if self._bytes.startswith(_DRIVER):
            return JobID(self._bytes[len(_DRIVER) :])
        return _job_of(_TASK.unpack(self._bytes)[0])

    def actor_id(self) -> ActorID:
        """Return the actor that the task calls or makes; where it does neither, as in Ray, one of ones and the job."""
        found = actor_of(self._bytes) if actor_of is not None and not self.is_nil() else ""
        return ActorID(bytes.fromhex(found)) if found else ActorID(_NO_ACTOR + self.job_id().binary())

    @classmethod
    def for_driver_task(cls, job_id: JobID) -> TaskID:
        """Return the id that lists give a job's driver."""
        return cls(_DRIVER + job_id.binary())


class ActorID(BaseID):
    """Names one actor."""

    SIZE = 16
    __slots__ = ()

    @property
    def job_id(self) -> JobID:
        """The job of the process that made it; nil where that is not known (any more)."""
        if self._bytes.startswith(_NO_ACTOR):
            return JobID(self._bytes[len(_NO_ACTOR) :])
        return _job_of(_ACTOR.unpack(self._bytes)[0])


class JobID(BaseID):
    """Names what one driver started."""

    SIZE = 4
    __slots__ = ()

    @classmethod
    def from_int(cls, value: int) -> JobID:
        return cls(value.to_bytes(4, "little"))

    def int(self) -> int:
        return int.from_bytes(self._bytes, "little")


class UniqueID(BaseID):
    """An id of nothing in particular."""

    SIZE = 28
    __slots__ = ()


class NodeID(UniqueID):
    """Names a node."""

    __slots__ = ()


class WorkerID(UniqueID):
    """Names a process."""

    __slots__ = ()


class PlacementGroupID(BaseID):
    """Names a placement group."""

    SIZE = 18
    __slots__ = ()

    @classmethod
    def of(cls, job_id: JobID) -> PlacementGroupID:
        """Return a new id for a placement group of a job."""
        return cls(os.urandom(cls.SIZE - JobID.SIZE) + job_id.binary())


class FunctionID(UniqueID):
    """Names a function; nbray itself knows functions by the digest of their code."""

    __slots__ = ()


class ActorClassID(UniqueID):
    """Names a class of actors; the same."""

    __slots__ = ()


class ClusterID(UniqueID):
    """Names a cluster; nbray itself knows clusters by their session."""

    __slots__ = ()
