"""Ray's separate client mode. nbray has none: a driver is always a full member of its cluster.

Packages ask whether they run under it, so the questions are here, and the answer is no.
"""

from __future__ import annotations


class _NotConnected:
    """Answers for the client that does not exist."""

    def is_connected(self) -> bool:
        return False


ray = _NotConnected()


def num_connected_contexts() -> int:
    """Return how many clients are connected: none."""
    return 0
