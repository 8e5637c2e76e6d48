"""How stored results can be made again: the owner remembers the task as long as the result.

A *lineage* is what is left of a task's record when it has ended and its result lies in the
store: function, arguments, and for each argument that was a result itself the lineage of
that. So the values in between may go, and are made again from the first when they are needed.
Small results live in the owner and need none of this.

A part of CoreWorker; methods are called with its lock held.
"""

from __future__ import annotations

import time
import weakref
from typing import Any

from nbray._cstore import lib
from nbray.core.core_state import CoreState
from nbray.core.records import TASK_METHOD, TASK_STREAM, StoredValue, StoreHold, TaskRecord
from nbray.core.store_access import LostValueError
from nbray.exceptions import ObjectLostError, ObjectReconstructionFailedError
from nbray.object_ref import ObjectRef, new_ref
from nbray.serialization import error_value
from nbray.serialization.error_value import ErrorValue
from nbray.wire import messages as m

_OWNER_ANSWERS_S = 2.0  # within this time an owner that can make a value again has begun to
_OVERHEAD_BYTES = 1000  # of a lineage in Python, beside its payload


class Lineage:
    """A task that has ended, as it can be run again.

    Attributes
    ----------
    deps : list
        Per ref argument: its bytes, (lineage, index of the return value, weak ref), or a weak ref.
    refs : list of weakref
        The refs of its values, as far as they live.
    gone : str
        Why it cannot be run again; empty: it can.
    """

    __slots__ = (
        "__weakref__", "deps", "flags", "function", "gone", "hold", "n_bytes", "n_returns", "name", "nested", "number",
        "origin", "payload", "pool", "refs", "retries", "retry_exceptions",
    )  # fmt: skip

    payload: bytes
    flags: int
    refs: list[weakref.ref[ObjectRef]]

    def __init__(self, record: TaskRecord) -> None:
        self.number = record.number
        self.function, self.pool, self.origin, self.name = record.function, record.pool, record.origin, record.name
        self.n_returns, self.retry_exceptions = record.n_returns, record.retry_exceptions
        self.payload, self.flags, keep, deps = record.raw or (record.payload, record.flags, record.keep, None)
        self.retries = record.retries
        self.gone = ""
        self.hold, nested = _parts_of(keep)
        self.nested = [weakref.ref(ref) for ref in nested]
        self.deps = [_remembered(ref) for ref in deps or ()]
        self.n_bytes = _OVERHEAD_BYTES + len(self.payload) + sum(len(dep) for dep in self.deps if type(dep) is bytes)
        if self.hold is not None and nested:  # the stored arguments would keep what they list for ever
            self.forget("its arguments are large and hold refs, and are kept only until it ends")

    def forget(self, why: str) -> None:
        """Give up being able to run again."""
        self.gone = why
        self.payload, self.deps, self.nested, self.hold = b"", [], [], None

    def lives(self, index: int) -> ObjectRef | None:
        """Return the ref of a value, if there is one."""
        return self.refs[index]()


def _parts_of(keep: Any) -> tuple[StoreHold | None, list[ObjectRef]]:
    """Take apart what ``encode_arguments`` wants to be kept."""
    if keep is None:
        return None, []
    if isinstance(keep, StoreHold):
        return keep, []
    if isinstance(keep, list):
        return None, keep
    hold, rest = keep
    return hold, _parts_of(rest)[1]


def _keeps_memory(first: Lineage) -> bool:
    """Tell whether a lineage, or one that it needs, keeps arguments in the store."""
    todo, seen = [first], {id(first)}
    while todo:
        lineage = todo.pop()
        if lineage.hold is not None or len(seen) > 1000:
            return True
        for dep in lineage.deps:
            if type(dep) is tuple and id(dep[0]) not in seen:
                seen.add(id(dep[0]))
                todo.append(dep[0])
    return False


