"""``nbray clusters`` and ``nbray feed``: look at clusters from outside, for people and for the panel's server.

``feed`` writes the messages of ``nbray.notebook.panel_comm`` to its standard output, for pages that have no
kernel to ask. A record is a length and a message, all numbers little-endian u32::

    length | length of the JSON | JSON | number of buffers | length of each buffer | buffers

What a page answers comes as lines of JSON on the standard input; the end of that ends the feed.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import struct
import sys
import threading
import time
from typing import Any

from nbray._cstore import lib
from nbray.core import live
from nbray.core.failure_log import FailureLog
from nbray.core.observer import Observer
from nbray.exceptions import RaySystemError
from nbray.node import discovery
from nbray.node.discovery import LiveSession
from nbray.node.process_control import open_pidfd
from nbray.notebook.panel_answers.requests import PanelRequests
from nbray.notebook.panel_answers.task_output import TaskOutput
from nbray.notebook.panel_comm import PanelFeed
from nbray.notebook.task_stream import TaskStream
from nbray.util.state.tables import size, table
from nbray.wire import messages as m

FOLLOW_S = 1.0  # between two looks at the clusters
ASK_S = 0.5  # between two questions to a daemon
MAX_LINE = 65536  # bytes of an answer


class Watched(Observer):
    """A cluster that is looked at from outside.

    It has what ``TaskFeed`` and the panel's tables read. The queues of its drivers are theirs: a task that waits in one
    of them is seen when it is sent.
    """

    def __init__(self, session: LiveSession) -> None:
        super().__init__(session.segment_socket, session.control_endpoint)
        self.waiting_args: dict[int, Any] = {}
        self.pools: dict[int, Any] = {}
        self.failed = FailureLog()  # a driver's own log of what failed: empty, from outside
        self.actors: dict[str, Any] = {}  # calls that wait here: none
        self.lock = threading.Lock()
        self.pid = os.getpid()
        self._state: m.StateReply | None = None
        self._asked_at = 0.0

    def open_records(self) -> list[Any]:
        """Return the tasks of this process: none."""
        return []

    def figures(self) -> dict[str, Any]:
        """Return the cluster's figures, as ``live.snapshot`` does.

        Raises
        ------
        RaySystemError
            When its daemon died.
        """
        now = time.monotonic()
        if self._state is None or now - self._asked_at > ASK_S:
            self._asked_at = now
            self._state = self.request(m.StateRequest(request_id=self.control.next_id()))[0]
        return live.figures(self.seg, self._state, {}, self._state.leases_waiting)

    def nodes(self) -> list[dict[str, Any]]:
        """Return name and newest sample of each node."""
        if self._state is None:
            self.figures()
        samples = live.usage(source=self)
        return [
            {"id": node["NodeID"], "name": node.get("hostname", ""), "usage": samples[-1] if samples else None}
            for node in (self._state.nodes if self._state is not None else [])
        ]


class Clusters:
    """This user's clusters; keeps a connection to each."""

    def __init__(self) -> None:
        self._open: dict[str, Watched] = {}

    def look(self) -> list[dict[str, Any]]:
        """Return a row per cluster, the newest first."""
        sessions = discovery.live_sessions()
        for path in set(self._open) - {session.path for session in sessions}:
            self._open.pop(path).close()
        return [self._row(session) for session in sessions]

    def _row(self, session: LiveSession) -> dict[str, Any]:
        row: dict[str, Any] = {
            "name": session.name, "address": session.path, "pid": session.pid, "started_by": session.started_by,
            "started_at": session.started_at, "figures": None, "nodes": [], "error": "",
        }  # fmt: skip
        try:
            if session.path not in self._open:
                self._open[session.path] = Watched(session)
            watched = self._open[session.path]
            row["figures"], row["nodes"] = watched.figures(), watched.nodes()
        except (OSError, RaySystemError) as error:  # of another version, too busy to answer, or just gone
            row["error"] = " ".join(str(error).split())
            if session.path in self._open:
                self._open.pop(session.path).close()
        return row

    def close(self) -> None:
        """Leave them all."""
        while self._open:
            self._open.popitem()[1].close()


def show_clusters(given: argparse.Namespace) -> int:
    """List the clusters of this user; with ``--follow`` until the standard input ends."""
    clusters = Clusters()
    try:
        rows = clusters.look()
        if given.follow:
            _follow(clusters, rows)
        elif given.format == "json":
            print(json.dumps(rows))
        elif not rows:
            print("no clusters")
        else:
            print(
                table(["name", "started by", "cpus", "gpus", "object store", "workers"], [_brief(row) for row in rows])
            )
    finally:
        clusters.close()
    return 0


def _brief(row: dict[str, Any]) -> list[Any]:
    facts = row["figures"]
    if facts is None:
        return [row["name"], row["started_by"], row["error"], "", "", ""]
    store = f"{size(facts['store_used'])} of {size(facts['store_capacity'])}"
    cpus, gpus = (f"{facts[f'{name}_used']:g} of {facts[f'{name}_total']:g}" for name in ("cpus", "gpus"))
    return [row["name"], row["started_by"], cpus, gpus, store, facts["workers"]]


def _follow(clusters: Clusters, rows: list[dict[str, Any]]) -> None:
    last = None
    while True:
        line = json.dumps(rows)
        if line != last:
            last = line
            print(line, flush=True)
        if select.select([0], [], [], FOLLOW_S)[0] and not os.read(0, MAX_LINE):
            return
        rows = clusters.look()


class _Pipe:
    """What a comm is to a ``PanelFeed``, with the standard streams at its other end."""

    comm_id = "pipe"

    def __init__(self) -> None:
        self._read: Any = None

    def on_msg(self, callback: Any) -> None:
        self._read = callback

    def on_close(self, callback: Any) -> None:
        """Do nothing: the process ends with its page."""

    def send(self, data: dict[str, Any], buffers: list[bytes] | None = None) -> None:
        parts = buffers or []
        text = json.dumps(data).encode()
        sizes = struct.pack(f"<I{len(parts)}I", len(parts), *map(len, parts))
        body = b"".join([struct.pack("<I", len(text)), text, sizes, *parts])
        sys.stdout.buffer.write(struct.pack("<I", len(body)) + body)
        sys.stdout.buffer.flush()

    def close(self) -> None:
        """Do nothing, as in ``on_close``."""

    def answered(self, line: bytes) -> None:
        try:
            data = json.loads(line)
        except ValueError:
            return
        if self._read is not None:
            self._read({"content": {"data": data}})


def feed(given: argparse.Namespace) -> int:
    """Write what a cluster does until the standard input ends, or the cluster does."""
    session = discovery.resolve(given.address, looking=True)
    if session is None:
        raise ConnectionError(f"--address={given.address!r} names no cluster that runs.")
    watched = Watched(session)
    daemon = open_pidfd(session.pid)

    def source() -> Watched | None:
        return watched if lib.nbs_alive(watched.seg, watched.daemon) else None

    stream = TaskStream(usage=lambda since: live.usage(since, source=watched), source=source)
    requests = PanelRequests(stream, dict, TaskOutput(), observed=source)
    panel, pipe = PanelFeed(watched.figures, stream=stream, requests=requests), _Pipe()
    panel.on_open(pipe, {"header": {"subshell_id": "pipe"}, "content": {"data": {}}})
    rest = b""
    while daemon >= 0:
        ready = select.select([0, daemon], [], [])[0]
        if daemon in ready:
            break
        data = os.read(0, MAX_LINE)
        if not data or len(rest) > MAX_LINE:
            break
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            pipe.answered(line)
    panel.close()
    watched.close()
    return 0
