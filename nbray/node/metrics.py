"""Metrics of the node and of its applications, exported for Prometheus on a loopback port.

The loop of the daemon makes a picture of all values once a second; the server's thread only
reads the last one.
"""

from __future__ import annotations

import errno
import importlib
import os
import re
import traceback
from collections.abc import Iterator
from typing import Any

from nbray import ids
from nbray._cstore import lib
from nbray.config import Limits
from nbray.control.actor_table import ALIVE
from nbray.options import UNIT
from nbray.version import __version__
from nbray.wire.messages import MetricRow

ADDRESS = "127.0.0.1"
APPLICATION_PREFIX = "ray_"  # what dashboards made for Ray look for
PICTURE_EVERY_S = 1.0
_GONE = 0  # peer under which sums of dead processes are kept

MAX_TAGS, MAX_TEXT = 50, 1000  # tags of a metric, characters of one
_NAME = re.compile(r"^[a-zA-Z_:][a-zA-Z0-9_:]*$")
_LABEL = re.compile(r"^[a-zA-Z_][a-zA-Z0-9_]*$")
_FAMILIES = {"counter": "CounterMetricFamily", "gauge": "GaugeMetricFamily", "histogram": "HistogramMetricFamily"}

_Key = tuple[str, tuple[str, ...]]


class MetricsError(Exception):
    """The endpoint cannot be opened; ``kind`` is "port" or "package"."""

    def __init__(self, text: str, kind: str) -> None:
        super().__init__(text)
        self.kind = kind


class Application:
    """Values of applications, by metric, tags and process."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._series: dict[_Key, dict[int, MetricRow]] = {}
        self.refused = 0  # values of metrics that were one too many, or of another kind than before

    def take(self, peer: int, rows: list[MetricRow]) -> None:
        """Note the present values of a process."""
        for row in rows:
            if not _is_sound(row):
                self.refused += 1
                continue
            key = (row.name, tuple(row.tags))
            series = self._series.get(key)
            if series is None:
                if len(self._series) >= self._limits.metric_series:
                    self.refused += 1
                    continue
                series = self._series[key] = {}
            known = next(iter(series.values()), row)
            if (known.kind, known.keys, known.boundaries) != (row.kind, row.keys, row.boundaries):
                self.refused += 1
                continue
            series[peer] = row

    def process_gone(self, peer: int) -> None:
        """A process ended: its gauges go, its sums stay."""
        for key, series in list(self._series.items()):
            row = series.pop(peer, None)
            if row is None:
                continue
            if row.kind != "gauge":
                kept = series.get(_GONE)
                series[_GONE] = row if kept is None else _add(kept, row)
            if not series:
                del self._series[key]

    def picture(self) -> list[tuple[MetricRow, str]]:
        """Return one row per metric and tags (sums), of gauges one per process; with the process's peer or nothing."""
        rows: list[tuple[MetricRow, str]] = []
        for series in self._series.values():
            if next(iter(series.values())).kind == "gauge":
                rows += [(row, ids.worker_id(peer)) for peer, row in series.items()]
                continue
            total: MetricRow | None = None
            for row in series.values():
                total = row if total is None else _add(total, row)
            if total is not None:
                rows.append((total, ""))
        return rows


def _is_sound(row: MetricRow) -> bool:
    """Tell whether a row from outside can be added up and exported."""
    return (
        row.kind in _FAMILIES
        and len(row.tags) == len(row.keys) <= MAX_TAGS
        and len(row.buckets) == len(row.boundaries) + 1
        and len(row.name) <= MAX_TEXT
        and all(len(text) <= MAX_TEXT for text in (*row.keys, *row.tags))
        and all(_LABEL.match(key) for key in row.keys)
        and _NAME.match(row.name) is not None
    )


def _add(a: MetricRow, b: MetricRow) -> MetricRow:
    buckets = [x + y for x, y in zip(a.buckets, b.buckets, strict=True)]
    return MetricRow(a.kind, a.name, a.description, a.keys, a.tags, a.value + b.value, a.boundaries, buckets)


