"""``ray_dask_get``: a scheduler of Dask that makes each node of a graph a task.

All nodes are submitted at once, in Dask's own order, with the refs of what they depend on;
results stay in the object store until the last node that needs them has run.
"""

from __future__ import annotations

import concurrent.futures
from collections.abc import Mapping, Sequence
from typing import Any

import dask
from dask._task_spec import Alias, DataNode, convert_legacy_graph
from dask.callbacks import local_callbacks
from dask.core import flatten
from dask.local import get_async
from dask.order import order
from dask.sizeof import sizeof
from dask.utils import key_split

from nbray.api import runtime
from nbray.api.decorator import remote
from nbray.api.objects import get, put, wait
from nbray.api.state import cluster_resources
from nbray.object_ref import ObjectRef
from nbray.util.dask import callbacks as ray_callbacks_of

LITERAL_MAX_BYTES = 32 * 1024  # larger ones are put once and shared by the nodes that need them
ANNOTATION = "ray_remote_args"


@remote
def _run_node(node: Any, keys: tuple[Any, ...], hooks: Any, *values: Any) -> Any:
    if hooks is None:
        return node(dict(zip(keys, values, strict=True)))
    states = [before(node.key, keys) if before is not None else None for before, _ in hooks]
    result = node(dict(zip(keys, values, strict=True)))
    for state, (_, after) in zip(states, hooks, strict=True):
        if after is not None:
            after(node.key, result, state)
    return result


class Kept:
    """A value in the object store, inside a persisted collection.

    Where a node with it arrives, the value itself is in its place: Dask puts it into
    whatever it fuses.
    """

    __slots__ = ("ref",)

    def __init__(self, ref: ObjectRef) -> None:
        self.ref = ref

    def __reduce__(self) -> Any:
        return get, (self.ref,)


class _Submitter:
    """Submits nodes; knows what each was given."""

    def __init__(self, options: dict[str, Any], by_key: dict[Any, dict[str, Any]], ray_callbacks: Any) -> None:
        self.options = options
        self.by_key = by_key
        self.presubmit = ray_callbacks_of.functions("presubmit", ray_callbacks)
        self.postsubmit = ray_callbacks_of.functions("postsubmit", ray_callbacks)
        self.hooks = ray_callbacks_of.around_tasks(ray_callbacks)
        self.functions: dict[Any, Any] = {}  # (name, options) -> remote function

    def submit(self, key: Any, node: Any, known: Mapping[Any, Any]) -> Any:
        """Return the ref (or the value, where there is nothing to run) of a node."""
        if isinstance(node, Alias):
            return known[node.target]
        if isinstance(node, DataNode):
            value = node.value
            if isinstance(value, Kept):
                return value.ref
            if isinstance(value, ObjectRef) or _size(value) <= LITERAL_MAX_BYTES:
                return value
            return put(value)
        keys = tuple(node.dependencies)
        for function in self.presubmit:
            instead = function(node, key, keys)
            if instead is not None:
                return instead
        ref = self._function(key).remote(node, keys, self.hooks, *(known[dependency] for dependency in keys))
        for function in self.postsubmit:
            function(node, key, keys, ref)
        return ref

    def _function(self, key: Any) -> Any:
        name = f"dask:{key_split(key)}"
        own = self.by_key.get(key)
        which = (name, repr(own))
        function = self.functions.get(which)
        if function is None:
            function = self.functions[which] = _run_node.options(name=name, **{**self.options, **(own or {})})
        return function


