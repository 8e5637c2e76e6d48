"""Large arrays and frames that go to cells lie in the store once, and are used again.

A buffer of a megabyte or more becomes an object of its own. When a later cell needs the
same memory, its contents are compared with the stored ones: equal, and the object is used
again (a comparison costs a fraction of a copy into fresh memory, and can never be wrong);
different, because the array was changed in place, and it is stored anew. Where the kernel
can tell which pages were written (``page_watch``) even the comparison falls away. Memory
that lies in the store already, because a cell brought it back (``private_memory``), is copied only when it was changed here.

What is remembered is given up when the array is gone, and the oldest first when it is more
than a share of the store.
"""

from __future__ import annotations

import ctypes
import pickle
import threading
import weakref
from collections import OrderedDict
from typing import Any

from nbray._cstore import ffi
from nbray.exceptions import ObjectStoreFullError
from nbray.serialization import torch_storages
from nbray.store import private_memory

from .cell_job import SMALL_BYTES
from .cell_result import CellOutcome
from .page_watch import PageWatch
from .runtime import ObjectRef, put

SHARE_OF_STORE = 0.5
MAX_WRITTEN = 3
_memcmp = ctypes.CDLL(None).memcmp
_memcmp.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)


class StoredBuffer:
    """A buffer as an object of the store."""

    def __init__(self, view: Any) -> None:
        self.view = view

    def buffer(self, part: int) -> Any:
        """Return the bytes; an object like this has one part."""
        return self.view

    def __reduce_ex__(self, protocol: Any) -> Any:
        # Of the array itself where it is stored: a buffer upon a view of memory must not come into a cycle (`tracebacks.let_go`).
        view = self.view
        return StoredBuffer, (view if type(view) is pickle.PickleBuffer else pickle.PickleBuffer(view),)


class _Known:
    """One buffer that is in the store."""

    __slots__ = ("gone", "mapped", "n_bytes", "part", "ref", "view", "watch")

    def __init__(self, ref: ObjectRef, part: int, view: Any, n_bytes: int, mapped: bool) -> None:
        self.ref = ref
        self.part = part
        self.view = view  # of the stored bytes
        self.n_bytes = n_bytes
        self.mapped = mapped  # the array itself lies in the store, but for what was written since
        self.gone: Any = None  # weak reference that forgets this entry
        self.watch: Any = None


class LargeInputs:
    """What of the notebook's memory is in the store.

    Parameters
    ----------
    get
        Reads an object of the store.
    """

    def __init__(self, get: Any) -> None:
        self._get = get
        self._known: OrderedDict[tuple[int, int], _Known] = OrderedDict()  # (address, bytes)
        self._cluster: Any = None
        self._lock = threading.RLock()
        self._pages = PageWatch()
        self._written: dict[tuple[int, int], int] = {}  # how often in a row it had changed

    def place(self, buffer: pickle.PickleBuffer) -> tuple[ObjectRef, int]:
        """Return the object that holds the bytes of a buffer now, and which part of it they are."""
        raw = buffer.raw()
        key = _address(raw), raw.nbytes
        with self._lock:
            known = self._known.get(key)
            if known is not None and known.ref._cluster.session.attached and self._same(known, raw, key):
                self._known.move_to_end(key)
                return known.ref, known.part
            changed = self._known.pop(key, None) is not None
            self._written[key] = self._written.get(key, 0) + 1 if changed else 0
        # Before the copy: a write of another thread meanwhile is seen at the next look. Memory
        # that changes each time is not watched: its first writes would only become slower.
        watch = self._pages.arm(*key) if self._written[key] < MAX_WRITTEN else None
        ref = self._put(buffer)
        with self._lock:
            known = _Known(ref, 0, self._get(ref).view, raw.nbytes, False)
            known.watch = watch
            self._remember(key, known, _root(raw.obj))
        return ref, 0

    def adopt(self, ref: ObjectRef, outcome: CellOutcome) -> None:
        """A cell brought large buffers back: they need not go into the store again."""
        for part, buffer in enumerate(outcome.buffers):
            view = memoryview(buffer)
            if view.nbytes < SMALL_BYTES:
                continue
            stored = private_memory.stored_behind(_address(view)) or (view if view.readonly else None)
            if stored is not None:
                with self._lock:
                    known = _Known(ref, part, stored if stored is not view else None, view.nbytes, True)
                    self._remember((_address(view), view.nbytes), known, view.obj)

    def forget(self) -> None:
        """Give everything up."""
        with self._lock:
            self._known.clear()

    def _same(self, known: _Known, raw: memoryview, key: tuple[int, int]) -> bool:
        if known.mapped:
            if known.view is None:
                return raw.readonly
            if known.watch is not None and self._pages.unwritten(known.watch):
                return True
            watch = self._pages.arm(*key, mapped=True)  # before the look, as above
            if not self._pages.none_of_its_own(*key):
                return _memcmp(key[0], _address(known.view), key[1]) == 0
            known.watch = watch
            return True
        if known.watch is not None and self._pages.unwritten(known.watch):
            return True
        watch = self._pages.arm(*key) if known.watch is not None else None
        same = _memcmp(key[0], _address(known.view), key[1]) == 0
        known.watch = watch
        return same

    def _put(self, buffer: pickle.PickleBuffer) -> ObjectRef:
        try:
            return put(StoredBuffer(buffer))
        except ObjectStoreFullError:
            if not self._known:
                raise
        self.forget()
        return put(StoredBuffer(buffer))

    def _remember(self, key: tuple[int, int], known: _Known, owner: Any) -> None:
        if known.ref._cluster is not self._cluster:
            self._known.clear()
            self._cluster = known.ref._cluster
        self._known[key] = known
        try:
            known.gone = weakref.ref(owner, lambda _: self._drop(key, known))
        except TypeError:
            pass  # of a kind that cannot be watched: it leaves as the oldest
        if len(self._written) > 1000:
            self._written.clear()
        room = self._cluster.store.stats().capacity * SHARE_OF_STORE
        total = sum(entry.n_bytes for entry in self._known.values())
        while total > room and len(self._known) > 1:
            _, oldest = self._known.popitem(last=False)
            total -= oldest.n_bytes

    def _drop(self, key: tuple[int, int], known: _Known) -> None:
        # Runs inside any allocation: nothing but one step of a dict.
        if self._known.get(key) is known:
            self._known.pop(key, None)


def _address(view: Any) -> int:
    return int(ffi.cast("uintptr_t", ffi.from_buffer(view)))


def _root(obj: Any) -> Any:
    """Return what owns the memory of a view, frame, transposed array or tensor."""
    while True:
        base = getattr(obj, "base", None)
        if base is None or not hasattr(base, "__array_interface__"):
            storage = torch_storages.owner_of(obj)
            return obj if storage is None else storage
        obj = base
