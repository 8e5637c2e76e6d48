"""All that is known of one task, as plain data: why it waits, arguments, results, error, log, who holds what."""

from __future__ import annotations

import contextlib
import os
import re
import struct
from typing import Any

from nbray import ids
from nbray.core import call_site, cluster_view, inspection
from nbray.core import why as reasons
from nbray.core.records import TASK_DEPS, TASK_KWARGS, TASK_METHOD, TASK_STORED, StoredValue, TaskRecord
from nbray.exceptions import RayError, WorkerCrashedError
from nbray.notebook.panel_answers.holders import Holders, running_now, stored_entry_of
from nbray.notebook.panel_answers.store_list import Entry, StoreList
from nbray.notebook.wait_reason import amount, plain_amount
from nbray.object_ref import ObjectRef
from nbray.scheduling.sentence import Sentence
from nbray.serialization import error_value, serializer, without_code
from nbray.serialization.error_value import ErrorValue

MAX_ARGUMENTS = 30
MAX_HOLDERS = 4  # of a resource
MAX_MISSING = 4  # inputs that are named
MAX_TRIES = 8  # runs before the last
MAX_MESSAGE = 2_000  # characters
MANY = 1 << 30
MAX_TYPE = 200  # characters of an error's class
MAX_TRACEBACK = 20_000  # characters
MAX_WORKER_LOG = 4_000  # bytes of its end
MAX_READ = 64 * 1024  # bytes of arguments that are read to be shown
_INSPECTABLE = (bytes, bytearray)
_FRAME = re.compile(r'File "([^"\n]+)", line (\d+)')