def ray_dask_get(dsk: Any, keys: Any, **kwargs: Any) -> Any:
    """Compute keys of a Dask graph with tasks; to be passed as ``scheduler``.

    Parameters
    ----------
    dsk : mapping or expression
        Graph, in Dask's present or older form.
    keys : key or (nested) list of keys
    ray_remote_args : dict, optional
        Options of all tasks; ``dask.annotate(ray_remote_args=...)`` sets those of some.
    ray_persist : bool
        Return handles of the values, which stay in the object store, instead of them.
    ray_callbacks : list of RayDaskCallback, optional

    Returns
    -------
    object
        Values, nested as ``keys`` are.

    Raises
    ------
    Exception
        What a node raised.

    Examples
    --------
    >>> import dask
    >>> from nbray.util.dask import ray_dask_get
    >>> dask.delayed(abs)(-1).compute(scheduler=ray_dask_get)
    1
    """
    runtime.require_core()
    if "resources" in kwargs or "resources" in dask.get_annotations():
        raise ValueError(
            "Resources of the whole computation are given as ray_remote_args={'resources': ...}: 'resources' alone is a "
            "notion of Dask's own scheduler."
        )
    options = dict(kwargs.pop("ray_remote_args", None) or {})
    options.update(dask.get_annotations().get(ANNOTATION, {}))
    given = kwargs.pop("ray_callbacks", None)
    persist = kwargs.pop("ray_persist", False)
    graph = dsk if isinstance(dsk, Mapping) else dsk.__dask_graph__()
    submitter = _Submitter(options, _annotated(dsk), given)
    graph = convert_legacy_graph(graph)
    with local_callbacks(kwargs.pop("callbacks", None)) as active:
        if active and not persist:
            return _get_with_callbacks(submitter, graph, keys, active, kwargs)
    wanted = set(flatten([keys]))
    known = _submit_all(submitter, graph, wanted)
    for function in ray_callbacks_of.functions("postsubmit_all", given):
        function([known[key] for key in wanted], graph)
    del graph
    result = _nest(keys, _kept(known) if persist else _values(known))
    for function in ray_callbacks_of.functions("finish", given):
        function(result)
    return result


def _submit_all(submitter: _Submitter, graph: Mapping[Any, Any], wanted: set[Any]) -> dict[Any, Any]:
    """Submit all nodes; return what is wanted. Other refs go as soon as the nodes that need them have them."""
    known: dict[Any, Any] = {}
    uses: dict[Any, int] = {}
    for node in graph.values():
        for dependency in node.dependencies:
            uses[dependency] = uses.get(dependency, 0) + 1
    priority = order(graph)
    for key in _topological(graph, priority):
        node = graph[key]
        known[key] = submitter.submit(key, node, known)
        for dependency in node.dependencies:
            uses[dependency] -= 1
            if not uses[dependency] and dependency not in wanted:
                del known[dependency]
    return {key: known[key] for key in wanted}


def _topological(graph: Mapping[Any, Any], priority: Mapping[Any, Any]) -> list[Any]:
    """Return the keys so that each follows what it depends on, otherwise by Dask's priority."""
    done: set[Any] = set()
    ordered: list[Any] = []
    for start in sorted(graph, key=priority.__getitem__):
        stack = [start]
        while stack:
            key = stack[-1]
            if key in done:
                stack.pop()
                continue
            missing = [d for d in graph[key].dependencies if d not in done]
            if missing:
                stack.extend(missing)
            else:
                done.add(key)
                ordered.append(stack.pop())
    return ordered


def _values(known: dict[Any, Any]) -> dict[Any, Any]:
    refs = [value for value in known.values() if isinstance(value, ObjectRef)]
    values = dict(zip(refs, get(refs), strict=True))
    return {key: values[value] if isinstance(value, ObjectRef) else value for key, value in known.items()}


def _kept(known: dict[Any, Any]) -> dict[Any, Any]:
    return {key: Kept(value) if isinstance(value, ObjectRef) else value for key, value in known.items()}


def _nest(keys: Any, values: Mapping[Any, Any]) -> Any:
    return tuple(_nest(key, values) for key in keys) if isinstance(keys, list) else values[keys]


def _get_with_callbacks(
    submitter: _Submitter, graph: Mapping[Any, Any], keys: Any, active: Any, kwargs: dict[str, Any]
) -> Any:
    """As ``ray_dask_get``, in Dask's own loop, which tells its callbacks of each node when it begins and ends."""
    refs: dict[Any, Any] = {}

    def submit(_: Any, batch: list[Any]) -> concurrent.futures.Future[Any]:
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        open_keys = set()
        answers: list[Any] = []

        def answer(key: Any, value: Any) -> None:
            failed = isinstance(value, _Failure)
            answers.append((key, ((value.error, None) if failed else (value, "nbray")), failed))
            open_keys.discard(key)
            if len(answers) == len(batch):
                future.set_result(answers)

        for key, (node, data), *_rest in batch:
            open_keys.add(key)
            value = submitter.submit(key, node, {k: refs.get(k, v) for k, v in data.items()})
            if isinstance(value, ObjectRef):
                refs[key] = value
                value._on_completed(
                    lambda result, key=key: answer(key, _Failure(result) if isinstance(result, Exception) else result)
                )
            else:
                answer(key, value)
        return future

    workers = max(1, int(cluster_resources().get("CPU", 1)))
    return get_async(
        submit, workers, graph, keys, dumps=_same, loads=_same, callbacks=active, cache=kwargs.get("cache"),
        rerun_exceptions_locally=kwargs.get("rerun_exceptions_locally"),
    )  # fmt: skip


