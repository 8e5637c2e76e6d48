"""What a worker's executor knows; its parts share it."""

from __future__ import annotations

import os
import struct
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from nbray._cstore import ffi, lib
from nbray.core import visible_gpus
from nbray.core.core_worker import CoreWorker
from nbray.core.records import (
    TASK_METHOD,
    TASK_RETRIABLE,
)
from nbray.wire import messages as m
from nbray.worker.concurrent_calls import Groups
from nbray.worker.environment import WorkerEnvironment
from nbray.worker.freed_memory import QUIET_SLICES, FreedMemory
from nbray.worker.output_capture import OutputCapture
from nbray.worker.streams import SharedWindow

SERVED = lib.NBS_READY_SERVED
OWNED = lib.NBS_READY_OWNED
RING = lib.NBS_READY_RING
NEWS = lib.NBS_READY_NEWS
IDLE_SLICE_NS = 50_000_000
QUIET_SLICE_NS = 1_000_000_000  # the same when nothing has come for a while, and nothing is due by time
QUIET_AFTER = QUIET_SLICES + 1  # slices in which nothing came; freed memory has been given back by then
DRAINING_SLICE_NS = 2_000_000  # the same while the last calls run
NO_CHANNEL = -1  # the surroundings have to be entered anew
MAX_SENT_OUTPUT = 64
CONSTRUCTOR = -2  # stands for a channel while an actor is made
SELF = -3  # stands for the channel of an actor's calls to itself
HEAD = struct.Struct("<IIQHHIQ")  # nbs_msg
NOT_PLAIN = ~(TASK_METHOD | TASK_RETRIABLE)  # flags that say more about the arguments than that they are a tuple
PICKLE = b"\x80"  # first byte of a plain pickle


class ArgumentLost(Exception):
    """The value of an argument was on disk and cannot be read any more; its owner is told."""

    def __init__(self, obj: int) -> None:
        super().__init__(obj)
        self.obj = obj


class ExecutorState:
    """The fields of a worker's executor, and what its parts call of each other.

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
        self.named: dict[int, list[tuple[int, int]]] = {}  # channel -> those of its functions that are names of others
        self.loaded: dict[bytes, Any] = {}  # digest of code -> function
        self.limited: dict[bytes, Any] = {}  # those with max_calls
        self.methods: dict[tuple[int, int], tuple[str, str, str]] = {}  # method, concurrency group, name of the calls
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
        self.exit_asked = False  # the call that runs has called exit_actor, whatever became of the exception
        self.exiting = False  # the actor ends itself: it takes no more calls
        self.gpu_ids: list[int] = []
        self.gpus_before = os.environ.get(visible_gpus.VARIABLE)
        self.gpu_names = visible_gpus.names(os.environ)  # by number, where they go by names; before any task changes it
        visible_gpus.show(os.environ, [], self.gpus_before)
        self.environment = WorkerEnvironment()
        self.group = ""  # placement group of the running task or actor
        self.captures = False  # what it submits runs there too
        self.interruptible = False
        self.cancel_came_early = False  # while a task's arguments were read: seen before it begins
        self.cancel_children = True  # of the task that is cancelled
        self.children_cancelled = 0  # those with lower numbers
        self.put_off = 0  # an interrupt that had to wait: the task that sent it to itself, -1 of a cancel
        self.producers: dict[Any, Callable[[], object]] = {}  # generators that wait for their consumer -> wakes them
        self.shared_window: SharedWindow | None = None  # of all generators of an actor that limits them
        self.freed = FreedMemory(core.n_held, lambda: (self.owner, self.task_number))
        self.slice_ns = IDLE_SLICE_NS  # how long the main thread sleeps when nothing comes
        self.vain_slices = 0  # in a row
        self.stopping = False
        self.leaving = False  # max_calls is reached, or:
        self.import_cut = False  # an interrupt hit an import: some C extensions cannot be loaded again in this process
        self.exit_status = 0
        self._become: m.BecomeActorNotice | None = None
        self._logging: dict[str, Any] | None = None  # the LoggingConfig in force
        self.send_lock = threading.Lock()  # served channels have one sending end, threads are many
        self.capture = OutputCapture(self._send_output, lambda: (self.owner, self.task_number))
        self._head = ffi.new("nbs_msg *")
        self._head_bytes = ffi.buffer(self._head)
        self._payload = ffi.new("void **")
        self._early: list[bytes] = []
        self._hearer = NO_CHANNEL  # the channel for what is printed while no task runs and none has run yet
        # Large output in the store: its owner reads it long before so much more has come.
        self._sent_output: deque[Any] = deque(maxlen=MAX_SENT_OUTPUT)
        self._nudged = 0  # nudges that the loop of an async actor has seen
        self._news = False  # the thread that listens for it was told of a message of the daemon
        self._own: deque[tuple[int, int, int, int, int, bytes]] = deque()  # an actor's calls to itself

    # What the parts call of each other; each is defined in the part that does it.

    _attend: Callable[[int], None]
    _notice: Callable[[int, int, int, int, bytes], None]
    _task: Callable[[int, int, int, int, int, Any], None]
    _enter: Callable[[int], None]
    _use_gpus: Callable[[list[int]], None]
    _arguments: Callable[[int, Any], tuple[Any, dict[str, Any]]]
    _answer: Callable[..., None]
    _failed: Callable[[int, int, str, BaseException], None]
    _answer_failed: Callable[[int, int, BaseException], None]
    _reply: Callable[..., None]
    _send_output: Callable[[bytes, str], bool]
    _tell_early: Callable[[int], None]
    _send_to_owner: Callable[[int, int, bytes], int]
    _exit_actor: Callable[..., None]
