"""What the owner remembers of a task, a function, a stored value; and the message kinds.

Plain data; holds give themselves back, and a function's average says how much of it is sent ahead.
"""

from __future__ import annotations

import struct
from typing import Any

import msgspec

from nbray._cstore import lib
from nbray.core.interrupts import uninterrupted

# Kinds of channel messages beyond NBS_MSG_TASK and NBS_MSG_RESULT.
KIND_TASK = 1
KIND_RESULT = 2
KIND_FUNCTION = 16  # owner -> worker: seq = number; payload: FUNCTION_HEAD, name, code; or see FUNCTION_NAMED
KIND_CONTEXT = 17  # owner -> worker: job, sys.path, working directory ...
KIND_ORIGIN = 18  # owner -> worker: origin of the tasks that follow
# owner -> actor: seq = number; payload: method, NUL, group, NUL, name of the calls, without NULs at its end
KIND_METHOD = 19
KIND_CANCEL = 20  # owner -> actor: seq = number of a call that is cancelled; flags 1: its children, too
KIND_ASK_WORDS = 21  # owner -> worker: send what your C code and children have written, then KIND_WORDS_SENT
KIND_OUTPUT = 32  # worker -> owner: what a task printed or displayed
KIND_ITEM = 33  # worker -> owner: what a generator yielded; seq = task, a = index, flags of a RESULT
KIND_LEAVING = 34  # worker -> owner: it takes no more tasks (max_calls)
KIND_WORDS_SENT = 35  # worker -> owner: answers KIND_ASK_WORDS

FUNCTION_HEAD = struct.Struct("<16sHI")  # hash of the code, length of the name, max_calls or:
CALLS_UNSAID = 0  # as many as it likes, until one with a GPU leaves memory behind there
CALLS_UNLIMITED = 0xFFFFFFFF

# Flags of a FUNCTION, beside TASK_INDIRECT.
FUNCTION_NAMED = 1  # one that was told already under another name; payload: its number u64, name
FUNCTION_FORGET = 2  # and all such names before it are not used any more

# Flags of a TASK.
TASK_KWARGS = 1  # the pickle holds (args, kwargs), else args alone
TASK_DEPS = 2  # values of refs stand in front
TASK_STORED = 4  # the pickle lies in the store: 8 bytes of handle instead
TASK_INDIRECT = 8  # the whole payload lies in the store
TASK_METHOD = 16  # a method of the actor that this worker is
TASK_STREAM = 32  # yields its values: b is a request of core/streams.py
TASK_RETRIABLE = lib.NBS_TASK_RETRIABLE  # it may be run again: the first to go when memory runs out

# Flags of a RESULT (1 and 2 are NBS_RESULT_ERROR and NBS_RESULT_CANCELLED).
RESULT_ERROR = 1
RESULT_CANCELLED = 2
RESULT_STORED = 4  # payload: handle of the object
RESULT_GIVEN = 8  # the value is an error that the task did not raise, but returned or yielded
RESULT_MULTI = 16  # payload: n x (kind u8, length u32, bytes); with RESULT_STORED that lies in the object
RESULT_LOST = 64  # an argument is lost; payload: its handle
RESULT_EXITED = 128  # with RESULT_ERROR: it raised SystemExit

# Kinds of values inside TASK_DEPS and RESULT_MULTI.
PART_INLINE = 0
PART_STORED = 1
PART_ERROR = 2
PART_STORED_ERROR = 3


def part_kind(flags: int) -> int:
    """Return what kind of value a message with these flags brings, that brings one."""
    if flags & RESULT_GIVEN:
        return PART_STORED_ERROR if flags & RESULT_STORED else PART_ERROR
    return PART_STORED if flags & RESULT_STORED else PART_INLINE


META_ERROR = 1 << 16  # of a stored object: the value is an error blob

INLINE_MAX_BYTES = 32 * 1024  # larger values go through the store

PIPELINE_NS = 1_000_000.0  # work sent ahead into a lane, at most
PIPELINE_DEPTH = 256.0  # tasks sent ahead into a lane, at most
PACK_NS = 50_000.0  # work at one worker before another one is woken
HANDOVER_NS = 10_000.0  # what it costs the owner to hand a task over and to take its result in


class ActorExit(SystemExit):
    """Raised by exit_actor: the actor ends after this call."""


