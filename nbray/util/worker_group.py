"""A group of worker processes of one's own, and who gets what to do next.

What executors and pools have in common: processes that nobody else uses (actors), started
when there is work for them, a queue of jobs in front of them, a reply for each. Short jobs
are sent several deep, at most a millisecond of work ahead, so that a process never waits
for its owner; what turns out to stand behind a long job is taken back and given to whoever
is idle. Functions that go by value are sent to each process once.
"""

from __future__ import annotations

import logging
import threading
import traceback
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable
from multiprocessing.process import current_process
from types import GeneratorType
from typing import Any

from nbray.api import runtime
from nbray.api.actor_class import ActorClass
from nbray.api.objects import kill
from nbray.exceptions import RayActorError, RayError, RayTaskError
from nbray.serialization import serializer
from nbray.serialization.error_value import ErrorValue
from nbray.util.initialized_globals import InitializedGlobals

AHEAD_NS = 1_000_000.0  # work sent ahead to a process, at most
DEPTH = 64  # jobs sent ahead to a process, at most
FUNCTIONS = 256  # that go by value, kept on both sides; the oldest goes first
EXIT_PATIENCE_S = 5.0  # for processes to end when they are asked to

_groups: weakref.WeakSet[WorkerGroup] = weakref.WeakSet()
exiting = False  # the interpreter ends: nothing new is begun


class RemoteTraceback(Exception):
    """Where an exception was raised, in the process that ran the function; its ``__cause__`` here."""

    def __str__(self) -> str:
        return f'\n"""\n{self.args[0]}"""'


class Job:
    """Something to call in one of the processes.

    Attributes
    ----------
    how : callable or None
        Called in the process as ``how(function, *args)``; None: the function itself is called.
    done : callable
        ``done(value, error)`` is called once, from whichever thread takes in the reply.
    begin : callable or None
        Called before it is sent; False when nobody wants it any more.
    """

    __slots__ = ("args", "begin", "code", "done", "function", "how", "kwargs", "process", "ref")

    def __init__(
        self,
        function: Any,
        args: Any,
        kwargs: Any,
        done: Callable[[Any, Any], None],
        begin: Any = None,
        how: Any = None,
    ) -> None:
        self.function = function
        self.args = args
        self.kwargs = kwargs
        self.done = done
        self.begin = begin
        self.how = how
        self.code: tuple[int, bytes] | None = None  # of a function that goes by value
        self.process: _Process | None = None
        self.ref: Any = None


class _Process:
    """One of the processes, as its owner sees it."""

    __slots__ = ("actor", "answered", "call", "jobs", "known", "left")

    def __init__(self, actor: Any, max_jobs: int) -> None:
        self.actor = actor
        self.call = actor.call
        self.answered = False  # it has done something: it is not its start that fails
        self.jobs: dict[Job, None] = {}  # sent and not answered, in order
        self.known: OrderedDict[int, None] = OrderedDict()  # functions that it has
        self.left = max_jobs  # jobs that it may still be given; below 0: no limit