class _Failure:
    def __init__(self, error: BaseException) -> None:
        self.error = error


def _same(value: Any) -> Any:
    return value


def ray_dask_get_sync(dsk: Any, keys: Any, **kwargs: Any) -> Any:
    """As ``ray_dask_get``, but one node after the other: for looking for mistakes."""
    options = dict(kwargs.pop("ray_remote_args", None) or {})
    graph = dsk if isinstance(dsk, Mapping) else dsk.__dask_graph__()
    submitter = _Submitter(options, _annotated(dsk), kwargs.pop("ray_callbacks", None))
    graph = convert_legacy_graph(graph)
    known: dict[Any, Any] = {}
    for key in _topological(graph, order(graph)):
        known[key] = submitter.submit(key, graph[key], known)
        if isinstance(known[key], ObjectRef):
            wait([known[key]])
    wanted = {key: known[key] for key in set(flatten([keys]))}
    return _nest(keys, _kept(wanted) if kwargs.pop("ray_persist", False) else _values(wanted))


def _annotated(dsk: Any) -> dict[Any, dict[str, Any]]:
    """Return the options that parts of a graph were annotated with, by key."""
    if hasattr(dsk, "__dask_annotations__"):  # an expression
        return dict(dsk.__dask_annotations__().get(ANNOTATION, {}))
    found: dict[Any, dict[str, Any]] = {}
    for layer in getattr(dsk, "layers", {}).values():
        options = (getattr(layer, "annotations", None) or {}).get(ANNOTATION)
        if options:
            for key in layer:
                found[key] = options(key) if callable(options) else options
    return found


def _size(value: Any) -> int:
    size = getattr(value, "nbytes", None)
    return size if isinstance(size, int) else sizeof(value)


def ray_dask_persist(*collections: Any, **kwargs: Any) -> Any:
    """As ``dask.persist``, but the parts stay in the object store: the collections hold handles of them."""
    return dask.persist(*collections, **{"scheduler": ray_dask_get, **kwargs, "ray_persist": True})


def _persisting(dsk: Any, keys: Any, **kwargs: Any) -> Any:
    return ray_dask_get(dsk, keys, **{**kwargs, "ray_persist": True})


def _persist(collections: Sequence[Any], optimize_graph: bool = True, **kwargs: Any) -> Any:
    """What ``persist`` of a collection does where ``ray_dask_get`` is Dask's scheduler: its values stay in the object store."""
    return dask.persist(
        *collections, traverse=False, optimize_graph=optimize_graph, **{**kwargs, "scheduler": _persisting}
    )


ray_dask_get.persist = _persist  # type: ignore[attr-defined]  # where Dask looks for it


def dataframe_optimize(dsk: Any, keys: Any, **kwargs: Any) -> Any:
    """Return the graph of a data frame as it is: today's Dask has optimized it already. For ``dask.config.set(dataframe_optimize=...)``."""
    return dsk


def enable_dask_on_ray(shuffle: str | None = "tasks", use_shuffle_optimization: bool = True) -> Any:
    """Make ``ray_dask_get`` Dask's scheduler, from now on or for a ``with`` block.

    Parameters
    ----------
    shuffle : {"tasks", "disk"}
        How data frames are shuffled; "disk" only where all workers see one disk.
    use_shuffle_optimization : bool
        Taken for Ray's sake; has no effect: today's Dask optimizes its expressions itself.
    """
    return dask.config.set({"scheduler": ray_dask_get, "dataframe.shuffle.method": shuffle})


def disable_dask_on_ray() -> Any:
    """Give Dask its own scheduler back, from now on or for a ``with`` block."""
    return dask.config.set({"scheduler": None, "dataframe.shuffle.method": None})