def _remembered(ref: ObjectRef) -> Any:
    data = ref._data
    if type(data) is bytes:
        return data
    if type(data) is StoredValue and data.lineage is not None:
        return data.lineage, ref._index, weakref.ref(ref)
    return weakref.ref(ref)


class Reconstruction(CoreState):
    """Make lost values again."""

    def remember(self, record: TaskRecord) -> Lineage | None:
        """Return the lineage of a task whose results are in the store; None when it has none."""
        if record.flags & (TASK_METHOD | TASK_STREAM) or record.n_returns < 1:
            return None
        lineage: Lineage | None = record.lineage
        if lineage is None:
            if record.retries == 0:
                return None
            lineage = Lineage(record)
            lineage.refs = [weakref.ref(ref) for ref in _refs_of(record)]
            self._lineages.add(lineage)
            self._lineage_bytes += lineage.n_bytes + self._stored_arguments(lineage)
            if self._lineage_bytes > self.store.pressure.limits.lineage_bytes:
                self._shorten()
        lineage.retries = record.retries
        return lineage

    def _stored_arguments(self, lineage: Lineage) -> int:
        """Return the bytes of arguments by value; too many for the store are not kept."""
        if lineage.hold is None:
            return 0
        size = int(self.store.info(lineage.hold.obj).size)
        limits = self.store.pressure.limits
        if self._kept_arguments + size > limits.lineage_store_share * self.store.stats().capacity:
            live = [other for other in self._lineages if other.hold is not None and other is not lineage]
            self._kept_arguments = sum(int(self.store.info(other.hold.obj).size) for other in live)
            if self._kept_arguments + size > limits.lineage_store_share * self.store.stats().capacity:
                lineage.forget("its arguments by value were too large to be kept; put() them and pass the ref")
                return 0
        self._kept_arguments += size
        return 0

    def lineage_of_failed(self, record: TaskRecord) -> Lineage | None:
        """Return what is needed to run a task again that has failed, if a person asks for it; None: it cannot."""
        if record.flags & (TASK_METHOD | TASK_STREAM) or record.n_returns < 1:
            return None
        if record.raw is None and record.deps is not None:  # it failed before its arguments were there
            record.raw = (record.payload, record.flags, record.keep, record.deps)
        lineage = Lineage(record)
        lineage.refs = [weakref.ref(ref) for ref in _refs_of(record)]
        if lineage.hold is not None:  # a failed task keeps no memory of the store
            lineage.forget("its arguments were large and passed by value: they are kept only until it ends")
        lineage.deps = [dep[2] if type(dep) is tuple and _keeps_memory(dep[0]) else dep for dep in lineage.deps]
        return lineage

    def run_again(self, number: int) -> str:
        """Run a task of this process that failed once more, with the same arguments; its refs get the new outcome.

        Returns
        -------
        str
            Why it cannot run again; empty: it does.
        """
        with self.lock:
            self._drain()
            why = self.no_second_run(number)
            if why:
                return why
            failure = self.failed.of(number)
            assert failure is not None
            lineage = failure.lineage
            lineage.retries = 1  # this one
            try:
                plan = self._plan(lineage)  # arguments that are gone are made again, too
            except ObjectReconstructionFailedError as error:
                return str(error).partition("run again: ")[2].rstrip(".")
            for ref in plan[lineage]:
                ref._data = None
            records = [self._run_again(one, refs) for one, refs in plan.items()]
            for record in records:
                if record.deps is None or self._await_dependencies(record):
                    record.pool.submit(record)
        return ""

    def no_second_run(self, number: int) -> str:
        """Return why ``run_again`` does not run a task; empty: it does."""
        failure = self.failed.of(number)
        if failure is None:
            return "it has not failed, or too long ago"
        lineage = failure.lineage
        if lineage is None:
            return "calls of actors, generators and tasks without results are not run again, and of old failures too little is kept"
        if lineage.gone:
            return str(lineage.gone)
        refs = [ref() for ref in lineage.refs]
        if any(ref is not None and ref._data is None for ref in refs):
            return "it runs again already"
        if any(ref is not None and type(ref._data) is not ErrorValue for ref in refs):
            return "it has succeeded since"
        if any(ref is not None and ref._hold is not None for ref in refs):
            return "its error has gone to other processes already"
        if any(ref() is None for ref in lineage.nested):
            return "a ref inside its arguments is gone"
        if any(type(dep) is weakref.ref and dep() is None for dep in lineage.deps):
            return "an argument is gone: no ref of it is left"
        return ""

    def _shorten(self) -> None:
        """Too much is remembered: count anew, and forget the older half if it is so."""
        live = sorted((lineage for lineage in self._lineages if not lineage.gone), key=lambda lineage: lineage.number)
        self._lineage_bytes = sum(lineage.n_bytes for lineage in live)
        limit = self.store.pressure.limits.lineage_bytes
        if self._lineage_bytes <= limit:
            return
        for lineage in live:
            if self._lineage_bytes <= limit / 2:
                return
            self._lineage_bytes -= lineage.n_bytes
            lineage.forget(f"its lineage was given up, as more than {limit / 2**20:.0f} MiB of it had come together")

    # ----------------------------------------------------------------- making it again

    def is_lost(self, ref: ObjectRef) -> bool:
        """Tell whether a ref's value was in the store and is lost."""
        data = ref._data
        return type(data) is StoredValue and self.store.is_lost(data.hold.obj)

    def recover(self, ref: ObjectRef) -> None:
        """See to it that a ref whose value is lost gets a value, or an error, again."""
        data = ref._data
        if type(data) is not StoredValue or not self.store.is_lost(data.hold.obj):
            return
        if data.lineage is None:
            self._give_up(ref, LostValueError(ref.binary(), data.hold.obj))
            return
        try:
            plan = self._plan(data.lineage)
        except ObjectReconstructionFailedError as error:
            self._give_up(ref, error)
            return
        records = [self._run_again(lineage, refs) for lineage, refs in plan.items()]
        for record in records:
            if record.deps is None or self._await_dependencies(record):
                record.pool.submit(record)

    def _give_up(self, ref: ObjectRef, error: ObjectLostError) -> None:
        self._promise_again(ref)  # so that others get the error, too
        ref._data = None
        self._set(ref, error_value.from_system_error(error))

    def _plan(self, first: Lineage) -> dict[Lineage, list[ObjectRef]]:
        """Return the tasks to run again, with the refs of their values: lost arguments, and theirs, included."""
        plan: dict[Lineage, list[ObjectRef]] = {}
        todo = [first]
        while todo:
            lineage = todo.pop()
            if lineage in plan:
                continue
            refs = [lineage.lives(index) for index in range(lineage.n_returns)]
            if any(ref is not None and ref._task is not None for ref in refs):
                continue  # it runs again already
            name = lineage.name or lineage.function.name
            why = lineage.gone or ("" if lineage.retries else "its max_retries are used up")
            if not why and any(ref() is None for ref in lineage.nested):
                why = "a ref inside its arguments is gone"
            if why:
                raise ObjectReconstructionFailedError(
                    message=f"A value that {name}() made is lost, and it cannot be run again: {why}."
                )
            number, peer = lineage.number, self.peer
            alive = [ref or new_ref(number, index, peer, self) for index, ref in enumerate(refs)]
            plan[lineage] = alive
            lineage.refs = [weakref.ref(ref) for ref in alive]
            for dep in lineage.deps:
                if type(dep) is tuple:
                    ref = dep[0].lives(dep[1])
                    if ref is None or self.is_lost(ref):
                        todo.append(dep[0])
                elif type(dep) is not bytes and (dep() is None or self.is_lost(dep())):
                    raise ObjectReconstructionFailedError(
                        message=f"A value that {name}() made is lost, and it cannot be run again: an argument that was put() "
                        "or made by another process is gone."
                    )
        return plan

    def _run_again(self, lineage: Lineage, refs: list[ObjectRef]) -> TaskRecord:
        if lineage.retries > 0:
            lineage.retries -= 1
        deps = [self._argument(dep) for dep in lineage.deps] or None
        nested = [ref() for ref in lineage.nested]
        record = TaskRecord(
            lineage.number, refs[0] if len(refs) == 1 else tuple(refs), lineage.function, lineage.payload, lineage.flags,
            lineage.n_returns, lineage.retries, lineage.pool, deps, (lineage.hold, nested), lineage.origin,
            self.running_number, lineage.retry_exceptions, lineage.name, lineage=lineage,
        )  # fmt: skip
        for ref in refs:
            if ref._data is None or self.is_lost(ref):
                self._promise_again(ref)
                ref._data = None
                ref._task = record
        return record

    def _argument(self, dep: Any) -> ObjectRef:
        if type(dep) is bytes:
            ref = new_ref(0, 0, self.peer, self)
            ref._data = dep
            return ref
        found = dep[0].lives(dep[1]) if type(dep) is tuple else dep()
        assert found is not None  # _plan has made it
        return found

    def _promise_again(self, ref: ObjectRef) -> None:
        """Others who hold a lost object wait for it from now on, as they would for any promise."""
        data = ref._data
        if type(data) is StoredValue:
            lib.nbs_repromise(self.seg, data.hold.obj)
            ref._hold = data.hold

    # ------------------------------------------------------------------ of other owners

    def ask_again(self, ref: ObjectRef) -> None:
        """A ref from elsewhere has lost its value: wait until its owner has made it again."""
        data = ref._data
        if type(data) is StoredValue:
            ref._hold = data.hold
            ref._data = None

    def ask_owner(self, ref: ObjectRef) -> bool:
        """A ref from elsewhere, whose value is lost: True when it has an error instead now."""
        obj, now = ref._hold.obj, time.monotonic()
        asked_at = self._asked_owners.get(obj)
        if asked_at is None and lib.nbs_alive(self.seg, ref._owner) == 1:
            if len(self._asked_owners) > 1000:
                self._asked_owners.clear()
            self._asked_owners[obj] = now
            self.control.send(m.ValueLostNotice(owner=ref._owner, object_id=ref.binary()))
            return False
        if asked_at is not None and now - asked_at < _OWNER_ANSWERS_S:
            return False
        self._asked_owners.pop(obj, None)
        self._set(ref, error_value.from_system_error(LostValueError(ref.binary(), obj)))
        return True

    def value_lost(self, object_id: bytes) -> None:
        """Another process found a value of ours lost."""
        ref = self.exported.get(object_id)
        if ref is not None:
            self.recover(ref)

    # ----------------------------------------------------------------------- arguments

    def argument_lost(self, record: TaskRecord, obj: int) -> None:
        """A worker could not read an argument: make that again, then run the task."""
        deps = record.raw[3] if record.raw is not None else None
        lost = [ref for ref in deps or () if type(ref._data) is StoredValue and ref._data.hold.obj == obj]
        if not lost:  # one by value
            self.fail(record, LostValueError(b"", obj))
            return
        for ref in lost:
            if ref._owner == self.peer:
                self.recover(ref)
            else:
                self.ask_again(ref)
        if record.lane is not None:
            record.lane.tasks.pop(record.number, None)
        record.lane, record.ticket = None, 0
        record.payload, record.flags, record.keep, record.deps = record.raw
        record.raw = None
        if self._await_dependencies(record) and record.ref is not None:
            record.pool.again(record)


def _refs_of(record: TaskRecord) -> tuple[ObjectRef, ...]:
    return (record.ref,) if type(record.ref) is ObjectRef else record.ref