class WorkerGroup:
    """Up to ``size`` processes and the jobs for them.

    Parameters
    ----------
    size : int
    initializer : callable, optional
        Called with ``initargs`` first in each process.
    max_jobs : int
        Jobs after which a process is replaced; 0: never.
    replace : bool
        Replace a process that dies; else everything fails with it.
    options : dict
        Of the actors.
    """

    def __init__(
        self, size: int, initializer: Any = None, initargs: tuple[Any, ...] = (), max_jobs: int = 0,
        replace: bool = False, options: dict[str, Any] | None = None, name: str = "pool",
    ) -> None:  # fmt: skip
        self.core = runtime.require_core()
        self.size = size
        self.name = name
        self.broken: BaseException | None = None
        self._max_jobs = max_jobs or -1
        self._replace = replace
        # With the key, proxies of multiprocessing's managers work there as in a child process.
        self._start = (_AuthKey(bytes(current_process().authkey)), initializer, tuple(initargs))
        self._class = ActorClass(PoolWorker, {}).options(**{"num_cpus": 0, **(options or {})})
        self._processes: list[_Process] = []
        self._ended: list[Any] = []  # actors that were told to end
        self._queue: deque[Job] = deque()
        self._codes: OrderedDict[int, tuple[Any, tuple[int, bytes]]] = OrderedDict()  # id -> function, its code
        self._n_codes = 0
        self._closed = False
        self._lock = threading.RLock()
        _groups.add(self)
        self.core.dependents.add(self)

    # ---------------------------------------------------------------------- jobs

    def submit(self, job: Job) -> None:
        """Queue a job; it is sent as soon as a process has room."""
        with self._lock:
            if self.broken is not None:
                raise self.broken
            self._queue.append(job)
            self._dispatch()
        self._run_callbacks()

    def _run_callbacks(self) -> None:
        """Run what became due while the lock was held: never under it."""
        if self.core._callbacks:
            self.core.run_callbacks()

    def code_of(self, function: Any) -> tuple[int, bytes] | None:
        """Return (number, pickle) of a function that goes by value, None of one that goes by name.

        Raises
        ------
        TypeError
            For what cannot be called.
        """
        if not callable(function):  # a number would be taken for that of a function
            raise TypeError(f"'{type(function).__name__}' object is not callable")
        if serializer.goes_by_name(function):
            return None
        with self._lock:
            known = self._codes.get(id(function))
            if known is not None:
                return known[1]
        code = serializer.dumps_code(function, f"the function {getattr(function, '__name__', function)}")
        with self._lock:
            self._n_codes += 1
            self._codes[id(function)] = function, (self._n_codes, code)
            if len(self._codes) > FUNCTIONS:
                self._codes.popitem(last=False)
            return self._n_codes, code

    def forget_code(self, function: Any) -> None:
        """Serialize a function anew when it comes again: what it refers to may have changed."""
        with self._lock:
            self._codes.pop(id(function), None)

    def withdraw(self, job: Job) -> bool:
        """Take a job back; False when it has begun."""
        with self._lock:
            process = job.process
            if process is None:
                try:
                    self._queue.remove(job)
                except ValueError:
                    return False
                return True
            if not self.core.take_back(job.ref):
                return False
            self._unsend(job)
            self._dispatch()
        self._run_callbacks()
        return True

    def _unsend(self, job: Job) -> None:
        process = job.process
        if process is not None:
            process.jobs.pop(job, None)
            process.left += process.left >= 0
        job.process = job.ref = None

    def _dispatch(self) -> None:
        """Send what there is to whoever has room. Called with the lock."""
        while self._queue and self.broken is None:
            process = self._choose()
            if process is None:
                return
            job = self._queue.popleft()
            if job.begin is None or job.begin():
                job.begin = None  # it has been: an interrupt may send it back into the queue
                self._send(process, job)

    def _choose(self) -> _Process | None:
        best, least = None, DEPTH
        for process in self._processes:
            n = len(process.jobs)
            if process.left == 0 or n >= least:
                continue
            if n == 0:
                return process
            avg = process.call._descriptor.avg_ns
            if 0.0 < avg < AHEAD_NS and n < AHEAD_NS / avg:
                best, least = process, n
        if len(self._processes) < self.size:
            return self.start_process()
        return best

    def start_process(self) -> _Process:
        """Start one more process."""
        with self._lock:
            process = _Process(self._class.remote(*self._start), self._max_jobs)
            self._processes.append(process)
            return process

    def start_all(self) -> None:
        """Start all processes that are missing."""
        with self._lock:
            while len(self._processes) < self.size:
                self.start_process()

    def _send(self, process: _Process, job: Job) -> None:
        number, code = job.code or (job.function, None)
        if job.code is not None:
            if number in process.known:
                code = None
            else:
                process.known[number] = None
                if len(process.known) > FUNCTIONS:
                    process.known.popitem(last=False)
        try:
            job.ref = process.call.remote(number, code, job.how, job.args, job.kwargs)
        except BaseException as error:  # an argument cannot be pickled
            if code is not None:
                process.known.pop(number, None)
            if not isinstance(error, Exception):
                self._queue.appendleft(job)
                raise
            failure = error
            self.core.soon(lambda: job.done(None, failure))
            return
        job.process = process
        process.jobs[job] = None
        if process.left > 0:
            process.left -= 1
        self.core.notify(job.ref, lambda ref: self._answered(job, ref))

    def _answered(self, job: Job, ref: Any) -> None:
        """A reply is there: give the process more to do, then hand out the reply."""
        data = ref._data
        with self._lock:
            process = job.process
            if job.ref is not ref or process is None:
                return  # taken back, or given up
            process.jobs.pop(job, None)
            job.process = job.ref = None
            error = data.exception() if type(data) is ErrorValue else None
            if error is not None and isinstance(error, RayActorError) and not isinstance(error, RayTaskError):
                failed = self._lost(process, job, error)
            else:
                failed = None
                process.answered = True
                if not process.jobs and (process.left == 0 or (self._closed and not self._queue)):
                    self._processes.remove(process)
                    self._end(process)
                self._dispatch()
                if not process.jobs and not self._queue:
                    self._relieve()
        if failed is not None:
            for other in failed:
                other.done(None, error)
            return
        if error is not None:
            job.done(None, original(error))
            return
        try:
            value = self.core.value_of(ref)
        except BaseException as failure:
            job.done(None, failure)
            return
        if type(value) is _Returned:
            job.done(value.error, None)
        elif type(value) is _Raised:
            value.error.__cause__ = RemoteTraceback(value.text)
            job.done(None, value.error)
        else:
            job.done(value, None)

    def _relieve(self) -> None:
        """A process is idle: take back half of what has not begun at the one with most jobs."""
        busiest = max(self._processes, key=lambda p: len(p.jobs), default=None)
        if busiest is None or len(busiest.jobs) < 2:
            return
        for job in list(busiest.jobs)[: len(busiest.jobs) // 2 - len(busiest.jobs) - 1 : -1]:
            if not self.core.take_back(job.ref):
                break
            self._unsend(job)
            self._queue.appendleft(job)
        self._dispatch()

    def _lost(self, process: _Process, job: Job, error: BaseException) -> list[Job]:
        """A process died; returns the jobs that fail with it."""
        if process in self._processes:
            self._processes.remove(process)
        in_constructor = bool(getattr(error, "cause_blob", b""))
        if not self._replace or in_constructor:
            self.broken = error
            if in_constructor:
                logging.getLogger("concurrent.futures").critical("Exception in initializer: %s", error)
            failed = [job, *(j for p in [process, *self._processes] for j in p.jobs), *self._queue]
            self._queue.clear()
            for other in self._processes:
                other.jobs.clear()
                kill(other.actor)
            self._processes.clear()
            process.jobs.clear()
            for one in failed:  # their refs fail as well, unheard
                one.process = one.ref = None
            return failed
        # What has surely not run goes elsewhere: what was sent behind the job, and the job itself if the process was
        # dead when it came. Their refs fail as well, unheard.
        again = list(process.jobs)
        if process.answered and not getattr(error, "maybe_executed", True):
            again.insert(0, job)
        for one in reversed(again):
            one.process = one.ref = None
            self._queue.appendleft(one)
        process.jobs.clear()
        if not self._closed:
            self.start_process()
        self._dispatch()
        return [] if job in again else [job]

    # ----------------------------------------------------------------------- end

    def pending(self) -> int:
        """Return how many jobs are queued or sent."""
        with self._lock:
            return len(self._queue) + sum(len(p.jobs) for p in self._processes)

    def drop_queued(self) -> list[Job]:
        """Take back all jobs but the first of each process, if they have not begun; returns them."""
        with self._lock:
            dropped = list(self._queue)
            self._queue.clear()
            for process in self._processes:
                for job in list(process.jobs)[:0:-1]:
                    if not self.core.take_back(job.ref):
                        break
                    self._unsend(job)
                    dropped.append(job)
            return dropped

    def wait_idle(self, timeout_s: float | None = None) -> bool:
        """Wait until all jobs are done."""
        if self.pending():
            return self.core.wait_until(lambda: not self.pending(), timeout_s)
        return True

    def _end(self, process: _Process) -> None:
        process.actor.__ray_terminate__.remote()
        self._ended.append(process.actor)
        self._ended = [actor for actor in self._ended if actor._ray_calls.state != "DEAD"]

    def close(self, wait: bool = True) -> None:
        """End the processes after what they have to do; ``wait`` until they are gone."""
        with self._lock:
            self._closed = True
            if not self._queue:
                for process in [p for p in self._processes if not p.jobs]:
                    self._processes.remove(process)
                    self._end(process)
        if wait:
            self.wait_idle()
            with self._lock:
                for process in self._processes:
                    self._end(process)
                self._processes.clear()
                ended = self._ended
            self.core.wait_until(lambda: all(a._ray_calls.state == "DEAD" for a in ended), EXIT_PATIENCE_S)
            self.core.dependents.discard(self)

    def terminate(self) -> list[Job]:
        """End the processes at once; returns the jobs that are not done."""
        with self._lock:
            self._closed = True
            left = [*(job for process in self._processes for job in process.jobs), *self._queue]
            self._queue.clear()
            processes, self._processes = self._processes, []
            for process in processes:
                process.jobs.clear()
                self._ended.append(process.actor)
                kill(process.actor)
            for job in left:
                job.process = job.ref = None
            self.core.dependents.discard(self)
            return left

    def runtime_ended(self, error: BaseException) -> None:
        """The cluster is gone: nothing more will be answered."""
        with self._lock:
            self.broken = error
            left = [*(job for process in self._processes for job in process.jobs), *self._queue]
            self._queue.clear()
            self._processes.clear()
            for job in left:
                job.process = job.ref = None
        for job in left:
            job.done(None, error)


class PoolWorker:
    """Runs in each process: calls what it is told to."""

    def __init__(self, authkey: Any, initializer: Any, initargs: tuple[Any, ...]) -> None:
        self.functions: OrderedDict[int, Any] = OrderedDict()
        self.initialized = InitializedGlobals(initializer, initargs) if initializer is not None else None

    def call(self, function: Any, code: bytes | None, how: Any, args: Any, kwargs: Any) -> Any:
        try:
            if type(function) is int:
                if code is not None:
                    self.functions[function] = loaded = serializer.loads(code)
                    if self.initialized is not None:
                        self.initialized.enter(loaded)
                    if len(self.functions) > FUNCTIONS:
                        self.functions.popitem(last=False)
                function = self.functions[function]
            result = how(function, *args) if how is not None else function(*args, **kwargs)
            if type(result) is GeneratorType:  # of an actor's method it would be many values
                raise TypeError("cannot pickle 'generator' object")
            return _Returned(result) if isinstance(result, RayError) else result
        except Exception:
            raise
        except BaseException as error:  # sys.exit() ends the job, not the process
            return _Raised(error)


class _AuthKey:
    """The key of multiprocessing's connections, taken over while it is unpickled: before what may need it."""

    def __init__(self, key: bytes) -> None:
        self.key = key

    def __reduce__(self) -> Any:
        return _take_over_key, (self.key,)


def _take_over_key(key: bytes) -> None:
    current_process().authkey = key


class _Raised:
    """In the place of a result: an exception that is no Exception."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
        self.text = "".join(traceback.format_exception(error))


class _Returned:
    """Around a result that is an error of the library, which the caller would be raised otherwise, as if a call had failed."""

    def __init__(self, error: RayError) -> None:
        self.error = error


def original(error: BaseException) -> BaseException:
    """Return what the function raised, with its traceback there as the cause."""
    if isinstance(error, RayTaskError) and isinstance(error.cause, Exception):
        cause = error.cause
        cause.__cause__ = RemoteTraceback(str(error))
        return cause
    return error


def _finish_all() -> None:
    """Before the interpreter ends: what has been submitted is done, as with the standard library's executors."""
    global exiting
    exiting = True
    for group in list(_groups):
        try:
            group.wait_idle()
        except Exception:  # its cluster is gone
            continue


threading._register_atexit(_finish_all)  # type: ignore[attr-defined]  # before atexit ends the cluster
