"""What goes back to the owners: results, errors, items, output."""

from __future__ import annotations

import contextlib
import itertools
import os
import pickle
import struct
from collections.abc import Sequence
from types import GeneratorType
from typing import Any

from nbray import ids
from nbray._cstore import ffi, lib
from nbray.core.records import (
    INLINE_MAX_BYTES,
    KIND_ITEM,
    KIND_OUTPUT,
    KIND_RESULT,
    PART_ERROR,
    PART_INLINE,
    PART_STORED,
    PART_STORED_ERROR,
    RESULT_CANCELLED,
    RESULT_ERROR,
    RESULT_EXITED,
    RESULT_GIVEN,
    RESULT_LOST,
    RESULT_MULTI,
    RESULT_STORED,
    TASK_INDIRECT,
)
from nbray.exceptions import ObjectStoreFullError, OutOfDiskError, RayError
from nbray.serialization import error_value, serializer
from nbray.serialization.serializer import Serialized
from nbray.serialization.shared_parts import Separate
from nbray.worker.executor_state import SELF, ArgumentLost, ExecutorState
from nbray.worker.streams import NotStored

_PART = struct.Struct("<BI")
_U64 = struct.Struct("<Q")
_dumps = pickle.dumps
_loads = pickle.loads
NBS_OK = lib.NBS_OK
NBS_EAGAIN = lib.NBS_EAGAIN
NBS_EWORDS = lib.NBS_EWORDS
MAX_EARLY_OUTPUT = 64  # pieces of at most 16 KiB that a constructor printed, kept until somebody reads them
MAX_ERROR_BYTES = 64 * 1024 * 1024  # of an exception that is sent whole


def _returned(values: int, n_returns: int) -> str:
    return f"Task returned {values} objects, but num_returns={n_returns}."


