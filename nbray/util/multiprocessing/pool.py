"""``Pool``: the interface of ``multiprocessing.Pool``, on processes of the cluster."""

from __future__ import annotations

import itertools
import logging
import operator
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sized
from multiprocessing import TimeoutError
from typing import Any

from nbray.api import runtime
from nbray.api.state import cluster_resources
from nbray.exceptions import ActorDiedError
from nbray.serialization import serializer
from nbray.util.worker_group import Job, RemoteTraceback, WorkerGroup
from nbray.wrong_input import both

logger = logging.getLogger(__name__)

CHUNKS_PER_PROCESS = 4  # into so many parts is the work of ``map`` cut, for each process
CHUNKS_AHEAD = 8  # that ``imap`` keeps at each process
_NoChunksize = both(ValueError, AssertionError)  # the second in Ray, where ``imap`` raises others


class _Failed:
    """In the place of the result of one item: what the function raised, and where."""

    __slots__ = ("error", "text")

    def __init__(self, error: BaseException, text: str = "") -> None:
        self.error = error
        self.text = text

    def raised(self) -> BaseException:
        """Return the exception, with its traceback in the other process as the cause."""
        if self.text:
            self.error.__cause__ = RemoteTraceback(self.text)
        return self.error


class _SomeFailed(list[Any]):
    """The results of a chunk, a _Failed among them; of other chunks nobody looks at each."""


def _failed(error: Exception) -> _Failed:
    """Take down an exception so that it survives the journey."""
    text = "".join(traceback.format_exception(error))
    try:
        serializer.loads(serializer.dumps_code(error, "the exception"))
    except Exception:
        error = RuntimeError(f"{type(error).__name__}: {error}")
    return _Failed(error, text)


class AsyncResult:
    """The result of a call (or of many) that runs; made by the ``..._async`` methods."""

    def __init__(self, pool: Pool, n_parts: int, single: bool, callback: Any, error_callback: Any) -> None:
        self._pool = pool
        self._single = single
        self._callback = callback
        self._error_callback = error_callback
        self._parts: list[Any] = [None] * n_parts
        self._left = n_parts
        self._error: BaseException | None = None
        self._lock = threading.Lock()
        self._value: Any = None
        self._over = threading.Event()
        if not n_parts:
            self._finish()

    def get(self, timeout: float | None = None) -> Any:
        """Return the result.

        Parameters
        ----------
        timeout : float, optional
            Seconds to wait at most.

        Raises
        ------
        multiprocessing.TimeoutError
            When it was not there in time.
        Exception
            What the function raised, the first in the order of the items.
        """
        self.wait(timeout)
        if not self._over.is_set():
            raise TimeoutError
        if self._error is not None:
            raise self._error
        return self._value

    def wait(self, timeout: float | None = None) -> None:
        """Wait until the result is there, or for ``timeout`` seconds."""
        if not self._over.is_set():
            self._pool._group.core.wait_until(self._over.is_set, timeout)

    def ready(self) -> bool:
        """Tell whether the result is there."""
        if not self._over.is_set():
            self._pool._group.core.drain()
        return self._over.is_set()

    def successful(self) -> bool:
        """Tell whether nothing was raised.

        Raises
        ------
        ValueError
            When the result is not there yet.
        """
        if not self.ready():
            raise ValueError(f"{self!r} not ready")
        return self._error is None

    def _part_done(self, index: int, values: Any, error: BaseException | None) -> None:
        first_error = None
        with self._lock:
            if self._parts[index] is not None:
                return
            self._parts[index] = _Failed(error) if error is not None else values
            failure = error or next(_errors([values]), None)
            if failure is not None and self._error is None:
                self._error = first_error = failure
            self._left -= 1
            over = not self._left
        if first_error is not None and self._error_callback is not None:
            _call_back(self._error_callback, first_error)
        if over:
            self._finish()

    def _finish(self) -> None:
        if self._error is not None:  # the first in order, whichever came first
            self._error = next(iter(_errors(self._parts)))
        elif self._single:
            self._value = self._parts[0][0]
        else:
            self._value = list(itertools.chain.from_iterable(self._parts))
        self._parts = []
        if self._error is None and self._callback is not None:
            _call_back(self._callback, self._value)
        self._over.set()
        self._pool._forget(self)


MapResult = AsyncResult  # as the standard library calls the result of many


