"""The actor that a worker is: how it comes to life, takes calls, and ends."""

from __future__ import annotations

import inspect
import pickle
import sys
import threading
from collections.abc import Callable
from typing import Any

from nbray import ids
from nbray._cstore import ffi, lib
from nbray.core.process_name import set_name
from nbray.core.records import (
    INLINE_MAX_BYTES,
    KIND_TASK,
    RESULT_CANCELLED,
    TASK_STREAM,
    ActorExit,
)
from nbray.exceptions import AsyncioActorExit
from nbray.serialization import error_value, serializer
from nbray.serialization.unreadable import unreadable
from nbray.wire import messages as m
from nbray.worker.calls import (
    Call,
    NeverBegan,
    current_call,
    is_async,
    parent_key,
    warn_of_blocking,
)
from nbray.worker.concurrent_calls import for_class
from nbray.worker.concurrent_core import ConcurrentCore
from nbray.worker.executor_state import (
    CONSTRUCTOR,
    DRAINING_SLICE_NS,
    HEAD,
    IDLE_SLICE_NS,
    NEWS,
    NO_CHANNEL,
    NOT_PLAIN,
    OWNED,
    PICKLE,
    RING,
    SELF,
    SERVED,
    ExecutorState,
)
from nbray.worker.streams import Producer, SharedWindow

_loads = pickle.loads
MAX_BURST = 64  # calls started before those that run get their turn
MAX_TITLE = 200  # characters of an actor's own representation, in front of its output


