"""The entries of the object store at one moment, searched by id without an object per entry."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nbray import ids
from nbray._cstore import ffi, lib

MAX_ENTRIES = 200_000
_SIZE = ffi.sizeof("nbs_list_item")
_ID_AT = ffi.offsetof("nbs_list_item", "id")
_KINDS = {
    ids.ARGUMENTS_INDEX: "arguments",
    ids.ACTOR_SPEC_INDEX: "actor",
    ids.ACTOR_LIFE_INDEX: "handles",
    ids.STREAM_INDEX: "stream",
}


class Entry:
    """One object of the store."""

    __slots__ = ("holders", "id", "kind", "made", "n_holders", "n_pinned", "obj", "size", "where")

    def __init__(self, item: Any) -> None:
        self.id = bytes(item.id)
        self.size = int(item.size)
        self.obj = int(item.obj)
        self.n_holders, self.n_pinned = int(item.n_holders), int(item.n_pinned)
        self.holders = [int(peer) for peer in item.holders if peer]  # the first few; those that view it first
        self.made = ffi.string(item.label).decode("utf-8", "replace")
        self.kind = _KINDS.get(ids.split_object_id(self.id)[3], "value")
        lost, spilled = item.meta & lib.NBS_META_LOST, item.meta & lib.NBS_META_SPILLED
        sealed = item.state == lib.NBS_SEALED
        self.where = "lost" if lost else "disk" if spilled else "store" if sealed else "not there yet"


class StoreList:
    """All entries, as the C core lists them."""

    def __init__(self, seg: Any) -> None:
        stats = ffi.new("nbs_stats *")
        lib.nbs_get_stats(seg, stats)
        room = min(int(stats.n_objects) + 100, MAX_ENTRIES)
        self._items = ffi.new("nbs_list_item[]", room)
        self._count = max(0, min(int(lib.nbs_list(seg, self._items, room)), room))
        self._bytes = bytes(ffi.buffer(self._items, self._count * _SIZE))

    def __len__(self) -> int:
        return self._count

    def with_prefix(self, prefix: bytes) -> Iterator[Entry]:
        """Yield the entries whose id begins so: a whole id, or a task's."""
        at = self._bytes.find(prefix)
        while at >= 0:
            index, inside = divmod(at, _SIZE)
            if inside == _ID_AT:
                yield Entry(self._items[index])
            at = self._bytes.find(prefix, at + 1)

    def find(self, object_id: bytes) -> Entry | None:
        """Return the entry of an object."""
        return next(self.with_prefix(object_id), None)

    def largest(self, count: int) -> list[Entry]:
        """Return the largest entries, the largest first."""
        items = self._items
        order = sorted(range(self._count), key=lambda index: -items[index].size)
        return [Entry(items[index]) for index in order[:count]]
