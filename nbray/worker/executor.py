"""The loop of a worker: run tasks, and the methods of an actor, in the main thread or wherever the actor's calls run."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # the C module below `signal`
import contextlib
import functools
import inspect
import os
import pickle
import signal
import struct
import sys
import traceback
from collections.abc import Callable
from typing import Any

from nbray._cstore import ffi, lib
from nbray.core import output
from nbray.core.core_worker import CoreWorker
from nbray.core.records import (
    CALLS_UNLIMITED,
    CALLS_UNSAID,
    FUNCTION_FORGET,
    FUNCTION_HEAD,
    FUNCTION_NAMED,
    KIND_ASK_WORDS,
    KIND_CANCEL,
    KIND_CONTEXT,
    KIND_FUNCTION,
    KIND_LEAVING,
    KIND_METHOD,
    KIND_ORIGIN,
    KIND_WORDS_SENT,
    TASK_INDIRECT,
    TASK_METHOD,
    TASK_STREAM,
)
from nbray.exceptions import AsyncioActorExit
from nbray.serialization import serializer
from nbray.serialization.unreadable import unreadable
from nbray.wire import messages as m
from nbray.worker import gpu_memory
from nbray.worker.actor_host import ActorHost
from nbray.worker.calls import (
    current_call,
    unknown_group,
)
from nbray.worker.executor_state import (
    DRAINING_SLICE_NS,
    HEAD,
    IDLE_SLICE_NS,
    NEWS,
    NO_CHANNEL,
    NOT_PLAIN,
    OWNED,
    PICKLE,
    QUIET_AFTER,
    QUIET_SLICE_NS,
    RING,
    SERVED,
)
from nbray.worker.forked_child import make_child
from nbray.worker.output_capture import TaskStream
from nbray.worker.owner_surroundings import OwnerSurroundings
from nbray.worker.replies import Replies
from nbray.worker.streams import Producer
from nbray.worker.task_arguments import TaskArguments

# That of the module `signal` looks each handler up in an enumeration first: 2 us, and each task asks.
_getsignal: Callable[[int], Any] = _signal.getsignal
_SIGINT, _SIGUSR1 = int(signal.SIGINT), int(signal.SIGUSR1)
_U64 = struct.Struct("<Q")
_loads = pickle.loads
MAX_FUNCTIONS = 10_000  # loaded functions kept


class Executor(ActorHost, Replies, TaskArguments, OwnerSurroundings):
    """The loop of a worker; see ExecutorState for its fields."""

    def __init__(self, core: CoreWorker) -> None:
        super().__init__(core)
        self.handler = self._on_interrupt  # of signals: one object, which is compared
        core.to_self = self._to_self
        core.running_name = lambda: self.running()[2]
        core.output_sink = self._forward_output
        core.on_message = self._on_message
        core.on_tick = self.capture.look
        core.executor = self  # type: ignore[attr-defined]
        output.attach_worker(self.capture)
        os.register_at_fork(after_in_child=lambda: make_child(self))

    def run(self) -> int:
        """Serve until told to stop; returns the exit status."""
        seg = self.seg
        sys.stdout = TaskStream(self.capture, "stdout", 1)
        sys.stderr = TaskStream(self.capture, "stderr", 2)
        self.capture.watch_others(seg)
        self._take_signals()
        head, head_bytes, payload = self._head, self._head_bytes, self._payload
        unpack = HEAD.unpack_from
        buffer = ffi.buffer
        take, wait, nudges = lib.nbs_take, lib.nbs_wait_since, self.core.waiters.nudges
        while not self.stopping:
            if not self.exiting and take(seg, head, payload) == 1:
                length, chan, number, kind, flags, a, b = unpack(head_bytes)
                if kind == 1:
                    try:
                        if self.concurrent is not None:
                            self._start_call(chan, number, flags, a, b, buffer(payload[0], length))
                            continue
                        self._task(chan, number, flags, a, b, buffer(payload[0], length))
                    except BaseException as error:
                        self._answer_failed(chan, number, error)
                else:
                    self._notice(kind, chan, number, flags, bytes(buffer(payload[0], length)))
                continue
            nudged = nudges[0]  # before the rest is looked at: what another thread changes later ends the wait
            if self._own:
                self._take_own()
                continue
            slice_ns = self.slice_ns
            if self.draining:
                if self.concurrent is None or not self.concurrent.busy:
                    break
                slice_ns = DRAINING_SLICE_NS
            woken = wait(seg, OWNED | RING if self.exiting else SERVED | OWNED | RING, slice_ns, nudged)
            if woken > 0 and woken & SERVED and not woken & RING:
                self.vain_slices, self.slice_ns = 0, IDLE_SLICE_NS
                continue
            self._attend(woken)
            if self._become is not None:
                self._become_actor()
                if self.concurrent is not None and self.concurrent.in_main_thread:
                    self._serve_loop(self.concurrent)
        if self.leaving:
            self._wait_for_children()
        return self.exit_status

    def _leave(self) -> None:
        """Take no more tasks: the one that runs is the last. Its owner hears of it before the result."""
        self.stopping = self.leaving = True
        self.capture.send_words()
        self._send(self.channel, KIND_LEAVING, 0, 0, 0, b"")

    def _leave_gpu(self) -> None:
        """Leave when memory of a GPU would stay behind: it gets free only with the process."""
        if not self.leaving and gpu_memory.is_held():
            self._leave()

    def _producer(
        self, chan: int, number: int, name: str, request: int, function: Callable[..., Any]
    ) -> Callable[..., Any]:
        """Return what runs a generator function to its end."""
        inner = function.function if isinstance(function, GpuCalls) else function
        producer = Producer(self, chan, number, self.owner, name, request, inner)
        return producer if inner is function else GpuCalls(producer, self._leave_gpu)

    def _wait_for_children(self) -> None:
        """Before leaving: what this worker has submitted comes to its end, as nobody else would see to it."""
        core = self.core
        if core.has_open_tasks():
            core.wait_until(lambda: self.draining or not core.has_open_tasks(), None)

    def _attend(self, woken: int) -> None:
        """See to what a wait returned, calls and tasks excepted."""
        if woken > 0:
            self.vain_slices, self.slice_ns = 0, IDLE_SLICE_NS
            if woken & RING:
                for wake in list(self.producers.values()):
                    wake()
                if woken & NEWS:
                    self.core.on_ring(patient=not self.producers)
            if woken & OWNED:
                self.core.drain()
            return
        if woken < 0 and os.getpid() != self.core.pid:
            os._exit(0)  # a child that the user's function forked and let return: it is no worker
        self.core.tick()
        self.freed.idle()
        self.vain_slices += 1
        quiet = self.vain_slices >= QUIET_AFTER and not (self.concurrent is not None and self.concurrent.busy)
        self.slice_ns = QUIET_SLICE_NS if quiet and self.core.nothing_is_due() else IDLE_SLICE_NS
        if self.concurrent is not None:
            self.concurrent.look_after()
        if os.getppid() == 1:  # the zygote is gone, and with it the node
            self.stopping = True
            self.exit_status = 1

    def _take_signals(self) -> None:
        """Have the signals by which tasks are cancelled handled here."""
        signal.signal(signal.SIGINT, self.handler)
        signal.signal(signal.SIGUSR1, self.handler)  # the same, but the children go on
        lib.nbs_interrupted_itself()  # from now on it is known who sends a SIGINT

    def _on_interrupt(self, signum: int, frame: Any) -> None:
        if os.getpid() != self.core.pid:
            raise KeyboardInterrupt  # a child that the task has forked: nothing of ours is in it
        itself = signum == signal.SIGINT and lib.nbs_interrupted_itself() == 1
        again, self.put_off = self.put_off, 0  # what was put off comes from here, whoever sent it first
        if lib.nbs_cancel_wanted(self.seg) != 1:
            if itself and self.interruptible and again in (0, self.task_number):
                if self.core.shield.must_wait(signum, frame):
                    self.put_off = self.task_number
                    return
                self.import_cut = self.import_cut or (self.actor is None and _is_importing(frame))
                raise KeyboardInterrupt  # the user's own signal.raise_signal, os.kill or _thread.interrupt_main
            return
        if self.actor is not None:  # a method is not interrupted: it can ask is_canceled()
            if self.concurrent is None:
                self.core.cancel_later(self.task_number)
            return
        self.cancel_children = signum == signal.SIGINT
        if not self.interruptible or frame.f_code is Executor._task.__code__:
            self.cancel_came_early = True  # not in the user's function yet, or no more
            return
        self._end_children()
        if self.core.shield.must_wait(signum, frame):
            self.put_off = -1
        else:
            self.import_cut = self.import_cut or _is_importing(frame)
            raise KeyboardInterrupt

    def _answer_failed(self, chan: int, number: int, error: BaseException) -> None:
        """Answer a task once more, when what answers it has raised: the user's tracer or signal handler, or for want of memory.

        If it has been answered, its owner takes no notice. What raises again ends the worker.
        """
        self._failed(chan, number, self.task_name, error)
        with contextlib.suppress(Exception):  # its disk may be full
            traceback.print_exception(error, file=sys.__stderr__)

    def _end_children(self) -> None:
        """Cancel what the task that runs has submitted so far, if its cancel says so; not what it will to clean up."""
        if self.cancel_children:
            self.children_cancelled = self.core.cancel_later(self.task_number)

    def _cancel_now(self) -> None:
        """Before the user's function: end the task if it is the one whose cancel came too early to strike."""
        self.cancel_came_early = False
        if lib.nbs_cancel_wanted(self.seg) == 1:
            self._end_children()
            raise KeyboardInterrupt

    def _on_message(self, message: m.Message) -> None:
        if isinstance(message, m.BecomeActorNotice):
            if self.actor_id or self._become is not None:
                return  # said twice: an actor is made once in a process
            self._become = message
            lib.nbs_ring(self.seg, self.core.peer)
        elif isinstance(message, m.StopNotice):
            self.draining = True
            self.stopping = not message.graceful
            lib.nbs_ring(self.seg, self.core.peer)

    def _notice(self, kind: int, chan: int, number: int, flags: int, payload: bytes) -> None:
        if flags & TASK_INDIRECT:
            payload = bytes(self.core.store.view(_U64.unpack(payload)[0]))
        if kind == KIND_FUNCTION and flags & FUNCTION_NAMED:
            if flags & FUNCTION_FORGET:
                for key in self.named.pop(chan, ()):
                    self.functions.pop(key, None)
            function, _ = self.functions[(chan, _U64.unpack_from(payload)[0])]
            self.functions[(chan, number)] = (function, payload[_U64.size :].decode())
            self.named.setdefault(chan, []).append((chan, number))
        elif kind == KIND_FUNCTION:
            digest, length, max_calls = FUNCTION_HEAD.unpack_from(payload, 0)
            start = FUNCTION_HEAD.size + length
            name = payload[FUNCTION_HEAD.size : start].decode()
            self._enter(chan)
            function = self.loaded.get(digest)
            if self.environment.failure is not None:
                function = _Unloadable(self.environment.failure)
            elif function is None:
                try:
                    function = _in_python(_loads(payload[start:]))
                except BaseException as error:
                    # Told with each call: the function cannot be loaded here.
                    function = _Unloadable(error)
                else:
                    if len(self.loaded) >= MAX_FUNCTIONS:
                        self.loaded.pop(next(iter(self.loaded)))
                    self.loaded[digest] = function
            if max_calls == CALLS_UNSAID and self.contexts.get(chan, {}).get("gpu_ids"):
                function = GpuCalls(function, self._leave_gpu)
            elif max_calls not in (CALLS_UNSAID, CALLS_UNLIMITED):
                function = self.limited.setdefault(digest, LimitedCalls(function, max_calls, self._leave))
            self.functions[(chan, number)] = (function, name)
        elif kind == KIND_METHOD:
            method, group, name, *_ = (payload.decode() + "\0\0").split("\0")
            self.methods[(chan, number)] = (method, group, name)
            self._tell_early(chan)
        elif kind == KIND_ASK_WORDS:
            self.capture.send_words()
            self._send(chan, KIND_WORDS_SENT, 0, 0, 0, b"")
        elif kind == KIND_CANCEL:
            self._cancel_call(chan, number, bool(flags))
        elif kind == KIND_ORIGIN:
            origin = payload.decode()
            self.origins[chan] = origin
            if len(self.origin_channels) > 10_000:
                self.origin_channels.clear()
            self.origin_channels[origin] = chan
            if chan == self.channel:
                self._enter(chan)
        elif kind == KIND_CONTEXT:
            context = _loads(payload) if payload else {}
            if number == 0:
                self._forget_owners()
            known = self.contexts.setdefault(chan, {})
            self._tell_early(chan)
            known.update(context)
            known.pop("children", None)
            self.channel = NO_CHANNEL

    def _forget_owners(self) -> None:
        """Forget what was told through channels that are over: of their numbers none comes again."""
        over = {chan for chan in self.contexts if chan >= 0 and not lib.nbs_chan_peer(self.seg, chan)}
        if not over:
            return
        for told in (self.contexts, self.origins, self._peers, self.named):
            for chan in over:
                told.pop(chan, None)
        for named in (self.functions, self.methods):
            for key in [key for key in named if key[0] in over]:
                del named[key]

    def is_cancelled(self) -> bool:
        """Tell whether the owner has cancelled the running task or call."""
        call = current_call.get()
        if call is not None and call.task is not None:
            raise RuntimeError("is_canceled() is not for coroutines: one that is cancelled gets a CancelledError.")
        return call.cancelled if call is not None else lib.nbs_cancel_wanted(self.seg) == 1

    def running(self) -> tuple[int, int, str]:
        """Return owner, number and name of what runs here: in this thread or coroutine, if it is a call."""
        call = current_call.get()
        if call is not None:
            return call.owner, call.number, call.name
        return self.owner, self.task_number, self.task_name

    def function_name(self) -> str:
        """Return the name of the function or method that runs, with its module, whatever the task is called."""
        call = current_call.get()
        name, function = self.task_name, self.function
        if call is not None:
            name, function = call.name, getattr(type(self.actor), call.method, None)
        elif function is None and self.actor is not None:
            function = getattr(type(self.actor), name.rpartition(".")[2], None)
        module = getattr(function, "__module__", None)
        name = getattr(function, "__qualname__", name)
        if module == "__main__":  # as in Ray, the program is named, where it is a file
            path = getattr(getattr(function, "__code__", None), "co_filename", "")
            module = (inspect.getmodulename(path) if os.path.isfile(path) else None) or module
        return f"{module}.{name}" if module else name

    def resources(self) -> dict[str, int]:
        """Return what the running task or actor was given, in units of 1/10,000."""
        if self.actor_id:
            return self.actor_spec["resources"]
        return self.contexts.get(self.channel, {}).get("resources", {})

    def _task(self, chan: int, number: int, flags: int, function_number: int, n_returns: int, payload: Any) -> None:
        if chan != self.channel:
            self._enter(chan)
        core = self.core
        name = ""
        args: Any
        kwargs: Any
        try:
            self.task_number = core.running_number = number
            if flags & TASK_METHOD:
                method, group, name = self.methods[(chan, function_number)]
                title = f"{self.actor_spec.get('class_name', '')}.{method}"
                name = name or title
                if group:
                    raise ValueError(unknown_group(title, group, []))
                function: Callable[..., Any] = self._method(method)
                self.function = function
            else:
                function, name = self.functions[(chan, function_number)]
                self.function = function
                # A task before may have left a handler of its own, by which this one could not be cancelled.
                if _getsignal(_SIGINT) is not self.handler or _getsignal(_SIGUSR1) is not self.handler:
                    self._take_signals()
                    self.cancel_came_early = self.cancel_came_early or lib.nbs_cancel_wanted(self.seg) == 1
            self.task_name = self.capture.name = name
            if flags & NOT_PLAIN:
                args, kwargs = self._arguments(flags, payload)
                if flags & TASK_STREAM:
                    function = self._producer(chan, number, name, n_returns, function)
                    n_returns = 1
                self.interruptible = True
                if self.cancel_came_early:
                    self._cancel_now()
                result = function(*args, **kwargs)
            else:
                try:
                    args = _loads(payload) if payload[0] == PICKLE else serializer.loads(bytes(payload))
                except Exception as error:
                    raise unreadable(error) from error
                self.interruptible = True
                if self.cancel_came_early:
                    self._cancel_now()
                result = function(*args)
            self.interruptible = False
        except BaseException as error:
            self.interruptible = False
            if self.import_cut and not self.leaving:
                self._leave()
            if (self.exit_asked or issubclass(type(error), (SystemExit, AsyncioActorExit))) and self.actor is not None:
                self._exit_actor(None if self.exit_asked else error)
                return
            self._failed(chan, number, name, error)
            return
        args = kwargs = None  # they may hold views of the store
        if self.import_cut and not self.leaving:  # the task has caught the interrupt
            self._leave()
        if self.exit_asked:
            self._exit_actor()
            return
        self._answer(chan, number, self.owner, name, n_returns, result)