class TaskDetails:
    """Gathers what is known of one task; used once.

    Parameters
    ----------
    core : CoreWorker
    owner, number : int
        Which task.
    names : mapping
        The notebook's variables.
    has_failed : bool
        Whether a run of it has, as far as the table of tasks knows: then its owner is asked how.
    """

    def __init__(self, core: Any, owner: int, number: int, names: Any, has_failed: bool = True) -> None:
        self._core = core
        self._owner, self._number = owner, number
        self.mine = owner == core.peer
        self.record: TaskRecord | None = None
        self.failure: Any = None
        self.ends: list[dict[str, Any]] = []  # of runs that failed
        with core.lock:
            core._drain()
            if self.mine:
                self.record = next((one for one in core.open_records() if one.number == number), None)
                self.failure = core.failed.of(number)
                self.ends = list(inspection.ends(core, number))
        if has_failed and not self.mine:
            with contextlib.suppress(RayError):  # the daemon is busy or gone
                self.ends = cluster_view.ends_of(core, owner, number)
        self._refs = self._find_refs()
        self._holders = Holders(core, names)
        self._store = StoreList(core.seg)

    def _find_refs(self) -> list[ObjectRef]:
        """Return the refs of the task's values, as far as there are any in this process."""
        record = self.record
        if record is not None and record.ref is not None:
            return [record.ref] if type(record.ref) is ObjectRef else list(record.ref)
        if self.failure is not None and self.failure.lineage is not None:
            return [ref for one in self.failure.lineage.refs if (ref := one()) is not None]
        refs = inspection.all_refs(self._core)
        return [ref for ref in refs if ref._number == self._number and ref._owner == self._owner]

    def answer(self, process: int, printed: tuple[str, bool]) -> dict[str, Any]:
        """Return everything.

        Parameters
        ----------
        process : int
            Peer of the worker that ran it, 0: none yet.
        printed : (str, bool)
            What it printed, and whether the beginning of that is gone.
        """
        core, record = self._core, self.record
        worker = self._holders.processes.get(process, {})
        owner = self._holders.processes.get(self._owner, {})
        arguments, note = self._arguments()
        return {
            "id": ids.task_id(self._owner, self._number, core.cluster_id).hex(),
            "owner": "this notebook" if self.mine else f"{owner.get('role', 'process')} {owner.get('pid', '?')}",
            "open": record is not None,
            "why": self._why(),
            "waits": self._waits(),
            "missing": self._missing(),
            "asked": self._asked(),
            "retries": record.retries if record is not None else None,
            "tries": self._tries(),
            "arguments": arguments,
            "arguments_note": note,
            "results": self._results(),
            "error": self._error(),
            "log": {"text": printed[0], "cut": printed[1]},
            "worker": {"pid": worker.get("pid", 0), "ended": bool(worker.get("ended_at")), "log": self._worker_log(worker)},
            "holds": self._who_holds(),
            "no_cancel": self._no_cancel(),
            "no_force": "calls of an actor are not stopped by force" if self._is_call() else "",
            "no_retry": self._no_retry(),
        }  # fmt: skip

    def _is_call(self) -> bool:
        return self.record is not None and bool(self.record.flags & TASK_METHOD)

    def _why(self) -> Any:
        """Return why its value is not there: a sentence, or what it is made of (``Sentence.tree``)."""
        if self.record is None:
            return ""
        if not self._refs:
            return "It has no results that one could wait for."
        try:
            said = reasons.why(self._core, self._refs[0])
        except Exception as error:  # the daemon is busy or gone
            return f"The cluster does not answer ({type(error).__name__})."
        return said.tree() if isinstance(said, Sentence) else said

    def _waits(self) -> dict[str, Any] | None:
        """Return which resource is short and who holds it, where it waits for one: the page knows how to name those."""
        record = self.record
        if record is None or record.n_missing or record.lane is not None or record.flags & TASK_METHOD:
            return None
        need = record.pool.shape or {}
        try:
            facts = reasons.ClusterFacts(self._core)
        except RayError:  # as in _why
            return None
        short = [name for name in sorted(need) if facts.free.get(name, 0) < need[name]]
        if not short:
            return None
        holders = [holder for holder in facts.holders if any(holder.held.get(name) for name in short)]
        peers = {row["pid"]: peer for peer, row in facts.processes.items()}
        running = running_now(self._core)
        return {
            "short": [
                {"needs": amount(name, need[name]), "free": plain_amount(name, facts.free.get(name, 0)),
                 "total": plain_amount(name, facts.total.get(name, 0))} for name in short
            ],
            "holders": [
                {"name": holder.name, "pid": holder.pid, "actor": holder.is_actor, "made": holder.made_at,
                 "runs": running.get(peers.get(holder.pid, 0))} for holder in holders[:MAX_HOLDERS]
            ],
            "more": max(0, len(holders) - MAX_HOLDERS),
            "ahead": reasons.place_in(record.pool.queue, record),
        }  # fmt: skip

    def _asked(self) -> str:
        shape = getattr(self.record.pool, "shape", None) if self.record is not None else None
        return " · ".join(amount(name, units) for name, units in sorted((shape or {}).items()))

    def _missing(self) -> dict[str, Any] | None:
        """Return how many inputs it lacks, and the first of the tasks that make them: those that run before the others."""
        record = self.record
        if record is None or not record.n_missing:
            return None
        open_refs = [ref for ref in record.deps or () if ref._data is None]
        running = set(running_now(self._core).values())
        keys = list(dict.fromkeys((ref._owner, ref._number) for ref in open_refs))
        keys.sort(key=lambda key: key not in running)
        return {"count": len(keys), "tasks": keys[:MAX_MISSING]}

    def _no_cancel(self) -> str:
        if self.mine:
            return "" if self.record is not None else "it is over"
        return ""

    def _no_retry(self) -> str:
        if not self.mine:
            return "another process submitted it, and only that can run it again"
        if self.record is not None:
            return "it is not over yet"
        with self._core.lock:
            return str(self._core.no_second_run(self._number))

    # ------------------------------------------------------------------- arguments

    def _arguments(self) -> tuple[list[dict[str, Any]], str]:
        """Return the arguments, and a sentence where they are not known."""
        source: Any = self.record
        if source is None and self.failure is not None:
            source = self.failure.lineage
        if source is None:
            data = self._refs[0]._data if self._refs else None
            source = data.lineage if type(data) is StoredValue else None
        if source is None:
            return [], "Arguments are kept until the task is over, and of failed tasks and large results."
        if getattr(source, "gone", ""):
            return [], f"They are not kept: {source.gone}."
        payload, flags, deps = source.payload, source.flags, source.deps
        if getattr(source, "raw", None) is not None:
            payload, flags, _, deps = source.raw
        return self._listed(payload, flags, list(deps or ()))

    def _listed(self, payload: Any, flags: int, deps: list[Any]) -> tuple[list[dict[str, Any]], str]:
        by_value: dict[str, Any] = {"label": "", "text": "by value", "size": len(payload)}
        values: Any = ()
        named: Any = {}
        positions: list[Any] = []
        note = ""
        if flags & TASK_STORED or len(payload) > MAX_READ or type(payload) not in _INSPECTABLE:
            entry = self._store.find(self._core.object_id(self._number, ids.ARGUMENTS_INDEX))
            by_value["size"] = entry.size if entry is not None else len(payload)
            rows = [by_value]
        else:
            try:
                body = without_code.read(_pickle_in(payload))
                if flags & TASK_DEPS:
                    values, named, positions = body
                elif flags & TASK_KWARGS:
                    values, named = body
                else:
                    values = body
                rows = []
            except (ValueError, TypeError, struct.error):  # not of the form that it should have
                rows = [by_value]
        taken = set(positions)
        for label, value in [*enumerate(values), *named.items()]:
            if label not in taken:
                text = without_code.show(value)
                rows.append(
                    {"label": str(label) if type(label) is str else f"#{label + 1}", "text": text, "size": None}
                )
        for index, dep in enumerate(deps):
            place = positions[index] if index < len(positions) else index
            label = f"#{place + 1}" if type(place) is int else str(place)
            rows.append({"label": label, **self._argument(dep)})
        rows.sort(key=lambda row: int(row["label"][1:]) if row["label"][1:].isdigit() else MANY)  # names come last
        if len(rows) > MAX_ARGUMENTS:
            note = f"and {len(rows) - MAX_ARGUMENTS} more"
        return rows[:MAX_ARGUMENTS], note

    def _argument(self, dep: Any) -> dict[str, Any]:
        """Return what to say of an argument that was a ref: a ref, or what a lineage remembers of one."""
        if type(dep) is bytes:
            return {"text": "a value", "size": len(dep)}
        task: tuple[int, int] | None = None
        if type(dep) is tuple:
            task, dep = (self._core.peer, dep[0].number), dep[2]
        ref = dep if type(dep) is ObjectRef else dep()
        if ref is None:
            return {"text": "a value that is gone", "size": None, "task": task}
        names = self._holders.names_of(ref.binary())
        text = names[0] if names else f"ObjectRef({ref.hex()[:12]}…)"
        row: dict[str, Any] = {
            "text": text,
            "size": None,
            "object": ref.hex(),
            "task": task or (ref._owner, ref._number),
        }
        data = ref._data
        if type(data) is bytes:
            row["size"] = len(data)
        elif type(data) is ErrorValue:
            row["text"] += " (failed)"
        elif stored_entry_of(ref):
            entry = self._store.find(ref.binary())
            row["size"] = entry.size if entry is not None else None
        return row

    # --------------------------------------------------------------------- results

    def _entries(self) -> list[Entry]:
        task = ids.task_id(self._owner, self._number, self._core.cluster_id)
        return [entry for entry in self._store.with_prefix(task) if entry.kind == "value"]

    def _results(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = [
            {"object": entry.id.hex(), "index": ids.split_object_id(entry.id)[3], "size": entry.size, "where": entry.where}
            for entry in self._entries()
        ]  # fmt: skip
        for ref in self._refs:
            if type(ref._data) is bytes and not any(row["object"] == ref.hex() for row in rows):
                rows.append({"object": ref.hex(), "index": ref._index, "size": len(ref._data), "where": "this process"})
        return sorted(rows, key=lambda row: row["index"])[:MAX_ARGUMENTS]

    def _who_holds(self) -> list[dict[str, Any]]:
        """Return its stored results and arguments, and who holds each."""
        found = []
        entries = [("result", entry) for entry in self._entries()]
        with_deps: Any = self.record
        if with_deps is not None:
            deps = with_deps.deps or (with_deps.raw[3] if with_deps.raw is not None else None) or ()
            for ref in deps[:MAX_ARGUMENTS]:
                if stored_entry_of(ref):
                    entry = self._store.find(ref.binary())
                    if entry is not None:
                        entries.append(("argument", entry))
        for part, entry in entries[:MAX_ARGUMENTS]:
            names = self._holders.names_of(entry.id)
            name = names[0] if names else part
            found.append(
                {"object": entry.id.hex(), "name": name, "part": part, "size": entry.size, "made": entry.made,
                 "where": entry.where, "by": self._holders.of(entry)}
            )  # fmt: skip
        for ref in self._refs:
            if type(ref._data) is bytes:
                by = self._holders.here(ref.binary())
                found.append(
                    {"object": ref.hex(), "name": "result", "part": "result", "size": len(ref._data), "made": "",
                     "where": "this process", "by": by or [{"kind": "process", "pid": self._core.pid,
                                                            "name": "this notebook, under no name"}]}
                )  # fmt: skip
        return found

    # ----------------------------------------------------------------------- error

    def _error(self) -> dict[str, Any] | None:
        if self.record is not None:
            return None
        error = next((ref._data for ref in self._refs if type(ref._data) is ErrorValue), None)
        blob = error.blob if error is not None else self.failure.blob if self.failure is not None else None
        last = self.ends[-1] if self.ends and self.ends[-1]["is_last"] else None
        if blob is None and last is None:
            return None
        try:
            facts = error_value.facts(blob) if blob is not None else self._how(last)
        except ValueError:
            return {"type": "error", "message": "It cannot be shown here; get() raises it.", "traceback": "", "at": ""}
        text = _FRAME.sub(_in_cell, facts["traceback"])
        if len(text) > MAX_TRACEBACK:
            half = MAX_TRACEBACK // 2
            text = f"{text[:half]}\n... {len(text) - MAX_TRACEBACK} characters left out ...\n{text[-half:]}"
        return {
            "type": (facts["type"] or "error")[:MAX_TYPE], "message": facts["message"][:MAX_MESSAGE], "traceback": text,
            "at": _place(facts["frames"]),
        }  # fmt: skip

    def _tries(self) -> list[dict[str, Any]]:
        """Return the runs before the last, the oldest first: how and when each ended, and in which process."""
        found = []
        for one in [one for one in self.ends if not one["is_last"]][-MAX_TRIES:]:
            try:
                facts = self._how(one)
            except ValueError:
                facts = {"type": "", "message": ""}
            pid = self._holders.processes.get(one["process"], {}).get("pid", 0)
            found.append(
                {"attempt": one["attempt"], "end": one["t_ns"] / 1e6, "type": (facts["type"] or "error")[:MAX_TYPE],
                 "message": facts["message"][:MAX_MESSAGE], "pid": pid}
            )  # fmt: skip
        return found

    def _how(self, end: Any) -> dict[str, Any]:
        """Return what is known of how a run ended, in the form of ``error_value.facts``."""
        if end["blob"] is not None:
            return error_value.facts(end["blob"])
        known: dict[str, Any] = {"type": "", "message": "", "traceback": "", "frames": []}
        if end["died"]:
            worker = self._holders.processes.get(end["process"], {})
            how = worker.get("detail") or "nothing more is known"
            known.update(
                type=WorkerCrashedError.__name__, message=f"Its worker (pid {worker.get('pid', '?')}) died: {how}"
            )
        return known

    def _worker_log(self, worker: dict[str, Any]) -> str:
        """Return the end of the log of the worker that ran it: what its C code printed is only there."""
        name = worker.get("log") or ""
        if not name:
            return ""
        path = os.path.join(self._core.session_dir, "logs", os.path.basename(name))
        with contextlib.suppress(OSError), open(path, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - MAX_WORKER_LOG))
            return file.read(MAX_WORKER_LOG).decode("utf-8", "replace")
        return ""


def _pickle_in(payload: bytes) -> bytes:
    if payload[:1] == bytes([serializer.PICKLE_OPCODE]):
        return payload
    return bytes(serializer.pickle_of_store(memoryview(payload)))


def _in_cell(frame: re.Match[str]) -> str:
    """Return the line of a traceback that names a frame, as IPython writes it where that is in a cell."""
    cell = call_site.cell_of(frame[1])
    return f"Cell {cell}, line {frame[2]}" if cell else frame[0]


def _place(frames: Any) -> str:
    """Return where in the notebook an error came from: ``In[8]:4``; else the file of its last frame."""
    for path, line, _ in reversed(frames or ()):
        cell = call_site.cell_of(path)
        if cell:
            return f"{cell}:{line}"
    if not frames:
        return ""
    path, line, _ = frames[-1]
    return f"{os.path.basename(path)}:{line}"