class Endpoint:
    """The HTTP server.

    Parameters
    ----------
    node : NodeState
    port : int
        0: any that is free.

    Raises
    ------
    MetricsError
        When the port is taken, or prometheus_client is not installed.
    """

    def __init__(self, node: Any, port: int) -> None:
        self._node = node
        self._whence = {  # labels of each value of an application, named as Ray's are
            "Component": "core_worker",
            "NodeAddress": node.config.ip,
            "SessionName": os.path.basename(node.config.session_dir),
            "Version": __version__,
        }
        try:
            self._families = importlib.import_module("prometheus_client.core")
            prometheus = importlib.import_module("prometheus_client")
        except ImportError:
            raise MetricsError(
                "prometheus_client is not installed; run `pip install 'nbray[metrics]'`.", "package"
            ) from None
        self._picture: list[Any] = []
        self._complained = False
        self.refresh()
        registry = prometheus.CollectorRegistry(auto_describe=False)
        registry.register(self)
        try:
            server, _ = prometheus.start_http_server(port, addr=ADDRESS, registry=registry)
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                why = "is in use" if error.errno == errno.EADDRINUSE else "may not be opened by you"
                raise MetricsError(f"Port {port} of {ADDRESS} {why}.", "port") from None
            raise
        self.port = int(server.server_port)

    def collect(self) -> Iterator[Any]:
        """Called by the server's thread."""
        return iter(self._picture)

    def refresh(self) -> None:
        """Make a new picture; called by the daemon's loop."""
        try:
            self._picture = [*self._of_node(), *self._of_applications()]
        except Exception:  # a metric that cannot be exported ends no node
            if not self._complained:
                self._complained = True
                traceback.print_exc()

    def _of_node(self) -> list[Any]:
        node = self._node
        counters = node.segment.counters()
        tasks = self._families.GaugeMetricFamily("nbray_tasks", "Tasks by state.", labels=["State"])
        running = max(0, counters[lib.NBS_CTR_TAKEN] - counters[lib.NBS_CTR_REPLIED])
        for state, value in (
            ("RUNNING", running), ("FINISHED", counters[lib.NBS_CTR_FINISHED]), ("FAILED", counters[lib.NBS_CTR_FAILED]),
            ("CANCELLED", counters[lib.NBS_CTR_CANCELLED]), ("PENDING_ARGS_AVAIL", max(0, counters[lib.NBS_CTR_WAIT_ARGS])),
        ):  # fmt: skip
            tasks.add_metric([state], value)
        resources = self._families.GaugeMetricFamily("nbray_resources", "Resources by name.", labels=["Name", "State"])
        free = node.scheduler.ledger.free
        for name, total in node.scheduler.ledger.totals.items():
            available = max(0, free.get(name, 0))
            resources.add_metric([name, "AVAILABLE"], available / UNIT)
            resources.add_metric([name, "USED"], (total - available) / UNIT)
        workers = self._families.GaugeMetricFamily("nbray_workers", "Workers by state.", labels=["State"])
        for state, count in node.scheduler.pool.counts().items():
            workers.add_metric([state], count)
        stats = node.segment.stats()
        gauge = self._families.GaugeMetricFamily
        return [
            tasks, resources, workers,
            gauge("nbray_actors_alive", "Actors that live.", value=sum(actor.state == ALIVE for actor in node.actors)),
            gauge("nbray_object_store_used_bytes", "Bytes in objects.", value=stats["used"]),
            gauge("nbray_object_store_capacity_bytes", "Bytes of the object store.", value=stats["capacity"]),
            gauge("nbray_object_store_objects", "Objects in the store.", value=stats["n_objects"]),
        ]  # fmt: skip

    def _of_applications(self) -> list[Any]:
        families: dict[str, Any] = {}
        shapes: dict[str, Any] = {}
        for row, process in self._node.application_metrics.picture():
            whence = {**self._whence, "WorkerId": process} if row.kind == "gauge" else self._whence
            named = {**whence, **dict(zip(row.keys, row.tags, strict=True))}
            labels, values = list(named), list(named.values())
            family = families.get(row.name)
            if family is None:
                shapes[row.name] = (row.kind, labels)
                family = families[row.name] = self._family(row)(
                    APPLICATION_PREFIX + row.name, row.description, labels=labels
                )
            if shapes[row.name] != (row.kind, labels):
                continue  # another metric of the same name
            if row.kind != "histogram":
                family.add_metric(values, row.value)
                continue
            total, buckets = 0, []
            for boundary, count in zip([*map(str, row.boundaries), "+Inf"], row.buckets, strict=True):
                total += count
                buckets.append((boundary, total))
            family.add_metric(values, buckets, row.value)
        return list(families.values())

    def _family(self, row: MetricRow) -> Any:
        return getattr(self._families, _FAMILIES[row.kind])
