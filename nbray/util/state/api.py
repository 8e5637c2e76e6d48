"""List, get and summarize what is on the cluster, as ``ray.util.state`` does.

In a process with a runtime its cluster is asked, else the newest one on this machine, or the
one at ``address``.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import Any

from nbray.util.state import collect, task_logs
from nbray.util.state.common import (
    DEFAULT_LIMIT,
    DEFAULT_TIMEOUT_S,
    GetApiOptions,
    ListApiOptions,
    Row,
    StateResource,
    SummaryApiOptions,
    SummaryResource,
)
from nbray.util.state.exception import RayStateApiException

MAX_LIMIT = 10_000
ANSWER_S = 2.0  # that a process has to answer; one that is busy in C code never does
_PREDICATES = ("=", "!=")
_TRUE, _FALSE = ("true", "1"), ("false", "0")

Filters = Iterable[tuple[str, str, Any]]


def list_state(
    resource: str, address: str | None = None, filters: Filters | None = None, limit: int = DEFAULT_LIMIT,
    timeout: float = DEFAULT_TIMEOUT_S, detail: bool = False, exclude_driver: bool = True,
) -> list[Any]:  # fmt: skip
    """Return rows of a resource ("tasks", "actors" ...); the functions below, by name.

    A warning says which processes did not answer in time (stopped, or busy in C code): what they own may be missing.

    Parameters
    ----------
    resource : str
    address : str, optional
    filters : iterable of (column, "=" or "!=", value), optional
        Only rows for which all hold; case does not matter in columns and strings.
    limit : int
        Most rows, 0 to 10,000.
    timeout : float
        Seconds that the processes have to answer.
    detail : bool
        Fill all columns; else those of details are None.
    exclude_driver : bool
        Leave drivers out of the tasks.

    Raises
    ------
    RayStateApiException
        For a column that there is not, a limit out of range, or when the cluster does not answer.
    ValueError
        For a limit or a filter of another form.
    ConnectionError
        When there is no cluster.
    """
    rows, silent = find(resource, address, filters, limit, timeout, detail, exclude_driver)
    _warn_of(resource, silent)
    return rows


def find(
    resource: str, address: str | None = None, filters: Filters | None = None, limit: int = DEFAULT_LIMIT,
    timeout: float = DEFAULT_TIMEOUT_S, detail: bool = False, exclude_driver: bool = True,
) -> tuple[list[Any], set[int]]:  # fmt: skip
    """Return the rows as ``list_state`` does, and the pids of processes that did not answer."""
    silent: set[int] = set()
    cls = collect.row_class(resource)
    checked = [_check_filter(cls, one) for one in filters or ()]
    limit = _check_limit(limit)
    with collect.source(address) as where:
        rows = collect.rows(where, resource, min(float(timeout), ANSWER_S), silent)
        if resource == "tasks" and not exclude_driver:
            rows += collect.drivers(where)
        kept = [row for row in rows if all(_holds(row, *one) for one in checked)][:limit]
        if resource == "tasks" and detail:
            task_logs.add_logs(where, kept)
    if not detail:
        for row in kept:
            _strip(row)
    return kept, silent


def incomplete(resource: str, silent: set[int]) -> str:
    """Say that rows may be missing because processes did not answer; empty when all did."""
    if not silent:
        return ""
    pids = sorted(silent)
    who = f"1 process (pid {pids[0]})" if len(pids) == 1 else f"{len(pids)} processes (pids {_some(pids)})"
    return (
        f"The list of {resource} may be incomplete: {who} did not answer within {ANSWER_S:g} s (stopped, or busy in C code). "
        f"What {'it owns' if len(pids) == 1 else 'they own'} may be missing."
    )


def _some(pids: list[int]) -> str:
    return ", ".join(map(str, pids[:10])) + (" ..." if len(pids) > 10 else "")


def _warn_of(resource: str, silent: set[int]) -> None:
    """Warn the caller of the public function that calls this."""
    if text := incomplete(resource, silent):
        warnings.warn(text, stacklevel=3)


def _check_limit(given: Any) -> int:
    try:
        limit = int(given)
        if limit != float(given):
            raise ValueError
    except (TypeError, ValueError):
        raise ValueError(f"limit={given!r} is not an integer: give 0 to {MAX_LIMIT}.") from None
    if not 0 <= limit <= MAX_LIMIT:
        raise RayStateApiException(f"Given limit {limit} exceeds what is supported: give 0 to {MAX_LIMIT}.")
    return limit


def _check_filter(cls: type[Row], given: Any) -> tuple[str, str, Any]:
    try:
        column, predicate, value = given
    except (TypeError, ValueError):
        raise ValueError(f"A filter is (column, '=' or '!=', value), not {given!r}.") from None
    if predicate not in _PREDICATES:
        raise ValueError(f"Unsupported filter predicate {predicate!r} is given. Available predicates: =, !=.")
    if (column := str(column).lower()) not in cls.columns():
        raise RayStateApiException(
            f"The given filter column {column} is not supported. Supported filter columns: {cls.columns()}"
        )
    return column, predicate, value


def _holds(row: Row, column: str, predicate: str, value: Any) -> bool:
    return _equal(getattr(row, column), value) == (predicate == "=")


def _equal(found: Any, wanted: Any) -> bool:
    if isinstance(found, bool):
        text = str(wanted).lower()
        return found if text in _TRUE else not found if text in _FALSE else False
    if isinstance(found, (int, float)) and not isinstance(wanted, bool):
        try:
            return found == type(found)(wanted)
        except (TypeError, ValueError):
            return False
    if found is None or wanted is None:
        return found is None and (wanted is None or str(wanted).lower() in ("none", ""))
    return str(found).lower() == str(wanted).lower()


def _strip(row: Row) -> None:
    for name in set(row.columns()) - set(row.columns(detail=False)):
        setattr(row, name, None)


def get_state(resource: str, id: str, address: str | None = None, timeout: float = DEFAULT_TIMEOUT_S) -> Any:
    """Return one row with all its columns, None when there is none.

    A list of rows for an object (one per process), and for a task that ran several times (one per run). When there is
    none, a warning says which processes did not answer.
    """
    found, silent = find_one(resource, id, address, timeout)
    _warn_of(resource, silent)
    return found


def find_one(
    resource: str, id: str, address: str | None = None, timeout: float = DEFAULT_TIMEOUT_S
) -> tuple[Any, set[int]]:
    """Return the row as ``get_state`` does, and, when there is none, the pids of processes that did not answer."""
    silent: set[int] = set()
    key = collect.require_key(resource)
    id = collect.require_id(resource, id)
    with collect.source(address) as where:
        every = collect.rows(where, resource, min(float(timeout), ANSWER_S), silent)
        rows = [row for row in every if getattr(row, key) == id]
        if resource == "tasks":
            task_logs.add_logs(where, rows)
    if resource == "objects" or (resource == "tasks" and len(rows) > 1):
        return rows, set() if rows else silent
    return (rows[-1], set()) if rows else (None, silent)


# --------------------------------------------------------------------- lists, one row


def _named(function: Any, name: str, doc: str) -> Any:
    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return function


def _list(name: str, resource: str, what: str) -> Callable[..., list[Any]]:
    """Return the function that lists a resource."""

    def list_rows(
        address: str | None = None, filters: Filters | None = None, limit: int = DEFAULT_LIMIT,
        timeout: int = DEFAULT_TIMEOUT_S, detail: bool = False, raise_on_missing_output: bool = True, _explain: bool = False,
    ) -> list[Any]:  # fmt: skip
        rows, silent = find(resource, address, filters, limit, timeout, detail)
        _warn_of(resource, silent)
        return rows

    return _named(list_rows, name, f"Return {what}; see ``list_state`` for the parameters.")


def _get(name: str, resource: str, what: str) -> Callable[..., Any]:
    """Return the function that returns one row of a resource."""

    def get_row(id: Any, address: str | None = None, timeout: int = DEFAULT_TIMEOUT_S, _explain: bool = False) -> Any:
        name = id.task_id().hex() if resource == "tasks" and not isinstance(id, str) else id
        found, silent = find_one(resource, name, address, timeout)
        _warn_of(resource, silent)
        return found

    return _named(get_row, name, f"Return {what}; None when it is not known.")


list_tasks = _list("list_tasks", "tasks", "tasks")
list_actors = _list("list_actors", "actors", "actors, also dead ones")
list_objects = _list("list_objects", "objects", "references to objects, one row per process that has one")
list_nodes = _list("list_nodes", "nodes", "nodes")
list_jobs = _list("list_jobs", "jobs", "jobs, one per driver")
list_workers = _list("list_workers", "workers", "workers and drivers, also dead ones")
list_placement_groups = _list("list_placement_groups", "placement-groups", "placement groups")
list_runtime_envs = _list("list_runtime_envs", "runtime-envs", "runtime environments")
list_cluster_events = _list("list_cluster_events", "cluster-events", "deaths of processes that nobody intended")

get_task = _get(
    "get_task", "tasks", "a task by its id, or by a ref of its result; a list of its runs when it ran several times"
)
get_actor = _get("get_actor", "actors", "an actor")
get_objects = _get("get_objects", "objects", "a list of the references to an object")
get_node = _get("get_node", "nodes", "a node")
get_job = _get("get_job", "jobs", "a job")
get_worker = _get("get_worker", "workers", "a worker or driver")
get_placement_group = _get("get_placement_group", "placement-groups", "a placement group")


# --------------------------------------------------------------------------- summaries


def _summary_of_tasks(rows: list[Any]) -> dict[str, Any]:
    """Count tasks by function and state.

    Returns
    -------
    dict
        ``cluster`` with ``summary`` (name -> ``type``, ``state_counts``), ``total_tasks``,
        ``total_actor_tasks``, ``total_actor_scheduled`` and ``summary_by``.
    """
    summary: dict[str, Any] = {}
    totals = {"NORMAL_TASK": 0, "ACTOR_TASK": 0, "ACTOR_CREATION_TASK": 0}
    for row in rows:
        name = row.name or row.func_or_class_name
        entry = summary.setdefault(name, {"func_or_class_name": name, "type": row.type, "state_counts": {}})
        entry["state_counts"][row.state] = entry["state_counts"].get(row.state, 0) + 1
        totals[row.type] += 1
    return {
        "cluster": {
            "summary": summary, "total_tasks": totals["NORMAL_TASK"], "total_actor_tasks": totals["ACTOR_TASK"],
            "total_actor_scheduled": totals["ACTOR_CREATION_TASK"], "summary_by": "func_name",
        }
    }  # fmt: skip


def _summary_of_actors(rows: list[Any]) -> dict[str, Any]:
    """Count actors by class and state, as for tasks."""
    summary: dict[str, Any] = {}
    for row in rows:
        entry = summary.setdefault(row.class_name, {"class_name": row.class_name, "state_counts": {}})
        entry["state_counts"][row.state] = entry["state_counts"].get(row.state, 0) + 1
    return {"cluster": {"summary": summary, "total_actors": len(rows), "summary_by": "class"}}


def _summary_of_objects(rows: list[Any]) -> dict[str, Any]:
    """Count objects and their bytes by where they were made, as for tasks."""
    summary: dict[str, Any] = {}
    sizes: dict[str, dict[str, int]] = {}
    workers: dict[str, set[int]] = {}
    for row in rows:
        entry = summary.setdefault(
            row.call_site,
            {"total_objects": 0, "total_size_mb": 0.0, "total_num_workers": 0, "total_num_nodes": 1,
             "task_state_counts": {}, "ref_type_counts": {}},
        )  # fmt: skip
        sizes.setdefault(row.call_site, {})[row.object_id] = row.object_size
        workers.setdefault(row.call_site, set()).add(row.pid)
        for column, value in (("task_state_counts", row.task_status), ("ref_type_counts", row.reference_type)):
            entry[column][value] = entry[column].get(value, 0) + 1
    everything: dict[str, int] = {}
    for site, entry in summary.items():
        entry["total_objects"] = len(sizes[site])
        entry["total_size_mb"] = sum(sizes[site].values()) / 2**20
        entry["total_num_workers"] = len(workers[site])
        everything.update(sizes[site])
    return {
        "cluster": {
            "summary": summary, "total_objects": len(everything), "total_size_mb": sum(everything.values()) / 2**20,
            "callsite_enabled": any(site != "disabled" for site in summary), "summary_by": "callsite",
        }
    }  # fmt: skip


_SUMMARIES = {"tasks": _summary_of_tasks, "actors": _summary_of_actors, "objects": _summary_of_objects}


def sum_up(resource: str, address: str | None, timeout: float) -> tuple[dict[str, Any], set[int]]:
    """Return the counts of a resource's rows, and the pids of processes that did not answer."""
    silent: set[int] = set()
    with collect.source(address) as where:
        return _SUMMARIES[resource](collect.rows(where, resource, min(float(timeout), ANSWER_S), silent)), silent