class LimitedCalls:
    """A function after ``limit`` calls of which its worker is replaced; counts them.

    Parameters
    ----------
    leave : callable
        Called at the end of the last call, before its result is sent.
    """

    def __init__(self, function: Callable[..., Any], limit: int, leave: Callable[[], None]) -> None:
        self.function = function
        self.__qualname__ = getattr(function, "__qualname__", "")
        self.left = limit
        self.leave = leave

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        try:
            return self.function(*args, **kwargs)
        finally:
            self.left -= 1
            if self.left == 0:
                self.leave()


class GpuCalls:
    """A function that was given GPUs, and whose worker may stay.

    Parameters
    ----------
    end : callable
        Called at the end of each call, before its result is sent.
    """

    def __init__(self, function: Callable[..., Any], end: Callable[[], None]) -> None:
        self.function = function
        self.__qualname__ = getattr(function, "__qualname__", "")
        self.end = end

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        try:
            return self.function(*args, **kwargs)
        finally:
            self.end()


def _in_python(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function in C inside of one of Python's: by its frame an interrupt tells that it runs."""
    if inspect.isfunction(function):
        return function

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return call


def _is_importing(frame: Any) -> bool:
    """Tell whether what runs is called, in the end, by an import of the task."""
    while frame is not None and frame.f_code is not Executor._task.__code__:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False


class _Unloadable:
    """Stands for a function that cannot be loaded in this worker."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        raise self.error.with_traceback(None)
