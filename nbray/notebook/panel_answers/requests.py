"""The door for what a page asks: one request, one answer, by number.

::

    comm_msg  {v, request: n, what, ...}      ->   a question, or something to do
    comm_msg  {v, reply: n, value}            <-   the answer (plain data), or
    comm_msg  {v, reply: n, error}            <-   a sentence: why there is none

What can be asked (``task`` is an index of the frames, valid with ``generation``):

    task     {generation, task}               all that is known of a task; see task_details
    cancel   {generation, task, force}        cancel it
    retry    {generation, task}               run it again, when it failed
    trace    {generation, task}               its Chrome trace
    actors, objects, nodes                    rows for tables; see tables
    free     {object}                         free an object, by its id in hex

Of a cluster that is looked at from outside, only the tables are told: the rest its drivers know.

Nothing that a page says is trusted to have the right shape, nothing is unpickled, and no answer waits longer than
the daemon does. Answers are made one after the other on a thread of their own, which ends when nobody asks.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping
from typing import Any

from nbray.core import cluster_view
from nbray.core.timeline import chrome_trace
from nbray.notebook.panel_answers import tables
from nbray.notebook.panel_answers.task_details import TaskDetails
from nbray.notebook.panel_answers.task_output import TaskOutput
from nbray.notebook.task_stream import own_cluster

MAX_WAITING = 64  # requests; a page asks a few at a time
IDLE_S = 10.0  # after which the thread ends
TABLES = ("actors", "objects", "nodes")  # what an observer can tell

Reply = Callable[[dict[str, Any]], None]


class Refused(Exception):
    """A request that cannot be answered; the text is what a person reads."""


class PanelRequests:
    """Answers requests.

    Parameters
    ----------
    stream : TaskStream
        Whose frames the pages have: it tells which task an index means.
    names : callable
        Returns the notebook's variables.
    output : TaskOutput
        What tasks printed.
    observed : callable, optional
        Returns the observer that looks at a cluster from outside, or None when that is over; default: the cluster is
        this process's own.
    """

    def __init__(
        self, stream: Any, names: Callable[[], Mapping[str, Any]], output: TaskOutput,
        observed: Callable[[], Any] | None = None,
    ) -> None:  # fmt: skip
        self._source = observed or own_cluster
        self._is_outside = observed is not None
        self._stream = stream
        self._names = names
        self._output = output
        self._waiting: queue.Queue[tuple[dict[str, Any], Reply] | None] = queue.Queue(MAX_WAITING)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._handlers: dict[str, Callable[[Any, dict[str, Any]], Any]] = {
            "task": self._task,
            "cancel": self._cancel,
            "retry": self._retry,
            "trace": self._trace,
            "actors": lambda core, _: tables.actors(core),
            "objects": self._objects,
            "nodes": lambda core, _: tables.nodes(core, self._index_of),
            "free": self._free,
        }

    def ask(self, data: dict[str, Any], reply: Reply) -> None:
        """Take a request; ``reply`` is called once, from another thread, with what goes back."""
        try:
            self._waiting.put_nowait((data, reply))
        except queue.Full:
            reply({"reply": data.get("request"), "error": "Too many questions at once."})
            return
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="nbray-panel-answers", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """End the thread; returns when it has ended."""
        with self._lock:
            thread = self._thread
        if thread is not None:
            self._waiting.put(None)
            thread.join()

    def _run(self) -> None:
        while True:
            try:
                item = self._waiting.get(timeout=IDLE_S)
            except queue.Empty:
                with self._lock:
                    if not self._waiting.empty():
                        continue
                    self._thread = None
                    return
            if item is None:
                with self._lock:
                    self._thread = None
                return
            data, reply = item
            reply({"reply": data.get("request"), **self.answer(data)})

    def answer(self, data: dict[str, Any]) -> dict[str, Any]:
        """Return {"value": ...} or {"error": a sentence}."""
        what = str(data.get("what"))
        handler = self._handlers.get(what)
        core = self._source()
        if handler is None:
            return {"error": f"This kernel's nbray does not know {what[:40]!r}."}
        if core is None:
            return {"error": "There is no cluster."}
        if self._is_outside and what not in TABLES:
            return {"error": "Only a notebook of this cluster can tell that."}
        try:
            return {"value": handler(core, data)}
        except Refused as refused:
            return {"error": str(refused)}
        except Exception as error:  # the cluster ends, or does not answer: say so, and go on
            return {"error": f"{type(error).__name__}: {str(error)[:300]}"}

    # ------------------------------------------------------------------------ tasks

    def _key(self, data: dict[str, Any]) -> tuple[int, int, int]:
        """Return owner, number and the worker (0: none) of the task that a page means."""
        index, generation = data.get("task"), data.get("generation")
        found: tuple[int, int, int] | None = None
        if type(index) is int and type(generation) is int:
            found = self._stream.locate(index, generation)
        if found is None:
            raise Refused("The list of tasks has moved on; choose the task again.")
        return found

    def _index_of(self, owner: int, number: int) -> int | None:
        found: int | None = self._stream.index_of(owner, number)
        return found

    def _task(self, core: Any, data: dict[str, Any]) -> dict[str, Any]:
        owner, number, worker = self._key(data)
        details = TaskDetails(core, owner, number, self._names(), self._stream.has_failed(owner, number))
        answer = details.answer(worker, self._output.of((owner, number)))
        for row in answer["arguments"]:
            row["task"] = self._index_of(*row["task"]) if row.get("task") else None
        for held in answer["holds"]:
            self._place_tasks(core, held["by"])
        for holder in (answer["waits"] or {}).get("holders", ()):
            runs = holder.pop("runs")
            holder["task"] = self._index_of(*runs) if runs else None
        if answer["missing"] is not None:
            answer["missing"]["tasks"] = [self._index_of(*key) for key in answer["missing"]["tasks"]]
        return answer

    def _place_tasks(self, core: Any, holders: list[dict[str, Any]]) -> None:
        for holder in holders:
            if holder["kind"] == "task":
                holder["task"] = self._index_of(core.peer, holder["number"])
            elif "runs" in holder:
                holder["task"] = self._index_of(*holder.pop("runs"))

    def _cancel(self, core: Any, data: dict[str, Any]) -> bool:
        owner, number, _ = self._key(data)
        core.cancel_by_number(owner, number, data.get("force") is True)
        return True

    def _retry(self, core: Any, data: dict[str, Any]) -> bool:
        owner, number, _ = self._key(data)
        why = "another process submitted it" if owner != core.peer else core.run_again(number)
        if why:
            raise Refused(f"It cannot be run again: {why}.")
        return True

    def _trace(self, core: Any, data: dict[str, Any]) -> list[dict[str, Any]]:
        owner, number, _ = self._key(data)
        return chrome_trace(cluster_view.event_replies(core), core.peer_name, (owner, number))

    # ---------------------------------------------------------------------- objects

    def _objects(self, core: Any, data: dict[str, Any]) -> dict[str, Any]:
        answer = tables.objects(core, self._names(), self._index_of, self._stream.takers)
        for row in answer["objects"]:
            self._place_tasks(core, row["by"])
        return answer

    def _free(self, core: Any, data: dict[str, Any]) -> str:
        try:
            object_id = bytes.fromhex(str(data.get("object")))
        except ValueError:
            raise Refused("That is no id of an object.") from None
        return tables.free(core, object_id)
