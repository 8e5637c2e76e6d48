"""What a ``with`` or a ``close()`` has ended, and what has nothing left to give: each side makes one that has ended as well.

An archive, a socket, a connection, an executor, a stream in memory, an exhausted generator. They linger under names of the
notebook, and pickle refuses them although there is nothing in them that could be lost.
"""

from __future__ import annotations

import io
import threading
import types
from collections.abc import Callable
from typing import Any


def _reduce_stream(stream: Any) -> Any:
    return (_closed, (type(stream),)) if stream.closed else None


def _reduce_file(file: Any) -> Any:
    return (_closed_raw_file, (getattr(file, "name", ""),)) if file.closed else None


def _closed(kind: Any) -> Any:
    made = kind()
    made.close()
    return made


def _closed_raw_file(name: Any) -> Any:
    made = io.FileIO.__new__(io.FileIO)  # which has never opened anything
    made.name = name
    return made


def _reduce_map(mapped: Any) -> Any:
    return (_closed_map, ()) if mapped.closed else None


def _closed_map() -> Any:
    import mmap  # noqa: PLC0415 - only whoever gets one needs it

    made = mmap.mmap(-1, 1)
    made.close()
    return made


def _reduce_generator(generator: types.GeneratorType[Any, Any, Any]) -> Any:
    if generator.gi_frame is not None:
        return None
    return _exhausted, (generator.__name__, generator.__qualname__)


def _exhausted(name: str, qualified: str) -> Any:
    made: Any = (each for each in "")
    made.__name__, made.__qualname__ = name, qualified
    made.close()
    return made


def _reduce_socket(found: Any) -> Any:
    return (_closed_socket, (found.family, found.type, found.proto)) if found.fileno() == -1 else None


def _closed_socket(family: Any, kind: Any, protocol: int) -> Any:
    import socket  # noqa: PLC0415 - as above

    made = socket.socket.__new__(socket.socket)
    socket.socket.__init__(made, family, kind, protocol)
    made.close()
    return made


def _reduce_connection(connection: Any) -> Any:
    try:
        connection.total_changes  # noqa: B018
    except Exception as error:  # also that of a connection that another thread has
        return (_closed_connection, ()) if "closed" in str(error) else None
    return None


def _closed_connection() -> Any:
    import sqlite3  # noqa: PLC0415 - as above

    made = sqlite3.connect(":memory:")
    made.close()
    return made


def _reduce_archive(archive: Any) -> Any:
    if archive.fp is not None:
        return None
    state = {name: value for name, value in vars(archive).items() if name != "_lock"}
    return _closed_archive, (type(archive),), state, None, None, _fill_archive


def _closed_archive(kind: Any) -> Any:
    made = kind.__new__(kind)
    made.fp = None
    return made


def _fill_archive(archive: Any, state: dict[str, Any]) -> None:
    vars(archive).update(state, _lock=threading.RLock())


def _reduce_response(response: Any) -> Any:
    if not response.isclosed():
        return None
    return _closed_response, (type(response),), dict(vars(response))


def _closed_response(kind: Any) -> Any:
    made = kind.__new__(kind)
    made.fp = None
    return made


def _reduce_executor(executor: Any) -> Any:
    """Write an executor that takes no more work and has none left."""
    if hasattr(executor, "_threads"):
        over = executor._shutdown and not any(thread.is_alive() for thread in executor._threads)
    else:
        over = executor._shutdown_thread and executor._executor_manager_thread is None
    return (_ended_executor, (type(executor), executor._max_workers)) if over else None


def _ended_executor(kind: Any, workers: int) -> Any:
    made = kind(workers)
    made.shutdown()
    return made


def _reduce_pool(pool: Any) -> Any:
    return (_ended_pool, (type(pool), pool._processes)) if pool._state in ("CLOSE", "TERMINATE") else None


def _ended_pool(kind: Any, processes: int) -> Any:
    made = kind.__new__(kind)
    vars(made).update(_state="TERMINATE", _pool=[], _processes=processes, _cache={})
    return made


#: What writes such objects, by class; each says None of one that has not ended.
BY_KIND: dict[type, Callable[[Any], Any]] = {
    io.StringIO: _reduce_stream,
    io.BytesIO: _reduce_stream,
    io.FileIO: _reduce_file,
    types.GeneratorType: _reduce_generator,
}

#: The same of classes in modules that need not be loaded.
BY_NAME: dict[tuple[str, str], Callable[[Any], Any]] = {
    ("socket", "socket"): _reduce_socket,
    ("sqlite3", "Connection"): _reduce_connection,
    ("mmap", "mmap"): _reduce_map,
    ("zipfile", "ZipFile"): _reduce_archive,
    ("http.client", "HTTPResponse"): _reduce_response,
    ("concurrent.futures.thread", "ThreadPoolExecutor"): _reduce_executor,
    ("concurrent.futures.process", "ProcessPoolExecutor"): _reduce_executor,
    ("multiprocessing.pool", "Pool"): _reduce_pool,
}


def has_ended(obj: Any) -> bool:
    """Whether an object is of these, or a closed file."""
    if isinstance(obj, io.IOBase):
        return obj.closed
    kind = type(obj)
    reduce = BY_KIND.get(kind) or BY_NAME.get((kind.__module__, kind.__name__))
    return reduce is not None and reduce(obj) is not None


class Ended:
    """The new contents of an object that has ended, there or before."""


def end(obj: Any) -> None:
    """Let an object of the notebook have ended."""
    (getattr(obj, "close", None) or obj.shutdown)()
