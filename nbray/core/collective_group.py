"""One collective group as this process sees it: arrays in, the C core's operation, errors out.

The hot path of each operation is one call into C: the address of the array is taken anew each
time, since NumPy may move it. All waiting is done there; it comes back at least every 50 ms,
so that signals are seen.
"""

from __future__ import annotations

import hashlib
import struct
import sys
from typing import Any, NoReturn

import numpy as np

from nbray._cstore import ffi, lib
from nbray.core.collective_members import Absentees, declaration, group_id
from nbray.exceptions import (
    CollectiveError,
    CollectiveMismatchError,
    CollectiveRankDiedError,
    CollectiveTimeoutError,
)
from nbray.store.errors import fail

_WHY_BYTES = 512
_BYTES = ffi.typeof("char[]")  # parsed once
_POINTERS = ffi.typeof("void *[]")
_NULL = ffi.NULL
_SHAPES: dict[tuple[int, ...], Any] = {}  # shapes as C takes them
_MAX_SHAPES = 1000  # remembered
_EAGAIN = lib.NBS_EAGAIN
_TOOK_PART = "_took_part_in_operation"  # an attribute of errors
_from_buffer = ffi.from_buffer
_run = lib.nbs_coll_run

MAX_RANKS = lib.NBS_MAX_RANKS
BARRIER, SEND, RECV = lib.NBS_COLL_BARRIER, lib.NBS_COLL_SEND, lib.NBS_COLL_RECV
BROADCAST, ALLREDUCE, REDUCE = lib.NBS_COLL_BROADCAST, lib.NBS_COLL_ALLREDUCE, lib.NBS_COLL_REDUCE
ALLGATHER, REDUCESCATTER, ALLTOALL = lib.NBS_COLL_ALLGATHER, lib.NBS_COLL_REDUCESCATTER, lib.NBS_COLL_ALLTOALL

_NAMES = {
    np.bool_: lib.NBS_BOOL, np.int8: lib.NBS_I8, np.uint8: lib.NBS_U8, np.int16: lib.NBS_I16,
    np.uint16: lib.NBS_U16, np.int32: lib.NBS_I32, np.uint32: lib.NBS_U32, np.int64: lib.NBS_I64,
    np.uint64: lib.NBS_U64, np.float16: lib.NBS_F16, np.float32: lib.NBS_F32, np.float64: lib.NBS_F64,
    np.complex64: lib.NBS_C64, np.complex128: lib.NBS_C128,
}  # fmt: skip
_TYPES: dict[Any, int] = {np.dtype(cls): code << 8 for cls, code in _NAMES.items()}  # ready to be added
_TYPES.update((np.dtype(cls), _TYPES[np.dtype(cls)]) for cls in (np.longlong, np.ulonglong))
_FORMS = "bool, int8 to int64, uint8 to uint64, float16 to float64, bfloat16, complex64 or complex128"


def _shape(dims: tuple[int, ...]) -> Any:
    """Return a shape as C compares it between the ranks; one that does not fit by its hash."""
    words = [len(dims), *dims]
    if len(words) > lib.NBS_COLL_SHAPE or max(words) >= 1 << 32:
        digest = hashlib.blake2b(repr(dims).encode(), digest_size=4 * (lib.NBS_COLL_SHAPE - 1)).digest()
        words = [lib.NBS_COLL_SHAPE, *struct.unpack(f"<{lib.NBS_COLL_SHAPE - 1}I", digest)]
    if len(_SHAPES) >= _MAX_SHAPES:
        _SHAPES.clear()
    shape = _SHAPES[dims] = ffi.new("uint32_t[]", words + [0] * (lib.NBS_COLL_SHAPE - len(words)))
    return shape


class _Foreign:
    """An array that C cannot work on as it lies: a copy, which is written back."""

    __slots__ = ("array", "copy")

    def __init__(self, array: Any, copy: Any) -> None:
        self.array = array
        self.copy = copy

    def write_back(self) -> None:
        self.array[...] = self.copy


