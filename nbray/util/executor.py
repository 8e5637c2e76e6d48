"""``Executor``: the interface of ``concurrent.futures``, on processes of the cluster."""

from __future__ import annotations

import concurrent.futures
import itertools
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import _base
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import Any

from nbray.api.state import cluster_resources
from nbray.util import worker_group
from nbray.util.worker_group import Job, WorkerGroup


class Future(concurrent.futures.Future):
    """A future whose waits serve the process: the thread that waits takes in the reply itself."""

    _job: Job | None = None
    _group: WorkerGroup | None = None

    def result(self, timeout: float | None = None) -> Any:
        """Return what the call returned, or raise what it raised.

        Raises
        ------
        TimeoutError
            When it was not there within ``timeout`` seconds.
        CancelledError
            When the call was cancelled.
        """
        self._serve(timeout)
        return super().result(0 if timeout is not None else None)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Return what the call raised, None when it returned; the rest as ``result``."""
        self._serve(timeout)
        return super().exception(0 if timeout is not None else None)

    def _serve(self, timeout: float | None) -> None:
        group = self._group
        if group is not None and self._state in (_base.PENDING, _base.RUNNING):
            group.core.wait_until(self.done, timeout)

    def cancel(self) -> bool:
        """Cancel the call if it has not begun; tell whether it is cancelled."""
        job, group = self._job, self._group
        if job is not None and group is not None and self._state in (_base.PENDING, _base.RUNNING):
            if not group.withdraw(job):
                return False
            self._state = _base.PENDING  # it had been sent, and has come back
            cancelled = super().cancel()
            self.set_running_or_notify_cancel()
            return cancelled
        return super().cancel()

    def _begin(self) -> bool:
        return self.set_running_or_notify_cancel()

    def _done(self, value: Any, error: BaseException | None) -> None:
        group, self._job, self._group = self._group, None, None
        if self._state == _base.PENDING and not self.set_running_or_notify_cancel():
            return
        if error is None:
            self.set_result(value)
        elif group is not None and group.broken is not None:
            self.set_exception(_broken(group.broken))
        else:
            self.set_exception(error)


def _broken(why: BaseException) -> BrokenProcessPool:
    error = BrokenProcessPool(f"A process of the executor ended while it was at work: {why}")
    error.__cause__ = why
    return error


class Executor(concurrent.futures.Executor):
    """Run calls in processes of the cluster, as ``concurrent.futures.ProcessPoolExecutor`` does.

    Large arrays travel through shared memory and come back as read-only views of it.

    Parameters
    ----------
    max_workers : int, optional
        Processes at most; default: the CPUs of the cluster. They start when there is work.
    initializer : callable, optional
        Called with ``initargs`` first in each process.
    initargs : tuple
    max_tasks_per_child : int, optional
        Calls after which a process is replaced by a new one.
    mp_context : object, optional
        Taken for the standard library's sake; has no effect.

    Raises
    ------
    ValueError
        When ``max_workers`` or ``max_tasks_per_child`` is not above 0.
    TypeError
        When ``initializer`` cannot be called.

    Examples
    --------
    >>> import nbray
    >>> with nbray.Executor(2) as executor:
    ...     list(executor.map(abs, [-1, 2, -3]))
    [1, 2, 3]
    """

    def __init__(
        self, max_workers: int | None = None, mp_context: Any = None, initializer: Callable[..., Any] | None = None,
        initargs: tuple[Any, ...] = (), *, max_tasks_per_child: int | None = None,
    ) -> None:  # fmt: skip
        if max_workers is not None and max_workers <= 0:
            raise ValueError("max_workers must be greater than 0")
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        if max_tasks_per_child is not None:
            if not isinstance(max_tasks_per_child, int):
                raise TypeError("max_tasks_per_child must be an integer")
            if max_tasks_per_child <= 0:
                raise ValueError("max_tasks_per_child must be >= 1")
        worker_group.runtime.require_core()
        self._max_workers = max_workers or max(1, int(cluster_resources().get("CPU", 1)))
        self._group = WorkerGroup(
            self._max_workers, initializer, initargs, max_tasks_per_child or 0, name="Executor", options={}
        )
        self._shut = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future:
        """Call ``fn(*args, **kwargs)`` in one of the processes; returns its future.

        Raises
        ------
        RuntimeError
            After ``shutdown``, and when the interpreter ends.
        BrokenProcessPool
            (a BrokenExecutor) when one of the processes has died.
        """
        group = self._group
        if worker_group.exiting:
            raise RuntimeError("cannot schedule new futures after interpreter shutdown")
        if group.broken is not None:
            raise _broken(group.broken)
        if self._shut:
            raise RuntimeError("cannot schedule new futures after shutdown")
        future = Future()
        job = future._job = Job(fn, args, kwargs, future._done, future._begin)
        future._group = group
        try:
            job.code = group.code_of(fn)
        except Exception as error:  # told by the future, as the standard library does
            future._done(None, error)
            return future
        try:
            group.submit(job)
        except BaseException:
            if group.broken is not None:
                raise _broken(group.broken) from None
            raise
        return future

    @property
    def _broken(self) -> BaseException | None:
        return self._group.broken

    def map(
        self, fn: Callable[..., Any], *iterables: Iterable[Any], timeout: float | None = None, chunksize: int = 1,
        buffersize: int | None = None,
    ) -> Iterator[Any]:  # fmt: skip
        """Call ``fn`` for the items of the iterables, as the built-in ``map`` does, in the processes.

        Parameters
        ----------
        timeout : float, optional
            Seconds from now within which each result must be there.
        chunksize : int
            Items that are sent together.
        buffersize : int, optional
            Calls submitted and not fetched, at most; then the iterables are taken as results are fetched.

        Raises
        ------
        ValueError
            When ``chunksize`` or ``buffersize`` is below 1.
        TimeoutError
            (from the iterator) when a result was not there in time.
        """
        if chunksize < 1:
            raise ValueError("chunksize must be >= 1.")
        if buffersize is not None and (not isinstance(buffersize, int) or buffersize < 1):
            kind = ValueError if isinstance(buffersize, int) else TypeError
            raise kind("buffersize must be None or an integer > 0")
        if buffersize is not None:
            return self._buffered_map(fn, zip(*iterables, strict=False), timeout, buffersize)
        if chunksize == 1:
            return super().map(fn, *iterables, timeout=timeout)
        self._group.forget_code(fn)
        chunks = _chunks(zip(*iterables, strict=False), chunksize)
        return itertools.chain.from_iterable(super().map(partial(_call_chunk, fn), chunks, timeout=timeout))

    def _buffered_map(self, fn: Any, items: Iterator[Any], timeout: float | None, size: int) -> Iterator[Any]:
        submitted = [self.submit(fn, *item) for item in itertools.islice(items, size)]

        def results() -> Iterator[Any]:
            while submitted:
                for item in itertools.islice(items, 1):
                    submitted.append(self.submit(fn, *item))
                yield submitted.pop(0).result(timeout)

        return results()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls; end the processes when those submitted are done.

        Parameters
        ----------
        wait : bool
            Return only then.
        cancel_futures : bool
            Cancel the calls that have not begun.
        """
        self._shut = True
        group = self._group
        if cancel_futures:
            for job in group.drop_queued():
                _cancel(job)
        if group.broken is None:
            group.close(wait)


def _cancel(job: Job) -> None:
    future: Future = job.done.__self__  # type: ignore[attr-defined]
    future._job = future._group = None
    if future._state == _base.RUNNING:
        future._state = _base.PENDING
    if future.cancel():
        future.set_running_or_notify_cancel()


def _chunks(items: Iterator[Any], size: int) -> Iterator[list[Any]]:
    while chunk := list(itertools.islice(items, size)):
        yield chunk


def _call_chunk(fn: Callable[..., Any], chunk: list[Any]) -> list[Any]:
    return [fn(*args) for args in chunk]
