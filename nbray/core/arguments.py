"""The arguments of a call to bytes."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Sequence
from typing import Any

from nbray import ids
from nbray.core import advice, current
from nbray.core.core_state import CoreState
from nbray.core.records import (
    INLINE_MAX_BYTES,
    TASK_DEPS,
    TASK_KWARGS,
    TASK_STORED,
    StoreHold,
)
from nbray.exceptions import RayError
from nbray.object_ref import ObjectRef
from nbray.serialization import serializer

_U64 = struct.Struct("<Q")
_dumps = pickle.dumps
_SIMPLE = serializer.SIMPLE_TYPES
_NO_ARGUMENTS = pickle.dumps((), 5)


class Arguments(CoreState):
    """The arguments of a call to bytes."""

    def encode_arguments(self, args: Sequence[Any], kwargs: dict[str, Any], number: int) -> tuple[bytes, int, Any, Any]:
        """Serialize the arguments of a call.

        Returns
        -------
        payload : bytes
        flags : int
            TASK_... of the message.
        deps : list of ObjectRef or None
            Refs whose values take the place of arguments.
        keep : object
            What must live until the task is done.
        """
        simple = _SIMPLE
        plain = not kwargs
        if plain:
            for arg in args:
                if type(arg) not in simple:
                    plain = False
                    break
        if plain:
            payload = _dumps(args, 5) if args else _NO_ARGUMENTS
            if len(payload) <= INLINE_MAX_BYTES:
                return payload, 0, None, None
            hold = self._store_arguments(number, serializer.plain(payload), len(args))
            return _U64.pack(hold.obj), TASK_STORED, None, hold
        if not kwargs and (encoded := self._encode_refs(args)) is not None:
            return encoded
        return self._encode_any(args, kwargs, number)

    def _encode_refs(self, args: Sequence[Any]) -> tuple[bytes, int, Any, Any] | None:
        """Serialize refs and simple values, as most calls of a graph have them, without cloudpickle; None: there are others."""
        values = list(args)
        deps: list[ObjectRef] = []
        positions: list[int] = []
        for index, arg in enumerate(args):
            if type(arg) is ObjectRef:
                self._check_cluster(arg)
                deps.append(arg)
                positions.append(index)
                values[index] = None
            elif type(arg) not in _SIMPLE:
                return None
        payload = _dumps((values, {}, positions), 5)
        if len(payload) > INLINE_MAX_BYTES or len(values) > advice.MANY_ARGUMENTS:
            return None
        return payload, TASK_DEPS, deps, None

    def _encode_any(self, args: Sequence[Any], kwargs: dict[str, Any], number: int) -> tuple[bytes, int, Any, Any]:
        deps: list[ObjectRef] = []
        positions: list[Any] = []
        values = list(args)
        named = kwargs
        for index, arg in enumerate(values):
            if type(arg) is ObjectRef:
                self._check_cluster(arg)
                deps.append(arg)
                positions.append(index)
                values[index] = None
            elif isinstance(arg, RayError):  # the call fails with it, as one whose argument could not be made
                deps.append(self.put(arg))
                positions.append(index)
                values[index] = None
        for key, arg in kwargs.items():
            if type(arg) is ObjectRef or isinstance(arg, RayError):
                arg = self.put(arg) if type(arg) is not ObjectRef else arg
                self._check_cluster(arg)
                if named is kwargs:
                    named = dict(kwargs)
                deps.append(arg)
                positions.append(key)
                named[key] = None
        if len(values) > advice.MANY_ARGUMENTS:
            advice.large_arguments(0, len(values))
        flags = 0
        if deps:
            flags |= TASK_DEPS
            body: Any = (values, named, positions)
        elif kwargs:
            flags |= TASK_KWARGS
            body = (values, named)
        else:
            body = tuple(values)
        data = self._dump_arguments(body, args, kwargs)
        keep: Any = None
        if type(data) is bytes:
            payload = data
        else:
            keep = list(data.refs)
            payload = data.pickled if not data.buffers else b""
        if not payload or len(payload) > INLINE_MAX_BYTES:
            stored = serializer.plain(data) if type(data) is bytes else data
            hold = self._store_arguments(number, stored, 0)
            keep = (hold, keep)
            payload = _U64.pack(hold.obj)
            flags |= TASK_STORED
        return payload, flags, deps or None, keep

    def _store_arguments(self, number: int, stored: Any, count: int) -> StoreHold:
        if stored.size > advice.LARGE_BYTES or count > advice.MANY_ARGUMENTS:
            advice.large_arguments(stored.size, count)
        return self.store.write(self.object_id(number, ids.ARGUMENTS_INDEX), stored)

    def _check_cluster(self, ref: ObjectRef) -> None:
        if ref._cluster is not self:
            raise current.foreign(ref)

    def _dump_arguments(self, body: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        try:
            return serializer.dumps(body, "arguments")
        except serializer.SerializationError:
            # Once more, argument by argument, so that the message names the one.
            for index, arg in enumerate(args):
                if type(arg) is not ObjectRef:
                    serializer.dumps(arg, f"args[{index}]")
            for key, arg in kwargs.items():
                if type(arg) is not ObjectRef:
                    serializer.dumps(arg, f"kwargs[{key!r}]")
            raise
