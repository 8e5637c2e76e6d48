"""Locks that nobody holds, inside objects that are whole without them: each side makes its own.

A queue, an event, a future that is done, a handler of logging, a console, an object of the notebook's that keeps a lock beside its
numbers: nothing of them is lost when the lock is a new one. What a lock belongs to that goes on (a thread, a child process), and a
lock by itself, which is there to be shared, stay where they are.
"""

from __future__ import annotations

import _thread
import functools
import logging
import queue
import sys
import threading
import types
import weakref
from concurrent.futures import Future
from typing import Any

from nbray.serialization.unpicklable import parts_of

MAX_OBJECTS = 10_000  # that are looked at
_LOCK, _RLOCK = type(threading.Lock()), type(threading.RLock())
LOCKS = (_LOCK, _RLOCK)
KINDS = (*LOCKS, threading.local)
# Nothing to look for in these: in functions one would come to modules, and so to everything.
_LEAVES = (str, bytes, int, float, type, types.FunctionType, types.ModuleType)
_HOLDERS = (
    threading.Condition,
    threading.Event,
    threading.Semaphore,
    threading.Barrier,
    queue.Queue,
    logging.Handler,
)


_found: dict[int, weakref.ref[Any]] = {}  # by id


def find(value: Any) -> bool:
    """Look in ``value`` for locks, and for what is kept per thread, that can be made anew; whether there are new ones."""
    before = len(_found)
    if isinstance(value, threading.local):
        _note(value)
    seen, waiting = {id(value)}, [value]
    while waiting and len(seen) < MAX_OBJECTS:
        parent = waiting.pop()
        for _, child in parts_of(parent):
            if id(child) in seen:
                continue
            seen.add(id(child))
            if isinstance(child, KINDS):
                if isinstance(child, threading.local) or _is_whole_without(parent):
                    _note(child)
            elif not isinstance(child, _LEAVES):
                waiting.append(child)
    return len(_found) > before


def _note(obj: Any) -> None:
    if not is_found(obj) and _can_be_made(obj):
        _found[id(obj)] = weakref.ref(obj, functools.partial(_forget, id(obj)))


def _forget(number: int, _: Any) -> None:
    _found.pop(number, None)


def is_found(obj: Any) -> bool:
    """Whether it is one of them."""
    reference = _found.get(id(obj)) if _found else None
    return reference is not None and reference() is obj


def reduce_lock(obj: Any) -> Any:
    """Write one of them; None: somebody holds it now."""
    if not _can_be_made(obj):
        return None
    if isinstance(obj, threading.local):
        return _local, (type(obj), dict(vars(obj)))
    return (threading.Lock if isinstance(obj, _LOCK) else threading.RLock), ()


def _local(kind: Any, attributes: dict[str, Any]) -> Any:
    if hasattr(kind, "__dataclass_fields__"):
        return kind(**attributes)  # and so it begins in the other threads
    made = kind.__new__(kind)  # its __init__ has run for this thread
    vars(made).update(attributes)
    return made


def reduce_thread(thread: threading.Thread) -> Any:
    """Write a thread that is over without what belongs to this process (since Python 3.13); None: it is not over."""
    if not _is_over(thread):
        return None
    state = {name: value for name, value in vars(thread).items() if name not in ("_context", _HANDLE)}
    return type(thread).__new__, (type(thread),), state, None, None, _end_thread


#: Where it has its handle: nowhere before Python 3.13.
_HANDLE = next((name for name in ("_handle", "_os_thread_handle") if name in vars(threading.Thread(name="unused"))), "")


def _end_thread(thread: threading.Thread, state: dict[str, Any]) -> None:
    vars(thread).update(state)
    if _HANDLE:
        handle = _thread._make_thread_handle(thread.ident)  # type: ignore[attr-defined]
        handle._set_done()
        vars(thread)[_HANDLE] = handle


def _is_over(thread: threading.Thread) -> bool:
    return thread.ident is not None and not thread.is_alive()


def _is_whole_without(parent: Any) -> bool:
    if isinstance(parent, Future):
        return parent.done()
    popen = getattr(sys.modules.get("subprocess"), "Popen", None)
    if popen is not None and isinstance(parent, popen):
        return parent.returncode is not None
    if isinstance(parent, threading.Thread):
        return _is_over(parent)
    if isinstance(parent, BaseException):
        return False
    kind = type(parent)
    named = (kind.__module__, kind.__qualname__)
    return isinstance(parent, _HOLDERS) or kind.__module__ == "__main__" or named == ("rich.console", "Console")


def _can_be_made(obj: Any) -> bool:
    if isinstance(obj, threading.local):
        fields = getattr(type(obj), "__dataclass_fields__", None)
        if fields is not None:
            return fields.keys() == vars(obj).keys()
        begin = type(obj).__init__  # each other thread calls it, without arguments
        code = getattr(begin, "__code__", None)
        return begin is object.__init__ or (code is not None and (code.co_argcount, code.co_kwonlyargcount) == (1, 0))
    if not obj.acquire(blocking=False):
        return False
    mine = isinstance(obj, _RLOCK) and "count=1" not in repr(obj)  # taken before already, by this thread
    obj.release()
    return not mine