class Replies(ExecutorState):
    """What goes back to the owners."""

    def _answer(
        self, chan: int, number: int, owner: int, name: str, n_returns: int, result: Any, ran_ns: int = 0
    ) -> None:
        """Reply with what a call returned."""
        if self.capture.pending:
            self.capture.flush()
        try:
            if n_returns == 1:
                if type(result) in serializer.SIMPLE_TYPES:
                    data: Any = _dumps(result, 5)
                elif isinstance(result, RayError):
                    flags, payload = self._given(owner, result, f"the return value of {name}()")
                    self._reply(chan, number, flags | RESULT_GIVEN, payload, ran_ns)
                    return
                else:
                    data = serializer.dumps(result, f"the return value of {name}()")
                if type(data) is bytes and len(data) <= INLINE_MAX_BYTES:
                    self._reply(chan, number, 0, data, ran_ns)
                else:
                    self._reply(chan, number, RESULT_STORED, self._store(owner, number, 0, data), ran_ns)
            else:
                flags, parts = self._parts(owner, name, number, n_returns, result)
                if len(parts) > INLINE_MAX_BYTES:
                    flags, parts = flags | RESULT_STORED, self._store_parts(owner, parts)
                self._reply(chan, number, flags, parts, ran_ns)
        except (ObjectStoreFullError, OutOfDiskError) as error:  # the runtime's failure, not the function's
            self._reply(chan, number, RESULT_ERROR, error_value.from_system_error(error).blob)
        except BaseException as error:
            if type(result) is not GeneratorType or n_returns != 1:
                self._failed(chan, number, name, error)
                return
            try:  # one value is asked for: the first
                value = next(result)
            except StopIteration:
                self._failed(chan, number, name, ValueError(_returned(0, 1)))
            except BaseException as raised:
                self._failed(chan, number, name, raised)
            else:
                self._answer(chan, number, owner, name, 1, value, ran_ns)

    def _store(self, owner: int, number: int, index: int, data: bytes | Serialized) -> bytes:
        """Put a result into the store, held for its owner; returns its handle."""
        core = self.core
        value = serializer.plain(data) if type(data) is bytes else data
        object_id = ids.object_id(owner, number, core.cluster_id, index)
        label = f"result of {self.task_name}"[:80].encode("utf-8", "replace")
        hold = core.store.write(object_id, value, 0, owner, label)  # type: ignore[arg-type]
        return _U64.pack(hold.obj)

    def _parts(self, owner: int, name: str, number: int, n_returns: int, result: Any) -> tuple[int, bytes]:
        """Return the flags and the payload for a call with other than one return value.

        What came before an error is kept; the error stands for the rest.
        """
        if n_returns == 0:
            return RESULT_MULTI, b""
        failure: Exception | None = None
        if type(result) is GeneratorType:
            values, failure = self._yielded(n_returns, result)
        else:
            values = self._values(n_returns, result)
        names = result.names if isinstance(result, Separate) else None
        parts: list[bytes] = []
        pack, plain, limit = _PART.pack, serializer.SIMPLE_TYPES, INLINE_MAX_BYTES // 8
        for index, value in enumerate(values):
            try:
                if type(value) in plain:  # there may be a million of them
                    data = _dumps(value, 5)
                    if len(data) <= limit:
                        parts += (pack(PART_INLINE, len(data)), data)
                        continue
                what = names[index] if names is not None else f"return value {index} of {name}()"
                # The names of a cell are no results of calls: an error that one has is a value there.
                self._part(owner, what, number, index, value, parts, names is None)
            except (ObjectStoreFullError, OutOfDiskError):
                raise
            except Exception as error:
                if names is not None:
                    blob = self._error_blob(name, error)
                    parts += (_PART.pack(PART_ERROR, len(blob)), blob)
                    continue
                failure = error
                break
        if failure is None:
            return RESULT_MULTI, b"".join(parts)
        done = len(parts) // 2
        if done == 0:
            raise failure
        blob = self._error_blob(name, failure)
        parts += (_PART.pack(PART_ERROR, len(blob)), blob) * (n_returns - done)
        return RESULT_MULTI | RESULT_ERROR, b"".join(parts)

    def _store_parts(self, owner: int, parts: bytes) -> bytes:
        """Put many values, that one message has no room for, into the store together; returns the handle."""
        label = f"results of {self.task_name}"[:80].encode("utf-8", "replace")
        # Under no id of a result, as an error in _raised.
        hold = self.core.store.write(os.urandom(28), Serialized(parts, (), []), 0, owner, label)
        return _U64.pack(hold.obj)

    def _error_blob(self, name: str, error: Exception) -> bytes:
        """Return what stands for one of several values that cannot be had."""
        blob = error_value.from_exception(name, error, 1, self.core.node_id[:8])
        return blob if len(blob) <= INLINE_MAX_BYTES // 8 else error_value.shorten(blob, INLINE_MAX_BYTES // 8)

    def _given(self, owner: int, error: RayError, what: str, limit: int = INLINE_MAX_BYTES) -> tuple[int, bytes]:
        """Return the flags and the payload for an error of the library that the program returns as a value."""
        value = error_value.from_given(error, what)
        if len(value.blob) <= limit and not value.refs:
            return 0, value.blob
        label = f"error of {self.task_name}"[:80].encode("utf-8", "replace")
        # Not under the id of the result, as in _raised.
        hold = self.core.store.write(os.urandom(28), value.stored(), 0, owner, label)
        return RESULT_STORED, _U64.pack(hold.obj)

    def _part(
        self, owner: int, what: str, number: int, index: int, value: Any, parts: list[bytes], raised: bool = True
    ) -> None:
        if raised and isinstance(value, RayError):
            stored, payload = self._given(owner, value, what, INLINE_MAX_BYTES // 8)
            parts += (_PART.pack(PART_STORED_ERROR if stored else PART_ERROR, len(payload)), payload)
            return
        data = serializer.dumps(value, what)
        if type(data) is bytes and len(data) <= INLINE_MAX_BYTES // 8:
            parts += (_PART.pack(PART_INLINE, len(data)), data)
        else:
            parts += (_PART.pack(PART_STORED, 8), self._store(owner, number, index, data))

    @staticmethod
    def _yielded(n_returns: int, generator: Any) -> tuple[list[Any], Exception | None]:
        """Return what a generator yields for its return values, and what went wrong after them.

        What it would yield beyond those is not asked for.
        """
        values: list[Any] = []
        try:
            values.extend(itertools.islice(generator, n_returns))
        except Exception as error:
            return values, error
        return values, None if len(values) == n_returns else ValueError(_returned(len(values), n_returns))

    @staticmethod
    def _values(n_returns: int, result: Any) -> list[Any]:
        """Return the values that a call returned as one sequence."""
        try:
            values = list(result)
        except TypeError:
            raise TypeError(
                f"Task returned one value of type {type(result).__name__} that is not a sequence, but "
                f"num_returns={n_returns}."
            ) from None
        if len(values) != n_returns:
            raise ValueError(_returned(len(values), n_returns))
        return values

    def _failed(self, chan: int, number: int, name: str, error: BaseException) -> None:
        """Reply that the task raised, or was cancelled."""
        if self.capture.pending:
            self.capture.flush()
        cls = type(error)  # an instance may have an odd idea of its class
        if issubclass(cls, KeyboardInterrupt) and lib.nbs_cancel_wanted(self.seg) == 1:
            if self.cancel_children:  # at the latest now: whoever waits for this task may look after them
                self.core.cancel_children(number, self.children_cancelled)
            self._reply(chan, number, RESULT_CANCELLED, b"")
            return
        if type(error) is ArgumentLost:
            self._reply(chan, number, RESULT_ERROR | RESULT_LOST, _U64.pack(error.obj))
            return
        if type(error) is NotStored:
            self._reply(chan, number, RESULT_ERROR, error_value.from_system_error(error.error).blob)
            return
        refs: list[Any] = []
        blob = error_value.from_exception(name or "task", error, 1, self.core.node_id[:8], refs)
        how = RESULT_ERROR | RESULT_EXITED if issubclass(cls, SystemExit) else RESULT_ERROR
        self._raised(chan, number, blob, refs, how)

    def _raised(self, chan: int, number: int, blob: bytes, refs: Sequence[Any], how: int = RESULT_ERROR) -> None:
        """Reply with an error (flags ``how``): through the store when it is large, or has refs inside."""
        if refs or len(blob) > INLINE_MAX_BYTES:
            if len(blob) <= MAX_ERROR_BYTES:
                with contextlib.suppress(ObjectStoreFullError, OutOfDiskError):
                    owner = self.core.peer if chan == SELF else lib.nbs_chan_peer(self.seg, chan)
                    label = f"error of {self.task_name}"[:80].encode("utf-8", "replace")
                    # Not under the id of the result, which the next attempt may make.
                    hold = self.core.store.write(os.urandom(28), Serialized(blob, (), list(refs)), 0, owner, label)
                    self._reply(chan, number, how | RESULT_STORED, _U64.pack(hold.obj))
                    return
            blob = error_value.shorten(blob, INLINE_MAX_BYTES)
        self._reply(chan, number, how, blob)

    def _reply(self, chan: int, number: int, flags: int, payload: bytes, ran_ns: int = 0) -> None:
        seg = self.seg
        if chan == SELF:
            self.core.result_from_self(self.actor_id, number, flags, payload)
            return
        with self.send_lock:
            status = lib.nbs_send_result(seg, chan, flags, number, ran_ns, payload, len(payload))
        if status == NBS_OK:
            return
        if status == NBS_EWORDS:  # C code or a child process has written something, which comes first
            self.capture.send_words()
            status = NBS_EAGAIN
        while status == NBS_EAGAIN:  # else the owner is gone and nobody wants it
            with self.send_lock:
                status = lib.nbs_send(
                    seg, chan, KIND_RESULT, flags, number, 0, ran_ns, payload, len(payload), ffi.NULL, 0, ffi.NULL
                )
            if status == NBS_EAGAIN:  # the owner reads slowly: wait for room
                lib.nbs_wait(seg, 0, 1_000_000)

    def send_item(self, chan: int, number: int, index: int, flags: int, payload: bytes) -> bool:
        """Send what a generator yielded; False when its owner is gone."""
        if chan == SELF:
            self.core.item_from_self(number, flags, index, payload)
            return True
        with self.send_lock:
            status = lib.nbs_send_item(self.seg, chan, KIND_ITEM, flags, number, index, payload, len(payload))
        if status == NBS_OK:
            return True
        if status == NBS_EWORDS:
            self.capture.send_words()
        return self._send(chan, KIND_ITEM, flags, number, index, payload)

    def _send(self, chan: int, kind: int, flags: int, number: int, a: int, payload: bytes) -> bool:
        seg = self.seg
        while True:
            with self.send_lock:
                status = lib.nbs_send(
                    seg, chan, kind, flags, number, a, 0, payload, len(payload), ffi.NULL, 0, ffi.NULL
                )
            if status != NBS_EAGAIN:
                return status == lib.NBS_OK
            lib.nbs_wait(seg, 0, 1_000_000)  # the owner reads slowly: wait for room

    def _send_output(self, payload: bytes, origin: str) -> bool:
        chan = self.channel
        if chan < 0:
            chan = self.origin_channels.get(origin, self._hearer)
            if chan < 0:
                self._keep_early(payload)
                return True
        flags = 0
        if len(payload) > INLINE_MAX_BYTES:
            hold = self.core.store.stash(payload)
            self._sent_output.append(hold)
            payload, flags = _U64.pack(hold.obj), TASK_INDIRECT
        return self._send_to_owner(chan, flags, payload) != NBS_EAGAIN

    def _keep_early(self, payload: bytes) -> None:
        """Keep what an actor's constructor printed: its caller opens the first channel when it is done."""
        if len(self._early) < MAX_EARLY_OUTPUT:
            self._early.append(payload)

    def _tell_early(self, chan: int) -> None:
        """Send what was kept, now that somebody reads it."""
        self._hearer = chan
        while self._early:
            self._send_to_owner(chan, 0, self._early.pop(0))

    def _send_to_owner(self, chan: int, flags: int, payload: bytes) -> int:
        with self.send_lock:
            return lib.nbs_send(
                self.seg, chan, KIND_OUTPUT, flags, 0, 0, 0, payload, len(payload), ffi.NULL, 0, ffi.NULL
            )

    def _forward_output(self, flags: int, payload: bytes) -> None:
        """A nested task's output goes on to whoever owns the task that submitted it."""
        if self.capture.pending:
            self.capture.flush()  # what this task printed before stands above
        origin = _loads(payload)[0]
        chan = self.origin_channels.get(origin, self.channel)
        if chan < 0:
            chan = self._hearer
        if chan < 0:
            self._keep_early(payload)
        else:
            self._send_to_owner(chan, 0, payload)