class ActorHost(ExecutorState):
    """The actor that this worker is, if it is one."""

    def _become_actor(self) -> None:
        """Make the actor that the daemon asked for."""
        notice, self._become = self._become, None
        assert notice is not None
        core = self.core
        repr_name = ""
        try:
            hold = core.store.lookup(notice.spec_id)
            if hold is None:
                raise RuntimeError("the actor's specification is not in the store any more")
            self._spec_hold = hold
            spec = core.store.read(hold)
            self.actor_id = notice.actor_id
            self.actor_spec = spec
            options = spec["options"]
            if (
                self._hearer >= 0 and lib.nbs_chan_peer(self.seg, self._hearer) != spec["owner"]
            ):  # of tasks that ran here before
                self._hearer = NO_CHANNEL
            self.contexts[CONSTRUCTOR] = spec["context"]
            self.origins[CONSTRUCTOR] = spec["origin"]
            self._enter(CONSTRUCTOR)
            _, self.task_number = ids.split_actor_id(bytes.fromhex(notice.actor_id))
            core.running_number = self.task_number
            if self.environment.failure is not None:
                raise self.environment.failure.with_traceback(None)
            self.incarnation = notice.incarnation
            set_name(f"nbray::{spec['class_name']}")
            if notice.gpu_ids or "GPU" in spec["resources"] or self.gpu_ids:  # those of a task that ran here before
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
                core.open_calls = concurrent.open_calls  # type: ignore[attr-defined]
                self.capture.call_now = current_call.get
                self.capture.any_call = lambda: next(
                    filter(lambda call: call.began, reversed(concurrent.open_calls())), None
                )
            self.concurrent = concurrent
            window = options.get("_actor_generator_backpressure_num_objects", -1)
            if window > 0:
                self.shared_window = SharedWindow(window)
            self.is_async = is_async(cls)
            if self.is_async:
                core.warn_of_blocking = warn_of_blocking
            if self.is_async:  # constructor and methods share the loop
                made = concurrent.construct(lambda: self.actor.__init__(*args, **kwargs))
            else:
                made = self.actor.__init__(*args, **kwargs)
            if made is not None:  # as Python has it
                raise TypeError(f"__init__() should return None, not {type(made).__name__!r}")
            if cls.__repr__ is not object.__repr__:
                repr_name = repr(self.actor)[:MAX_TITLE]
                self.capture.send_words()  # what the constructor printed is under the name of the class
                self.capture.actor = repr_name
        except (SystemExit, AsyncioActorExit) as error:
            self.actor = None  # it never came to life: nothing is owed to it
            if not self.exiting:
                self._exit_actor(error)
            self.stopping = True
            return
        except BaseException as error:
            self.actor = None
            self._made(error, notice)
        else:
            self._made(None, notice, repr_name)

    def _made(self, error: BaseException | None, notice: m.BecomeActorNotice, repr_name: str = "") -> None:
        """Tell the daemon that the actor is there, or why it is not."""
        blob, text = b"", ""
        if error is not None:
            name = f"{self.actor_spec.get('class_name', 'actor')}.__init__"
            blob = error_value.from_exception(name, error, 1, self.core.node_id[:8])
            if len(blob) > INLINE_MAX_BYTES:
                blob = error_value.shorten(blob, INLINE_MAX_BYTES)
            text = error_value.headline(blob)
        self.capture.send_words()
        self.core.control.send(
            m.ActorReadyNotice(
                actor_id=notice.actor_id,
                incarnation=notice.incarnation,
                error=blob,
                error_text=text[:1000],
                repr_name=repr_name,
            )
        )

    def _start_call(self, chan: int, number: int, flags: int, method: int, n_returns: int, payload: Any) -> None:
        """Start a call that runs beside others."""
        assert self.concurrent is not None
        self.channel = chan
        owner = self._peers.get(chan)
        if owner is None:
            owner = self._peers[chan] = lib.nbs_chan_peer(self.seg, chan)
        name, group, title = self.methods[(chan, method)]
        title = title or f"{self.actor_spec['class_name']}.{name}"
        call = Call(chan, number, owner, title, n_returns, self._terminate, (), {}, self.origins.get(chan, ""), name)
        try:
            if name == "__ray_terminate__":
                self._exit_actor()
                return
            call.function = self._method(name)
            if flags & TASK_STREAM:
                producer = Producer(self, chan, number, owner, title, n_returns, call.function, call)
                call.function = producer.on_loop if self.is_async else producer
                call.n_returns = 1
            if flags & NOT_PLAIN:
                call.args, call.kwargs = self._arguments(flags, payload)
            else:
                try:
                    call.args = _loads(payload) if payload[0] == PICKLE else serializer.loads(bytes(payload))
                except Exception as error:
                    raise unreadable(error) from error
            self.concurrent.start(call, group)
        except BaseException as error:
            self._failed(chan, number, title, error)

    def _call_ended(self, call: Call, result: Any, ran_ns: int) -> None:
        if call.exits:
            self._exit_actor()
        elif call.cancelled:
            self._reply(call.chan, call.number, RESULT_CANCELLED, b"")
        else:
            self._answer(call.chan, call.number, call.owner, call.name, call.n_returns, result, ran_ns or 1)

    def _call_failed(self, call: Call, error: BaseException) -> None:
        # By type: an instance may have an odd idea of its class.
        if call.exits or issubclass(type(error), (SystemExit, AsyncioActorExit)):
            self._exit_actor(None if call.exits else error)
        elif issubclass(type(error), NeverBegan) or type(error).__name__ == "CancelledError":
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
        if name in getattr(self.actor, "__dict__", ()):  # an attribute of the same name is no obstacle, as in Ray
            cls = type(self.actor)
            return inspect.getattr_static(cls, name).__get__(self.actor, cls)
        return getattr(self.actor, name)

    def _terminate(self) -> None:
        raise ActorExit(0)

    def _to_self(self, kind: int, number: int, flags: int, function: int, n_returns: int, payload: bytes) -> None:
        """Queue a call of this actor to itself, as if it came through a channel."""
        self._own.append((kind, number, flags, function, n_returns, payload))
        lib.nbs_nudge(self.seg)

    def _take_own(self) -> None:
        kind, number, flags, function, n_returns, payload = self._own.popleft()
        if kind != KIND_TASK:
            self._notice(kind, SELF, number, flags, payload)
        elif self.concurrent is not None:
            self._start_call(SELF, number, flags, function, n_returns, payload)
        else:
            self._task(SELF, number, flags, function, n_returns, payload)

    def _serve_loop(self, calls: Any) -> None:
        """Serve an async actor: its event loop runs here and polls for calls."""
        while not self.stopping and not (self.draining and not calls.busy):
            try:
                calls.loop.run_forever()
            except (SystemExit, AsyncioActorExit) as error:  # out of a task that the user's code began
                self._exit_actor(error)

    def _poll(self, timeout_ns: int) -> bool:
        """Start the calls that are there; when there are none, sleep until there are, or something else is to do."""
        seg = self.seg
        head, head_bytes, payload = self._head, self._head_bytes, self._payload
        take, nudges = lib.nbs_take, self.core.waiters.nudges
        began = 0
        while not self.exiting and began < MAX_BURST and take(seg, head, payload) == 1:
            length, chan, number, kind, flags, a, b = HEAD.unpack_from(head_bytes)
            if kind == 1:
                try:
                    self._start_call(chan, number, flags, a, b, ffi.buffer(payload[0], length))
                except BaseException as error:
                    self._answer_failed(chan, number, error)
            else:
                self._notice(kind, chan, number, flags, bytes(ffi.buffer(payload[0], length)))
            began += 1
        while self._own:
            self._take_own()
            began += 1
        if began or timeout_ns == 0:
            woken = lib.nbs_wait_since(seg, OWNED | RING, 0, self._nudged)
            self._nudged = nudges[0]
            if self._news:  # the listener was told
                self._news = False
                woken = max(woken, 0) | RING | NEWS
            if woken > 0:
                self._attend(woken)
        else:
            slice_ns = DRAINING_SLICE_NS if self.draining else self.slice_ns
            if 0 < timeout_ns < slice_ns:
                slice_ns = timeout_ns
            woken = lib.nbs_wait_since(
                seg, OWNED | RING if self.exiting else SERVED | OWNED | RING, slice_ns, self._nudged
            )
            self._nudged = nudges[0]  # before the loop looks at what other threads have given it
            if woken <= 0 or woken & (OWNED | RING):
                self._attend(woken)
            else:
                self.vain_slices, self.slice_ns = 0, IDLE_SLICE_NS
        calls: Any = self.concurrent  # a LoopCalls
        if self.stopping or (self.draining and not began and not woken > 0 and calls is not None and not calls.busy):
            calls.loop.stop()
        return began > 0 or woken > 0

    def _new_loop(self) -> Any:
        def wait() -> bool:
            woken = lib.nbs_wait(self.seg, SERVED | OWNED | RING, IDLE_SLICE_NS)
            if woken > 0 and woken & NEWS:
                self._news = True
            return woken > 0

        from nbray.worker.async_calls import channel_loop  # noqa: PLC0415 - asyncio takes 40 ms to import

        return channel_loop(self._poll, wait, lambda: lib.nbs_nudge(self.seg))

    def _exit_actor(self, error: BaseException | None = None) -> None:
        """End for good: at once, or when the calls that run beside each other are over.

        A SystemExit with another status than 0 is a death like any other, after which the actor may be made again.
        """
        status = 0 if isinstance(error, ActorExit) else getattr(error, "code", None)
        if status is None or status == 0:
            self.core.control.send(
                m.ActorExitNotice(actor_id=self.actor_id, cause="it ended itself (exit_actor or sys.exit).")
            )
        else:
            self.exit_status = status & 0xFF if isinstance(status, int) else 1
            if not isinstance(status, int):
                print(status, file=sys.stderr)
        if self.concurrent is None or self.exit_status:
            self.stopping = True
        else:
            self.draining = self.exiting = True
        lib.nbs_ring(self.seg, self.core.peer)

    def exit_here(self) -> None:
        """Carry out exit_actor, called in this process. It raises, and the actor ends whoever catches that."""
        if self.concurrent is None:
            if threading.current_thread() is threading.main_thread():
                self.exit_asked = True
                raise ActorExit(0)
        else:
            call = current_call.get()
            if call is not None and (not self.is_async or _is_current(call)):
                call.exits = True
                raise AsyncioActorExit if self.is_async else ActorExit(0)
        # A thread or a task that the user's code began, or the constructor: nobody here would catch the exception.
        self._exit_actor()
        self.draining, self.stopping = True, False
        raise AsyncioActorExit if self.is_async and _in_a_loop() else ActorExit(0)


def _in_a_loop() -> bool:
    import asyncio  # noqa: PLC0415 - loaded when needed

    return asyncio._get_running_loop() is not None


def _is_current(call: Call) -> bool:
    """Tell whether it is the call itself that runs, and no task or thread that it began."""
    import asyncio  # noqa: PLC0415 - loaded when needed

    return _in_a_loop() and asyncio.current_task() is call.task