class Group:
    """A group that this process has joined.

    Parameters
    ----------
    core : CoreWorker
    name : str
        Of the group.
    world_size, rank : int
    patience_s : float
        How long an operation waits for a rank that has not joined; 0: for ever.

    Raises
    ------
    CollectiveError
        When the rank is taken, or the group was made for another number of ranks.
    ObjectStoreFullError
        When the store has no room for the group's buffers.
    """

    def __init__(self, core: Any, name: str, world_size: int, rank: int, patience_s: float) -> None:
        self.core = core
        self.name = name
        self.world_size = world_size
        self.rank = rank
        why = ffi.new("char[]", _WHY_BYTES)
        out = ffi.new("nbs_coll **")
        identity = group_id(core.namespace, name)
        patience = _nanoseconds(patience_s) if patience_s else 0
        status = lib.nbs_coll_join(core.seg, identity, world_size, rank, patience, out, why, _WHY_BYTES)
        text = ffi.string(why).decode("utf-8", "replace")
        if status in (lib.NBS_EINVAL, lib.NBS_ESTATE):
            raise CollectiveError(f"Rank {rank} cannot join the collective group '{name}': {text}.", name)
        if status != 0:
            fail(status, f"joining the collective group '{name}' as rank {rank} of {world_size}", text)
        self.handle: Any = out[0]

    def leave(self) -> None:
        """End this process's part; the others are told when they wait for it."""
        handle = self.handle
        if handle is None:
            return
        if lib.nbs_coll_leave(handle) != 0:
            raise CollectiveError(
                f"The collective group '{self.name}' cannot be left: another thread is in an operation.", self.name
            )
        self.handle = None

    # --------------------------------------------------------------------- running

    def one(self, kind: int, op: int, other: int, tensor: Any, timeout: float | None) -> None:
        """Run an operation on one array, in place: barrier (None), allreduce, reduce, broadcast, send, recv."""
        try:
            what = kind | op << 16 | _TYPES[tensor.dtype]
            data = _from_buffer(_BYTES, tensor, kind != SEND)
            size = tensor.nbytes
            shape = _SHAPES.get(tensor.shape)
        except Exception:
            self._one_foreign(kind, op, other, tensor, timeout)
            return
        if shape is None:
            shape = _shape(tensor.shape)
        self._go(what, other, data, data, size, shape, 0 if timeout is None else _nanoseconds(timeout))

    def barrier(self, timeout: float | None) -> None:
        """Wait until all ranks are here."""
        self._go(BARRIER, 0, _NULL, _NULL, 0, _NULL, 0 if timeout is None else _nanoseconds(timeout))

    def _one_foreign(self, kind: int, op: int, other: int, tensor: Any, timeout: float | None) -> None:
        reads_only = (
            kind == SEND or (kind == BROADCAST and other == self.rank) or (kind == REDUCE and other != self.rank)
        )
        array, code = as_array(tensor)
        usable, foreign = _usable(array, writable=not reads_only)
        data = _from_buffer(_BYTES, usable)
        self._go(
            kind | op << 16 | code, other, data, data, usable.nbytes, _shape(array.shape),
            0 if timeout is None else _nanoseconds(timeout),
        )  # fmt: skip
        if foreign is not None and not reads_only:
            foreign.write_back()

    def many(self, kind: int, op: int, inputs: Any, outputs: Any, timeout: float | None) -> None:
        """Run allgather (array, list), reducescatter (list, array) or alltoall (list, list)."""
        ins = [as_array(one) for one in (inputs if isinstance(inputs, list) else [inputs])]
        outs = [as_array(one) for one in (outputs if isinstance(outputs, list) else [outputs])]
        first, code = ins[0]
        for array, other_code in (*ins, *outs):
            if other_code != code or array.size != first.size:
                raise CollectiveMismatchError(
                    f"The arrays of one operation must have one type and size; rank {self.rank} of the collective group "
                    f"'{self.name}' gave {first.size} x {first.dtype} and {array.size} x {array.dtype}.",
                    self.name, self.rank,
                )  # fmt: skip
        sources = [_usable(array, writable=False)[0] for array, _ in ins]
        targets = [_usable(array, writable=True) for array, _ in outs]
        in_data = [_from_buffer(_BYTES, array) for array in sources]
        out_data = [_from_buffer(_BYTES, array) for array, _ in targets]
        in_arg = ffi.new(_POINTERS, in_data) if isinstance(inputs, list) else in_data[0]
        out_arg = ffi.new(_POINTERS, out_data) if isinstance(outputs, list) else out_data[0]
        self._go(
            kind | op << 16 | code,
            0,
            in_arg,
            out_arg,
            sources[0].nbytes,
            _shape(first.shape),
            0 if timeout is None else _nanoseconds(timeout),
        )
        for _, foreign in targets:
            if foreign is not None:
                foreign.write_back()

    def _go(self, what: int, other: int, in_arg: Any, out_arg: Any, size: int, shape: Any, timeout_ns: int) -> None:
        handle = self.handle
        if handle is None:
            raise CollectiveError(f"The collective group '{self.name}' has been destroyed.", self.name)
        try:
            status = _run(handle, what, other, in_arg, out_arg, size, shape, timeout_ns)
            if status == 0:
                return
            if status == _EAGAIN:
                status = self._wait(handle)
        except BaseException as error:  # an interrupt: nobody goes on with this operation
            lib.nbs_coll_abort(handle)
            _mark(error)
            raise
        if status != 0:
            try:
                self._raise(status)
            except Exception as error:
                if (
                    not isinstance(error, CollectiveMismatchError) or error.rank >= 0
                ):  # else C refused before the others heard
                    _mark(error)
                raise

    def refuse(self, error: BaseException, kind: int, other: int = 0) -> None:
        """Tell the others that this rank refuses its arguments, so that they do not wait for it.

        Does nothing when ``error`` came of the operation itself: of that they know. Does not wait for them, unless
        what came before was refused as well.
        """
        handle = self.handle
        if handle is None or getattr(error, _TOOK_PART, False):
            return
        try:
            if lib.nbs_coll_refuse(handle, kind, other) == _EAGAIN:
                self._wait(handle)
        except BaseException:
            lib.nbs_coll_abort(handle)
            raise

    def _wait(self, handle: Any) -> int:
        """Go on until it is done; a task that waits lends its CPUs, perhaps to another rank."""
        core = self.core
        lends = core.role == "worker"
        absent = Absentees(core, self.name, handle, self.world_size)
        if lends:
            core.lend_cpus()
        try:
            while True:
                status = lib.nbs_coll_resume(handle)
                if status != _EAGAIN:
                    return status
                absent.look()
        finally:
            absent.close()
            if lends:
                core.take_back_cpus()

    def _not_joined(self) -> list[int]:
        return [rank for rank in range(self.world_size) if not lib.nbs_coll_joined(self.handle, rank)]

    def _raise(self, status: int) -> NoReturn:
        where = f"collective group '{self.name}' (rank {self.rank} of {self.world_size})"
        if status == lib.NBS_EEXISTS:
            raise CollectiveError(f"{where}: another thread of this process is in an operation of it.", self.name)
        if not self.core.session.attached:
            raise CollectiveError(f"{where}: nbray has been shut down.", self.name)
        why = ffi.new("char[]", _WHY_BYTES)
        rank = lib.nbs_coll_why(self.handle, why, _WHY_BYTES)
        text = ffi.string(why).decode("utf-8", "replace")
        again = "Destroy the group in all ranks and create it anew."
        if status == lib.NBS_EINVAL:
            if rank < 0:
                raise CollectiveMismatchError(f"{where}: {text}.", self.name)
            raise CollectiveMismatchError(f"{where}: the ranks do not agree: {text}.", self.name, rank)
        if status == lib.NBS_EDEAD:
            raise CollectiveRankDiedError(f"{where}: {text}. {again}", self.name, rank)
        if status == lib.NBS_ETIMEOUT:
            absent = self._not_joined()
            if len(absent) > 1:
                text += f"; {_listed(absent)} have not joined"
            if absent and declaration(self.core, self.name) is None:
                again = f"Which process was to join is not known; of actors that create_collective_group() names it is. {again}"
            raise CollectiveTimeoutError(f"{where}: {text}. {again}", self.name, rank)
        if status == lib.NBS_ESTATE:
            raise CollectiveError(f"{where}: {text}. {again}", self.name, rank)
        fail(status, where)


