"""Run tasks, and the methods of an actor, in the main thread or wherever the actor's calls run."""

from __future__ import annotations

import contextlib
import inspect
import itertools
import os
import pickle
import signal
import struct
import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from nbray import ids, ray_alias
from nbray._cstore import ffi, lib
from nbray.core import current, output
from nbray.core.core_worker import CoreWorker
from nbray.core.logging_config import LoggingConfig
from nbray.core.records import (
    FUNCTION_HEAD,
    INLINE_MAX_BYTES,
    KIND_CANCEL,
    KIND_CONTEXT,
    KIND_FUNCTION,
    KIND_ITEM,
    KIND_LEAVING,
    KIND_METHOD,
    KIND_ORIGIN,
    KIND_OUTPUT,
    KIND_RESULT,
    KIND_TASK,
    PART_INLINE,
    PART_STORED,
    RESULT_CANCELLED,
    RESULT_ERROR,
    RESULT_LOST,
    RESULT_MULTI,
    RESULT_STORED,
    TASK_DEPS,
    TASK_INDIRECT,
    TASK_KWARGS,
    TASK_METHOD,
    TASK_RETRIABLE,
    TASK_STORED,
    TASK_STREAM,
    ActorExit,
)
from nbray.core.store_access import LostValueError
from nbray.exceptions import AsyncioActorExit, ObjectStoreFullError, OutOfDiskError
from nbray.options import UNIT
from nbray.serialization import error_value, serializer
from nbray.serialization.serializer import Serialized
from nbray.wire import messages as m
from nbray.worker.calls import (
    Call,
    ConcurrentCore,
    NeverBegan,
    current_call,
    is_async,
    parent_key,
    unknown_group,
    warn_of_blocking,
)
from nbray.worker.concurrent_calls import Groups, for_class
from nbray.worker.environment import WorkerEnvironment
from nbray.worker.output_capture import OutputCapture, TaskStream
from nbray.worker.streams import NotStored, Producer, SharedWindow

SERVED = lib.NBS_READY_SERVED
OWNED = lib.NBS_READY_OWNED
RING = lib.NBS_READY_RING
IDLE_SLICE_NS = 50_000_000
DRAINING_SLICE_NS = 2_000_000  # the same while the last calls run
MAX_EARLY_OUTPUT = 64  # pieces of at most 16 KiB that a constructor printed, kept until somebody reads them
MAX_BURST = 64  # calls started before those that run get their turn
MAX_ERROR_BYTES = 4 * 1024 * 1024  # of an exception that is sent whole
MAX_TITLE = 200  # characters of an actor's own representation, in front of its output
MAX_FUNCTIONS = 10_000  # loaded functions kept
NO_CHANNEL = -1  # the surroundings have to be entered anew
OF_ONE_TASK = (
    "gpu_ids",
    "resources",
    "group",
    "captures",
    "environment",
    "children",
)  # of a context, what children do not inherit
CONSTRUCTOR = -2  # stands for a channel while an actor is made
SELF = -3  # stands for the channel of an actor's calls to itself

_HEAD = struct.Struct("<IIQHHIQ")
_PART = struct.Struct("<BI")
_U64 = struct.Struct("<Q")
_U32 = struct.Struct("<I")
_NOT_PLAIN = ~(TASK_METHOD | TASK_RETRIABLE)  # flags that say more about the arguments than that they are a tuple
PICKLE = b"\x80"  # first byte of a plain pickle
_dumps = pickle.dumps
_loads = pickle.loads