def _summarize(name: str, resource: str) -> Callable[..., dict[str, Any]]:
    """Return the function that counts the rows of a resource."""

    def summarize(
        address: str | None = None, timeout: int = DEFAULT_TIMEOUT_S, raise_on_missing_output: bool = True,
        _explain: bool = False,
    ) -> dict[str, Any]:  # fmt: skip
        counts, silent = sum_up(resource, address, timeout)
        _warn_of(resource, silent)
        return counts

    return _named(summarize, name, _SUMMARIES[resource].__doc__ or "")


summarize_tasks = _summarize("summarize_tasks", "tasks")
summarize_actors = _summarize("summarize_actors", "actors")
summarize_objects = _summarize("summarize_objects", "objects")


class StateApiClient:
    """The same by methods, as Ray's client for states; resources by their names, or as members of StateResource.

    Parameters
    ----------
    address : str, optional
        Of the cluster.
    cookies, headers
        Without effect: there is no server between.
    """

    def __init__(self, address: str | None = None, cookies: Any = None, headers: Any = None) -> None:
        self._address = address

    def list(
        self, resource: StateResource | str, options: ListApiOptions | None = None, raise_on_missing_output: bool = True,
        _explain: bool = False,
    ) -> list[Any]:  # fmt: skip
        """Return rows of a resource."""
        asked = options or ListApiOptions()
        name = _name_of(resource)
        rows, silent = find(
            name, self._address, asked.filters, asked.limit, asked.timeout, asked.detail, asked.exclude_driver
        )
        _warn_of(name, silent)
        return rows

    def get(
        self, resource: StateResource | str, id: str, options: GetApiOptions | None = None, _explain: bool = False
    ) -> Any:
        """Return one row."""
        name = _name_of(resource)
        found, silent = find_one(name, id, self._address, (options or GetApiOptions()).timeout)
        _warn_of(name, silent)
        return found

    def summary(
        self, resource: SummaryResource | str, *, options: SummaryApiOptions | None = None,
        raise_on_missing_output: bool = True, _explain: bool = False,
    ) -> dict[str, Any]:  # fmt: skip
        """Return the counts of a resource, as ``summarize_tasks`` and its like do."""
        asked, name = options or SummaryApiOptions(), _name_of(resource)
        rows, silent = find(name, self._address, asked.filters, MAX_LIMIT, asked.timeout, True)
        _warn_of(name, silent)
        return _SUMMARIES[name](rows)


def _name_of(resource: Any) -> str:
    return str(getattr(resource, "value", resource)).replace("_", "-")