def _mark(error: BaseException) -> None:
    """Note that this rank took part in the operation that raised this."""
    setattr(error, _TOOK_PART, True)


def _listed(ranks: list[int]) -> str:
    """Return ranks as a person reads them, those that follow each other from the first to the last."""
    runs: list[list[int]] = []
    for rank in ranks:
        if runs and rank == runs[-1][-1] + 1:
            runs[-1].append(rank)
        else:
            runs.append([rank])
    texts = [f"{run[0]} to {run[-1]}" if len(run) > 2 else " and ".join(map(str, run)) for run in runs]
    return f"ranks {', '.join(texts)}"


def _nanoseconds(timeout: float) -> int:
    if timeout <= 0:
        raise ValueError(f"timeout={timeout!r} is not a number of seconds above 0; leave it out for the group's own.")
    return min(round(timeout * 1e9), 1 << 62)


# ------------------------------------------------------------------------------- arrays


def as_array(tensor: Any) -> tuple[Any, int]:
    """Return a tensor as a NumPy array that shares its memory, and the code of its type.

    Raises
    ------
    RuntimeError
        When it is no array (Ray's class).
    CollectiveMismatchError
        When its elements are of a type that collectives do not know.
    """
    array = tensor
    name = None
    if not isinstance(tensor, np.ndarray):
        torch = sys.modules.get("torch")  # never imported for this
        if torch is None or not isinstance(tensor, torch.Tensor):
            raise RuntimeError(
                f"Unrecognized tensor type '{type(tensor)}'. Supported types are: np.ndarray, torch.Tensor (on the CPU)."
            )
        if tensor.device.type != "cpu":
            raise RuntimeError(
                f"The tensor is on {tensor.device}: collectives work on arrays in the node's memory; use tensor.cpu()."
            )
        tensor = tensor.detach()
        if tensor.dtype is torch.bfloat16:
            name = "bfloat16"
            array = tensor.view(torch.int16).numpy()
        else:
            array = tensor.numpy()
    code = _TYPES.get(array.dtype)
    if name == "bfloat16" or (code is None and array.dtype.name == "bfloat16" and array.dtype.itemsize == 2):
        code = lib.NBS_BF16 << 8
    if code is None:
        code = _TYPES.get(array.dtype.newbyteorder("="))  # the other byte order: goes as a copy
    if code is None:
        raise CollectiveMismatchError(
            f"Arrays of {array.dtype} cannot be sent or reduced; their elements must be {_FORMS}."
        )
    return array, code


def _usable(array: Any, *, writable: bool) -> tuple[Any, _Foreign | None]:
    """Return ``array`` as C can work on it: contiguous, in this machine's byte order."""
    if writable and not array.flags.writeable:
        raise ValueError(
            "The result is written into the array in place, but it is read-only, as all arrays from get are: "
            "give a copy (array.copy())."
        )
    if array.flags.c_contiguous and array.dtype.isnative:
        return _plain(array), None
    copy = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
    return copy, _Foreign(array, copy)


def _plain(array: Any) -> Any:
    """A view of bytes where the type is foreign to the buffer protocol (bfloat16 of ml_dtypes)."""
    return array if array.dtype in _TYPES else array.reshape(-1).view(np.uint8)