class Executor:
    """The loop of a worker.

    Attributes
    ----------
    task_name, task_number : of the task that runs
    owner : peer that owns it
    actor : the instance, when this worker is an actor
    """

    def __init__(self, core: CoreWorker) -> None:
        self.core = core
        self.seg = core.seg
        self.functions: dict[tuple[int, int], tuple[Any, str]] = {}  # (channel, number) -> function, name
        self.loaded: dict[bytes, Any] = {}  # digest of code -> function
        self.limited: dict[bytes, LimitedCalls] = {}  # those with max_calls
        self.methods: dict[tuple[int, int], tuple[str, str]] = {}  # name, concurrency group
        self.contexts: dict[int, dict[str, Any]] = {}
        self.origins: dict[int, str] = {}
        self._peers: dict[int, int] = {SELF: core.peer}  # channel -> who calls through it
        self.origin_channels: dict[str, int] = {}
        self.channel = NO_CHANNEL  # of the task that runs
        self.task_name = ""
        self.function: Any = None
        self.task_number = 0
        self.owner = 0
        self.actor: Any = None
        self.actor_id = ""
        self.incarnation = 0  # restarts of the actor so far
        self.actor_spec: dict[str, Any] = {}
        self.concurrent: Groups | Any = None  # how an actor's calls run beside each other
        self.is_async = False
        self.draining = False  # end when there is nothing to take
        self.gpu_ids: list[int] = []
        self.environment = WorkerEnvironment()
        self.group = ""  # placement group of the running task or actor
        self.interruptible = False
        self.cancel_came_early = False  # while a task's arguments were read: seen before it begins
        self.cancel_children = True  # of the task that is cancelled
        self.producers: dict[Any, Callable[[], object]] = {}  # generators that wait for their consumer -> wakes them
        self.shared_window: SharedWindow | None = None  # of all generators of an actor that limits them
        self.stopping = False
        self.leaving = False  # max_calls is reached
        self.exit_status = 0
        self._become: m.BecomeActorNotice | None = None
        self._logging: dict[str, Any] | None = None  # the LoggingConfig in force
        self._base_path = list(sys.path)
        self.send_lock = threading.Lock()  # served channels have one sending end, threads are many
        self.capture = OutputCapture(self._send_output, lambda: (self.owner, self.task_number))
        self._head = ffi.new("nbs_msg *")
        self._head_bytes = ffi.buffer(self._head)
        self._payload = ffi.new("void **")
        self._early: list[bytes] = []
        self._own: deque[tuple[int, int, int, int, int, bytes]] = deque()  # an actor's calls to itself
        core.to_self = self._to_self
        core.running_name = lambda: self.running()[2]
        core.output_sink = self._forward_output
        core.on_message = self._on_message
        core.executor = self  # type: ignore[attr-defined]
        output.attach_worker(self.capture)

    # ------------------------------------------------------------------------ loop

    def run(self) -> int:
        """Serve until told to stop; returns the exit status."""
        seg = self.seg
        sys.stdout = TaskStream(self.capture, "stdout", 1)
        sys.stderr = TaskStream(self.capture, "stderr", 2)
        signal.signal(signal.SIGINT, self._on_interrupt)
        signal.signal(signal.SIGUSR1, self._on_interrupt)  # the same, but the children go on
        head, head_bytes, payload = self._head, self._head_bytes, self._payload
        unpack = _HEAD.unpack_from
        buffer = ffi.buffer
        take, wait = lib.nbs_take, lib.nbs_wait
        while not self.stopping:
            if take(seg, head, payload) == 1:
                length, chan, number, kind, flags, a, b = unpack(head_bytes)
                if kind == 1:
                    if self.concurrent is not None:
                        self._start_call(chan, number, flags, a, b, buffer(payload[0], length))
                        continue
                    self._task(chan, number, flags, a, b, buffer(payload[0], length))
                else:
                    self._notice(kind, chan, number, flags, bytes(buffer(payload[0], length)))
                continue
            if self._own:
                self._take_own()
                continue
            slice_ns = IDLE_SLICE_NS
            if self.draining:
                if self.concurrent is None or not self.concurrent.busy:
                    break
                slice_ns = DRAINING_SLICE_NS
            woken = wait(seg, SERVED | OWNED | RING, slice_ns)
            if woken > 0 and woken & SERVED and not woken & RING:
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
        self._send(self.channel, KIND_LEAVING, 0, 0, 0, b"")

    def _wait_for_children(self) -> None:
        """Before leaving: what this worker has submitted comes to its end, as nobody else would see to it."""
        core = self.core
        if core.has_open_tasks():
            core.wait_until(lambda: self.draining or not core.has_open_tasks(), None)

    def _to_self(self, kind: int, number: int, flags: int, function: int, n_returns: int, payload: bytes) -> None:
        """Queue a call of this actor to itself, as if it came through a channel."""
        self._own.append((kind, number, flags, function, n_returns, payload))
        self.core.ring_self()

    def _take_own(self) -> None:
        kind, number, flags, function, n_returns, payload = self._own.popleft()
        if kind != KIND_TASK:
            self._notice(kind, SELF, number, flags, payload)
        elif self.concurrent is not None:
            self._start_call(SELF, number, flags, function, n_returns, payload)
        else:
            self._task(SELF, number, flags, function, n_returns, payload)

    def _attend(self, woken: int) -> None:
        """See to what a wait returned, calls and tasks excepted."""
        if woken > 0:
            if woken & RING:
                for wake in list(self.producers.values()):
                    wake()
                self.core.on_ring(patient=not self.producers)
            if woken & OWNED:
                self.core.drain()
            return
        if woken < 0 and os.getpid() != self.core.pid:
            os._exit(0)  # a child that the user's function forked and let return: it is no worker
        self.core.tick()
        if os.getppid() == 1:  # the zygote is gone, and with it the node
            self.stopping = True
            self.exit_status = 1

    def _serve_loop(self, calls: Any) -> None:
        """Serve an async actor: its event loop runs here and polls for calls."""
        while not self.stopping and not (self.draining and not calls.busy):
            try:
                calls.loop.run_forever()
            except (SystemExit, AsyncioActorExit):  # out of a task that the user's code began
                self._exit_actor()

    def _poll(self, timeout_ns: int) -> bool:
        """Start the calls that are there; when there are none, sleep until there are, or something else is to do."""
        seg = self.seg
        head, head_bytes, payload = self._head, self._head_bytes, self._payload
        take = lib.nbs_take
        began = 0
        while began < MAX_BURST and take(seg, head, payload) == 1:
            length, chan, number, kind, flags, a, b = _HEAD.unpack_from(head_bytes)
            if kind == 1:
                self._start_call(chan, number, flags, a, b, ffi.buffer(payload[0], length))
            else:
                self._notice(kind, chan, number, flags, bytes(ffi.buffer(payload[0], length)))
            began += 1
        while self._own:
            self._take_own()
            began += 1
        if began or timeout_ns == 0:
            woken = lib.nbs_wait(seg, OWNED | RING, 0)
            if woken > 0:
                self._attend(woken)
        else:
            slice_ns = DRAINING_SLICE_NS if self.draining else IDLE_SLICE_NS
            if 0 < timeout_ns < slice_ns:
                slice_ns = timeout_ns
            woken = lib.nbs_wait(seg, SERVED | OWNED | RING, slice_ns)
            if woken <= 0 or woken & (OWNED | RING):
                self._attend(woken)
        calls: Any = self.concurrent  # a LoopCalls
        if self.stopping or (self.draining and not began and not woken > 0 and calls is not None and not calls.busy):
            calls.loop.stop()
        return began > 0 or woken > 0

    def _new_loop(self) -> Any:
        def wait() -> bool:
            return lib.nbs_wait(self.seg, SERVED | OWNED | RING, IDLE_SLICE_NS) > 0

        from nbray.worker.async_calls import channel_loop  # noqa: PLC0415 - asyncio takes 40 ms to import

        return channel_loop(self._poll, wait, self.core.ring_self)

    def _on_interrupt(self, signum: int, frame: Any) -> None:
        if lib.nbs_cancel_wanted(self.seg) != 1:
            return
        if self.actor is not None:  # a method is not interrupted: it can ask is_canceled()
            if self.concurrent is None:
                self.core.cancel_later(self.task_number)
            return
        self.cancel_children = signum == signal.SIGINT
        if not self.interruptible or frame.f_code is Executor._task.__code__:
            self.cancel_came_early = True  # not in the user's function yet, or no more
        elif not self.core.shield.must_wait(signum, frame):
            raise KeyboardInterrupt

    def _cancel_now(self) -> None:
        """Before the user's function: end the task if it is the one whose cancel came too early to strike."""
        self.cancel_came_early = False
        if lib.nbs_cancel_wanted(self.seg) == 1:
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

    # --------------------------------------------------------------------- notices

    def _notice(self, kind: int, chan: int, number: int, flags: int, payload: bytes) -> None:
        if flags & TASK_INDIRECT:
            payload = bytes(self.core.store.view(_U64.unpack(payload)[0]))
        if kind == KIND_FUNCTION:
            digest, length, max_calls = FUNCTION_HEAD.unpack_from(payload, 0)
            start = FUNCTION_HEAD.size + length
            name = payload[FUNCTION_HEAD.size : start].decode()
            self._enter(chan)
            function = self.loaded.get(digest)
            if self.environment.failure is not None:
                function = _Unloadable(self.environment.failure)
            elif function is None:
                try:
                    function = _loads(payload[start:])
                except BaseException as error:
                    # Told with each call: the function cannot be loaded here.
                    function = _Unloadable(error)
                else:
                    if len(self.loaded) >= MAX_FUNCTIONS:
                        self.loaded.pop(next(iter(self.loaded)))
                    self.loaded[digest] = function
            if max_calls:
                function = self.limited.setdefault(digest, LimitedCalls(function, max_calls, self._leave))
            self.functions[(chan, number)] = (function, name)
        elif kind == KIND_METHOD:
            name, _, group = payload.decode().partition("\0")
            self.methods[(chan, number)] = (name, group)
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
            known = self.contexts.setdefault(chan, {})
            if number == 0:  # a new owner on this channel
                known.clear()
                self.origins.pop(chan, None)
                self._peers.pop(chan, None)
                self.functions = {key: value for key, value in self.functions.items() if key[0] != chan}
                self.methods = {key: value for key, value in self.methods.items() if key[0] != chan}
            while self._early:
                self._send_to_owner(chan, 0, self._early.pop(0))
            known.update(context)
            known.pop("children", None)
            self.channel = NO_CHANNEL

    def _enter(self, chan: int) -> None:
        """Take over the surroundings of the owner behind ``chan``."""
        self.channel = chan
        context = self.contexts.get(chan, {})
        core = self.core
        if chan >= 0:
            self.owner = lib.nbs_chan_peer(self.seg, chan)
        else:
            self.owner = core.peer if chan == SELF else self.actor_spec["owner"]
        core.running_slot = self.owner & 0xFFFFFFFF
        self.capture.origin = core.origin = self.origins.get(chan, "")
        if not context:
            return
        core.depth = context.get("depth", 1)
        if self.actor_id and chan != CONSTRUCTOR:
            if context.get("as_ray"):
                ray_alias.follow(True)
            return  # an actor keeps its job's surroundings, whoever calls it
        self.take_over(context)

    def take_over(self, context: dict[str, Any]) -> None:
        """Make an owner's surroundings those of this process."""
        core = self.core
        core.job_id = context.get("job_id", core.job_id)
        core.namespace = context.get("namespace", "")
        core.default_lifetime = context.get("default_lifetime", "non_detached")
        if "logging" in context and context["logging"] != self._logging:
            self._logging = context["logging"]
            LoggingConfig.from_dict(self._logging).apply()
        children = context.get("children")
        if children is None:
            children = context["children"] = context_for_children(context)
        core.context = children
        ray_alias.follow(context.get("as_ray", False))
        path = context.get("sys_path")
        if path is not None:
            path = self.environment.folders + [p for p in path if p not in self.environment.folders]
            wanted = path + [p for p in self._base_path if p not in path]
            if sys.path != wanted:
                sys.path[:] = wanted
        cpus = context.get("resources", {}).get("CPU", 0)
        if not context.get("threads_set") and not self.environment.fixes(
            "OMP_NUM_THREADS"
        ):  # the driver says nothing: numerical libraries keep to the task's CPUs
            os.environ["OMP_NUM_THREADS"] = str(max(1, cpus // UNIT))
        cwd = self.environment.working_dir or context.get("cwd")
        if cwd:
            try:
                if os.getcwd() != cwd:
                    os.chdir(cwd)
            except OSError:
                pass  # the driver's directory is not there (any more)
        for name, value in context.get("environ", {}).items():
            os.environ[name] = value
        environment = context.get("environment")
        if environment is not None and self.environment.present is None:
            self.core.environments.own = environment
            self.environment.enter(environment)
            self.take_over(context)  # with its folders, its working directory
            return
        self.group = context.get("group", "")
        current.capture(self.group if context.get("captures") else "")
        gpu_ids = context.get("gpu_ids")
        if gpu_ids is not None and gpu_ids != self.gpu_ids and self.actor is None:  # an actor keeps its own
            self._use_gpus(gpu_ids)

    def is_cancelled(self) -> bool:
        """Tell whether the owner has cancelled the running task or call."""
        call = current_call.get()
        if call is not None and call.task is not None:
            raise RuntimeError("is_canceled() is not for coroutines: one that is cancelled gets a CancelledError.")
        return call.cancelled if call is not None else lib.nbs_cancel_wanted(self.seg) == 1

    def running(self) -> tuple[int, int, str, Any]:
        """Return owner, number, name and function of what runs here: in this thread or coroutine, if it is a call."""
        call = current_call.get()
        if call is not None:
            return call.owner, call.number, call.name, call.function
        return self.owner, self.task_number, self.task_name, self.function

    def function_name(self) -> str:
        """Return the name of the function or method that runs, whatever the task is called."""
        _, _, name, function = self.running()
        return getattr(function, "__qualname__", name)

    def resources(self) -> dict[str, int]:
        """Return what the running task or actor was given, in units of 1/10,000."""
        if self.actor_id:
            return self.actor_spec["resources"]
        return self.contexts.get(self.channel, {}).get("resources", {})

    def _use_gpus(self, gpu_ids: list[int]) -> None:
        self.gpu_ids = gpu_ids
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, gpu_ids))

    # ----------------------------------------------------------------------- tasks

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
                method, group = self.methods[(chan, function_number)]
                name = f"{self.actor_spec.get('class_name', '')}.{method}"
                if group:
                    raise ValueError(unknown_group(name, group, []))
                function: Callable[..., Any] = self._method(method)
                self.function = function
            else:
                function, name = self.functions[(chan, function_number)]
                self.function = function
            self.task_name = self.capture.name = name
            if flags & _NOT_PLAIN:
                args, kwargs = self._arguments(flags, payload)
                if flags & TASK_STREAM:
                    function = Producer(self, chan, number, self.owner, name, n_returns, function)
                    n_returns = 1
                self.interruptible = True
                if self.cancel_came_early:
                    self._cancel_now()
                result = function(*args, **kwargs)
            else:
                args = _loads(payload) if payload[0] == PICKLE else serializer.loads(bytes(payload))
                self.interruptible = True
                if self.cancel_came_early:
                    self._cancel_now()
                result = function(*args)
            self.interruptible = False
        except KeyboardInterrupt as error:
            self.interruptible = False
            self._failed(chan, number, name, error)
            return
        except ActorExit:
            self.interruptible = False
            self._exit_actor()
            return
        except BaseException as error:
            self.interruptible = False
            if isinstance(error, (SystemExit, AsyncioActorExit)) and self.actor is not None:
                self._exit_actor()
                return
            self._failed(chan, number, name, error)
            return
        args = kwargs = None  # they may hold views of the store
        self._answer(chan, number, self.owner, name, n_returns, result)

    def _answer(
        self, chan: int, number: int, owner: int, name: str, n_returns: int, result: Any, ran_ns: int = 0
    ) -> None:
        """Reply with what a call returned."""
        if self.capture.pending:
            self.capture.flush()
        try:
            if n_returns == 1:
                if type(result) in serializer.SIMPLE_TYPES:
                    data: Any = _dumps(result, 5)
                else:
                    data = serializer.dumps(result, f"the return value of {name}()")
                if type(data) is bytes and len(data) <= INLINE_MAX_BYTES:
                    self._reply(chan, number, 0, data, ran_ns)
                else:
                    self._reply(chan, number, RESULT_STORED, self._store(owner, number, 0, data), ran_ns)
            else:
                parts = self._parts(owner, name, number, n_returns, result)
                self._reply(chan, number, RESULT_MULTI, parts, ran_ns)
        except (ObjectStoreFullError, OutOfDiskError) as error:  # the runtime's failure, not the function's
            self._reply(chan, number, RESULT_ERROR, error_value.from_system_error(error).blob)
        except BaseException as error:
            if not inspect.isgenerator(result) or n_returns != 1:
                self._failed(chan, number, name, error)
                return
            try:  # one value is asked for: the first
                value = self._values(name, 1, result)[0]
            except BaseException as raised:
                self._failed(chan, number, name, raised)
            else:
                self._answer(chan, number, owner, name, 1, value, ran_ns)

    def _start_call(self, chan: int, number: int, flags: int, method: int, n_returns: int, payload: Any) -> None:
        """Start a call that runs beside others."""
        assert self.concurrent is not None
        self.channel = chan
        owner = self._peers.get(chan)
        if owner is None:
            owner = self._peers[chan] = lib.nbs_chan_peer(self.seg, chan)
        name, group = self.methods[(chan, method)]
        title = f"{self.actor_spec['class_name']}.{name}"
        call = Call(chan, number, owner, title, n_returns, self._terminate, (), {}, self.origins.get(chan, ""))
        try:
            if name == "__ray_terminate__":
                self._exit_actor()
                return
            call.function = self._method(name)
            if flags & TASK_STREAM:
                producer = Producer(self, chan, number, owner, title, n_returns, call.function, call)
                call.function = producer.on_loop if self.is_async else producer
                call.n_returns = 1
            if flags & _NOT_PLAIN:
                call.args, call.kwargs = self._arguments(flags, payload)
            else:
                call.args = _loads(payload) if payload[0] == PICKLE else serializer.loads(bytes(payload))
            self.concurrent.start(call, group)
        except BaseException as error:
            self._failed(chan, number, title, error)

    def _call_ended(self, call: Call, result: Any, ran_ns: int) -> None:
        if call.cancelled:
            self._reply(call.chan, call.number, RESULT_CANCELLED, b"")
        else:
            self._answer(call.chan, call.number, call.owner, call.name, call.n_returns, result, ran_ns or 1)

    def _call_failed(self, call: Call, error: BaseException) -> None:
        if isinstance(error, (SystemExit, AsyncioActorExit)):
            self._exit_actor()
        elif isinstance(error, NeverBegan) or type(error).__name__ == "CancelledError":
            self._reply(call.chan, call.number, RESULT_CANCELLED, b"")
        else:
            self._failed(call.chan, call.number, call.name, error)

    def _cancel_call(self, chan: int, number: int, recursive: bool) -> None:
        """The caller cancels a call that has been taken; nothing when it is over."""
        if self.concurrent is not None and self.concurrent.cancel(chan, number) and recursive:
            self.core.cancel_later(parent_key(number, self._peers.get(chan, 0)))

    def _method(self, name: str) -> Callable[..., Any]:
        if name == "__ray_ready__":
            return lambda: True
        if name == "__ray_terminate__":
            return self._terminate
        if name == "__ray_call__":
            return lambda function, *args, **kwargs: function(self.actor, *args, **kwargs)
        return getattr(self.actor, name)

    def _terminate(self) -> None:
        raise ActorExit(0)

    def _arguments(self, flags: int, payload: Any) -> tuple[Any, dict[str, Any]]:
        """Rebuild the arguments of a call."""
        try:
            return self._read_arguments(flags, payload)
        except LostValueError as error:
            raise _ArgumentLost(error.obj) from error

    def _read_arguments(self, flags: int, payload: Any) -> tuple[Any, dict[str, Any]]:
        core = self.core
        view = memoryview(payload)
        if flags & TASK_INDIRECT:
            view = core.store.view(_U64.unpack(view)[0], True)
        values = []
        if flags & TASK_DEPS:
            (n,) = _U32.unpack_from(view, 0)
            at = 4
            for _ in range(n):
                kind, length = _PART.unpack_from(view, at)
                at += 5
                part = view[at : at + length]
                at += length
                if kind == PART_INLINE:
                    values.append(_value(part))
                else:
                    values.append(serializer.from_store(core.store.view(_U64.unpack(part)[0], True))[0])
            view = view[at:]
        if flags & TASK_STORED:
            body = serializer.from_store(core.store.view(_U64.unpack(view)[0], True))[0]
        else:
            body = _value(view)
        if flags & TASK_DEPS:
            args, kwargs, positions = body
            for position, value in zip(positions, values, strict=True):
                if isinstance(position, int):
                    args[position] = value
                else:
                    kwargs[position] = value
            return args, kwargs
        if flags & TASK_KWARGS:
            return body
        return body, {}

    def _store(self, owner: int, number: int, index: int, data: bytes | Serialized) -> bytes:
        """Put a result into the store, held for its owner; returns its handle."""
        core = self.core
        value = serializer.plain(data) if type(data) is bytes else data
        object_id = ids.object_id(owner, number, core.cluster_id, index)
        label = f"result of {self.task_name}"[:80].encode("utf-8", "replace")
        hold = core.store.write(object_id, value, 0, owner, label)  # type: ignore[arg-type]
        return _U64.pack(hold.obj)

    def _parts(self, owner: int, name: str, number: int, n_returns: int, result: Any) -> bytes:
        """Return the payload of a call with other than one return value."""
        if n_returns == 0:
            return b""
        parts = []
        for index, value in enumerate(self._values(name, n_returns, result)):
            data = serializer.dumps(value, f"return value {index} of {name}()")
            if type(data) is bytes and len(data) <= INLINE_MAX_BYTES // 8:
                parts.append(_PART.pack(PART_INLINE, len(data)))
                parts.append(data)
            else:
                parts.append(_PART.pack(PART_STORED, 8))
                parts.append(self._store(owner, number, index, data))
        return b"".join(parts)

    @staticmethod
    def _values(name: str, n_returns: int, result: Any) -> list[Any]:
        """Return the values that a call returned as one sequence."""
        if inspect.isgenerator(result):
            result = itertools.islice(result, n_returns)  # what it would yield beyond that is not asked for
        try:
            values = list(result)
        except TypeError:
            raise ValueError(
                f"{name}() has num_returns={n_returns}, but it returned one value of type {type(result).__name__} "
                "that is not a sequence."
            ) from None
        if len(values) != n_returns:
            raise ValueError(f"{name}() has num_returns={n_returns}, but it returned {len(values)} values.")
        return values

    def _failed(self, chan: int, number: int, name: str, error: BaseException) -> None:
        """Reply that the task raised, or was cancelled."""
        if self.capture.pending:
            self.capture.flush()
        if isinstance(error, KeyboardInterrupt) and lib.nbs_cancel_wanted(self.seg) == 1:
            if self.cancel_children:
                self.core.cancel_children(number)
            self._reply(chan, number, RESULT_CANCELLED, b"")
            return
        if isinstance(error, _ArgumentLost):
            self._reply(chan, number, RESULT_ERROR | RESULT_LOST, _U64.pack(error.obj))
            return
        if isinstance(error, NotStored):
            self._reply(chan, number, RESULT_ERROR, error_value.from_system_error(error.error).blob)
            return
        blob = error_value.from_exception(name or "task", error, 1, self.core.node_id[:8])
        if len(blob) > INLINE_MAX_BYTES:
            if len(blob) <= MAX_ERROR_BYTES:
                with contextlib.suppress(ObjectStoreFullError, OutOfDiskError):
                    owner = self.core.peer if chan == SELF else lib.nbs_chan_peer(self.seg, chan)
                    handle = self._store(owner, number, 0, blob)
                    self._reply(chan, number, RESULT_ERROR | RESULT_STORED, handle)
                    return
            blob = error_value.shorten(blob, INLINE_MAX_BYTES)
        self._reply(chan, number, RESULT_ERROR, blob)

    def _reply(self, chan: int, number: int, flags: int, payload: bytes, ran_ns: int = 0) -> None:
        seg = self.seg
        if chan == SELF:
            self.core.result_from_self(self.actor_id, number, flags, payload)
            return
        while True:
            with self.send_lock:
                status = lib.nbs_send(
                    seg, chan, KIND_RESULT, flags, number, 0, ran_ns, payload, len(payload), ffi.NULL, 0, ffi.NULL
                )
            if status != lib.NBS_EAGAIN:
                return  # sent, or the owner is gone and nobody wants it
            # The owner reads slowly: wait for room.
            lib.nbs_wait(seg, 0, 1_000_000)

    def send_item(self, chan: int, number: int, index: int, flags: int, payload: bytes) -> bool:
        """Send what a generator yielded; False when its owner is gone."""
        if chan == SELF:
            self.core.item_from_self(number, flags, index, payload)
            return True
        return self._send(chan, KIND_ITEM, flags, number, index, payload)

    def _send(self, chan: int, kind: int, flags: int, number: int, a: int, payload: bytes) -> bool:
        seg = self.seg
        while True:
            with self.send_lock:
                status = lib.nbs_send(
                    seg, chan, kind, flags, number, a, 0, payload, len(payload), ffi.NULL, 0, ffi.NULL
                )
            if status != lib.NBS_EAGAIN:
                return status == lib.NBS_OK
            lib.nbs_wait(seg, 0, 1_000_000)  # the owner reads slowly: wait for room

    # ---------------------------------------------------------------------- output

    def _send_output(self, payload: bytes, origin: str) -> bool:
        chan = self.channel
        if chan < 0:
            chan = self.origin_channels.get(origin, -1)
            if chan < 0:  # an actor's constructor: its caller opens the first channel when it is done
                if len(self._early) < MAX_EARLY_OUTPUT:
                    self._early.append(payload)
                return True
        flags = 0
        if len(payload) > INLINE_MAX_BYTES:
            hold = self.core.store.stash(payload)
            self.core.kept.append(hold)
            del self.core.kept[:-64]  # the owner reads it long before 64 more came
            payload, flags = _U64.pack(hold.obj), TASK_INDIRECT
        return self._send_to_owner(chan, flags, payload) != lib.NBS_EAGAIN

    def _send_to_owner(self, chan: int, flags: int, payload: bytes) -> int:
        with self.send_lock:
            return lib.nbs_send(
                self.seg, chan, KIND_OUTPUT, flags, 0, 0, 0, payload, len(payload), ffi.NULL, 0, ffi.NULL
            )

    def _forward_output(self, flags: int, payload: bytes) -> None:
        """A nested task's output goes on to whoever owns the task that submitted it."""
        if self.capture.pending:
            self.capture.flush()  # what this task printed before stands above
        origin = _loads(payload)[0]
        chan = self.origin_channels.get(origin, self.channel)
        self._send_to_owner(chan, 0, payload)

    # ---------------------------------------------------------------------- actors

    def _become_actor(self) -> None:
        """Make the actor that the daemon asked for."""
        notice, self._become = self._become, None
        assert notice is not None
        core = self.core
        error_blob, text = b"", ""
        try:
            hold = core.store.lookup(notice.spec_id)
            if hold is None:
                raise RuntimeError("the actor's specification is not in the store any more")
            self._spec_hold = hold
            spec = core.store.read(hold)
            self.actor_id = notice.actor_id
            self.actor_spec = spec
            options = spec["options"]
            self.contexts[CONSTRUCTOR] = spec["context"]
            self.origins[CONSTRUCTOR] = spec["origin"]
            self._enter(CONSTRUCTOR)
            if self.environment.failure is not None:
                raise self.environment.failure
            self.incarnation = notice.incarnation
            if notice.gpu_ids or "GPU" in spec["resources"]:
                self._use_gpus(notice.gpu_ids)
            cls = _loads(spec["code"])
            args, kwargs = _loads(spec["arguments"]) if spec["arguments"] else spec["values"]
            args = [core.get_one(a, None) if type(a).__name__ == "ObjectRef" else a for a in args]
            kwargs = {k: core.get_one(a, None) if type(a).__name__ == "ObjectRef" else a for k, a in kwargs.items()}
            self.task_name = self.capture.name = f"{spec['class_name']}.__init__"
            self.capture.actor = spec["class_name"]
            self.actor = cls.__new__(cls)
            concurrent: Any = for_class(
                cls, options.get("max_concurrency"), options.get("concurrency_groups") or {}, self._call_ended,
                self._call_failed, self._new_loop,
            )  # fmt: skip
            if concurrent is not None:
                core.__class__ = ConcurrentCore
                self.capture.call_now = current_call.get
            self.concurrent = concurrent
            window = options.get("_actor_generator_backpressure_num_objects", -1)
            if window > 0:
                self.shared_window = SharedWindow(window)
            self.is_async = is_async(cls)
            if self.is_async:
                core.warn_of_blocking = warn_of_blocking
            if concurrent is not None and concurrent.in_main_thread:  # constructor and methods share the loop
                concurrent.construct(lambda: self.actor.__init__(*args, **kwargs))
            else:
                self.actor.__init__(*args, **kwargs)
            if cls.__repr__ is not object.__repr__:
                self.capture.actor = repr(self.actor)[:MAX_TITLE]
        except BaseException as error:
            error_blob = error_value.from_exception(
                f"{self.actor_spec.get('class_name', 'actor')}.__init__", error, 1, core.node_id[:8]
            )
            if len(error_blob) > INLINE_MAX_BYTES:
                error_blob = error_value.shorten(error_blob, INLINE_MAX_BYTES)
            text = f"{type(error).__name__}: {error}"
        self.capture.flush()
        core.control.send(
            m.ActorReadyNotice(
                actor_id=notice.actor_id, incarnation=notice.incarnation, error=error_blob, error_text=text[:1000]
            )
        )

    def _exit_actor(self) -> None:
        """End on purpose: at once, or when the calls that run beside each other are over."""
        self.core.control.send(
            m.ActorExitNotice(actor_id=self.actor_id, cause="it ended itself (exit_actor or sys.exit).")
        )
        if self.concurrent is None:
            self.stopping = True
        else:
            self.draining = True
            lib.nbs_ring(self.seg, self.core.peer)

    def exit_here(self) -> None:
        """Carry out exit_actor, called in this process: raises out of a call, or ends it from elsewhere."""
        if self.concurrent is None:
            in_a_call = threading.current_thread() is threading.main_thread()
        else:
            in_a_call = current_call.get() is not None
        if in_a_call:
            raise AsyncioActorExit if self.is_async else ActorExit(0)
        # A thread that the user's code began: nobody would catch an exception of it.
        self._exit_actor()
        self.draining, self.stopping = True, False
        lib.nbs_ring(self.seg, self.core.peer)


def _value(view: memoryview) -> Any:
    """Rebuild a value from bytes in a ring, which will be overwritten: nothing may point into it."""
    return _loads(view) if view[0] == serializer.PICKLE_OPCODE else serializer.loads(bytes(view))


class _ArgumentLost(Exception):
    """The value of an argument was on disk and cannot be read any more; its owner is told."""

    def __init__(self, obj: int) -> None:
        super().__init__(obj)
        self.obj = obj


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

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return self.function(*args, **kwargs)
        finally:
            self.left -= 1
            if self.left == 0:
                self.leave()


class _Unloadable:
    """Stands for a function that cannot be loaded in this worker."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise self.error


def context_for_children(context: dict[str, Any]) -> bytes:
    """Return the context that this worker, as an owner, gives to workers it leases."""
    inherited = {k: v for k, v in context.items() if k not in OF_ONE_TASK}
    inherited["depth"] = context.get("depth", 1) + 1
    return pickle.dumps(inherited)
