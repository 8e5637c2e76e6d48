"""A small table of keys and values, by namespace, for packages that keep facts about the cluster in it.

Pure. Values are opaque; nothing in it is written to disk, so it lives as long as the cluster.
"""

from __future__ import annotations

MAX_BYTES = 64 * 1024 * 1024  # of all keys and values together
OVERHEAD = 100  # bytes that an entry counts beside its key and value


class KeyValueTable:
    """(namespace, key) -> value."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self.max_bytes = max_bytes
        self.used = 0
        self._spaces: dict[bytes, dict[bytes, bytes]] = {}

    def get(self, space: bytes, key: bytes) -> bytes | None:
        """Return a value; None when there is none."""
        return self._spaces.get(space, {}).get(key)

    def put(self, space: bytes, key: bytes, value: bytes, overwrite: bool = True) -> bool:
        """Set a value, unless there is one and it is to stay; returns whether there was one.

        Raises
        ------
        ValueError
            When the table would grow beyond its limit.
        """
        there = self.get(space, key)
        if there is not None and not overwrite:
            return True
        grows = len(value) - len(there) if there is not None else len(key) + len(value) + OVERHEAD
        if self.used + grows > self.max_bytes:
            raise ValueError(
                f"the table of keys and values has {self.max_bytes} bytes, of which {self.used} are used: {grows} more do "
                "not fit. Use put() for large values."
            )
        self._spaces.setdefault(space, {})[key] = value
        self.used += grows
        return there is not None

    def delete(self, space: bytes, key: bytes, by_prefix: bool = False) -> int:
        """Remove a key, or all that begin with it; returns how many there were."""
        keys = self.keys(space, key) if by_prefix else [key]
        entries = self._spaces.get(space, {})
        removed = 0
        for one in keys:
            value = entries.pop(one, None)
            if value is not None:
                removed += 1
                self.used -= len(one) + len(value) + OVERHEAD
        if not entries:
            self._spaces.pop(space, None)
        return removed

    def keys(self, space: bytes, prefix: bytes) -> list[bytes]:
        """Return the keys that begin with ``prefix``, in order."""
        return sorted(key for key in self._spaces.get(space, {}) if key.startswith(prefix))

    def validate(self) -> None:
        """Raise AssertionError unless the bytes are counted right."""
        used = sum(len(k) + len(v) + OVERHEAD for entries in self._spaces.values() for k, v in entries.items())
        assert used == self.used, (used, self.used)