class StoreHold:
    """Keeps an object of the store while it lives."""

    __slots__ = ("obj", "session")

    def __init__(self, session: Any, obj: int) -> None:
        self.session = session  # Session: knows whether the segment is still attached
        self.obj = obj

    @uninterrupted
    def release(self) -> None:
        """Give the hold back now."""
        obj, self.obj = self.obj, 0
        if obj and self.session.attached:
            lib.nbs_release(self.session.seg, obj)

    def __del__(self) -> None:
        session = self.session
        if self.obj and session.attached:
            lib.nbs_release(session.seg, self.obj)


class StoredValue:
    """The value of a ref that lies in the store."""

    __slots__ = ("hold", "lineage")

    def __init__(self, hold: StoreHold, lineage: Any = None) -> None:
        self.hold = hold
        self.lineage = lineage  # Lineage, when it can be made again


class Session:
    """The attachment of this process to the node's segment; outlives a shutdown."""

    __slots__ = ("attached", "seg")

    def __init__(self, seg: Any) -> None:
        self.seg = seg
        self.attached = True


class FunctionDescriptor:
    """A function (or actor class) as workers are told of it: its code, once."""

    __slots__ = (
        "__weakref__",
        "avg_ns",
        "base",
        "depth",
        "elsewhere",
        "function",
        "high",
        "keep",
        "kind",
        "low",
        "message",
        "message_flags",
        "name",
        "number",
        "origin",
        "pack",
        "pin",
    )

    def __init__(self, number: int, name: str, message: bytes, message_flags: int = 0, keep: Any = None) -> None:
        self.number = number  # counted by this owner
        self.name = name
        self.function = name  # what it is called where it is defined
        self.message = message  # payload of its KIND_FUNCTION (or KIND_METHOD) message
        self.message_flags = message_flags
        self.keep = keep  # StoreHold of a large message
        self.pin: Any = None  # a view of it, until the runtime ends: code is not spilled
        self.base: Any = None  # whose code it is, when it is another name or another origin of that
        self.kind = ""  # as which those who look on were told of it
        self.origin: str | None = None  # the origin that they were told
        self.elsewhere: dict[str, FunctionDescriptor] | None = None  # the same for tasks of other origins
        self.avg_ns = 0.0  # how long it runs: moving average, 0 before the first result
        # What follows from that, until it leaves ``low`` to ``high``; in tasks:
        self.depth = 1.0  # sent ahead into a lane, at most
        self.pack = 1.0  # at one worker before another one is woken
        self.low = self.high = 0.0

    def learn(self) -> None:
        """Follow ``avg_ns``, which has changed by much."""
        avg = self.avg_ns
        self.low, self.high = 0.8 * avg, 1.25 * avg
        if avg <= 0.0 or avg >= PIPELINE_NS:
            self.depth = self.pack = 1.0
        else:
            self.depth = min(PIPELINE_NS / avg, PIPELINE_DEPTH)
            # A task with nothing behind it needs no second worker. Nor do tasks that are done as quickly as this
            # process submits them: a second one would find nothing to do, and take a processor from it.
            self.pack = max(PACK_NS / avg, 1.0) if avg > HANDOVER_NS else self.depth


def _of_base(name: str) -> Any:
    return property(
        lambda self: getattr(self.base, name) if self.base is not None else 0.0,
        lambda self, value: setattr(self.base, name, value) if self.base is not None else None,
    )


class NamedFunction(FunctionDescriptor):
    """A function under another name: shares the code of its ``base``, and how long that runs."""

    __slots__ = ()

    avg_ns = _of_base("avg_ns")
    depth = _of_base("depth")
    pack = _of_base("pack")
    low = _of_base("low")
    high = _of_base("high")


class TaskRecord(msgspec.Struct, gc=False, eq=False):
    """A task that this process owns, until it is done.

    ``gc=False``: the cycle with its refs is cut when the task is done.
    """

    number: int
    ref: Any  # ObjectRef, or tuple of them
    function: Any  # FunctionDescriptor
    payload: bytes
    flags: int
    n_returns: int
    retries: int  # left
    pool: Any = None  # LeasePool or ActorCalls
    deps: Any = None  # list of refs whose values go along
    keep: Any = None  # holds and refs that must live as long as the task
    origin: str = ""
    parent: int = 0  # number of the task of this process that submitted it
    retry_exceptions: Any = False
    name: str = ""
    lane: Any = None  # where it was sent
    ticket: int = 0  # for nbs_revoke
    n_missing: int = 0  # of its deps, not known yet
    cancelled: bool = False
    forced: bool = False
    ooms: int = 0  # times that its worker was ended for lack of memory
    raw: Any = None  # (payload, flags, keep, deps) before the values of refs were put in front
    lineage: Any = None  # Lineage, when it runs to make a lost value again