def _errors(parts: list[Any]) -> Iterator[BaseException]:
    for part in parts:
        if type(part) is _Failed:
            yield part.raised()
        elif type(part) is _SomeFailed:
            yield from (value.raised() for value in part if type(value) is _Failed)


def _call_back(callback: Callable[[Any], Any], value: Any) -> None:
    try:
        callback(value)
    except Exception:
        logger.exception("The callback of a pool raised.")


class IMapIterator:
    """Yields results of ``imap``; ``next(timeout)`` waits for ``timeout`` seconds at most."""

    def __init__(self, pool: Pool, function: Any, items: Iterable[Any], chunksize: int, ordered: bool) -> None:
        self._pool = pool
        self._function = function
        self._code = pool._code(function)
        self._chunks = _chunks(iter(items), chunksize)
        self._ordered = ordered
        self._lock = threading.Lock()
        self._n_submitted = 0
        self._done: dict[int, Any] = {}  # part -> its values, until it is their turn
        self._arrived: deque[int] = deque()  # parts in the order in which they came
        self._next_part = 0
        self._values: deque[Any] = deque()
        self._exhausted = False
        pool._track(self)
        for _ in range(CHUNKS_AHEAD * pool._processes):
            self._submit()

    def _submit(self) -> None:
        if self._exhausted:
            return
        try:
            chunk = next(self._chunks)
        except StopIteration:
            self._exhausted = True
            return
        except Exception as error:  # of the iterable: comes when it is its turn
            self._exhausted = True
            index, self._n_submitted = self._n_submitted, self._n_submitted + 1
            self._part_done(index, None, error)
            return
        index, self._n_submitted = self._n_submitted, self._n_submitted + 1
        self._pool._submit(_call_each, self._function, self._code, chunk, self, index)

    def _part_done(self, index: int, values: Any, error: BaseException | None) -> None:
        with self._lock:
            self._done[index] = [_Failed(error)] if error is not None else values
            self._arrived.append(index)

    def _ready_part(self) -> int | None:
        if self._ordered:
            return self._next_part if self._next_part in self._done else None
        return self._arrived[0] if self._arrived else None

    def __iter__(self) -> IMapIterator:
        return self

    def __next__(self) -> Any:
        return self.next()

    def next(self, timeout: float | None = None) -> Any:
        """Return the next result.

        Raises
        ------
        multiprocessing.TimeoutError
            When it was not there within ``timeout`` seconds.
        StopIteration
            After the last one.
        """
        while not self._values:
            if self._next_part >= self._n_submitted:
                self._pool._forget(self)
                raise StopIteration
            if self._ready_part() is None:
                core = self._pool._group.core
                if not core.wait_until(lambda: self._ready_part() is not None, timeout):
                    raise TimeoutError
            with self._lock:
                part = self._ready_part()
                assert part is not None
                self._values.extend(self._done.pop(part))
                self._arrived.remove(part)
                self._next_part += 1
            self._submit()
        value = self._values.popleft()
        if type(value) is _Failed:
            raise value.raised()
        return value


