"""The processes that are registered with the daemon, by peer and by identity."""

from __future__ import annotations

from collections.abc import Iterator

from nbray.wire.channel import identity_of

DRIVER, WORKER, OBSERVER = "driver", "worker", "observer"


class Client:
    """One registered process."""

    __slots__ = (
        "identity", "job_id", "namespace", "peer", "pid", "pidfd", "role", "waits_for", "waits_on", "waits_to_begin",
    )  # fmt: skip

    def __init__(self, role: str, peer: int, pid: int) -> None:
        self.role = role
        self.peer = peer
        self.pid = pid
        self.identity = identity_of(role, peer)
        self.pidfd = -1  # of a driver or an observer; workers are watched as our own children
        self.job_id = 0
        self.namespace = ""
        self.waits_for = ""  # of a worker whose task waits long: what for
        self.waits_on: list[int] = []  # and the peers without which it does not go on
        self.waits_to_begin = False  # it waits for its arguments


class Clients:
    """Both indexes."""

    def __init__(self) -> None:
        self.by_peer: dict[int, Client] = {}
        self.by_identity: dict[bytes, Client] = {}

    def add(self, client: Client) -> None:
        """Note a registered process."""
        self.by_peer[client.peer] = client
        self.by_identity[client.identity] = client

    def remove(self, peer: int) -> Client | None:
        """Forget a process."""
        client = self.by_peer.pop(peer, None)
        if client is not None:
            del self.by_identity[client.identity]
        return client

    def drivers(self) -> Iterator[Client]:
        """All registered drivers."""
        return (client for client in list(self.by_peer.values()) if client.role == DRIVER)
