"""Who holds an object: a variable of the notebook, an argument of a task, a view in a worker."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from nbray._cstore import ffi, lib
from nbray.core import cluster_view
from nbray.core.records import StoredValue, TaskRecord
from nbray.notebook.panel_answers.store_list import Entry
from nbray.object_ref import ObjectRef
from nbray.store.private_memory import stored_address

MAX_REFS = 10_000  # of one container that are looked at
MAX_RUNNING = 4096  # channels of a node
MAX_LISTED = 8  # names, or tasks, of one object


class Holders:
    """What is known, at one moment, of who holds what.

    Parameters
    ----------
    core : CoreWorker
    names : mapping
        The notebook's variables.
    """

    def __init__(self, core: Any, names: Mapping[str, Any]) -> None:
        self._core = core
        self.processes = {row["peer"]: row for row in cluster_view.table(core, "processes")}
        self._names: dict[bytes, list[str]] = {}  # object id -> variables that refer to it
        self._arrays: list[tuple[int, str]] = []  # address, variable
        self.refs: dict[bytes, ObjectRef] = {}  # those that variables refer to
        self._arguments: dict[bytes, list[TaskRecord]] = {}
        self._running = running_now(core)
        self._look_at_names(names)
        with core.lock:
            records = core.open_records()
            for record in records:
                deps = record.deps or (record.raw[3] if record.raw is not None else None) or ()
                for ref in deps:
                    self._arguments.setdefault(ref.binary(), []).append(record)

    def _look_at_names(self, names: Mapping[str, Any]) -> None:
        items = [(name, value) for name, value in list(names.items()) if not name.startswith("_")]
        out = names.get("Out")
        items = [(name, value) for name, value in items if name not in ("In", "Out")]
        if isinstance(out, dict):
            items += [(f"Out[{number}]", value) for number, value in list(out.items())]
        for name, value in items:
            self._look_at(name, value)

    def _look_at(self, name: str, value: Any) -> None:
        kind = type(value)
        if kind is ObjectRef:
            self._note(name, value)
        elif kind in (list, tuple, set, frozenset):
            for index, one in enumerate(itertools.islice(list(value), MAX_REFS)):
                if type(one) is ObjectRef:
                    self._note(name if kind in (set, frozenset) else f"{name}[{index}]", one)
        elif kind is dict:
            for key, one in itertools.islice(list(value.items()), MAX_REFS):
                if type(one) is ObjectRef:
                    self._note(f"{name}[{str(key)[:40]!r}]", one)
        else:
            for array in arrays_in(value):
                self._arrays.append((stored_address(int(array.__array_interface__["data"][0])), name))

    def _note(self, name: str, ref: ObjectRef) -> None:
        if ref._cluster is self._core:
            object_id = ref.binary()
            self.refs[object_id] = ref
            self._names.setdefault(object_id, []).append(name)

    def names_of(self, object_id: bytes, obj: int = 0) -> list[str]:
        """Return the variables that refer to an object, and those that view its memory."""
        found = list(self._names.get(object_id, ()))
        if obj and self._arrays:
            info = ffi.new("nbs_object *")
            if lib.nbs_obj_info(self._core.seg, obj, info) == 0 and info.data != ffi.NULL:
                start = int(ffi.cast("uintptr_t", info.data))
                end = start + int(info.size)
                found += [name for address, name in self._arrays if start <= address < end and name not in found]
        return found

    def tasks_of(self, object_id: bytes) -> list[TaskRecord]:
        """Return the tasks of this process that are not done and take the object as an argument."""
        return self._arguments.get(object_id, [])

    def of(self, entry: Entry) -> list[dict[str, Any]]:
        """Return who holds an object of the store.

        Returns
        -------
        list of dict
            ``kind``: "variable" (``names``), "task" (``name``, ``number``), "view" or "process" (``pid``, ``name``, ``peer``;
            ``runs``: owner and number of the task that runs there), "more" (``count``).
        """
        core = self._core
        found = self.here(entry.id, entry.obj)
        named = bool(found)
        others = 0
        for position, peer in enumerate(entry.holders):
            viewed = position < entry.n_pinned
            others += 1
            if peer == core.peer:
                if not named:
                    kind = "view" if viewed else "process"
                    found.append({"kind": kind, "pid": core.pid, "name": "this notebook, under no name"})
                continue
            found.append(self.process(peer, viewed))
        if entry.n_holders > others:
            found.append({"kind": "more", "count": entry.n_holders - others})
        return found

    def here(self, object_id: bytes, obj: int = 0) -> list[dict[str, Any]]:
        """Return who holds an object in this process: variables, and tasks that are not done."""
        found: list[dict[str, Any]] = []
        names = self.names_of(object_id, obj)
        if names:
            found.append({"kind": "variable", "names": names[:MAX_LISTED], "count": len(names)})
        tasks = self.tasks_of(object_id)
        found += [
            {"kind": "task", "name": record.name or record.function.name, "number": record.number}
            for record in tasks[:MAX_LISTED]
        ]
        if len(tasks) > MAX_LISTED:
            found.append({"kind": "tasks", "count": len(tasks) - MAX_LISTED})
        return found

    def process(self, peer: int, viewed: bool) -> dict[str, Any]:
        """Return what to say of another process that holds an object."""
        row = self.processes.get(peer)
        if row is None:
            return {"kind": "process", "pid": 0, "name": "the node"}
        found = {"kind": "view" if viewed else "process", "pid": row["pid"], "name": row["role"], "peer": str(peer)}
        if peer in self._running:
            found["runs"] = self._running[peer]
        return found


def running_now(core: Any) -> dict[int, tuple[int, int]]:
    """Return what the processes of the node run now: peer -> owner and number of a task."""
    items = ffi.new("nbs_running_task[]", MAX_RUNNING)
    count = lib.nbs_running_list(core.seg, items, MAX_RUNNING)
    return {int(items[i].worker): (int(items[i].owner), int(items[i].seq)) for i in range(max(0, count))}


def arrays_in(value: Any) -> Iterable[Any]:
    """Return the NumPy arrays that a value is, or that a data frame is made of; runs no code of the user's classes."""
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return ()
    if type(value) is numpy.ndarray:
        return (value,)
    pandas = sys.modules.get("pandas")
    kinds = tuple(getattr(pandas, name) for name in ("DataFrame", "Series") if hasattr(pandas, name))
    if kinds and type(value) in kinds:
        arrays = getattr(getattr(value, "_mgr", None), "arrays", ())
        return [array for array in arrays if type(array) is numpy.ndarray]
    return ()


def stored_entry_of(ref: ObjectRef) -> int:
    """Return the handle of the store's object behind a ref; 0: there is none."""
    data = ref._data
    hold = data.hold if type(data) is StoredValue else ref._hold
    return int(hold.obj) if hold is not None else 0