class Pool:
    """Run a function over many items in processes of the cluster, as ``multiprocessing.Pool`` does.

    Functions are sent by value: they need not be importable. Large arrays travel through
    shared memory and come back as read-only views of it.

    Parameters
    ----------
    processes : int, optional
        Default: the CPUs of the cluster.
    initializer : callable, optional
        Called with ``initargs`` first in each process.
    initargs : iterable
    maxtasksperchild : int, optional
        Chunks after which a process is replaced by a new one.
    context : object, optional
        Taken for the standard library's sake; has no effect.
    ray_address : str, optional
        Cluster to join when this process has none.
    ray_remote_args : dict, optional
        Options of the actors that the processes are.

    Raises
    ------
    ValueError
        When ``processes`` is not above 0, or more than the cluster has CPUs.

    Examples
    --------
    >>> from nbray.util.multiprocessing import Pool
    >>> with Pool(2) as pool:
    ...     pool.map(abs, [-1, 2, -3])
    [1, 2, 3]
    """

    def __init__(
        self, processes: int | None = None, initializer: Callable[..., Any] | None = None,
        initargs: Iterable[Any] | None = (), maxtasksperchild: int | None = None, context: Any = None,
        ray_address: str | None = None, ray_remote_args: dict[str, Any] | None = None,
    ) -> None:  # fmt: skip
        self._closed = True  # until all is well
        if processes is not None:
            if processes <= 0:
                raise ValueError("Processes in the pool must be >0.")
            processes = operator.index(processes)
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        if maxtasksperchild is not None and (not isinstance(maxtasksperchild, int) or maxtasksperchild <= 0):
            raise ValueError("maxtasksperchild must be a positive int or None")
        if context is not None:
            logger.warning("The 'context' of a pool has no effect: its processes are workers of the cluster.")
        if not runtime.is_initialized():
            joins = ray_address not in (None, "local")
            runtime.init(address=ray_address, **({} if joins else {"num_cpus": processes}))  # type: ignore[arg-type]
        cpus = int(cluster_resources().get("CPU", 0))
        if processes is None:
            processes = max(1, cpus)
        elif processes > cpus:
            raise ValueError(
                f"Tried to start a pool with {processes} processes on an existing cluster, but there are only {cpus} "
                "CPUs in the cluster."
            )
        self._processes = processes
        self._group = WorkerGroup(
            processes, initializer, tuple(initargs or ()), maxtasksperchild or 0, replace=True, options=ray_remote_args
        )
        self._closed = False
        self._terminated = False
        self._open: set[Any] = set()  # results that are not there yet
        self._group.start_all()

    # ----------------------------------------------------------------- submitting

    def _check_running(self) -> None:
        if self._closed:
            raise ValueError("Pool not running")

    def _code(self, function: Any) -> Any:
        """Return a function as it is sent: serialized once for all chunks of a call, and anew for each call."""
        self._check_running()
        self._group.forget_code(function)
        return self._group.code_of(function)

    def _submit(self, how: Any, function: Any, code: Any, chunk: Any, result: Any, index: int) -> None:
        job = Job(function, (chunk,), {}, lambda value, error: result._part_done(index, value, error), how=how)
        job.code = code
        self._group.submit(job)

    def _track(self, result: Any) -> None:
        self._open.add(result)

    def _forget(self, result: Any) -> None:
        self._open.discard(result)

    def _map_async(
        self, how: Any, function: Any, items: Iterable[Any], chunksize: int | None, callback: Any, error_callback: Any
    ) -> AsyncResult:
        code = self._code(function)
        listed = list(items)
        if chunksize is not None and chunksize < 1:
            raise _NoChunksize(f"Chunksize must be 1+, not {chunksize}")
        size = self._chunksize(len(listed)) if chunksize is None else chunksize
        chunks = [listed[at : at + size] for at in range(0, len(listed), size)]
        result = AsyncResult(self, len(chunks), False, callback, error_callback)
        if chunks:
            self._track(result)
        for index, chunk in enumerate(chunks):
            self._submit(how, function, code, chunk, result, index)
        return result

    def _chunksize(self, n: int) -> int:
        return max(1, -(-n // (self._processes * CHUNKS_PER_PROCESS)))

    # ----------------------------------------------------------------- public API

    def apply(
        self, func: Callable[..., Any], args: Iterable[Any] | None = (), kwds: dict[str, Any] | None = None,
        *, kwargs: dict[str, Any] | None = None,
    ) -> Any:  # fmt: skip
        """Call ``func(*args, **kwds)`` in one of the processes and return its result."""
        return self.apply_async(func, args, kwds, kwargs=kwargs).get()

    def apply_async(
        self, func: Callable[..., Any], args: Iterable[Any] | None = (), kwds: dict[str, Any] | None = None,
        callback: Callable[[Any], Any] | None = None, error_callback: Callable[[BaseException], Any] | None = None,
        *, kwargs: dict[str, Any] | None = None,
    ) -> AsyncResult:  # fmt: skip
        """Call ``func(*args, **kwds)`` in one of the processes.

        Parameters
        ----------
        callback : callable, optional
            Called with the result when it is there, in some thread of this process.
        error_callback : callable, optional
            Called with what was raised instead.
        kwargs : dict, optional
            Ray's name of ``kwds``.
        """
        code = self._code(func)
        result = AsyncResult(self, 1, True, callback, error_callback)
        self._track(result)
        self._submit(_call_one, func, code, (tuple(args or ()), dict(kwds or kwargs or {})), result, 0)
        return result

    def map(self, func: Callable[[Any], Any], iterable: Iterable[Any], chunksize: int | None = None) -> list[Any]:
        """Return ``[func(item) for item in iterable]``.

        Parameters
        ----------
        chunksize : int, optional
            Items that are sent together; default: a quarter of a process's share.
        """
        return self.map_async(func, iterable, chunksize).get()

    def map_async(
        self, func: Callable[[Any], Any], iterable: Iterable[Any], chunksize: int | None = None,
        callback: Callable[[list[Any]], Any] | None = None,
        error_callback: Callable[[BaseException], Any] | None = None,
    ) -> AsyncResult:  # fmt: skip
        """As ``map``, but return at once; the callbacks as of ``apply_async``."""
        return self._map_async(_call_each, func, iterable, chunksize, callback, error_callback)

    def starmap(
        self, func: Callable[..., Any], iterable: Iterable[Iterable[Any]], chunksize: int | None = None
    ) -> list[Any]:
        """Return ``[func(*item) for item in iterable]``."""
        return self.starmap_async(func, iterable, chunksize).get()

    def starmap_async(
        self, func: Callable[..., Any], iterable: Iterable[Iterable[Any]], chunksize: int | None = None,
        callback: Callable[[list[Any]], Any] | None = None,
        error_callback: Callable[[BaseException], Any] | None = None,
    ) -> AsyncResult:  # fmt: skip
        """As ``starmap``, but return at once; the callbacks as of ``apply_async``.

        As in Ray the callbacks may also come third and fourth, without a ``chunksize``.
        """
        if callable(chunksize):
            chunksize, callback, error_callback = None, chunksize, error_callback or callback
        return self._map_async(_call_each_star, func, iterable, chunksize, callback, error_callback)

    def imap(self, func: Callable[[Any], Any], iterable: Iterable[Any], chunksize: int | None = 1) -> IMapIterator:
        """Yield the results in order; the items are taken as results are fetched.

        Parameters
        ----------
        chunksize : int, optional
            Items that are sent, and come back, together; None: chosen as in ``map``, when their number is known.
        """
        return IMapIterator(self, func, iterable, self._imap_chunksize(iterable, chunksize), True)

    def imap_unordered(
        self, func: Callable[[Any], Any], iterable: Iterable[Any], chunksize: int | None = 1
    ) -> IMapIterator:
        """As ``imap``, but yield results as soon as they are there."""
        return IMapIterator(self, func, iterable, self._imap_chunksize(iterable, chunksize), False)

    def _imap_chunksize(self, items: Iterable[Any], chunksize: int | None) -> int:
        self._check_running()
        if chunksize is not None:
            if chunksize < 1:
                raise ValueError(f"Chunksize must be 1+, not {chunksize}")
            return chunksize
        return self._chunksize(len(items)) if isinstance(items, Sized) else 1

    # ------------------------------------------------------------------------ end

    def __enter__(self) -> Pool:
        self._check_running()
        return self

    def __exit__(self, *exc: Any) -> None:
        self.terminate()

    def __reduce__(self) -> Any:
        raise NotImplementedError("pool objects cannot be passed between processes or pickled")

    def close(self) -> None:
        """Take no more work; the processes end when what was submitted is done."""
        if not self._closed:
            self._closed = True
            self._group.close(wait=False)

    def terminate(self) -> None:
        """End the processes at once; what is not done is given up."""
        self._closed = True
        if not self._terminated:
            self._terminated = True
            for job in self._group.terminate():
                job.done(None, ActorDiedError("The pool was terminated."))

    def join(self) -> None:
        """Wait until the processes have ended, after ``close`` or ``terminate``.

        Raises
        ------
        ValueError
            When the pool still runs.
        """
        if not self._closed:
            raise ValueError("Pool is still running")
        self._group.close(wait=True)


def _chunks(items: Iterator[Any], size: int) -> Iterator[list[Any]]:
    while chunk := list(itertools.islice(items, size)):
        yield chunk


def _call_one(function: Any, call: tuple[Any, Any]) -> list[Any]:
    args, kwargs = call
    return [function(*args, **kwargs)]


def _call_each(function: Any, items: list[Any]) -> list[Any]:
    return _each(function, items, map)


def _call_each_star(function: Any, items: list[Any]) -> list[Any]:
    return _each(function, items, itertools.starmap)


def _each(function: Any, items: list[Any], calls: Callable[[Any, Any], Iterator[Any]]) -> list[Any]:
    """Call for each item; as long as nothing is raised without a line of Python of ours."""
    results: list[Any] = []
    left = iter(items)
    failed = False
    while True:
        try:
            results.extend(calls(function, left))  # what came before an exception stays
            if len(results) == len(items):
                return _SomeFailed(results) if failed else results
            raise RuntimeError("the function raised StopIteration")
        except Exception as error:
            results.append(_failed(error))
            failed = True
