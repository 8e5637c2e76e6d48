"""The arguments of a task or call, rebuilt from its message."""

from __future__ import annotations

import pickle
import struct
from threading import get_ident
from typing import Any

from nbray.core.pressure import CrowdedOut, TaskPatience
from nbray.core.records import (
    PART_INLINE,
    TASK_DEPS,
    TASK_INDIRECT,
    TASK_KWARGS,
    TASK_STORED,
)
from nbray.core.store_access import LostValueError
from nbray.serialization import serializer
from nbray.serialization.shared_parts import parts
from nbray.serialization.unreadable import unreadable
from nbray.worker.executor_state import ArgumentLost, ExecutorState

_PART = struct.Struct("<BI")
_U64 = struct.Struct("<Q")
_U32 = struct.Struct("<I")
_loads = pickle.loads


class TaskArguments(ExecutorState):
    """The arguments of a task or call."""

    def _arguments(self, flags: int, payload: Any) -> tuple[Any, dict[str, Any]]:
        """Rebuild the arguments of a call."""
        waited: TaskPatience | None = None
        while True:
            parts.reader = get_ident()
            try:
                arguments = self._read_arguments(flags, payload, waited)
            except CrowdedOut as crowded:
                waited = crowded.patience
            except LostValueError as error:
                if waited is not None:
                    waited.over()
                raise ArgumentLost(error.obj) from error
            except Exception as error:
                if waited is not None:
                    waited.over()
                raise unreadable(error) from error
            else:
                if waited is not None:
                    waited.over()
                return arguments
            finally:
                parts.reader = 0
                if parts.sets:
                    parts.sets = {}
            waited.rest()  # what there was of the arguments went with the exception

    def _read_arguments(self, flags: int, payload: Any, waited: TaskPatience | None) -> tuple[Any, dict[str, Any]]:
        core = self.core
        view = memoryview(payload)
        if flags & TASK_INDIRECT:
            view = core.store.view(_U64.unpack(view)[0], True, waited)
        values = []
        if flags & TASK_DEPS:
            (n,) = _U32.unpack_from(view, 0)
            at = 4
            for _ in range(n):
                kind, length = _PART.unpack_from(view, at)
                at += 5
                part = view[at : at + length]
                at += length
                if kind == PART_INLINE:
                    values.append(_value(part))
                else:
                    values.append(serializer.from_store(core.store.view(_U64.unpack(part)[0], True, waited))[0])
            view = view[at:]
        if flags & TASK_STORED:
            body = serializer.from_store(core.store.view(_U64.unpack(view)[0], True, waited))[0]
        else:
            body = _value(view)
        if flags & TASK_DEPS:
            args, kwargs, positions = body
            for position, value in zip(positions, values, strict=True):
                if isinstance(position, int):
                    args[position] = value
                else:
                    kwargs[position] = value
            return args, kwargs
        if flags & TASK_KWARGS:
            return body
        return body, {}


def _value(view: memoryview) -> Any:
    """Rebuild a value from bytes in a ring, which will be overwritten: nothing may point into it."""
    return _loads(view) if view[0] == serializer.PICKLE_OPCODE else serializer.loads(bytes(view))
