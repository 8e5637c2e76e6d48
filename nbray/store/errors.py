"""Turn a status of the C core into an exception: the one place that does."""

from __future__ import annotations

import os
from typing import NoReturn

from nbray._cstore import ffi, lib
from nbray.exceptions import (
    ForkedProcessError,
    ObjectStoreFullError,
    RaySystemError,
    SharedMemoryTooSmallError,
    VersionMismatchError,
)


class StoreError(RaySystemError):
    """A call into the store failed.

    Attributes
    ----------
    status : int
        One of the NBS_E... codes of nbs_api.h.
    """

    status: int = 0


class StoreFullError(StoreError, ObjectStoreFullError):
    """No room, and nothing that could be evicted."""


class TooBigError(StoreFullError):
    """Larger than the store or the ring can ever hold."""


class StoreMemoryError(StoreError, SharedMemoryTooSmallError):
    """A cgroup limit, the machine's free memory or the mount refuses the size."""


class CorruptError(StoreError):
    """An invariant of the segment does not hold; nobody can use it any more."""


class LayoutMismatchError(StoreError, VersionMismatchError):
    """The segment was made by a library with another layout."""


class PeerDeadError(StoreError):
    """The process at the other end is dead."""


class ForkedError(StoreError, ForkedProcessError):
    """The handle belongs to the process that this one was forked from."""


class ObjectExistsError(StoreError):
    """An object of this id exists already."""


class NotFoundError(StoreError, KeyError):
    """No such object, channel or slot, or it is over."""

    __str__ = Exception.__str__  # KeyError shows the repr


class LimitError(StoreError):
    """No free slot, entry or channel."""


class StateError(StoreError):
    """Not allowed in the object's present state."""


class StoreTimeoutError(StoreError, TimeoutError):
    """The lock could not be had in time: its owner is alive, but stopped."""


_CLASSES: dict[int, type[StoreError]] = {
    lib.NBS_ETIMEOUT: StoreTimeoutError,
    lib.NBS_EEXISTS: ObjectExistsError,
    lib.NBS_ENOTFOUND: NotFoundError,
    lib.NBS_EFULL: StoreFullError,
    lib.NBS_ETOOBIG: TooBigError,
    lib.NBS_ECORRUPT: CorruptError,
    lib.NBS_EVERSION: LayoutMismatchError,
    lib.NBS_ELIMIT: LimitError,
    lib.NBS_ESTATE: StateError,
    lib.NBS_EDEAD: PeerDeadError,
    lib.NBS_EFORKED: ForkedError,
    lib.NBS_ENOMEM: StoreMemoryError,
}


def status_name(status: int) -> str:
    """Return the name of a status, as in nbs_api.h without the NBS_ in front."""
    return str(ffi.string(lib.nbs_status_name(status)).decode())


def fail(status: int, what: str, why: str = "", *, size: int = 0, used: int = 0, capacity: int = 0) -> NoReturn:
    """Raise the exception of ``status``.

    Parameters
    ----------
    status : int
        A negative status.
    what : str
        What was tried, for the text.
    why : str
        The C core's own sentence, if it gave one.
    size, used, capacity : int
        For errors of room.
    """
    text = f"{what}: {why or status_name(status)}"
    if status == lib.NBS_ESYS and not why:
        text += f" ({os.strerror(ffi.errno)})"
    if status in (lib.NBS_EFULL, lib.NBS_ETOOBIG) and capacity:
        text += f" ({size} bytes asked for, {used} of {capacity} in use)"
    cls = _CLASSES.get(status, StoreError)
    error = cls(text)
    error.status = status
    if isinstance(error, ObjectStoreFullError):
        error.size, error.used, error.capacity = size, used, capacity
    raise error


def check(status: int, what: str, why: str = "") -> int:
    """Return ``status`` when it is not an error, else raise."""
    if status < 0:
        fail(status, what, why)
    return status
