"""The backend of joblib: batches of calls, in processes of the cluster.

A batch travels as one pickle, so that what a call gets is its own and can be written to,
as with joblib's own processes. Arrays of a megabyte and more go into the object store once
per ``Parallel`` call and are shared, read-only, also as joblib does.
"""

from __future__ import annotations

import concurrent.futures
import copy
import os
import pickle
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from joblib._parallel_backends import (
    AutoBatchingMixin,
    FallbackToBackend,
    ParallelBackendBase,
    SequentialBackend,
)

from nbray.api import runtime
from nbray.api.objects import get, put
from nbray.api.state import cluster_resources
from nbray.serialization import serializer
from nbray.util.worker_group import Job, WorkerGroup

SHARED_MIN_BYTES = 1_000_000  # arrays from here on are shared, as with joblib's max_nbytes="1M"

_cache_lock = threading.Lock()
_cached: tuple[Any, WorkerGroup] | None = None  # (what it was made for, the processes): kept for the next call


class _Shared:
    """Stands for an array that lies in the object store."""

    __slots__ = ("index",)

    def __init__(self, index: int) -> None:
        self.index = index


class RayBackend(AutoBatchingMixin, ParallelBackendBase):
    """Runs joblib's batches in processes of the cluster.

    Parameters
    ----------
    ray_remote_args : dict, optional
        Options of the actors that the processes are; also an argument of ``Parallel``.
    """

    supports_inner_max_num_threads = True
    supports_retrieve_callback = True

    def __init__(
        self, nesting_level: int | None = None, inner_max_num_threads: int | None = None,
        ray_remote_args: dict[str, Any] | None = None, **kwargs: Any,
    ) -> None:  # fmt: skip
        self.ray_remote_args = ray_remote_args
        self._group: WorkerGroup | None = None
        self._shared: dict[int, tuple[Any, Any]] = {}  # id of an array -> the array, its ref
        super().__init__(nesting_level=nesting_level, inner_max_num_threads=inner_max_num_threads, **kwargs)

    def __reduce__(self) -> Any:  # travels with nested calls
        return _rebuild, (self.nesting_level, self.inner_max_num_threads, self.ray_remote_args)

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """Return how many processes ``n_jobs`` asks for; negative ones count from the cluster's CPUs."""
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        if n_jobs is None:
            return 1
        if n_jobs < 0:
            runtime.require_core()
            cpus = max(1, int(cluster_resources().get("CPU", 1)))
            return max(cpus + 1 + n_jobs, 1)
        return n_jobs

    def configure(
        self, n_jobs: int = 1, parallel: Any = None, prefer: Any = None, require: Any = None,
        ray_remote_args: dict[str, Any] | None = None, **kwargs: Any,
    ) -> int:  # fmt: skip
        """Get the processes for a ``Parallel`` call; returns how many."""
        n_jobs = self.effective_n_jobs(n_jobs)
        if n_jobs == 1:
            raise FallbackToBackend(SequentialBackend(nesting_level=self.nesting_level))
        self.parallel = parallel
        given = {**self.backend_kwargs, **kwargs}
        start = (self._prepare_worker_env(n_jobs), given.get("initializer"), tuple(given.get("initargs") or ()))
        self._group = _processes(n_jobs, ray_remote_args or self.ray_remote_args, start)
        return n_jobs

    def submit(self, func: Any, callback: Callable[[Any], Any] | None = None) -> Any:
        """Run a batch; returns its future."""
        group = self._group
        assert group is not None
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        future.set_running_or_notify_cancel()
        if callback is not None:
            future.add_done_callback(callback)

        def done(value: Any, error: BaseException | None) -> None:
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(error)

        refs: list[Any] = []
        batch = self._with_shared(func, refs)
        group.submit(Job(_run_batch, (serializer.dumps_code(batch, "the call"), refs), {}, done))
        return future

    def retrieve_result_callback(self, out: Any) -> Any:
        """Return the results of a batch that is done."""
        return pickle.loads(out.result())

    def _with_shared(self, batch: Any, refs: list[Any]) -> Any:
        """Return the batch with large arrays replaced by their places in ``refs``."""
        items = getattr(batch, "items", None)
        if items is None:
            return batch

        def replace(value: Any) -> Any:
            if getattr(value, "nbytes", 0) < SHARED_MIN_BYTES or not _is_array(value):
                return value
            known = self._shared.get(id(value))
            if known is None:
                known = self._shared[id(value)] = (value, put(value))
            refs.append(known[1])
            return _Shared(len(refs) - 1)

        changed = [
            (function, tuple(map(replace, args)), {key: replace(value) for key, value in kwargs.items()})
            for function, args, kwargs in items
        ]
        if not refs:
            return batch
        changed_batch = copy.copy(batch)
        changed_batch.items = changed
        return changed_batch

    def stop_call(self) -> None:
        """At the end of a ``Parallel`` call: its arrays are not shared any longer."""
        self._shared.clear()

    def terminate(self) -> None:
        """Let go of the processes; they are kept for the next call."""
        self._shared.clear()
        self._group = None
        self.reset_batch_stats()

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """End what runs; with ``ensure_ready`` start anew."""
        group = self._group
        self.terminate()
        if group is not None:
            _forget(group)
            for job in group.terminate():
                job.done(None, RuntimeError("The call was aborted: another one of the same Parallel failed."))
        if ensure_ready:
            self.configure(n_jobs=self.parallel.n_jobs, parallel=self.parallel, **self.parallel._backend_kwargs)

    @contextmanager
    def retrieval_context(self) -> Iterator[None]:
        """Nothing to do: a task that waits lends its CPU on."""
        yield


def _rebuild(nesting_level: int | None, threads: int | None, options: dict[str, Any] | None) -> RayBackend:
    return RayBackend(nesting_level=nesting_level, inner_max_num_threads=threads, ray_remote_args=options)


def _is_array(value: Any) -> bool:
    module = str(type(value).__module__).partition(".")[0]
    return module == "numpy" and getattr(value, "dtype", None) is not None and not value.dtype.hasobject


def _processes(
    n: int, options: dict[str, Any] | None, start: tuple[dict[str, str], Any, tuple[Any, ...]]
) -> WorkerGroup:
    """Return ``n`` processes, those of the last call if they fit."""
    global _cached
    core = runtime.require_core()
    environ, initializer, initargs = start
    wanted = (core, n, repr(options), environ, initializer, initargs)
    with _cache_lock:
        if _cached is not None:
            made_for, group = _cached
            # Their initializer runs once for each Parallel, as with joblib's own processes.
            if initializer is None and made_for == wanted and group.broken is None:
                return group
            _cached = None
            group.close(wait=False)
        group = WorkerGroup(n, _begin, start, replace=True, options=options)
        _cached = (wanted, group)
        return group


def _begin(environ: dict[str, str], initializer: Any, initargs: tuple[Any, ...]) -> None:
    os.environ.update(environ)
    if initializer is not None:
        initializer(*initargs)


def _forget(group: WorkerGroup) -> None:
    global _cached
    with _cache_lock:
        if _cached is not None and _cached[1] is group:
            _cached = None


def _run_batch(code: bytes, refs: list[Any]) -> bytes:
    batch = pickle.loads(code)
    if refs:
        arrays = get(refs)

        def resolve(value: Any) -> Any:
            return arrays[value.index] if type(value) is _Shared else value

        batch.items = [
            (function, tuple(map(resolve, args)), {key: resolve(value) for key, value in kwargs.items()})
            for function, args, kwargs in batch.items
        ]
    return serializer.dumps_code(batch(), "the results")
